//! How many nodes and tasks one manager bears: the real manager on a real log, and as many sessions with it as there
//! are nodes, over TCP, each from an agent that takes its tasks and says that they run. No containers.
//!
//! `cargo run --release -p hoist-manager --example scale [-- --nodes N --tasks N --services N]`, with
//! `MALLOC_ARENA_MAX=2 MALLOC_TRIM_THRESHOLD_=262144` in the environment the memory is what the daemon would take.
#![allow(clippy::print_stdout, clippy::unwrap_used)] // it reports, and has nobody to pass an error on to

use std::{
    collections::BTreeMap,
    env, fs,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use hoist_manager::{Manager, ManagerConfig, control::NoImages};
use hoist_proto::{
    clock,
    id::{NodeId, TaskId},
    protocol::Protocol,
    spec::{
        Health, Lifecycle, Meta, Node, NodeDescription, NodeSpec, NodeState, NodeStatus, ServiceMode, ServiceSpec,
        Task, TaskState, TaskStatus,
    },
    wire::{
        AssignmentsRequest, HeartbeatRequest, SessionRequest, TaskStatusUpdate, UpdateTaskStatusRequest,
        assignment_change::{Action, Item},
        dispatcher_client::DispatcherClient,
    },
};
use hoist_store::StoreError;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_stream::{StreamExt, wrappers::TcpListenerStream};
use tonic::transport::{Endpoint, Server};

struct Setup {
    nodes: usize,
    tasks: usize,
    services: usize,
}

impl Setup {
    fn read() -> Self {
        let mut setup = Self { nodes: 5_000, tasks: 150_000, services: 100 };
        let mut words = env::args().skip(1);
        while let Some(word) = words.next() {
            let value = words.next().and_then(|value| value.parse().ok()).expect("every option has a number");
            match word.as_str() {
                "--nodes" => setup.nodes = value,
                "--tasks" => setup.tasks = value,
                "--services" => setup.services = value,
                other => panic!("unknown option {other}; there are --nodes, --tasks and --services"),
            }
        }
        setup
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut words = env::args().skip(1);
    if words.next().as_deref() == Some("agents") {
        let (address, file) = (words.next().unwrap(), words.next().unwrap());
        let nodes = fs::read_to_string(file).unwrap();
        runtime.block_on(agents(&address, nodes.lines().map(|id| id.parse().unwrap()).collect()));
    } else {
        runtime.block_on(measure(&Setup::read()));
    }
}

async fn measure(setup: &Setup) {
    let dir = tempfile::tempdir().unwrap();
    let manager = Manager::start(ManagerConfig {
        cluster: None,
        log_key: None,
        restore: None,
        dir: dir.path().join("cluster"),
        node: NodeId::random(),
        hostname: "manager".into(),
        clock: clock::system(),
        protocol: Protocol::NEWEST,
        images: Arc::new(NoImages),
    })
    .await
    .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let service = manager.dispatcher().server();
    tokio::spawn(Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener)));
    let nodes: Vec<NodeId> = (0..setup.nodes).map(|_| NodeId::random()).collect();
    manager
        .store()
        .update(|tx| {
            // The manager's own node has no agent here.
            let own: Vec<_> = tx.nodes().iter().map(|node| node.id.clone()).collect();
            own.iter().try_for_each(|id| tx.remove::<Node>(id))?;
            nodes.iter().enumerate().try_for_each(|(number, id)| tx.put(node(id, number)))
        })
        .await
        .map_err(|error: StoreError| error)
        .unwrap();
    let list = dir.path().join("nodes");
    fs::write(&list, nodes.iter().map(|id| format!("{id}\n")).collect::<String>()).unwrap();

    println!("{} nodes, {} tasks of {} services", setup.nodes, setup.tasks, setup.services);
    println!("{:<44} {:>9} {:>9} {:>9}", "", "seconds", "CPU s", "RSS MiB");
    let mut step = Step::begin();
    let mut agents = Command::new(env::current_exe().unwrap())
        .arg("agents")
        .args([&address, list.to_str().unwrap()])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let store = manager.store();
    until(store, |tables| tables.nodes().iter().all(|node| node.status.state == NodeState::Ready)).await;
    step.done("all nodes are connected");
    tokio::time::sleep(Duration::from_secs(10)).await;
    let before = step.done("ten seconds of heartbeats");

    let each = setup.tasks / setup.services;
    for number in 0..setup.services {
        manager.control().create_service(service_of(number, each as u32)).await.unwrap();
    }
    let all = each * setup.services;
    until(store, |tables| tables.tasks().len() == all && tables.tasks().iter().all(|task| task.node.is_some())).await;
    step.done("all tasks have a node");
    until(store, |tables| tables.tasks().iter().all(|task| task.status.state == TaskState::Running)).await;
    step.done("all tasks run");
    tokio::time::sleep(Duration::from_secs(10)).await;
    let after = step.done("ten seconds of heartbeats");
    println!("{:<44} {:>9.2} KiB a task", "memory", (after - before) / all as f64);

    let services = manager.control().services();
    let first = services.first().unwrap();
    let mut spec = first.spec.clone();
    spec.mode = ServiceMode::Replicated { replicas: each as u32 + 1 };
    let change = hoist_manager::control::ServiceChange::To(Box::new(spec));
    manager.control().update_service(&first.id, first.meta.version, change, Default::default()).await.unwrap();
    until(store, |tables| tables.tasks().iter().filter(|task| task.status.state == TaskState::Running).count() > all)
        .await;
    step.done("one task more runs");
    drop(agents.stdin.take());
    agents.wait().unwrap();
    until(store, |tables| tables.nodes().iter().all(|node| node.status.state == NodeState::Down)).await;
    step.done("the nodes have gone and are found down");
    manager.stop().await;
}

