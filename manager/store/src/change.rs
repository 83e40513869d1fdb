//! What a transaction asks for, and its form in the log.

use serde::{Deserialize, Serialize};

use crate::{DecodeError, Kind, Object};

/// One record put or removed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum Change {
    /// A record that is new or replaces the one with its id.
    Put { object: Object },
    Remove {
        #[serde(rename = "of")]
        kind: Kind,
        id: String,
    },
}

impl Change {
    /// The kind and id of the record it is about.
    pub fn key(&self) -> (Kind, &str) {
        match self {
            Self::Put { object } => (object.kind(), object.id()),
            Self::Remove { kind, id } => (*kind, id),
        }
    }
}

const VERSION: u8 = 1;
const WHAT: &str = "log entry";

/// A list of changes as bytes: a format version, then JSON.
pub fn encode_changes(changes: &[Change]) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    serde_json::to_writer(&mut bytes, changes).expect("records have string keys and memory takes the bytes");
    bytes
}

/// The changes back from [`encode_changes`].
pub fn decode_changes(bytes: &[u8]) -> Result<Vec<Change>, DecodeError> {
    let json = split_version(bytes, WHAT, VERSION)?;
    serde_json::from_slice(json).map_err(|source| DecodeError::Malformed { what: WHAT, source })
}

/// Checks the leading version byte and gives what follows it.
pub(crate) fn split_version<'a>(bytes: &'a [u8], what: &'static str, known: u8) -> Result<&'a [u8], DecodeError> {
    match bytes.split_first() {
        None => Err(DecodeError::Empty { what }),
        Some((&found, _)) if found == 0 || found > known => Err(DecodeError::Version { what, found, known }),
        Some((_, rest)) => Ok(rest),
    }
}
