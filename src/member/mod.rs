//! This machine's place in the cluster: alone, a worker or a manager; and the way from one to another.
//!
//! [`Member`] is what the API holds: it tells what this node is now, and takes wishes. Behind it a supervisor owns
//! the manager, the agent and the port, and starts them anew when the place changes. Containers do not notice.

mod address;
mod change;
mod error;
mod file;
mod images;
mod lock;
mod remotes;
mod renew;
mod restore;
mod running;
mod serve;
mod supervisor;
mod tunnel;

use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use axum::Router;
use hoist_engine::Engine;
use hoist_link::{Link, UnlockKey};
use hoist_manager::{
    Leadership,
    control::{Control, ImageSource},
};
use hoist_proto::{clock::SharedClock, id::NodeId, protocol::Protocol, spec::Role, wire::ManagerAddress};
use tokio::sync::{mpsc, oneshot};

pub use change::{Init, Join};
pub use error::MemberError;
pub use restore::Restore;
pub use supervisor::Supervisor;

use images::Sockets;
use lock::Lock;
use remotes::Remotes;

/// The port of a cluster's nodes.
pub const PORT: u16 = 2377;

/// What the supervisor needs for whatever it starts.
pub struct Parts {
    pub engine: Engine,
    pub images: Arc<dyn ImageSource>,
    pub clock: SharedClock,
    pub data_root: std::path::PathBuf,
    pub run_root: std::path::PathBuf,
    pub hostname: String,
    /// The newest version of the cluster's protocol that this node speaks.
    pub protocol: Protocol,
}

/// This machine's place in the cluster. Clones are the same.
#[derive(Clone)]
pub struct Member {
    inner: Arc<Inner>,
}

struct Inner {
    parts: Parts,
    now: RwLock<Now>,
    wishes: mpsc::Sender<Wish>,
    /// The API, for those that come through the cluster.
    router: OnceLock<Router>,
    lock: Lock,
}

/// What this node is now.
#[derive(Clone, Default)]
struct Now {
    node: Option<NodeId>,
    control: Option<Control>,
    leadership: Option<Leadership>,
    place: Option<Place>,
    /// Why it does not take part, when it should.
    error: String,
    locked: bool,
}

/// A node among others.
#[derive(Clone)]
struct Place {
    link: Link,
    role: Role,
    address: String,
    remotes: Arc<Remotes>,
    images: Arc<Sockets>,
}

/// What the supervisor is asked for.
enum Wish {
    Init(Box<Init>, oneshot::Sender<Result<NodeId, MemberError>>),
    Restore(Box<Restore>, oneshot::Sender<Result<NodeId, MemberError>>),
    Join(Box<Join>, oneshot::Sender<Result<(), MemberError>>),
    Leave {
        force: bool,
        done: oneshot::Sender<Result<(), MemberError>>,
    },
    Unlock(UnlockKey, oneshot::Sender<Result<(), MemberError>>),
    /// The certificate tells another role than before.
    Role,
}

/// What `info` tells.
#[derive(Debug, Clone, Default)]
pub struct Told {
    pub node: String,
    pub address: String,
    pub state: &'static str,
    pub manager: bool,
    pub error: String,
    pub managers: Vec<ManagerAddress>,
}

impl Member {
    fn now(&self) -> Now {
        self.inner.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, now: Now) {
        *self.inner.now.write().unwrap_or_else(PoisonError::into_inner) = now;
    }

    /// The control plane, where this node has one: alone, or as a manager.
    pub fn control(&self) -> Option<Control> {
        self.now().control
    }

    /// Whether this node is one among others, or lets others come.
    pub fn is_active(&self) -> bool {
        self.now().place.is_some()
    }

    /// The leader that this manager is not.
    pub fn other_leader(&self) -> Option<NodeId> {
        let now = self.now();
        now.place?;
        now.leadership.filter(|leadership| !leadership.leads())?.other().map(|(node, _)| node)
    }

    /// Raft's id of the leader, on a manager.
    pub fn leader(&self) -> Option<u64> {
        self.now().leadership.map(|leadership| leadership.status().leader)
    }

    /// What raft says, on a manager.
    pub fn raft(&self) -> Option<hoist_manager::RaftStatus> {
        self.now().leadership.map(|leadership| leadership.status())
    }

    /// This node's id in the cluster.
    pub fn node(&self) -> Option<NodeId> {
        self.now().node
    }

    /// Serves the API to those that come through the cluster.
    pub fn offer(&self, router: Router) {
        // Set once: the daemon has one API.
        let _ = self.inner.router.set(router);
    }

    /// What `info` tells.
    pub fn told(&self) -> Told {
        let now = self.now();
        if now.locked {
            return Told { state: "locked", error: now.error, ..Told::default() };
        }
        match now.place {
            None if now.error.is_empty() => Told { state: "inactive", ..Told::default() },
            None => Told { state: "error", error: now.error, ..Told::default() },
            Some(place) => Told {
                node: now.node.map(|node| node.to_string()).unwrap_or_default(),
                address: address::host(&place.address).to_owned(),
                state: "active",
                manager: place.role == Role::Manager,
                error: now.error,
                managers: place.remotes.managers(),
            },
        }
    }

    /// Makes this machine the first manager of a cluster.
    ///
    /// # Errors
    /// When it is in one, or cannot be reached as it is told to be.
    pub async fn init(&self, init: Init) -> Result<NodeId, MemberError> {
        self.ask(|done| Wish::Init(Box::new(init), done)).await
    }

    /// Makes this machine the only manager of a cluster that was saved.
    ///
    /// # Errors
    /// When it is in a cluster, when the snapshot does not open, and when others cannot reach it as it is told.
    pub async fn restore(&self, restore: Restore) -> Result<NodeId, MemberError> {
        self.ask(|done| Wish::Restore(Box::new(restore), done)).await
    }

    /// Takes this machine into a cluster.
    ///
    /// # Errors
    /// When it is in one, or is not let in.
    pub async fn join(&self, join: Join) -> Result<(), MemberError> {
        self.ask(|done| Wish::Join(Box::new(join), done)).await
    }

    /// Takes this machine out of its cluster.
    ///
    /// # Errors
    /// When it is in none, or is a manager and `force` is not set.
    pub async fn leave(&self, force: bool) -> Result<(), MemberError> {
        self.ask(|done| Wish::Leave { force, done }).await
    }

    /// Starts a manager whose keys are locked.
    ///
    /// # Errors
    /// With another key than theirs, or when nothing is locked.
    pub async fn unlock(&self, key: &str) -> Result<(), MemberError> {
        let key: UnlockKey = key.parse().map_err(|_| MemberError::WrongKey)?;
        self.ask(|done| Wish::Unlock(key, done)).await
    }

    async fn ask<R>(
        &self,
        wish: impl FnOnce(oneshot::Sender<Result<R, MemberError>>) -> Wish,
    ) -> Result<R, MemberError> {
        let (done, answer) = oneshot::channel();
        self.inner.wishes.send(wish(done)).await.map_err(|_| MemberError::Stopping)?;
        answer.await.unwrap_or(Err(MemberError::Stopping))
    }
}
