//! A manager's machine: its disk, its clock, and the manager that runs on it or does not.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use hoist_manager::{
    Leadership, Manager,
    control::{Control, NoImages},
    dispatcher::Dispatcher,
};
use hoist_proto::{clock::SharedClock, id::NodeId};
use hoist_raft::{
    Begin, Config, Disk, Hand, Raft, Simulated, TICK, Transport,
    messages::{Message, MessageType},
};
use hoist_store::Store;
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinHandle,
    time::Instant,
};

use crate::{chance::Chance, clock::WrongClock, network::Host, world::World};

/// After so many entries a snapshot is made, so that there are many.
const SNAPSHOT_INTERVAL: u64 = 60;

/// A manager's machine.
pub(crate) struct Machine {
    pub(crate) host: Host,
    pub(crate) node: NodeId,
    pub(crate) clock: Arc<WrongClock>,
    pub(crate) disk: RefCell<Disk>,
    running: RefCell<Option<Running>>,
    /// It is being started.
    pub(crate) starts: Cell<bool>,
    /// Counts the lives of its manager.
    life: Cell<u64>,
}

/// What others may use of a manager that runs.
#[derive(Clone)]
pub(crate) struct Reached {
    pub(crate) life: u64,
    pub(crate) control: Control,
    pub(crate) dispatcher: Dispatcher,
    pub(crate) leadership: Leadership,
    pub(crate) raft: Raft,
    pub(crate) store: Store,
}

struct Running {
    reached: Reached,
    /// Ended, the manager is dropped, and its loops with it.
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Raft's messages, on their way out of the manager.
struct Out(UnboundedSender<Message>);

impl Transport for Out {
    fn send(&mut self, messages: Vec<Message>) {
        for message in messages {
            // A manager that has lost its power sends nothing.
            let _ = self.0.send(message);
        }
    }
}

impl Machine {
    pub(crate) fn new(host: Host, began: Instant) -> Self {
        Self {
            host,
            node: NodeId::random(),
            clock: Arc::new(WrongClock::new(began)),
            disk: RefCell::default(),
            running: RefCell::default(),
            starts: Cell::default(),
            life: Cell::default(),
        }
    }

    /// Its number among raft's members.
    pub(crate) fn raft_id(&self) -> u64 {
        self.host as u64 + 1
    }

    /// Its manager, if one runs.
    pub(crate) fn reached(&self) -> Option<Reached> {
        self.running.borrow().as_ref().map(|running| running.reached.clone())
    }

    /// Its manager, if it is still the same.
    pub(crate) fn still(&self, life: u64) -> Option<Reached> {
        self.reached().filter(|reached| reached.life == life)
    }

    pub(crate) fn is_on(&self) -> bool {
        self.running.borrow().is_some()
    }

    /// Starts its manager on what its disk holds.
    ///
    /// # Errors
    /// A log that cannot be opened, when nothing is wrong with the disk.
    pub(crate) async fn start(&self, world: &Rc<World>) -> Result<(), String> {
        self.starts.set(true);
        let started = self.start_now(world).await;
        self.starts.set(false);
        started
    }

    async fn start_now(&self, world: &Rc<World>) -> Result<(), String> {
        self.life.set(self.life.get() + 1);
        let clock: SharedClock = self.clock.clone();
        let store = Store::new(clock);
        let (sender, out) = unbounded_channel();
        let disk = self.disk.borrow().clone();
        let begin = if self.host == 0 { Begin::Alone } else { Begin::Joining(self.raft_id()) };
        let simulated = Simulated { disk, seed: world.seed, snapshot_interval: SNAPSHOT_INTERVAL };
        let config = Config { begin, simulated: Some(simulated), ..Config::default() };
        let (raft, hand) = Raft::by_hand(config, store.clone(), Out(sender))
            .map_err(|error| format!("manager {} does not start again: {}", self.host, chain(&error)))?;
        let mut tasks = vec![
            tokio::task::spawn_local(drive(hand, world.chance.clone())),
            tokio::task::spawn_local(carry(self.host, out, world.clone())),
        ];
        let hostname = format!("manager{}", self.host);
        let images = Arc::new(NoImages);
        let mut manager = Manager::over(raft.clone(), store.clone(), self.node.clone(), hostname, images)
            .await
            .map_err(|error| format!("manager {} does not start: {}", self.host, chain(&error)))?;
        let reached = Reached {
            life: self.life.get(),
            control: manager.control().clone(),
            dispatcher: manager.dispatcher().clone(),
            leadership: manager.leadership().clone(),
            raft,
            store,
        };
        let (failed, host) = (world.clone(), self.host);
        tasks.push(tokio::task::spawn_local(async move {
            let error = manager.failed().await;
            failed.fail(format!("manager {host} failed: {}", chain(&error)));
        }));
        *self.running.borrow_mut() = Some(Running { reached, tasks });
        Ok(())
    }

    /// The power goes off: what was not synced is there or not, as chance decides.
    pub(crate) async fn power_off(&self, chance: &Chance) {
        while self.starts.get() {
            tokio::time::sleep(TICK).await;
        }
        let running = self.running.borrow_mut().take();
        drop(running);
        let cut = self.disk.borrow().after_power_cut(&mut chance.bits());
        *self.disk.borrow_mut() = cut;
    }
}

/// The raft thread's place: time goes by, and what was asked for is handled, which takes the disk a moment.
async fn drive(mut hand: Hand, chance: Chance) {
    let mut next = Instant::now() + TICK;
    loop {
        let tick = tokio::select! {
            biased;
            () = hand.asked() => false,
            () = tokio::time::sleep_until(next) => true,
        };
        if tick {
            next = Instant::now() + TICK;
        }
        if !hand.turn(tick) {
            return;
        }
        tokio::time::sleep(chance.between(Duration::from_micros(50), Duration::from_millis(2))).await;
    }
}

/// Carries messages to the other managers, each by itself: they overtake each other.
async fn carry(from: Host, mut out: UnboundedReceiver<Message>, world: Rc<World>) {
    while let Some(message) = out.recv().await {
        let to = usize::try_from(message.to - 1).unwrap_or(usize::MAX);
        let copies = world.network.copies();
        if copies == 0 {
            told_lost(&world, from, &message);
        }
        for _ in 0..copies {
            let (world, message) = (world.clone(), message.clone());
            tokio::task::spawn_local(async move {
                let arrived = world.network.travel(from, to).await;
                match world.machines.get(to).and_then(Machine::reached) {
                    Some(reached) if arrived => {
                        if message.get_msg_type() == MessageType::MsgSnapshot
                            && let Some(sender) = world.machines[from].reached()
                        {
                            sender.raft.snapshot_sent(message.to, true);
                        }
                        reached.raft.step(message);
                    }
                    _ => told_lost(&world, from, &message),
                }
            });
        }
    }
}

/// A transport notices what does not arrive.
fn told_lost(world: &World, from: Host, message: &Message) {
    if let Some(sender) = world.machines[from].reached() {
        if message.get_msg_type() == MessageType::MsgSnapshot {
            sender.raft.snapshot_sent(message.to, false);
        }
        sender.raft.unreachable(message.to);
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
