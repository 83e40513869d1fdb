//! Clients: what they ask for, what they were answered, and what must hold because of it.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, time::Duration};

use hoist_manager::control::{ControlError, RegistryAuthFrom, ServiceChange};
use hoist_proto::{
    id::{ConfigId, JobId, NodeId},
    spec::{
        Availability, Caller, Config, ContainerSpec, JobRequest, JobResources, JobSpec, Lifecycle, Meta,
        NetworkAttachment, NodeSpec, Rebalance, ServiceMode, ServiceRestart, ServiceSpec,
    },
};
use hoist_store::{ProposeError, StoreError};
use tokio::time::{sleep, timeout};

use crate::{
    agent::ENDS_AFTER,
    linear::{Action, Operation},
    machine::{Machine, Reached},
    network::Host,
    world::World,
};

const PATIENCE: Duration = Duration::from_secs(5);
const REGISTERS: usize = 3;
/// The network that all services are on.
pub(crate) const NETWORK: &str = "net";
/// The label by which containers that do the same are known.
pub(crate) const KEY: &str = "simulation.key";

/// What the clients know for sure.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) history: Vec<Operation>,
    /// Whether a service of this name is there; `None` when an answer did not come.
    pub(crate) services: BTreeMap<String, Option<bool>>,
    pub(crate) jobs: Vec<JobId>,
    next: u64,
}

/// What an answer says.
enum Outcome<T> {
    Done(T),
    /// It was refused, and changed nothing.
    Refused,
    /// It may have been done, or may yet be.
    Unknown,
}

fn outcome<T>(answer: Result<T, ControlError>) -> Outcome<T> {
    match answer {
        Ok(value) => Outcome::Done(value),
        Err(ControlError::Store(StoreError::Propose(error))) => match error {
            ProposeError::NotLeader { .. } | ProposeError::TooLarge { .. } => Outcome::Refused,
            ProposeError::Dropped | ProposeError::Stopped | ProposeError::Storage(_) => Outcome::Unknown,
        },
        Err(_) => Outcome::Refused,
    }
}

/// Asks a manager, over the network and back.
async fn ask<T>(
    world: &World,
    host: Host,
    machine: Host,
    question: impl AsyncFnOnce(Reached) -> Result<T, ControlError>,
) -> Outcome<T> {
    if !world.network.travel(host, machine).await {
        return Outcome::Refused;
    }
    let Some(manager) = world.machines[machine].reached() else { return Outcome::Refused };
    let life = manager.life;
    let Ok(answer) = timeout(PATIENCE, question(manager)).await else { return Outcome::Unknown };
    let answer = outcome(answer);
    let arrived = world.network.travel(machine, host).await && world.machines[machine].still(life).is_some();
    match answer {
        Outcome::Refused => Outcome::Refused,
        _ if !arrived => Outcome::Unknown,
        answer => answer,
    }
}

/// A manager of which one of the others said that it leads, or any.
fn some_manager(world: &World) -> Host {
    let leads = |machine: &Machine| machine.reached().is_some_and(|reached| reached.leadership.leads());
    let leaders: Vec<Host> =
        world.machines.iter().filter(|machine| leads(machine)).map(|machine| machine.host).collect();
    if leaders.is_empty() || world.chance.is(50) {
        return world.chance.below(world.machines.len());
    }
    *world.chance.one(&leaders)
}

