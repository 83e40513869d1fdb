//! The word to stop.

use std::sync::Arc;

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Notify,
};
use tokio_util::sync::CancellationToken;

use super::DaemonError;

/// A token that is cancelled by SIGTERM, SIGINT or SIGQUIT; SIGHUP wakes who waits for it.
pub fn stop_token(hangups: Arc<Notify>) -> Result<CancellationToken, DaemonError> {
    let token = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).map_err(DaemonError::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(DaemonError::Runtime)?;
    let mut quit = signal(SignalKind::quit()).map_err(DaemonError::Runtime)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(DaemonError::Runtime)?;
    let cancel = token.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = quit.recv() => break,
                // Also when the terminal goes away that the daemon was started from; the daemon does not.
                _ = hangup.recv() => hangups.notify_one(),
            }
        }
        cancel.cancel();
    });
    Ok(token)
}
