//! `hoist lab exec`

use std::process::Command;

use super::state::State;
use crate::cli::{Exit, Outcome, args::lab::ExecArgs, failure::Failure};

/// Runs a command on a machine's network and gives its exit code.
pub fn run(args: &ExecArgs, state: &State) -> Outcome {
    let nodes = state.named(std::slice::from_ref(&args.node))?;
    let Some((program, rest)) = args.command.split_first() else {
        return Err(Failure::usage("the command is missing"));
    };
    let mut outcome = Ok(None);
    for node in nodes {
        let host = format!("unix://{}", state.place.run_root(&node.name).join("hoist.sock").display());
        outcome = state.place.lab().within(&node.name, || {
            let status = Command::new(program).args(rest).env("HOIST_HOST", &host).env("DOCKER_HOST", &host).status();
            Ok(Some(status))
        });
    }
    match outcome? {
        Some(Ok(status)) => {
            use std::os::unix::process::ExitStatusExt;
            let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
            Ok(Exit((code & 0xff) as u8))
        }
        Some(Err(err)) => {
            let code = if err.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 };
            Err(Failure::new(format!("cannot run {program:?}: {err}")).code(code))
        }
        None => Err(Failure::new("the lab has no such machine")),
    }
}
