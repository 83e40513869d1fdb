//! Who has a vote: the nodes' records say who should, raft says who does, and this loop makes them the same.

use std::{collections::BTreeMap, time::Duration};

use hoist_proto::{
    id::NodeId,
    spec::{Node, Role},
};
use hoist_raft::{
    Member, Raft,
    messages::{ConfChangeSingle, ConfChangeType, ConfChangeV2},
};
use hoist_store::{Store, StoreError, Tables, Wake};
use tokio_util::sync::CancellationToken;

/// One that lacks fewer entries than this is as good as filled.
const CLOSE: u64 = 100;
const PAUSE: Duration = Duration::from_secs(1);
const HURRY: Duration = Duration::from_millis(100);

/// One step towards what should be.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// Its role follows its spec.
    Role(NodeId, bool),
    /// A manager gets the log, and no vote yet.
    Learn(u64),
    /// A manager that has the log gets a vote.
    Vote(u64),
    /// A manager loses its place.
    Remove(u64),
    /// The leader itself is to go: another one first.
    HandOver(u64),
    /// A node's place is no more.
    Forget(NodeId),
    Reachable(NodeId, bool),
}

/// Runs until cancelled.
pub(crate) async fn run(store: Store, raft: Raft, cancel: CancellationToken) -> Result<(), StoreError> {
    let ((), mut watch) = store.watch(|_| ());
    loop {
        let members = raft.members().await;
        let me = raft.status().borrow().id;
        let steps = store.view(|tables| plan(tables, &members, me));
        let mut pause = if members.iter().all(|member| member.voter) { PAUSE } else { HURRY };
        for step in steps {
            tracing::debug!(?step, "managers");
            pause = HURRY;
            if let Err(error) = act(&store, &raft, step).await {
                match error {
                    StoreError::Propose(_) => tracing::debug!(%error, "a change of the managers waits"),
                    error => return Err(error),
                }
                break;
            }
        }
        let until = tokio::time::Instant::now() + pause;
        loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => return Ok(()),
                () = tokio::time::sleep_until(until) => break,
                wake = watch.next() => match wake {
                    Wake::Closed => return Ok(()),
                    Wake::Resync => break,
                    Wake::Commits(commits) => {
                        if commits.iter().any(|commit| commit.events.iter().any(|event| event.of::<Node>().is_some())) {
                            break;
                        }
                    }
                },
            }
        }
    }
}

/// What is to be done: at most one change of raft's own, for it takes them one after the other.
fn plan(tables: &Tables, members: &[Member], me: u64) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut change = None;
    let known: BTreeMap<u64, &Member> = members.iter().map(|member| (member.id, member)).collect();
    for node in tables.nodes().iter() {
        let wanted = node.spec.role == Role::Manager;
        let member = node.raft.as_ref().and_then(|raft| known.get(&raft.id).copied());
        match (&node.raft, wanted) {
            (None, _) if node.manager != wanted => steps.push(Step::Role(node.id.clone(), wanted)),
            (None, _) => {}
            (Some(_), true) if !node.manager => steps.push(Step::Role(node.id.clone(), true)),
            (Some(raft), true) => match member {
                None => change = change.or(Some(Step::Learn(raft.id))),
                Some(member) if !member.voter && member.active && member.behind < CLOSE => {
                    change = change.or(Some(Step::Vote(raft.id)));
                }
                Some(_) => {}
            },
            (Some(raft), false) => match member {
                None => steps.push(Step::Forget(node.id.clone())),
                Some(_) if raft.id != me => change = change.or(Some(Step::Remove(raft.id))),
                Some(_) => {
                    let heir = members.iter().filter(|other| other.id != me && other.voter && other.active);
                    if let Some(heir) = heir.min_by_key(|member| member.behind) {
                        change = change.or(Some(Step::HandOver(heir.id)));
                    }
                }
            },
        }
        if let (Some(raft), Some(member)) = (&node.raft, member)
            && raft.reachable != member.active
        {
            steps.push(Step::Reachable(node.id.clone(), member.active));
        }
    }
    // Whoever is in no record has no business here.
    let placed = |id: u64| tables.nodes().iter().any(|node| node.raft.as_ref().is_some_and(|raft| raft.id == id));
    for member in members.iter().filter(|member| member.id != me && !placed(member.id)) {
        change = change.or(Some(Step::Remove(member.id)));
    }
    steps.extend(change);
    steps
}

async fn act(store: &Store, raft: &Raft, step: Step) -> Result<(), StoreError> {
    let change = |id: u64, kind: ConfChangeType| async move {
        let single = ConfChangeSingle { change_type: kind, node_id: id, ..ConfChangeSingle::default() };
        let change = ConfChangeV2 { changes: vec![single].into(), ..ConfChangeV2::default() };
        raft.change_membership(change).await.map_err(StoreError::Propose)
    };
    match step {
        Step::Learn(id) => change(id, ConfChangeType::AddLearnerNode).await,
        Step::Vote(id) => change(id, ConfChangeType::AddNode).await,
        Step::Remove(id) => change(id, ConfChangeType::RemoveNode).await,
        Step::HandOver(id) => {
            raft.transfer_to(id);
            Ok(())
        }
        Step::Role(id, manager) => modify(store, &id, |node| node.manager = manager).await,
        Step::Forget(id) => {
            modify(store, &id, |node| {
                node.raft = None;
                node.manager = false;
            })
            .await
        }
        Step::Reachable(id, reachable) => {
            modify(store, &id, |node| {
                if let Some(raft) = &mut node.raft {
                    raft.reachable = reachable;
                }
            })
            .await
        }
    }
}

/// A node that was removed meanwhile needs no change.
async fn modify(store: &Store, id: &NodeId, change: impl FnOnce(&mut Node)) -> Result<(), StoreError> {
    match store.update(|tx| tx.modify::<Node>(id, change)).await {
        Err(StoreError::NotFound { .. }) => Ok(()),
        other => other,
    }
}
