//! What a monitor reads of an engine: how often things are done, and how long they take.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::Result;

/// What takes time, under Docker's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Changes,
    Commit,
    Create,
    Delete,
    Start,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Changes, Self::Commit, Self::Create, Self::Delete, Self::Start];

    /// `create`, …
    pub fn name(self) -> &'static str {
        match self {
            Self::Changes => "changes",
            Self::Commit => "commit",
            Self::Create => "create",
            Self::Delete => "delete",
            Self::Start => "start",
        }
    }
}

/// The counters of one engine.
#[derive(Debug, Default)]
pub struct Metrics {
    actions: [Histogram; Action::ALL.len()],
    health_checks: AtomicU64,
    health_checks_failed: AtomicU64,
}

impl Metrics {
    /// How long an action took, each time that it was done.
    pub fn action(&self, action: Action) -> &Histogram {
        &self.actions[action as usize]
    }

    /// Health checks that were made, and those that failed.
    pub fn health_checks(&self) -> (u64, u64) {
        (self.health_checks.load(Ordering::Relaxed), self.health_checks_failed.load(Ordering::Relaxed))
    }

    pub(crate) fn checked(&self, healthy: bool) {
        self.health_checks.fetch_add(1, Ordering::Relaxed);
        if !healthy {
            self.health_checks_failed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Measures an action; one that fails does not count.
    pub(crate) async fn time<T>(&self, action: Action, doing: impl Future<Output = Result<T>>) -> Result<T> {
        let start = Instant::now();
        let result = doing.await;
        if result.is_ok() {
            self.action(action).observe(start.elapsed());
        }
        result
    }
}

/// Durations, counted by size.
#[derive(Debug, Default)]
pub struct Histogram {
    /// Those that fit a bound and no smaller one.
    buckets: [AtomicU64; BOUNDS.len()],
    count: AtomicU64,
    microseconds: AtomicU64,
}

/// The bounds that Prometheus' libraries have, in seconds.
pub const BOUNDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

impl Histogram {
    pub(crate) fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        if let Some(at) = BOUNDS.iter().position(|bound| seconds <= *bound) {
            self.buckets[at].fetch_add(1, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        self.microseconds.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// For each bound the number of those that fit it, as Prometheus counts them.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        let mut sum = 0;
        BOUNDS.iter().zip(&self.buckets).map(move |(bound, bucket)| {
            sum += bucket.load(Ordering::Relaxed);
            (*bound, sum)
        })
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// All of them together, in seconds.
    pub fn sum(&self) -> f64 {
        Duration::from_micros(self.microseconds.load(Ordering::Relaxed)).as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_counted_by_size() {
        let histogram = Histogram::default();
        for milliseconds in [1, 5, 30, 60_000] {
            histogram.observe(Duration::from_millis(milliseconds));
        }
        let counts: Vec<u64> = histogram.cumulative().map(|(_, count)| count).collect();
        assert_eq!(counts, [2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3]);
        assert_eq!((histogram.count(), histogram.sum()), (4, 60.036));
    }
}
