//! Digests that somebody is working with: the collector leaves them alone, and work on one is done once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

use crate::digest::Digest;

#[derive(Default)]
struct Slot {
    users: usize,
    work: Arc<tokio::sync::Mutex<()>>,
}

/// All pins of a store. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Pins {
    slots: Arc<Mutex<HashMap<Digest, Slot>>>,
}

/// Keeps one digest from being collected while it lives.
pub(crate) struct Pin {
    pins: Pins,
    digest: Digest,
}

impl Pins {
    /// Pins a digest.
    pub(crate) fn pin(&self, digest: &Digest) -> Pin {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.entry(digest.clone()).or_default().users += 1;
        Pin { pins: self.clone(), digest: digest.clone() }
    }

    /// Whether somebody works with it.
    pub(crate) fn is_pinned(&self, digest: &Digest) -> bool {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).contains_key(digest)
    }
}

impl Pin {
    /// Waits until nobody else works on this digest.
    pub(crate) async fn work(&self) -> OwnedMutexGuard<()> {
        let work = {
            let mut slots = self.pins.slots.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(&slots.entry(self.digest.clone()).or_default().work)
        };
        work.lock_owned().await
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut slots = self.pins.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get_mut(&self.digest) {
            slot.users -= 1;
            if slot.users == 0 {
                slots.remove(&self.digest);
            }
        }
    }
}
