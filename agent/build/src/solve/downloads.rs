//! Remote sources of `ADD`.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{Solve, blocking};
use crate::graph::{NodeId, Remote, hex};
use crate::tree::{Destination, Root, write_file};
use crate::{BuildError, BuildEvent, BuildRequest, Secret, Worker};

/// A file that has arrived.
pub(super) struct Download {
    pub url: String,
    pub name: String,
    /// Removed when the build ends.
    pub file: tempfile::TempPath,
    /// SHA-256 of its bytes.
    pub digest: String,
    /// Seconds since 1970.
    pub modified: Option<i64>,
    pub unpack: bool,
}

/// Whether a content that begins like this is a tar archive.
fn is_archive(start: &[u8]) -> bool {
    start.get(257..262) == Some(b"ustar") || (start.len() == 512 && checksum_fits(start))
}

/// Archives older than POSIX have no mark but a sum over their header.
fn checksum_fits(block: &[u8]) -> bool {
    let stored = std::str::from_utf8(&block[148..156]).unwrap_or_default();
    let stored = u32::from_str_radix(stored.trim_matches(|c: char| c == '\0' || c == ' '), 8);
    let sum: u32 =
        block.iter().enumerate().map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) }).sum();
    stored.is_ok_and(|stored| stored == sum)
}

/// What the build was given for a server, in secrets that are called as BuildKit's are: a whole header or a token, by the
/// host with its port or without.
fn authorization(request: &BuildRequest, url: &str) -> Option<Secret> {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest).split(['/', '?', '#']).next()?;
    let authority = authority.rsplit('@').next()?;
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let find = |kind: &str| {
        let secret = |name: &str| request.secrets.get(&format!("HTTP_AUTH_{kind}_{name}"));
        secret(authority).or_else(|| secret(host))
    };
    find("HEADER").cloned().or_else(|| {
        let token = find("TOKEN")?;
        Some(Secret([b"Bearer ", token.0.trim_ascii()].concat()))
    })
}

impl<W: Worker> Solve<W> {
    pub(super) async fn download(self: &Arc<Self>, id: NodeId, remote: &Remote) -> Result<Download, BuildError> {
        let expected = match &remote.checksum {
            None => None,
            Some(text) => Some(
                text.strip_prefix("sha256:")
                    .filter(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
                    .map(str::to_ascii_lowercase)
                    .ok_or_else(|| {
                        BuildError::Request(format!("--checksum={text}: expected sha256: and 64 hexadecimal digits"))
                    })?,
            ),
        };
        let name = remote.url.split(['?', '#']).next().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
        if name.is_empty() || remote.url.splitn(4, '/').count() < 4 {
            return Err(BuildError::Request(format!("{} does not say what the file is called", remote.url)));
        }
        let dir = self.shared.options.root.join("tmp");
        let file = tempfile::Builder::new()
            .prefix("download-")
            .tempfile_in(&dir)
            .map_err(|error| BuildError::io("create a file in", &dir, error))?
            .into_temp_path();
        let (events, step, url) = (self.events.clone(), self.step(id), remote.url.clone());
        let report = Arc::new(move |part: String, current, total| {
            let _ = events.send(BuildEvent::Progress { step, part, current, total });
        });
        let path: PathBuf = file.to_path_buf();
        let auth = authorization(&self.request, &url);
        let modified = tokio::select! {
            modified = self.shared.worker.download(url.clone(), auth, path.clone(), report) => modified?,
            () = self.cancel.cancelled() => return Err(BuildError::Canceled),
        };
        let digest = blocking(move || {
            let fail = |error| BuildError::io("read", &path, error);
            let mut file = std::fs::File::open(&path).map_err(fail)?;
            let mut hasher = Sha256::new();
            let mut buffer = vec![0; 256 << 10];
            loop {
                match file.read(&mut buffer).map_err(fail)? {
                    0 => return Ok(hex(&hasher.finalize())),
                    n => hasher.update(&buffer[..n]),
                }
            }
        })
        .await?;
        if let Some(expected) = expected
            && expected != digest
        {
            return Err(BuildError::Request(format!(
                "{url} has the digest sha256:{digest}, --checksum says sha256:{expected}"
            )));
        }
        Ok(Download { url: remote.url.clone(), name: name.to_owned(), file, digest, modified, unpack: remote.unpack })
    }

    /// Whether a file is a tar archive, compressed or not, and the file itself. Its content says so, never its name; what
    /// is damaged is taken for one, as somebody should hear of it.
    pub(super) async fn archive(&self, file: std::fs::File) -> Result<(std::fs::File, bool), BuildError> {
        let (file, start) = self.shared.worker.beginning(file).await?;
        Ok((file, start.is_none_or(|start| is_archive(&start))))
    }

    /// Puts a download into a tree.
    pub(super) async fn place(
        &self,
        download: &Download,
        tree: &Arc<Root>,
        to: &Destination,
    ) -> Result<(), BuildError> {
        let file =
            std::fs::File::open(&download.file).map_err(|error| BuildError::io("open", &download.file, error))?;
        let (file, archive) = if download.unpack { self.archive(file).await? } else { (file, false) };
        if archive {
            return self.unpack(file, tree, to).await;
        }
        let (tree, to, name) = (Arc::clone(tree), to.clone(), download.name.clone());
        let modified = download.modified.unwrap_or(0);
        blocking(move || write_file(&tree, &to, &name, &file.into(), 0o600, modified)).await
    }
}
