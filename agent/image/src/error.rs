//! What can go wrong with images, by name.

use std::io;
use std::path::{Path, PathBuf};

use crate::digest::{Digest, DigestError};
use crate::manifest::ManifestError;
use crate::reference::ReferenceError;

/// An image operation that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is no reference.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The text is no digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// No image here has the name or id.
    #[error("no such image: {0}")]
    NotFound(String),
    /// Several images have ids that begin so.
    #[error("image id prefix {0:?} is ambiguous: it fits {1} images")]
    Ambiguous(String, usize),
    /// The registry has no such image, or shows it only to others.
    #[error("image not found: {reference}: {registry} has no such repository or tag, or it requires a login")]
    NotAtRegistry {
        /// What was asked for.
        reference: String,
        /// Whom.
        registry: String,
    },
    /// None of an index's images runs here.
    #[error("{reference} has no image for {platform}; it offers {}", if offered.is_empty() { "none".to_owned() } else { offered.join(", ") })]
    NoPlatform {
        /// What was asked for.
        reference: String,
        /// For which platform.
        platform: String,
        /// What there is.
        offered: Vec<String>,
    },
    /// The registry refused the credentials, or wants some.
    #[error("authentication with {registry} failed: {message}")]
    Unauthorized {
        /// Who refused.
        registry: String,
        /// What it said.
        message: String,
    },
    /// The credentials are good, but not for this.
    #[error("access to {resource} denied by {registry}: {message}")]
    Denied {
        /// Who refused.
        registry: String,
        /// For what.
        resource: String,
        /// What it said.
        message: String,
    },
    /// No connection, no answer, or TLS failed.
    #[error("cannot reach registry {registry}: {reason}")]
    Unreachable {
        /// The registry.
        registry: String,
        /// Why, in one line.
        reason: String,
    },
    /// The registry answered with an error of its own.
    #[error("registry {registry} answered {status} to {what}: {message}")]
    Registry {
        /// Who answered.
        registry: String,
        /// The HTTP status.
        status: u16,
        /// What was asked.
        what: String,
        /// What it said.
        message: String,
    },
    /// The registry answered with something that makes no sense.
    #[error("unexpected answer from registry {registry}: {message}")]
    Protocol {
        /// Who answered.
        registry: String,
        /// What is wrong.
        message: String,
    },
    /// The transfer ended too early, again and again.
    #[error("blob {digest} is truncated: got {got} of {expected} bytes in {attempts} attempts")]
    Truncated {
        /// The blob.
        digest: Digest,
        /// Bytes that came.
        got: u64,
        /// Bytes that should have come.
        expected: u64,
        /// Tries.
        attempts: u32,
    },
    /// The bytes are not those that the digest names.
    #[error("{what} is corrupt: expected digest {expected}, got {actual}")]
    Corrupt {
        /// Which blob or layer.
        what: String,
        /// As named.
        expected: Digest,
        /// As computed.
        actual: Digest,
    },
    /// A size other than the descriptor's.
    #[error("{what} is corrupt: expected {expected} bytes, got {actual}")]
    Size {
        /// Which blob.
        what: String,
        /// As named.
        expected: u64,
        /// As counted.
        actual: u64,
    },
    /// A manifest that is none.
    #[error("manifest of {what} cannot be used")]
    Manifest {
        /// Whose.
        what: String,
        /// Why.
        #[source]
        source: ManifestError,
    },
    /// A configuration or other document that cannot be read.
    #[error("{what} is malformed")]
    Malformed {
        /// Which document.
        what: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// An image that contradicts itself, or is no container image.
    #[error("{what}: {message}")]
    Invalid {
        /// Which.
        what: String,
        /// Why.
        message: String,
    },
    /// An archive that cannot be read or that tries to break out.
    #[error("layer {layer} cannot be unpacked")]
    Unpack {
        /// The layer's short digest.
        layer: String,
        /// Why.
        #[source]
        source: crate::unpack::UnpackError,
    },
    /// An archive that cannot be read.
    #[error("{what} cannot be read")]
    Archive {
        /// Which.
        what: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No space is left.
    #[error("no space left on the disk that holds {}", path.display())]
    DiskFull {
        /// What was being written.
        path: PathBuf,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// The verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A limit for a container's files, on a file system that keeps to none.
    #[error(
        "storage option size: the file system of {} keeps no project quotas; it must be ext4 or xfs, mounted with \
         prjquota", path.display()
    )]
    NoQuota {
        /// The container's directory.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A registry without a search of its own: the distribution protocol has none.
    #[error("registry {registry} has no search: it can list only the tags of a repository that is named")]
    NoSearch {
        /// The registry.
        registry: String,
    },
    /// Something else still uses it.
    #[error("conflict: {0}")]
    InUse(String),
    /// No snapshot has this id.
    #[error("no such snapshot: {0}")]
    NoSnapshot(String),
    /// The snapshot is there already.
    #[error("snapshot {0} exists already")]
    SnapshotExists(String),
    /// An instruction of `--change` that cannot be used.
    #[error("cannot apply change {instruction:?}: {message}")]
    Change {
        /// The line.
        instruction: String,
        /// Why not.
        message: String,
    },
    /// A helper program for credentials failed.
    #[error("credential helper {helper} failed: {message}")]
    CredentialHelper {
        /// Its name.
        helper: String,
        /// What it said.
        message: String,
    },
}

impl Error {
    /// A file operation that failed; a full disk is told apart.
    pub(crate) fn io(action: &'static str, path: impl AsRef<Path>, source: io::Error) -> Error {
        let path = path.as_ref().to_owned();
        let source = bare(source);
        if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            return Error::DiskFull { path };
        }
        Error::Io { action, path, source }
    }

    /// A layer that could not be unpacked; a full disk is told apart.
    pub(crate) fn unpack(layer: impl Into<String>, root: &Path, source: crate::unpack::UnpackError) -> Error {
        if source.is_disk_full() {
            return Error::DiskFull { path: root.to_owned() };
        }
        Error::Unpack { layer: layer.into(), source }
    }

    pub(crate) fn invalid(what: impl Into<String>, message: impl Into<String>) -> Error {
        Error::Invalid { what: what.into(), message: message.into() }
    }

    /// Whether another try may succeed.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Error::Unreachable { .. } | Error::Truncated { .. } => true,
            Error::Registry { status, .. } => matches!(status, 408 | 429 | 500..=599),
            _ => false,
        }
    }
}

/// The kernel's own words, where a wrapper only adds the path that ours names already: `failed to … `path`: words`.
fn bare(error: io::Error) -> io::Error {
    let wrapped = error.get_ref().map(ToString::to_string).filter(|text| text.starts_with("failed to "));
    match wrapped.as_deref().and_then(|text| text.rsplit_once("`: ")) {
        Some((_, words)) => io::Error::new(error.kind(), words.to_owned()),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_named_once() {
        let error = Error::io("open", "/no/such/file", fs_err::File::open("/no/such/file").unwrap_err());
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(
            (error.to_string().as_str(), source.as_str()),
            ("cannot open /no/such/file", "No such file or directory (os error 2)")
        );
        let full = Error::io("write", "/x", io::Error::from_raw_os_error(libc::ENOSPC));
        assert_eq!(full.to_string(), "no space left on the disk that holds /x");
    }
}