/// Reads, writes and swaps until it is told to end.
pub(crate) async fn of_registers(world: Rc<World>, client: usize, host: Host) {
    while world.goes_on() {
        sleep(world.chance.millis(5, 400)).await;
        let (register, machine) = (world.chance.below(REGISTERS) as u32, some_manager(&world));
        let kind = world.chance.below(3);
        let value = world.next_value();
        let called = world.micros();
        let answer = ask(&world, host, machine, async |manager: Reached| match kind {
            0 => {
                manager.raft.barrier().await.map_err(StoreError::Propose)?;
                Ok(manager
                    .store
                    .view(|tables| tables.configs().named(&name_of(register)).map_or(0, |config| number(&config.data))))
            }
            _ => Ok(manager
                .store
                .update(|tx| {
                    let there = tx.configs().named(&name_of(register)).map(|config| (**config).clone());
                    let mut config = there.unwrap_or_else(|| Config {
                        id: ConfigId::random(),
                        meta: Meta::default(),
                        name: name_of(register),
                        labels: BTreeMap::new(),
                        data: Vec::new(),
                        templating: None,
                    });
                    let saw = number(&config.data);
                    config.data = value.to_string().into_bytes();
                    tx.put(config)?;
                    Ok::<_, StoreError>(saw)
                })
                .await?),
        })
        .await;
        let now = world.micros();
        let (action, answered) = match (answer, kind) {
            (Outcome::Refused, _) | (Outcome::Unknown, 0) => continue,
            (Outcome::Done(saw), 0) => (Action::Read(saw), Some(now)),
            (Outcome::Done(saw), 1) => (Action::Swap { saw, wrote: value }, Some(now)),
            (Outcome::Done(_), _) => (Action::Write(value), Some(now)),
            (Outcome::Unknown, _) => (Action::Write(value), None),
        };
        world.note(|| format!("client {client} register {register}: {action:?} {answered:?}"));
        world.known.borrow_mut().history.push(Operation { client, register, action, called, answered });
    }
}

fn name_of(register: u32) -> String {
    format!("register{register}")
}

