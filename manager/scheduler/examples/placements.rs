//! How many tasks the scheduler places in a second: `cargo run --release -p hoist-scheduler --example placements`.
#![allow(clippy::print_stdout)] // it reports

use std::time::Instant;

use hoist_proto::{
    id::{NodeId, ServiceId, TaskId},
    spec::{
        Meta, Node, NodeDescription, NodeSpec, NodeState, NodeStatus, Placement, Task, TaskSpec, TaskState, TaskStatus,
    },
};
use hoist_scheduler::Snapshot;

fn node(number: usize) -> Node {
    let labels = [("zone", number % 5), ("rack", number % 100), ("disk", number % 2), ("tier", number % 3)];
    Node {
        id: NodeId::random(),
        meta: Meta::default(),
        spec: NodeSpec {
            labels: labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_string())).collect(),
            ..NodeSpec::default()
        },
        description: NodeDescription {
            hostname: format!("node{number}"),
            os: "linux".into(),
            architecture: "amd64".into(),
            nano_cpus: 64_000_000_000,
            memory: 256 << 30,
            ..NodeDescription::default()
        },
        status: NodeStatus { state: NodeState::Ready, ..NodeStatus::default() },
        manager: false,
        address: String::new(),
        data_address: String::new(),
        raft: None,
        mesh_address: None,
        mesh_address6: None,
    }
}

fn task(service: &ServiceId, spread: bool) -> Task {
    let constraints = [
        "node.platform.os==linux",
        "node.role==worker",
        "node.labels.disk==1",
        "node.labels.tier!=2",
        "node.hostname!=node7",
    ];
    let mut spec = TaskSpec {
        placement: Placement {
            constraints: constraints.iter().map(|text| (*text).to_owned()).collect(),
            spread: if spread { vec!["node.labels.zone".into()] } else { Vec::new() },
            ..Placement::default()
        },
        ..TaskSpec::default()
    };
    spec.container.resources.reserved_memory = Some(64 << 20);
    spec.container.resources.reserved_nano_cpus = Some(10_000_000);
    Task {
        id: TaskId::random(),
        meta: Meta::default(),
        service: service.clone(),
        service_name: "web".into(),
        project: None,
        slot: 1,
        node: None,
        name: String::new(),
        spec: spec.into(),
        spec_hash: String::new(),
        desired: TaskState::Running,
        status: TaskStatus::default(),
        start_after: None,
        restarts: 0,
        started_with: Default::default(),
        addresses: Vec::new(),
        devices: Vec::new(),
        signal: None,
        checkpoint_on_stop: false,
    }
}

fn main() {
    println!("tasks of 100 services with five constraints and reservations; every second service spreads over zones");
    println!("{:>8} {:>9} {:>10} {:>14} {:>10}", "nodes", "tasks", "seconds", "placements/s", "µs/task");
    for nodes in [100, 1_000, 10_000] {
        let mut snapshot = Snapshot::of_nodes((0..nodes).map(node));
        let services: Vec<ServiceId> = (0..100).map(|_| ServiceId::random()).collect();
        let count = 150_000;
        let tasks: Vec<Task> = services
            .iter()
            .enumerate()
            .flat_map(|(number, service)| (0..count / 100).map(move |_| task(service, number % 2 == 0)))
            .collect();
        let begun = Instant::now();
        let placed = tasks.iter().filter(|task| snapshot.place(task).is_ok()).count();
        let seconds = begun.elapsed().as_secs_f64();
        println!(
            "{nodes:>8} {placed:>9} {seconds:>10.3} {:>14.0} {:>10.2}",
            placed as f64 / seconds,
            seconds * 1e6 / placed as f64
        );
    }
}
