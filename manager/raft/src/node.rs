//! One raft node over its log: a synchronous state machine, driven by the thread in `raft_handle`.
//!
//! The order of handling a `Ready` is raft's: send what may be sent, take a snapshot in, apply what is
//! committed, make the rest durable, send what had to wait for that.

use std::{
    collections::BTreeMap,
    sync::mpsc::{Receiver, TryRecvError, channel},
};

use hoist_store::{Change, ProposeError, Store, Tables, decode_changes, encode_changes, encode_snapshot};
use protobuf::Message as _;
use raft::{
    GetEntriesContext, RawNode, StateRole,
    eraftpb::{ConfChange, ConfChangeV2, ConfState, Entry, EntryType, HardState, Message, Snapshot},
};
use tokio::sync::oneshot;

use crate::{
    Begin, Config, Log, LogError, Member, Simulated, StartError, Status, Transport, drain,
    log::{Position, Write},
};

/// After so much log a snapshot is made and the log is cut; but not before there is twice as much log as the last snapshot
/// was large, so that snapshots cost less than what they replace.
pub const SNAPSHOT_INTERVAL: u64 = 2_000;
const COMPACT_BYTES: usize = 2 << 20;
/// Entries that stay after a snapshot, for followers that are a little behind.
pub const ENTRIES_FOR_SLOW_FOLLOWERS: u64 = 100;
const KEPT_IN_A_SIMULATION: u64 = 10;
/// A follower waits for a leader so many ticks at least, and twice as many at most.
const ELECTION_TICKS: usize = 10;
/// The largest proposal.
const MAX_PROPOSAL: usize = 32 << 20;

/// Whoever waits for a proposal.
pub(crate) type Waiter = oneshot::Sender<Result<u64, ProposeError>>;

/// A raft node, its log and the store that it feeds.
pub(crate) struct Node {
    raw: RawNode<Log>,
    store: Store,
    waiting: BTreeMap<u64, Waiter>,
    /// Reads that wait for the leader's word, and those that wait for entries to be applied.
    reads: BTreeMap<u64, Waiter>,
    behind: Vec<(u64, Waiter)>,
    /// The membership is another than in the last snapshot. Who joins takes only a snapshot that it is in.
    joined: bool,
    /// A snapshot that is being made.
    compacting: Option<Receiver<Snapshot>>,
    next_proposal: u64,
    simulated: Option<Simulated>,
    /// So many were counted, in a simulation.
    ticks: u64,
}

impl Node {
    /// Opens the log and brings the store to where the log's snapshot is.
    pub(crate) fn open(config: &Config, store: Store) -> Result<Self, StartError> {
        let mut log = match &config.simulated {
            Some(simulated) => Log::on(&simulated.disk, config.begin)?,
            None => Log::open_with(&config.dir, config.begin, config.key.as_ref())?,
        };
        if log.snapshot.index > store.index() {
            store.restore(log.read_snapshot()?.get_data())?;
        }
        if let Some(tables) = config.restore.as_ref().filter(|_| log.last() == 0) {
            begin_with(&mut log, &store, tables)?;
        }
        if config.begin == Begin::Forced {
            force_alone(&mut log, &store)?;
        }
        let applied = store.index().max(log.base.index);
        // The commit index is written lazily (see `run_ready`): what was applied was committed.
        log.hard.commit = log.hard.commit.max(applied.min(log.last()));
        let simulated = config.simulated.clone();
        let config = raft::Config {
            id: log.identity.id,
            election_tick: ELECTION_TICKS,
            heartbeat_tick: 2,
            applied,
            max_size_per_msg: 1 << 20,
            max_inflight_msgs: 256,
            check_quorum: true,
            pre_vote: true,
            ..raft::Config::default()
        };
        let raw = RawNode::new(&config, log, &drain::logger()).map_err(StartError::Raft)?;
        let mut node = Self {
            raw,
            store,
            waiting: BTreeMap::new(),
            reads: BTreeMap::new(),
            behind: Vec::new(),
            joined: false,
            compacting: None,
            next_proposal: 1,
            simulated,
            ticks: 0,
        };
        if node.is_sole_voter() {
            node.raw.campaign().map_err(StartError::Raft)?;
        }
        Ok(node)
    }

