//! The lines between machines: slow, cut in one direction or both, losing and doubling what goes over them.

use std::{cell::RefCell, collections::BTreeSet, rc::Rc, time::Duration};

use crate::chance::Chance;

/// A machine, of managers, agents and clients alike.
pub(crate) type Host = usize;

/// All lines. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    lines: Rc<RefCell<Lines>>,
    chance: Chance,
}

#[derive(Debug, Default)]
struct Lines {
    /// Nothing goes from the first to the second.
    cut: BTreeSet<(Host, Host)>,
    slow: Duration,
    lost_permille: u32,
    doubled_permille: u32,
}

impl Network {
    pub(crate) fn new(chance: Chance) -> Self {
        Self { lines: Rc::default(), chance }
    }

    pub(crate) fn cut(&self, from: Host, to: Host) {
        self.lines.borrow_mut().cut.insert((from, to));
    }

    /// From now on messages of raft are lost and doubled so often, and all take longer.
    pub(crate) fn spoil(&self, lost_permille: u32, doubled_permille: u32, slow: Duration) {
        let mut lines = self.lines.borrow_mut();
        (lines.lost_permille, lines.doubled_permille, lines.slow) = (lost_permille, doubled_permille, slow);
    }

    pub(crate) fn heal(&self) {
        *self.lines.borrow_mut() = Lines::default();
    }

    pub(crate) fn reaches(&self, from: Host, to: Host) -> bool {
        !self.lines.borrow().cut.contains(&(from, to))
    }

    /// How many copies of a message arrive.
    pub(crate) fn copies(&self) -> usize {
        let (lost, doubled) = {
            let lines = self.lines.borrow();
            (lines.lost_permille, lines.doubled_permille)
        };
        match (self.chance.is(lost), self.chance.is(doubled)) {
            (true, _) => 0,
            (false, true) => 2,
            (false, false) => 1,
        }
    }

    /// Goes from one machine to the other; false when it does not arrive.
    pub(crate) async fn travel(&self, from: Host, to: Host) -> bool {
        if !self.reaches(from, to) {
            return false;
        }
        let slow = self.lines.borrow().slow;
        tokio::time::sleep(self.chance.between(Duration::from_micros(100), Duration::from_millis(3) + slow)).await;
        self.reaches(from, to)
    }
}
