//! A whole manager on a real log, and an agent on the other end of a socket that does what it is told.
#![allow(clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use hoist_compose::LoadOptions;
use hoist_manager::{
    Manager, ManagerConfig,
    control::{EventStream, NoImages},
};
use hoist_proto::{
    clock,
    id::{NetworkId, NodeId, TaskId},
    spec::{
        ClusterNetwork, DownOptions, NodeDescription, ProjectEvent, StartOptions, StopOptions, Task, TaskState,
        TaskStatus, UpRequest,
    },
    wire::{
        AssignmentChange, AssignmentsRequest, ProgressReport, SessionRequest, TaskStatusUpdate,
        UpdateTaskStatusRequest,
        assignment_change::{Action, Item},
        dispatcher_client::DispatcherClient,
    },
};
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet};
use tokio_stream::{
    StreamExt,
    wrappers::{TcpListenerStream, UnboundedReceiverStream},
};
use tonic::transport::{Channel, Endpoint, Server};

/// What a test makes of a task that would otherwise run.
type Fate = fn(&Task) -> Option<TaskStatus>;

struct World {
    manager: Manager,
    node: NodeId,
    address: String,
    loops: JoinSet<()>,
}

impl World {
    async fn start(dir: &std::path::Path, node: NodeId, fate: Fate) -> Self {
        let config = ManagerConfig {
            cluster: None,
            log_key: None,
            restore: None,
            dir: dir.join("cluster"),
            node: node.clone(),
            hostname: "test".into(),
            protocol: hoist_proto::protocol::Protocol::NEWEST,
            clock: clock::system(),
            images: Arc::new(NoImages),
        };
        let manager = Manager::start(config).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let service = manager.dispatcher().server();
        let mut loops = JoinSet::new();
        loops.spawn(async move {
            let incoming = TcpListenerStream::new(listener);
            Server::builder().add_service(service).serve_with_incoming(incoming).await.unwrap();
        });
        let mut world = Self { manager, node, address, loops };
        world.connect(fate).await;
        world
    }

    async fn connect(&mut self, fate: Fate) {
        let channel = Endpoint::from_shared(self.address.clone()).unwrap().connect().await.unwrap();
        let mut client = DispatcherClient::new(channel);
        let request = SessionRequest {
            node_id: self.node.to_string(),
            description: serde_json::to_vec(&description()).unwrap(),
            session_id: String::new(),
        };
        let mut session = client.session(request).await.unwrap().into_inner();
        let id = session.next().await.unwrap().unwrap().session_id;
        let (tell, told) = mpsc::unbounded_channel();
        let mut reporter = client.clone();
        self.loops.spawn(async move {
            let _ = reporter.progress(UnboundedReceiverStream::new(told)).await;
        });
        let agent = Agent { client, session: id, tell, fate, tasks: BTreeMap::new(), networks: BTreeSet::new() };
        self.loops.spawn(async move {
            agent.run().await;
            drop(session);
        });
    }

    async fn stop(mut self) {
        self.manager.stop().await;
        self.loops.shutdown().await;
    }
}

fn description() -> NodeDescription {
    NodeDescription { protocol: hoist_proto::protocol::Protocol::NEWEST, ..NodeDescription::default() }
}

/// An agent for which everything goes well, but for tasks that have a fate.
struct Agent {
    client: DispatcherClient<Channel>,
    session: String,
    tell: mpsc::UnboundedSender<ProgressReport>,
    fate: Fate,
    tasks: BTreeMap<TaskId, Task>,
    networks: BTreeSet<NetworkId>,
}

impl Agent {
    async fn run(mut self) {
        let request = AssignmentsRequest { session_id: self.session.clone() };
        let mut stream = self.client.assignments(request).await.unwrap().into_inner();
        while let Some(Ok(message)) = stream.next().await {
            message.changes.into_iter().for_each(|change| self.take(change));
            let updates = self.step();
            if !updates.is_empty() {
                let request = UpdateTaskStatusRequest { session_id: self.session.clone(), updates };
                if self.client.update_task_status(request).await.is_err() {
                    return;
                }
            }
        }
    }

