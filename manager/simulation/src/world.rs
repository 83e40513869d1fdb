//! All machines, and one run of them.

use std::{
    cell::{Cell, RefCell},
    hash::{DefaultHasher, Hash, Hasher},
    rc::Rc,
    time::Duration,
};

use hoist_proto::{
    id::NodeId,
    spec::{
        Availability, Cluster, IpamPool, IpamSpec, Meta, NetworkSpec, Node, NodeDescription, NodeSpec, NodeState,
        NodeStatus, OVERLAY, Pki, RaftMember, Role,
    },
};
use hoist_store::StoreError;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    Setup,
    agent::Agent,
    chance::Chance,
    check,
    client::{self, Known},
    faults, linear,
    machine::Machine,
    network::{Host, Network},
};

/// How many clients of each kind there are.
const REGISTER_CLIENTS: usize = 4;
/// How often it is looked at whether all holds.
const LOOK: Duration = Duration::from_millis(100);
/// So long it may take until all is as it should be, once all works again.
const CALM: Duration = Duration::from_secs(120);
/// How often an agent calls.
const HEARTBEAT: Duration = Duration::from_secs(2);

pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) chance: Chance,
    pub(crate) network: Network,
    pub(crate) machines: Vec<Machine>,
    pub(crate) agents: Vec<Rc<Agent>>,
    pub(crate) known: RefCell<Known>,
    clients: usize,
    began: Instant,
    goes_on: Cell<bool>,
    failure: RefCell<Option<String>>,
    trace: RefCell<DefaultHasher>,
    pub(crate) counts: RefCell<Counts>,
}

/// What a run has seen.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Operations on registers that were answered.
    pub operations: usize,
    pub services: usize,
    pub jobs: usize,
    pub faults: usize,
    /// Writes in the log.
    pub writes: u64,
}

impl Counts {
    /// Adds those of another run.
    pub fn add(&mut self, other: Self) {
        self.operations += other.operations;
        self.services += other.services;
        self.jobs += other.jobs;
        self.faults += other.faults;
        self.writes += other.writes;
    }
}

impl World {
    pub(crate) fn new(setup: &Setup, seed: u64) -> Rc<Self> {
        hoist_proto::id::follow_from(Some(seed));
        let (chance, began) = (Chance::new(seed), Instant::now());
        let machines = (0..setup.managers).map(|host| Machine::new(host, began)).collect();
        let agents =
            (0..setup.agents).map(|number| Rc::new(Agent::new(setup.managers + number, number, began))).collect();
        Rc::new(Self {
            seed,
            network: Network::new(chance.clone()),
            chance,
            machines,
            agents,
            known: RefCell::default(),
            clients: REGISTER_CLIENTS + 2,
            began,
            goes_on: Cell::new(true),
            failure: RefCell::default(),
            trace: RefCell::default(),
            counts: RefCell::default(),
        })
    }

    /// All machines, those of clients among them.
    pub(crate) fn hosts(&self) -> Host {
        self.machines.len() + self.agents.len() + self.clients
    }

    /// Whether clients ask and things break.
    pub(crate) fn goes_on(&self) -> bool {
        self.goes_on.get() && self.is_well()
    }

    /// Whether all has held so far.
    pub(crate) fn is_well(&self) -> bool {
        self.failure.borrow().is_none()
    }