    /// Whether no other manager has a vote, so that no clock is needed.
    pub(crate) fn is_sole_voter(&self) -> bool {
        let conf = &self.raw.store().conf;
        conf.voters == [self.raw.raft.id] && conf.voters_outgoing.is_empty() && conf.learners.is_empty()
    }

    pub(crate) fn is_leader(&self) -> bool {
        self.raw.raft.state == StateRole::Leader
    }

    /// Whether the leader's first entry, and so all before it, has been applied.
    pub(crate) fn is_caught_up(&self) -> bool {
        self.is_leader() && self.raw.raft.commit_to_current_term()
    }

    pub(crate) fn tick(&mut self) {
        if let Some(simulated) = &self.simulated {
            // Raft draws its patience from the machine's chance; here it follows from the seed.
            self.ticks += 1;
            let raft = &mut self.raw.raft;
            let span = 2 * ELECTION_TICKS;
            let place = (raft.id << 40) ^ (raft.term << 16) ^ (self.ticks / span as u64);
            let patience = fastrand::Rng::with_seed(simulated.seed ^ place).usize(ELECTION_TICKS..span);
            raft.set_randomized_election_timeout(patience);
        }
        self.raw.tick();
    }

    pub(crate) fn step(&mut self, message: Message) {
        if let Err(err) = self.raw.step(message) {
            tracing::debug!(%err, "raft does not take a message");
        }
    }

    /// Takes a proposal; its waiter hears of it when it is applied or lost.
    ///
    /// A manager that has just begun to lead may have entries of its predecessor that were not applied yet when the
    /// changes were worked out, on tables as of `base`: these would undo what the entries say, and are refused.
    pub(crate) fn propose(&mut self, base: u64, changes: &[Change], waiter: Waiter) {
        let data = encode_changes(changes);
        let refusal = if data.len() > MAX_PROPOSAL {
            Some(ProposeError::TooLarge { size: data.len(), limit: MAX_PROPOSAL })
        } else if !self.is_leader() {
            let leader = self.raw.raft.leader_id;
            Some(ProposeError::NotLeader { leader: (leader != raft::INVALID_ID).then_some(leader) })
        } else if self.predecessor_wrote_after(base) {
            Some(ProposeError::NotLeader { leader: None })
        } else {
            let id = self.next_proposal;
            self.next_proposal += 1;
            match self.raw.propose(id.to_be_bytes().to_vec(), data) {
                Ok(()) => {
                    self.waiting.insert(id, waiter);
                    return;
                }
                Err(err) => {
                    tracing::debug!(%err, "raft drops a proposal");
                    Some(ProposeError::Dropped)
                }
            }
        };
        if let Some(refusal) = refusal {
            // Whoever has stopped waiting does not need the answer.
            let _ = waiter.send(Err(refusal));
        }
    }

    /// Whether the log has changes after `base` that were proposed before this term.
    fn predecessor_wrote_after(&self, base: u64) -> bool {
        let (log, term) = (&self.raw.raft.raft_log, self.raw.raft.term);
        let last = log.last_index();
        if base >= last {
            return false;
        }
        // What cannot be read any more was applied; then the tables tell whether they have changed.
        log.slice(base + 1, last + 1, None, GetEntriesContext::empty(false)).map_or(
            self.store.index() != base,
            |entries| {
                entries.iter().any(|entry| {
                    entry.term < term && entry.get_entry_type() == EntryType::EntryNormal && !entry.data.is_empty()
                })
            },
        )
    }

    /// Proposes another membership; the waiter hears of it when it is applied or lost.
    pub(crate) fn change_membership(&mut self, change: ConfChangeV2, waiter: Waiter) {
        let id = self.next_proposal;
        self.next_proposal += 1;
        // Raft turns a change that comes while another is under way into an empty entry, without a word.
        let refused = !self.is_leader() || self.raw.raft.has_pending_conf();
        if refused || self.raw.propose_conf_change(id.to_be_bytes().to_vec(), change).is_err() {
            let _ = waiter.send(Err(ProposeError::Dropped));
            return;
        }
        self.waiting.insert(id, waiter);
    }

