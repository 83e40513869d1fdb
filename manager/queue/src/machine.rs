//! Devices: what jobs want of them, and what of a machine would do.

use std::cmp::Reverse;

use hoist_choice::{Alternative, nearest_group};

/// One request for devices. Requests that are alike are one, by their place in [`crate::Lab`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Want {
    /// How many for each task.
    pub count: u32,
    /// Of what, in words: `gpu`, `gpu with model=h100`.
    pub what: String,
    /// What one of them counts against shares and quotas: 1, or less for a part of one.
    pub weight: f64,
}

impl Want {
    pub(crate) fn words(&self, count: u32) -> String {
        format!("{count} {}", self.what)
    }
}

/// The devices of a node, in an order of its own, and what of them each want could have. Nodes that are alike share one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// In how many parts each device can be had.
    pub shares: Vec<u32>,
    /// How near the devices are to one another, `[one][other]`; empty where nothing is known.
    pub links: Vec<Vec<u32>>,
    /// For each want, what would do: parts of devices by their places in `shares`.
    pub offers: Vec<Vec<Choice>>,
    /// For each want, how many such devices there are, be they enough or not.
    pub most: Vec<u32>,
}

/// Devices of which so many meet a want.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    pub count: usize,
    /// A part of each.
    pub shared: bool,
    /// Place of a device, and how much of it.
    pub parts: Vec<(usize, u32)>,
}

impl Choice {
    /// From what hoist-choice says; `place` gives a device's place by its kind's and its own in that.
    pub fn of(alternative: &Alternative, place: impl Fn(usize, usize) -> usize) -> Self {
        let parts = alternative.parts.iter().map(|part| (place(part.kind, part.device), part.parts));
        Self { count: alternative.count, shared: alternative.shared, parts: parts.collect() }
    }
}

/// A device, or a part of it, that a task gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pick {
    /// Which of the placement's tasks, from 0.
    pub task: u32,
    /// Which of the shape's wants, from 0.
    pub want: usize,
    pub device: usize,
    pub parts: u32,
}

fn left(free: &[u32], device: usize) -> u32 {
    free.get(device).copied().unwrap_or(0)
}

impl Machine {
    fn choices(&self, want: usize) -> &[Choice] {
        self.offers.get(want).map_or(&[], Vec::as_slice)
    }

    /// How many devices, or parts as they are wanted, of those that would do are free; of the choice that has most.
    pub(crate) fn supply(&self, want: usize, free: &[u32]) -> u32 {
        let of = |choice: &Choice| {
            let each = |(device, parts): &(usize, u32)| left(free, *device).checked_div(*parts).unwrap_or(1);
            choice.parts.iter().map(each).fold(0, u32::saturating_add)
        };
        self.choices(want).iter().map(of).max().unwrap_or(0)
    }

    /// How many whole devices are free.
    pub(crate) fn whole(&self, free: &[u32]) -> u32 {
        let whole = self.shares.iter().enumerate().filter(|(device, shares)| left(free, *device) >= **shares);
        u32::try_from(whole.count()).unwrap_or(u32::MAX)
    }

    /// Takes devices for one task out of `free`, all that it wants or nothing. What has the fewest choices goes first,
    /// so that who asks for any device leaves those to him who needs just these.
    pub(crate) fn take(&self, wants: &[usize], task: u32, free: &mut [u32], picks: &mut Vec<Pick>) -> bool {
        let breadth = |want: usize| self.choices(want).iter().map(|choice| choice.parts.len()).sum::<usize>();
        let mut order: Vec<usize> = (0..wants.len()).collect();
        if order.len() > 1 {
            order.sort_by_key(|place| (breadth(wants[*place]), *place));
        }
        let before = picks.len();
        for place in order {
            let found = self.choices(wants[place]).iter().find_map(|choice| self.choose(choice, free));
            let Some(found) = found else {
                for pick in picks.drain(before..) {
                    free[pick.device] += pick.parts;
                }
                return false;
            };
            for (device, parts) in found {
                // An open device's 0 parts are had without being counted.
                if let Some(free) = free.get_mut(device) {
                    *free -= parts;
                }
                picks.push(Pick { task, want: place, device, parts });
            }
        }
        true
    }

    fn choose(&self, choice: &Choice, free: &[u32]) -> Option<Vec<(usize, u32)>> {
        let mut able: Vec<(usize, u32)> =
            choice.parts.iter().filter(|(device, parts)| left(free, *device) >= *parts).copied().collect();
        if able.len() < choice.count {
            return None;
        }
        if choice.shared {
            able.sort_by_key(|(device, _)| (left(free, *device), *device));
        } else if able.len() > choice.count && !self.links.is_empty() {
            let link = |one: usize, other: usize| self.links[able[one].0][able[other].0];
            let mut group = nearest_group(able.len(), choice.count, &[], &link);
            group.sort_unstable();
            return Some(group.into_iter().map(|place| able[place]).collect());
        } else {
            // Where nothing is near anything, what is used in part already and cannot serve a share stays unused.
            able.sort_by_key(|(device, _)| (Reverse(left(free, *device)), *device));
        }
        able.truncate(choice.count);
        Some(able)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choosy_want_goes_first_and_what_is_not_met_takes_nothing() {
        let any = Choice { count: 1, shared: false, parts: vec![(0, 1), (1, 1)] };
        let one = Choice { count: 1, shared: false, parts: vec![(0, 1)] };
        let machine = Machine { shares: vec![1, 1], offers: vec![vec![any], vec![one]], ..Machine::default() };
        let (mut free, mut picks) = (vec![1, 1], Vec::new());
        assert!(machine.take(&[0, 1], 0, &mut free, &mut picks));
        assert_eq!(picks.iter().map(|pick| (pick.want, pick.device)).collect::<Vec<_>>(), [(1, 0), (0, 1)]);
        let (mut free, mut picks) = (vec![0, 1], Vec::new());
        assert!(!machine.take(&[0, 1], 0, &mut free, &mut picks));
        assert_eq!((free, picks.len()), (vec![0, 1], 0));
    }

    #[test]
    fn parts_fill_what_is_begun_and_near_devices_go_together() {
        let half = Choice { count: 1, shared: true, parts: vec![(0, 2), (1, 2)] };
        let machine = Machine { shares: vec![4, 4], offers: vec![vec![half]], ..Machine::default() };
        let (mut free, mut picks) = (vec![4, 3], Vec::new());
        assert!(machine.take(&[0], 0, &mut free, &mut picks));
        assert_eq!((&free[..], machine.supply(0, &free), machine.whole(&free)), (&[4, 1][..], 2, 1));
        let pair = Choice { count: 2, shared: false, parts: (0..4).map(|device| (device, 1)).collect() };
        let near = |one: usize, other: usize| u32::from(one != other && one % 2 == other % 2);
        let links = (0..4).map(|one| (0..4).map(|other| near(one, other)).collect()).collect();
        let machine = Machine { shares: vec![1; 4], links, offers: vec![vec![pair]], ..Machine::default() };
        let (mut free, mut picks) = (vec![1; 4], Vec::new());
        assert!(machine.take(&[0], 0, &mut free, &mut picks));
        assert_eq!(free, [0, 1, 0, 1]);
    }
}
