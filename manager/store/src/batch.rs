//! Transactions that are proposed together, so that one write of the log serves all that came meanwhile.

use std::{collections::HashSet, sync::PoisonError, time::Instant};

use tokio::sync::oneshot;

use crate::{Change, ProposeError, Proposer, Store, Tables, tx::Key};

type Outcome = Result<(), ProposeError>;

/// Transactions that wait to be proposed.
#[derive(Default)]
pub(crate) struct Batch {
    /// The index up to which they know the log.
    base: u64,
    members: Vec<Member>,
    keys: HashSet<Key>,
    changes: usize,
}

struct Member {
    changes: Vec<Change>,
    waiter: oneshot::Sender<Outcome>,
}

impl Batch {
    /// Adds a transaction, which knows the log up to `base` and all that those before it write.
    pub(crate) fn add(&mut self, base: u64, changes: Vec<Change>) -> oneshot::Receiver<Outcome> {
        if self.members.is_empty() {
            self.base = base;
        }
        let (waiter, committed) = oneshot::channel();
        self.keys.extend(changes.iter().map(Change::key).map(|(kind, id)| (kind, id.to_owned())));
        self.changes += changes.len();
        self.members.push(Member { changes, waiter });
        committed
    }

    /// How many changes it has.
    pub(crate) fn len(&self) -> usize {
        self.changes
    }

    /// Whether nobody waits for it.
    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether one of them writes this record.
    pub(crate) fn has(&self, key: &Key) -> bool {
        self.keys.contains(key)
    }

    fn fail(self, error: &ProposeError) {
        tell(self.members, &Err(error.clone()));
    }
}

/// Whoever has stopped waiting does not need the outcome.
fn tell(members: Vec<Member>, outcome: &Outcome) {
    for member in members {
        let _ = member.waiter.send(outcome.clone());
    }
}

/// What is being committed.
pub(crate) struct InFlight {
    pub(crate) keys: HashSet<Key>,
    base: u64,
    /// A record that it puts, by which one sees that it has been applied.
    witness: Option<Key>,
}

impl InFlight {
    fn of(batch: &Batch) -> Self {
        let mut changes = batch.members.iter().flat_map(|member| &member.changes);
        let witness = changes.find_map(|change| match change {
            Change::Put { .. } | Change::Move { .. } | Change::Status { .. } => {
                let (kind, id) = change.key();
                Some((kind, id.to_owned()))
            }
            Change::Remove { .. } => None,
        });
        Self { keys: batch.keys.clone(), base: batch.base, witness }
    }

    /// Whether these tables have it: nobody else writes between its base and itself.
    pub(crate) fn is_applied(&self, tables: &Tables) -> bool {
        let version = self.witness.as_ref().and_then(|(kind, id)| tables.version(*kind, id));
        version.is_some_and(|version| version > self.base)
    }
}

impl Store {
    /// Proposes one batch after the other until none is left.
    pub(crate) async fn commit(self) {
        let Some(proposer) = self.inner.proposer.get() else { return };
        loop {
            let batch = {
                let mut working = self.inner.working.lock().await;
                if working.open.is_empty() {
                    working.committing = false;
                    return;
                }
                let batch = std::mem::take(&mut working.open);
                if batch.changes == 0 {
                    // What they saw is committed by now.
                    drop(working);
                    tell(batch.members, &Ok(()));
                    continue;
                }
                working.in_flight = Some(InFlight::of(&batch));
                batch
            };
            self.inner.room.notify_waiters();
            let Batch { mut base, members, mut keys, .. } = batch;
            let changes = members.iter().flat_map(|member| member.changes.iter().cloned()).collect();
            let (begun, transactions) = (Instant::now(), members.len());
            let mut outcome = proposer.propose(base, changes).await;
            if outcome.is_ok() {
                let mut done = self.inner.done.lock().unwrap_or_else(PoisonError::into_inner);
                done.transactions += transactions as u64;
                done.writes += 1;
                done.seconds += begun.elapsed().as_secs_f64();
            }
            let mut left = members;
            if matches!(outcome, Err(ProposeError::TooLarge { .. })) && left.len() > 1 {
                if let Some(in_flight) = &mut self.inner.working.lock().await.in_flight {
                    // With the first of them not all is applied.
                    in_flight.witness = None;
                }
                (outcome, left) = one_by_one(&**proposer, &mut base, left).await;
            }
            let mut working = self.inner.working.lock().await;
            working.in_flight = None;
            match outcome {
                Ok(index) => {
                    // Between the two is nothing but what it saw.
                    working.open.base = working.open.base.max(index);
                    drop(working);
                    tell(left, &Ok(()));
                }
                Err(error) => {
                    // It saw what has not come to be.
                    let open = std::mem::take(&mut working.open);
                    keys.extend(open.keys.iter().cloned());
                    self.forget(keys);
                    drop(working);
                    self.inner.room.notify_waiters();
                    // Its own size is nobody else's fault.
                    let theirs = match &error {
                        ProposeError::TooLarge { .. } => ProposeError::Dropped,
                        other => other.clone(),
                    };
                    tell(left, &Err(error));
                    open.fail(&theirs);
                }
            }
        }
    }
}

/// What is too large together may fit each by itself. Gives those that are left without an outcome of their own: whoever
/// comes after one that failed saw what has not come to be.
async fn one_by_one(
    proposer: &dyn Proposer,
    base: &mut u64,
    members: Vec<Member>,
) -> (Result<u64, ProposeError>, Vec<Member>) {
    let mut members = members.into_iter();
    while let Some(member) = members.next() {
        match proposer.propose(*base, member.changes).await {
            Ok(index) => {
                *base = index;
                let _ = member.waiter.send(Ok(()));
            }
            Err(error) => {
                let _ = member.waiter.send(Err(error));
                return (Err(ProposeError::Dropped), members.collect());
            }
        }
    }
    (Ok(*base), Vec::new())
}