    /// Asks for the index up to which all is committed; the waiter hears when it is applied.
    pub(crate) fn read_index(&mut self, waiter: Waiter) {
        if !self.is_caught_up() {
            let leader = self.raw.raft.leader_id;
            let leader = (leader != raft::INVALID_ID).then_some(leader);
            let _ = waiter.send(Err(ProposeError::NotLeader { leader }));
            return;
        }
        let id = self.next_proposal;
        self.next_proposal += 1;
        self.reads.insert(id, waiter);
        self.raw.read_index(id.to_be_bytes().to_vec());
    }

    /// Who leads.
    pub(crate) fn status(&self) -> Status {
        let raft = &self.raw.raft;
        Status { id: raft.id, leader: raft.leader_id, term: raft.term, leads: self.is_caught_up() }
    }

    /// All managers that raft knows.
    pub(crate) fn members(&self) -> Vec<Member> {
        let raft = &self.raw.raft;
        let conf = &self.raw.store().conf;
        let last = raft.raft_log.committed;
        let voters = conf.voters.iter().chain(&conf.voters_outgoing).map(|id| (*id, true));
        let mut all: Vec<(u64, bool)> = voters.chain(conf.learners.iter().map(|id| (*id, false))).collect();
        all.sort_unstable();
        all.dedup_by_key(|(id, _)| *id);
        all.into_iter()
            .map(|(id, voter)| {
                let progress = raft.prs().get(id).filter(|_| self.is_leader());
                let me = id == raft.id;
                Member {
                    id,
                    voter,
                    active: me || progress.is_some_and(|progress| progress.recent_active),
                    behind: if me { 0 } else { progress.map_or(u64::MAX, |p| last.saturating_sub(p.matched)) },
                }
            })
            .collect()
    }

    pub(crate) fn transfer_to(&mut self, id: u64) {
        self.raw.transfer_leader(id);
    }

    pub(crate) fn unreachable(&mut self, id: u64) {
        self.raw.report_unreachable(id);
    }

    pub(crate) fn snapshot_sent(&mut self, to: u64, status: raft::SnapshotStatus) {
        self.raw.report_snapshot(to, status);
    }

    /// Sees to it that the log does not reach back to its first entry.
    pub(crate) fn welcome(&mut self) -> Result<(), StartError> {
        if self.raw.store().base.index == 0 {
            self.compact(1)?;
        }
        Ok(())
    }

    /// Handles all that is ready. After an error the node must be opened again.
    pub(crate) fn run_ready(&mut self, transport: &mut dyn Transport) -> Result<(), StartError> {
        while self.raw.has_ready() {
            let mut ready = self.raw.ready();
            for read in ready.take_read_states() {
                let id = <[u8; 8]>::try_from(read.request_ctx.as_slice()).map(u64::from_be_bytes);
                if let Some(waiter) = id.ok().and_then(|id| self.reads.remove(&id)) {
                    self.behind.push((read.index, waiter));
                }
            }
            send(transport, ready.take_messages());
            let snapshot = (!ready.snapshot().is_empty()).then(|| ready.snapshot().clone());
            if ready.must_sync() || snapshot.is_some() {
                let write =
                    Write { entries: ready.entries(), hard: ready.hs(), conf: None, snapshot: snapshot.as_ref() };
                self.raw.mut_store().write(&write).map_err(StartError::Log)?;
            } else if let Some(hard) = ready.hs() {
                // Only what is committed has changed, which is found out anew after a restart.
                self.raw.mut_store().hard = hard.clone();
            }
            if let Some(snapshot) = &snapshot {
                self.store.restore(snapshot.get_data())?;
            }
            self.apply(ready.take_committed_entries())?;
            send(transport, ready.take_persisted_messages());
            let mut light = self.raw.advance(ready);
            if let Some(commit) = light.commit_index() {
                // Not worth a write of its own: a leader that starts again finds out anew.
                self.raw.mut_store().hard.commit = commit;
            }
            send(transport, light.take_messages());
            self.apply(light.take_committed_entries())?;
            self.raw.advance_apply();
            self.answer_reads();
            if !self.is_leader() {
                self.fail_waiting(&ProposeError::Dropped);
            }
        }
        self.compact_if_due()?;
        Ok(())
    }

