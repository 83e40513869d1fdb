//! Devices with which something is wrong: set aside by themselves, and given again by themselves when they have been
//! well for a while.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hoist_choice::Key;

/// So long a device must have been well before it is given again.
const WELL_FOR: Duration = Duration::from_secs(6);

/// What is wrong with a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) reason: String,
    /// Since when nothing has been seen of it any more.
    well: Option<Instant>,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    pub(crate) known: BTreeMap<Key, Fault>,
}

impl Faults {
    /// Notes what a look at a device has shown; says whether it is set aside or given again by that.
    pub(crate) fn note(&mut self, key: &Key, seen: Option<String>, now: Instant) -> bool {
        match (seen, self.known.get_mut(key)) {
            (Some(reason), None) => {
                tracing::warn!(device = format!("{}={}", key.0, key.1), reason, "a device is set aside");
                self.known.insert(key.clone(), Fault { reason, well: None });
                true
            }
            (Some(reason), Some(fault)) => {
                let other = fault.reason != reason;
                *fault = Fault { reason, well: None };
                other
            }
            (None, Some(fault)) => {
                let well = *fault.well.get_or_insert(now);
                if now.duration_since(well) < WELL_FOR {
                    return false;
                }
                tracing::info!(device = format!("{}={}", key.0, key.1), "a device is given again");
                self.known.remove(key);
                true
            }
            (None, None) => false,
        }
    }

    /// Gives a device again by command, until something is seen again.
    pub(crate) fn forgive(&mut self, key: &Key) {
        self.known.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_returns_when_it_has_been_well_for_a_while() {
        let (mut faults, key, start) = (Faults::default(), ("gpu".to_owned(), "0".to_owned()), Instant::now());
        let broken = || Some("fan".to_owned());
        assert!(faults.note(&key, broken(), start));
        assert!(!faults.note(&key, broken(), start));
        assert!(!faults.note(&key, None, start));
        assert!(!faults.note(&key, broken(), start + WELL_FOR), "it was not well all the time");
        assert!(!faults.note(&key, None, start + WELL_FOR));
        assert!(faults.note(&key, None, start + WELL_FOR * 2));
        assert!(faults.known.is_empty());
    }
}
