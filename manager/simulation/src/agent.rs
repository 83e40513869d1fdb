//! An agent's machine: a session with whichever manager leads, and containers that take their time, end by themselves,
//! outlive the session and the program, and do not outlive the machine.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use futures_util::StreamExt;
use hoist_manager::dispatcher::Dispatcher;
use hoist_proto::{
    clock::Clock,
    id::{NodeId, TaskId},
    spec::{DeviceKind, NodeDescription, NodeDevice, Task, TaskState, TaskStatus},
    wire::{
        AssignmentsMessage, AssignmentsRequest, HeartbeatRequest, SessionRequest, TaskStatusUpdate,
        UpdateTaskStatusRequest,
        assignment_change::{Action, Item},
        assignments_message::Kind,
        dispatcher_server::Dispatcher as _,
    },
};
use tokio::time::{Instant, sleep, timeout};
use tonic::{Request, Status};

use crate::{chance::Chance, clock::WrongClock, network::Host, world::World};

/// An answer that takes longer does not come.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it looks at what its tasks need.
const STEP: Duration = Duration::from_millis(40);
/// Of services, in thousandths for each look: their containers end by themselves.
const ENDS_PERMILLE: u32 = 1;

/// An agent's machine.
pub(crate) struct Agent {
    pub(crate) host: Host,
    pub(crate) number: usize,
    pub(crate) node: NodeId,
    pub(crate) clock: Arc<WrongClock>,
    pub(crate) on: Cell<bool>,
    /// Since when it has a session, in which it has heard all that it has to do.
    pub(crate) heard_since: Cell<Option<Instant>>,
    tasks: RefCell<BTreeMap<TaskId, Local>>,
    /// Counts the lives of the program.
    life: Cell<u64>,
}

/// A task as its node knows it.
#[derive(Debug, Clone)]
pub(crate) struct Local {
    pub(crate) task: Task,
    pub(crate) status: TaskStatus,
    /// Since when its container runs.
    pub(crate) runs: Option<Instant>,
    /// The manager knows the task no more.
    forgotten: bool,
    /// What the manager has not heard.
    news: bool,
    /// Nothing happens before.
    due: Instant,
}

impl Agent {
    pub(crate) fn new(host: Host, number: usize, began: Instant) -> Self {
        Self {
            host,
            number,
            node: NodeId::random(),
            clock: Arc::new(WrongClock::new(began)),
            on: Cell::new(true),
            heard_since: Cell::default(),
            tasks: RefCell::default(),
            life: Cell::default(),
        }
    }

    pub(crate) fn description(&self) -> NodeDescription {
        let device = |index: u32| NodeDevice { name: index.to_string(), index, shares: 1, ..NodeDevice::default() };
        NodeDescription {
            hostname: format!("worker{}", self.number),
            os: "linux".into(),
            architecture: "amd64".into(),
            nano_cpus: 8_000_000_000,
            memory: 16 << 30,
            devices: vec![DeviceKind {
                name: "gpu".into(),
                capabilities: vec!["gpu".into()],
                devices: (0..2).map(device).collect(),
                ..DeviceKind::default()
            }],
            ..NodeDescription::default()
        }
    }

    /// The containers that run on it.
    pub(crate) fn running(&self) -> Vec<Local> {
        self.tasks.borrow().values().filter(|local| local.runs.is_some()).cloned().collect()
    }

    /// The program is killed and starts again; its containers run on.
    pub(crate) fn restart_program(&self) {
        self.life.set(self.life.get() + 1);
    }

    /// The machine loses its power, and its containers with it.
    pub(crate) fn power_off(&self) {
        self.on.set(false);
        self.restart_program();
        for local in self.tasks.borrow_mut().values_mut() {
            if local.runs.take().is_some() || local.status.state == TaskState::Starting {
                local.status.state = TaskState::Failed;
                local.status.error = Some("the machine lost its power".into());
                local.news = true;
            }
        }
    }

    pub(crate) fn power_on(&self) {
        self.on.set(true);
    }

    /// Runs for as long as the simulation does.
    pub(crate) async fn run(self: Rc<Self>, world: Rc<World>) {
        tokio::task::spawn_local({
            let (agent, chance, clock) = (self.clone(), world.chance.clone(), self.clock.clone());
            async move {
                loop {
                    sleep(STEP).await;
                    if agent.on.get() {
                        agent.step(&chance, &clock);
                    }
                }
            }
        });
        loop {
            if !self.on.get() {
                sleep(STEP).await;
                continue;
            }
            let machine = world.chance.below(world.machines.len());
            let life = self.life.get();
            let ended = self.session(&world, machine, life).await;
            self.heard_since.set(None);
            tracing::debug!(agent = self.number, machine, "session: {}", ended.message());
            sleep(world.chance.millis(50, 600)).await;
        }
    }

