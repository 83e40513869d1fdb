//! A log that cannot be written (a full disk) is no reason to end: the loops wait until it can.

use std::time::Duration;

use hoist_store::{ProposeError, StoreError};

const PAUSE: Duration = Duration::from_secs(1);

/// Passes an outcome on; when the log could not be written, waits a little and gives `None`: nothing was
/// changed, and the pass is to be made again.
pub(crate) async fn wait_for_log<T>(outcome: Result<T, StoreError>, who: &str) -> Result<Option<T>, StoreError> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(StoreError::Propose(error @ ProposeError::Storage(_))) => {
            tracing::error!(%error, "the {who} waits");
            tokio::time::sleep(PAUSE).await;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
