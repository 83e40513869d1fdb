//! Loading a filter, and handing its notification descriptor to a listener.

use std::io::{self, IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use oci_spec::runtime::State;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

use super::Filter;
use crate::sys;

/// Loads `filter` for this process. Returns the notification descriptor if the filter has that action.
pub(crate) fn load(filter: &Filter) -> io::Result<Option<OwnedFd>> {
    sys::seccomp(filter.flags, &filter.program)
}

/// Sends the notification descriptor to the socket of a listener, with what it is told about the container
/// (config-linux.md, "The Container Process State").
pub(crate) fn send_listener(
    path: &Path,
    version: &str,
    pid: i32,
    metadata: Option<&str>,
    state: &State,
    listener: BorrowedFd<'_>,
) -> io::Result<()> {
    let mut told = serde_json::json!({ "ociVersion": version, "fds": ["seccompFd"], "pid": pid, "state": state });
    if let Some(metadata) = metadata {
        told["metadata"] = metadata.into();
    }
    let text = told.to_string();
    let socket = UnixStream::connect(path)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [listener];
    control.push(SendAncillaryMessage::ScmRights(&fds));
    let sent = rustix::net::sendmsg(&socket, &[IoSlice::new(text.as_bytes())], &mut control, SendFlags::NOSIGNAL)?;
    (&socket).write_all(&text.as_bytes()[sent..])
}
