//! What happened, for everybody who wants to know: Docker's events, with a short memory.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hoist_proto::clock::{SharedClock, Timestamp};
use tokio::sync::broadcast;

/// How many past events are kept for those who ask with `since`.
const MEMORY: usize = 1024;

/// Something happened to an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// `container`, `image`, `network`, `volume`, `daemon`.
    pub kind: &'static str,
    /// `create`, `start`, `die`, `health_status: healthy`, …
    pub action: String,
    /// To what.
    pub actor: Actor,
    /// When.
    pub time: Timestamp,
}

/// What an event is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Actor {
    /// Its id (a volume's or an image's name).
    pub id: String,
    /// `name`, `image`, labels, `exitCode`, …
    pub attributes: BTreeMap<String, String>,
}

/// What is to be published: an object's kind, what happened to it, and which it is.
pub(crate) type Told = (&'static str, &'static str, Actor);

/// Where events are published. Cheap to clone.
#[derive(Clone)]
pub struct EventBus {
    inner: Arc<Inner>,
}

struct Inner {
    clock: SharedClock,
    past: Mutex<VecDeque<Arc<Event>>>,
    count: AtomicU64,
    sender: broadcast::Sender<Arc<Event>>,
}

/// Past events, then those to come.
pub struct EventSubscription {
    replay: VecDeque<Arc<Event>>,
    receiver: broadcast::Receiver<Arc<Event>>,
}

impl EventBus {
    /// A bus that nothing has happened on.
    pub fn new(clock: SharedClock) -> Self {
        let (sender, _) = broadcast::channel(MEMORY);
        Self { inner: Arc::new(Inner { clock, past: Mutex::default(), count: AtomicU64::new(0), sender }) }
    }

    /// Tells everybody. Images, networks and volumes changed through the API are published by the API.
    pub fn publish(&self, kind: &'static str, action: impl Into<String>, actor: Actor) {
        let event = Arc::new(Event { kind, action: action.into(), actor, time: self.inner.clock.now() });
        // Sent under the lock, so that a subscriber sees each event once: in the past or in the channel.
        let mut past = self.inner.past.lock().unwrap_or_else(PoisonError::into_inner);
        if past.len() == MEMORY {
            past.pop_front();
        }
        past.push_back(event.clone());
        self.inner.count.fetch_add(1, Ordering::Relaxed);
        let _ = self.inner.sender.send(event);
    }

    /// How many events there were, and how many listen.
    pub fn counts(&self) -> (u64, usize) {
        (self.inner.count.load(Ordering::Relaxed), self.inner.sender.receiver_count())
    }

    /// What happened since a moment (as far as it is remembered), and what will happen. `None` begins now.
    pub fn subscribe(&self, since: Option<Timestamp>) -> EventSubscription {
        let past = self.inner.past.lock().unwrap_or_else(PoisonError::into_inner);
        let replay =
            since.map(|since| past.iter().filter(|event| event.time >= since).cloned().collect()).unwrap_or_default();
        EventSubscription { replay, receiver: self.inner.sender.subscribe() }
    }
}

impl EventSubscription {
    /// A past event that was not taken yet.
    pub fn next_past(&mut self) -> Option<Arc<Event>> {
        self.replay.pop_front()
    }

    /// The next event; `None` when the engine is gone. A reader that is far too slow misses the oldest ones.
    pub async fn next(&mut self) -> Option<Arc<Event>> {
        if let Some(event) = self.replay.pop_front() {
            return Some(event);
        }
        loop {
            match self.receiver.recv().await {
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Lagged(missed)) => {
                    tracing::warn!(missed, "a reader of events is too slow");
                }
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}