    /// One session with a manager, until it ends or either side does.
    async fn session(&self, world: &World, machine: Host, life: u64) -> Status {
        let Some(manager) = world.machines[machine].reached() else { return Status::unavailable("it is off") };
        let line = Line { world, agent: self, machine, manager: manager.life, life };
        let request = SessionRequest {
            node_id: self.node.to_string(),
            description: serde_json::to_vec(&self.description()).expect("a description has string keys"),
            session_id: String::new(),
        };
        let opened = line.call(async |dispatcher: Dispatcher| dispatcher.session(Request::new(request)).await).await;
        let mut session = match opened {
            Ok(answer) => answer.into_inner(),
            Err(status) => return status,
        };
        let id = match timeout(PATIENCE, session.next()).await {
            Ok(Some(Ok(first))) => first.session_id,
            Ok(Some(Err(status))) => return status,
            Ok(None) | Err(_) => return Status::unavailable("the dispatcher said nothing"),
        };
        let request = AssignmentsRequest { session_id: id.clone() };
        let opened =
            line.call(async |dispatcher: Dispatcher| dispatcher.assignments(Request::new(request)).await).await;
        let mut assignments = match opened {
            Ok(answer) => answer.into_inner(),
            Err(status) => return status,
        };
        // Whatever was told before may have been lost.
        self.tasks.borrow_mut().values_mut().for_each(|local| local.news = true);
        let mut beat = Instant::now();
        loop {
            tokio::select! {
                biased;
                message = assignments.next() => {
                    let message = match message {
                        Some(Ok(message)) => message,
                        Some(Err(status)) => return status,
                        None => return Status::unavailable("no more assignments"),
                    };
                    if !world.network.travel(machine, self.host).await || !line.is_up() {
                        return Status::unavailable("the stream is broken");
                    }
                    self.take(message);
                }
                news = session.next() => match news {
                    Some(Ok(_)) => {}
                    Some(Err(status)) => return status,
                    None => return Status::unavailable("the dispatcher closed the session"),
                },
                () = tokio::time::sleep_until(beat) => {
                    let request = HeartbeatRequest { session_id: id.clone(), ..HeartbeatRequest::default() };
                    let answer =
                        line.call(async |dispatcher: Dispatcher| dispatcher.heartbeat(Request::new(request)).await).await;
                    match answer {
                        Ok(answer) => beat = Instant::now() + Duration::from_millis(answer.into_inner().period_millis),
                        Err(status) => return status,
                    }
                }
                () = sleep(STEP), if self.has_news() => {
                    if let Err(status) = self.report(&line, &id).await {
                        return status;
                    }
                }
            }
            if !line.is_up() {
                return Status::unavailable("the line is down");
            }
        }
    }

    fn has_news(&self) -> bool {
        self.tasks.borrow().values().any(|local| local.news)
    }

    async fn report(&self, line: &Line<'_>, session: &str) -> Result<(), Status> {
        let told: BTreeMap<TaskId, TaskStatus> = {
            let tasks = self.tasks.borrow();
            tasks.iter().filter(|(_, local)| local.news).map(|(id, local)| (id.clone(), local.status.clone())).collect()
        };
        let update = |(id, status): (&TaskId, &TaskStatus)| TaskStatusUpdate {
            task_id: id.to_string(),
            status: serde_json::to_vec(status).expect("a status has string keys"),
        };
        let updates = told.iter().map(update).collect();
        let request = UpdateTaskStatusRequest { session_id: session.to_owned(), updates };
        line.call(async |dispatcher: Dispatcher| dispatcher.update_task_status(Request::new(request)).await).await?;
        let mut tasks = self.tasks.borrow_mut();
        for (id, status) in told {
            if let Some(local) = tasks.get_mut(&id)
                && local.status == status
            {
                local.news = false;
            }
        }
        Ok(())
    }

