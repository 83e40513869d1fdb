//! Stop, kill, restart, pause.

use std::sync::Arc;
use std::time::Duration;

use hoist_runtime::cgroup::{Cgroup, CgroupError, CgroupPath};
use hoist_runtime::supervisor::Request;

use crate::container::{Handle, Record, signal_number, stop_signal};
use crate::inner::Inner;
use crate::io::supervisor;
use crate::model::{Status, StopOptions, Timeout};
use crate::{EngineError, Result};

const GRACE: Duration = Duration::from_secs(10);
const KILL: i32 = 9;
/// How long the end of what was sent SIGKILL is waited for, as Docker does.
const DEATH: Duration = Duration::from_secs(10);

impl Inner {
    pub(crate) async fn stop(self: &Arc<Self>, name: &str, options: &StopOptions) -> Result<()> {
        let handle = self.registry.find(name)?;
        let _op = handle.op.lock().await;
        if handle.status() == Status::Restarting {
            handle.change(true, |cell| {
                cell.care.cancel();
                cell.state.status = Status::Exited;
                cell.state.stopped_by_hand = true;
            })?;
            self.publish(&handle, "stop", &[]);
            return Ok(());
        }
        if !handle.status().is_up() {
            return Err(EngineError::NotModified(name.to_owned()));
        }
        handle.cell().state.stopped_by_hand = true;
        self.stop_locked(&handle, options).await?;
        self.publish(&handle, "stop", &[]);
        Ok(())
    }

    /// Ends a running container and waits for that; the caller holds `op`.
    pub(crate) async fn stop_locked(self: &Arc<Self>, handle: &Arc<Handle>, options: &StopOptions) -> Result<()> {
        let record = handle.record();
        let signal = match options.signal.as_deref().filter(|signal| !signal.is_empty()) {
            Some(signal) => signal_number(signal)?,
            None => stop_signal(&record.effective)?,
        };
        let grace = match options.timeout {
            Some(Timeout::Never) => None,
            Some(Timeout::After(grace)) => Some(grace),
            None => Some(record.effective.stop_timeout.unwrap_or(GRACE)),
        };
        let Some(run) = self.begin_ending(handle)? else { return Ok(()) };
        if handle.status() == Status::Paused {
            // A frozen process hears no signal.
            self.set_frozen(handle, false).await?;
        }
        if !record.spec.pre_stop.is_empty()
            && let Err(error) = self.run_hooks(handle, &record.spec.pre_stop, "pre_stop").await
        {
            tracing::warn!(container = %handle.id, error = %error.message(), "a pre_stop hook failed");
        }
        self.signal(handle, signal).await?;
        let ended = handle.until(|cell| (cell.exits > run).then_some(()));
        match grace {
            None => ended.await,
            Some(grace) => {
                if tokio::time::timeout(grace, ended).await.is_err() {
                    self.signal(handle, KILL).await?;
                    handle.until(|cell| (cell.exits > run).then_some(())).await;
                }
            }
        }
        Ok(())
    }

    /// Marks a running container as one that is being ended; answers how many runs have ended before. `None` when it
    /// has just ended by itself; a restart that was to follow is called off.
    pub(super) fn begin_ending(&self, handle: &Handle) -> Result<Option<u64>> {
        handle.change(false, |cell| {
            if cell.state.status.is_up() {
                cell.stopping = true;
                return Some(cell.exits);
            }
            if cell.state.status == Status::Restarting {
                cell.care.cancel();
                cell.state.status = Status::Exited;
            }
            None
        })
    }

    /// Sends a signal to the first process. One that has just ended is no error.
    pub(crate) async fn signal(&self, handle: &Handle, signal: i32) -> Result<()> {
        let sent = supervisor(&handle.run_dir, &Request::Signal { signal }, &[]).await;
        self.publish(handle, "kill", &[("signal", signal.to_string())]);
        match sent {
            Ok(()) => Ok(()),
            // Whoever waits for the end will see it.
            Err(error) => {
                tracing::debug!(container = %handle.id, %error, "a signal came too late");
                Ok(())
            }
        }
    }

