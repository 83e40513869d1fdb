//! Layer directories that builds need: each has a mark of its own, so that keeping one costs one small file.

use std::path::PathBuf;

use fs_err as fs;

use super::durable::Epoch;
use super::layers::{LayerDirs, names};
use crate::error::Error;

impl LayerDirs {
    fn mark(&self, name: &str) -> PathBuf {
        self.root().join("held").join(name)
    }

    /// Keeps a directory until it is released. Until it is known to be on the disk, only this epoch believes in it.
    pub(crate) fn hold(&self, name: &str, epoch: &Epoch) -> Result<(), Error> {
        let path = self.mark(name);
        let text = serde_json::to_vec(epoch)
            .map_err(|source| Error::Malformed { what: path.display().to_string(), source })?;
        super::durable::write_at_once(&path, &text, false)
    }

    /// Lets a directory go.
    pub(crate) fn release(&self, name: &str) -> Result<(), Error> {
        let path = self.mark(name);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path, e)),
            _ => Ok(()),
        }
    }

    /// The directories that are kept.
    pub(crate) fn held(&self) -> Result<Vec<String>, Error> {
        let mut held = names(&self.root().join("held"))?;
        held.retain(|name| !name.starts_with('.'));
        Ok(held)
    }

    /// After a start: what was kept but may never have reached the disk is let go.
    pub(crate) fn distrust_held(&self, epoch: &Epoch) -> Result<(), Error> {
        super::durable::remove_temporaries(&self.root().join("held"));
        for name in self.held()? {
            let text = fs::read(self.mark(&name)).map_err(|e| Error::io("read", self.mark(&name), e))?;
            let trusted = text.is_empty() || serde_json::from_slice::<Epoch>(&text).is_ok_and(|then| then == *epoch);
            if !trusted || !self.layer(&name).is_dir() {
                self.release(&name)?;
            }
        }
        Ok(())
    }

    /// Whether something that is kept may not be on the disk yet.
    pub(crate) fn any_held_unsynced(&self) -> bool {
        let held = self.held().unwrap_or_default();
        held.iter().any(|name| fs::metadata(self.mark(name)).is_ok_and(|mark| mark.len() > 0))
    }

    /// These are on the disk now.
    pub(crate) fn held_synced(&self, names: &[String]) -> Result<(), Error> {
        for name in names {
            let path = self.mark(name);
            if fs::metadata(&path).is_ok_and(|mark| mark.len() > 0) {
                super::durable::write_at_once(&path, b"", false)?;
            }
        }
        Ok(())
    }
}
