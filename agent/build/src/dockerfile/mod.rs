//! The Dockerfile language, as in Docker's Dockerfile reference: pure functions from text to values.
//!
//! [`parse`] makes a [`Dockerfile`] of a text: directives and instructions, nothing expanded, every word with its
//! [`Span`]. [`Lexer`] expands words, with a look-up that [`GlobalScope`] and [`StageScope`] supply. [`Plan`] says
//! which stages a target needs and where each `FROM`, `--from` and `from=` leads. [`IgnoreFile`] matches
//! `.dockerignore`. [`check`] finds what the build checks warn of, [`describe`] tells what a file says of itself.
//!
//! Nothing here reads a file, asks a registry or knows the clock.

mod ast;
pub mod check;
pub mod describe;
mod duration;
mod error;
mod expand;
mod flags;
mod frontend;
mod ignore;
mod instructions;
mod mount;
mod parse;
mod pattern;
mod plan;
mod platform;
mod reader;
mod scope;
mod script;
mod span;
mod text;
mod words;

#[cfg(test)]
mod parse_tests;

pub use ast::{
    Add, ArgDecl, CheckDirective, Command, Copy, Device, Directives, Dockerfile, Flag, From, Healthcheck, Heredoc,
    Instruction, Kind, Mount, MountKind, NetworkMode, Pair, Run, SecurityMode, Sharing, Source, Transfer, Word,
};
pub use error::Error;
pub use expand::{ExpandError, Expanded, Lexer};
pub use ignore::{IgnoreFile, Matches, ignore_file_names};
pub use parse::{parse, parse_trigger};
pub use plan::{Origin, Plan, Stage};
pub use platform::Platform;
pub use scope::{BUILDER_ARGS, GlobalScope, PLATFORM_ARGS, PROXY_ARGS, StageScope, expand_pairs};
pub use script::Script;
pub use span::{Pos, Span};
pub(crate) use words::near;
