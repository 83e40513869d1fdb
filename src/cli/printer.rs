//! The one place that writes: data to standard output, words to standard error.

use std::io::{self, IsTerminal, Write};

use super::failure::Failure;

/// Writes for people and programs. Colour and live lines only where a terminal reads.
#[derive(Debug, Clone, Copy)]
pub struct Printer {
    colour: bool,
    out_is_terminal: bool,
    err_is_terminal: bool,
}

impl Printer {
    /// Looks at the terminals; `NO_COLOR` and `TERM=dumb` turn colour off.
    pub fn new() -> Self {
        let err_is_terminal = io::stderr().is_terminal();
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        Self { colour: err_is_terminal && !plain, out_is_terminal: io::stdout().is_terminal(), err_is_terminal }
    }

    /// Whether words may be coloured.
    pub fn colour(&self) -> bool {
        self.colour
    }

    /// Whether a terminal reads standard output.
    pub fn out_is_terminal(&self) -> bool {
        self.out_is_terminal
    }

    /// Whether a terminal reads standard error.
    pub fn err_is_terminal(&self) -> bool {
        self.err_is_terminal
    }

    /// Columns of the terminal that reads standard output.
    pub fn width(&self) -> Option<usize> {
        if !self.out_is_terminal {
            return None;
        }
        let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
        (size.ws_col > 0).then_some(usize::from(size.ws_col))
    }

    /// Data: a line.
    pub fn line(&self, text: impl AsRef<str>) -> Result<(), Failure> {
        let mut text = text.as_ref().to_owned();
        text.push('\n');
        self.raw(text.as_bytes())
    }

    /// Data: text as it is, usually lines that are complete already.
    pub fn text(&self, text: impl AsRef<str>) -> Result<(), Failure> {
        self.raw(text.as_ref().as_bytes())
    }

    /// Data: bytes, at once. A reader that has gone away ends the command quietly.
    pub fn raw(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush()).map_err(Failure::from)
    }

    /// Another program's standard error, passed on.
    pub fn raw_err(&self, bytes: &[u8]) -> Result<(), Failure> {
        io::stderr().lock().write_all(bytes).map_err(Failure::from)
    }

    /// Words: what is going on. Whether anyone reads it changes nothing.
    pub fn say(&self, text: impl AsRef<str>) {
        let mut line = text.as_ref().to_owned();
        line.push('\n');
        let _ = io::stderr().lock().write_all(line.as_bytes());
    }

    /// Words: `WARNING: …`.
    pub fn warn(&self, text: impl AsRef<str>) {
        self.say(format!("{} {}", self.paint("WARNING:", "33"), text.as_ref()));
    }

    /// Words: the failure's line and its hints.
    pub fn failure(&self, failure: &Failure) {
        if failure.is_quiet() {
            return;
        }
        let mut text = format!("{} {}", self.paint("hoist:", "1;31"), failure.message.trim_end());
        for hint in &failure.hints {
            text.push_str(&format!("\n{} {hint}", self.paint("hint:", "1;36")));
        }
        self.say(text);
    }

    /// Wraps text in an SGR code when words may be coloured.
    pub fn paint(&self, text: &str, code: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