    /// Tells everybody who waits that nothing will come.
    pub(crate) fn fail_waiting(&mut self, err: &ProposeError) {
        let reads = std::mem::take(&mut self.behind).into_iter().chain(std::mem::take(&mut self.reads));
        for (_, waiter) in std::mem::take(&mut self.waiting).into_iter().chain(reads) {
            let _ = waiter.send(Err(err.clone()));
        }
    }

    /// Tells the reads whose entries are applied.
    fn answer_reads(&mut self) {
        let applied = self.raw.raft.raft_log.applied;
        let (done, behind) = std::mem::take(&mut self.behind).into_iter().partition(|(index, _)| *index <= applied);
        self.behind = behind;
        let done: Vec<(u64, Waiter)> = done;
        for (index, waiter) in done {
            let _ = waiter.send(Ok(index));
        }
    }

    fn answer(&mut self, entry: &Entry) {
        if let Ok(id) = <[u8; 8]>::try_from(entry.context.as_ref())
            && let Some(waiter) = self.waiting.remove(&u64::from_be_bytes(id))
        {
            let _ = waiter.send(Ok(entry.index));
        }
    }

    fn apply(&mut self, entries: Vec<Entry>) -> Result<(), StartError> {
        for entry in entries {
            match entry.get_entry_type() {
                EntryType::EntryNormal => {
                    let changes = if entry.data.is_empty() {
                        Vec::new()
                    } else {
                        decode_changes(&entry.data, self.store.spoken())?
                    };
                    self.store.apply(entry.index, changes);
                }
                EntryType::EntryConfChange => {
                    let change =
                        ConfChange::parse_from_bytes(&entry.data).map_err(|err| StartError::Raft(err.into()))?;
                    let conf = self.raw.apply_conf_change(&change).map_err(StartError::Raft)?;
                    self.raw.mut_store().write(&Write { conf: Some(&conf), ..Write::default() })?;
                    self.joined = self.is_leader();
                    self.store.apply(entry.index, Vec::new());
                }
                EntryType::EntryConfChangeV2 => {
                    let change =
                        ConfChangeV2::parse_from_bytes(&entry.data).map_err(|err| StartError::Raft(err.into()))?;
                    let conf = self.raw.apply_conf_change(&change).map_err(StartError::Raft)?;
                    self.raw.mut_store().write(&Write { conf: Some(&conf), ..Write::default() })?;
                    self.joined = self.is_leader();
                    self.store.apply(entry.index, Vec::new());
                }
            }
            self.answer(&entry);
        }
        Ok(())
    }

    fn compact_if_due(&mut self) -> Result<(), LogError> {
        if std::mem::take(&mut self.joined) {
            return self.compact(ENTRIES_FOR_SLOW_FOLLOWERS);
        }
        if let Some(made) = &self.compacting {
            let snapshot = match made.try_recv() {
                Err(TryRecvError::Empty) => return Ok(()),
                outcome => outcome.ok(),
            };
            self.compacting = None;
            return snapshot.map_or(Ok(()), |snapshot| self.keep(&snapshot, ENTRIES_FOR_SLOW_FOLLOWERS));
        }
        let applied = self.raw.raft.raft_log.applied;
        let log = self.raw.store();
        let since = applied.saturating_sub(log.snapshot.index.max(log.base.index));
        if let Some(simulated) = &self.simulated {
            return if since >= simulated.snapshot_interval { self.compact(KEPT_IN_A_SIMULATION) } else { Ok(()) };
        }
        let is_much = since >= SNAPSHOT_INTERVAL || log.entry_bytes >= COMPACT_BYTES;
        if since == 0 || !is_much || log.entry_bytes < 2 * log.snapshot_bytes {
            return Ok(());
        }
        let Some(mut snapshot) = self.describe_snapshot() else { return Ok(()) };
        // Large tables take seconds to write down, in which the other managers would miss this one.
        let tables = self.store.view(Tables::clone);
        let (done, made) = channel();
        let write_down = move || {
            snapshot.set_data(encode_snapshot(&tables, applied).into());
            // The log may have been closed meanwhile.
            let _ = done.send(snapshot);
        };
        match std::thread::Builder::new().name("raft-snapshot".into()).spawn(write_down) {
            Ok(_) => self.compacting = Some(made),
            Err(error) => tracing::warn!(%error, "the cluster's log cannot be compacted now"),
        }
        Ok(())
    }

