//! The build cache: `hoist builder prune`, `hoist buildx du|prune|ls|inspect|version`.

use hoist_build::{CacheEntry, dockerfile::Platform};
use hoist_proto::unit;
use serde::Deserialize;

use crate::cli::{
    Context, Exit, Outcome,
    args::build::{DuArgs, PruneArgs},
    commands::prompt::confirm,
    failure::Failure,
};

/// Removes build cache.
pub async fn prune(cx: &Context, args: PruneArgs) -> Outcome {
    #[derive(Deserialize)]
    struct Answer {
        removed: Vec<String>,
        reclaimed: u64,
    }
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
    if let Some(keep) = &args.keep_storage {
        order["keep"] = unit::parse_bytes(keep)?.into();
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

/// What the cache holds.
pub async fn du(cx: &Context, args: DuArgs) -> Outcome {
    let entries: Vec<CacheEntry> = cx.client.get("/hoist/v1/build/cache").read().await?;
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

/// There is one builder: the daemon.
pub fn ls(cx: &Context) -> Outcome {
    let platform = Platform::local();
    cx.printer.text(format!(
        "NAME/NODE     DRIVER/ENDPOINT   STATUS    PLATFORMS\ndefault*      hoist\n \\_ default   default           running   {platform}\n"
    ))?;
    Ok(Exit::OK)
}

/// The builder.
pub async fn inspect(cx: &Context) -> Outcome {
    let entries: Vec<CacheEntry> = cx.client.get("/hoist/v1/build/cache").read().await?;
    let size: u64 = entries.iter().map(|entry| entry.size).sum();
    cx.printer.text(format!(
        "Name:      default\nDriver:    hoist\nStatus:    running\nVersion:   {}\nPlatforms: {}\nCache:     {} in {} entries\n",
        env!("CARGO_PKG_VERSION"),
        Platform::local(),
        unit::format_bytes(size),
        entries.len()
    ))?;
    Ok(Exit::OK)
}

/// The version, in the form that scripts look for.
pub fn version(cx: &Context) -> Outcome {
    cx.printer.line(format!("hoist/buildx v{}", env!("CARGO_PKG_VERSION")))?;
    Ok(Exit::OK)
}
