//! The files: those that are named, or those that lie here under the usual names.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use hoist_compose::model::{Build, Project, Service};
use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use super::{
    read::{Definitions, Written},
    target::Target,
};
use crate::cli::{
    Context,
    commands::compose::{args::ProjectArgs, project::load_project},
    failure::Failure,
};

/// All of these that are there are read, in this order.
const USUAL: [&str; 8] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yml",
    "docker-compose.yaml",
    "docker-bake.json",
    "docker-bake.hcl",
    "docker-bake.override.json",
    "docker-bake.override.hcl",
];

/// Reads and evaluates.
///
/// # Errors
/// A file that is not there, and its mistakes.
pub fn load(cx: &Context, named: &[PathBuf], variables: &[String]) -> Result<Definitions, Failure> {
    let usual = || USUAL.iter().map(PathBuf::from).filter(|path| path.is_file()).collect::<Vec<_>>();
    let files = if named.is_empty() { usual() } else { named.to_vec() };
    if files.is_empty() {
        return Err(Failure::usage("there is no bake file here")
            .hint(format!("name one with -f; looked for are {}", USUAL.join(", "))));
    }
    let mut written = Written::default();
    let mut compose = Vec::new();
    for path in files {
        match kind(&path)? {
            Kind::Compose => compose.push(path),
            Kind::Hcl(text) => written.hcl(&path, &text)?,
            Kind::Json(text) => written.json(&path, &text)?,
        }
    }
    if !compose.is_empty() {
        let args = ProjectArgs { files: compose, ..ProjectArgs::default() };
        let project = load_project(cx, &args)?;
        written.ready(targets(&project)?);
    }
    let mut given = std::collections::BTreeMap::new();
    for entry in variables {
        let pair = entry.split_once('=').filter(|(name, _)| !name.is_empty());
        let (name, value) =
            pair.ok_or_else(|| Failure::usage(format!("invalid value '{entry}' for '--var': expected NAME=VALUE")))?;
        if !written.has_variable(name) {
            return Err(Failure::usage(format!("--var {name}: the files have no such variable")));
        }
        given.insert(name, value);
    }
    written.evaluate(&|name| given.get(name).map(|value| (*value).to_owned()).or_else(|| std::env::var(name).ok()))
}

enum Kind {
    Compose,
    Hcl(String),
    Json(String),
}

fn kind(path: &Path) -> Result<Kind, Failure> {
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    if ["yaml", "yml"].contains(&ending.as_str()) {
        return Ok(Kind::Compose);
    }
    let text = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        text
    } else {
        fs_err::read_to_string(path)?
    };
    // A file without a telling name is what it looks like.
    let json = ending == "json" || (ending != "hcl" && text.trim_start().starts_with('{'));
    Ok(if json { Kind::Json(text) } else { Kind::Hcl(text) })
}

/// The services that are built, as targets.
fn targets(project: &Project) -> Result<IndexMap<String, Target>, Failure> {
    let mut found = IndexMap::new();
    for service in project.services.values() {
        if let Some(build) = &service.build {
            let name = service.name.replace('.', "_");
            let target = target(project, service, build).map_err(|failure| Failure {
                message: format!("service {}: {}", service.name, failure.message),
                ..failure
            })?;
            found.insert(name, target);
        }
    }
    Ok(found)
}

fn target(project: &Project, service: &Service, build: &Build) -> Result<Target, Failure> {
    let mut target = Target::default();
    let mut set = |name: &str, value: Value| match &value {
        Value::Array(items) if items.is_empty() => Ok(()),
        Value::Object(map) if map.is_empty() => Ok(()),
        _ => target.set(name, value),
    };
    let text = |text: &Option<String>| text.as_deref().map_or(Value::Null, Value::from);
    set("context", text(&build.context))?;
    set("dockerfile", text(&build.dockerfile))?;
    set("dockerfile-inline", text(&build.dockerfile_inline))?;
    set("target", text(&build.target))?;
    set("network", text(&build.network))?;
    let args = build.args.iter().map(|(name, value)| {
        let value = value.clone().or_else(|| project.environment.get(name).cloned());
        (name.clone(), value.map_or(Value::Null, Value::from))
    });
    set("args", args.collect::<Map<_, _>>().into())?;
    let pairs = |pairs: Vec<(&str, &str)>| {
        pairs.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect::<Map<_, _>>()
    };
    set("labels", pairs(build.labels.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect()).into())?;
    set("extra-hosts", pairs(build.extra_hosts.pairs().collect()).into())?;
    let contexts = build.additional_contexts.iter().map(|(name, place)| {
        let place = match place.strip_prefix("service:") {
            Some(other) => format!("target:{}", other.replace('.', "_")),
            None => place.clone(),
        };
        (name.clone(), Value::from(place))
    });
    set("contexts", contexts.collect::<Map<_, _>>().into())?;
    let mut tags = vec![project.image_of(service)];
    tags.extend(build.tags.iter().cloned());
    set("tags", json!(tags))?;
    let platforms = match (build.platforms.is_empty(), &service.platform) {
        (true, Some(platform)) => vec![platform.clone()],
        _ => build.platforms.clone(),
    };
    set("platforms", json!(platforms))?;
    set("cache-from", json!(build.cache_from))?;
    set("cache-to", json!(build.cache_to))?;
    set("entitlements", json!(build.entitlements))?;
    let ssh: Vec<String> =
        build.ssh.iter().map(|(id, path)| if path.is_empty() { id.clone() } else { format!("{id}={path}") }).collect();
    set("ssh", json!(ssh))?;
    let ulimits: Vec<String> =
        build.ulimits.iter().map(|(name, limit)| format!("{name}={}:{}", limit.soft, limit.hard)).collect();
    set("ulimits", json!(ulimits))?;
    set("shm-size", build.shm_size.map_or(Value::Null, |size| json!(size.0)))?;
    if build.no_cache {
        set("no-cache", Value::Bool(true))?;
    }
    if build.pull {
        set("pull", Value::Bool(true))?;
    }
    let mut secrets = Vec::new();
    for mount in &build.secrets {
        let secret = project.secrets.get(&mount.source);
        let id = mount.target.as_deref().unwrap_or(&mount.source).rsplit('/').next().unwrap_or_default();
        secrets.push(match secret.map(|secret| (&secret.file, &secret.environment)) {
            Some((Some(file), _)) => format!("id={id},src={}", project.working_dir.join(file).display()),
            Some((None, Some(variable))) => format!("id={id},env={variable}"),
            _ => {
                return Err(Failure::new(format!(
                    "the build secret {:?} has neither file nor environment",
                    mount.source
                )));
            }
        });
    }
    set("secret", json!(secrets))?;
    let mut attests = Vec::new();
    for (kind, value) in [("provenance", &build.provenance), ("sbom", &build.sbom)] {
        attests.extend(value.as_ref().map(|value| format!("type={kind},{value}")));
    }
    set("attest", json!(attests))?;
    // What Compose has no key for.
    if let Some(more) = build.extensions.0.get("x-bake") {
        let more = serde_json::to_value(more)?;
        for (name, value) in more.as_object().into_iter().flatten() {
            let value = match value {
                // One of a list may stand alone.
                Value::String(_)
                    if matches!(
                        super::target::attribute(name)?.1,
                        super::target::Kind::List | super::target::Kind::Growing
                    ) =>
                {
                    json!([value])
                }
                other => other.clone(),
            };
            target.set(name, value)?;
        }
    }
    Ok(target)
}
