use hoist_proto::{
    id::{NodeId, ServiceId, TaskId},
    spec::{
        Availability, Meta, Node, NodeDescription, NodeSpec, NodeState, NodeStatus, PortSpec, PublishMode, Task,
        TaskSpec, TaskState, TaskStatus,
    },
};
use proptest::prelude::*;

use crate::{Constraint, Snapshot};

fn node(hostname: &str) -> Node {
    Node {
        id: NodeId::random(),
        meta: Meta::default(),
        spec: NodeSpec::default(),
        description: NodeDescription {
            hostname: hostname.into(),
            os: "linux".into(),
            architecture: "amd64".into(),
            nano_cpus: 4_000_000_000,
            memory: 8 << 30,
            ..NodeDescription::default()
        },
        status: NodeStatus { state: NodeState::Ready, ..NodeStatus::default() },
        manager: false,
        address: String::new(),
        data_address: String::new(),
        raft: None,
        mesh_address: None,
    }
}

fn edit(task: &mut Task) -> &mut TaskSpec {
    std::sync::Arc::make_mut(&mut task.spec)
}

fn task(service: &ServiceId) -> Task {
    Task {
        id: TaskId::random(),
        meta: Meta::default(),
        service: service.clone(),
        service_name: "web".into(),
        project: None,
        slot: 1,
        node: None,
        name: String::new(),
        spec: Default::default(),
        spec_hash: String::new(),
        desired: TaskState::Running,
        status: TaskStatus::default(),
        start_after: None,
        restarts: 0,
        started_with: Default::default(),
        addresses: Vec::new(),
    }
}

#[test]
fn tasks_spread_over_nodes_and_then_over_labels() {
    let nodes: Vec<Node> = ["a", "b", "c"]
        .iter()
        .zip(["east", "east", "west"])
        .map(|(name, zone)| {
            let mut node = node(name);
            node.spec.labels.insert("zone".into(), zone.into());
            node
        })
        .collect();
    let service = ServiceId::random();
    let place = |spread: Vec<String>, count: usize| {
        let mut snapshot = Snapshot::of_nodes(nodes.clone());
        let mut counts = [0; 3];
        for _ in 0..count {
            let mut task = task(&service);
            edit(&mut task).placement.spread = spread.clone();
            let chosen = snapshot.place(&task).unwrap();
            counts[nodes.iter().position(|n| n.id == chosen).unwrap()] += 1;
        }
        counts
    };
    assert_eq!(place(vec![], 6), [2, 2, 2]);
    assert_eq!(place(vec!["node.labels.zone".into()], 4), [1, 1, 2]);
}

#[test]
fn it_says_why_no_node_will_do() {
    let mut drained = node("drained");
    drained.spec.availability = Availability::Drain;
    let mut down = node("down");
    down.status.state = NodeState::Down;
    let mut small = node("small");
    small.description.memory = 1 << 30;
    let mut full = task(&ServiceId::random());
    edit(&mut full).container.resources.reserved_memory = Some(2 << 30);
    let mut snapshot = Snapshot::of_nodes([drained, down, small]);
    insta::assert_snapshot!(
        snapshot.place(&full).unwrap_err(),
        @"no suitable node (1 node is not ready, 1 node is drained, 1 node lacks 2GiB of free memory)"
    );
    insta::assert_snapshot!(Snapshot::default().place(&full).unwrap_err(), @"no suitable node: the cluster has none");
}

#[test]
fn a_host_port_is_given_once_a_node() {
    let mut snapshot = Snapshot::of_nodes([node("only")]);
    let mut task = task(&ServiceId::random());
    edit(&mut task).container.ports.push(PortSpec {
        host_port: Some((80, 80)),
        container_port: (80, 80),
        mode: PublishMode::Host,
        ..PortSpec::default()
    });
    snapshot.place(&task).unwrap();
    insta::assert_snapshot!(snapshot.place(&task).unwrap_err(), @"no suitable node (port 80/tcp is taken on 1 node)");
}

#[test]
fn constraints() {
    let mut node = node("db1");
    node.spec.labels.insert("disk".into(), "ssd".into());
    for (text, met) in [
        ("node.labels.disk==ssd", true),
        ("node.labels.disk == hdd", false),
        ("node.labels.disk!=hdd", true),
        ("node.labels.none!=x", true),
        ("node.hostname==DB1", true),
        ("node.role==worker", true),
        ("node.platform.arch==arm64", false),
    ] {
        assert_eq!(text.parse::<Constraint>().unwrap().met_by(&node), met, "{text}");
    }
    for text in ["node.hostname", "colour==red", "node.labels.==x", "node.id=="] {
        assert!(text.parse::<Constraint>().is_err(), "{text}");
    }
}

proptest! {
    /// Whatever is asked for, no node is given more than it has, and what is placed is spread.
    #[test]
    fn no_node_is_overcommitted(
        memories in proptest::collection::vec(1_u64..16, 1..6),
        wishes in proptest::collection::vec(1_u64..8, 1..40),
    ) {
        let nodes: Vec<Node> = memories.iter().map(|gib| {
            let mut node = node("n");
            node.description.memory = gib << 30;
            node
        }).collect();
        let mut snapshot = Snapshot::of_nodes(nodes.clone());
        let service = ServiceId::random();
        let mut taken = vec![0_u64; nodes.len()];
        for wish in wishes {
            let mut task = task(&service);
            edit(&mut task).container.resources.reserved_memory = Some(wish << 30);
            match snapshot.place(&task) {
                Ok(id) => {
                    let at = nodes.iter().position(|n| n.id == id).unwrap();
                    taken[at] += wish;
                    prop_assert!(taken[at] <= memories[at]);
                }
                Err(_) => {
                    for (have, taken) in memories.iter().zip(&taken) {
                        prop_assert!(have - taken < wish, "a node had room");
                    }
                }
            }
        }
    }
}
