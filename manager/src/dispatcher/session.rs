//! Which nodes are there.

use hoist_proto::{
    id::{NodeId, SessionId},
    protocol::Protocol,
    spec::{Node, NodeDescription, NodeState},
};
use hoist_store::{StoreError, Tables};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{Dispatcher, unavailable};
use crate::agreement::{self, Spoken};

/// An agent that has registered.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) node: NodeId,
    pub(crate) deadline: Instant,
    closed: CancellationToken,
}

/// Which other node has told the key by which this one wants to be sent what is encrypted: all would go to one of them,
/// or to neither.
fn whose_key(tables: &Tables, node: &NodeId, description: &NodeDescription) -> Option<NodeId> {
    let key = description.tunnel_key.as_ref()?;
    let mut others = tables.nodes().iter().filter(|other| other.id != *node);
    others.find(|other| other.description.tunnel_key.as_ref() == Some(key)).map(|other| other.id.clone())
}

/// Ends a session when its stream is dropped.
#[derive(Debug)]
pub(crate) struct Guard {
    pub(crate) dispatcher: Dispatcher,
    pub(crate) session: SessionId,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(session) = self.dispatcher.sessions().get_mut(&self.session) {
            // The node gets until its deadline to come back before anything is concluded from it.
            session.closed.cancel();
        }
    }
}

impl Dispatcher {
    /// Registers an agent; an earlier session of its node ends.
    pub(crate) async fn open_session(
        &self,
        node: &NodeId,
        description: NodeDescription,
    ) -> Result<(SessionId, CancellationToken), Status> {
        let written = self
            .inner
            .store
            .update(|tx| {
                if let Some(other) = whose_key(tx, node, &description) {
                    return Ok(Some(other));
                }
                let now = tx.now();
                tx.modify::<Node>(node, |node| {
                    node.description = description;
                    node.status.state = NodeState::Ready;
                    node.status.message = String::new();
                    node.status.since = now;
                })?;
                Ok(None)
            })
            .await;
        match written {
            Ok(None) => {}
            Ok(Some(other)) => {
                tracing::warn!(%node, "a node that gave out the tunnel key of node {other} as its own was refused");
                return Err(Status::permission_denied(format!(
                    "the key of the node's tunnels is that of node {other}: a node may tell none but its own (where it is the same machine, hoist node rm {other})"
                )));
            }
            Err(StoreError::NotFound { .. }) => {
                return Err(Status::permission_denied(format!("node {node} is not of this cluster")));
            }
            Err(error) => return Err(unavailable(error)),
        }
        let (id, closed) = (SessionId::random(), CancellationToken::new());
        {
            let mut sessions = self.sessions();
            sessions.retain(|_, session| {
                let other = session.node != *node;
                if !other {
                    session.closed.cancel();
                }
                other
            });
            let deadline = Instant::now() + self.bound();
            sessions.insert(id.clone(), Session { node: node.clone(), deadline, closed: closed.clone() });
        }
        self.inner.changed.notify_one();
        Ok((id, closed))
    }

    /// A node whose program is too old for this one is told so, and so is whoever looks at it.
    pub(crate) async fn must_understand(&self, node: &NodeId, protocol: Protocol) -> Result<(), Status> {
        let store = &self.inner.store;
        let known = store.view(|tables| Some((tables.cluster()?.clone(), tables.get::<Node>(node)?.clone())));
        let Some((cluster, record)) = known else { return Ok(()) };
        // What a newer program still speaks it said when it joined.
        let spoken = Spoken { oldest: protocol.min(store.spoken()), newest: protocol };
        let Err(why) = agreement::may_take_part(&cluster, store.spoken(), spoken, record.spec.role) else {
            return Ok(());
        };
        if record.status.message != why {
            tracing::warn!(%node, "a node was refused: {why}");
            let told = store.update(|tx| {
                tx.modify::<Node>(node, |node| node.status.message.clone_from(&why))?;
                Ok::<_, StoreError>(())
            });
            told.await.map_err(unavailable)?;
        }
        Err(Status::permission_denied(why))
    }

    /// A node that calls is there, whatever was written of it meanwhile: it may have been given up in the moment in
    /// which it came back.
    pub(crate) async fn believe(&self, node: &NodeId) -> Result<(), Status> {
        let there = |node: &Node| node.status.state == NodeState::Ready;
        if self.inner.store.view(|tables| tables.get::<Node>(node).is_none_or(|node| there(node))) {
            return Ok(());
        }
        let written = self
            .inner
            .store
            .update(|tx| {
                let now = tx.now();
                tx.modify::<Node>(node, |node| {
                    node.status.state = NodeState::Ready;
                    node.status.message = String::new();
                    node.status.since = now;
                })
            })
            .await;
        written.map_err(unavailable)
    }

    /// Marks nodes down that have missed their calls; runs until cancelled. It begins with no sessions: those that an
    /// earlier leader had are not this one's.
    ///
    /// Nodes that never called since this manager leads get one grace period.
    pub(crate) async fn watch_nodes(&self, cancel: CancellationToken) -> Result<(), StoreError> {
        let started = Instant::now() + self.bound();
        let mut graced = false;
        loop {
            let next = self.sessions().values().map(|session| session.deadline).min();
            let next = if graced { next } else { Some(next.map_or(started, |next| next.min(started))) };
            let timer = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = cancel.cancelled() => {
                    self.sessions().clear();
                    return Ok(());
                }
                () = self.inner.changed.notified() => continue,
                () = timer => {}
            }
            let now = Instant::now();
            let mut down = Vec::new();
            self.sessions().retain(|_, session| {
                let late = session.deadline <= now;
                if late {
                    session.closed.cancel();
                    down.push(session.node.clone());
                }
                !late
            });
            if !graced && now >= started {
                graced = true;
                let called: Vec<NodeId> = self.sessions().values().map(|session| session.node.clone()).collect();
                let silent = |node: &Node| node.status.state == NodeState::Unknown && !called.contains(&node.id);
                let silent: Vec<_> = self.inner.store.view(|tables| {
                    tables.nodes().iter().filter(|node| silent(node)).map(|node| node.id.clone()).collect()
                });
                down.extend(silent);
            }
            self.mark_down(down).await?;
        }
    }

    async fn mark_down(&self, nodes: Vec<NodeId>) -> Result<(), StoreError> {
        if nodes.is_empty() {
            return Ok(());
        }
        let outcome = self
            .inner
            .store
            .update(|tx| {
                let now = tx.now();
                for id in &nodes {
                    tracing::warn!(node = %id, "a node has not called for too long");
                    tx.modify::<Node>(id, |node| {
                        node.status.state = NodeState::Down;
                        node.status.message = "the node has not called for too long".into();
                        node.status.since = now;
                    })?;
                }
                Ok(())
            })
            .await;
        match outcome {
            // A node that was removed meanwhile is no loss, and a full disk says so elsewhere.
            Err(error @ (StoreError::NotFound { .. } | StoreError::Propose(_))) => {
                tracing::error!(%error, "cannot write that a node is down");
                Ok(())
            }
            other => other,
        }
    }
}
