//! Who has to hear of what is committed: each stream wakes for what concerns its node, so that a commit costs what it
//! changes, however many nodes there are.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use hoist_proto::{
    id::{NetworkId, NodeId},
    spec::{Attachment, Cluster, Config, Node, Secret, Service, Task, TaskState},
};
use hoist_store::{Commit, Event, Kind, Object, Store, Tables, Wake};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::topology::{self, Stale};
use crate::allocator::mesh;

/// What a stream has to look at again.
#[derive(Debug, Default)]
pub(super) struct News {
    /// What the cluster tells every session: the node's record, the managers, the roots.
    pub(super) session: bool,
    /// The node's own tasks, and what they need.
    pub(super) own: bool,
    /// Others on the node's networks.
    pub(super) stale: Vec<Arc<Stale>>,
}

impl News {
    fn everything() -> Self {
        Self { session: true, own: true, stale: vec![Arc::new(Stale::everything())] }
    }

    fn is_empty(&self) -> bool {
        !self.session && !self.own && self.stale.is_empty()
    }
}

/// Brings news to the streams. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub(super) struct Router {
    boxes: Arc<Mutex<Boxes>>,
}

#[derive(Debug, Default)]
struct Boxes {
    of: BTreeMap<NodeId, Vec<Arc<Letterbox>>>,
    /// Which nodes are on a network that spans nodes.
    on: BTreeMap<NetworkId, BTreeSet<NodeId>>,
    /// Whether the routing mesh has a service, and with that every node its network.
    meshed: bool,
}

#[derive(Debug, Default)]
struct Letterbox {
    news: Mutex<News>,
    arrived: Notify,
}

/// A stream's letterbox, which is gone with it.
#[derive(Debug)]
pub(super) struct Mail {
    router: Router,
    node: NodeId,
    letterbox: Arc<Letterbox>,
}

impl Mail {
    /// Waits for news. Cancel-safe.
    pub(super) async fn next(&self) -> News {
        loop {
            let news = std::mem::take(&mut *self.letterbox.news.lock().unwrap_or_else(PoisonError::into_inner));
            if !news.is_empty() {
                return news;
            }
            self.letterbox.arrived.notified().await;
        }
    }

    /// From now on the stream hears of what happens on these networks instead of those on which the node was. To be
    /// called where the tables are read of which the stream tells, so that nothing is missed between the two.
    pub(super) fn follow(&self, before: &BTreeSet<NetworkId>, now: &BTreeSet<NetworkId>) {
        let mut boxes = self.router.boxes();
        for network in before.difference(now) {
            boxes.leave(network, &self.node);
        }
        for network in now.difference(before) {
            boxes.on.entry(network.clone()).or_default().insert(self.node.clone());
        }
    }
}

impl Drop for Mail {
    fn drop(&mut self) {
        let mut boxes = self.router.boxes();
        let Some(of_node) = boxes.of.get_mut(&self.node) else { return };
        of_node.retain(|other| !Arc::ptr_eq(other, &self.letterbox));
        if of_node.is_empty() {
            boxes.of.remove(&self.node);
            boxes.on.retain(|_, nodes| {
                nodes.remove(&self.node);
                !nodes.is_empty()
            });
        }
    }
}

impl Boxes {
    fn leave(&mut self, network: &NetworkId, node: &NodeId) {
        if let Some(nodes) = self.on.get_mut(network) {
            nodes.remove(node);
            if nodes.is_empty() {
                self.on.remove(network);
            }
        }
    }

    fn tell(&self, node: &NodeId, tell: impl Fn(&mut News)) {
        self.of.get(node).into_iter().flatten().for_each(|letterbox| put(letterbox, &tell));
    }

    fn tell_all(&self, tell: impl Fn(&mut News)) {
        self.of.values().flatten().for_each(|letterbox| put(letterbox, &tell));
    }

