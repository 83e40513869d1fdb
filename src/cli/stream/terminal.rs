//! Raw mode and window sizes.

use std::io::{self, IsTerminal};

use rustix::termios::{self, OptionalActions, Termios};

use crate::cli::failure::Failure;

/// Raw mode on standard input's terminal, for as long as this lives.
#[derive(Debug)]
pub struct RawMode {
    before: Termios,
}

impl RawMode {
    /// Every key goes to the container from now on, ctrl-c too.
    pub fn enter() -> io::Result<Self> {
        let stdin = io::stdin();
        let before = termios::tcgetattr(&stdin)?;
        let mut raw = before.clone();
        raw.make_raw();
        termios::tcsetattr(&stdin, OptionalActions::Now, &raw)?;
        Ok(Self { before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Drain, &self.before);
    }
}

/// Rows and columns of the terminal that reads standard output.
pub fn size() -> Option<(u16, u16)> {
    let size = termios::tcgetwinsize(io::stdout()).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then_some((size.ws_row, size.ws_col))
}

/// A terminal was asked for with standard input: there must be one here.
pub fn check(tty: bool, stdin: bool) -> Result<(), Failure> {
    if tty && stdin && !io::stdin().is_terminal() {
        return Err(
            Failure::new("standard input is not a terminal").hint("leave -t out: -i alone passes a pipe or file on")
        );
    }
    Ok(())
}
