//! The thread that drives the node, and the handle that others hold.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, SendError, Sender, TryRecvError, channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use hoist_store::{Change, Proposal, ProposeError, Proposer, Store};
use raft::{
    SnapshotStatus,
    eraftpb::{ConfChangeV2, Message},
};
use tokio::sync::{Notify, oneshot, watch};

use crate::{
    Disk, Member, StartError, Status, Transport,
    node::{Node, Waiter},
};

/// Raft's unit of time, when there are peers. An election takes ten to twenty of them.
pub const TICK: Duration = Duration::from_millis(40);
/// A log that failed is opened again after so long, whoever asks.
const REOPEN: Duration = Duration::from_secs(1);
/// So many requests share one write at most.
const BATCH: usize = 256;

/// Where and with whom.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// The directory of the log and its key.
    pub dir: PathBuf,
    /// What a log that is not there yet begins as.
    pub begin: Begin,
    /// The log's key; read from its file in `dir`, or made there, when it is `None`.
    pub key: Option<[u8; 32]>,
    /// A snapshot of tables with which a log that is not there yet begins, as that of a cluster of one under its id.
    pub restore: Option<Vec<u8>>,
    /// For nodes that are driven by hand.
    pub simulated: Option<Simulated>,
}

/// What takes the place of the machine in a simulation.
#[derive(Debug, Clone)]
pub struct Simulated {
    /// Where the log is, instead of in a directory.
    pub disk: Disk,
    /// What chance follows from.
    pub seed: u64,
    /// After so many entries a snapshot is made.
    pub snapshot_interval: u64,
}

/// How a new log begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Begin {
    /// As the log of a cluster of one.
    #[default]
    Alone,
    /// Empty, under this id: the leader of a cluster fills it.
    Joining(u64),
    /// A log that is there becomes that of a cluster of one with all that is in it: the other managers are lost.
    Forced,
}

enum Request {
    Propose { base: u64, changes: Vec<Change>, waiter: Waiter },
    Step(Box<Message>),
    ChangeMembership { change: ConfChangeV2, waiter: Waiter },
    ReadIndex(Waiter),
    Members(oneshot::Sender<Vec<Member>>),
    Transfer(u64),
    Unreachable(u64),
    SnapshotSent { to: u64, arrived: bool },
    Welcome(oneshot::Sender<Result<(), StartError>>),
    Stop,
}

/// A running raft node. Cheap to clone; the node ends with [`Raft::stop`] or with the last clone.
#[derive(Clone)]
pub struct Raft {
    requests: Sender<Request>,
    /// Of a node that is driven by hand: that there is something to do.
    asked: Option<Arc<Notify>>,
    status: watch::Receiver<Status>,
    failure: watch::Receiver<Option<String>>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl std::fmt::Debug for Raft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Raft").finish_non_exhaustive()
    }
}

impl Raft {
    /// Opens the log, replays it into `store` and becomes the store's proposer.
    ///
    /// Returns when the store is as it was when the log was last written (with peers: as far as this
    /// node's own log says).
    pub async fn start(config: Config, store: Store, transport: impl Transport) -> Result<Self, StartError> {
        let (requests, receiver) = channel();
        let (ready, started) = oneshot::channel();
        let (report, status) = watch::channel(Status::default());
        let (failing, failure) = watch::channel(None);
        let for_thread = store.clone();
        let thread = std::thread::Builder::new()
            .name("raft".into())
            .spawn(move || {
                let transport = Box::new(transport);
                let driver = Driver { config, store: for_thread, transport, node: None, report, failing };
                driver.run(&receiver, ready);
            })
            .map_err(StartError::Thread)?;
        started.await.unwrap_or(Err(StartError::Ended))?;
        let raft = Self { requests, asked: None, status, failure, thread: Arc::new(Mutex::new(Some(thread))) };
        store.serve(Arc::new(raft.clone()));
        Ok(raft)
    }

    /// The same without a thread and without a clock: whoever has the [`Hand`] says when something is handled, and when
    /// time goes by.
    pub fn by_hand(config: Config, store: Store, transport: impl Transport) -> Result<(Self, Hand), StartError> {
        let (requests, receiver) = channel();
        let (report, status) = watch::channel(Status::default());
        let (failing, failure) = watch::channel(None);
        let asked = Arc::new(Notify::new());
        let transport = Box::new(transport);
        let mut driver = Driver { config, store: store.clone(), transport, node: None, report, failing };
        driver.open()?;
        driver.tell();
        let raft = Self { requests, asked: Some(asked.clone()), status, failure, thread: Arc::default() };
        store.serve(Arc::new(raft.clone()));
        Ok((raft, Hand { driver, requests: receiver, asked }))
    }

    fn send(&self, request: Request) -> Result<(), SendError<Request>> {
        let sent = self.requests.send(request);
        if let Some(asked) = &self.asked {
            asked.notify_one();
        }
        sent
    }

    /// Hands in a message from a peer.
    pub fn step(&self, message: Message) {
        // A node that has ended takes no messages, as one that is down takes none.
        let _ = self.send(Request::Step(Box::new(message)));
    }

