//! `hoist daemon`

use crate::{
    cli::{Exit, Outcome, failure::Failure, printer::Printer},
    daemon::DaemonFlags,
};

/// Runs the daemon in this process until it is told to stop.
pub fn run(flags: DaemonFlags, printer: Printer) -> Outcome {
    if flags.validate {
        crate::daemon::validate(&flags).map_err(|error| Failure::from_error(&error))?;
        printer.line("configuration OK")?;
        return Ok(Exit::OK);
    }
    if flags.ready_fd.is_some() {
        // Started by a command: the terminal's signals and its end are not meant for the daemon.
        // Fails only for a process that leads its group already, and then there is nothing to leave.
        let _ = rustix::process::setsid();
    }
    match crate::daemon::run(flags) {
        Ok(()) => Ok(Exit::OK),
        Err(error) => Err(Failure::from_error(&error)),
    }
}
