//! What a node has to do, as a function of the store, and its differences.

use std::{collections::BTreeMap, sync::Arc};

use hoist_proto::{
    id::NodeId,
    spec::{ClusterNetwork, ClusterVolume, Config, FileContent, Secret, Service, Task, TaskState},
    wire::{AssignmentChange, AssignmentsMessage, assignment_change, assignments_message},
};
use hoist_store::{Commit, Kind, Object, Record, Store, Tables, Wake};
use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;

use super::{
    json,
    topology::{self, Stale, Topology},
};

/// What an agent holds: each record's fingerprint and itself.
type Set = BTreeMap<(Kind, String), (u64, Object)>;

/// Sends the node's assignments until the receiver is gone or `cancel` fires.
pub(crate) async fn feed(store: Store, node: NodeId, sender: Sender<AssignmentsMessage>, cancel: CancellationToken) {
    let (first, mut watch) = store.watch(|tables| {
        let mut topology = Topology::default();
        topology.refresh(tables, topology::networks_of(tables, &node), Stale::everything());
        (assigned(tables, &node), topology)
    });
    let (mut sent, mut topology) = first;
    let mut number = 0_u64;
    let complete = AssignmentsMessage {
        kind: assignments_message::Kind::Complete.into(),
        applies_to: String::new(),
        results_in: number.to_string(),
        changes: sent
            .iter()
            .filter(|((kind, _), _)| *kind != Kind::Task)
            .chain(sent.iter().filter(|((kind, _), _)| *kind == Kind::Task))
            .map(|(_, (_, object))| update(object))
            .chain(topology.told())
            .collect(),
    };
    if sender.send(complete).await.is_err() {
        return;
    }
    loop {
        let wake = tokio::select! {
            () = cancel.cancelled() => return,
            () = sender.closed() => return,
            wake = watch.next() => wake,
        };
        let changes = store.view(|tables| {
            let mut stale = Stale::default();
            let own = match &wake {
                Wake::Commits(commits) => {
                    commits.iter().for_each(|commit| stale.note(tables, commit));
                    commits.iter().any(|commit| concerns(commit, &node))
                }
                Wake::Resync | Wake::Closed => {
                    stale = Stale::everything();
                    true
                }
            };
            // Most of what happens in a large cluster is other nodes' business.
            let mut changes = Vec::new();
            if own {
                let now = assigned(tables, &node);
                changes = difference(&sent, &now);
                sent = now;
            }
            if own || !stale.is_empty() {
                changes.extend(topology.refresh(tables, topology::networks_of(tables, &node), stale));
            }
            changes
        });
        if matches!(wake, Wake::Closed) {
            return;
        }
        if changes.is_empty() {
            continue;
        }
        let message = AssignmentsMessage {
            kind: assignments_message::Kind::Incremental.into(),
            applies_to: number.to_string(),
            results_in: (number + 1).to_string(),
            changes,
        };
        number += 1;
        if sender.send(message).await.is_err() {
            return;
        }
    }
}

fn update(object: &Object) -> AssignmentChange {
    AssignmentChange { action: assignment_change::Action::Update.into(), item: Some(item(object)) }
}

/// The record as it travels. Nodes, services, jobs and the cluster's own records do not.
fn item(object: &Object) -> assignment_change::Item {
    match object {
        Object::Task(task) => assignment_change::Item::Task(json(&**task)),
        Object::Network(network) => assignment_change::Item::Network(json(&**network)),
        Object::Volume(volume) => assignment_change::Item::Volume(json(&**volume)),
        Object::Secret(secret) => assignment_change::Item::Secret(json(&**secret)),
        Object::Config(config) => assignment_change::Item::Config(json(&**config)),
        Object::Cluster(_)
        | Object::Node(_)
        | Object::Service(_)
        | Object::Job(_)
        | Object::Queue(_)
        | Object::Attachment(_) => {
            unreachable!("`assigned` collects no other kinds")
        }
    }
}

