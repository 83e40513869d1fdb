//! A whole control plane in simulated time, with an agent that does what a test says.

use std::{sync::Arc, time::Duration};

use hoist_compose::LoadOptions;
use hoist_proto::{
    clock::ManualClock,
    id::{ClusterId, NodeId},
    spec::{
        Cluster, ClusterSpec, DeviceKind, Health, Meta, Node, NodeDescription, NodeDevice, NodeSpec, NodeState,
        NodeStatus, Plan, Task, TaskState, TaskStatus, UpOptions,
    },
};
use hoist_store::{Local, Store, StoreError};

use crate::{
    allocator,
    control::{
        ControlError,
        convert::{Desired, Inputs, convert},
        plan::{Known, plan},
    },
    orchestrator, scheduler,
};

pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) known: Known,
}

/// The project of a compose file's text.
pub(crate) fn desired(yaml: &str, inputs: &Inputs) -> Result<Desired, Vec<String>> {
    let mut options = LoadOptions::new("/work");
    options.project_name = Some("demo".into());
    let loaded = hoist_compose::load_str(yaml, &options).unwrap_or_else(|error| panic!("{error}"));
    convert(&loaded.project, &[], inputs)
}

impl World {
    pub(crate) async fn new(nodes: u32) -> Self {
        let clock = Arc::new(ManualClock::at_millis(1_700_000_000_000));
        let store = Local::store(clock.clone());
        store
            .update(|tx| {
                let meta = Meta::default;
                tx.put(Cluster {
                    id: ClusterId::random(),
                    meta: meta(),
                    name: "default".into(),
                    task_history_limit: 3,
                    spec: ClusterSpec::default(),
                    pki: None,
                    protocol: hoist_proto::protocol::Protocol::NEWEST,
                    mesh_by_hand: false,
                })?;
                for number in 1..=nodes {
                    tx.put(Node {
                        id: NodeId::random(),
                        meta: meta(),
                        spec: NodeSpec::default(),
                        description: NodeDescription {
                            hostname: format!("node{number}"),
                            ..NodeDescription::default()
                        },
                        status: NodeStatus { state: NodeState::Ready, ..NodeStatus::default() },
                        manager: number == 1,
                        address: String::new(),
                        data_address: String::new(),
                        raft: None,
                        mesh_address: None,
                        mesh_address6: None,
                    })?;
                }
                Ok::<_, StoreError>(())
            })
            .await
            .unwrap();
        Self { store, clock, known: Known::default() }
    }

    pub(crate) async fn up_with(&self, yaml: &str, options: UpOptions) -> Result<Plan, ControlError> {
        let desired = desired(yaml, &Inputs::default()).map_err(ControlError::Invalid)?;
        self.store
            .update(|tx| {
                let mut planned = plan(tx, &desired, &options, &self.known)?;
                std::mem::take(&mut planned.writes).write(tx)?;
                Ok::<_, ControlError>(planned.plan)
            })
            .await
    }

    pub(crate) async fn up(&self, yaml: &str) -> String {
        self.up_with(yaml, UpOptions::default()).await.unwrap().to_string()
    }

    /// Runs the loops until none of them has anything to do.
    pub(crate) async fn settle(&self) {
        for _ in 0..100 {
            let before = self.store.index();
            orchestrator::pass_over_all(&self.store).await.unwrap();
            allocator::pass(&self.store).await.unwrap();
            scheduler::pass(&self.store).await.unwrap();
            if self.store.index() == before {
                return;
            }
        }
        panic!("the loops do not come to rest:\n{}", self.describe());
    }

    /// Lets the agent report one step of each task, as `step` says.
    pub(crate) async fn agent(&self, mut step: impl FnMut(&Task) -> Option<TaskStatus>) -> bool {
        let tasks: Vec<_> = self.store.view(|tables| tables.tasks().iter().cloned().collect());
        let updates: Vec<_> = tasks
            .iter()
            .filter(|task| task.node.is_some())
            .filter_map(|task| step(task).map(|status| (task.id.clone(), status)))
            .collect();
        let any = !updates.is_empty();
        self.store
            .update(|tx| {
                for (id, status) in updates {
                    tx.modify::<Task>(&id, |task| task.status = status)?;
                }
                Ok::<_, StoreError>(())
            })
            .await
            .unwrap();
        any
    }

    /// Loops and a well-behaved agent, until nothing moves.
    pub(crate) async fn run(&self) {
        for _ in 0..100 {
            self.settle().await;
            self.clock.advance(Duration::from_millis(10));
            let now = hoist_proto::clock::Clock::now(&*self.clock);
            if !self.agent(|task| willing(task, now)).await {
                return;
            }
        }
        panic!("the tasks do not come to rest:\n{}", self.describe());
    }

    /// One line a task.
    pub(crate) fn describe(&self) -> String {
        let mut lines: Vec<String> = self.store.view(|tables| {
            let one = |task: &Arc<Task>| {
                let health =
                    if task.status.health == Health::None { String::new() } else { format!(" {}", task.status.health) };
                let error = task.status.error.as_ref().map(|error| format!(" ({error})")).unwrap_or_default();
                format!(
                    "{:<20} {} should be {}, is {}{health}{error}",
                    task.name, task.meta.created, task.desired, task.status.state
                )
            };
            tables.tasks().iter().map(one).collect()
        });
        lines.sort();
        // Moments only order the lines.
        lines
            .iter()
            .map(|line| {
                let mut words = line.split_whitespace();
                let name = words.next().unwrap_or_default();
                format!("{name} {}\n", words.skip(1).collect::<Vec<_>>().join(" "))
            })
            .collect()
    }
}

/// The next step of an agent for which everything goes well.
pub(crate) fn willing(task: &Task, now: hoist_proto::clock::Timestamp) -> Option<TaskStatus> {
    let mut status = task.status.clone();
    let next = match task.desired {
        TaskState::Remove if status.state == TaskState::Remove => return None,
        TaskState::Remove => TaskState::Remove,
        desired if desired > TaskState::Running && status.state.is_final() => return None,
        desired if desired > TaskState::Running => TaskState::Shutdown,
        desired => match status.state {
            TaskState::Assigned => TaskState::Ready,
            TaskState::Ready if desired == TaskState::Running => TaskState::Running,
            TaskState::Running if status.health == Health::Starting => {
                status.health = Health::Healthy;
                return Some(status);
            }
            _ => return None,
        },
    };
    if next == TaskState::Running && task.spec.container.healthcheck.is_some() {
        status.health = Health::Starting;
    }
    status.state = next;
    status.at = now;
    Some(status)
}

/// An end of a running task.
pub(crate) fn exited(task: &Task, code: i32, now: hoist_proto::clock::Timestamp) -> TaskStatus {
    TaskStatus {
        state: if code == 0 { TaskState::Complete } else { TaskState::Failed },
        exit_code: Some(code),
        error: (code != 0).then(|| format!("exited ({code})")),
        at: now,
        ..task.status.clone()
    }
}

/// So many devices of a kind, all alike.
pub(crate) fn gpus_of(kind: &str, count: u64) -> DeviceKind {
    let device = |index: u32| NodeDevice { name: index.to_string(), index, shares: 2, ..NodeDevice::default() };
    DeviceKind {
        name: kind.into(),
        capabilities: vec!["gpu".into()],
        devices: (0..u32::try_from(count).unwrap_or(u32::MAX)).map(device).collect(),
        ..DeviceKind::default()
    }
}
