//! `hoist lab kill`, `stop` and `start`

use super::{machine, state::State};
use crate::cli::{
    args::lab::{KillArgs, NodesArgs},
    failure::Failure,
    printer::Printer,
};

pub fn kill(args: &KillArgs, state: &State, printer: Printer) -> Result<(), Failure> {
    for node in state.named(&args.nodes)? {
        let pids = if args.daemon {
            machine::daemon(&state.place, &node.name)?.into_iter().collect()
        } else {
            machine::processes(&state.place, &node.name)?
        };
        machine::kill(&pids)?;
        printer.line(&node.name)?;
    }
    Ok(())
}

pub fn stop(args: &NodesArgs, state: &State, printer: Printer) -> Result<(), Failure> {
    for node in state.named(&args.nodes)? {
        machine::stop(&state.place, node)?;
        printer.line(&node.name)?;
    }
    Ok(())
}

pub fn start(args: &NodesArgs, state: &State, printer: Printer) -> Result<(), Failure> {
    for node in state.named(&args.nodes)? {
        machine::start(&state.place, &node.name)?;
        printer.line(&node.name)?;
    }
    Ok(())
}
