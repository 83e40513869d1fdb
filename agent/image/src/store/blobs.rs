//! The content store: a blob under its digest's name is whole and was verified.

use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::pins::{Pin, Pins};
use crate::digest::{Algorithm, Digest, Hasher};
use crate::error::Error;

/// Manifests and configurations larger than this are refused, as registries do.
pub(crate) const MAX_DOCUMENT: u64 = 8 << 20;

/// The blobs of one data root. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Blobs {
    dir: PathBuf,
}

impl Blobs {
    /// Opens the store, making its directories where missing.
    pub(crate) fn open(dir: PathBuf) -> Result<Blobs, Error> {
        for sub in ["sha256", "sha512", "partial"] {
            let dir = dir.join(sub);
            fs::create_dir_all(&dir).map_err(|e| Error::io("create", &dir, e))?;
        }
        Ok(Blobs { dir })
    }

    /// Where the blob lies, if it is here.
    pub(crate) fn path(&self, digest: &Digest) -> PathBuf {
        self.dir.join(digest.algorithm().name()).join(digest.hex())
    }

    /// The blob's size, if it is here.
    pub(crate) fn size(&self, digest: &Digest) -> Option<u64> {
        fs::metadata(self.path(digest)).ok().map(|m| m.len())
    }

    /// Opens a blob.
    pub(crate) fn open_blob(&self, digest: &Digest) -> Result<fs::File, Error> {
        let path = self.path(digest);
        fs::File::open(&path).map_err(|e| Error::io("open blob", path, e))
    }

    /// Reads a small blob, and verifies it again.
    pub(crate) fn read(&self, digest: &Digest) -> Result<Vec<u8>, Error> {
        let path = self.path(digest);
        let file = self.open_blob(digest)?;
        let mut bytes = Vec::new();
        file.take(MAX_DOCUMENT + 1).read_to_end(&mut bytes).map_err(|e| Error::io("read blob", &path, e))?;
        let mut hasher = Hasher::new(digest.algorithm());
        hasher.update(&bytes);
        let actual = hasher.finish();
        if actual != *digest {
            return Err(Error::Corrupt { what: format!("blob {}", path.display()), expected: digest.clone(), actual });
        }
        Ok(bytes)
    }

    /// Stores a small blob under its (already verified) digest. One that only an unsynced record refers to need not be
    /// durable: the two are believed or forgotten together.
    pub(crate) fn put_as(&self, digest: &Digest, bytes: &[u8], durable: bool) -> Result<(), Error> {
        if self.size(digest) == Some(bytes.len() as u64) {
            return Ok(());
        }
        super::durable::write_at_once(&self.path(digest), bytes, durable)
    }

    /// The place where a blob arrives.
    pub(crate) fn partial(&self, digest: &Digest) -> Partial {
        Partial {
            path: self.dir.join("partial").join(format!("{}-{}", digest.algorithm().name(), digest.hex())),
            digest: digest.clone(),
        }
    }

    /// A blob whose digest is not known before its end.
    pub(crate) fn writer(&self) -> Result<BlobWriter, Error> {
        let dir = self.dir.join("partial");
        let file = tempfile::Builder::new()
            .prefix(".new-")
            .tempfile_in(&dir)
            .map_err(|e| Error::io("write blob in", &dir, e))?;
        Ok(BlobWriter { blobs: self.clone(), file, hasher: Hasher::new(Algorithm::Sha256), size: 0 })
    }

    /// Makes a whole, verified partial blob a blob.
    pub(crate) fn commit(&self, partial: &Partial) -> Result<(), Error> {
        let path = self.path(&partial.digest);
        fs::rename(&partial.path, &path).map_err(|e| Error::io("store blob", path, e))
    }

