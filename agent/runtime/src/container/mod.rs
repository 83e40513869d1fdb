//! Containers as the OCI runtime specification has them: created, started, signalled, deleted, with their state
//! on disk between the calls. What `hoist oci` does; the engine launches without it.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use oci_spec::runtime::{ContainerState, LinuxResources, Spec};

use crate::cgroup::{Cgroup, CgroupError, CgroupPath};
use crate::launch::LaunchError;
use crate::sys;

mod config;
mod create;
mod exec;
pub(crate) mod foreground;
mod record;

pub(crate) use config::load as load_spec;
pub(crate) use create::CreateOptions;
pub(crate) use exec::ExecOptions;
pub(crate) use record::{Record, Status};

/// Why an operation on a container failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No container of this id.
    #[error("container {0:?} does not exist")]
    NotFound(String),
    /// The id is taken.
    #[error("container {0:?} exists already")]
    Exists(String),
    /// An id that cannot be the name of a directory.
    #[error("invalid container id {0:?}: only letters, digits and _ + - . are allowed")]
    Id(String),
    /// The operation does not go with the container's state.
    #[error("cannot {operation} container {id:?}: it is {status}")]
    Status {
        /// What was asked for.
        operation: &'static str,
        /// The container.
        id: String,
        /// What it is now.
        status: Status,
    },
    /// A wrong argument.
    #[error("{0}")]
    Usage(String),
    /// The configuration cannot be read.
    #[error("{path}")]
    Config {
        /// The file.
        path: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A file cannot be read or written, or a system call failed.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The container's process could not be started.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// A cgroup operation failed.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
}

/// Turns an I/O error into an [`Error`] that says what was tried.
pub(crate) fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
    let what = what.into();
    |source| Error::Io { what, source }
}

/// The containers whose states are under one directory.
#[derive(Debug, Clone)]
pub struct Runtime {
    root: PathBuf,
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "containers in {}", self.root.display())
    }
}

/// Understands the text of a `config.json` and decides what its container would be, without making anything. Never
/// panics, whatever the text is.
///
/// # Errors
/// When the text is no spec, or a spec that cannot be honoured.
pub fn check_config(text: &[u8]) -> Result<(), Error> {
    let config = |source| Error::Config { path: "config.json".into(), source };
    let spec = config::parse(text).map_err(config)?;
    let plan = crate::launch::plan::Plan::new(&spec, Path::new("/bundle"))?;
    cgroup_path(&spec, "id")?;
    if let Some(resources) = &plan.resources {
        // Some limits are of one kind of host only.
        crate::cgroup::check(resources, true).or_else(|_| crate::cgroup::check(resources, false))?;
    }
    Ok(())
}

/// Checks that an id can be the name of a directory.
fn check_id(id: &str) -> Result<(), Error> {
    let fine = !id.is_empty()
        && id.len() <= 255
        && id != "."
        && id != ".."
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte));
    if fine { Ok(()) } else { Err(Error::Id(id.to_owned())) }
}

