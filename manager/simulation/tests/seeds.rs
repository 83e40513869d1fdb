//! Some seeds, on every run of the tests; many more are for the program.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use hoist_simulation::{Setup, run};

fn short() -> Setup {
    Setup { faults: Duration::from_secs(30), ..Setup::default() }
}

#[test]
fn some_seeds_hold() {
    for seed in 1..=4 {
        run(&short(), seed).unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}"));
    }
}

#[test]
fn five_managers_hold() {
    let setup = Setup { managers: 5, ..short() };
    for seed in 100..=101 {
        run(&setup, seed).unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}"));
    }
}

#[test]
fn a_seed_can_be_run_again() {
    let (first, again) = (run(&short(), 11).unwrap(), run(&short(), 11).unwrap());
    assert_eq!(first, again);
    assert_ne!(first.fingerprint, run(&short(), 12).unwrap().fingerprint);
}

/// A check that finds nothing where something is wrong would be none.
#[test]
fn disks_that_lie_are_found() {
    let setup = Setup { disks_lie: true, ..short() };
    assert!((1..=20).any(|seed| run(&setup, seed).is_err()), "twenty runs on disks that lie went well");
}
