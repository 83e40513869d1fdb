//! Telling the one who started the daemon how the start went.

use std::{fs::File, io::Write};

use super::DaemonError;

/// The writing end of the starter's pipe, when there is one.
#[derive(Debug)]
pub struct Ready(Option<File>);

impl Ready {
    /// Takes over the descriptor of `--ready-fd`.
    pub fn take(number: Option<i32>) -> Result<Self, DaemonError> {
        let Some(number) = number else { return Ok(Self(None)) };
        let fd = hoist_runtime::inherit::take_fd(number).map_err(|err| DaemonError::Descriptor(number, err))?;
        Ok(Self(Some(File::from(fd))))
    }

    /// Whether somebody waits.
    pub fn is_awaited(&self) -> bool {
        self.0.is_some()
    }

    /// The sockets answer.
    pub fn ready(&mut self) {
        self.say("ready");
    }

    /// Another daemon does the work already.
    pub fn already(&mut self) {
        self.say("already");
    }

    /// There will be no daemon.
    pub fn failed(&mut self, error: &DaemonError) {
        self.say(&error.chain().replace('\n', " "));
    }

    fn say(&mut self, line: &str) {
        if let Some(mut pipe) = self.0.take() {
            // A starter that went away does not mind.
            let _ = writeln!(pipe, "{line}");
        }
    }
}