    /// Tells what the commits changed to whom it concerns.
    fn route(&mut self, tables: &Tables, commits: &[Arc<Commit>]) {
        let events = || commits.iter().flat_map(|commit| &commit.events);
        let mut own: BTreeSet<&NodeId> = BTreeSet::new();
        let (mut all_own, mut all_sessions) = (false, false);
        for event in events() {
            if let Some((before, after)) = event.of::<Task>() {
                if before.zip(after).is_none_or(|(before, after)| is_told(before, after)) {
                    own.extend(before.into_iter().chain(after).filter_map(|task| task.node.as_ref()));
                }
            } else if let Some((before, after)) = event.of::<Attachment>() {
                own.extend(before.into_iter().chain(after).map(|attachment| &attachment.node));
            } else if let Some((before, after)) = event.of::<Node>() {
                let reached = |node: &Arc<Node>| (node.raft.clone(), node.address.clone());
                let is_manager = before.into_iter().chain(after).any(|node| node.raft.is_some());
                if is_manager && before.map(reached) != after.map(reached) {
                    all_sessions = true;
                } else if let Some(node) = after {
                    self.tell(&node.id, |news| news.session = true);
                }
            } else if event.of::<Cluster>().is_some() {
                all_sessions = true;
            } else if event.of::<Service>().is_some() {
                // The first on the routing mesh brings its network to every node, and the last takes it along.
                let meshed = topology::is_meshed(tables);
                all_own |= std::mem::replace(&mut self.meshed, meshed) != meshed;
            } else {
                all_own |= has_users(event);
            }
        }
        if all_sessions {
            self.tell_all(|news| news.session = true);
        }
        if all_own {
            self.tell_all(|news| news.own = true);
        } else {
            own.into_iter().for_each(|node| self.tell(node, |news| news.own = true));
        }
        let mesh = mesh::network(tables).map(|network| network.id.clone());
        for (network, stale) in topology::stale(tables, mesh.as_ref(), events()) {
            let stale = Arc::new(stale);
            for node in self.on.get(&network).into_iter().flatten() {
                self.tell(node, |news| news.stale.push(stale.clone()));
            }
        }
    }
}

/// Whether an agent has to hear of what has become of a task: what it said itself does not come back to it.
fn is_told(before: &Task, after: &Task) -> bool {
    let stage = |task: &Task| {
        let state = task.status.state;
        (state < TaskState::Assigned, state.is_final(), state >= TaskState::Remove)
    };
    before.node != after.node
        || before.desired != after.desired
        || before.signal != after.signal
        || before.addresses != after.addresses
        || !Arc::ptr_eq(&before.spec, &after.spec)
        || stage(before) != stage(after)
}

/// Whether tasks that nodes have may need what has changed. Of a secret or config that is new no task is made yet.
fn has_users(event: &Event) -> bool {
    let is_new = event.before.is_none();
    if event.of::<Secret>().is_some() || event.of::<Config>().is_some() {
        return !is_new;
    }
    event.before.iter().chain(&event.after).map(Object::kind).any(|kind| matches!(kind, Kind::Network | Kind::Volume))
}

fn put(letterbox: &Letterbox, tell: &impl Fn(&mut News)) {
    tell(&mut letterbox.news.lock().unwrap_or_else(PoisonError::into_inner));
    letterbox.arrived.notify_one();
}

impl Router {
    fn boxes(&self) -> std::sync::MutexGuard<'_, Boxes> {
        self.boxes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A letterbox for a stream of a node. What is committed from now on comes into it.
    pub(super) fn open(&self, node: &NodeId) -> Mail {
        let letterbox = Arc::<Letterbox>::default();
        self.boxes().of.entry(node.clone()).or_default().push(letterbox.clone());
        Mail { router: self.clone(), node: node.clone(), letterbox }
    }

    /// Follows the store until cancelled. Whoever opened a letterbox before is told to look at everything.
    pub(super) async fn run(&self, store: Store, cancel: CancellationToken) {
        let everything = |tables: &Tables| {
            let mut boxes = self.boxes();
            boxes.meshed = topology::is_meshed(tables);
            boxes.tell_all(|news| *news = News::everything());
        };
        let ((), mut watch) = store.watch(everything);
        loop {
            let wake = tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                wake = watch.next() => wake,
            };
            match wake {
                Wake::Commits(commits) => store.view(|tables| self.boxes().route(tables, &commits)),
                Wake::Resync => store.view(everything),
                Wake::Closed => return,
            }
        }
    }
}
