//! Wall clocks that are wrong.

use std::sync::atomic::{AtomicI64, Ordering};

use hoist_proto::clock::{Clock, Timestamp};
use tokio::time::Instant;

const START_MILLIS: i64 = 1_700_000_000_000;

/// A machine's clock: simulated time, off by what was said.
#[derive(Debug)]
pub(crate) struct WrongClock {
    began: Instant,
    off_millis: AtomicI64,
}

impl WrongClock {
    pub(crate) fn new(began: Instant) -> Self {
        Self { began, off_millis: AtomicI64::new(0) }
    }

    pub(crate) fn jump_to(&self, off_millis: i64) {
        self.off_millis.store(off_millis, Ordering::Relaxed);
    }
}

impl Clock for WrongClock {
    fn now(&self) -> Timestamp {
        let since = i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX);
        let millis = START_MILLIS + since + self.off_millis.load(Ordering::Relaxed);
        Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX)
    }
}