/// Resources before the tasks that use them; removals of tasks before those of their resources.
fn difference(before: &Set, now: &Set) -> Vec<AssignmentChange> {
    let gone = before.iter().filter(|(key, _)| !now.contains_key(*key));
    let (gone_tasks, gone_rest): (Vec<_>, Vec<_>) = gone.partition(|((kind, _), _)| *kind == Kind::Task);
    let remove = |(_, (_, object)): (&_, &(u64, Object))| AssignmentChange {
        action: assignment_change::Action::Remove.into(),
        item: Some(item(object)),
    };
    let changed = now.iter().filter(|(key, (mark, _))| before.get(*key).is_none_or(|(earlier, _)| earlier != mark));
    let (new_tasks, new_rest): (Vec<_>, Vec<_>) = changed.partition(|((kind, _), _)| *kind == Kind::Task);
    let removals = gone_tasks.into_iter().chain(gone_rest).map(remove);
    let updates = new_rest.into_iter().chain(new_tasks).map(|(_, (_, object))| update(object));
    removals.chain(updates).collect()
}

/// Whether a commit can change what a node has to know of its own tasks.
fn concerns(commit: &Commit, node: &NodeId) -> bool {
    commit.events.iter().any(|event| {
        if let Some((before, after)) = event.of::<Task>() {
            return before.into_iter().chain(after).any(|task| task.node.as_ref() == Some(node));
        }
        if let Some((before, after)) = event.of::<Service>() {
            // The first that is on the routing mesh brings its network to every node, and the last takes it along.
            let meshed = |service: Option<&Arc<Service>>| service.is_some_and(|service| service.mesh.is_some());
            return meshed(before) != meshed(after);
        }
        let kinds = event.before.iter().chain(&event.after).map(Object::kind);
        kinds
            .into_iter()
            .any(|kind| matches!(kind, Kind::Network | Kind::Volume | Kind::Secret | Kind::Config | Kind::Attachment))
    })
}

/// All that a node has to know.
fn assigned(tables: &Tables, node: &NodeId) -> Set {
    let mut set = Set::new();
    for task in tables.tasks_on(node).filter(|task| task.status.state < TaskState::Remove) {
        if task.status.state < TaskState::Assigned {
            continue;
        }
        // The agent's own statuses come back to nobody.
        let mark = (task.desired as u64) << 32
            | u64::from(task.spec.remove_volumes) << 16
            | task.spec.stop_timeout.map_or(0, |timeout| timeout.as_secs().min(0xfffe) + 1);
        put(&mut set, task, mark);
        for id in task.spec.networks.iter().chain(task.addresses.iter().map(|given| &given.network)) {
            if let Some(network) = tables.get::<ClusterNetwork>(id) {
                put(&mut set, network, network.meta.version);
            }
        }
        for id in &task.spec.volumes {
            if let Some(volume) = tables.get::<ClusterVolume>(id) {
                put(&mut set, volume, volume.meta.version);
            }
        }
        files(tables, task, &mut set);
    }
    for id in topology::networks_of(tables, node) {
        if let Some(network) = tables.get::<ClusterNetwork>(&id) {
            put(&mut set, network, network.meta.version);
        }
    }
    // A project's networks and volumes stay on its nodes until they are removed, tasks or not.
    for network in tables.networks().iter() {
        if network.project.is_some() {
            put(&mut set, network, network.meta.version);
        }
    }
    for volume in tables.volumes().iter() {
        if volume.project.is_some() {
            put(&mut set, volume, volume.meta.version);
        }
    }
    set
}

/// The secrets and configs of a task that has yet to be made.
fn files(tables: &Tables, task: &Task, set: &mut Set) {
    for file in &task.spec.container.files {
        let FileContent::Stored(id) = &file.content else { continue };
        let secret = id.parse().ok().and_then(|id| tables.get::<Secret>(&id));
        let config = id.parse().ok().and_then(|id| tables.get::<Config>(&id));
        if let Some(secret) = secret {
            put(set, secret, secret.meta.version);
        } else if let Some(config) = config {
            put(set, config, config.meta.version);
        }
    }
}

fn put<T: Record>(set: &mut Set, record: &Arc<T>, mark: u64) {
    set.insert((T::KIND, record.id().to_string()), (mark, T::wrap(record.clone())));
}
