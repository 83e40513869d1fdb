//! The names of what there is, as the daemon tells them.

use std::{path::Path, time::Duration};

use serde_json::Value;

use super::here;
use crate::cli::{client::Client, contexts};

/// How long a person waits for names.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whose names are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Containers,
    Running,
    Stopped,
    Images,
    Networks,
    Volumes,
    Services,
    ComposeServices,
    Stacks,
    Nodes,
    Secrets,
    Configs,
    Contexts,
    /// Whatever `inspect` knows.
    Objects,
}

impl Kind {
    /// What a flag or argument is for: by the name of its value, by its own, and by the commands before it.
    pub fn of(value: &str, id: &str, commands: &[String]) -> Option<Self> {
        let first = commands.first().map_or("", String::as_str);
        let verb = commands.last().map_or("", String::as_str);
        Some(match (value, id) {
            ("CONTAINER", _) => match verb {
                "start" => Self::Stopped,
                "attach" | "exec" | "kill" | "pause" | "port" | "stats" | "stop" | "top" => Self::Running,
                _ => Self::Containers,
            },
            (_, "volumes_from" | "links") => Self::Containers,
            ("IMAGE", _) => Self::Images,
            ("NAME[:TAG]" | "REPOSITORY[:TAG]", _) if matches!(verb, "push" | "save" | "tag") => Self::Images,
            ("NETWORK", _) | (_, "network" | "networks") => Self::Networks,
            ("VOLUME", _) => Self::Volumes,
            ("SERVICE", _) if matches!(first, "compose" | "up" | "down" | "watch") => Self::ComposeServices,
            ("SERVICE", _) => Self::Services,
            ("STACK", _) => Self::Stacks,
            ("NODE" | "self|NODE", _) => Self::Nodes,
            ("SECRET", _) => Self::Secrets,
            ("CONFIG", _) => Self::Configs,
            ("CONTEXT", _) => Self::Contexts,
            ("NAME", _) if verb == "inspect" => Self::Objects,
            _ => return None,
        })
    }
}

type Names = Vec<(String, String)>;

/// All names of a kind; `None` where they cannot be had.
pub fn all(kind: Kind, client: &Client, config_dir: &Path) -> Option<Names> {
    match kind {
        Kind::ComposeServices => return compose(),
        Kind::Contexts => {
            let store = contexts::Store::of(config_dir);
            return Some(store.list().ok()?.into_iter().map(|meta| (meta.name, String::new())).collect());
        }
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    runtime.block_on(async { tokio::time::timeout(PATIENCE, ask(kind, client)).await.ok() })
}

async fn ask(kind: Kind, client: &Client) -> Names {
    match kind {
        Kind::Containers => containers(client, |_| true).await,
        Kind::Running => containers(client, |state| matches!(state, "running" | "paused" | "restarting")).await,
        Kind::Stopped => containers(client, |state| matches!(state, "created" | "exited" | "dead")).await,
        Kind::Images => images(client).await,
        Kind::Networks => named(client, "/networks", |one| (text(&one["Name"]), text(&one["Driver"]))).await,
        Kind::Volumes => named(client, "/volumes", |one| (text(&one["Name"]), text(&one["Driver"]))).await,
        Kind::Services => named(client, "/services", |one| (text(&one["Spec"]["Name"]), String::new())).await,
        Kind::Stacks => {
            let label = |one: &Value| text(&one["Spec"]["Labels"]["com.docker.stack.namespace"]);
            let mut names = named(client, "/services", |one| (label(one), String::new())).await;
            names.retain(|(name, _)| !name.is_empty());
            names.sort();
            names.dedup();
            names
        }
        Kind::Nodes => {
            named(client, "/nodes", |one| (text(&one["Description"]["Hostname"]), text(&one["Status"]["State"]))).await
        }
        Kind::Secrets => named(client, "/secrets", |one| (text(&one["Spec"]["Name"]), String::new())).await,
        Kind::Configs => named(client, "/configs", |one| (text(&one["Spec"]["Name"]), String::new())).await,
        Kind::Objects => {
            let mut names = containers(client, |_| true).await;
            names.extend(images(client).await);
            names.extend(named(client, "/networks", |one| (text(&one["Name"]), "network".to_owned())).await);
            names.extend(named(client, "/volumes", |one| (text(&one["Name"]), "volume".to_owned())).await);
            names
        }
        Kind::ComposeServices | Kind::Contexts => Names::new(),
    }
}

async fn named(client: &Client, path: &str, name: impl Fn(&Value) -> (String, String)) -> Names {
    let Ok(found) = client.get(path).read::<Value>().await else { return Names::new() };
    let list = found.as_array().or_else(|| found["Volumes"].as_array());
    list.into_iter().flatten().map(name).collect()
}

async fn containers(client: &Client, wanted: impl Fn(&str) -> bool) -> Names {
    let Ok(found) = client.get("/containers/json").query("all", "1").read::<Vec<Value>>().await else {
        return Names::new();
    };
    let mut names = Names::new();
    for one in found.iter().filter(|one| wanted(one["State"].as_str().unwrap_or_default())) {
        let what = format!("{}, {}", text(&one["Image"]), text(&one["Status"]));
        for name in one["Names"].as_array().into_iter().flatten() {
            names.push((text(name).trim_start_matches('/').to_owned(), what.clone()));
        }
    }
    names
}

/// With their tags, and without where it is the usual one.
async fn images(client: &Client) -> Names {
    let Ok(found) = client.get("/images/json").read::<Vec<Value>>().await else { return Names::new() };
    let tags = found.iter().flat_map(|one| one["RepoTags"].as_array().cloned().unwrap_or_default());
    let mut names = Names::new();
    for tag in tags.map(|tag| text(&tag)).filter(|tag| !tag.contains("<none>")) {
        if let Some(name) = tag.strip_suffix(":latest") {
            names.push((name.to_owned(), "image".to_owned()));
        }
        names.push((tag, "image".to_owned()));
    }
    names
}

/// The services of the compose files of this directory.
fn compose() -> Option<Names> {
    let env = std::env::vars_os().filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)));
    let options = hoist_compose::LoadOptions { env: env.collect(), ..hoist_compose::LoadOptions::new(here()) };
    let project = hoist_compose::load(&options).ok()?.project;
    let image = |service: &hoist_compose::model::Service| service.image.clone().unwrap_or_default();
    Some(project.services.iter().map(|(name, service)| (name.clone(), image(service))).collect())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
