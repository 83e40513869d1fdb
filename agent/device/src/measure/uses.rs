//! What holders make of their devices, added up from look to look.

use std::collections::BTreeMap;
use std::time::Duration;

use hoist_choice::{Key, Ledger};
use hoist_proto::spec::{DeviceFigures, DeviceUse};

/// A pause between two looks that is longer than this says nothing about the time between them.
const LONGEST: Duration = Duration::from_secs(60);

/// By holder.
#[derive(Debug, Default)]
pub(crate) struct Uses {
    of: BTreeMap<String, DeviceUse>,
}

impl Uses {
    pub(crate) fn of(&self, holder: &str) -> DeviceUse {
        self.of.get(holder).copied().unwrap_or_default()
    }

    pub(crate) fn all(&self) -> Vec<(String, DeviceUse)> {
        self.of.iter().map(|(holder, used)| (holder.clone(), *used)).collect()
    }

    /// Those who hold nothing any more are remembered until somebody asks for the last time.
    pub(crate) fn forget_all_but(&mut self, keep: impl Fn(&str) -> bool) {
        self.of.retain(|holder, _| keep(holder));
    }

    /// Adds what a device has done in `span`, to each who holds it by his part of it.
    pub(crate) fn add(
        &mut self,
        ledger: &Ledger,
        key: &Key,
        shares: u32,
        before: Option<&DeviceFigures>,
        now: &DeviceFigures,
        span: Duration,
    ) {
        if span > LONGEST {
            return;
        }
        let energy = before
            .and_then(|before| now.energy_millijoules?.checked_sub(before.energy_millijoules?))
            .or_else(|| now.power_milliwatts.map(|power| (power as f64 * span.as_secs_f64()) as u64));
        for hold in ledger.holds(key) {
            let part = hold.parts.map_or(1.0, |parts| f64::from(parts) / f64::from(shares.max(1)));
            let millis = span.as_millis() as f64 * part;
            let used = self.of.entry(hold.holder.clone()).or_default();
            if let Some(percent) = now.utilisation {
                used.measured_millis += millis.round() as u64;
                used.busy_millis += (millis * f64::from(percent.min(100)) / 100.0).round() as u64;
            }
            used.energy_millijoules += (energy.unwrap_or(0) as f64 * part).round() as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use hoist_choice::Hold;

    use super::*;

    #[test]
    fn holders_are_counted_by_their_parts() {
        let (mut uses, mut ledger, key) = (Uses::default(), Ledger::default(), ("gpu".to_owned(), "0".to_owned()));
        ledger.take(key.clone(), Hold { holder: "half".into(), parts: Some(2) });
        let figures = |energy| DeviceFigures {
            utilisation: Some(25),
            power_milliwatts: Some(100_000),
            energy_millijoules: energy,
            ..DeviceFigures::default()
        };
        let second = Duration::from_secs(1);
        uses.add(&ledger, &key, 4, Some(&figures(Some(1000))), &figures(Some(5000)), second);
        let expected = DeviceUse { measured_millis: 500, busy_millis: 125, energy_millijoules: 2000 };
        assert_eq!(uses.of("half"), expected);
        // Without a counter, from the power; a counter that went back says nothing.
        uses.add(&ledger, &key, 4, Some(&figures(Some(9000))), &figures(Some(10)), second);
        assert_eq!(uses.of("half").energy_millijoules, 52_000);
        uses.add(&ledger, &key, 4, None, &figures(None), LONGEST * 2);
        assert_eq!(uses.of("half").measured_millis, 1000, "a long pause is not counted");
    }
}
