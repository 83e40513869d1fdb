//! What is kept on disk about a container between two calls.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{ContainerState, Spec, State, StateBuilder};
use serde::{Deserialize, Serialize};

use super::{Error, io_error};
use crate::cgroup::{Cgroup, CgroupPath};
use crate::sys;

/// The record itself.
const RECORD: &str = "state.json";
/// The spec as it was at the creation; later changes in the bundle have no effect.
const SPEC: &str = "config.json";
/// The socket at which the container waits to be started; gone once it was.
pub(super) const START: &str = "start.sock";

/// What a container is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Made, its command not yet executed.
    Created,
    /// Its command runs.
    Running,
    /// Its processes are frozen.
    Paused,
    /// Its first process is gone.
    Stopped,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        })
    }
}

/// What is known of a container.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    /// Of this file's format.
    pub format: u32,
    pub oci_version: String,
    pub id: String,
    pub pid: i32,
    /// When the first process began, in the kernel's clock ticks: with its number it names one process for ever.
    pub start_time: u64,
    pub bundle: PathBuf,
    pub rootfs: PathBuf,
    pub created: String,
    pub owner: String,
    pub cgroup: String,
    /// For a process that waits to be started: where.
    #[serde(default)]
    pub directory: PathBuf,
    #[serde(default)]
    pub annotations: std::collections::HashMap<String, String>,
}

const FORMAT: u32 = 1;

impl Record {
    pub(super) fn new(id: &str, spec: &Spec, bundle: &Path, rootfs: &Path, cgroup: &CgroupPath, pid: i32) -> Self {
        Self {
            format: FORMAT,
            oci_version: spec.version().clone(),
            id: id.to_owned(),
            pid,
            start_time: process_start(pid).unwrap_or(0),
            bundle: bundle.to_owned(),
            rootfs: rootfs.to_owned(),
            created: jiff::Timestamp::now().to_string(),
            owner: if rustix::process::getuid().is_root() {
                "root".into()
            } else {
                rustix::process::getuid().as_raw().to_string()
            },
            cgroup: cgroup.to_string(),
            directory: PathBuf::new(),
            annotations: spec.annotations().clone().unwrap_or_default(),
        }
    }

    pub(super) fn read(dir: &Path, id: &str) -> Result<Self, Error> {
        let file = dir.join(RECORD);
        let text = match std::fs::read(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Error::NotFound(id.to_owned())),
            other => other.map_err(io_error(format!("read {}", file.display())))?,
        };
        let config = |source| Error::Config { path: file.display().to_string(), source };
        let mut record: Self = serde_json::from_slice(&text).map_err(config)?;
        record.directory = dir.to_owned();
        Ok(record)
    }

    /// Writes record and spec, the record last and as a whole.
    pub(super) fn write(&self, dir: &Path, spec: &Spec) -> Result<(), Error> {
        let plain = "records and specs are plain data";
        put(&dir.join(SPEC), &serde_json::to_vec(spec).expect(plain))?;
        put(&dir.join(RECORD), &serde_json::to_vec(self).expect(plain))
    }

    pub(super) fn spec(&self, dir: &Path) -> Result<Spec, Error> {
        super::config::load(&dir.join(SPEC))
    }

    /// What the container is doing now.
    pub(crate) fn status(&self) -> Status {
        if process_start(self.pid) != Some(self.start_time) {
            return Status::Stopped;
        }
        if self.cgroup().is_ok_and(|cgroup| cgroup.is_frozen().unwrap_or(false)) {
            return Status::Paused;
        }
        if self.directory.join(START).exists() { Status::Created } else { Status::Running }
    }

    pub(crate) fn cgroup(&self) -> Result<Cgroup, Error> {
        Ok(Cgroup::open(&self.cgroup_path()?)?)
    }

    pub(crate) fn cgroup_path(&self) -> Result<CgroupPath, Error> {
        Ok(CgroupPath::new(&self.cgroup)?)
    }

    /// A descriptor of the first process; fails if it is gone.
    pub(crate) fn pidfd(&self) -> Result<OwnedFd, Error> {
        let gone = || io_error(format!("reach process {}", self.pid))(io::Error::from_raw_os_error(libc::ESRCH));
        let fd = sys::pidfd_open(self.pid).map_err(io_error(format!("reach process {}", self.pid)))?;
        // The number may have been given to another process before it was opened.
        if process_start(self.pid) == Some(self.start_time) { Ok(fd) } else { Err(gone()) }
    }

    /// The state that hooks are told.
    pub(super) fn oci_state(&self, status: ContainerState) -> State {
        StateBuilder::default()
            .version(self.oci_version.clone())
            .id(self.id.clone())
            .status(status)
            .pid(if status == ContainerState::Stopped { 0 } else { self.pid })
            .bundle(self.bundle.clone())
            .annotations(self.annotations.clone())
            .build()
            .expect("all fields are set")
    }

    /// The state that the command line prints: the specification's, and what callers of runtimes are used to.
    pub(crate) fn state_json(&self, status: Status) -> serde_json::Value {
        serde_json::json!({
            "ociVersion": self.oci_version,
            "id": self.id,
            "pid": if status == Status::Stopped { 0 } else { self.pid },
            "status": status.to_string(),
            "bundle": self.bundle,
            "rootfs": self.rootfs,
            "created": self.created,
            "annotations": self.annotations,
            "owner": self.owner,
        })
    }
}

/// Writes a file so that a reader sees the old content or the new one.
pub(super) fn put(file: &Path, content: &[u8]) -> Result<(), Error> {
    let temporary = file.with_extension("tmp");
    // States live on a file system that does not outlive the machine's uptime, as the processes do not: nothing is
    // gained by waiting for a disk.
    std::fs::write(&temporary, content).map_err(io_error(format!("write {}", temporary.display())))?;
    std::fs::rename(&temporary, file).map_err(io_error(format!("write {}", file.display())))
}

/// When a process began, in clock ticks since the boot; `None` if there is none of this number, or only its remains.
fn process_start(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may have anything in it, parentheses too.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    match fields.next()? {
        "Z" | "X" => None,
        _ => fields.nth(18)?.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_began_once() {
        let pid = std::process::id().cast_signed();
        assert!(process_start(pid).is_some_and(|start| start > 0));
        assert_eq!(process_start(pid), process_start(pid));
        assert_eq!(process_start(i32::MAX), None);
    }
}
