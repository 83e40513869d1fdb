//! `hoist stats`

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::join_all;
use serde::Deserialize;

use crate::cli::{
    Context, Exit, Outcome,
    args::container::StatsArgs,
    commands::container::{
        hints,
        ls::{Summary, short},
        path,
        usage::{Stats, row},
    },
    failure::Failure,
    format::{List, Row},
};

const LIST: List<'_> = List {
    headings: &[
        ("ID", "CONTAINER ID"),
        ("Container", "CONTAINER"),
        ("Name", "NAME"),
        ("CPUPerc", "CPU %"),
        ("MemUsage", "MEM USAGE / LIMIT"),
        ("MemPerc", "MEM %"),
        ("NetIO", "NET I/O"),
        ("BlockIO", "BLOCK I/O"),
        ("PIDs", "PIDS"),
        ("GPUPerc", "GPU %"),
        ("GPUMem", "GPU MEM"),
    ],
    columns: "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}",
    quiet: "{{.ID}}",
    may_cut: &["Name"],
};

/// Where a container has devices that are measured.
const WITH_DEVICES: List<'_> = List {
    columns: "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.GPUPerc}}\t{{.GPUMem}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}",
    ..LIST
};

/// Time between two tables.
const PACE: Duration = Duration::from_millis(1000);

/// Shows what containers use, once or over and over.
pub async fn run(cx: &Context, args: StatsArgs) -> Outcome {
    let format = args.format.format.as_deref();
    let live =
        !args.no_stream && cx.printer.out_is_terminal() && format.is_none_or(|format| format.starts_with("table"));
    loop {
        let names = names(cx, &args).await?;
        let (mut rows, mut failures, mut devices) = (Vec::new(), Vec::new(), false);
        for (name, result) in names.iter().zip(join_all(names.iter().map(|name| one(cx, name))).await) {
            match result {
                Ok(stats) => {
                    devices |= stats.has_devices();
                    rows.push(row(name, &stats, |id| short(id, args.no_trunc)));
                }
                // It may have gone since it was listed.
                Err(failure) if args.containers.is_empty() && failure.is_not_found() => {}
                Err(failure) => failures.push(hints::containers(cx, failure, name).await),
            }
        }
        if let Some(failure) = failures.into_iter().next() {
            return Err(failure);
        }
        show(cx, &args, live, if devices { &WITH_DEVICES } else { &LIST }, rows)?;
        if args.no_stream {
            return Ok(Exit::OK);
        }
        tokio::time::sleep(PACE).await;
    }
}

fn show(cx: &Context, args: &StatsArgs, live: bool, list: &List<'_>, rows: Vec<Row>) -> Result<(), Failure> {
    let width = if args.no_trunc { None } else { cx.printer.width() };
    let text = list.render(args.format.format.as_deref(), false, width, rows)?;
    // From the top of the screen, each line to its end, and nothing below.
    cx.printer.text(if live { format!("\x1b[H{}\x1b[J", text.replace('\n', "\x1b[K\n")) } else { text })
}

async fn names(cx: &Context, args: &StatsArgs) -> Result<Vec<String>, Failure> {
    if !args.containers.is_empty() {
        return Ok(args.containers.clone());
    }
    let found: Vec<Summary> = cx.client.get("/containers/json").flag("all", args.all).read().await?;
    Ok(found.into_iter().map(|container| container.id).collect())
}

/// Two samples, so that the share of the processors is known.
async fn one(cx: &Context, name: &str) -> Result<Stats, Failure> {
    Ok(cx.client.get(path(name, "stats")).query("stream", "0").read().await?)
}

/// Counters by network interface.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Interface {
    pub rx_bytes: u64,
    pub tx_bytes: u64,
}

pub type Interfaces = BTreeMap<String, Interface>;
