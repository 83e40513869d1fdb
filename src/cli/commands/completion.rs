//! `hoist completion`

use clap::CommandFactory;

use crate::cli::{
    Exit, Outcome,
    args::{Cli, CompletionArgs},
    printer::Printer,
};

/// Prints the script.
pub fn run(args: CompletionArgs, printer: Printer) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "hoist", &mut script);
    printer.raw(&script)?;
    Ok(Exit::OK)
}