    pub(crate) fn micros(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// The first thing that does not hold is told.
    pub(crate) fn fail(&self, what: String) {
        tracing::error!(at = self.micros(), "{what}");
        self.failure.borrow_mut().get_or_insert(what);
    }

    /// What happens goes into the run's fingerprint, and into its log.
    pub(crate) fn note(&self, what: impl FnOnce() -> String) {
        let (at, what) = (self.micros(), what());
        tracing::info!(at, "{what}");
        (at, what).hash(&mut *self.trace.borrow_mut());
    }

    /// Starts a manager whose power is back.
    pub(crate) async fn start(self: &Rc<Self>, machine: &Machine) {
        while machine.starts.get() {
            sleep(LOOK).await;
        }
        if machine.is_on() {
            return;
        }
        while let Err(error) = machine.start(self).await {
            if !machine.disk.borrow().fails() {
                return self.fail(error);
            }
            // It is started again and again, as a daemon is.
            sleep(LOOK * 5).await;
        }
        self.note(|| format!("manager {} is back", machine.host));
    }

    /// Makes the cluster, lets everything go wrong for as long as the setup says, and looks at what is left.
    pub(crate) async fn run(self: &Rc<Self>, setup: &Setup) -> Result<(u64, Counts), String> {
        let outcome = self.run_through(setup).await;
        hoist_proto::id::follow_from(None);
        match self.failure.take() {
            Some(failure) => Err(failure),
            None => outcome.map(|()| (self.trace.borrow().finish(), *self.counts.borrow())),
        }
    }

    async fn run_through(self: &Rc<Self>, setup: &Setup) -> Result<(), String> {
        self.found().await?;
        if setup.disks_lie {
            self.machines.iter().for_each(|machine| machine.disk.borrow().forget());
        }
        for agent in &self.agents {
            tokio::task::spawn_local(agent.clone().run(self.clone()));
        }
        let first = self.machines.len() + self.agents.len();
        for client in 0..REGISTER_CLIENTS {
            tokio::task::spawn_local(client::of_registers(self.clone(), client, first + client));
        }
        tokio::task::spawn_local(client::of_services(self.clone(), first + REGISTER_CLIENTS));
        tokio::task::spawn_local(client::of_jobs(self.clone(), first + REGISTER_CLIENTS + 1));
        tokio::task::spawn_local(faults::run(self.clone()));
        let mut watch = check::Watch::default();
        let until = Instant::now() + setup.faults;
        while Instant::now() < until && self.is_well() {
            sleep(LOOK).await;
            watch.look(self);
        }
        self.goes_on.set(false);
        // What was being done has ended by then.
        sleep(Duration::from_secs(6)).await;
        faults::end(self).await;
        client::open_all(self).await;
        let until = Instant::now() + CALM;
        while self.is_well() {
            sleep(LOOK).await;
            watch.look(self);
            match check::at_rest(self) {
                Ok(()) => break,
                Err(wrong) if Instant::now() >= until => {
                    self.fail(format!("{} s after all works again: {wrong}", CALM.as_secs()));
                }
                Err(_) => {}
            }
        }
        let known = self.known.borrow();
        if let Err(error) = linear::check(&known.history) {
            self.fail(error.to_string());
        }
        let mut counts = self.counts.borrow_mut();
        counts.operations = known.history.len();
        counts.services = known.services.len();
        counts.jobs = known.jobs.len();
        counts.writes = self.machines.iter().filter_map(Machine::reached).map(|r| r.store.index()).max().unwrap_or(0);
        Ok(())
    }

    /// Makes the cluster: the first manager alone, then the others and the agents' nodes.
    async fn found(self: &Rc<Self>) -> Result<(), String> {
        self.machines[0].start(self).await?;
        let first = self.machines[0].reached().ok_or("the first manager does not run")?;
        first.raft.welcome().await.map_err(|error| error.to_string())?;
        first
            .store
            .update(|tx| {
                let id = tx.cluster().map(|cluster| cluster.id.clone());
                if let Some(id) = id {
                    tx.modify::<Cluster>(&id, |cluster| {
                        cluster.spec.heartbeat = HEARTBEAT;
                        // Of several nodes, so that networks span them; nobody asks for certificates here.
                        cluster.pki = Some(Pki {
                            root: String::new(),
                            key: String::new(),
                            worker_secret: String::new(),
                            manager_secret: String::new(),
                            rotation: None,
                            unlock_key: None,
                        });
                    })?;
                }
                for machine in &self.machines {
                    let mut node = node(&machine.node, Role::Manager, NodeDescription::default());
                    node.description.hostname = format!("manager{}", machine.host);
                    node.spec.availability = Availability::Drain;
                    node.raft = Some(RaftMember { id: machine.raft_id(), reachable: true });
                    if tx.nodes().get(&machine.node).is_some() {
                        tx.modify::<Node>(&machine.node, |there| {
                            (there.spec, there.raft) = (node.spec.clone(), node.raft.clone());
                        })?;
                    } else {
                        tx.put(node)?;
                    }
                }
                for agent in &self.agents {
                    tx.put(node(&agent.node, Role::Worker, agent.description()))?;
                }
                Ok::<_, StoreError>(())
            })
            .await
            .map_err(|error| format!("the cluster's first records: {error}"))?;
        for machine in &self.machines[1..] {
            machine.start(self).await?;
        }
        let all = async {
            while first.raft.members().await.iter().filter(|member| member.voter).count() < self.machines.len() {
                sleep(LOOK).await;
            }
        };
        timeout(CALM, all).await.map_err(|_| "the managers do not come together".to_owned())?;
        let pool = IpamPool { subnet: Some("10.9.0.0/26".into()), ..IpamPool::default() };
        let network = NetworkSpec {
            name: client::NETWORK.into(),
            driver: OVERLAY.into(),
            ipam: IpamSpec { pools: vec![pool], ..IpamSpec::default() },
            ..NetworkSpec::default()
        };
        first.control.create_network(network).await.map_err(|error| error.to_string())?;
        Ok(())
    }
}

fn node(id: &NodeId, role: Role, description: NodeDescription) -> Node {
    Node {
        id: id.clone(),
        meta: Meta::default(),
        spec: NodeSpec { role, ..NodeSpec::default() },
        description,
        status: NodeStatus { state: NodeState::Unknown, ..NodeStatus::default() },
        manager: role == Role::Manager,
        address: "192.0.2.1:2377".into(),
        data_address: String::new(),
        raft: None,
        mesh_address: None,
        mesh_address6: None,
    }
}