    /// Takes what it has to do.
    fn take(&self, message: AssignmentsMessage) {
        let mut tasks = self.tasks.borrow_mut();
        let is_complete = message.kind() == Kind::Complete;
        let mut named = BTreeSet::new();
        for change in message.changes {
            let gone = change.action() == Action::Remove;
            let Some(Item::Task(json)) = change.item else { continue };
            let task: Task = serde_json::from_slice(&json).expect("a manager sends tasks");
            named.insert(task.id.clone());
            match tasks.get_mut(&task.id) {
                Some(local) if gone => local.forgotten = true,
                Some(local) => (local.task, local.forgotten) = (task, false),
                None if gone => {}
                None => {
                    let (status, due) = (task.status.clone(), Instant::now());
                    let local = Local { task, status, runs: None, forgotten: false, news: false, due };
                    tasks.insert(local.task.id.clone(), local);
                }
            }
        }
        if is_complete {
            tasks.values_mut().filter(|local| !named.contains(&local.task.id)).for_each(|local| local.forgotten = true);
            self.heard_since.set(Some(Instant::now()));
        }
    }

    /// Takes each task that is due one step further.
    fn step(&self, chance: &Chance, clock: &WrongClock) {
        let now = Instant::now();
        let mut tasks = self.tasks.borrow_mut();
        for local in tasks.values_mut().filter(|local| local.due <= now) {
            let Some((state, most)) = local.next(chance) else { continue };
            if state == TaskState::Running {
                local.runs = Some(now);
            } else if state > TaskState::Running {
                local.runs = None;
            }
            local.status.state = state;
            local.status.at = clock.now();
            if state == TaskState::Failed {
                local.status.exit_code = Some(1);
            } else if state == TaskState::Complete {
                local.status.exit_code = Some(0);
            }
            local.news = true;
            local.due = now + chance.millis(10, most);
        }
        tasks.retain(|_, local| !(local.forgotten && local.runs.is_none()));
    }
}

impl Local {
    /// What becomes of it now, and how many milliseconds the step after takes at most.
    fn next(&self, chance: &Chance) -> Option<(TaskState, u64)> {
        let (state, desired) = (self.status.state, self.task.desired);
        if self.forgotten {
            return self.runs.map(|_| (TaskState::Shutdown, 10));
        }
        if desired > TaskState::Running {
            return match state {
                TaskState::Remove => None,
                _ if state.is_final() && desired != TaskState::Remove => None,
                _ if state.is_final() => Some((TaskState::Remove, 10)),
                _ => Some((TaskState::Shutdown, 500)),
            };
        }
        match state {
            TaskState::Assigned => Some((TaskState::Accepted, 20)),
            TaskState::Accepted => Some((TaskState::Preparing, 400)),
            TaskState::Preparing => Some((TaskState::Ready, 50)),
            TaskState::Ready if desired == TaskState::Running => Some((TaskState::Starting, 200)),
            TaskState::Starting => Some((TaskState::Running, 50)),
            TaskState::Running => match self.task.spec.container.labels.get(ENDS_AFTER) {
                Some(millis) => {
                    let after = Duration::from_millis(millis.parse().unwrap_or_default());
                    (self.runs?.elapsed() >= after).then_some((TaskState::Complete, 10))
                }
                None => chance.is(ENDS_PERMILLE).then_some((TaskState::Failed, 10)),
            },
            _ => None,
        }
    }
}

/// The label of a container that ends well after so many milliseconds.
pub(crate) const ENDS_AFTER: &str = "simulation.ends-after";

/// From an agent to a manager, both as they were when the session began.
struct Line<'a> {
    world: &'a World,
    agent: &'a Agent,
    machine: Host,
    manager: u64,
    life: u64,
}

impl Line<'_> {
    fn is_up(&self) -> bool {
        self.agent.on.get()
            && self.agent.life.get() == self.life
            && self.world.machines[self.machine].still(self.manager).is_some()
    }

    /// Calls the dispatcher, over the network and back.
    async fn call<T>(&self, ask: impl AsyncFnOnce(Dispatcher) -> Result<T, Status>) -> Result<T, Status> {
        let down = || Status::unavailable("the manager is not reached");
        let answer = async {
            if !self.world.network.travel(self.agent.host, self.machine).await || !self.is_up() {
                std::future::pending::<()>().await;
            }
            let manager = self.world.machines[self.machine].still(self.manager).ok_or_else(down)?;
            let answer = ask(manager.dispatcher).await;
            if !self.world.network.travel(self.machine, self.agent.host).await || !self.is_up() {
                std::future::pending::<()>().await;
            }
            answer
        };
        timeout(PATIENCE, answer).await.unwrap_or_else(|_| Err(down()))
    }
}
