use hoist_proto::spec::{FileContent, MountKind, NamespaceMode, NetworkMode, ServiceMode};

use super::{Desired, Inputs};
use crate::testing::desired;

fn good(yaml: &str) -> Desired {
    desired(yaml, &Inputs::default()).unwrap_or_else(|problems| panic!("{}", problems.join("\n")))
}

#[test]
fn everything_that_is_not_supported_is_named_at_once() {
    let problems = desired(
        "
services:
  a:
    build: .
    isolation: hyperv
    credential_spec: {file: x}
  b:
    image: b
    use_api_socket: true
    security_opt: ['colour=red']
    volumes: [{type: npipe, source: x, target: /x}]
    secrets: [s]
secrets: {s: {file: ./missing}}
",
        &Inputs::default(),
    )
    .unwrap_err();
    insta::assert_snapshot!(problems.join("\n"), @r#"
    service "a": credential_spec is not supported yet
    service "a": isolation is not supported yet
    service "a": image "demo-a" is not on this machine; build it first: hoist compose build a
    service "b": use_api_socket is not supported yet
    service "b": volumes of type npipe are not supported (/x)
    service "b": security_opt "colour=red" is not supported
    secret "s": file /work/missing was not read
    "#);
}

#[test]
fn devices_are_requests() {
    let desired = good(
        "
services:
  a:
    image: a
    gpus: all
    devices: ['vendor.com/class=one', '/dev/null:/dev/x']
    deploy: {resources: {reservations: {devices: [{driver: nvidia, count: 2, capabilities: [gpu, utility], options: {share: '0.5'}}],
      generic_resources: [{discrete_resource_spec: {kind: SSD, value: 3}}]}}}
",
    );
    let resources = &desired.services[0].spec.task.container.resources;
    let shown: Vec<String> = resources
        .device_requests
        .iter()
        .map(|one| {
            let driver = one.driver.as_deref().unwrap_or("any");
            format!("{driver} {:?} {:?} {:?} {:?}", one.count, one.device_ids, one.capabilities, one.options)
        })
        .collect();
    insta::assert_snapshot!(shown.join("\n"), @r#"
    cdi None ["vendor.com/class=one"] [] {}
    any Some(-1) [] [["gpu"]] {}
    nvidia Some(2) [] [["gpu", "utility"]] {"share": "0.5"}
    SSD Some(3) [] [] {}
    "#);
    assert_eq!(resources.devices.len(), 1);
}

#[test]
fn a_built_image_that_is_here_is_used() {
    let inputs = Inputs { built: vec!["demo-a".into()], ..Inputs::default() };
    let desired = desired("services: {a: {build: .}}", &inputs).unwrap();
    assert_eq!(desired.services[0].spec.task.container.image, "demo-a");
}

#[test]
fn a_service_becomes_a_container() {
    let desired = good(
        "
services:
  web:
    image: nginx
    command: [serve, --fast]
    environment: {A: '1', B: ''}
    restart: on-failure:3
    init: true
    pid: service:db
    networks: {front: {aliases: [www], ipv4_address: 10.0.0.5, priority: 10}, back: {}}
    ports: ['127.0.0.1:8000-8001:80-81/udp']
    volumes:
      - data:/data:ro
      - /host:/mnt
      - {type: tmpfs, target: /t, tmpfs: {size: 1m, mode: 0700}}
    tmpfs: ['/run:size=64k,noexec']
    mem_limit: 64m
    cpus: 0.5
    ulimits: {nofile: {soft: 10, hard: 20}}
    links: ['db:database']
    deploy: {mode: global, placement: {constraints: ['node.role==manager']}}
  db: {image: db}
networks: {front: {ipam: {config: [{subnet: 10.0.0.0/24}]}}, back: {internal: true}}
volumes: {data: {driver_opts: {type: tmpfs}}}
",
    );
    assert_eq!(desired.services.iter().map(|s| s.key.as_str()).collect::<Vec<_>>(), ["db", "web"]);
    let web = &desired.services[1];
    let container = &web.spec.task.container;
    assert_eq!(web.spec.mode, ServiceMode::Global);
    assert_eq!(web.bound_to, ["db"]);
    assert_eq!(container.namespaces.pid, NamespaceMode::Container("demo-db-1".into()));
    assert_eq!(container.network_mode, NetworkMode::Networks);
    let networks: Vec<_> = container.networks.iter().map(|n| (n.network.as_str(), n.aliases.join(","))).collect();
    assert_eq!(networks, [("demo_front", "web,www".into()), ("demo_back", "web".to_owned())]);
    assert_eq!(container.links, ["demo-db-1:database"]);
    assert_eq!(container.ports.len(), 2);
    assert_eq!(container.ports[1].host_port, Some((8001, 8001)));
    assert_eq!(container.resources.nano_cpus, Some(500_000_000));
    assert_eq!(container.resources.memory, Some(64 << 20));
    let mounts: Vec<_> =
        container.mounts.iter().map(|m| (m.kind, m.source.as_deref(), m.target.as_str(), m.read_only)).collect();
    assert_eq!(
        mounts,
        [
            (MountKind::Volume, Some("demo_data"), "/data", true),
            (MountKind::Bind, Some("/host"), "/mnt", false),
            (MountKind::Tmpfs, None, "/t", false),
            (MountKind::Tmpfs, None, "/run", false),
        ]
    );
    assert_eq!(container.mounts[3].tmpfs_options, ["noexec"]);
    assert!(desired.networks.iter().any(|n| n.spec.name == "demo_back" && n.spec.internal));
    assert_eq!(container.labels["com.docker.compose.project"], "demo");
    assert_eq!(container.labels["com.docker.compose.depends_on"], "db:service_started:true");
}

#[test]
fn secrets_and_configs_are_files() {
    let desired = good(
        "
services:
  a:
    image: a
    secrets: [plain]
    configs: [{source: site, target: /etc/site, uid: '7', mode: 0400}]
secrets: {plain: {environment: HOME_SECRET}}
configs: {site: {content: hello}}
"
        .replace("environment: HOME_SECRET", "external: true")
        .as_str(),
    );
    let files = &desired.services[0].spec.task.container.files;
    assert_eq!(files[0].target, "/run/secrets/plain");
    assert_eq!((files[1].target.as_str(), files[1].uid, files[1].mode), ("/etc/site", 7, Some(0o400)));
    assert_eq!(files[1].content, FileContent::Stored("config:site".into()));
    assert_eq!(desired.files.iter().find(|f| !f.secret).map(|f| f.data.clone()), Some(b"hello".to_vec()));
}

#[test]
fn a_project_that_came_as_json_is_on_its_networks() {
    let json = r#"{"name":"hello","services":{"store":{"image":"x","networks":{"default":null}}},
        "networks":{"default":{"name":"hello_default"}}}"#;
    let project: hoist_compose::model::Project = serde_json::from_str(json).unwrap();
    let desired = super::convert(&project, &[], &Inputs::default()).unwrap();
    assert_eq!(desired.services[0].networks, ["default"]);
    assert_eq!(desired.networks[0].spec.name, "hello_default");
}
