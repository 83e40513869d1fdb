//! By what names services and their tasks are found on a network.
//!
//! A service that has a virtual address is found there by its name and aliases, and its tasks by
//! `tasks.NAME`; without one the tasks have all of these names.

use hoist_proto::{
    id::NetworkId,
    spec::{ServiceSpec, Task},
};
use hoist_store::Tables;

/// The names of a service on a network: its own and its aliases.
pub(super) fn of_service(spec: &ServiceSpec, network: &NetworkId) -> Vec<String> {
    let position = spec.task.networks.iter().position(|id| id == network);
    let attachment = position.and_then(|position| spec.task.container.networks.get(position));
    let mut names = vec![spec.name.clone()];
    for alias in attachment.into_iter().flat_map(|attachment| &attachment.aliases) {
        add(&mut names, alias);
    }
    names
}

/// The names of a task on the network at `position` of its networks, besides its container's own.
pub(super) fn of_task(tables: &Tables, task: &Task, position: usize, network: &NetworkId) -> Vec<String> {
    let own = task.spec.container.networks.get(position).map(|attachment| attachment.aliases.as_slice());
    let own = own.unwrap_or_default();
    let service = tables.services().get(&task.service);
    let of_service = service.map(|service| of_service(&service.spec, network)).unwrap_or_default();
    let behind = service.is_some_and(|service| service.virtual_ips.iter().any(|given| given.network == *network));
    let mut names = Vec::new();
    for alias in own.iter().filter(|alias| !behind || !of_service.contains(alias)) {
        add(&mut names, alias);
    }
    for name in &of_service {
        if !behind {
            add(&mut names, name);
        }
        add(&mut names, &format!("tasks.{name}"));
    }
    names
}

fn add(names: &mut Vec<String>, name: &str) {
    if !names.iter().any(|there| there.eq_ignore_ascii_case(name)) {
        names.push(name.to_owned());
    }
}
