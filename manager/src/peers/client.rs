//! The way out: a queue and a task a peer. The raft thread never waits for the network.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError, RwLock},
    time::Duration,
};

use hoist_link::{Link, To};
use hoist_proto::{
    id::NodeId,
    wire::{ManagerAddress, RaftMessages, RaftSnapshot, raft_client::RaftClient},
};
use hoist_raft::{
    Raft, Transport,
    messages::{Message, MessageType},
};
use protobuf::Message as _;
use tokio::{runtime::Handle, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::transport::Channel;

use super::{PART, QUEUE};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// The other managers. Clones are the same.
#[derive(Clone)]
pub(crate) struct Peers {
    inner: Arc<Inner>,
}

struct Inner {
    link: Link,
    addresses: RwLock<HashMap<u64, (NodeId, String)>>,
    queues: Mutex<HashMap<u64, mpsc::Sender<Message>>>,
    raft: OnceLock<Raft>,
    tasks: TaskTracker,
    runtime: Handle,
    cancel: CancellationToken,
}

impl Peers {
    pub(crate) fn new(link: Link, cancel: CancellationToken) -> Self {
        let inner = Inner {
            link,
            addresses: RwLock::default(),
            queues: Mutex::default(),
            raft: OnceLock::new(),
            tasks: TaskTracker::new(),
            runtime: Handle::current(),
            cancel,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Says who wants to hear of peers that cannot be reached.
    pub(crate) fn serve(&self, raft: Raft) {
        // Set once: a `Peers` is made for one raft.
        let _ = self.inner.raft.set(raft);
    }

    /// Adds or corrects addresses.
    pub(crate) fn learn(&self, managers: Vec<ManagerAddress>) {
        let me = self.inner.link.credentials().identity().subject.node.clone();
        let mut known = Vec::new();
        let mut addresses = self.inner.addresses.write().unwrap_or_else(PoisonError::into_inner);
        for manager in managers {
            match manager.node_id.parse() {
                Ok(node) if node == me => {}
                Ok(node) => {
                    addresses.insert(manager.raft_id, (node, manager.address));
                    known.push(manager.raft_id);
                }
                Err(err) => tracing::warn!("a manager's address is left out: {err}"),
            }
        }
        drop(addresses);
        // Connected before there is anything to say: an election does not wait for handshakes.
        for id in known {
            self.queue(id);
        }
    }

    /// Where a manager lives.
    pub(crate) fn address(&self, id: u64) -> Option<(NodeId, String)> {
        self.inner.addresses.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    pub(crate) async fn drain(&self) {
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }

    fn unreachable(&self, id: u64) {
        if let Some(raft) = self.inner.raft.get() {
            raft.unreachable(id);
        }
    }

    fn queue(&self, id: u64) -> mpsc::Sender<Message> {
        let mut queues = self.inner.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = queues.entry(id).or_insert_with(|| {
            let (sender, receiver) = mpsc::channel(QUEUE);
            let (peers, cancel) = (self.clone(), self.inner.cancel.clone());
            let work = async move {
                tokio::select! {
                    () = cancel.cancelled() => {}
                    () = peers.carry(id, receiver) => {}
                }
            };
            self.inner.tasks.spawn_on(work, &self.inner.runtime);
            sender
        });
        queue.clone()
    }

    /// Carries a peer's messages for as long as the queue is there.
    async fn carry(&self, id: u64, mut queue: mpsc::Receiver<Message>) {
        let mut pause = FIRST_PAUSE;
        while !queue.is_closed() {
            let Some((node, address)) = self.address(id) else {
                // Somebody has a vote and no address yet: the store will tell.
                self.unreachable(id);
                tokio::time::sleep(LONGEST_PAUSE).await;
                continue;
            };
            let channel = self.inner.link.channel(&address, To::Node(node));
            let began = tokio::time::Instant::now();
            let ended = self.stream(id, channel, &mut queue).await;
            if began.elapsed() > LONGEST_PAUSE {
                pause = FIRST_PAUSE;
            }
            tracing::debug!(id, address, "the stream to a manager ended: {ended}");
            self.unreachable(id);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            // What waited is old by now; raft sends what is still needed.
            while queue.try_recv().is_ok() {}
        }
    }

    /// One stream; gives why it ended.
    async fn stream(&self, id: u64, channel: Channel, queue: &mut mpsc::Receiver<Message>) -> String {
        let (sender, receiver) = mpsc::channel(16);
        let mut client = RaftClient::new(channel.clone());
        let call = client.messages(ReceiverStream::new(receiver));
        let feed = async {
            while let Some(message) = queue.recv().await {
                let mut batch = RaftMessages::default();
                let mut bytes = self.pack(id, message, &mut batch, &channel);
                while bytes < PART {
                    let Ok(message) = queue.try_recv() else { break };
                    bytes += self.pack(id, message, &mut batch, &channel);
                }
                if !batch.messages.is_empty() && sender.send(batch).await.is_err() {
                    // The call ends, and tells why.
                    return std::future::pending().await;
                }
            }
            "the queue is closed".to_owned()
        };
        tokio::select! {
            answer = call => match answer {
                Ok(_) => "the other side ended it".to_owned(),
                Err(status) => status.to_string(),
            },
            ended = feed => ended,
        }
    }

    /// Adds a message to a batch; snapshots go on a stream of their own.
    fn pack(&self, id: u64, message: Message, batch: &mut RaftMessages, channel: &Channel) -> usize {
        if message.get_msg_type() == MessageType::MsgSnapshot {
            let (peers, channel, cancel) = (self.clone(), channel.clone(), self.inner.cancel.clone());
            self.inner.tasks.spawn(async move {
                let sent = tokio::select! {
                    () = cancel.cancelled() => return,
                    sent = send_snapshot(channel, message) => sent,
                };
                if let Err(status) = &sent {
                    tracing::warn!(id, "a snapshot did not arrive: {status}");
                }
                if let Some(raft) = peers.inner.raft.get() {
                    raft.snapshot_sent(id, sent.is_ok());
                }
            });
            return 0;
        }
        match message.write_to_bytes() {
            Ok(bytes) => {
                let length = bytes.len();
                batch.messages.push(bytes);
                length
            }
            Err(err) => {
                tracing::error!("a raft message cannot be written: {err}");
                0
            }
        }
    }
}

impl Transport for Peers {
    fn send(&mut self, messages: Vec<Message>) {
        for message in messages {
            let to = message.to;
            if self.queue(to).try_send(message).is_err() {
                self.unreachable(to);
            }
        }
    }
}

async fn send_snapshot(channel: Channel, mut message: Message) -> Result<(), tonic::Status> {
    let data = message.mut_snapshot().take_data();
    let head = message.write_to_bytes().map_err(|err| tonic::Status::internal(err.to_string()))?;
    let (sender, receiver) = mpsc::channel(4);
    let feed = async move {
        let mut part = RaftSnapshot { message: head, data: Vec::new() };
        let mut chunks = data.chunks(PART);
        loop {
            match chunks.next() {
                Some(chunk) => part.data = chunk.to_vec(),
                None if part.message.is_empty() => return,
                None => {}
            }
            if sender.send(std::mem::take(&mut part)).await.is_err() {
                return;
            }
        }
    };
    let mut client = RaftClient::new(channel);
    let call = client.snapshot(ReceiverStream::new(receiver));
    tokio::join!(call, feed).0.map(drop)
}
