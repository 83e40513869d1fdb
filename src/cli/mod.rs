//! The command line: what people type and what they read.
//!
//! - [`entry`] turns a command line into one command and an exit code; [`args`] is what can be typed.
//! - [`commands`]: one file a verb, under its noun. A command gets a [`Context`] and its arguments.
//! - [`client`] talks to the daemon and starts it when none runs; [`stream`] is attached terminals.
//! - [`spec`]: flags become Docker's JSON bodies, as pure functions.
//! - [`printer`]: data to standard output, words to standard error. [`format`]: tables and Go templates.
//! - [`credentials`]: registries, as Docker's `config.json` has them.
//! - [`contexts`]: daemons by name.
//! - [`progress`]: live lines. [`failure`]: every error as one line, with hints and an exit code.

pub mod args;
pub mod client;
pub mod commands;
mod completion;
mod context;
pub mod contexts;
pub mod credentials;
mod entry;
pub mod failure;
pub mod format;
mod help;
pub mod preferences;
pub mod printer;
pub mod progress;
pub mod spec;
pub mod stream;
pub mod suggest;

pub use context::{Context, Exit, Outcome};
pub use entry::main;
