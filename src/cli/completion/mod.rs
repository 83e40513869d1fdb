//! What a shell offers while a command line is typed: commands, flags and their values, and the names of what there is.
//!
//! The scripts for the shells ask `hoist __complete WORD…`, whose last word is the one that is being typed. It answers
//! a candidate a line, with what it is after a tab; `:files` or `:dirs` as the last line asks the shell for its own.

mod names;
mod place;
mod script;

pub use script::of as script;

use std::{ffi::OsString, path::PathBuf};

use clap::Parser;

use super::{args::Cli, args::Global, client::Client, printer::Printer};
use place::{Place, Wanted};

/// The hidden command by which scripts ask.
pub const COMMAND: &str = "__complete";

/// Answers a script. `reach` gives the daemon that is meant, and the directory of the client's own configuration.
/// Whatever goes wrong, nothing is offered and nothing is said: a person is typing.
pub fn answer(words: &[OsString], printer: Printer, reach: impl FnOnce(&Global) -> Option<(Client, PathBuf)>) {
    let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let place = Place::of(&words);
    let mut lines = match &place.wanted {
        Wanted::Given(list) => list.clone(),
        Wanted::Nothing => Vec::new(),
        Wanted::Files => vec![(":files".to_owned(), String::new())],
        Wanted::Dirs => vec![(":dirs".to_owned(), String::new())],
        Wanted::Names(kind) => {
            let reached = global(&place).and_then(|global| reach(&global));
            reached.and_then(|(client, config_dir)| names::all(*kind, &client, &config_dir)).unwrap_or_default()
        }
    };
    lines.retain(|(name, _)| name.starts_with(':') || name.starts_with(&place.typed));
    let text: String = lines
        .iter()
        .map(|(name, what)| match what.as_str() {
            "" => format!("{}{name}\n", if name.starts_with(':') { "" } else { place.before.as_str() }),
            what => format!("{}{name}\t{what}\n", place.before),
        })
        .collect();
    // A shell that has gone away asks no more.
    let _ = printer.text(text);
}

/// The flags before the command, which say whose names are wanted.
fn global(place: &Place) -> Option<Global> {
    let words = std::iter::once("hoist".to_owned()).chain(place.flags.iter().cloned()).chain(["ps".to_owned()]);
    Cli::try_parse_from(words).ok().map(|cli| cli.global)
}

/// Where compose files are looked for.
fn here() -> PathBuf {
    std::env::current_dir().unwrap_or_default()
}
