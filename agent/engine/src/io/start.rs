//! The zygote, kept running.

use std::io;
use std::os::fd::BorrowedFd;

use hoist_proto::spec::Security;
use hoist_runtime::supervisor::{StartRequest, Zygote};
use tokio::io::unix::AsyncFd;
use tokio::sync::Mutex;

use crate::spec::{capabilities, seccomp};

/// A zygote that knows the filter of a container that asks for nothing special.
fn spawn() -> io::Result<AsyncFd<Zygote>> {
    let plain = Security::default();
    let filter = capabilities(&plain).and_then(|caps| seccomp(&plain.seccomp, plain.privileged, &caps));
    crate::io::watched(Zygote::spawn(filter.ok().flatten().into_iter().collect())?)
}

/// Has supervisors started; starts another zygote when the one has died.
pub(crate) struct Starter {
    zygote: Mutex<Option<AsyncFd<Zygote>>>,
}

impl Starter {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { zygote: Mutex::new(Some(spawn()?)) })
    }

    pub(crate) async fn start(&self, request: &StartRequest, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut slot = self.zygote.lock().await;
        for attempt in 0.. {
            if slot.is_none() {
                *slot = Some(spawn()?);
            }
            let Some(zygote) = slot.as_ref() else { continue };
            match Self::send(zygote, request, fds).await {
                Ok(()) => return Ok(()),
                Err(error) if attempt == 0 => {
                    tracing::warn!(%error, "the zygote has gone; starting another");
                    *slot = None;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn send(zygote: &AsyncFd<Zygote>, request: &StartRequest, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        loop {
            let mut ready = zygote.writable().await?;
            match ready.try_io(|zygote| zygote.get_ref().start(request, fds)) {
                Ok(result) => return result,
                Err(_) => continue,
            }
        }
    }
}
