//! What a node has to do, as a function of the store, and its differences.

use std::{collections::BTreeMap, sync::Arc};

use hoist_proto::{
    id::NodeId,
    spec::{ClusterNetwork, ClusterVolume, Config, FileContent, Secret, Task, TaskState},
    wire::{AssignmentChange, AssignmentsMessage, assignment_change, assignments_message},
};
use hoist_store::{Kind, Object, Record, Store, Tables};
use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;

use super::{
    json,
    router::Mail,
    topology::{self, Stale, Topology},
};

/// What an agent holds: each record's fingerprint and itself.
type Set = BTreeMap<(Kind, String), (u64, Object)>;

/// Sends the node's assignments until the receiver is gone or `cancel` fires.
pub(super) async fn feed(
    store: Store,
    node: NodeId,
    mail: Mail,
    sender: Sender<AssignmentsMessage>,
    cancel: CancellationToken,
) {
    let (mut sent, mut topology) = store.view(|tables| {
        let mut topology = Topology::default();
        let networks = topology::networks_of(tables, &node);
        mail.follow(topology.networks(), &networks);
        topology.refresh(tables, networks, Stale::everything());
        (assigned(tables, &node), topology)
    });
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
        let news = tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            () = sender.closed() => return,
            news = mail.next() => news,
        };
        if !news.own && news.stale.is_empty() {
            continue;
        }
        let mut stale = Stale::default();
        news.stale.iter().for_each(|one| stale.merge(one));
        let changes = store.view(|tables| {
            let mut changes = Vec::new();
            if news.own {
                let now = assigned(tables, &node);
                changes = difference(&sent, &now);
                sent = now;
            }
            let networks = topology::networks_of(tables, &node);
            mail.follow(topology.networks(), &networks);
            changes.extend(topology.refresh(tables, networks, stale));
            changes
        });
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

/// All that a node has to know.
fn assigned(tables: &Tables, node: &NodeId) -> Set {
    let mut set = Set::new();
    for task in tables.tasks_on(node).filter(|task| task.status.state < TaskState::Remove) {
        if task.status.state < TaskState::Assigned {
            continue;
        }
        // The agent's own statuses come back to nobody.
        let mark = u64::from(task.checkpoint_on_stop) << 49
            | u64::from(task.signal.is_some()) << 48
            | (task.desired as u64) << 32
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
