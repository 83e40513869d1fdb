//! Chance that follows from a seed.

use std::{cell::RefCell, rc::Rc, time::Duration};

/// A source of chance. Clones draw from the same one; all of a simulation runs on one thread.
#[derive(Debug, Clone)]
pub(crate) struct Chance(Rc<RefCell<fastrand::Rng>>);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Rc::new(RefCell::new(fastrand::Rng::with_seed(seed))))
    }

    /// One of 0 up to `end`, without it.
    pub(crate) fn below(&self, end: usize) -> usize {
        self.0.borrow_mut().usize(0..end.max(1))
    }

    /// Whether it happens, with so many in a thousand.
    pub(crate) fn is(&self, permille: u32) -> bool {
        self.0.borrow_mut().u32(0..1000) < permille
    }

    /// Between two durations.
    pub(crate) fn between(&self, least: Duration, most: Duration) -> Duration {
        let span = most.saturating_sub(least);
        least + span.mul_f64(self.0.borrow_mut().f64())
    }

    pub(crate) fn millis(&self, least: u64, most: u64) -> Duration {
        self.between(Duration::from_millis(least), Duration::from_millis(most))
    }

    pub(crate) fn one<'a, T>(&self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// Bits without end.
    pub(crate) fn bits(&self) -> impl Iterator<Item = bool> {
        let chance = self.clone();
        std::iter::from_fn(move || Some(chance.0.borrow_mut().bool()))
    }
}
