//! Every error of the command line: one clear line, hints below it, an exit code.

use std::fmt;

use super::client::ClientError;

/// Why a command did not do what it was asked. Printed as `hoist: MESSAGE`, then `hint: …` lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Empty when everything has been said already.
    pub message: String,
    pub hints: Vec<String>,
    /// The exit code.
    pub code: u8,
    /// The daemon's status, when it was the daemon that refused.
    pub status: Option<u16>,
}

impl Failure {
    /// The code of a command line that cannot be carried out as it is written.
    pub const USAGE: u8 = 125;

    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hints: Vec::new(), code: 1, status: None }
    }

    /// What is wrong is the command line itself.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(message).code(Self::USAGE)
    }

    /// Ends with a code and no word: all has been said.
    pub fn quiet(code: u8) -> Self {
        Self::new("").code(code)
    }

    /// An error with its causes, none said twice.
    pub fn from_error(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::new(crate::api::error::chain(error))
    }

    pub fn code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    pub fn is_quiet(&self) -> bool {
        self.message.is_empty()
    }

    /// Whether the daemon said that there is no such thing.
    pub fn is_not_found(&self) -> bool {
        self.status == Some(404)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self::quiet(BROKEN_PIPE);
        }
        Self::from_error(&error)
    }
}

/// As a shell reports a program that SIGPIPE ended.
const BROKEN_PIPE: u8 = 141;

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let mut failure = Self::from_error(&error);
        failure.status = error.status();
        failure.hints = error.hints();
        failure
    }
}

macro_rules! from_errors {
    ($($error:ty),*) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::from_error(&error)
            }
        }
    )*};
}

from_errors!(serde_json::Error, hoist_proto::unit::UnitError);
