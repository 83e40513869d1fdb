//! Runs the simulation for many seeds: `cargo run --release -p hoist-simulation --example seeds -- --seeds 1000
//! [--from N] [--managers N] [--agents N] [--seconds N]`; one seed with its log: `RUST_LOG=info … --seeds 1 --from N`.
#![allow(clippy::print_stdout)] // it reports

use std::{
    env,
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use hoist_simulation::{Counts, Setup, run};

fn main() -> ExitCode {
    // What goes wrong on purpose is nobody's news.
    let filter = env::var("RUST_LOG").unwrap_or_else(|_| "off".into());
    tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::new(filter)).init();
    let (mut setup, mut seeds, mut from) = (Setup::default(), 100, 1);
    let mut words = env::args().skip(1);
    while let Some(word) = words.next() {
        let Some(value) = words.next().and_then(|value| value.parse::<u64>().ok()) else {
            println!("{word} needs a number");
            return ExitCode::from(2);
        };
        match word.as_str() {
            "--seeds" => seeds = value,
            "--from" => from = value,
            "--managers" => setup.managers = usize::try_from(value).unwrap_or(usize::MAX),
            "--agents" => setup.agents = usize::try_from(value).unwrap_or(usize::MAX),
            "--seconds" => setup.faults = Duration::from_secs(value),
            _ => {
                println!("unknown option {word}; there are --seeds, --from, --managers, --agents and --seconds");
                return ExitCode::from(2);
            }
        }
    }
    let (next, sums, began) = (AtomicU64::new(from), Mutex::new((Counts::default(), Vec::new())), Instant::now());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + seeds {
                        return;
                    }
                    let outcome = run(&setup, seed);
                    let mut sums = sums.lock().unwrap_or_else(PoisonError::into_inner);
                    match outcome {
                        Ok(report) => sums.0.add(report.counts),
                        Err(wrong) => {
                            println!("seed {seed}: {wrong}");
                            sums.1.push(seed);
                        }
                    }
                }
            });
        }
    });
    let (counts, failed) = sums.into_inner().unwrap_or_else(PoisonError::into_inner);
    let took = began.elapsed().as_secs_f64();
    println!(
        "{seeds} seeds in {took:.1} s: {} managers, {} agents, {} s of faults each; {} failed {failed:?}",
        setup.managers,
        setup.agents,
        setup.faults.as_secs(),
        failed.len(),
    );
    println!(
        "{} faults, {} operations on registers, {} services, {} jobs, {} writes in the logs",
        counts.faults, counts.operations, counts.services, counts.jobs, counts.writes
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
