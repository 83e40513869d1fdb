//! Who holds what. In memory only: each container's state, and each task, has its own part of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A device in the accounts: its kind and its name.
pub type Key = (String, String);

/// How much of a device somebody holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// A container's id, or another's word.
    pub holder: String,
    /// Parts of it; `None` is the whole, for nobody else to share.
    pub parts: Option<u32>,
}

/// All holds.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    holds: BTreeMap<Key, Vec<Hold>>,
}

impl Ledger {
    pub fn holds(&self, key: &Key) -> &[Hold] {
        self.holds.get(key).map_or(&[], Vec::as_slice)
    }

    /// Parts that are left of a device of `shares` parts; for one that is given whole, 0 or 1.
    pub fn free(&self, key: &Key, shares: u32) -> u32 {
        let taken: u32 = self.holds(key).iter().map(|hold| hold.parts.unwrap_or(shares)).sum();
        shares.saturating_sub(taken)
    }

    pub fn take(&mut self, key: Key, hold: Hold) {
        self.holds.entry(key).or_default().push(hold);
    }

    /// Everything of one holder is given back; says whether there was anything.
    pub fn release(&mut self, holder: &str) -> bool {
        let mut any = false;
        self.holds.retain(|_, holds| {
            let before = holds.len();
            holds.retain(|hold| hold.holder != holder);
            any |= holds.len() != before;
            !holds.is_empty()
        });
        any
    }
}
