//! The build cache: `hoist builder prune`, `hoist buildx du|prune`.

use hoist_build::CacheEntry;
use hoist_proto::unit;
use serde::Deserialize;

use crate::cli::{
    Context, Exit, Outcome,
    args::build::{DuArgs, PruneArgs},
    commands::prompt::confirm,
    failure::Failure,
    format::{List, Row},
};

/// Removes build cache.
pub async fn prune(cx: &Context, args: PruneArgs) -> Outcome {
    #[derive(Deserialize)]
    struct Answer {
        removed: Vec<String>,
        reclaimed: u64,
    }
    args.builder.check()?;
    let mut order = serde_json::json!({ "all": args.all });
    for filter in &args.filters {
        let (key, value) = filter
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("invalid value '{filter}' for '--filter': expected KEY=VALUE")))?;
        match key {
            "until" | "unused-for" => order["unused_for"] = unit::parse_duration(value)?.as_secs().into(),
            "id" => order["ids"] = serde_json::json!([value]),
            "type" => order["kinds"] = serde_json::json!([value]),
            other => {
                let known = "until, unused-for, id or type";
                return Err(Failure::usage(format!("unknown filter '{other}': expected {known}")));
            }
        }
    }
    let room = [("keep", &args.keep_storage), ("max_used", &args.max_used_space), ("min_free", &args.min_free_space)];
    for (key, bytes) in room {
        if let Some(bytes) = bytes {
            order[key] = unit::parse_bytes(bytes)?.into();
        }
    }
    let question = match args.all {
        true => "WARNING! This will remove all build cache.",
        false => "WARNING! This will remove all dangling build cache.",
    };
    if !args.force && !confirm(cx, question)? {
        return Ok(Exit::OK);
    }
    let answer: Answer = cx.client.post("/hoist/v1/build/prune").json(&order)?.read().await?;
    let mut text = String::new();
    if !answer.removed.is_empty() {
        text = format!("Deleted build cache objects:\n{}\n\n", answer.removed.join("\n"));
    }
    text.push_str(&format!("Total reclaimed space: {}\n", unit::format_bytes(answer.reclaimed)));
    cx.printer.text(text)?;
    Ok(Exit::OK)
}

const LIST: List<'_> = List {
    headings: &[
        ("ID", "ID"),
        ("Reclaimable", "RECLAIMABLE"),
        ("Size", "SIZE"),
        ("Shared", "SHARED"),
        ("Type", "TYPE"),
        ("Description", "DESCRIPTION"),
        ("UsageCount", "USAGE COUNT"),
        ("Parents", "PARENTS"),
    ],
    columns: "{{.ID}}\t{{.Reclaimable}}\t{{.Size}}",
    quiet: "{{.ID}}",
    may_cut: &[],
};

/// What the cache holds.
pub async fn du(cx: &Context, args: DuArgs) -> Outcome {
    args.builder.check()?;
    let mut entries: Vec<CacheEntry> = cx.client.get("/hoist/v1/build/cache").read().await?;
    for filter in &args.filters {
        match filter.split_once('=') {
            Some(("id", id)) => entries.retain(|entry| entry.id == id),
            Some(("type", kind)) => entries.retain(|entry| entry.kind == kind),
            _ => return Err(Failure::usage(format!("unknown filter '{filter}': expected id=… or type=…"))),
        }
    }
    if args.format.format.is_some() {
        let row = |entry: &CacheEntry| {
            Row::new()
                .set("ID", entry.id.as_str())
                .set("Reclaimable", !entry.in_use)
                .set("Size", unit::format_bytes(entry.size))
                .set("Shared", entry.shared)
                .set("Type", entry.kind.as_str())
                .set("Description", entry.description.as_str())
                .set("UsageCount", i64::try_from(entry.usage_count).unwrap_or(i64::MAX))
                .set("Parents", entry.parents.join(","))
        };
        LIST.print(cx.printer, args.format.format.as_deref(), false, true, entries.iter().map(row).collect())?;
        return Ok(Exit::OK);
    }
    let mut text = String::new();
    if args.verbose {
        for entry in &entries {
            text.push_str(&format!("ID:\t\t{}\n", entry.id));
            if !entry.parents.is_empty() {
                text.push_str(&format!("Parents:\t{}\n", entry.parents.join(", ")));
            }
            text.push_str(&format!(
                "Reclaimable:\t{}\nShared:\t\t{}\nSize:\t\t{}\nDescription:\t{}\nUsage count:\t{}\nType:\t\t{}\n\n",
                !entry.in_use,
                entry.shared,
                unit::format_bytes(entry.size),
                entry.description,
                entry.usage_count,
                entry.kind
            ));
        }
    } else {
        let width = entries.iter().map(|entry| entry.id.len()).max().unwrap_or(0).max(2);
        text.push_str(&format!("{:<width$}  RECLAIMABLE  SIZE\n", "ID"));
        for entry in &entries {
            let size = unit::format_bytes(entry.size);
            text.push_str(&format!("{:<width$}  {:<11}  {size}\n", entry.id, !entry.in_use));
        }
    }
    let sum = |wanted: &dyn Fn(&&CacheEntry) -> bool| -> String {
        unit::format_bytes(entries.iter().filter(wanted).map(|entry| entry.size).sum())
    };
    text.push_str(&format!("Reclaimable:\t{}\nTotal:\t\t{}\n", sum(&|entry| !entry.in_use), sum(&|_| true)));
    cx.printer.text(text)?;
    Ok(Exit::OK)
}