    /// Who leads, as this manager knows it, and whenever that changes.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Returns with the reason when the node has ended because its log says what this program cannot read: to pass over it
    /// would be to have other tables than the rest.
    pub async fn failed(&self) -> String {
        let mut failure = self.failure.clone();
        let why = failure.wait_for(Option::is_some).await.ok().and_then(|why| why.clone());
        match why {
            Some(why) => why,
            // It has ended in order.
            None => std::future::pending().await,
        }
    }

    /// Changes the membership; ends when the change is applied or lost.
    pub async fn change_membership(&self, change: ConfChangeV2) -> Result<(), ProposeError> {
        self.ask(|waiter| Request::ChangeMembership { change, waiter }).await.map(drop)
    }

    /// Returns when all that was committed before the call has been applied here. Only the leader can tell.
    pub async fn barrier(&self) -> Result<u64, ProposeError> {
        self.ask(Request::ReadIndex).await
    }

    /// The managers as the leader sees them; on a follower what it knows without asking.
    pub async fn members(&self) -> Vec<Member> {
        let (sender, answer) = oneshot::channel();
        let _ = self.send(Request::Members(sender));
        answer.await.unwrap_or_default()
    }

    /// Asks the leader to hand over to another manager.
    pub fn transfer_to(&self, id: u64) {
        let _ = self.send(Request::Transfer(id));
    }

    /// Tells that messages to a manager do not arrive.
    pub fn unreachable(&self, id: u64) {
        let _ = self.send(Request::Unreachable(id));
    }

    /// Tells what became of a snapshot that was sent.
    pub fn snapshot_sent(&self, to: u64, arrived: bool) {
        let _ = self.send(Request::SnapshotSent { to, arrived });
    }

    /// Prepares the log for managers that begin with nothing: they get a snapshot, not the first entries, for the
    /// first membership is in no entry.
    pub async fn welcome(&self) -> Result<(), StartError> {
        let (sender, answer) = oneshot::channel();
        let _ = self.send(Request::Welcome(sender));
        answer.await.unwrap_or(Err(StartError::Ended))
    }

    async fn ask(&self, request: impl FnOnce(Waiter) -> Request) -> Result<u64, ProposeError> {
        let (waiter, answer) = oneshot::channel();
        let sent = self.send(request(waiter));
        sent.map_err(|_| ProposeError::Stopped)?;
        answer.await.unwrap_or(Err(ProposeError::Stopped))
    }

    /// Ends the node; what was proposed before is still handled. Returns when the log is closed.
    pub async fn stop(&self) {
        let _ = self.send(Request::Stop);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && tokio::task::spawn_blocking(move || thread.join()).await.is_ok_and(|joined| joined.is_err())
        {
            tracing::error!("the raft thread panicked");
        }
    }
}

impl Proposer for Raft {
    fn propose(&self, base: u64, changes: Vec<Change>) -> Proposal<'_> {
        let (waiter, answer) = oneshot::channel();
        let sent = self.send(Request::Propose { base, changes, waiter });
        Box::pin(async move {
            sent.map_err(|_| ProposeError::Stopped)?;
            answer.await.unwrap_or(Err(ProposeError::Stopped))
        })
    }
}

/// What the thread owns.
struct Driver {
    config: Config,
    store: Store,
    transport: Box<dyn Transport>,
    /// `None` after a write failed; the next request opens the log again, and so does time.
    node: Option<Node>,
    report: watch::Sender<Status>,
    /// Why it has ended for good.
    failing: watch::Sender<Option<String>>,
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(node) = &mut self.node {
            node.fail_waiting(&ProposeError::Stopped);
        }
    }
}

/// Drives a node that has no thread. Dropped it is as after a power cut: nothing is handled any more.
pub struct Hand {
    driver: Driver,
    requests: Receiver<Request>,
    asked: Arc<Notify>,
}

impl std::fmt::Debug for Hand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hand").finish_non_exhaustive()
    }
}

impl Hand {
    /// Returns when something was asked for.
    pub async fn asked(&self) {
        self.asked.notified().await;
    }

    /// Handles what was asked for; `tick` says that one [`TICK`] has gone by. False when it was to stop.
    pub fn turn(&mut self, tick: bool) -> bool {
        if tick {
            self.driver.reopen();
        }
        self.driver.turn(None, &self.requests, tick)
    }
}

