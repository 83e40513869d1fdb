//! The word to stop.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::DaemonError;

/// A token that is cancelled by SIGTERM, SIGINT or SIGQUIT.
pub fn stop_token() -> Result<CancellationToken, DaemonError> {
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
                // The terminal that the daemon was started from goes away; the daemon does not.
                _ = hangup.recv() => continue,
            }
        }
        cancel.cancel();
    });
    Ok(token)
}
