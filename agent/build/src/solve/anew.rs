//! Steps that were done although their results might have been known, as `--no-cache` asks. Builds of the same moment that
//! ask for it share them.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// What was done so long ago is nothing to a build that began before it.
const SHARED_FOR: Duration = Duration::from_secs(3600);

/// When steps were begun the last time, by key; only those that came to a good end.
#[derive(Debug, Default)]
pub(crate) struct Anew {
    begun: Mutex<HashMap<String, Instant>>,
}

impl Anew {
    /// Notes that a step was done anew, and when that began.
    pub(crate) fn did(&self, key: &str, begun: Instant) {
        let mut all = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, at| at.elapsed() < SHARED_FOR);
        all.insert(key.to_owned(), begun);
    }

    /// Whether a step was begun and done anew since then: that is as good as doing it again.
    pub(crate) fn did_since(&self, key: &str, since: Instant) -> bool {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner).get(key).is_some_and(|at| *at >= since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_began_later_is_new_enough() {
        let anew = Anew::default();
        let build = Instant::now();
        assert!(!anew.did_since("step", build));
        let begun = build + Duration::from_millis(1);
        anew.did("step", begun);
        assert!(anew.did_since("step", build) && anew.did_since("step", begun));
        assert!(!anew.did_since("step", begun + Duration::from_millis(1)) && !anew.did_since("other", build));
    }
}