impl Driver {
    fn run(mut self, requests: &Receiver<Request>, ready: oneshot::Sender<Result<(), StartError>>) {
        if let Err(err) = self.open() {
            let _ = ready.send(Err(err));
            return;
        }
        self.tell();
        if ready.send(Ok(())).is_err() {
            return;
        }
        let mut next_tick = Instant::now() + TICK;
        loop {
            let first = match self.wait(requests, next_tick) {
                Ok(request) => Some(request),
                Err(RecvTimeoutError::Timeout) => {
                    self.reopen();
                    None
                }
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let is_time = Instant::now() >= next_tick;
            let goes_on = self.turn(first, requests, is_time);
            if is_time {
                next_tick = Instant::now() + TICK;
            }
            if !goes_on {
                break;
            }
        }
    }

    /// Handles what was asked for, and what follows from it; false when it was to stop.
    fn turn(&mut self, first: Option<Request>, requests: &Receiver<Request>, tick: bool) -> bool {
        let mut stopping = false;
        let mut batch: Vec<Request> = first.into_iter().collect();
        while batch.len() < BATCH {
            match requests.try_recv() {
                Ok(request) => batch.push(request),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        for request in batch {
            stopping |= matches!(request, Request::Stop);
            self.take(request);
        }
        if let Some(node) = &mut self.node {
            if tick {
                node.tick();
            }
            if let Err(err) = node.run_ready(&mut *self.transport) {
                self.fail(&err);
            }
        }
        self.tell();
        !stopping && self.failing.borrow().is_none()
    }

    /// A node alone needs no clock: it sleeps until somebody asks for something.
    fn wait(&self, requests: &Receiver<Request>, next_tick: Instant) -> Result<Request, RecvTimeoutError> {
        match &self.node {
            Some(node) if node.is_sole_voter() => requests.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(_) => requests.recv_timeout(next_tick.saturating_duration_since(Instant::now())),
            // Nobody need ask for anything: a leader's loops end with its log.
            None => requests.recv_timeout(REOPEN),
        }
    }

    /// Passes on who leads, when that has changed.
    fn tell(&self) {
        let now = self.node.as_ref().map(Node::status).unwrap_or_default();
        self.report.send_if_modified(|told| {
            let news = *told != now;
            *told = now;
            news
        });
    }

    fn open(&mut self) -> Result<(), StartError> {
        let mut node = Node::open(&self.config, self.store.clone())?;
        // Once is enough: who is let in afterwards stays.
        self.config.begin = Begin::Alone;
        self.config.restore = None;
        node.run_ready(&mut *self.transport)?;
        if node.is_sole_voter() && !node.is_caught_up() {
            return Err(StartError::Ended);
        }
        self.node = Some(node);
        Ok(())
    }

    /// Opens a log that failed, if it can be written again.
    fn reopen(&mut self) {
        if self.node.is_none()
            && self.failing.borrow().is_none()
            && let Err(err) = self.open()
        {
            tracing::error!("the cluster's log cannot be opened: {}", chain(&err));
        }
    }

    fn take(&mut self, request: Request) {
        match request {
            Request::Stop => {}
            Request::Propose { base, changes, waiter } => {
                if let Some(why) = self.failing.borrow().clone() {
                    let _ = waiter.send(Err(ProposeError::Storage(why)));
                    return;
                }
                if self.node.is_none()
                    && let Err(err) = self.open()
                {
                    let _ = waiter.send(Err(ProposeError::Storage(chain(&err))));
                    return;
                }
                if let Some(node) = &mut self.node {
                    node.propose(base, &changes, waiter);
                }
            }
            Request::Step(message) => {
                // A follower has nobody who proposes: what a peer says opens the log again.
                self.reopen();
                self.with_node(|node| node.step(*message));
            }
            Request::ChangeMembership { change, waiter } => match &mut self.node {
                Some(node) => node.change_membership(change, waiter),
                None => drop(waiter.send(Err(ProposeError::Dropped))),
            },
            Request::ReadIndex(waiter) => match &mut self.node {
                Some(node) => node.read_index(waiter),
                None => drop(waiter.send(Err(ProposeError::Dropped))),
            },
            Request::Members(answer) => {
                let _ = answer.send(self.node.as_ref().map(Node::members).unwrap_or_default());
            }
            Request::Welcome(answer) => {
                let outcome = self.node.as_mut().map_or(Err(StartError::Ended), Node::welcome);
                let _ = answer.send(outcome);
            }
            Request::Transfer(id) => self.with_node(|node| node.transfer_to(id)),
            Request::Unreachable(id) => self.with_node(|node| node.unreachable(id)),
            Request::SnapshotSent { to, arrived } => {
                let status = if arrived { SnapshotStatus::Finish } else { SnapshotStatus::Failure };
                self.with_node(|node| node.snapshot_sent(to, status));
            }
        }
    }

    fn with_node(&mut self, act: impl FnOnce(&mut Node)) {
        if let Some(node) = &mut self.node {
            act(node);
        }
    }

    /// A write failed (the disk may be full): whoever waits is told, and the log is closed, because
    /// what it holds in memory and on disk may differ.
    fn fail(&mut self, err: &StartError) {
        let text = chain(err);
        tracing::error!("the cluster's log failed: {text}");
        if let Some(mut node) = self.node.take() {
            node.fail_waiting(&ProposeError::Storage(text.clone()));
        }
        if matches!(err, StartError::Decode(_)) {
            // Opened again it says the same.
            self.failing.send_replace(Some(text));
        }
    }
}

/// An error with all its causes in one line.
fn chain(err: &dyn std::error::Error) -> String {
    let mut text = err.to_string();
    let mut source = err.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
