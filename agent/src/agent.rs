//! Config → build → spawn → drain, for the agent.

use std::{path::PathBuf, sync::Arc};

use hoist_engine::Engine;
use hoist_proto::{clock::SharedClock, id::NodeId, protocol::Protocol};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{Dispatchers, ImageNodes, session, worker::Worker};

/// What an agent needs to start.
#[derive(Clone)]
pub struct AgentConfig {
    pub engine: Engine,
    /// This node: see [`crate::node_id`].
    pub node: NodeId,
    /// What it was told is kept below `<data_root>/agent`.
    pub data_root: PathBuf,
    pub clock: SharedClock,
    /// The newest version of the cluster's protocol that the node is to speak.
    pub protocol: Protocol,
    /// The way to the dispatcher that leads.
    pub dispatchers: Arc<dyn Dispatchers>,
    /// The ways to other nodes' images.
    pub images: Arc<dyn ImageNodes>,
}

/// A running agent.
pub struct Agent {
    engine: Engine,
    cancel: CancellationToken,
    loops: JoinSet<()>,
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agent").finish_non_exhaustive()
    }
}

impl Agent {
    /// Takes up the tasks that it had, and looks for a dispatcher. Never fails: what cannot be done
    /// yet is tried again.
    pub async fn start(config: AgentConfig) -> Self {
        let cancel = CancellationToken::new();
        let mut loops = JoinSet::new();
        let worker = Worker::load(&config, cancel.clone()).await;
        config.engine.set_wide_networks(Some(Arc::new(worker.clone())));
        let events = worker.clone();
        loops.spawn(async move { events.follow_engine().await });
        let keeper = worker.clone();
        loops.spawn(async move { keeper.keep().await });
        loops.spawn(session::run(config.dispatchers, config.node, worker, cancel.clone()));
        Self { engine: config.engine, cancel, loops }
    }

    /// Ends it; containers go on.
    pub async fn stop(mut self) {
        self.engine.set_wide_networks(None);
        self.cancel.cancel();
        while self.loops.join_next().await.is_some() {}
    }
}
