//! What a transaction asks for, and its form in the log.

use std::sync::Arc;

use hoist_proto::{
    clock::Timestamp,
    id::TaskId,
    protocol::Protocol,
    spec::{Task, TaskStatus},
};
use serde::{Deserialize, Serialize};

use crate::{DecodeError, Kind, Object, earlier, earlier::later, packed};

/// One record put or removed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// A record that is new or replaces the one with its id.
    Put { object: Object },
    /// A task whose definition is that of the one with its id, which is not said again: most changes are of what a task
    /// is at, and most of a task is its definition.
    Move { task: Arc<Task> },
    /// A task of which nothing but the status is another: what its agent says.
    Status { task: TaskId, updated: Timestamp, status: Box<TaskStatus> },
    Remove {
        #[serde(rename = "of")]
        kind: Kind,
        id: String,
    },
}

impl Change {
    /// The change that brings a record about, when `before` is there.
    pub(crate) fn put(object: Object, before: Option<&Object>, protocol: Protocol) -> Self {
        match (&object, before) {
            (Object::Task(task), Some(Object::Task(before)))
                if protocol >= Protocol::STATUS_ALONE && is_status_alone(task, before) =>
            {
                let status = Box::new(task.status.clone());
                Self::Status { task: task.id.clone(), updated: task.meta.updated, status }
            }
            (Object::Task(task), Some(Object::Task(before))) if Arc::ptr_eq(&task.spec, &before.spec) => {
                Self::Move { task: Arc::new(Task { spec: Arc::default(), ..Task::clone(task) }) }
            }
            _ => Self::Put { object },
        }
    }

    /// The version that whoever reads it has to speak.
    fn needs(&self) -> Protocol {
        match self {
            Self::Put { object: Object::Cluster(cluster) } => cluster.protocol,
            Self::Status { .. } => Protocol::STATUS_ALONE,
            Self::Put { .. } | Self::Move { .. } | Self::Remove { .. } => Protocol::FIRST,
        }
    }

    /// The kind and id of the record it is about.
    pub fn key(&self) -> (Kind, &str) {
        match self {
            Self::Put { object } => (object.kind(), object.id()),
            Self::Move { task } => (Kind::Task, task.id.as_str()),
            Self::Status { task, .. } => (Kind::Task, task.as_str()),
            Self::Remove { kind, id } => (*kind, id),
        }
    }
}

/// Whether two records of a task differ in no more than what its agent says, and when.
fn is_status_alone(task: &Task, before: &Task) -> bool {
    // Taken apart, so that a field that comes later is not forgotten here.
    let Task {
        id: _,
        meta: _,
        service,
        service_name,
        project,
        slot,
        node,
        name,
        spec,
        spec_hash,
        desired,
        status: _,
        start_after,
        restarts,
        started_with,
        addresses,
        devices,
        signal,
        checkpoint_on_stop,
    } = task;
    Arc::ptr_eq(spec, &before.spec)
        && *desired == before.desired
        && *node == before.node
        && *slot == before.slot
        && *start_after == before.start_after
        && *restarts == before.restarts
        && *signal == before.signal
        && *checkpoint_on_stop == before.checkpoint_on_stop
        && *addresses == before.addresses
        && *devices == before.devices
        && *spec_hash == before.spec_hash
        && *name == before.name
        && *service == before.service
        && *service_name == before.service_name
        && *project == before.project
        && *started_with == before.started_with
}

const WHAT: &str = "log entry";
/// Less is not worth the work of compressing it.
const SMALL: usize = 4 << 10;

/// A list of changes as bytes: a format version, then JSON, compressed where it is large.
pub fn encode_changes(changes: &[Change]) -> Vec<u8> {
    let json = serde_json::to_vec(changes).expect("records have string keys and memory takes the bytes");
    if json.len() < SMALL { packed::plain(&json) } else { packed::pack(|out| out.write_all(&json)) }
}

/// The changes back from [`encode_changes`], for a program that speaks no more than `spoken`.
///
/// # Errors
/// What cannot be read, and what a later program wrote: a manager that passed over it would have other tables than the rest.
pub fn decode_changes(bytes: &[u8], spoken: Protocol) -> Result<Vec<Change>, DecodeError> {
    let malformed = |source| DecodeError::Malformed { what: WHAT, source };
    let changes = if let Some(json) = packed::first(bytes) {
        earlier::changes(json).map_err(malformed)?
    } else {
        let json = packed::unpack(bytes, WHAT)?;
        serde_json::from_slice(&json).map_err(|source| later(WHAT, &json, spoken).unwrap_or(malformed(source)))?
    };
    let needed = changes.iter().map(Change::needs).max().unwrap_or_default();
    if needed > spoken { Err(DecodeError::Protocol { what: WHAT, needed, spoken }) } else { Ok(changes) }
}
