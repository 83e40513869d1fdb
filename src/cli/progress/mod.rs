//! Live lines while something takes time: layers of a pull, resources of a project.
//!
//! [`Board`] is a set of lines that are redrawn in place; [`Transfer`] shows Docker's progress
//! streams (pull, push, load) on one. Both draw on a [`Canvas`].

mod board;
mod canvas;
mod transfer;

pub use board::{Board, Step};
pub use canvas::Canvas;
pub use transfer::{Message, Transfer};

/// How progress is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// Live lines on a terminal, plain lines elsewhere
    #[default]
    Auto,
    /// Live lines
    Tty,
    /// A line for each change
    Plain,
    /// A JSON object for each change
    Json,
    /// Nothing
    Quiet,
}
