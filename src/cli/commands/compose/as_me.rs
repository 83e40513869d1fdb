//! `x-hoist-as-me: true`: a project's services, or one of them, run as the person who brings them up.

use hoist_compose::model::{Mount, MountKind, Project, Service};
use serde_json::Value;

use crate::cli::{
    Context,
    client::Host,
    failure::Failure,
    spec::{Surroundings, as_me::Me},
};

const KEY: &str = "x-hoist-as-me";

/// Fills in what services do not say themselves. What a service says goes before what the project says.
///
/// # Errors
/// For a value that is neither true nor false, and for a daemon that may be another machine's.
pub fn apply(cx: &Context, project: &mut Project, around: &Surroundings) -> Result<(), Failure> {
    let all = wish(project.extensions.get(KEY), "the project")?;
    let mut me = None;
    for (name, service) in &mut project.services {
        let own = wish(service.extensions.get(KEY), &format!("service {name}"))?;
        if !own.or(all).unwrap_or(false) {
            continue;
        }
        if !matches!(cx.client.host(), Host::Unix(_)) {
            return Err(Failure::usage(format!(
                "{KEY} works with the daemon of this machine only, and {} may be another",
                cx.client.host()
            )));
        }
        let me = match &me {
            Some(me) => me,
            None => {
                let here = std::path::absolute(&project.working_dir)?;
                me.insert(Me::of(around, &here).map_err(|error| Failure::usage(error.to_string()))?)
            }
        };
        fill(service, me);
    }
    Ok(())
}

fn wish(value: Option<&Value>, whose: &str) -> Result<Option<bool>, Failure> {
    match value {
        None => Ok(None),
        Some(Value::Bool(wish)) => Ok(Some(*wish)),
        Some(other) => Err(Failure::usage(format!("{KEY} of {whose} is {other}: it must be true or false"))),
    }
}

fn fill(service: &mut Service, me: &Me) {
    service.user.get_or_insert_with(|| me.user.clone());
    for group in &me.groups {
        if !service.group_add.contains(group) {
            service.group_add.push(group.clone());
        }
    }
    for dir in &me.directories {
        if service.volumes.iter().all(|mount| mount.target != *dir) {
            let (source, target) = (Some(dir.clone()), dir.clone());
            service.volumes.push(Mount { kind: MountKind::Bind, source, target, ..Mount::default() });
        }
    }
    if service.working_dir.is_none() {
        service.working_dir.clone_from(&me.working_dir);
    }
    for (name, value) in &me.env {
        service.environment.entry(name.clone()).or_insert_with(|| Some(value.clone()));
    }
}
