//! The zygote, kept running.

use std::io;
use std::os::fd::BorrowedFd;

use hoist_runtime::supervisor::{StartRequest, Zygote};
use tokio::io::unix::AsyncFd;
use tokio::sync::Mutex;

/// Has supervisors started; starts another zygote when the one has died.
pub(crate) struct Starter {
    zygote: Mutex<Option<AsyncFd<Zygote>>>,
}

impl Starter {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { zygote: Mutex::new(Some(crate::io::watched(Zygote::spawn()?)?)) })
    }

    pub(crate) async fn start(&self, request: &StartRequest, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut slot = self.zygote.lock().await;
        for attempt in 0.. {
            if slot.is_none() {
                *slot = Some(crate::io::watched(Zygote::spawn()?)?);
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
