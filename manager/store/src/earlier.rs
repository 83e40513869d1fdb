//! What earlier programs wrote: the first form of changes and snapshots, which is read and written no more.

use std::sync::Arc;

use serde::Deserialize;

use crate::{Change, Kind, Object};

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
