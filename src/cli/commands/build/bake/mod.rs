//! `hoist bake`: several builds from one file, in HCL, JSON or Compose's form.
//!
//! `files` finds and reads them; `eval` and `functions` are HCL's expressions; `read` makes targets of blocks; `target`
//! says what a target is and how one is laid over another; `plan` picks those that are wanted, in the order in which
//! they are built; `job` makes a build of each.

mod eval;
mod files;
mod functions;
mod job;
mod plan;
mod read;
mod target;

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::{Part, several};
use crate::cli::{
    Context, Exit, Outcome,
    args::build::{BakeArgs, BakeList, Progress},
    client::path_segment,
    failure::Failure,
};

/// `hoist bake`
pub async fn run(cx: &Context, args: BakeArgs) -> Outcome {
    args.builder.check()?;
    let check = match args.call.as_str() {
        "build" => args.check,
        "check" | "lint" => true,
        other => {
            return Err(Failure::usage(format!(
                "--call {other} is not supported for several targets: build and check are"
            )));
        }
    };
    let args = BakeArgs { check, ..args };
    let definitions = files::load(cx, &args.files, &args.variables)?;
    match args.list {
        Some(BakeList::Targets) => return list_targets(cx, &definitions),
        Some(BakeList::Variables) => return list_variables(cx, &definitions),
        None => {}
    }
    let mut overrides = args.set.iter().map(|entry| plan::Override::parse(entry)).collect::<Result<Vec<_>, _>>()?;
    let mut add = |key: &str, value: &str| overrides.push(plan::Override::all(key, value));
    if args.no_cache {
        add("no-cache", "true");
    }
    if args.pull {
        add("pull", "true");
    }
    for (key, value) in [("provenance", &args.provenance), ("sbom", &args.sbom)] {
        if let Some(value) = value {
            add("attest+", &format!("type={key},{value}"));
        }
    }
    let plan = plan::Plan::new(&definitions, &args.targets, &overrides)?;
    if args.print {
        cx.printer.line(serde_json::to_string_pretty(&plan.shown())?)?;
        return Ok(Exit::OK);
    }
    let progress = if args.quiet { Progress::Quiet } else { args.progress };
    let parts: Vec<Part> =
        plan.order.iter().map(|name| Part { name: name.clone(), needs: plan.targets[name].bases() }).collect();
    let done = several(cx, ("Target", &parts), (progress, check), |name, built| {
        job::job(name, &plan.targets[name], built, &args, plan.wanted.contains(name))
    })
    .await?;
    let mut metadata = Map::new();
    let mut extra = Vec::new();
    for (name, result) in &done.results {
        if plan.wanted.contains(name) {
            metadata.insert(name.clone(), json!(result.metadata));
        } else if result.names.is_empty() {
            extra.extend(result.image.clone());
        }
    }
    for image in extra {
        // It was the base of others, whose layers stay with them.
        let _ = cx.client.delete(format!("/images/{}", path_segment(&image))).query("noprune", "1").done().await;
    }
    if let Some(path) = &args.metadata_file {
        write(path, &Value::Object(metadata))?;
    }
    Ok(if check && done.found { Exit::FAILED } else { Exit::OK })
}

fn write(path: &PathBuf, value: &Value) -> Result<(), Failure> {
    fs_err::write(path, serde_json::to_string_pretty(value)?)?;
    Ok(())
}

fn list_targets(cx: &Context, definitions: &read::Definitions) -> Outcome {
    for (name, members) in &definitions.groups {
        cx.printer.line(format!("{name}\tgroup: {}", members.join(", ")))?;
    }
    for (name, target) in &definitions.targets {
        let about = target.attributes.get("description").and_then(Value::as_str).unwrap_or_default();
        cx.printer.line(format!("{name}\t{about}").trim_end())?;
    }
    Ok(Exit::OK)
}

fn list_variables(cx: &Context, definitions: &read::Definitions) -> Outcome {
    for (name, value) in &definitions.variables {
        cx.printer.line(format!("{name}\t{value}"))?;
    }
    Ok(Exit::OK)
}
