//! What a node remembers of the cluster that it is in: enough to find it again.

use std::{io::Write, path::Path};

use hoist_proto::wire::ManagerAddress;
use serde::{Deserialize, Serialize};

use super::MemberError;

const FORMAT: u32 = 1;
const NAME: &str = "node.json";

/// Where this node listens, how others reach it, and whom it knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeFile {
    pub format: u32,
    pub listen: String,
    pub advertise: String,
    pub data_address: String,
    /// Its id in raft, once it has been a manager.
    pub raft_id: Option<u64>,
    pub managers: Vec<Known>,
    /// A saved cluster is being restored here: until that is done there is nothing to come back to.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub restoring: bool,
}

/// A manager.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Known {
    pub node: String,
    pub raft_id: u64,
    pub address: String,
}

impl From<ManagerAddress> for Known {
    fn from(manager: ManagerAddress) -> Self {
        Self { node: manager.node_id, raft_id: manager.raft_id, address: manager.address }
    }
}

impl From<Known> for ManagerAddress {
    fn from(known: Known) -> Self {
        Self { node_id: known.node, raft_id: known.raft_id, address: known.address }
    }
}

impl NodeFile {
    /// Reads it; `None` on a machine that is in no cluster.
    pub fn load(dir: &Path) -> Result<Option<Self>, MemberError> {
        let path = dir.join(NAME);
        let bytes = match fs_err::read(&path) {
            Ok(bytes) => bytes,
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(err) => return Err(err.into()),
        };
        let wrong = |reason: String| MemberError::File { path: path.clone(), reason };
        let file: Self = serde_json::from_slice(&bytes).map_err(|err| wrong(format!("malformed: {err}")))?;
        if file.format != FORMAT {
            return Err(wrong(format!("it has format {}, and this program reads {FORMAT}", file.format)));
        }
        Ok(Some(file))
    }

    /// Writes it, whole or not at all.
    pub fn save(&self, dir: &Path) -> Result<(), MemberError> {
        let file = Self { format: FORMAT, ..self.clone() };
        let bytes = serde_json::to_vec_pretty(&file).expect("texts and numbers are valid JSON");
        fs_err::create_dir_all(dir)?;
        let (path, fresh) = (dir.join(NAME), dir.join("node.json.new"));
        let mut out = fs_err::File::create(&fresh)?;
        out.write_all(&bytes)?;
        out.sync_all()?;
        fs_err::rename(&fresh, &path)?;
        fs_err::File::open(dir)?.sync_all()?;
        Ok(())
    }
}
