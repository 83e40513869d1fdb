//! What must hold at every moment, and what must hold when all has come to rest.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use hoist_proto::{
    id::NodeId,
    spec::{
        Attachment, Cluster, ClusterNetwork, ClusterVolume, Config, Job, Lifecycle, NetworkAddresses, Node, Queue,
        Secret, Service, ServiceMode, Task, TaskState,
    },
};
use hoist_store::{Record, Tables};
use tokio::time::Instant;

use crate::{agent::Local, client::KEY, machine::Machine, world::World};

/// So long the same thing may run twice on nodes that hear what they have to do: containers take a while to stop.
const BOUND: Duration = Duration::from_secs(10);

/// Looks at the world from time to time.
#[derive(Default)]
pub(crate) struct Watch {
    /// Since when a slot runs twice.
    twice: BTreeMap<(String, u32), Instant>,
    /// The last write that was looked at on each manager.
    seen: BTreeMap<usize, u64>,
    leaders: BTreeMap<u64, usize>,
}

impl Watch {
    pub(crate) fn look(&mut self, world: &World) {
        self.slots(world);
        for machine in &world.machines {
            let Some(reached) = machine.reached() else { continue };
            let status = reached.leadership.status();
            if status.leader == status.id && status.leads {
                let other = *self.leaders.entry(status.term).or_insert(machine.host);
                if other != machine.host {
                    world.fail(format!("managers {other} and {} both lead in term {}", machine.host, status.term));
                }
            }
            let index = reached.store.index();
            if self.seen.insert(machine.host, index) == Some(index) {
                continue;
            }
            if let Err(wrong) = reached.store.view(records) {
                world.fail(format!("on manager {}: {wrong}", machine.host));
            }
        }
    }

    /// No slot runs twice on nodes that hear what they have to do.
    fn slots(&mut self, world: &World) {
        let now = Instant::now();
        let mut all: BTreeMap<(String, u32), Vec<(usize, Local)>> = BTreeMap::new();
        for agent in &world.agents {
            let hears = agent.heard_since.get().is_some_and(|since| now - since > BOUND);
            for local in agent.running().into_iter().filter(|_| hears) {
                let slot = (key_of(&local.task), local.task.slot);
                all.entry(slot).or_default().push((agent.number, local));
            }
        }
        all.retain(|_, locals| locals.len() > 1);
        self.twice.retain(|slot, _| all.contains_key(slot));
        for (slot, locals) in all {
            let since = *self.twice.entry(slot.clone()).or_insert(now);
            if now - since > BOUND {
                let what = locals.iter().map(|(agent, local)| {
                    let desired = local.task.desired;
                    format!("task {} on agent {agent} (should be {desired})", local.task.id.short())
                });
                let what: Vec<_> = what.collect();
                world.fail(format!("{} slot {} runs twice for {BOUND:?}: {}", slot.0, slot.1, what.join(", ")));
            }
        }
    }
}

fn key_of(task: &Task) -> String {
    task.spec.container.labels.get(KEY).cloned().unwrap_or_default()
}

/// No address and no device is given twice.
fn records(tables: &Tables) -> Result<(), String> {
    let mut holders: BTreeMap<String, String> = BTreeMap::new();
    let of = |given: &NetworkAddresses| {
        let network = given.network.short().to_owned();
        given.addresses.iter().map(move |address| format!("address {address} on network {network}")).collect::<Vec<_>>()
    };
    for service in tables.services().iter() {
        for what in service.virtual_ips.iter().flat_map(of) {
            if let Some(other) = holders.insert(what.clone(), service.spec.name.clone()) {
                return Err(format!("{what} is given twice: to {other} and to {}", service.spec.name));
            }
        }
    }
    for task in tables.tasks().iter().filter(|task| !task.status.state.is_final()) {
        // Those of a task that has not been placed yet are what its job would like to have.
        let placed = task.status.state >= TaskState::Assigned;
        let devices = task.devices.iter().filter(|_| placed).map(|device| {
            let node = task.node.as_ref().map(NodeId::short).unwrap_or_default();
            format!("device {} {} of node {node}", device.kind, device.name)
        });
        for what in task.addresses.iter().flat_map(of).chain(devices) {
            if let Some(other) = holders.insert(what.clone(), described(task)) {
                return Err(format!("{what} is given twice: to {other} and to {}", described(task)));
            }
        }
    }
    Ok(())
}

