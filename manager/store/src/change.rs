//! What a transaction asks for, and its form in the log.

use std::sync::Arc;

use hoist_proto::spec::Task;
use serde::{Deserialize, Serialize};

use crate::{DecodeError, Kind, Object, earlier, packed};

/// One record put or removed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// A record that is new or replaces the one with its id.
    Put { object: Object },
    /// A task whose definition is that of the one with its id, which is not said again: most changes are of what a task
    /// is at, and most of a task is its definition.
    Move { task: Arc<Task> },
    Remove {
        #[serde(rename = "of")]
        kind: Kind,
        id: String,
    },
}

impl Change {
    /// The change that brings a record about, when `before` is there.
    pub(crate) fn put(object: Object, before: Option<&Object>) -> Self {
        match (&object, before) {
            (Object::Task(task), Some(Object::Task(before))) if Arc::ptr_eq(&task.spec, &before.spec) => {
                Self::Move { task: Arc::new(Task { spec: Arc::default(), ..Task::clone(task) }) }
            }
            _ => Self::Put { object },
        }
    }

    /// The kind and id of the record it is about.
    pub fn key(&self) -> (Kind, &str) {
        match self {
            Self::Put { object } => (object.kind(), object.id()),
            Self::Move { task } => (Kind::Task, task.id.as_str()),
            Self::Remove { kind, id } => (*kind, id),
        }
    }
}

const WHAT: &str = "log entry";
/// Less is not worth the work of compressing it.
const SMALL: usize = 4 << 10;

/// A list of changes as bytes: a format version, then JSON, compressed where it is large.
pub fn encode_changes(changes: &[Change]) -> Vec<u8> {
    let json = serde_json::to_vec(changes).expect("records have string keys and memory takes the bytes");
    if json.len() < SMALL { packed::plain(&json) } else { packed::pack(|out| out.write_all(&json)) }
}

/// The changes back from [`encode_changes`].
pub fn decode_changes(bytes: &[u8]) -> Result<Vec<Change>, DecodeError> {
    let malformed = |source| DecodeError::Malformed { what: WHAT, source };
    if let Some(json) = packed::first(bytes) {
        return earlier::changes(json).map_err(malformed);
    }
    serde_json::from_slice(&packed::unpack(bytes, WHAT)?).map_err(malformed)
}
