//! Commands on plugins: the daemon has none, and says so of each.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::{
    Context, Exit, Outcome,
    args::plugin::{InspectArgs, LsArgs, NamesArgs, PluginCommand},
    client::{filters, path_segment},
    commands::each,
    failure::Failure,
    format::{List, Row},
};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Plugin {
    id: String,
    name: String,
    enabled: bool,
    config: Config,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Config {
    description: String,
}

const LIST: List<'_> = List {
    headings: &[("ID", "ID"), ("Name", "NAME"), ("Description", "DESCRIPTION"), ("Enabled", "ENABLED")],
    columns: "{{.ID}}\t{{.Name}}\t{{.Description}}\t{{.Enabled}}",
    quiet: "{{.ID}}",
    may_cut: &["Description"],
};

/// Carries out one of them.
pub async fn run(cx: &Context, command: PluginCommand) -> Outcome {
    use PluginCommand as C;
    let path = |name: &str, verb: &str| format!("/plugins/{}/{verb}", path_segment(name));
    match command {
        C::Create(_) => refused("create"),
        C::Install(_) => refused("install"),
        C::Ls(args) => ls(cx, args).await,
        C::Inspect(args) => inspect(cx, args).await,
        C::Rm(args) => rm(cx, args).await,
        C::Disable(args) => done(cx, &args.plugin, path(&args.plugin, "disable"), json!(null)).await,
        C::Enable(args) => done(cx, &args.plugin, path(&args.plugin, "enable"), json!(null)).await,
        C::Push(args) => done(cx, &args.plugin, path(&args.plugin, "push"), json!(null)).await,
        C::Set(args) => done(cx, &args.plugin, path(&args.plugin, "set"), json!(args.values)).await,
        C::Upgrade(args) => done(cx, &args.plugin, path(&args.plugin, "upgrade"), json!([])).await,
    }
}

fn refused(verb: &str) -> Outcome {
    Err(Failure::new(format!("plugin {verb} is not supported: networks, volumes and logs are the daemon's own work")))
}

async fn ls(cx: &Context, args: LsArgs) -> Outcome {
    let found: Vec<Plugin> = cx.client.get("/plugins").query_opt("filters", filters(&args.filters)?).read().await?;
    let rows = found
        .into_iter()
        .map(|plugin| {
            let id = if args.no_trunc { plugin.id } else { plugin.id.chars().take(12).collect() };
            Row::new()
                .set("ID", id)
                .set("Name", plugin.name)
                .set("Description", plugin.config.description)
                .set("Enabled", plugin.enabled)
        })
        .collect();
    LIST.print(cx.printer, args.format.format.as_deref(), args.quiet, args.no_trunc, rows)?;
    Ok(Exit::OK)
}

async fn inspect(cx: &Context, args: InspectArgs) -> Outcome {
    let ask = async |name: &str| -> Result<Value, Failure> {
        Ok(cx.client.get(format!("/plugins/{}/json", path_segment(name))).read().await?)
    };
    let (found, failures) = each::gather(cx, &args.plugins, ask).await;
    each::inspected(cx, args.format.as_deref(), found, &failures)
}

async fn rm(cx: &Context, args: NamesArgs) -> Outcome {
    let remove = async |name: &str| {
        let request = cx.client.delete(format!("/plugins/{}", path_segment(name)));
        request.flag("force", args.force).done().await?;
        Ok(name.to_owned())
    };
    let mut exit = Exit::OK;
    for name in &args.plugins {
        match remove(name).await {
            Ok(name) => cx.printer.line(name)?,
            Err(failure) => {
                cx.printer.failure(&failure);
                exit = Exit::FAILED;
            }
        }
    }
    Ok(exit)
}

async fn done(cx: &Context, name: &str, path: String, body: Value) -> Outcome {
    let request = cx.client.post(path);
    let request = if body.is_null() { request } else { request.json(&body)? };
    request.done().await?;
    cx.printer.line(name)?;
    Ok(Exit::OK)
}
