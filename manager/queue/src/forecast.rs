//! When the jobs behind the first in line are expected to start.
//!
//! The line is played through from now on: at every moment at which a job has ended at the latest, the next in line
//! starts if it fits, and nobody starts before those ahead of him. So it is the moment at which a job starts if all
//! others use their time to the last; gaps and jobs that end early bring it forward, more important ones put it off.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

use crate::{Account, Booking, Lab, Millis, NEVER, Placement, Shape, place::Rules};

/// So many jobs of each partition's line are looked at: what is further away is too uncertain to be worth the time.
const LOOKED_AT: usize = 500;

/// A job that waits for others to end.
pub(crate) struct InLine<'a> {
    /// Place of its answer.
    pub(crate) stay: usize,
    pub(crate) shape: &'a Shape,
    pub(crate) account: &'a Account,
    pub(crate) limit: Option<Millis>,
    /// What is known already, of the first in line.
    pub(crate) expected: Option<Millis>,
}

/// Plays one partition's line through; gives answers' places with moments. `releases` are in the order of their time.
pub(crate) fn forecast(
    mut lab: Lab,
    members: &[bool],
    bookings: &[Booking],
    line: &[InLine<'_>],
    releases: &[(Millis, &[Placement])],
    now: Millis,
) -> Vec<(usize, Millis)> {
    let mut running: VecDeque<(Millis, &[Placement])> = releases.iter().copied().collect();
    let mut starting: BinaryHeap<Reverse<(Millis, usize)>> = BinaryHeap::new();
    let mut placed: Vec<Vec<Placement>> = Vec::new();
    let mut answers = Vec::new();
    let mut time = now;
    for job in line.iter().take(LOOKED_AT) {
        let on = loop {
            let end = job.limit.map_or(NEVER, |limit| time.saturating_add(limit));
            let rules = Rules { members, holds: &[], bookings, account: job.account, now: time, end };
            if let Some(on) = rules.find(&lab, job.shape) {
                break on;
            }
            // The next moment at which something ends.
            let of_running = running.front().map_or(NEVER, |(at, _)| *at);
            let of_starting = starting.peek().map_or(NEVER, |Reverse((at, _))| *at);
            time = of_running.min(of_starting);
            if time >= NEVER {
                return answers;
            }
            while let Some((_, on)) = running.front().copied().filter(|(at, _)| *at <= time) {
                running.pop_front();
                lab.release_all(on);
            }
            while starting.peek().is_some_and(|Reverse((at, _))| *at <= time) {
                if let Some(Reverse((_, place))) = starting.pop() {
                    lab.release_all(&placed[place]);
                }
            }
        };
        lab.take_all(&on);
        starting.push(Reverse((job.limit.map_or(NEVER, |limit| time.saturating_add(limit)), placed.len())));
        placed.push(on);
        answers.push((job.stay, job.expected.map_or(time, |known| known.min(time))));
    }
    answers
}
