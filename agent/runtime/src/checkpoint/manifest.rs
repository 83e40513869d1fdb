//! What is kept beside CRIU's images: the names under which it was told of what is not the container's own.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

const FILE: &str = "hoist-checkpoint.json";
const VERSION: u32 = 1;

/// What a dump has named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub version: u32,
    /// The inodes of the pipes that were stdin, stdout and stderr.
    pub streams: [Option<u64>; 3],
    /// Mount points whose source is on the host, with the names that CRIU knows them by.
    pub mounts: Vec<External>,
    /// The network namespace was named.
    pub network: bool,
}

/// A mount whose source is on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct External {
    pub key: String,
    /// As the container sees it.
    pub target: String,
}

impl Manifest {
    pub(super) fn new(streams: [Option<u64>; 3], mounts: Vec<External>, network: bool) -> Self {
        Self { version: VERSION, streams, mounts, network }
    }

    pub(super) fn write(&self, images: &Path) -> io::Result<()> {
        std::fs::write(images.join(FILE), serde_json::to_vec(self)?)
    }

    pub(super) fn read(images: &Path) -> io::Result<Self> {
        let manifest: Self = serde_json::from_slice(&std::fs::read(images.join(FILE))?)?;
        if manifest.version == VERSION {
            return Ok(manifest);
        }
        let why = format!("it was written in form {}, and form {VERSION} can be read", manifest.version);
        Err(io::Error::new(io::ErrorKind::InvalidData, why))
    }
}

/// Whether a directory holds a checkpoint of ours.
#[must_use]
pub fn is_checkpoint(images: &Path) -> bool {
    images.join(FILE).is_file()
}