    fn take(&mut self, change: AssignmentChange) {
        let remove = change.action() == Action::Remove;
        match change.item {
            Some(Item::Task(json)) => {
                let mut task: Task = serde_json::from_slice(&json).unwrap();
                if remove {
                    self.tasks.remove(&task.id);
                    return;
                }
                if let Some(known) = self.tasks.get(&task.id) {
                    task.status = known.status.clone();
                }
                self.tasks.insert(task.id.clone(), task);
            }
            Some(Item::Network(json)) => {
                let network: ClusterNetwork = serde_json::from_slice(&json).unwrap();
                if !remove {
                    self.networks.insert(network.id);
                    return;
                }
                let resource = format!("Network {}", network.spec.name);
                let event = ProjectEvent::Resource { resource, state: "Removed".into(), error: None };
                let event = serde_json::to_vec(&event).unwrap();
                let _ =
                    self.tell.send(ProgressReport { session_id: self.session.clone(), event, task_id: String::new() });
            }
            _ => {}
        }
    }

    fn step(&mut self) -> Vec<TaskStatusUpdate> {
        let mut updates = Vec::new();
        for task in self.tasks.values_mut() {
            task.status.state = match (task.desired, task.status.state) {
                (TaskState::Remove, TaskState::Remove) => continue,
                (TaskState::Remove, _) => TaskState::Remove,
                (desired, state) if desired > TaskState::Running && state.is_final() => continue,
                (desired, _) if desired > TaskState::Running => TaskState::Shutdown,
                (desired, state) if state < desired && !state.is_final() => desired,
                _ => continue,
            };
            if task.status.state == TaskState::Running {
                assert!(task.spec.networks.iter().all(|id| self.networks.contains(id)), "networks come first");
                if let Some(status) = (self.fate)(task) {
                    task.status = status;
                }
            }
            let status = serde_json::to_vec(&task.status).unwrap();
            updates.push(TaskStatusUpdate { task_id: task.id.to_string(), status });
        }
        updates
    }
}

fn request(yaml: &str) -> UpRequest {
    let mut options = LoadOptions::new("/work");
    options.project_name = Some("demo".into());
    let loaded = hoist_compose::load_str(yaml, &options).unwrap_or_else(|error| panic!("{error}"));
    UpRequest { project: serde_json::to_value(&loaded.project).unwrap(), ..UpRequest::default() }
}

/// What was told of containers and networks, in order, and the last line.
async fn told(mut events: EventStream) -> (Vec<String>, ProjectEvent) {
    let (mut lines, mut last) = (Vec::new(), ProjectEvent::Done);
    while let Some(event) = events.next().await {
        match &event {
            ProjectEvent::Task { name, label, .. } => lines.push(format!("{name} {label}")),
            ProjectEvent::Resource { resource, state, .. } => lines.push(format!("{resource} {state}")),
            _ => {}
        }
        last = event;
    }
    (lines, last)
}

fn assert_order(lines: &[String], wanted: &[&str]) {
    let positions: Vec<_> = wanted.iter().map(|wanted| lines.iter().position(|line| line == wanted)).collect();
    assert!(positions.iter().all(Option::is_some) && positions.is_sorted(), "{wanted:?} in {lines:#?}");
}

