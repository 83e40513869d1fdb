//! Autolock: the keys on a manager's disk are locked with a key that no disk has.
//!
//! Two files are keys: that of the node's certificate, and that of the log. While the cluster's record has an unlock
//! key both lie locked; a manager that starts needs the key from a person before it can read either.

use std::{
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hoist_link::UnlockKey;
use hoist_manager::control::Control;
use tokio_util::sync::CancellationToken;

use super::MemberError;

const NODE: &str = "node.key";
const LOG: &str = "key";
/// How soon a changed key is on the disk.
const LOOK: Duration = Duration::from_millis(250);

/// The unlock key as this daemon knows it.
#[derive(Debug)]
pub struct Lock {
    dir: PathBuf,
    key: Mutex<Option<UnlockKey>>,
}

impl Lock {
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, key: Mutex::default() }
    }

    fn held(&self) -> MutexGuard<'_, Option<UnlockKey>> {
        self.key.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a key that a person gave.
    pub fn learn(&self, key: Option<UnlockKey>) {
        *self.held() = key;
    }

    /// A key's file as it is to be written.
    pub fn seal(&self, bytes: Vec<u8>) -> Vec<u8> {
        match &*self.held() {
            Some(key) => key.lock(NODE, &bytes),
            None => bytes,
        }
    }

    /// The bytes of a file that may be locked.
    ///
    /// # Errors
    /// [`MemberError::Locked`] without the key, [`MemberError::WrongKey`] with another.
    fn open(&self, name: &str, bytes: Vec<u8>) -> Result<Vec<u8>, MemberError> {
        if !UnlockKey::is_locked(&bytes) {
            return Ok(bytes);
        }
        match &*self.held() {
            Some(key) => key.unlock(name, &bytes).ok_or(MemberError::WrongKey),
            None => Err(MemberError::Locked),
        }
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, MemberError> {
        match fs_err::read(self.dir.join(name)) {
            Ok(bytes) => self.open(name, bytes).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether both files can be read. As [`open`](Self::open).
    pub fn check(&self) -> Result<(), MemberError> {
        self.read(NODE)?;
        self.read(LOG).map(drop)
    }

    /// The file of the node's key, opened.
    pub fn open_node(&self, bytes: Vec<u8>) -> Result<Vec<u8>, String> {
        self.open(NODE, bytes).map_err(|error| error.to_string())
    }

    /// The log's key, where its file is there and in order: the log cannot read one that is locked, or is locked while
    /// it runs. Of a file that is not, the log says why.
    pub fn log_key(&self) -> Result<Option<[u8; 32]>, MemberError> {
        let Some(bytes) = self.read(LOG)? else { return Ok(None) };
        let mode = fs_err::metadata(self.dir.join(LOG))?.permissions().mode();
        Ok(bytes.try_into().ok().filter(|_| mode & 0o077 == 0))
    }

    /// Locks both files with another key, or with none; one that is as it should be is left alone.
    pub fn change(&self, key: Option<UnlockKey>) -> Result<(), MemberError> {
        for name in [NODE, LOG] {
            let path = self.dir.join(name);
            let there = match fs_err::read(&path) {
                Ok(there) => there,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error.into()),
            };
            let good = match &key {
                Some(key) => key.unlock(name, &there).is_some(),
                None => !UnlockKey::is_locked(&there),
            };
            if good {
                continue;
            }
            let plain = self.open(name, there)?;
            let bytes = key.as_ref().map_or(plain.clone(), |key| key.lock(name, &plain));
            replace(&path, &bytes)?;
        }
        self.learn(key);
        Ok(())
    }

    /// Keeps the files as the cluster's record wants them; runs until cancelled.
    pub async fn follow(&self, control: Control, cancel: CancellationToken) {
        let mut last = None;
        loop {
            let wanted = control.cluster().ok().and_then(|cluster| cluster.pki.map(|pki| pki.unlock_key));
            if let Some(wanted) = wanted.filter(|wanted| last.as_ref() != Some(wanted)) {
                match self.change(wanted.map(UnlockKey)) {
                    Ok(()) => last = Some(wanted),
                    Err(error) => tracing::error!(%error, "the manager's keys cannot be locked"),
                }
            }
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }
}

/// The new content is whole on the disk before it takes the old one's place.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), MemberError> {
    let partial = path.with_extension("locking");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = fs_err::OpenOptions::from_options(options).open(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs_err::rename(&partial, path)?;
    if let Some(dir) = path.parent() {
        fs_err::File::open(dir)?.sync_all()?;
    }
    Ok(())
}
