//! Whether this manager leads, and the work that only the leader does.

use std::sync::Arc;

use hoist_proto::id::NodeId;
use hoist_raft::{Raft, Status as RaftStatus};
use hoist_store::{ProposeError, StoreError};
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tonic::{Status, metadata::MetadataValue};

use crate::ManagerError;

/// Under these names a refusal tells who leads.
pub const LEADER_ADDRESS: &str = "hoist-leader-address";
pub const LEADER_NODE: &str = "hoist-leader-node";

/// Finds a manager's node and address by its raft id.
pub(crate) type Lookup = Arc<dyn Fn(u64) -> Option<(NodeId, String)> + Send + Sync>;

/// Tells whether this manager leads. Clones are the same.
#[derive(Clone)]
pub struct Leadership {
    status: watch::Receiver<RaftStatus>,
    /// Lives as long as this manager leads.
    token: Arc<watch::Sender<Option<CancellationToken>>>,
    lookup: Lookup,
}

impl std::fmt::Debug for Leadership {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Leadership").field("status", &*self.status.borrow()).finish_non_exhaustive()
    }
}

impl Leadership {
    pub(crate) fn new(raft: &Raft, lookup: Lookup) -> Self {
        Self { status: raft.status(), token: Arc::new(watch::Sender::new(None)), lookup }
    }

    /// Whether this manager leads, and its loops run.
    pub fn leads(&self) -> bool {
        self.token().is_some()
    }

    /// Waits until this manager leads, and its loops run.
    pub(crate) async fn begun(&self) {
        // The sender lives as long as this does.
        let _ = self.token.subscribe().wait_for(Option::is_some).await;
    }

    /// What raft says.
    pub fn status(&self) -> RaftStatus {
        *self.status.borrow()
    }

    /// The leader's node and address, when there is one that is not this manager.
    pub fn other(&self) -> Option<(NodeId, String)> {
        let status = self.status();
        if status.leader == 0 || status.leader == status.id { None } else { (self.lookup)(status.leader) }
    }

    /// Lives as long as this manager leads.
    pub(crate) fn token(&self) -> Option<CancellationToken> {
        self.token.borrow().clone()
    }

    /// The leader's token, or the refusal that tells where the leader is.
    pub(crate) fn require(&self) -> Result<CancellationToken, Status> {
        if let Some(token) = self.token() {
            return Ok(token);
        }
        let Some((node, address)) = self.other() else {
            return Err(Status::unavailable("the managers have no leader now: too few of them can reach each other"));
        };
        let mut status = Status::failed_precondition(format!("this manager is not the leader ({address} is)"));
        if let (Ok(node), Ok(address)) = (MetadataValue::try_from(node.as_str()), MetadataValue::try_from(&address)) {
            status.metadata_mut().insert(LEADER_NODE, node);
            status.metadata_mut().insert(LEADER_ADDRESS, address);
        }
        Err(status)
    }

    fn set(&self, token: Option<CancellationToken>) {
        self.token.send_replace(token);
    }

    /// Runs what `begin` starts for as long as this manager leads, each time that it does; until cancelled.
    ///
    /// Whoever finds in a write that it leads no more ends its loops at once; that is no failure.
    pub(crate) async fn run<B, F>(&self, begin: B, cancel: CancellationToken) -> Result<(), ManagerError>
    where
        B: Fn(CancellationToken) -> F + Send,
        F: Future<Output = Result<JoinSet<Result<(), ManagerError>>, ManagerError>> + Send,
    {
        let mut status = self.status.clone();
        loop {
            let led = tokio::select! {
                biased;
                () = cancel.cancelled() => return Ok(()),
                led = status.wait_for(|status| status.leads) => match led {
                    Ok(led) => *led,
                    Err(_) => return Ok(()),
                },
            };
            let token = cancel.child_token();
            let work = async {
                let mut loops = begin(token.clone()).await?;
                tracing::info!(term = led.term, "this manager leads");
                self.set(Some(token.clone()));
                let ended = loop {
                    match loops.join_next().await {
                        Some(Ok(Ok(()))) => {}
                        Some(Ok(Err(error))) => break Err(error),
                        Some(Err(error)) if error.is_panic() => break Err(ManagerError::Panicked("control plane")),
                        Some(Err(_)) => {}
                        None => break Ok(()),
                    }
                };
                token.cancel();
                while loops.join_next().await.is_some() {}
                ended
            };
            tokio::pin!(work);
            let ended = tokio::select! {
                biased;
                ended = &mut work => ended,
                () = over(&mut status, led.term) => {
                    token.cancel();
                    self.set(None);
                    work.await
                }
            };
            token.cancel();
            self.set(None);
            match ended {
                Ok(()) => {}
                Err(error) if is_deposed(&error) => {}
                Err(error) => return Err(error),
            }
            if cancel.is_cancelled() {
                return Ok(());
            }
            tracing::info!("this manager leads no more");
            // A term that ended by an error of a loop's own, while raft saw nothing, must not spin.
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

/// Waits until this manager leads that term no more.
async fn over(status: &mut watch::Receiver<RaftStatus>, term: u64) {
    let _ = status.wait_for(|status| !status.leads || status.term != term).await;
}

/// Whether a loop ended because its manager leads no more. Loops wait for a log that cannot be written; before they have
/// begun, it is the next term that finds it writable.
fn is_deposed(error: &ManagerError) -> bool {
    if let ManagerError::Bootstrap(StoreError::Propose(ProposeError::Storage(why))) = error {
        tracing::error!("this manager cannot begin to lead: {why}");
        return true;
    }
    let (ManagerError::Loop(_, error) | ManagerError::Bootstrap(error)) = error else { return false };
    matches!(error, StoreError::Propose(ProposeError::NotLeader { .. } | ProposeError::Dropped | ProposeError::Stopped))
}