fn described(task: &Task) -> String {
    let (desired, status) = (task.desired, &task.status);
    format!("{} (should be {desired}, is {}: {})", task.name, status.state, status.message)
}

/// Whether all is as it should be: one state on all managers, what was acknowledged is there, and what is there runs.
pub(crate) fn at_rest(world: &World) -> Result<(), String> {
    let reached: Vec<_> = world.machines.iter().filter_map(Machine::reached).collect();
    let leader = reached.iter().find(|reached| reached.leadership.leads()).ok_or("nobody leads")?;
    let known = world.known.borrow();
    leader.store.view(|tables| {
        for (name, is_there) in &known.services {
            let found =
                tables.services().named(name).is_some_and(|service| service.spec.lifecycle == Lifecycle::Running);
            if is_there.is_some_and(|expected| expected != found) {
                return Err(format!("service {name} is {}", if found { "still there" } else { "lost" }));
            }
        }
        for id in &known.jobs {
            match tables.jobs().get(id) {
                None => return Err(format!("job {id} is lost")),
                Some(job) if !job.status.state.is_final() => {
                    return Err(format!("job {} is {}: {}", job.label(), job.status.state, job.status.reason));
                }
                Some(_) => {}
            }
        }
        runs(world, tables)
    })?;
    let index = leader.store.index();
    let expected = leader.store.view(lines);
    for manager in &reached {
        let theirs = manager.store.index();
        if theirs != index {
            return Err(format!("a manager is at write {theirs}, and the leader at {index}"));
        }
        let found = manager.store.view(lines);
        if let Some(line) = expected.symmetric_difference(&found).next() {
            return Err(format!("two managers have different tables at write {index}: only one has {line}"));
        }
    }
    Ok(())
}

/// Every record in a line.
fn lines(tables: &Tables) -> BTreeSet<String> {
    fn of<T: Record>(tables: &Tables) -> impl Iterator<Item = String> {
        tables.of::<T>().iter().map(|record| format!("{record:?}"))
    }
    of::<Cluster>(tables)
        .chain(of::<Node>(tables))
        .chain(of::<Service>(tables))
        .chain(of::<Task>(tables))
        .chain(of::<ClusterNetwork>(tables))
        .chain(of::<ClusterVolume>(tables))
        .chain(of::<Secret>(tables))
        .chain(of::<Config>(tables))
        .chain(of::<Job>(tables))
        .chain(of::<Queue>(tables))
        .chain(of::<Attachment>(tables))
        .collect()
}

/// What runs is what should: every slot once, of the newest definition, and nothing else.
fn runs(world: &World, tables: &Tables) -> Result<(), String> {
    let mut expected = BTreeSet::new();
    for service in tables.services().iter().filter(|service| service.spec.lifecycle == Lifecycle::Running) {
        if let ServiceMode::Replicated { replicas } = service.spec.mode {
            let key = service.spec.task.container.labels.get(KEY).cloned().unwrap_or_default();
            expected.extend((1..=replicas).map(|slot| (key.clone(), slot, service.spec_hash.clone())));
        }
    }
    let mut found = BTreeSet::new();
    for agent in &world.agents {
        for local in agent.running() {
            let slot = (key_of(&local.task), local.task.slot, local.task.spec_hash.clone());
            if !found.insert(slot.clone()) {
                return Err(format!("{} slot {} runs twice", slot.0, slot.1));
            }
            if !local.task.spec.networks.is_empty() && local.task.addresses.is_empty() {
                return Err(format!("{} slot {} runs without an address", slot.0, slot.1));
            }
        }
    }
    if let Some((key, slot, _)) = found.difference(&expected).next() {
        return Err(format!("{key} slot {slot} runs, and should not"));
    }
    if let Some((key, slot, _)) = expected.difference(&found).next() {
        let tasks = tables.tasks().iter().filter(|task| key_of(task) == *key && task.slot == *slot);
        let tasks: Vec<String> =
            tasks.filter(|task| task.status.state < TaskState::Remove).map(|task| described(task)).collect();
        return Err(format!("{key} slot {slot} does not run ({})", tasks.join("; ")));
    }
    Ok(())
}
