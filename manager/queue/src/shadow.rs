//! When the first in line can start, and what may run beside it until then.

use crate::{
    Lab, Millis, NEVER, Placement, Running, Shape,
    place::{Hold, Rules},
};

/// A time at which something that a job holds is free again.
pub(crate) struct Release<'a> {
    pub(crate) at: Millis,
    pub(crate) on: &'a [Placement],
}

/// What jobs that run give back, the earliest first.
pub(crate) fn releases<'a, I>(running: &'a [Running<I>], now: Millis) -> Vec<Release<'a>> {
    let mut releases: Vec<_> = running
        .iter()
        .map(|job| {
            // What is told to go is as good as gone.
            let at = if job.leaving { now } else { job.end().max(now) };
            Release { at, on: &job.on }
        })
        .collect();
    releases.sort_by_key(|release| release.at);
    releases
}

/// Finds the earliest moment at which a job fits, and keeps its nodes for it from then on.
///
/// `None` when it would not fit even if all jobs had ended.
pub(crate) fn hold(
    lab: &Lab,
    shape: &Shape,
    rules: &Rules<'_>,
    limit: Option<Millis>,
    releases: &[Release<'_>],
) -> Option<(Millis, Hold)> {
    let at_after = |count: usize| count.checked_sub(1).map_or(rules.now, |last| releases[last].at);
    let leading = lab.leading(shape);
    let lab_after = |count: usize| {
        let mut lab = lab.only(leading);
        for release in &releases[..count] {
            lab.release_all(release.on);
        }
        lab
    };
    let fits = |count: usize| {
        let lab = lab_after(count);
        let now = at_after(count);
        let end = limit.map_or(NEVER, |limit| now.saturating_add(limit));
        let rules = Rules { now, end, ..*rules };
        rules.find(&lab, shape).map(|on| (lab, on))
    };
    let at_last = fits(releases.len())?;
    // What is free only grows with time, so the earliest moment is found by halving.
    let (mut low, mut high) = (0, releases.len());
    while low < high {
        let middle = low + (high - low) / 2;
        if fits(middle).is_some() {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    let (lab_then, on) = fits(low).unwrap_or(at_last);
    let from = at_after(low);
    let spare = on
        .iter()
        .map(|placement| (placement.node, lab_then.node(placement.node).free.minus(&placement.takes)))
        .collect();
    Some((from, Hold { from, spare }))
}
