//! Hoist: a container engine, Compose and a cluster in one program.
//!
//! This file is the guard for re-executed helpers and then the command line; everything else is in
//! [`cli`] (what people type), [`api`] (what clients send) and [`daemon`] (where the rooms are wired together).
// The tests of the built-in image's program, which has no crates and so speaks to the kernel itself, are compiled in here.
#![cfg_attr(not(test), forbid(unsafe_code))]

mod api;
mod builtin;
mod cli;
mod daemon;
mod member;

use std::process::ExitCode;

fn main() -> ExitCode {
    // A re-executed helper never gets past this line.
    hoist_runtime::guard();
    cli::main(std::env::args_os())
}
