//! `hoist stack config`

use super::project_args;
use crate::cli::{Context, Exit, Outcome, args::stack::ConfigArgs, commands::compose};

/// Prints what the files say once they are merged and filled in.
pub fn run(cx: &Context, args: ConfigArgs) -> Outcome {
    let project = project_args(&args.compose_files, None, false);
    cx.printer.text(compose::canonical(cx, &project, !args.skip_interpolation)?)?;
    Ok(Exit::OK)
}
