//! Jobs: those that wait and those that run.

use crate::{Account, Amount, Millis, NEVER};

/// What a job needs to run. Jobs that need the same share one shape, so that what was found out for one of them
/// holds for all.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Shape {
    /// How many tasks start together, or none of them.
    pub tasks: u32,
    /// What each of them needs.
    pub each: Amount,
    pub spread: Spread,
    /// Place of the partition in [`crate::Input::partitions`].
    pub partition: usize,
    /// The nodes on which it may run, by their place in [`crate::Lab`]; `None` is all of the partition.
    pub eligible: Option<std::sync::Arc<Vec<bool>>>,
}

/// How the tasks of a job lie on nodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Spread {
    /// On as few nodes as it takes.
    #[default]
    Packed,
    /// All on one.
    OneNode,
    /// Each on a node that it has for itself.
    WholeNodes,
}

/// A job that waits. `I` is its id.
#[derive(Debug, Clone)]
pub struct Waiting<I> {
    pub id: I,
    pub account: Account,
    /// Higher goes first.
    pub priority: i32,
    pub submitted: Millis,
    /// Place of its shape in [`crate::Input::shapes`].
    pub shape: usize,
    /// After so long it is ended; `None` is without limit.
    pub limit: Option<Millis>,
    /// Why it may not start, whatever is free: held, a dependency, a time not reached.
    pub blocked: Option<String>,
    pub array: Option<Array<I>>,
}

/// An array of like jobs, of which so many run at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Array<I> {
    pub of: I,
    /// 0 is without limit.
    pub at_once: u32,
}

/// Where one task of a job is: the node's place in [`crate::Lab`], and how many tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    pub node: usize,
    pub tasks: u32,
}

/// A job that runs.
#[derive(Debug, Clone)]
pub struct Running<I> {
    pub id: I,
    pub account: Account,
    pub priority: i32,
    pub started: Millis,
    pub limit: Option<Millis>,
    pub shape: usize,
    pub on: Vec<Placement>,
    /// It was told to give way and is on its way out.
    pub leaving: bool,
    pub array: Option<Array<I>>,
}

impl<I> Running<I> {
    /// When it has ended at the latest.
    pub fn end(&self) -> Millis {
        self.limit.map_or(NEVER, |limit| self.started.saturating_add(limit))
    }
}
