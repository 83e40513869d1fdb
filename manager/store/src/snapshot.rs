//! All tables as bytes, for the log's snapshots.

use std::{collections::HashMap, sync::Arc};

use hoist_proto::{
    protocol::Protocol,
    spec::{Task, TaskSpec},
};
use serde::{Deserialize, Serialize};

use crate::{
    DecodeError, Kind, Object, Tables,
    earlier::{self, FirstSnapshot},
    packed,
};

const WHAT: &str = "snapshot";

#[derive(Serialize, Deserialize)]
struct Snapshot {
    /// The index of the last write that is in it.
    index: u64,
    /// All but tasks.
    objects: Vec<Object>,
    /// Definitions of tasks, each once.
    specs: Vec<Arc<TaskSpec>>,
    /// Tasks without their definitions, and which of them each has.
    tasks: Vec<(usize, Arc<Task>)>,
}

/// The tables as they are after the write at `index`: a format version, then compressed JSON.
pub fn encode_snapshot(tables: &Tables, index: u64) -> Vec<u8> {
    let objects = tables.objects().filter(|object| object.kind() != Kind::Task).collect();
    let mut places: HashMap<*const TaskSpec, usize> = HashMap::new();
    let mut specs = Vec::new();
    let empty = Arc::<TaskSpec>::default();
    let task = |task: &Arc<Task>| {
        let place = *places.entry(Arc::as_ptr(&task.spec)).or_insert_with(|| {
            specs.push(task.spec.clone());
            specs.len() - 1
        });
        (place, Arc::new(Task { spec: empty.clone(), ..Task::clone(task) }))
    };
    let tasks = tables.tasks().iter().map(task).collect();
    let snapshot = Snapshot { index, objects, specs, tasks };
    packed::pack(|out| serde_json::to_writer(out, &snapshot).map_err(Into::into))
}

/// The tables and the index back from [`encode_snapshot`], for a program that speaks no more than `spoken`.
pub(crate) fn decode_snapshot(bytes: &[u8], spoken: Protocol) -> Result<(Tables, u64), DecodeError> {
    let (tables, index) = decode(bytes, spoken)?;
    match tables.cluster().map(|cluster| cluster.protocol).filter(|needed| *needed > spoken) {
        Some(needed) => Err(DecodeError::Protocol { what: WHAT, needed, spoken }),
        None => Ok((tables, index)),
    }
}

fn decode(bytes: &[u8], spoken: Protocol) -> Result<(Tables, u64), DecodeError> {
    let malformed = |source| DecodeError::Malformed { what: WHAT, source };
    let mut tables = Tables::default();
    if let Some(json) = packed::first(bytes) {
        let snapshot: FirstSnapshot = serde_json::from_slice(json).map_err(malformed)?;
        for object in snapshot.objects {
            let object = tables.share(earlier::renew(object));
            tables.insert(object);
        }
        return Ok((tables, snapshot.index));
    }
    let json = packed::unpack(bytes, WHAT)?;
    let snapshot: Snapshot = serde_json::from_slice(&json)
        .map_err(|source| earlier::later(WHAT, &json, spoken).unwrap_or(malformed(source)))?;
    for object in snapshot.objects {
        tables.insert(object);
    }
    for (place, mut task) in snapshot.tasks {
        let spec = snapshot.specs.get(place);
        let missing = || malformed(serde::de::Error::custom(format!("task {} has no definition", task.id)));
        let spec = spec.ok_or_else(missing)?.clone();
        Arc::make_mut(&mut task).spec = spec;
        let task = tables.share(Object::Task(task));
        tables.insert(task);
    }
    Ok((tables, snapshot.index))
}
