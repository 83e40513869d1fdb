//! All tables as bytes, for the log's snapshots.

use serde::{Deserialize, Serialize};

use crate::{DecodeError, Object, Tables, packed};

const WHAT: &str = "snapshot";

#[derive(Serialize, Deserialize)]
struct Snapshot {
    /// The index of the last write that is in it.
    index: u64,
    objects: Vec<Object>,
}

/// The tables as they are after the write at `index`: a format version, then compressed JSON.
pub fn encode_snapshot(tables: &Tables, index: u64) -> Vec<u8> {
    let snapshot = Snapshot { index, objects: tables.objects().collect() };
    packed::pack(|out| serde_json::to_writer(out, &snapshot).map_err(Into::into))
}

/// The tables and the index back from [`encode_snapshot`].
pub(crate) fn decode_snapshot(bytes: &[u8]) -> Result<(Tables, u64), DecodeError> {
    let json = packed::unpack(bytes, WHAT)?;
    let snapshot: Snapshot =
        serde_json::from_slice(&json).map_err(|source| DecodeError::Malformed { what: WHAT, source })?;
    let mut tables = Tables::default();
    for object in snapshot.objects {
        let object = tables.share(object);
        tables.insert(object);
    }
    Ok((tables, snapshot.index))
}
