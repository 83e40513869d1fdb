//! Config → build → spawn → drain, for the control plane.

use std::{path::PathBuf, sync::Arc, time::Duration};

use hoist_link::Link;
use hoist_proto::{
    clock::SharedClock,
    id::{ClusterId, NodeId},
    protocol::Protocol,
    spec::{Cluster, ClusterSpec, Meta, Node, NodeDescription, NodeSpec, NodeState, NodeStatus, Role},
    wire::ManagerAddress,
};
use hoist_raft::{Alone, Begin, Raft, StartError};
use hoist_store::{Store, StoreError};
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::service::Routes;

use crate::{
    Progress, agreement, allocator,
    ca::{self, MembershipService},
    control::{Control, ImageSource},
    dispatcher::{Callers, Dispatcher, orphans},
    leader::Leadership,
    members, orchestrator,
    peers::{Peers, RaftService},
    queue, scheduler,
};

const HISTORY: u32 = 5;
/// How long a leader that stops waits for another to take over.
const HAND_OVER: Duration = Duration::from_secs(2);

/// What a manager needs to start.
pub struct ManagerConfig {
    /// Where the log lies: `<data root>/cluster`.
    pub dir: PathBuf,
    /// The log's key; read from its file in `dir`, or made there, when it is `None`.
    pub log_key: Option<[u8; 32]>,
    /// Tables with which a log that is not there yet begins ([`crate::Saved::into_tables_of`]).
    pub restore: Option<Vec<u8>>,
    /// This machine's own node.
    pub node: NodeId,
    pub hostname: String,
    pub clock: SharedClock,
    /// The newest version of the cluster's protocol that it is to speak.
    pub protocol: Protocol,
    /// Fetches images before containers that exist are replaced.
    pub images: Arc<dyn ImageSource>,
    /// How it reaches others; `None` for a cluster of one that has no port.
    pub cluster: Option<Membership>,
}

/// How a manager is one among several.
pub struct Membership {
    pub link: Link,
    /// What a log that is not there yet begins as.
    pub begin: Begin,
    /// Managers that are known before the log tells of them.
    pub managers: Vec<ManagerAddress>,
}

