//! The managers as this node knows them, and the way to the one that leads.

use std::{
    future::Future,
    path::PathBuf,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hoist_agent::Dispatchers;
use hoist_link::{Link, To};
use hoist_manager::{LEADER_ADDRESS, LEADER_NODE};
use hoist_proto::{
    id::NodeId,
    spec::{Node, NodeTls, Role},
    wire::{ManagerAddress, SessionMessage},
};
use tokio::sync::{Notify, watch};
use tonic::{Code, Status, transport::Channel};

use super::{Member, file::NodeFile};

/// The managers, and what the leader says of this node.
pub struct Remotes {
    member: Member,
    link: Link,
    dir: PathBuf,
    state: Mutex<State>,
    /// The certificate is to be renewed.
    pub renew: Notify,
    /// This node's record, as the leader tells it.
    pub record: watch::Sender<Option<Arc<Node>>>,
}

struct State {
    file: NodeFile,
    /// Who leads, as the last refusal said.
    leader: Option<(NodeId, String)>,
    next: usize,
    /// How many were tried since one answered.
    tried: usize,
}

impl Remotes {
    pub fn new(link: Link, dir: PathBuf, file: NodeFile, member: Member) -> Self {
        let state = Mutex::new(State { file, leader: None, next: 0, tried: 0 });
        Self { member, link, dir, state, renew: Notify::new(), record: watch::Sender::new(None) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that are known.
    pub fn managers(&self) -> Vec<ManagerAddress> {
        self.state().file.managers.iter().cloned().map(Into::into).collect()
    }

    /// Remembers other managers.
    pub fn learn(&self, managers: Vec<ManagerAddress>) {
        if managers.is_empty() {
            return;
        }
        let file = {
            let mut state = self.state();
            let mut managers: Vec<_> = managers.into_iter().map(Into::into).collect();
            managers.sort_by(|a: &super::file::Known, b| a.node.cmp(&b.node));
            if state.file.managers == managers {
                return;
            }
            state.file.managers = managers;
            state.file.clone()
        };
        if let Err(error) = file.save(&self.dir) {
            tracing::error!(%error, "cannot keep the managers' addresses");
        }
    }
}

impl Dispatchers for Remotes {
    fn next(&self) -> Channel {
        let mut state = self.state();
        if let Some((node, address)) = &state.leader {
            return self.link.channel(address, To::Node(node.clone()));
        }
        let count = state.file.managers.len().max(1);
        let at = state.next % count;
        state.next = at + 1;
        match state.file.managers.get(at) {
            Some(manager) => self.link.channel(&manager.address, To::Manager),
            // Nobody is known: the node itself may be the one.
            None => self.link.channel(&state.file.advertise, To::Manager),
        }
    }

    fn ended(&self, why: &Status) -> bool {
        let mut state = self.state();
        let text = |name: &str| why.metadata().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let hint = text(LEADER_NODE).and_then(|node| node.parse().ok()).zip(text(LEADER_ADDRESS));
        if why.code() == Code::Aborted {
            // The session ended by this node's own wish.
            return true;
        }
        state.tried += 1;
        if hint.is_some() && hint != state.leader {
            state.leader = hint;
            return state.tried <= state.file.managers.len() + 1;
        }
        state.leader = None;
        // Each is tried once before all get a rest.
        if state.tried <= state.file.managers.len() {
            return true;
        }
        state.tried = 0;
        false
    }

    fn heard(&self, news: SessionMessage) {
        self.state().tried = 0;
        self.learn(news.managers);
        let credentials = self.link.credentials();
        if !news.roots.is_empty() && news.roots != credentials.roots_pem() {
            match credentials.with_roots(&news.roots) {
                Ok(fresh) => {
                    if let Err(error) = fresh.save(&self.dir, |key| self.member.inner.lock.seal(key)) {
                        tracing::error!(%error, "cannot keep the cluster's roots");
                    }
                    tracing::info!("the cluster's roots are others now");
                    self.link.replace(fresh);
                }
                Err(error) => tracing::error!(%error, "the cluster's roots cannot be used"),
            }
        }
        let Ok(record) = serde_json::from_slice::<Node>(&news.node) else { return };
        let manager = credentials.identity().subject.role == Role::Manager;
        if news.renew || record.manager != manager {
            self.renew.notify_one();
        }
        self.record.send_replace(Some(Arc::new(record)));
    }

    fn tls(&self) -> Option<NodeTls> {
        let credentials = self.link.credentials();
        let identity = credentials.identity();
        Some(NodeTls {
            trust: credentials.roots_pem(),
            issuer: identity.issuer.clone(),
            issuer_key: identity.issuer_key.clone(),
        })
    }

    fn changed(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let mut changes = self.link.changes();
        changes.mark_unchanged();
        Box::pin(async move {
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    }
}