const TWO: &str = "services: {db: {image: db}, web: {image: web, depends_on: [db]}}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_project_goes_up_and_down_and_outlives_the_manager() {
    let dir = tempfile::tempdir().unwrap();
    let node = NodeId::random();
    let world = World::start(dir.path(), node.clone(), |_| None).await;
    let control = world.manager.control().clone();
    let (lines, last) = told(control.up("demo", request(TWO))).await;
    assert_eq!(last, ProjectEvent::Done, "{lines:?}");
    assert_order(&lines, &["demo-db-1 Started", "demo-web-1 Started"]);
    let (_, last) = told(control.stop("demo", StopOptions::default())).await;
    assert_eq!(last, ProjectEvent::Done);
    assert_eq!(control.projects()[0].status(), "exited(2)");
    world.stop().await;

    let world = World::start(dir.path(), node, |_| None).await;
    let control = world.manager.control().clone();
    let (_, last) = told(control.start("demo", StartOptions::default())).await;
    assert_eq!(last, ProjectEvent::Done);
    assert_eq!(control.projects()[0].status(), "running(2)");
    let (lines, last) = told(control.down("demo", DownOptions::default())).await;
    assert_eq!(last, ProjectEvent::Done, "{lines:?}");
    assert_order(&lines, &["demo-web-1 Removed", "demo-db-1 Removed", "Network demo_default Removed"]);
    assert!(control.projects().is_empty());
    let (_, last) = told(control.down("demo", DownOptions::default())).await;
    assert_eq!(last, ProjectEvent::Done, "nothing to remove is no error");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_start_is_told_with_its_cause() {
    let dir = tempfile::tempdir().unwrap();
    let rejected: Fate = |task| {
        (task.spec.container.image == "db").then(|| TaskStatus {
            state: TaskState::Rejected,
            error: Some("command not found: x".into()),
            ..TaskStatus::default()
        })
    };
    let world = World::start(dir.path(), NodeId::random(), rejected).await;
    let control = world.manager.control().clone();
    let (_, last) = told(control.up("demo", request(TWO))).await;
    assert_eq!(last, ProjectEvent::Error { message: "container demo-db-1: command not found: x".into(), exit_code: 1 });
    let nowhere = "services: {a: {image: a, deploy: {placement: {constraints: [node.labels.x==y]}}}}";
    let (_, last) = told(control.up("demo", request(nowhere))).await;
    let ProjectEvent::Error { message, .. } = last else { panic!("{last:?}") };
    assert_eq!(
        message,
        "container demo-a-1: no suitable node (1 node does not meet the constraints (node.labels.x==y))"
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_services_cost_the_control_plane_few_writes() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::start(dir.path(), NodeId::random(), |_| None).await;
    let control = world.manager.control().clone();
    let services: String = (0..10).map(|n| format!("  s{n}: {{image: x}}\n")).collect();
    let request = request(&format!("services:\n{services}"));
    let (begun, before) = (std::time::Instant::now(), world.manager.store().index());
    let (_, last) = told(control.up("demo", request)).await;
    assert_eq!(last, ProjectEvent::Done);
    let writes = world.manager.store().index() - before;
    println!("ten services: {writes} writes, {:?}", begun.elapsed());
    // A write is a wait for the disk; their number says more than a time on a busy machine.
    assert!(writes <= 12, "{writes} writes");
    world.stop().await;
}

#[tokio::test]
async fn a_node_that_tells_the_key_of_another_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::start(dir.path(), NodeId::random(), |_| None).await;
    let (mut other, own) = world.manager.store().view(|tables| {
        let own = tables.nodes().iter().next().unwrap();
        ((**own).clone(), own.id.clone())
    });
    other.id = NodeId::random();
    other.meta = Default::default();
    other.description.tunnel_key = Some("its own".into());
    let id = other.id.clone();
    world.manager.store().update(|tx| tx.put(other)).await.map_err(|error: hoist_store::StoreError| error).unwrap();
    let channel = Endpoint::from_shared(world.address.clone()).unwrap().connect().await.unwrap();
    let mut client = DispatcherClient::new(channel);
    let mut register = async |key: &str| {
        let description = NodeDescription { tunnel_key: Some(key.into()), ..description() };
        let description = serde_json::to_vec(&description).unwrap();
        client.session(SessionRequest { node_id: own.to_string(), description, session_id: String::new() }).await
    };
    let refused = register("its own").await.err().unwrap();
    assert_eq!(refused.code(), tonic::Code::PermissionDenied);
    assert_eq!(
        refused.message(),
        format!(
            "the key of the node's tunnels is that of node {id}: a node may tell none but its own (where it is the same machine, hoist node rm {id})"
        )
    );
    let known =
        || world.manager.store().view(|tables| tables.nodes().get(&own).unwrap().description.tunnel_key.clone());
    assert_eq!(known(), None);
    register("mine").await.unwrap();
    assert_eq!(known().as_deref(), Some("mine"));
    world.stop().await;
}
