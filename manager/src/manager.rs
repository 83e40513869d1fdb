//! Config → build → spawn → drain, for the control plane.

use std::{path::PathBuf, sync::Arc};

use hoist_proto::{
    clock::SharedClock,
    id::{ClusterId, NodeId},
    spec::{Cluster, Meta, Node, NodeDescription, NodeSpec, NodeState, NodeStatus, Role},
};
use hoist_raft::{Alone, Raft, StartError};
use hoist_store::{Store, StoreError};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    Progress, allocator,
    control::{Control, ImageSource},
    dispatcher::Dispatcher,
    orchestrator, queue, scheduler,
};

const HISTORY: u32 = 5;

/// What a manager needs to start.
pub struct ManagerConfig {
    /// Where the log lies: `<data root>/cluster`.
    pub dir: PathBuf,
    /// This machine's own node.
    pub node: NodeId,
    pub hostname: String,
    pub clock: SharedClock,
    /// Fetches images before containers that exist are replaced.
    pub images: Arc<dyn ImageSource>,
}

/// Why the control plane does not run, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ManagerError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("cannot write the cluster's first records")]
    Bootstrap(#[source] StoreError),
    #[error("the {0} ended")]
    Loop(&'static str, #[source] StoreError),
    #[error("the {0} panicked")]
    Panicked(&'static str),
}

/// A running control plane.
#[derive(Debug)]
pub struct Manager {
    store: Store,
    raft: Raft,
    control: Control,
    dispatcher: Dispatcher,
    loops: JoinSet<Result<(), ManagerError>>,
    cancel: CancellationToken,
}

impl Manager {
    /// Opens the log, makes the cluster of one if there is none, and starts the loops.
    pub async fn start(config: ManagerConfig) -> Result<Self, ManagerError> {
        let store = Store::new(config.clock.clone());
        let raft = Raft::start(hoist_raft::Config { dir: config.dir }, store.clone(), Alone).await?;
        bootstrap(&store, &config.node, &config.hostname).await.map_err(ManagerError::Bootstrap)?;
        let cancel = CancellationToken::new();
        let progress = Progress::default();
        let dispatcher = Dispatcher::new(store.clone(), progress.clone(), cancel.child_token());
        let control = Control::new(store.clone(), progress, config.images, cancel.child_token());
        let mut loops = JoinSet::new();
        let (for_loops, token) = (store.clone(), cancel.child_token());
        loops.spawn(named("orchestrator", orchestrator::run(for_loops.clone(), token.clone())));
        loops.spawn(named("allocator", allocator::run(for_loops.clone(), token.clone())));
        loops.spawn(named("scheduler", scheduler::run(for_loops.clone(), token.clone())));
        loops.spawn(named("queue", queue::run(for_loops, token)));
        let watchdog = dispatcher.clone();
        loops.spawn(async move { named("dispatcher", watchdog.watch_nodes()).await });
        Ok(Self { store, raft, control, dispatcher, loops, cancel })
    }

    /// What clients may ask.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// The service for agents; serve it with [`Dispatcher::server`].
    pub fn dispatcher(&self) -> &Dispatcher {
        &self.dispatcher
    }

    /// The tables.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Waits for a loop to end with an error; a control plane that has lost one is none.
    pub async fn failed(&mut self) -> ManagerError {
        loop {
            match self.loops.join_next().await {
                Some(Ok(Err(error))) => return error,
                Some(Err(error)) if error.is_panic() => return ManagerError::Panicked("control plane"),
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Ends the loops and closes the log.
    pub async fn stop(mut self) {
        self.cancel.cancel();
        self.control.drain().await;
        while self.loops.join_next().await.is_some() {}
        self.raft.stop().await;
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
                })?;
            }
            if tx.nodes().get(node).is_none() {
                tx.put(Node {
                    id: node.clone(),
                    meta: Meta::default(),
                    spec: NodeSpec { role: Role::Manager, ..NodeSpec::default() },
                    description: NodeDescription { hostname: hostname.to_owned(), ..NodeDescription::default() },
                    status: NodeStatus::default(),
                    manager: true,
                })?;
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
                    node.status.message = "the manager has started; the node has not called yet".into();
                    node.status.since = now;
                })?;
            }
            Ok(())
        })
        .await
}
