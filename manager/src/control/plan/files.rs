//! Secrets and configs: a record never changes, so that a new content is a new record, and the
//! services that use it are made anew with it.

use std::collections::BTreeMap;

use hoist_proto::{
    id::{ConfigId, SecretId},
    spec::{Config, FileContent, Meta, PlanAction, ResourceKind, Secret},
};

use super::Planner;
use crate::{
    control::{ControlError, convert::PROJECT},
    hash::digest,
};

/// Gives the id of each reference (`secret:KEY`, `config:KEY`).
pub(super) fn plan(planner: &mut Planner<'_>) -> Result<BTreeMap<String, String>, ControlError> {
    let mut ids = BTreeMap::new();
    let desired = planner.desired;
    for file in &desired.files {
        let (kind, word) =
            if file.secret { (ResourceKind::Secret, "secret") } else { (ResourceKind::Config, "config") };
        let find = |name: &str| {
            let secret = planner.tables.secrets().named(name).filter(|_| file.secret).map(|s| s.id.to_string());
            let config = planner.tables.configs().named(name).filter(|_| !file.secret).map(|c| c.id.to_string());
            secret.or(config)
        };
        if file.external {
            let id = find(&file.name).ok_or_else(|| {
                ControlError::Conflict(format!("{word} {:?} is declared as external, and does not exist", file.name))
            })?;
            ids.insert(file.reference.clone(), id);
            continue;
        }
        let version = format!("{}.{}", file.name, &digest(&file.data)[..12]);
        let id = match find(&version) {
            Some(id) => id,
            None => {
                let older = format!("{}.", file.name);
                let changed = planner.tables.secrets().iter().any(|s| file.secret && s.name.starts_with(&older))
                    || planner.tables.configs().iter().any(|c| !file.secret && c.name.starts_with(&older));
                let (action, cause) = if changed {
                    (PlanAction::Update, "its content changed")
                } else {
                    (PlanAction::Create, "it does not exist")
                };
                planner.step(action, kind, &file.name, None, cause);
                let (labels, data) = (file.labels.clone(), file.data.clone());
                if file.secret {
                    let secret = Secret {
                        id: SecretId::random(),
                        meta: Meta::default(),
                        name: version,
                        labels,
                        data,
                        templating: None,
                    };
                    let id = secret.id.to_string();
                    planner.planned.writes.secrets.push(secret);
                    id
                } else {
                    let config = Config {
                        id: ConfigId::random(),
                        meta: Meta::default(),
                        name: version,
                        labels,
                        data,
                        templating: None,
                    };
                    let id = config.id.to_string();
                    planner.planned.writes.configs.push(config);
                    id
                }
            }
        };
        ids.insert(file.reference.clone(), id);
    }
    Ok(ids)
}

/// The project's records that neither its services nor its tasks name any more.
pub(super) fn unused(planner: &mut Planner<'_>) {
    let (tables, project) = (planner.tables, &planner.desired.project);
    let mut used: Vec<String> = Vec::new();
    let mut note = |files: &[hoist_proto::spec::FileMount]| {
        for file in files {
            if let FileContent::Stored(id) = &file.content {
                used.push(id.clone());
            }
        }
    };
    let rewritten = |id| planner.planned.writes.services.iter().any(|service| service.id == id);
    for service in tables.services().iter().filter(|service| !rewritten(service.id.clone())) {
        note(&service.spec.task.container.files);
    }
    for service in &planner.planned.writes.services {
        note(&service.spec.task.container.files);
    }
    for task in tables.tasks().iter() {
        note(&task.spec.container.files);
    }
    let ours = |labels: &BTreeMap<String, String>| labels.get(PROJECT) == Some(project);
    let secrets =
        tables.secrets().iter().filter(|secret| ours(&secret.labels) && !used.contains(&secret.id.to_string()));
    planner.planned.writes.unused_secrets = secrets.map(|secret| secret.id.clone()).collect();
    let configs =
        tables.configs().iter().filter(|config| ours(&config.labels) && !used.contains(&config.id.to_string()));
    planner.planned.writes.unused_configs = configs.map(|config| config.id.clone()).collect();
}