/// Why the control plane does not run, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ManagerError {
    #[error(transparent)]
    Start(#[from] StartError),
    /// What the log says cannot be followed by this program.
    #[error("the cluster's log cannot be followed: {0}")]
    Log(String),
    #[error("cannot write the cluster's first records")]
    Bootstrap(#[source] StoreError),
    #[error("the {0} ended")]
    Loop(&'static str, #[source] StoreError),
    #[error("the {0} panicked")]
    Panicked(&'static str),
}

/// A running control plane.
pub struct Manager {
    store: Store,
    raft: Raft,
    control: Control,
    dispatcher: Dispatcher,
    leadership: Leadership,
    peers: Option<Peers>,
    /// Ends with the first error.
    running: JoinSet<Result<(), ManagerError>>,
    cancel: CancellationToken,
    /// What is dropped without a stop ends as well.
    _ends: DropGuard,
}

/// What a manager runs on.
struct Opened {
    raft: Raft,
    store: Store,
    peers: Option<Peers>,
    callers: Callers,
    cancel: CancellationToken,
}

/// What is this machine's.
struct Own {
    node: NodeId,
    hostname: String,
    images: Arc<dyn ImageSource>,
}

impl std::fmt::Debug for Manager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Manager").field("leadership", &self.leadership).finish_non_exhaustive()
    }
}

impl Manager {
    /// Opens the log, makes the cluster of one if there is none, and starts the loops.
    ///
    /// A manager alone returns when it leads; one of several as soon as its log is open.
    pub async fn start(config: ManagerConfig) -> Result<Self, ManagerError> {
        let store = Store::speaking(config.clock.clone(), config.protocol);
        let cancel = CancellationToken::new();
        let (begin, callers) = match &config.cluster {
            Some(membership) => (membership.begin, Callers::Certified),
            None => (Begin::Alone, Callers::Own),
        };
        let raft_config = hoist_raft::Config {
            dir: config.dir,
            begin,
            key: config.log_key,
            restore: config.restore,
            simulated: None,
        };
        let (raft, peers) = match config.cluster {
            None => (Raft::start(raft_config, store.clone(), Alone).await?, None),
            Some(membership) => {
                let peers = Peers::new(membership.link, cancel.child_token());
                peers.learn(membership.managers);
                let raft = Raft::start(raft_config, store.clone(), peers.clone()).await?;
                peers.serve(raft.clone());
                (raft, Some(peers))
            }
        };
        let own = Own { node: config.node, hostname: config.hostname, images: config.images };
        Self::begin(Opened { raft, store, peers, callers, cancel }, own).await
    }

    /// The same on a raft node that runs already, and that carries its messages by itself; whoever comes is believed to
    /// be the node that it says. For simulations.
    pub async fn over(
        raft: Raft,
        store: Store,
        node: NodeId,
        hostname: String,
        images: Arc<dyn ImageSource>,
    ) -> Result<Self, ManagerError> {
        let opened = Opened { raft, store, peers: None, callers: Callers::Own, cancel: CancellationToken::new() };
        Self::begin(opened, Own { node, hostname, images }).await
    }

    async fn begin(opened: Opened, own: Own) -> Result<Self, ManagerError> {
        let Opened { raft, store, peers, callers, cancel } = opened;
        let lookup = peers.clone();
        let lookup = Arc::new(move |id| lookup.as_ref().and_then(|peers: &Peers| peers.address(id)));
        let leadership = Leadership::new(&raft, lookup);
        let progress = Progress::default();
        let dispatcher = Dispatcher::new(store.clone(), progress.clone(), leadership.clone(), callers);
        let control = Control::new(store.clone(), progress, own.node.clone(), own.images, cancel.child_token());
        let mut running = JoinSet::new();
        if let Some(peers) = peers.clone() {
            let (store, cancel) = (store.clone(), cancel.child_token());
            running.spawn(async move {
                peers.follow(store, cancel).await;
                Ok(())
            });
        }
        let me = raft.status().borrow().id;
        let alone = matches!(raft.members().await.as_slice(), [only] if only.voter && only.id == me);
        let loops = Loops {
            store: store.clone(),
            raft: raft.clone(),
            dispatcher: dispatcher.clone(),
            node: own.node,
            hostname: own.hostname,
        };
        let (failure, end) = (raft.clone(), cancel.child_token());
        running.spawn(async move {
            tokio::select! {
                biased;
                why = failure.failed() => Err(ManagerError::Log(why)),
                () = end.cancelled() => Ok(()),
            }
        });
        let (leading, token) = (leadership.clone(), cancel.child_token());
        running.spawn(async move { leading.run(|token| loops.begin(token), token).await });
        let ends = cancel.clone().drop_guard();
        let mut manager = Self { store, raft, control, dispatcher, leadership, peers, running, cancel, _ends: ends };
        if alone {
            let leads = manager.leadership.clone();
            tokio::select! {
                biased;
                () = leads.begun() => {}
                error = manager.failed() => return Err(error),
            }
        }
        Ok(manager)
    }

    /// What clients may ask.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// The service for agents; serve it with [`Dispatcher::server`].
    pub fn dispatcher(&self) -> &Dispatcher {
        &self.dispatcher
    }

    /// All that a manager's port offers.
    pub fn routes(&self) -> Routes {
        let membership = MembershipService {
            store: self.store.clone(),
            raft: self.raft.clone(),
            leadership: self.leadership.clone(),
        };
        let raft = RaftService::new(self.raft.clone(), self.cancel.child_token());
        Routes::new(raft.server()).add_service(membership.server()).add_service(self.dispatcher.server())
    }

    /// Whether this manager leads.
    pub fn leadership(&self) -> &Leadership {
        &self.leadership
    }

    /// Raft.
    pub fn raft(&self) -> &Raft {
        &self.raft
    }

    /// The tables.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Waits for a loop to end with an error; a control plane that has lost one is none.
    pub async fn failed(&mut self) -> ManagerError {
        loop {
            match self.running.join_next().await {
                Some(Ok(Err(error))) => return error,
                Some(Err(error)) if error.is_panic() => return ManagerError::Panicked("control plane"),
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Hands over when it leads, ends the loops and closes the log.
    pub async fn stop(mut self) {
        self.hand_over().await;
        self.cancel.cancel();
        self.control.drain().await;
        while self.running.join_next().await.is_some() {}
        self.raft.stop().await;
        if let Some(peers) = self.peers {
            peers.drain().await;
        }
    }

    async fn hand_over(&self) {
        if !self.leadership.leads() {
            return;
        }
        let (mut status, members) = (self.raft.status(), self.raft.members().await);
        let me = status.borrow().id;
        let heirs = members.iter().filter(|member| member.id != me && member.voter && member.active);
        let Some(heir) = heirs.min_by_key(|member| member.behind) else { return };
        self.raft.transfer_to(heir.id);
        let _ = tokio::time::timeout(HAND_OVER, status.wait_for(|status| !status.leads && status.leader != 0)).await;
    }
}

/// What the leader's loops need.
struct Loops {
    store: Store,
    raft: Raft,
    dispatcher: Dispatcher,
    node: NodeId,
    hostname: String,
}

impl Loops {
    /// Starts all that only the leader does.
    async fn begin(&self, token: CancellationToken) -> Result<JoinSet<Result<(), ManagerError>>, ManagerError> {
        bootstrap(&self.store, &self.node, &self.hostname).await.map_err(ManagerError::Bootstrap)?;
        let mut loops = JoinSet::new();
        let store = &self.store;
        loops.spawn(named("orchestrator", orchestrator::run(store.clone(), token.clone())));
        loops.spawn(named("rebalancing", orchestrator::rebalancing(store.clone(), token.clone())));
        loops.spawn(named("allocator", allocator::run(store.clone(), token.clone())));
        loops.spawn(named("scheduler", scheduler::run(store.clone(), token.clone())));
        loops.spawn(named("queue", queue::run(store.clone(), self.dispatcher.uses(), token.clone())));
        loops.spawn(named("members' loop", members::run(store.clone(), self.raft.clone(), token.clone())));
        loops.spawn(named("agreement", agreement::run(store.clone(), token.clone())));
        loops.spawn(named("root's rotation", ca::rotate::run(store.clone(), token.clone())));
        loops.spawn(named("orphans' loop", orphans::run(store.clone(), token.clone())));
        let (router, watchdog) = (self.dispatcher.clone(), self.dispatcher.clone());
        let routing = token.clone();
        loops.spawn(async move {
            router.route(routing).await;
            Ok(())
        });
        loops.spawn(async move { named("dispatcher", watchdog.watch_nodes(token)).await });
        Ok(loops)
    }
}

async fn named(name: &'static str, work: impl Future<Output = Result<(), StoreError>>) -> Result<(), ManagerError> {
    work.await.map_err(|error| ManagerError::Loop(name, error))
}

/// The cluster's own record and this node's; nodes are not believed to be up before they say so.
async fn bootstrap(store: &Store, node: &NodeId, hostname: &str) -> Result<(), StoreError> {
    store
        .update(|tx| {
            if tx.cluster().is_none() {
                tx.put(Cluster {
                    id: ClusterId::random(),
                    meta: Meta::default(),
                    name: "default".into(),
                    task_history_limit: HISTORY,
                    spec: ClusterSpec::default(),
                    pki: None,
                    // Nobody else is there who could be older.
                    protocol: store.spoken(),
                    mesh_by_hand: false,
                })?;
                if tx.nodes().get(node).is_none() {
                    tx.put(own(node, hostname, store.spoken()))?;
                }
            }
            let ready: Vec<_> = tx
                .nodes()
                .iter()
                .filter(|node| node.status.state == NodeState::Ready)
                .map(|node| node.id.clone())
                .collect();
            let now = tx.now();
            for id in ready {
                tx.modify::<Node>(&id, |node| {
                    node.status.state = NodeState::Unknown;
                    node.status.message = "a manager has begun to lead; the node has not called yet".into();
                    node.status.since = now;
                })?;
            }
            Ok(())
        })
        .await
}

/// The record of the first node.
fn own(node: &NodeId, hostname: &str, protocol: Protocol) -> Node {
    Node {
        id: node.clone(),
        meta: Meta::default(),
        spec: NodeSpec { role: Role::Manager, ..NodeSpec::default() },
        description: NodeDescription { hostname: hostname.to_owned(), protocol, ..NodeDescription::default() },
        status: NodeStatus::default(),
        manager: true,
        address: String::new(),
        data_address: String::new(),
        raft: None,
        mesh_address: None,
        mesh_address6: None,
    }
}
