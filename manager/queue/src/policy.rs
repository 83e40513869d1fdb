//! What the lab's owners decide.

use crate::{Account, Millis};

/// Rules for the whole lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// A job gains one step of priority for so much waiting; 0 is never.
    pub aging: Millis,
    /// The most steps that waiting gains.
    pub aging_steps: i32,
    /// Jobs behind one that waits may start where they do not delay it.
    pub backfill: bool,
    /// Accounts that have used less go first; else first come, first served.
    pub fair: bool,
    /// Those behind the first in line are told when they are expected to start.
    pub forecast: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self { aging: 24 * 3_600_000, aging_steps: 10, backfill: true, fair: true, forecast: true }
    }
}

/// A group of nodes with rules of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Partition {
    pub name: String,
    pub preemption: Preemption,
}

/// Whether a job that runs gives way to one of higher priority.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Preemption {
    #[default]
    Never,
    /// It is stopped and waits again.
    Requeue,
}

/// Nodes that are set aside for some, for a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Booking {
    pub name: String,
    /// Places in [`crate::Lab`].
    pub nodes: Vec<usize>,
    pub from: Millis,
    pub until: Millis,
    /// Users for whom it is.
    pub users: Vec<String>,
    /// Projects for which it is.
    pub projects: Vec<String>,
}

impl Booking {
    /// Whether it is for that account.
    pub fn is_for(&self, account: &Account) -> bool {
        self.users.contains(&account.user) || account.project.as_ref().is_some_and(|p| self.projects.contains(p))
    }

    /// Whether a job of that account that runs from `now` to `end` would be in its way.
    pub(crate) fn excludes(&self, account: &Account, now: Millis, end: Millis) -> bool {
        now < self.until && end > self.from && !self.is_for(account)
    }
}
