//! The records that a definition names: networks, secrets and configs.

use hoist_proto::spec::{FileContent, ServiceSpec};
use hoist_store::Tables;

use crate::control::ControlError;

/// Puts the ids of networks in, and makes sure that secrets and configs are there.
pub(super) fn resolve(tables: &Tables, spec: &mut ServiceSpec) -> Result<(), ControlError> {
    let mut ids = Vec::new();
    for attachment in &mut spec.task.container.networks {
        let name = &attachment.network;
        let by_id = name.parse().ok().and_then(|id| tables.networks().get(&id));
        let found = by_id.or_else(|| tables.networks().named(name)).or_else(|| beginning(tables, name));
        let network =
            found.filter(|network| !network.removing).ok_or_else(|| ControlError::NoSuchNetwork(name.clone()))?;
        attachment.network.clone_from(&network.spec.name);
        ids.push(network.id.clone());
    }
    spec.task.networks = ids;
    for file in &spec.task.container.files {
        let FileContent::Stored(id) = &file.content else { continue };
        let kind = if file.secret { "secret" } else { "config" };
        let there = if file.secret {
            id.parse().ok().and_then(|id| tables.secrets().get(&id)).is_some()
        } else {
            id.parse().ok().and_then(|id| tables.configs().get(&id)).is_some()
        };
        if !there {
            return Err(ControlError::Refused(format!("{kind} not found: {} ({id})", file.source)));
        }
    }
    Ok(())
}

fn beginning<'a>(tables: &'a Tables, text: &str) -> Option<&'a std::sync::Arc<hoist_proto::spec::ClusterNetwork>> {
    let mut found = tables.networks().iter().filter(|network| network.id.as_str().starts_with(text));
    let first = found.next().filter(|_| text.len() >= 4)?;
    found.next().is_none().then_some(first)
}