impl Runtime {
    /// Keeps states under `root`, which is made when the first container is.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn directory(&self, id: &str) -> Result<PathBuf, Error> {
        check_id(id)?;
        Ok(self.root.join(id))
    }

    /// The record of a container.
    pub(crate) fn record(&self, id: &str) -> Result<Record, Error> {
        Record::read(&self.directory(id)?, id)
    }

    /// The state of a container, as the specification prints it.
    pub fn state(&self, id: &str) -> Result<serde_json::Value, Error> {
        let record = self.record(id)?;
        Ok(record.state_json(record.status()))
    }

    /// All containers, in the order of their ids.
    pub(crate) fn list(&self) -> Result<Vec<Record>, Error> {
        let entries = match std::fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io_error(format!("read {}", self.root.display()))(error)),
        };
        let mut ids: Vec<String> = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        ids.sort();
        // One that is being deleted meanwhile, or created, is not in the list.
        Ok(ids.iter().filter_map(|id| self.record(id).ok()).collect())
    }

    /// Sends a signal to the container's first process, or with `all` to all of its processes.
    pub fn kill(&self, id: &str, signal: i32, all: bool) -> Result<(), Error> {
        let record = self.record(id)?;
        let status = record.status();
        if all {
            return Ok(record.cgroup()?.kill_all(signal)?);
        }
        if status == Status::Stopped {
            return Err(Error::Status { operation: "kill", id: id.to_owned(), status });
        }
        let pidfd = record.pidfd()?;
        sys::pidfd_send_signal(pidfd.as_fd(), signal)
            .map_err(io_error(format!("send signal {signal} to container {id}")))?;
        // A frozen process cannot die.
        if status == Status::Paused && signal == libc::SIGKILL {
            record.cgroup()?.thaw()?;
        }
        Ok(())
    }

    /// Removes a stopped container and what belongs to it. With `force`, kills it first, and finds nothing wrong
    /// with one that does not exist.
    pub fn delete(&self, id: &str, force: bool) -> Result<Vec<String>, Error> {
        let record = match self.record(id) {
            Err(Error::NotFound(_)) if force => {
                // What a crash has left of a creation.
                let _ = std::fs::remove_dir_all(self.directory(id)?);
                return Ok(Vec::new());
            }
            other => other?,
        };
        let status = record.status();
        match status {
            Status::Stopped => {}
            _ if force || status == Status::Created => {
                if let Ok(pidfd) = record.pidfd() {
                    let _ = sys::pidfd_send_signal(pidfd.as_fd(), libc::SIGKILL);
                    if status == Status::Paused {
                        let _ = record.cgroup().and_then(|cgroup| Ok(cgroup.thaw()?));
                    }
                    wait_gone(&pidfd, id)?;
                }
            }
            _ => return Err(Error::Status { operation: "delete", id: id.to_owned(), status }),
        }
        self.destroy(&record)
    }

    /// Takes away what a container had, when its first process is gone. Returns the warnings.
    fn destroy(&self, record: &Record) -> Result<Vec<String>, Error> {
        if let Ok(cgroup) = record.cgroup() {
            // Without a pid namespace other processes may have outlived the first.
            cgroup.kill_all(libc::SIGKILL)?;
            cgroup.delete()?;
        }
        let dir = self.directory(&record.id)?;
        let mut warnings = Vec::new();
        if let Some(hooks) = record.spec(&dir).ok().and_then(|spec| spec.hooks().clone()) {
            let state = record.oci_state(ContainerState::Stopped);
            for hook in hooks.poststop().iter().flatten() {
                if let Err(error) = crate::hooks::run("poststop", std::slice::from_ref(hook), &state) {
                    warnings.push(error.to_string());
                }
            }
        }
        std::fs::remove_dir_all(&dir).map_err(io_error(format!("remove {}", dir.display())))?;
        Ok(warnings)
    }

    /// Stops all processes of a running container where they are.
    pub fn pause(&self, id: &str) -> Result<(), Error> {
        let record = self.record(id)?;
        match record.status() {
            Status::Running | Status::Created => Ok(record.cgroup()?.freeze()?),
            status => Err(Error::Status { operation: "pause", id: id.to_owned(), status }),
        }
    }

    /// Lets a paused container go on.
    pub fn resume(&self, id: &str) -> Result<(), Error> {
        let record = self.record(id)?;
        match record.status() {
            Status::Paused => Ok(record.cgroup()?.thaw()?),
            status => Err(Error::Status { operation: "resume", id: id.to_owned(), status }),
        }
    }

    /// Changes the limits of a container.
    pub fn update(&self, id: &str, resources: &LinuxResources) -> Result<(), Error> {
        let record = self.record(id)?;
        match record.status() {
            Status::Stopped => Err(Error::Status { operation: "update", id: id.to_owned(), status: Status::Stopped }),
            _ => Ok(record.cgroup()?.apply(resources)?),
        }
    }

    /// The container's processes, as the host numbers them.
    pub fn processes(&self, id: &str) -> Result<Vec<i32>, Error> {
        Ok(self.record(id)?.cgroup()?.procs()?)
    }

    /// The cgroup of a container that is not stopped.
    pub(crate) fn live_cgroup(&self, id: &str) -> Result<Cgroup, Error> {
        let record = self.record(id)?;
        match record.status() {
            Status::Stopped => Err(Error::Status { operation: "watch", id: id.to_owned(), status: Status::Stopped }),
            _ => record.cgroup(),
        }
    }

    /// The spec that a container was created with.
    pub(crate) fn spec(&self, record: &Record) -> Result<Spec, Error> {
        record.spec(&self.directory(&record.id)?)
    }
}

/// Waits until a process that was killed is gone.
fn wait_gone(pidfd: &OwnedFd, id: &str) -> Result<(), Error> {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let time = rustix::time::Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        let mut fds = [rustix::event::PollFd::new(pidfd, rustix::event::PollFlags::IN)];
        match rustix::event::poll(&mut fds, Some(&time)) {
            Ok(0) => return Err(io_error(format!("wait for container {id} to end"))(io::ErrorKind::TimedOut.into())),
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(io_error(format!("wait for container {id} to end"))(error.into())),
        }
    }
}

/// Where a spec's container belongs: `cgroupsPath`, or a place under our own parent.
fn cgroup_path(spec: &Spec, id: &str) -> Result<CgroupPath, Error> {
    let wanted = spec.linux().as_ref().and_then(|linux| linux.cgroups_path().as_deref());
    let path = match wanted {
        None => CgroupPath::for_container(id)?,
        Some(path) if path.as_os_str().is_empty() => CgroupPath::for_container(id)?,
        Some(path) if path.to_str().is_some_and(|path| path.matches(':').count() == 2 && !path.contains('/')) => {
            return Err(Error::Usage(format!(
                "linux.cgroupsPath {path:?} is one of systemd's, and cgroups are not made through systemd"
            )));
        }
        // A relative path is relative to a place of the runtime's choice (config-linux.md, "Cgroups Path").
        Some(path) if path.is_relative() => CgroupPath::new(Path::new(crate::cgroup::DEFAULT_PARENT).join(path))?,
        Some(path) => CgroupPath::new(path)?,
    };
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_names_of_directories() {
        for good in ["a", "web-1", "a.b_c+d"] {
            check_id(good).unwrap();
        }
        for bad in ["", ".", "..", "a/b", "a b", "ü", "a\n"] {
            assert!(check_id(bad).is_err(), "{bad:?}");
        }
    }
}
