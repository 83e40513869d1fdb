//! What a node has to do, as a function of the store, and its differences.

use std::{collections::BTreeMap, sync::Arc};

use hoist_proto::{
    id::{NodeId, ServiceId, TaskId},
    spec::{ClusterNetwork, ClusterVolume, Config, FileContent, Meta, Secret, Task, TaskState, TaskStatus},
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

/// What an agent is to hold.
#[derive(Default)]
struct Set {
    tasks: BTreeMap<TaskId, (u64, Arc<Task>)>,
    others: Others,
}

/// What tasks need: each record's fingerprint and itself.
type Others = BTreeMap<(Kind, String), (u64, Object)>;

/// What an agent was told. Of tasks it is the fingerprint alone: the record that was sent is soon an old one, which
/// nobody else has any more.
struct Sent {
    tasks: BTreeMap<TaskId, u64>,
    others: Others,
}

impl From<Set> for Sent {
    fn from(set: Set) -> Self {
        let tasks = set.tasks.into_iter().map(|(id, (mark, _))| (id, mark)).collect();
        Self { tasks, others: set.others }
    }
}

/// Sends the node's assignments until the receiver is gone or `cancel` fires.
pub(super) async fn feed(
    store: Store,
    node: NodeId,
    mail: Mail,
    sender: Sender<AssignmentsMessage>,
    cancel: CancellationToken,
) {
    let (first, mut topology) = store.view(|tables| {
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
        changes: (first.others.values().map(|(_, object)| update(item(object))))
            .chain(first.tasks.values().map(|(_, task)| update(task_item(task))))
            .chain(topology.told())
            .collect(),
    };
    let mut sent = Sent::from(first);
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
                sent = now.into();
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

fn update(item: assignment_change::Item) -> AssignmentChange {
    AssignmentChange { action: assignment_change::Action::Update.into(), item: Some(item) }
}

fn remove(item: assignment_change::Item) -> AssignmentChange {
    AssignmentChange { action: assignment_change::Action::Remove.into(), item: Some(item) }
}

fn task_item(task: &Task) -> assignment_change::Item {
    assignment_change::Item::Task(json(task))
}

/// A task of which no more than the id is read.
fn gone(id: &TaskId) -> assignment_change::Item {
    task_item(&Task {
        id: id.clone(),
        meta: Meta::default(),
        service: ServiceId::random(),
        service_name: String::new(),
        project: None,
        slot: 0,
        node: None,
        name: String::new(),
        spec: Arc::default(),
        spec_hash: String::new(),
        desired: TaskState::Remove,
        status: TaskStatus::default(),
        start_after: None,
        restarts: 0,
        started_with: BTreeMap::new(),
        addresses: Vec::new(),
        devices: Vec::new(),
        signal: None,
        checkpoint_on_stop: false,
    })
}

/// What tasks need, as it travels.
fn item(object: &Object) -> assignment_change::Item {
    match object {
        Object::Network(network) => assignment_change::Item::Network(json(&**network)),
        Object::Volume(volume) => assignment_change::Item::Volume(json(&**volume)),
        Object::Secret(secret) => assignment_change::Item::Secret(json(&**secret)),
        Object::Config(config) => assignment_change::Item::Config(json(&**config)),
        Object::Task(_)
        | Object::Cluster(_)
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
fn difference(before: &Sent, now: &Set) -> Vec<AssignmentChange> {
    let gone_tasks = before.tasks.keys().filter(|id| !now.tasks.contains_key(*id)).map(|id| remove(gone(id)));
    let gone_others = before.others.iter().filter(|(key, _)| !now.others.contains_key(*key));
    let gone_others = gone_others.map(|(_, (_, object))| remove(item(object)));
    let is_new = |key: &(Kind, String), mark: u64| before.others.get(key).is_none_or(|(earlier, _)| *earlier != mark);
    let others = now.others.iter().filter(|(key, (mark, _))| is_new(key, *mark));
    let others = others.map(|(_, (_, object))| update(item(object)));
    let tasks = now.tasks.iter().filter(|(id, (mark, _))| before.tasks.get(*id) != Some(mark));
    let tasks = tasks.map(|(_, (_, task))| update(task_item(task)));
    gone_tasks.chain(gone_others).chain(others).chain(tasks).collect()
}

/// All that a node has to know.
fn assigned(tables: &Tables, node: &NodeId) -> Set {
    let mut all = Set::default();
    let set = &mut all.others;
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
        all.tasks.insert(task.id.clone(), (mark, task.clone()));
        for id in task.spec.networks.iter().chain(task.addresses.iter().map(|given| &given.network)) {
            if let Some(network) = tables.get::<ClusterNetwork>(id) {
                put(set, network, network.meta.version);
            }
        }
        for id in &task.spec.volumes {
            if let Some(volume) = tables.get::<ClusterVolume>(id) {
                put(set, volume, volume.meta.version);
            }
        }
        files(tables, task, set);
    }
    for id in topology::networks_of(tables, node) {
        if let Some(network) = tables.get::<ClusterNetwork>(&id) {
            put(set, network, network.meta.version);
        }
    }
    // A project's networks and volumes stay on its nodes until they are removed, tasks or not.
    for network in tables.networks().iter() {
        if network.project.is_some() {
            put(set, network, network.meta.version);
        }
    }
    for volume in tables.volumes().iter() {
        if volume.project.is_some() {
            put(set, volume, volume.meta.version);
        }
    }
    all
}

/// The secrets and configs of a task that has yet to be made.
fn files(tables: &Tables, task: &Task, set: &mut Others) {
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

fn put<T: Record>(set: &mut Others, record: &Arc<T>, mark: u64) {
    set.insert((T::KIND, record.id().to_string()), (mark, T::wrap(record.clone())));
}
