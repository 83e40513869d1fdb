use hoist_proto::{
    id::{NodeId, ServiceId, TaskId},
    spec::{
        Availability, DeviceFacts, DeviceKind, DeviceRequest, LocalHold, Meta, Node, NodeDescription, NodeDevice,
        NodeSpec, NodeState, NodeStatus, PortSpec, PublishMode, Task, TaskSpec, TaskState, TaskStatus,
    },
};
use proptest::prelude::*;

use crate::{Constraint, Snapshot, never_met};

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
        mesh_address6: None,
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
        devices: Vec::new(),
        signal: None,
        checkpoint_on_stop: false,
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
            counts[nodes.iter().position(|n| n.id == chosen.node).unwrap()] += 1;
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
                    let at = nodes.iter().position(|n| n.id == id.node).unwrap();
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

fn with_gpus(hostname: &str, models: &[&str]) -> Node {
    let mut node = node(hostname);
    let device = |(index, model): (u32, &&str)| NodeDevice {
        name: format!("{hostname}-{index}"),
        aliases: vec![index.to_string()],
        index,
        facts: DeviceFacts { model: (*model).to_owned(), ..DeviceFacts::default() },
        shares: 2,
        ..NodeDevice::default()
    };
    node.description.devices = vec![DeviceKind {
        name: "lab.example/gpu".into(),
        capabilities: vec!["gpu".into()],
        devices: (0..).zip(models).map(device).collect(),
        ..DeviceKind::default()
    }];
    node
}

fn gpus(count: i64, options: &[(&str, &str)]) -> DeviceRequest {
    DeviceRequest {
        count: Some(count),
        capabilities: vec![vec!["gpu".into()]],
        options: options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        ..DeviceRequest::default()
    }
}

fn asking(request: DeviceRequest) -> Task {
    let mut task = task(&ServiceId::random());
    edit(&mut task).container.resources.device_requests = vec![request];
    task
}

/// Where a task went, and with which devices.
fn place(snapshot: &mut Snapshot, task: &mut Task) -> String {
    match snapshot.place(task) {
        Ok(placed) => {
            (task.node, task.devices) = (Some(placed.node), placed.devices);
            task.status.state = TaskState::Running;
            task.devices.iter().map(|device| device.name.as_str()).collect::<Vec<_>>().join(" ")
        }
        Err(why) => why.to_string(),
    }
}

#[test]
fn no_device_is_given_twice_and_each_is_held_until_its_task_has_ended() {
    let nodes = [with_gpus("a", &["L4", "L4"]), with_gpus("b", &["L4"]), node("c")];
    let mut snapshot = Snapshot::of_nodes(nodes);
    let mut two = asking(gpus(2, &[]));
    assert_eq!(place(&mut snapshot, &mut two), "a-0 a-1");
    let mut one = asking(gpus(1, &[]));
    assert_eq!(place(&mut snapshot, &mut one), "b-0");
    let full = "no suitable node (1 node has no gpu, 2 nodes have no free gpu)";
    assert_eq!(place(&mut snapshot, &mut asking(gpus(1, &[]))), full);
    let more = "no suitable node (2 nodes have fewer than 2 gpu, 1 node has fewer than 2 free gpu)";
    assert_eq!(place(&mut snapshot, &mut asking(gpus(2, &[]))), more);
    // It is to end, and has not yet: its devices are still its own.
    two.desired = TaskState::Shutdown;
    snapshot.note_task(&two.id, Some(&two));
    assert_eq!(place(&mut snapshot, &mut asking(gpus(1, &[]))), full);
    two.status.state = TaskState::Shutdown;
    assert!(snapshot.note_task(&two.id, Some(&two)));
    // Halves of one leave the other whole.
    assert_eq!(place(&mut snapshot, &mut asking(gpus(1, &[("share", "0.5")]))), "a-0");
    assert_eq!(place(&mut snapshot, &mut asking(gpus(1, &[("share", "0.5")]))), "a-0");
    assert_eq!(place(&mut snapshot, &mut asking(gpus(1, &[]))), "a-1");
    let explained = snapshot.explain(&one);
    assert_eq!(explained.suitable[0].hostname, "b", "what it holds is not held against it");
}

#[test]
fn generic_resources_models_names_and_what_others_hold_are_looked_at() {
    let mut big = with_gpus("a", &["Lab A100", "Lab L4"]);
    big.description.devices[0].devices[1].held = vec![LocalHold { holder: "by-hand".into(), parts: None }];
    let mut snapshot = Snapshot::of_nodes([big, with_gpus("b", &["Lab L4", "Lab L4"])]);
    assert_eq!(place(&mut snapshot, &mut asking(gpus(1, &[("model", "a100")]))), "a-0");
    let told = place(&mut snapshot, &mut asking(gpus(1, &[("model", "a100")])));
    assert_eq!(told, "no suitable node (1 node has no gpu with model=a100, 1 node has no free gpu with model=a100)");
    let mut named = asking(DeviceRequest { count: None, device_ids: vec!["lab.example/gpu=1".into()], ..gpus(0, &[]) });
    // The one of the first node is held by a container that is no task.
    assert_eq!(place(&mut snapshot, &mut named), "b-1");
    let mut generic = task(&ServiceId::random());
    edit(&mut generic).container.resources.reserved_generic.insert("gpu".into(), 1);
    assert_eq!(place(&mut snapshot, &mut generic), "b-0");
}

#[test]
fn what_no_node_can_ever_meet_is_told_with_the_nearest() {
    let nodes = [with_gpus("a", &["L4", "L4"]), with_gpus("b", &["L4"])];
    let both: Vec<&Node> = nodes.iter().collect();
    let never = |request: DeviceRequest| never_met(&[request], &both);
    assert_eq!(never(gpus(2, &[])), None);
    let told = "no node can ever run it: 2 nodes have fewer than 3 gpu; the nearest that can be met is 2 gpu on a";
    assert_eq!(never(gpus(3, &[])).unwrap(), told);
    let told =
        "no node can ever run it: 2 nodes have no gpu with model=h100; the nearest that can be met is 1 gpu on a";
    assert_eq!(never(gpus(1, &[("model", "h100")])).unwrap(), told);
    assert!(never(gpus(1, &[("colour", "red")])).unwrap().contains("option colour is not supported"));
    let alone = never_met(&[gpus(3, &[])], &both[..1]).unwrap();
    assert_eq!(
        alone,
        "3 devices of lab.example/gpu were asked for, and node a has 2; the nearest that can be met is 2 gpu on a"
    );
    // Who has not described itself may have anything.
    let mut unknown = node("c");
    unknown.description.architecture.clear();
    assert_eq!(never_met(&[gpus(3, &[])], &[both[0], both[1], &unknown]), None);
}
