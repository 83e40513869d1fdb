//! `hoist lab …`: a cluster on one machine, to try it with and to break.

mod down;
mod exec;
mod machine;
mod power;
mod show;
mod state;
mod up;
mod wires;

use std::path::Path;

use crate::cli::{
    Exit, Outcome, args::lab::LabCommand, contexts::Store as Contexts, failure::Failure, printer::Printer,
};
use state::{Place, State};

/// Carries out a command on a lab; no daemon of this machine is asked.
pub fn run(command: LabCommand, data_root: &Path, run_root: &Path, contexts: &Contexts, printer: Printer) -> Outcome {
    use LabCommand as C;
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::new("a lab is made of network namespaces, which only root may make").hint("use sudo"));
    }
    let place = |lab: &crate::cli::args::lab::Which| Place::of(data_root, run_root, &lab.name);
    match command {
        C::Up(args) => up::run(&args, place(&args.lab)?, contexts, printer)?,
        C::Down(args) => down::run(&place(&args.lab)?, contexts, printer)?,
        C::Ls(args) => show::list(&args, &State::load(place(&args.lab)?)?, printer)?,
        C::Exec(args) => return exec::run(&args, &State::load(place(&args.lab)?)?),
        C::Cut(args) => wires::cut(&args, State::load(place(&args.lab)?)?)?,
        C::Heal(args) => wires::heal(&args, State::load(place(&args.lab)?)?)?,
        C::Slow(args) => wires::slow(&args, State::load(place(&args.lab)?)?)?,
        C::Kill(args) => power::kill(&args, &State::load(place(&args.lab)?)?, printer)?,
        C::Stop(args) => power::stop(&args, &State::load(place(&args.lab)?)?, printer)?,
        C::Start(args) => power::start(&args, &State::load(place(&args.lab)?)?, printer)?,
    }
    Ok(Exit::OK)
}

/// An error with its causes, as one line.
fn failed(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::from_error(error)
}
