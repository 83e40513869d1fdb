//! `hoist compose ls` and `version`.

use hoist_proto::spec::ProjectSummary;
use serde_json::{Value, json};

use super::{
    args::{LsArgs, VersionArgs},
    rows,
};
use crate::cli::{Context, Exit, Outcome, failure::Failure};

/// `hoist compose ls`.
pub async fn ls(context: &Context, flags: &LsArgs) -> Outcome {
    let mut projects: Vec<ProjectSummary> = context.client.get("/hoist/v1/projects").read().await?;
    projects.sort_by(|a, b| a.name.cmp(&b.name));
    let running = |project: &ProjectSummary| project.states.keys().any(|state| state != "exited" && state != "created");
    projects.retain(|project| flags.all || running(project));
    for filter in &flags.filters {
        match filter.split_once('=') {
            Some(("name", pattern)) => projects.retain(|project| project.name.contains(pattern)),
            _ => return Err(Failure::new(format!("invalid filter {filter:?}")).hint("only name=PATTERN is known")),
        }
    }
    if flags.quiet {
        for project in &projects {
            context.printer.line(&project.name)?;
        }
        return Ok(Exit::OK);
    }
    let list: Vec<Value> = projects
        .iter()
        .map(|project| {
            json!({ "Name": project.name, "Status": project.status(), "ConfigFiles": project.config_files.join(",") })
        })
        .collect();
    if flags.format == "json" {
        context.printer.line(Value::Array(list).to_string())?;
        return Ok(Exit::OK);
    }
    rows::print(
        context,
        &flags.format,
        &[("NAME", "Name"), ("STATUS", "Status"), ("CONFIG FILES", "ConfigFiles")],
        &list,
    )
}

/// `hoist compose version`.
pub fn version(context: &Context, flags: &VersionArgs) -> Outcome {
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    context.printer.line(match (flags.short, flags.format.as_str()) {
        (true, _) => VERSION.to_owned(),
        (false, "json") => json!({ "version": VERSION }).to_string(),
        (false, "pretty" | "") => format!("Hoist Compose version {VERSION}"),
        (false, other) => {
            return Err(Failure::new(format!("invalid format {other:?}")).hint("expected pretty or json"));
        }
    })?;
    Ok(Exit::OK)
}