async fn until(store: &hoist_store::Store, done: impl Fn(&hoist_store::Tables) -> bool) {
    while !store.view(&done) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// One line of the report.
struct Step {
    at: Instant,
    cpu: f64,
}

impl Step {
    fn begin() -> Self {
        Self { at: Instant::now(), cpu: cpu_seconds() }
    }

    /// Prints what went by since the last; gives the memory in KiB.
    fn done(&mut self, what: &str) -> f64 {
        let (seconds, cpu, memory) = (self.at.elapsed().as_secs_f64(), cpu_seconds(), memory_kib());
        println!("{what:<44} {seconds:>9.2} {:>9.2} {:>9.1}", cpu - self.cpu, memory / 1024.0);
        *self = Self::begin();
        memory
    }
}

/// Of this process.
fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn memory_kib() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn node(id: &NodeId, number: usize) -> Node {
    Node {
        id: id.clone(),
        meta: Meta::default(),
        spec: NodeSpec {
            labels: BTreeMap::from([("zone".to_owned(), (number % 5).to_string())]),
            ..NodeSpec::default()
        },
        description: description(number),
        status: NodeStatus::default(),
        manager: false,
        address: String::new(),
        data_address: String::new(),
        raft: None,
        mesh_address: None,
        mesh_address6: None,
    }
}

fn description(number: usize) -> NodeDescription {
    NodeDescription {
        hostname: format!("node{number}"),
        os: "linux".into(),
        architecture: "amd64".into(),
        nano_cpus: 64_000_000_000,
        memory: 256 << 30,
        ..NodeDescription::default()
    }
}

fn service_of(number: usize, replicas: u32) -> ServiceSpec {
    let mut spec = ServiceSpec {
        name: format!("service{number}"),
        mode: ServiceMode::Replicated { replicas },
        lifecycle: Lifecycle::Running,
        ..ServiceSpec::default()
    };
    let container = &mut spec.task.container;
    container.image = "registry.example/team/worker:1.2.3".into();
    container.command = Some(["worker", "--queue", "default"].map(str::to_owned).to_vec());
    container.env = (0..8).map(|number| format!("VARIABLE_{number}=a value of some length")).collect();
    container.resources.reserved_memory = Some(64 << 20);
    container.resources.reserved_nano_cpus = Some(10_000_000);
    spec.task.placement.constraints = vec!["node.platform.os==linux".into(), "node.role==worker".into()];
    spec
}

/// As many agents as there are nodes, until standard input ends.
async fn agents(address: &str, nodes: Vec<NodeId>) {
    let mut running: JoinSet<()> = JoinSet::new();
    for (number, node) in nodes.into_iter().enumerate() {
        let address = address.to_owned();
        running.spawn(async move {
            loop {
                if let Err(error) = agent(&address, &node, number).await {
                    println!("  the session of node{number} ended: {}", error.message());
                }
            }
        });
    }
    let ended = tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    tokio::select! {
        _ = ended => {}
        Some(ended) = running.join_next() => ended.unwrap(),
    }
}

async fn agent(address: &str, node: &NodeId, number: usize) -> Result<(), tonic::Status> {
    let channel = loop {
        match Endpoint::from_shared(address.to_owned()).unwrap().connect().await {
            Ok(channel) => break channel,
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    };
    let mut client = DispatcherClient::new(channel);
    let request = SessionRequest {
        node_id: node.to_string(),
        description: serde_json::to_vec(&description(number)).unwrap(),
        session_id: String::new(),
    };
    let mut session = client.session(request).await?.into_inner();
    let id = session.next().await.unwrap()?.session_id;
    let mut assignments = client.assignments(AssignmentsRequest { session_id: id.clone() }).await?.into_inner();
    let mut tasks: BTreeMap<TaskId, TaskState> = BTreeMap::new();
    let mut due = tokio::time::Instant::now();
    loop {
        let message = tokio::select! {
            () = tokio::time::sleep_until(due) => {
                let answer = client.heartbeat(HeartbeatRequest { session_id: id.clone(), uses: Vec::new() }).await?.into_inner();
                due = tokio::time::Instant::now() + Duration::from_millis(answer.period_millis);
                continue;
            },
            news = session.next() => match news {
                Some(news) => {
                    news?;
                    continue;
                }
                None => return Err(tonic::Status::unavailable("the dispatcher closed the session")),
            },
            message = assignments.next() => message.ok_or_else(|| tonic::Status::unavailable("no more assignments"))??,
        };
        let mut updates = Vec::new();
        for change in message.changes {
            let removed = change.action() == Action::Remove;
            let Some(Item::Task(json)) = change.item else { continue };
            let task: Task = serde_json::from_slice(&json).unwrap();
            if removed {
                tasks.remove(&task.id);
                continue;
            }
            let state = task.desired;
            if tasks.insert(task.id.clone(), state) != Some(state) {
                let status = TaskStatus { state, health: Health::None, ..task.status.clone() };
                let status = serde_json::to_vec(&status).unwrap();
                updates.push(TaskStatusUpdate { task_id: task.id.to_string(), status });
            }
        }
        if !updates.is_empty() {
            client.update_task_status(UpdateTaskStatusRequest { session_id: id.clone(), updates }).await?;
        }
    }
}