    /// Makes a snapshot, and cuts the log but for its last `keep` entries.
    fn compact(&mut self, keep: u64) -> Result<(), LogError> {
        self.compacting = None;
        let Some(mut snapshot) = self.describe_snapshot() else { return Ok(()) };
        let index = snapshot.get_metadata().index;
        snapshot.set_data(self.store.view(|tables| encode_snapshot(tables, index)).into());
        self.keep(&snapshot, keep)
    }

    /// A snapshot of what is applied, without its data; `None` when the log has lost the place.
    fn describe_snapshot(&self) -> Option<Snapshot> {
        let applied = self.raw.raft.raft_log.applied;
        let log = self.raw.store();
        let mut snapshot = Snapshot::default();
        let metadata = snapshot.mut_metadata();
        metadata.term = log.term_at(applied).ok()?;
        metadata.index = applied;
        metadata.set_conf_state(log.conf.clone());
        Some(snapshot)
    }

    /// Writes a snapshot to the log, and cuts the log but for the last `keep` entries before it.
    fn keep(&mut self, snapshot: &Snapshot, keep: u64) -> Result<(), LogError> {
        let (index, bytes) = (snapshot.get_metadata().index, snapshot.get_data().len());
        let log = self.raw.store();
        if index <= log.snapshot.index {
            // The leader's own came in between.
            return Ok(());
        }
        let keep_index = index.saturating_sub(keep).max(log.base.index);
        let Ok(keep_term) = log.term_at(keep_index) else { return Ok(()) };
        tracing::debug!(index, bytes, "the cluster's log is compacted");
        self.raw.mut_store().compact(snapshot, Position { index: keep_index, term: keep_term })
    }
}

/// Begins an empty log with tables that were saved, as that of a cluster of one.
fn begin_with(log: &mut Log, store: &Store, tables: &[u8]) -> Result<(), StartError> {
    let index = store.restore(tables)?.max(1);
    let mut snapshot = Snapshot::default();
    snapshot.set_data(tables.to_vec().into());
    let metadata = snapshot.mut_metadata();
    metadata.index = index;
    metadata.term = 1;
    metadata.set_conf_state(ConfState::from((vec![log.identity.id], vec![])));
    let hard = HardState { term: 1, commit: index, ..HardState::default() };
    log.write(&Write { hard: Some(&hard), snapshot: Some(&snapshot), ..Write::default() })?;
    Ok(())
}

/// Makes this manager the only one. All that its log holds counts as committed: what was acknowledged may be among
/// the last of it, and nobody is left to say otherwise.
fn force_alone(log: &mut Log, store: &Store) -> Result<(), StartError> {
    let last = log.last();
    if last == 0 {
        return Err(StartError::Empty);
    }
    let entries: Vec<Entry> = log.entries.iter().filter(|entry| entry.index > store.index()).cloned().collect();
    for entry in entries {
        let is_write = entry.get_entry_type() == EntryType::EntryNormal && !entry.data.is_empty();
        let changes = if is_write { decode_changes(&entry.data, store.spoken())? } else { Vec::new() };
        store.apply(entry.index, changes);
    }
    let mut snapshot = Snapshot::default();
    snapshot.set_data(store.view(|tables| encode_snapshot(tables, last)).into());
    let metadata = snapshot.mut_metadata();
    metadata.index = last;
    metadata.term = log.term_at(last).map_err(StartError::Raft)?;
    metadata.set_conf_state(ConfState::from((vec![log.identity.id], vec![])));
    let hard = HardState { term: log.hard.term, commit: last, ..HardState::default() };
    log.write(&Write { hard: Some(&hard), snapshot: Some(&snapshot), ..Write::default() })?;
    tracing::warn!(index = last, "this manager's log is that of a cluster of one now");
    Ok(())
}

fn send(transport: &mut dyn Transport, messages: Vec<Message>) {
    if !messages.is_empty() {
        transport.send(messages);
    }
}
