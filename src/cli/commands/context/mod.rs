//! `hoist context …`

mod change;
mod show;

use crate::cli::{
    Exit, Outcome,
    args::context::ContextCommand,
    contexts::{Choice, Store},
    printer::Printer,
};

/// Carries out a command on contexts; it asks no daemon.
pub fn run(command: ContextCommand, choice: &Choice, store: &Store, printer: Printer) -> Outcome {
    use ContextCommand as C;
    match command {
        C::Create(args) => change::create(args, store, printer)?,
        C::Update(args) => change::update(args, store, printer)?,
        C::Export(args) => change::export(args, store, printer)?,
        C::Import(args) => change::import(args, store, printer)?,
        C::Rm(args) => change::remove(args, choice, store, printer)?,
        C::Use(args) => change::select(args, store, printer)?,
        C::Inspect(args) => show::inspect(args, choice, store, printer)?,
        C::Ls(args) => show::list(args, choice, store, printer)?,
        C::Show => printer.line(crate::cli::contexts::current(choice, store)?)?,
    }
    Ok(Exit::OK)
}
