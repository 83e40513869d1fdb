//! A cluster in simulated time: the managers' own raft, store, orchestrator, allocator, scheduler, queue and dispatcher,
//! on disks, clocks and a network that fail as chance decides, with agents and clients to whom it must keep its word.
//!
//! [`run`] makes one run of a seed. All of it happens on one thread, whose only clock is tokio's paused one, and all
//! chance follows from the seed: a seed that fails fails again, and its log tells why.
//!
//! What holds at every moment: one leader a term; no address and no device given twice; nothing runs twice on nodes
//! that hear what they have to do. In the end: reads and writes were linearizable ([`linear`]), all managers have the
//! same tables, what was acknowledged is there, all jobs have ended, and what runs is what should, and nothing else.
#![forbid(unsafe_code)]

mod agent;
mod chance;
mod check;
mod client;
mod clock;
mod faults;
pub mod linear;
mod machine;
mod network;
mod world;

use std::time::Duration;

pub use world::Counts;

/// How large a cluster is, and how long things go wrong.
#[derive(Debug, Clone)]
pub struct Setup {
    pub managers: usize,
    pub agents: usize,
    pub faults: Duration,
    /// Disks say that they have synced, and have not: such a run must fail.
    pub disks_lie: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self { managers: 3, agents: 4, faults: Duration::from_secs(60), disks_lie: false }
    }
}

/// What a run that went well has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// Another run of the seed has the same.
    pub fingerprint: u64,
    pub counts: Counts,
}

/// One run.
///
/// # Errors
/// What did not hold.
pub fn run(setup: &Setup, seed: u64) -> Result<Report, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|error| error.to_string())?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let world = world::World::new(setup, seed);
        world.run(setup).await.map(|(fingerprint, counts)| Report { fingerprint, counts })
    })
}