    /// Removes a blob; returns the bytes that it took.
    pub(crate) fn remove(&self, digest: &Digest) -> u64 {
        let size = self.size(digest).unwrap_or(0);
        match fs::remove_file(self.path(digest)) {
            Ok(()) => size,
            Err(e) => {
                if e.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(error = %e, "cannot remove a blob");
                }
                0
            }
        }
    }

    /// All blobs that are here.
    pub(crate) fn list(&self) -> Result<Vec<Digest>, Error> {
        let mut all = Vec::new();
        for algorithm in ["sha256", "sha512"] {
            let dir = self.dir.join(algorithm);
            for entry in fs::read_dir(&dir).map_err(|e| Error::io("list", &dir, e))? {
                let entry = entry.map_err(|e| Error::io("list", &dir, e))?;
                let name = entry.file_name();
                match format!("{algorithm}:{}", name.to_string_lossy()).parse() {
                    Ok(digest) => all.push(digest),
                    // A temporary file of an interrupted write.
                    Err(_) => drop(fs::remove_file(entry.path())),
                }
            }
        }
        Ok(all)
    }

    /// After a start: blobs that the records do not know go back to the partial ones. There they help a later pull,
    /// which verifies them again.
    pub(crate) fn distrust(&self, digest: &Digest) {
        let partial = self.partial(digest);
        if let Err(e) = fs::rename(self.path(digest), &partial.path) {
            tracing::warn!(error = %e, "cannot set a leftover blob aside");
        }
    }

    /// Removes temporary files, and partial blobs that nobody came back for within a week.
    pub(crate) fn clean_partials(&self) {
        let dir = self.dir.join("partial");
        let Ok(entries) = fs::read_dir(&dir) else { return };
        for entry in entries.flatten() {
            let temporary = entry.file_name().to_string_lossy().starts_with(".new-");
            let age = entry
                .metadata()
                .ok()
                .and_then(|m| m.modified().ok())
                .and_then(|t| t.elapsed().ok())
                .unwrap_or_default();
            if temporary || age.as_secs() > 7 * 24 * 3600 {
                drop(fs::remove_file(entry.path()));
            }
        }
    }

    /// Removes all partial blobs that nobody works on; returns the bytes.
    pub(crate) fn remove_partials(&self, busy: impl Fn(&Digest) -> bool) -> u64 {
        let Ok(entries) = fs::read_dir(self.dir.join("partial")) else { return 0 };
        let mut freed = 0;
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().replacen('-', ":", 1);
            let Ok(digest) = name.parse::<Digest>() else { continue };
            if !busy(&digest) {
                let size = entry.metadata().map_or(0, |m| m.len());
                if fs::remove_file(entry.path()).is_ok() {
                    freed += size;
                }
            }
        }
        freed
    }
}

/// A blob that is arriving. It stays when the transfer breaks, so that another can go on.
#[derive(Debug, Clone)]
pub(crate) struct Partial {
    path: PathBuf,
    digest: Digest,
}

impl Partial {
    /// Its file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the file if there is none.
    pub(crate) fn create(&self) -> Result<(), Error> {
        let open = fs::OpenOptions::new().write(true).create(true).truncate(false).open(&self.path);
        open.map(drop).map_err(|e| Error::io("create partial blob", &self.path, e))
    }

    /// Opens the file for more, and hashes what is there. More than `limit` bytes are no beginning of this blob.
    pub(crate) fn resume(&self, limit: u64) -> Result<(fs::File, Hasher, u64), Error> {
        let mut file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&self.path)
            .map_err(|e| Error::io("open partial blob", &self.path, e))?;
        let mut hasher = Hasher::new(self.digest.algorithm());
        let length = file.metadata().map_err(|e| Error::io("look at", &self.path, e))?.len();
        if length > limit {
            file.set_len(0).map_err(|e| Error::io("empty", &self.path, e))?;
            return Ok((file, hasher, 0));
        }
        let hashed = hasher.update_reader(&mut file).map_err(|e| Error::io("read partial blob", &self.path, e))?;
        file.seek(io::SeekFrom::Start(hashed)).map_err(|e| Error::io("read partial blob", &self.path, e))?;
        Ok((file, hasher, hashed))
    }

    /// Begins again with the same file: somebody may be reading it.
    pub(crate) fn empty(&self) -> Result<(), Error> {
        let file = fs::OpenOptions::new()
            .write(true)
            .open(&self.path)
            .map_err(|e| Error::io("open partial blob", &self.path, e))?;
        file.set_len(0).map_err(|e| Error::io("empty", &self.path, e))
    }

    /// Throws it away: it is no beginning of the blob.
    pub(crate) fn discard(&self) {
        drop(fs::remove_file(&self.path));
    }
}

/// Writes a blob and learns its digest.
pub(crate) struct BlobWriter {
    blobs: Blobs,
    file: tempfile::NamedTempFile,
    hasher: Hasher,
    size: u64,
}

impl BlobWriter {
    /// Stores what was written; returns digest and size, and a pin: no record knows it yet.
    pub(crate) fn finish_pinned(self, pins: &Pins) -> Result<(Digest, u64, Pin), Error> {
        let digest = self.hasher.finish();
        let pin = pins.pin(&digest);
        let path = self.blobs.path(&digest);
        self.file.persist(&path).map_err(|e| Error::io("store blob", path, e.error))?;
        Ok((digest, self.size, pin))
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.file.write(bytes)?;
        self.hasher.update(&bytes[..n]);
        self.size += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
