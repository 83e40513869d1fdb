//! A target's build: it is what `hoist build` would be called with, so that both can do the same.

use std::collections::BTreeMap;

use clap::{Args as _, FromArgMatches as _};
use hoist_build::BuildResult;

use super::{
    super::{Job, options},
    target::Target,
};
use crate::cli::{
    args::build::{BakeArgs, BuildArgs},
    failure::Failure,
};

/// What `hoist build` would be told.
///
/// # Errors
/// What the flags of `hoist build` refuse.
pub fn job(
    name: &str,
    target: &Target,
    built: &BTreeMap<String, BuildResult>,
    flags: &BakeArgs,
    wanted: bool,
) -> Result<Job, Failure> {
    let context = target.text("context").unwrap_or_else(|| ".".into());
    let context = context
        .strip_prefix("cwd://")
        .map_or(context.clone(), |path| if path.is_empty() { ".".into() } else { path.to_owned() });
    let mut words: Vec<String> = vec!["build".into()];
    let mut flag = |name: &str, value: &str| words.push(format!("--{name}={value}"));
    for (key, name) in
        [("target", "target"), ("network", "network"), ("shm-size", "shm-size"), ("cgroup-parent", "cgroup-parent")]
    {
        if let Some(value) = target.text(key) {
            flag(name, &value);
        }
    }
    let lists = [
        ("tags", "tag"),
        ("platforms", "platform"),
        ("cache-from", "cache-from"),
        ("cache-to", "cache-to"),
        ("secret", "secret"),
        ("ssh", "ssh"),
        ("attest", "attest"),
        ("entitlements", "allow"),
        ("annotations", "annotation"),
        ("no-cache-filter", "no-cache-filter"),
        ("ulimits", "ulimit"),
    ];
    for (key, name) in lists {
        // A base of others goes nowhere itself.
        if wanted || !["tags", "cache-to", "attest"].contains(&key) {
            target.list(key).iter().for_each(|value| flag(name, value));
        }
    }
    for entitlement in &flags.allow {
        flag("allow", entitlement);
    }
    for (key, value) in target.pairs("args") {
        match value {
            Some(value) => flag("build-arg", &format!("{key}={value}")),
            None => flag("build-arg", &key),
        }
    }
    for (key, value) in target.pairs("labels") {
        flag("label", &format!("{key}={}", value.unwrap_or_default()));
    }
    for (key, value) in target.pairs("extra-hosts") {
        flag("add-host", &format!("{key}={}", value.unwrap_or_default()));
    }
    for (key, place) in target.pairs("contexts") {
        let place = place.unwrap_or_default();
        let place = match place.strip_prefix("target:") {
            Some(other) => {
                if target.list("platforms").len() > 1 {
                    return Err(Failure::new(format!(
                        "target {name}: the context {key}=target:{other} is of one platform; a target for several cannot build on it"
                    )));
                }
                let image = built.get(other).and_then(|result| result.image.clone());
                let image =
                    image.ok_or_else(|| Failure::new(format!("target {name}: {other} made no image to build on")))?;
                format!("docker-image://{image}")
            }
            None => place,
        };
        flag("build-context", &format!("{key}={place}"));
    }
    for (key, name) in [("no-cache", "no-cache"), ("pull", "pull")] {
        if target.flag(key) {
            words.push(format!("--{name}"));
        }
    }
    match (wanted, flags.push, flags.load) {
        (false, ..) => {}
        (true, true, _) => words.push("--push".into()),
        (true, _, true) => words.push("--load".into()),
        (true, false, false) => {
            target.list("output").iter().for_each(|output| words.push(format!("--output={output}")))
        }
    }
    let call = target.text("call");
    if flags.check || call.as_deref() == Some("check") {
        words.push("--check".into());
    } else if let Some(call) = call.filter(|call| call != "build") {
        return Err(Failure::new(format!("target {name}: call = {call:?} is not supported: build and check are")));
    }
    words.push("--".into());
    words.push(context.clone());
    let matches =
        BuildArgs::augment_args(clap::Command::new("build")).try_get_matches_from(words).map_err(|error| {
            Failure::usage(format!("target {name}: {}", error.to_string().trim_start_matches("error: ").trim()))
        })?;
    let args = BuildArgs::from_arg_matches(&matches).map_err(|error| Failure::usage(error.to_string()))?;
    let mut job = options::job(args)?;
    job.inline = target.text("dockerfile-inline");
    job.file = target.text("dockerfile").map(|file| match &job.source {
        super::super::Source::Directory(dir) => dir.join(file).to_string_lossy().into_owned(),
        _ => file,
    });
    Ok(job)
}
