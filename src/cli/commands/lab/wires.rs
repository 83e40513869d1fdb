//! `hoist lab cut`, `heal` and `slow`

use std::{collections::BTreeSet, net::IpAddr};

use hoist_network::lab::Shape;
use hoist_proto::unit;

use super::{
    failed,
    state::{Node, State},
};
use crate::cli::{
    args::lab::{CutArgs, HealArgs, SlowArgs},
    failure::Failure,
};

pub fn cut(args: &CutArgs, mut state: State) -> Result<(), Failure> {
    let inside: BTreeSet<String> = state.named(&args.nodes)?.iter().map(|node| node.name.clone()).collect();
    let outside: BTreeSet<String> = if args.from.is_empty() {
        state.record.nodes.iter().map(|node| node.name.clone()).filter(|name| !inside.contains(name)).collect()
    } else {
        state.named(&args.from)?.iter().map(|node| node.name.clone()).collect()
    };
    if let Some(both) = inside.intersection(&outside).next() {
        return Err(Failure::usage(format!("{both} cannot be cut off from itself")));
    }
    for one in &inside {
        for other in &outside {
            if !args.speaks {
                state.record.cuts.insert((one.clone(), other.clone()));
            }
            if !args.hears {
                state.record.cuts.insert((other.clone(), one.clone()));
            }
        }
    }
    apply(&state)
}

pub fn heal(args: &HealArgs, mut state: State) -> Result<(), Failure> {
    let nodes: BTreeSet<String> = if args.nodes.is_empty() {
        state.record.nodes.iter().map(|node| node.name.clone()).collect()
    } else {
        state.named(&args.nodes)?.iter().map(|node| node.name.clone()).collect()
    };
    state.record.cuts.retain(|(from, to)| !nodes.contains(from) && !nodes.contains(to));
    for node in state.record.nodes.iter_mut().filter(|node| nodes.contains(&node.name) && !node.slow.is_empty()) {
        state.place.lab().shape(&node.name, Shape::default()).map_err(|err| failed(&err))?;
        node.slow.clear();
    }
    apply(&state)
}

pub fn slow(args: &SlowArgs, mut state: State) -> Result<(), Failure> {
    let usage = |flag: &str, err: &dyn std::fmt::Display| Failure::usage(format!("invalid value of --{flag}: {err}"));
    let duration = |flag: &str, text: &Option<String>| {
        text.as_deref()
            .map_or(Ok(std::time::Duration::ZERO), |text| unit::parse_duration(text).map_err(|err| usage(flag, &err)))
    };
    let rate = args.rate.as_deref().map(unit::parse_bytes).transpose().map_err(|err| usage("rate", &err))?;
    let rate = rate.map(u32::try_from).transpose().map_err(|_| usage("rate", &"it is 4g a second at most"))?;
    let loss = args.loss.unwrap_or(0.0);
    if !(0.0..=100.0).contains(&loss) {
        return Err(usage("loss", &"it is between 0 and 100 percent"));
    }
    let shape = Shape {
        rate: rate.filter(|rate| *rate > 0),
        delay: duration("delay", &args.delay)?,
        jitter: duration("jitter", &args.jitter)?,
        loss: loss / 100.0,
    };
    if shape == Shape::default() {
        return Err(Failure::usage("say how: --rate, --delay or --loss").hint("hoist lab heal takes it back"));
    }
    let words = [("rate", &args.rate), ("delay", &args.delay), ("jitter", &args.jitter)];
    let mut words: Vec<String> =
        words.iter().filter_map(|(word, value)| Some(format!("{word} {}", value.as_deref()?))).collect();
    words.extend(args.loss.map(|loss| format!("loss {loss}%")));
    let names: Vec<String> = state.named(&args.nodes)?.iter().map(|node| node.name.clone()).collect();
    for name in names {
        let outcome = state.place.lab().shape(&name, shape);
        if let Some(node) = state.record.nodes.iter_mut().find(|node| node.name == name) {
            // What was set before is gone in either case.
            node.slow = if outcome.is_ok() { words.join(", ") } else { String::new() };
        }
        state.save()?;
        outcome.map_err(|err| failed(&err))?;
    }
    Ok(())
}

/// Brings each machine's ears to what the record says.
fn apply(state: &State) -> Result<(), Failure> {
    for node in &state.record.nodes {
        let mute = |other: &&Node| state.record.cuts.contains(&(other.name.clone(), node.name.clone()));
        let sources: Vec<IpAddr> = state.record.nodes.iter().filter(mute).map(|other| other.address).collect();
        state.place.lab().deafen(&node.name, &sources).map_err(|err| failed(&err))?;
    }
    state.save()
}