    pub(crate) async fn kill(self: &Arc<Self>, name: &str, signal: Option<&str>) -> Result<()> {
        let handle = self.registry.find(name)?;
        let number = signal.filter(|signal| !signal.is_empty()).map_or(Ok(KILL), signal_number)?;
        let ends = number == KILL || Some(number) == stop_signal(&handle.record().effective).ok();
        let (paused, run) = {
            // All at once: it may be ending by itself, and there is no other end to wait for.
            let mut cell = handle.cell();
            if !cell.state.status.is_up() {
                return Err(EngineError::Conflict(format!("cannot kill container: {name}: container is not running")));
            }
            if ends {
                cell.stopping = true;
                cell.state.stopped_by_hand = true;
            }
            (cell.state.status == Status::Paused, cell.exits)
        };
        self.signal(&handle, number).await?;
        if number != KILL {
            return Ok(());
        }
        if paused {
            self.set_frozen(&handle, false).await?;
        }
        // Nothing outlives this signal, so that its end is waited for: who asks next finds it ended.
        let ended = handle.until(|cell| (cell.exits > run).then_some(()));
        tokio::time::timeout(DEATH, ended).await.map_err(|_| {
            EngineError::Internal(format!(
                "cannot kill container {name}: it was sent SIGKILL and has not ended after {} seconds; a process that \
                 waits for a device or a network file system ends when that answers",
                DEATH.as_secs()
            ))
        })
    }

    pub(crate) async fn restart(self: &Arc<Self>, name: &str, options: &StopOptions) -> Result<()> {
        let handle = self.registry.find(name)?;
        let _op = handle.op.lock().await;
        match handle.status() {
            status if status.is_up() => self.stop_locked(&handle, options).await?,
            Status::Restarting => handle.cell().care.cancel(),
            _ => {}
        }
        self.start_locked(&handle).await?;
        self.publish(&handle, "restart", &[]);
        Ok(())
    }

    pub(crate) async fn pause(&self, name: &str) -> Result<()> {
        let handle = self.registry.find(name)?;
        let _op = handle.op.lock().await;
        match handle.status() {
            Status::Running => {}
            Status::Paused => return Err(EngineError::Conflict(format!("container {name} is already paused"))),
            _ => return Err(EngineError::Conflict(format!("container {name} is not running"))),
        }
        self.set_frozen(&handle, true).await?;
        self.publish(&handle, "pause", &[]);
        Ok(())
    }

    pub(crate) async fn unpause(&self, name: &str) -> Result<()> {
        let handle = self.registry.find(name)?;
        let _op = handle.op.lock().await;
        if handle.status() != Status::Paused {
            return Err(EngineError::Conflict(format!("container {name} is not paused")));
        }
        self.set_frozen(&handle, false).await?;
        self.publish(&handle, "unpause", &[]);
        Ok(())
    }

    pub(crate) async fn set_frozen(&self, handle: &Handle, frozen: bool) -> Result<()> {
        let record: &Record = &handle.record();
        if self.other_runtime(record)?.is_some() {
            let asked = supervisor(&handle.run_dir, &Request::Freeze { frozen }, &[]).await;
            asked.map_err(|error| EngineError::Conflict(format!("container {}: {error}", record.name)))?;
            return handle.change(false, |cell| {
                if cell.state.status.is_up() {
                    cell.state.status = if frozen { Status::Paused } else { Status::Running };
                }
            });
        }
        let path = self.cgroup_path(record);
        let done = tokio::task::spawn_blocking(move || {
            let cgroup = Cgroup::open(&CgroupPath::new(path)?)?;
            if frozen { cgroup.freeze() } else { cgroup.thaw() }
        });
        match done.await.map_err(|error| EngineError::Internal(error.to_string()))? {
            // Its cgroup goes with its last process, a moment before its end is known here.
            Err(CgroupError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                return Err(EngineError::Conflict(format!("container {} is not running", record.name)));
            }
            done => done?,
        }
        handle.change(false, |cell| {
            if cell.state.status.is_up() {
                cell.state.status = if frozen { Status::Paused } else { Status::Running };
            }
        })
    }
}
