//! Jobs: those that wait and those that run.

use crate::{Account, Amount, Lab, Millis, NEVER, Pick, Room};

/// What a job needs to run. Jobs that need the same share one shape, so that what was found out for one of them
/// holds for all.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Shape {
    /// How many tasks start together, or none of them.
    pub tasks: u32,
    /// What each of them needs, beside devices.
    pub each: Amount,
    /// The devices that each of them needs: places in [`Lab::wants`].
    pub wants: Vec<usize>,
    pub spread: Spread,
    /// Place of the partition in [`crate::Input::partitions`].
    pub partition: usize,
    /// The nodes on which it may run, by their place in [`crate::Lab`]; `None` is all of the partition.
    pub eligible: Option<std::sync::Arc<Vec<bool>>>,
}

impl Shape {
    /// How many devices all its tasks have; parts of one count as such.
    pub fn devices(&self, lab: &Lab) -> f64 {
        let each: f64 = self.wanted(lab).map(|want| f64::from(want.count) * want.weight).sum();
        each * f64::from(self.tasks)
    }

    fn wanted<'a>(&'a self, lab: &'a Lab) -> impl Iterator<Item = &'a crate::Want> {
        self.wants.iter().filter_map(|want| lab.wants.get(*want))
    }

    /// What so many of its tasks need, in words: `2 gpu, 4 CPUs, 16 GiB`.
    pub fn words(&self, lab: &Lab, tasks: u32) -> String {
        let mut parts: Vec<String> =
            self.wanted(lab).map(|want| want.words(want.count.saturating_mul(tasks))).collect();
        parts.extend(self.each.times(tasks).words());
        if parts.is_empty() { "nothing in particular".to_owned() } else { parts.join(", ") }
    }
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

/// Where tasks of a job are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placement {
    /// The node's place in [`crate::Lab`].
    pub node: usize,
    pub tasks: u32,
    /// What they take of the node.
    pub takes: Room,
    /// The devices that each of them has.
    pub picks: Vec<Pick>,
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
