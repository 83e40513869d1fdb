//! `hoist manifest rm`

use super::{Store, name};
use crate::cli::{Context, Exit, Outcome, args::manifest::RmArgs, failure::Failure};

/// Forgets lists that were made here; each that is not there is said, none stops the others.
pub fn run(cx: &Context, args: RmArgs) -> Outcome {
    let store = Store::of(&cx.config_dir);
    let mut exit = Exit::OK;
    for text in &args.lists {
        let removed = name(text).and_then(|list| match store.remove(&list)? {
            true => Ok(()),
            false => Err(Failure::new(format!("No such manifest: {list}"))),
        });
        if let Err(failure) = removed {
            cx.printer.failure(&failure);
            exit = Exit::FAILED;
        }
    }
    Ok(exit)
}