fn number(data: &[u8]) -> u64 {
    std::str::from_utf8(data).ok().and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// A container that is known by a key.
fn container(key: &str, ends_after: Option<u64>) -> ContainerSpec {
    let mut container = ContainerSpec { image: "worker".into(), ..ContainerSpec::default() };
    container.labels.insert(KEY.into(), key.to_owned());
    if let Some(millis) = ends_after {
        container.labels.insert(ENDS_AFTER.into(), millis.to_string());
    }
    container
}

fn service(name: &str, replicas: u32, with_device: bool) -> ServiceSpec {
    let mut spec = ServiceSpec {
        name: name.to_owned(),
        mode: ServiceMode::Replicated { replicas },
        lifecycle: Lifecycle::Running,
        ..ServiceSpec::default()
    };
    spec.task.container = container(name, None);
    spec.task.restart = Some(ServiceRestart { delay: Duration::from_millis(500), ..ServiceRestart::default() });
    // Fewer addresses than there are tasks in a bad moment: some have to wait.
    spec.task.container.networks.push(NetworkAttachment { network: NETWORK.into(), ..NetworkAttachment::default() });
    if with_device {
        spec.task.container.resources.reserved_generic.insert("gpu".into(), 1);
    }
    spec
}

/// Makes, changes and removes services, and takes nodes out and back.
pub(crate) async fn of_services(world: Rc<World>, host: Host) {
    while world.goes_on() {
        sleep(world.chance.millis(100, 2_000)).await;
        let machine = some_manager(&world);
        let there: Vec<String> = {
            let known = world.known.borrow();
            known.services.iter().filter(|(_, there)| **there == Some(true)).map(|(name, _)| name.clone()).collect()
        };
        let what = world.chance.below(10);
        if what == 0 {
            // All come back in the end.
            let agent = world.agents[world.chance.below(world.agents.len())].clone();
            let availability = *world.chance.one(&[Availability::Active, Availability::Active, Availability::Drain]);
            let _ = ask(&world, host, machine, async |manager| set(&manager, &agent.node, availability).await).await;
        } else if there.len() < 2 || (what < 4 && there.len() < 6) {
            let name = format!("service{}", world.next_value());
            let (replicas, with_device) = (1 + world.chance.below(4) as u32, world.chance.is(200));
            // Two on each node, and four nodes that may be there or not.
            let mut spec = service(&name, if with_device { 1 } else { replicas }, with_device);
            if world.chance.is(300) {
                spec.labels.insert(Rebalance::LABEL.into(), "auto".into());
            }
            world.known.borrow_mut().services.insert(name.clone(), None);
            let made = ask(&world, host, machine, async |manager: Reached| manager.control.create_service(spec).await);
            let is_there = match made.await {
                Outcome::Done(_) => Some(true),
                Outcome::Refused => Some(false),
                Outcome::Unknown => None,
            };
            world.note(|| format!("{name}: created {is_there:?}"));
            world.known.borrow_mut().services.insert(name, is_there);
        } else {
            let name = world.chance.one(&there).clone();
            if what < 6 {
                world.known.borrow_mut().services.insert(name.clone(), None);
                let removed =
                    ask(&world, host, machine, async |manager: Reached| manager.control.remove_service(&name).await);
                let is_there = match removed.await {
                    Outcome::Done(_) => Some(false),
                    Outcome::Refused => Some(true),
                    Outcome::Unknown => None,
                };
                world.note(|| format!("{name}: removed {is_there:?}"));
                world.known.borrow_mut().services.insert(name, is_there);
            } else {
                let (replicas, scale) = (1 + world.chance.below(4) as u32, world.chance.is(500));
                let changed = ask(&world, host, machine, async |manager: Reached| {
                    let service = manager.control.service(&name)?;
                    let mut spec = service.spec.clone();
                    match &mut spec.mode {
                        ServiceMode::Replicated { replicas: there }
                            if scale && spec.task.container.resources.reserved_generic.is_empty() =>
                        {
                            *there = replicas;
                        }
                        _ => spec.task.force_update += 1,
                    }
                    let change = ServiceChange::To(Box::new(spec));
                    let auth = RegistryAuthFrom::default();
                    manager.control.update_service(&service.id, service.meta.version, change, auth).await
                });
                let _ = changed.await;
            }
        }
    }
}

async fn set(manager: &Reached, node: &NodeId, availability: Availability) -> Result<(), ControlError> {
    let there = manager.control.node(node.as_str())?;
    let spec = NodeSpec { availability, ..there.spec.clone() };
    manager.control.update_node(node.as_str(), None, spec).await
}

/// Lets all nodes take work again, whoever leads.
pub(crate) async fn open_all(world: &World) {
    for agent in &world.agents {
        loop {
            let leader = world.machines.iter().filter_map(Machine::reached).find(|reached| reached.leadership.leads());
            if let Some(leader) = leader
                && let Ok(Ok(())) = timeout(PATIENCE, set(&leader, &agent.node, Availability::Active)).await
            {
                break;
            }
            if !world.is_well() {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Submits jobs.
pub(crate) async fn of_jobs(world: Rc<World>, host: Host) {
    while world.goes_on() {
        sleep(world.chance.millis(500, 4_000)).await;
        let machine = some_manager(&world);
        let name = format!("job{}", world.next_value());
        let mut each = JobResources { nano_cpus: 1_000_000_000, memory: 1 << 30, ..JobResources::default() };
        if world.chance.is(300) {
            each.devices.insert("gpu".into(), 1);
        }
        let millis = world.chance.below(4_000) as u64;
        let spec = JobSpec {
            name: name.clone(),
            container: container(&name, Some(millis)),
            tasks: 1 + world.chance.below(2) as u32,
            each,
            ..JobSpec::default()
        };
        let request = JobRequest { spec, ..JobRequest::default() };
        let caller = Caller { user: format!("user{}", world.chance.below(3)), uid: None };
        let submitted =
            ask(&world, host, machine, async |manager: Reached| manager.control.submit(caller, request).await);
        if let Outcome::Done(submitted) = submitted.await {
            world.note(|| format!("{name}: submitted"));
            world.known.borrow_mut().jobs.extend(submitted.jobs);
        }
    }
}

impl World {
    /// A value that nobody else has.
    pub(crate) fn next_value(&self) -> u64 {
        let known: &RefCell<Known> = &self.known;
        let mut known = known.borrow_mut();
        known.next += 1;
        known.next
    }
}
