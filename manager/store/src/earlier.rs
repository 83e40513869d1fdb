//! What earlier programs wrote, the first form of changes and snapshots, which is read and written no more; and what later
//! ones wrote, which is only recognised.

use std::sync::Arc;

use hoist_proto::protocol::Protocol;
use serde::Deserialize;
use serde_json::Value;

use crate::{Change, DecodeError, Kind, Object};

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum First {
    Put {
        object: Object,
    },
    Remove {
        #[serde(rename = "of")]
        kind: Kind,
        id: String,
    },
}

#[derive(Deserialize)]
pub(crate) struct FirstSnapshot {
    pub(crate) index: u64,
    pub(crate) objects: Vec<Object>,
}

/// A list of changes.
pub(crate) fn changes(json: &[u8]) -> serde_json::Result<Vec<Change>> {
    let changes: Vec<First> = serde_json::from_slice(json)?;
    let renewed = changes.into_iter().map(|change| match change {
        First::Put { object } => Change::Put { object: renew(object) },
        First::Remove { kind, id } => Change::Remove { kind, id },
    });
    Ok(renewed.collect())
}

/// A record as this program writes it.
pub(crate) fn renew(mut object: Object) -> Object {
    if let Object::Task(task) = &mut object {
        Arc::make_mut(task).renew();
    }
    object
}

/// Why JSON that this program cannot read is none of its own: the cluster's record in it names a version that is not spoken.
pub(crate) fn later(what: &'static str, json: &[u8], spoken: Protocol) -> Option<DecodeError> {
    fn named(value: &Value) -> Option<u32> {
        if value["kind"] == "cluster" {
            return value["record"]["protocol"].as_u64().and_then(|number| number.try_into().ok());
        }
        match value {
            Value::Array(items) => items.iter().find_map(named),
            Value::Object(fields) => fields.values().find_map(named),
            _ => None,
        }
    }
    let needed = Protocol::new(named(&serde_json::from_slice(json).ok()?)?);
    (needed > spoken).then_some(DecodeError::Protocol { what, needed, spoken })
}
