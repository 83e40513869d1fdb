//! Whether a history of reads and writes can be put in one order: each operation in one moment between its call and its
//! answer, each read seeing the write before it (Herlihy and Wing, "Linearizability", 1990; the search is Wing and
//! Gong's, with Lowe's memory of what was tried).

use std::collections::{BTreeMap, HashSet};

/// What was done with one register. No value is written twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Read, and saw this; 0 is what was there in the beginning.
    Read(u64),
    /// Wrote this.
    Write(u64),
    /// Wrote this in place of what it saw.
    Swap { saw: u64, wrote: u64 },
}

impl Action {
    fn saw(self) -> Option<u64> {
        match self {
            Self::Read(saw) | Self::Swap { saw, .. } => Some(saw),
            Self::Write(_) => None,
        }
    }

    fn wrote(self) -> Option<u64> {
        match self {
            Self::Write(wrote) | Self::Swap { wrote, .. } => Some(wrote),
            Self::Read(_) => None,
        }
    }
}

/// One operation of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    pub client: usize,
    pub register: u32,
    pub action: Action,
    /// Moments of any one clock.
    pub called: u64,
    /// `None` when no answer came: it may have happened at any time since, or never.
    pub answered: Option<u64>,
}

/// Why no order explains a history.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no order explains what was read of register {register}:\n{history}")]
pub struct NotLinear {
    pub register: u32,
    history: String,
}

/// Checks each register by itself: a history is linearizable when each register's is.
pub fn check(history: &[Operation]) -> Result<(), NotLinear> {
    let mut registers: BTreeMap<u32, Vec<&Operation>> = BTreeMap::new();
    for operation in history {
        registers.entry(operation.register).or_default().push(operation);
    }
    for (register, mut operations) in registers {
        let seen: HashSet<u64> = operations.iter().filter_map(|operation| operation.action.saw()).collect();
        // What was not answered and nobody saw may as well not have happened: without it there are far fewer orders.
        operations
            .retain(|one| one.answered.is_some() || one.action.wrote().is_some_and(|value| seen.contains(&value)));
        operations.sort_by_key(|operation| operation.called);
        if !has_order(&operations) {
            let lines = operations.iter().map(|operation| {
                let end = operation.answered.map_or("?".into(), |at| at.to_string());
                format!("  {:>9} to {end:>9}  client {}  {:?}\n", operation.called, operation.client, operation.action)
            });
            return Err(NotLinear { register, history: lines.collect() });
        }
    }
    Ok(())
}

/// What has been put in order, and what the register is then.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Place {
    done: Vec<u64>,
    value: u64,
}

impl Place {
    fn has(&self, index: usize) -> bool {
        self.done[index / 64] & (1 << (index % 64)) != 0
    }

    fn with(&self, index: usize, value: u64) -> Self {
        let mut next = self.clone();
        next.done[index / 64] |= 1 << (index % 64);
        next.value = value;
        next
    }
}

fn has_order(operations: &[&Operation]) -> bool {
    let mut open = vec![Place { done: vec![0; operations.len().div_ceil(64)], value: 0 }];
    let mut seen = HashSet::new();
    while let Some(place) = open.pop() {
        let left = || operations.iter().enumerate().filter(|(index, _)| !place.has(*index));
        if left().all(|(_, operation)| operation.answered.is_none()) {
            return true;
        }
        // Nothing that was called after another was answered comes before it.
        let first_answer = left().filter_map(|(_, operation)| operation.answered).min().unwrap_or(u64::MAX);
        for (index, operation) in left().take_while(|(_, operation)| operation.called <= first_answer) {
            let value = match operation.action {
                Action::Read(saw) if saw == place.value => saw,
                Action::Write(wrote) => wrote,
                Action::Swap { saw, wrote } if saw == place.value => wrote,
                Action::Read(_) | Action::Swap { .. } => continue,
            };
            let next = place.with(index, value);
            if seen.insert(next.clone()) {
                open.push(next);
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(action: Action, called: u64, answered: impl Into<Option<u64>>) -> Operation {
        Operation { client: 0, register: 1, action, called, answered: answered.into() }
    }

    #[test]
    fn what_overlaps_may_be_in_any_order() {
        use Action::{Read, Swap, Write};
        let history = [
            operation(Write(1), 0, 10),
            operation(Write(2), 1, 9),
            operation(Read(2), 2, 3),
            operation(Read(1), 4, 5),
            operation(Swap { saw: 1, wrote: 3 }, 11, 12),
            operation(Read(3), 13, 14),
        ];
        assert_eq!(check(&history), Ok(()));
    }

    #[test]
    fn a_stale_read_is_found() {
        let history = [operation(Action::Write(1), 0, 1), operation(Action::Read(0), 2, 3)];
        assert!(check(&history).unwrap_err().to_string().contains("register 1"));
    }

    #[test]
    fn a_lost_write_is_found() {
        let swap = |saw, wrote, at| operation(Action::Swap { saw, wrote }, at, at + 1);
        assert!(check(&[swap(0, 1, 0), swap(0, 2, 10)]).is_err());
        assert!(check(&[swap(0, 1, 0), swap(1, 2, 10)]).is_ok());
    }

    #[test]
    fn what_was_not_answered_may_have_happened_or_not() {
        let pending = operation(Action::Write(1), 0, None);
        assert!(check(&[pending.clone(), operation(Action::Read(1), 50, 51)]).is_ok());
        assert!(check(&[pending.clone(), operation(Action::Read(0), 50, 51)]).is_ok());
        // But not undone.
        let back = [pending, operation(Action::Read(1), 50, 51), operation(Action::Read(0), 60, 61)];
        assert!(check(&back).is_err());
    }

    /// As many answers that do not come as a bad network makes.
    #[test]
    fn a_long_history_is_checked_at_once() {
        let one = |at: u64| {
            let lost = |n: u64| operation(Action::Write(1_000_000 + 10 * at + n), 10 * at, None);
            let swap = Action::Swap { saw: at, wrote: at + 1 };
            [lost(0), lost(1), operation(swap, 10 * at, 10 * at + 15)]
        };
        let mut history: Vec<_> = (0..2_000).flat_map(one).collect();
        assert_eq!(check(&history), Ok(()));
        history.push(operation(Action::Read(1_000), 30_000, 30_001));
        assert!(check(&history).is_err());
    }

    #[test]
    fn registers_do_not_know_each_other() {
        let mut other = operation(Action::Read(0), 2, 3);
        other.register = 2;
        assert!(check(&[operation(Action::Write(1), 0, 1), other]).is_ok());
    }
}
