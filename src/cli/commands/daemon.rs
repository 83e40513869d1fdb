//! `hoist daemon`

use crate::{
    cli::{Exit, Outcome, failure::Failure},
    daemon::DaemonSettings,
};

/// Runs the daemon in this process until it is told to stop.
pub fn run(settings: DaemonSettings) -> Outcome {
    if settings.ready_fd.is_some() {
        // Started by a command: the terminal's signals and its end are not meant for the daemon.
        // Fails only for a process that leads its group already, and then there is nothing to leave.
        let _ = rustix::process::setsid();
    }
    match crate::daemon::run(settings) {
        Ok(()) => Ok(Exit::OK),
        Err(error) => Err(Failure::from_error(&error)),
    }
}
