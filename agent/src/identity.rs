//! Who this node is, for ever.

use std::{
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use hoist_proto::id::NodeId;

/// Why the node's id cannot be read or made.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error(transparent)]
    File(#[from] std::io::Error),
    #[error("{} does not hold a node's id", .path.display())]
    Malformed { path: PathBuf },
}

/// Reads the node's id from the data root; makes one the first time.
pub fn node_id(data_root: &Path) -> Result<NodeId, IdentityError> {
    let dir = data_root.join("agent");
    let path = dir.join("node-id");
    match fs_err::read_to_string(&path) {
        Ok(text) => text.trim().parse().map_err(|_| IdentityError::Malformed { path }),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let id = NodeId::random();
            write(&path, id.as_str().as_bytes())?;
            Ok(id)
        }
        Err(error) => Err(error.into()),
    }
}

/// Gives the node another id: the one by which a cluster knows it.
pub fn set_node_id(data_root: &Path, id: &NodeId) -> Result<(), IdentityError> {
    Ok(write(&data_root.join("agent").join("node-id"), id.as_str().as_bytes())?)
}

/// The node has left its cluster, so that what it had to do there is to go: whoever gives orders next says what stays.
pub fn forget_cluster(data_root: &Path) -> Result<(), IdentityError> {
    let path = data_root.join("agent").join("assignments.json");
    let bytes = match fs_err::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    // What cannot be read is as none.
    let Ok(serde_json::Value::Object(mut known)) = serde_json::from_slice(&bytes) else { return Ok(()) };
    known.remove("cluster");
    Ok(write(&path, serde_json::Value::Object(known).to_string().as_bytes())?)
}

/// Writes a file whole or not at all.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let dir = path.parent().expect("the agent's files lie below its data root");
    fs_err::create_dir_all(dir)?;
    let partial = path.with_extension("tmp");
    let mut file = fs_err::File::create(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs_err::rename(&partial, path)?;
    fs_err::File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_keeps_its_id() {
        let dir = tempfile::tempdir().unwrap();
        let id = node_id(dir.path()).unwrap();
        assert_eq!(node_id(dir.path()).unwrap(), id);
        fs_err::write(dir.path().join("agent/node-id"), "half").unwrap();
        assert!(matches!(node_id(dir.path()), Err(IdentityError::Malformed { .. })));
    }
}
