use super::*;
use hoist_proto::id::ContainerId;
use hoist_proto::spec::*;

use crate::container::effective;

fn record(spec: ContainerSpec) -> Record {
    let id: ContainerId = "0123456789abcdef".repeat(4).parse().unwrap();
    let image = hoist_image::ContainerConfig { cmd: Some(vec!["sh".into()]), ..Default::default() };
    Record {
        version: 1,
        id: id.clone(),
        name: "web".into(),
        created: "2026-01-02T03:04:05Z".parse().unwrap(),
        effective: effective(&spec, &image, &id, "machine").unwrap(),
        spec,
        image_id: String::new(),
        platform: "linux".into(),
        mounts: Vec::new(),
    }
}

fn input(record: &Record) -> Input<'_> {
    static NO_EDITS: Edits = Edits {
        env: Vec::new(),
        device_nodes: Vec::new(),
        net_devices: Vec::new(),
        mounts: Vec::new(),
        hooks: Vec::new(),
        intel_rdt: None,
        additional_gids: Vec::new(),
    };
    static USER: ResolvedUser = ResolvedUser { uid: 0, gid: 0, groups: Vec::new(), home: None };
    Input {
        record,
        user: &USER,
        mounts: Vec::new(),
        files: vec![("/etc/hosts", "/data/hosts".into())],
        namespaces: NamespacePaths { network: Namespace::Path("/run/netns/x".into()), ..NamespacePaths::default() },
        devices: Vec::new(),
        edits: &NO_EDITS,
        blocks: BlockDevices::new(),
        cgroup: "hoist/0123",
        shm: None,
    }
}

/// The spec as JSON, with keys in order and without the filter, which the runtime has tests for.
fn show(spec: &Spec) -> Value {
    let mut value = serde_json::to_value(spec).unwrap();
    // Sets, which have no order.
    for set in ["bounding", "effective", "permitted"] {
        if let Some(caps) = value["process"]["capabilities"][set].as_array_mut() {
            caps.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
        }
    }
    value["linux"]["seccomp"] = value["linux"]["seccomp"].is_object().into();
    value
}

#[test]
fn a_plain_container() {
    let record = record(ContainerSpec::default());
    let mut settings = insta::Settings::clone_current();
    settings.set_sort_maps(true);
    settings.bind(|| insta::assert_json_snapshot!(show(&build(&input(&record)).unwrap())));
}

#[test]
fn what_was_asked_for_is_there() {
    let record = record(ContainerSpec {
        tty: true,
        read_only: true,
        hostname: Some("box".into()),
        resources: Resources {
            nano_cpus: Some(1_500_000_000),
            memory: Some(64 << 20),
            pids: Some(100),
            ..Resources::default()
        },
        ulimits: vec![Ulimit { name: "nofile".into(), soft: 10, hard: -1 }],
        sysctls: [("net.core.somaxconn".to_owned(), "9".to_owned())].into(),
        ..ContainerSpec::default()
    });
    let mut input = input(&record);
    input.mounts = vec![
        ReadyMount::Tmpfs { target: "/a/b".into(), options: vec!["size=5".into()] },
        ReadyMount::Bind {
            source: "/src".into(),
            target: "/a".into(),
            options: BindOptions { read_only: true, recursive: true, ..BindOptions::default() },
        },
        ReadyMount::Bind { source: "/shm".into(), target: "/dev/shm/".into(), options: BindOptions::default() },
    ];
    let spec = show(&build(&input).unwrap());
    assert_eq!(spec["hostname"], "box");
    assert_eq!(spec["root"]["readonly"], true);
    assert_eq!(spec["process"]["terminal"], true);
    assert_eq!(spec["process"]["rlimits"][0]["soft"], 10);
    assert_eq!(spec["linux"]["resources"]["cpu"], json!({ "quota": 150_000, "period": 100_000 }));
    assert_eq!(spec["linux"]["resources"]["memory"], json!({ "limit": 64 << 20, "swap": 128 << 20 }));
    assert_eq!(spec["linux"]["sysctl"]["net.core.somaxconn"], "9");
    let places: Vec<_> =
        spec["mounts"].as_array().unwrap().iter().map(|m| m["destination"].as_str().unwrap()).collect();
    assert_eq!(places[6..], ["/a", "/a/b", "/dev/shm/", "/etc/hosts"], "{places:?}");
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let cases = [
        (
            ContainerSpec { ulimits: vec![Ulimit { name: "files".into(), soft: 1, hard: 1 }], ..Default::default() },
            "files",
        ),
        (
            ContainerSpec { sysctls: [("vm.swappiness".into(), "1".into())].into(), ..Default::default() },
            "vm.swappiness",
        ),
        (
            ContainerSpec { resources: Resources { memory: Some(1), ..Default::default() }, ..Default::default() },
            "memory",
        ),
        (
            ContainerSpec {
                resources: Resources { device_read_bps: vec![("/dev/none".into(), 1)], ..Default::default() },
                ..Default::default()
            },
            "/dev/none",
        ),
    ];
    for (spec, word) in cases {
        let record = record(spec);
        let error = build(&input(&record)).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}
