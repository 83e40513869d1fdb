//! The wall clock, behind a trait, so that a whole cluster can run in simulated time.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

pub use jiff::Timestamp;

/// Tells the time. Everything that records a moment takes one of these.
pub trait Clock: Send + Sync + 'static {
    /// The present moment, UTC, nanosecond precision.
    fn now(&self) -> Timestamp;
}

/// A clock that can be handed around.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// The machine's clock, ready to hand around.
pub fn system() -> SharedClock {
    Arc::new(SystemClock)
}

/// A clock that moves only when told, for tests and simulations.
#[derive(Debug, Default)]
pub struct ManualClock {
    millis: AtomicI64,
}

impl ManualClock {
    /// Starts at `millis` milliseconds after the Unix epoch.
    pub fn at_millis(millis: i64) -> Self {
        Self { millis: AtomicI64::new(millis) }
    }

    /// Moves time forward.
    pub fn advance(&self, by: std::time::Duration) {
        let millis = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.millis.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.millis.load(Ordering::SeqCst)).unwrap_or(Timestamp::MAX)
    }
}
