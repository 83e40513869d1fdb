//! Connecting to a container's first process.

use std::os::fd::AsFd;

use hoist_runtime::supervisor::{Request, Size, Streams};
use tokio::net::UnixStream;

use crate::inner::Inner;
use crate::io::supervisor;
use crate::model::{AttachOptions, Status, TerminalSize};
use crate::streams::Attached;
use crate::{EngineError, Result};

impl Inner {
    /// `running` says that a start is not waited for.
    pub(crate) async fn attach(&self, name: &str, options: AttachOptions, running: bool) -> Result<Attached> {
        let handle = self.registry.find(name)?;
        let record = handle.record();
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let attached =
            Attached::over(UnixStream::from_std(ours)?, options.stdin && record.spec.open_stdin, record.spec.tty);
        let wants = Streams { stdin: options.stdin, stdout: options.stdout, stderr: options.stderr };
        {
            let mut cell = handle.cell();
            match cell.state.status {
                Status::Running => {}
                Status::Paused => {
                    return Err(EngineError::Conflict(format!(
                        "container {name} is paused, unpause the container before attach"
                    )));
                }
                Status::Removing | Status::Dead => {
                    return Err(EngineError::Conflict(format!("container {name} is being removed")));
                }
                _ if running => return Err(EngineError::Conflict(format!("container {name} is not running"))),
                // Connected by the start, before the command runs.
                Status::Created | Status::Exited | Status::Restarting => {
                    cell.attached.push((theirs.into(), wants));
                    drop(cell);
                    self.publish(&handle, "attach", &[]);
                    return Ok(attached);
                }
            }
        }
        supervisor(&handle.run_dir, &Request::Attach(wants), &[theirs.as_fd()]).await?;
        self.publish(&handle, "attach", &[]);
        Ok(attached)
    }

    /// Tells that a client left the streams of a container that goes on.
    pub(crate) fn detached(&self, name: &str) {
        if let Ok(handle) = self.registry.find(name) {
            self.publish(&handle, "detach", &[]);
        }
    }

    pub(crate) async fn resize(&self, name: &str, size: TerminalSize) -> Result<()> {
        let handle = self.registry.find(name)?;
        let size = Size { rows: size.rows, columns: size.columns };
        handle.cell().size = Some(size);
        if !handle.status().is_up() {
            // The start will use it.
            return Ok(());
        }
        supervisor(&handle.run_dir, &Request::Resize(size), &[]).await?;
        let sizes = [("height", size.rows.to_string()), ("width", size.columns.to_string())];
        self.publish(&handle, "resize", &sizes);
        Ok(())
    }
}
