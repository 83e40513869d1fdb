//! `hoist completion`

use crate::cli::{Exit, Outcome, args::CompletionArgs, completion, printer::Printer};

/// Prints the script.
pub fn run(args: CompletionArgs, printer: Printer) -> Outcome {
    printer.raw(&completion::script(args.shell))?;
    Ok(Exit::OK)
}
