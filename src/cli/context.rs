//! What every command is given, and how it ends.

use std::process::ExitCode;

use super::{client::Client, failure::Failure, printer::Printer};

/// What every command is given.
#[derive(Debug)]
pub struct Context {
    pub printer: Printer,
    pub client: Client,
    /// The context that the daemon was chosen by.
    pub name: String,
    /// Directory of the client's own configuration (`config.json`): registry credentials, formats.
    pub config_dir: std::path::PathBuf,
    /// The proxies of the daemon's containers and builds, as variables.
    pub proxies: Vec<(String, String)>,
}

/// How a command ended that did what it was asked; a container's code may be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit(pub u8);

impl Exit {
    pub const OK: Self = Self(0);
    pub const FAILED: Self = Self(1);

    /// A container's code, in the eight bits that a process has for it.
    pub fn container(code: i64) -> Self {
        Self((code & 0xff) as u8)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.0)
    }
}

pub type Outcome = Result<Exit, Failure>;
