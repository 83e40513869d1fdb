//! An SSH agent, reached through a socket with an owner and a mode of its own.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};
use tokio::task::AbortHandle;

use crate::Result;

/// Passes connections on to an agent while it lives.
pub(super) struct Forward(AbortHandle);

impl Drop for Forward {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Listens at `socket` for `agent`.
pub(super) fn forward(socket: &Path, agent: PathBuf, uid: u32, gid: u32, mode: u32) -> Result<Forward> {
    let listener = UnixListener::bind(socket)?;
    std::os::unix::fs::chown(socket, Some(uid), Some(gid))?;
    fs_err::set_permissions(socket, std::fs::Permissions::from_mode(mode))?;
    let task = tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        loop {
            let Ok((mut client, _)) = listener.accept().await else { return };
            let agent = agent.clone();
            connections.spawn(async move {
                match UnixStream::connect(&agent).await {
                    Ok(mut agent) => drop(tokio::io::copy_bidirectional(&mut client, &mut agent).await),
                    Err(error) => tracing::debug!(%error, "cannot reach an SSH agent"),
                }
            });
            while connections.try_join_next().is_some() {}
        }
    });
    Ok(Forward(task.abort_handle()))
}
