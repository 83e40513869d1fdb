//! Devices: declared by the node, described by CDI files; given, held, given back.

#![allow(clippy::unwrap_used)] // what a helper cannot do fails the test

mod support;

use std::path::{Path, PathBuf};

use support::{
    Host,
    cluster::{Cluster, until},
    run, wait_until,
};

/// A machine with two devices of one kind, a counter, and a directory for CDI files.
struct Lab {
    host: Host,
    cdi: PathBuf,
    _dir: tempfile::TempDir,
}

fn node(path: &Path, major: u64, minor: u64) -> String {
    run(std::process::Command::new("mknod").arg(path).args(["c", &major.to_string(), &minor.to_string()])).ok();
    path.to_string_lossy().into_owned()
}

impl Lab {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let cdi = dir.path().join("cdi");
        std::fs::create_dir_all(&cdi).unwrap();
        // Numbers of TUN, which no container may open by itself, and of the device that gives zeros.
        let nodes = [node(&dir.path().join("one"), 10, 200), node(&dir.path().join("two"), 1, 5)];
        let settings = serde_json::json!({
            "cdi-spec-dirs": [cdi],
            "node-generic-resources": ["SSD=1"],
            "devices": { "lab.example/gpu": { "nodes": nodes, "inside": "/dev/lab{index}", "shares": 2, "model": "Lab 9" } },
        });
        let file = dir.path().join("daemon.json");
        std::fs::write(&file, settings.to_string()).unwrap();
        let host = Host::with_flags(&["--config-file", file.to_str().unwrap()]);
        host.busybox();
        Self { host, cdi, _dir: dir }
    }

    fn start(&self, name: &str, flags: &[&str]) {
        let tail = ["busybox", "sleep", "1000"];
        self.host.hoist(&[&["run", "-d", "--name", name], flags, &tail].concat()).ok();
    }

    fn refused(&self, flags: &[&str]) -> String {
        self.host.hoist(&[&["run", "--rm"], flags, &["busybox", "true"]].concat()).fails(125)
    }

    fn holders(&self) -> String {
        self.host.hoist(&["device", "ls", "--format", "{{.Device}}:{{.Holders}}"]).ok().replace('\n', " ")
    }
}

#[test]
fn two_containers_have_two_devices_and_the_third_is_told_who_has_them() {
    let mut lab = Lab::new();
    lab.start("train-a", &["--gpus", "1"]);
    lab.start("train-b", &["--gpus", "1"]);
    assert_eq!(lab.holders(), "lab.example/gpu=0:train-a lab.example/gpu=1:train-b SSD=0: ");
    let told = lab.refused(&["--gpus", "1"]);
    assert!(told.contains("2 of 2 are held by train-a, train-b"), "{told}");

    // Each sees its own as the first, and no other.
    for name in ["train-a", "train-b"] {
        assert_eq!(lab.host.hoist(&["exec", name, "sh", "-c", "ls /dev | grep lab"]).ok(), "lab0\n");
    }
    lab.host.hoist(&["exec", "train-a", "sh", "-c", ": <>/dev/lab0"]).ok();
    let other = "mknod /dev/mine c 10 200 && : <>/dev/mine";
    assert_ne!(lab.host.hoist(&["exec", "train-b", "sh", "-c", other]).code, 0);
    let env = lab.host.hoist(&["exec", "train-b", "sh", "-c", "tr '\\0' '\\n' </proc/1/environ | grep RESOURCE"]).ok();
    assert_eq!(env, "DOCKER_RESOURCE_LAB_EXAMPLE_GPU=1\n");

    // A daemon that comes after knows who has what.
    lab.host.kill_daemon();
    lab.host.start_daemon();
    let told = lab.refused(&["--gpus", "device=1"]);
    assert!(told.contains("lab.example/gpu=1 was asked for: 1 of 1 is held by train-b"), "{told}");

    // What ends gives back; what starts again has to find something.
    lab.host.hoist(&["stop", "-t", "0", "train-a"]).ok();
    lab.start("train-c", &["--gpus", "device=0"]);
    let told = lab.host.hoist(&["start", "train-a"]).fails(1);
    assert!(told.contains("held by train-c, train-b") || told.contains("held by train-b, train-c"), "{told}");
    lab.host.hoist(&["rm", "-f", "train-b"]).ok();
    lab.host.hoist(&["start", "train-a"]).ok();
    assert_eq!(lab.holders(), "lab.example/gpu=0:train-c lab.example/gpu=1:train-a SSD=0: ");
}

#[test]
fn what_can_never_be_is_refused_when_the_container_is_made() {
    let lab = Lab::new();
    for (flags, words) in [
        (&["--gpus", "3"][..], "3 devices of lab.example/gpu were asked for, and this machine has 2"),
        (&["--gpus", "device=7"], "no such device: 7 (there are lab.example/gpu=0, lab.example/gpu=1)"),
        (&["--gpus", "driver=nvidia"], "could not select device driver \"nvidia\""),
        (&["--gpus", "\"options=colour=red\""], "option colour is not supported"),
        (&["--device", "vendor.com/class=one"], "no such device: vendor.com/class=one"),
    ] {
        let told = lab.host.hoist(&[&["create"], flags, &["busybox"]].concat()).fails(1);
        assert!(told.contains(words), "{flags:?}: {told}");
    }
    assert_eq!(lab.host.hoist(&["ps", "-aq"]).ok(), "");
    // Shares of one device leave the other whole.
    let half = ["--gpus", "\"options=share=0.5\""];
    lab.start("box-a", &half);
    lab.start("box-b", &half);
    lab.start("box-c", &["--gpus", "1"]);
    assert_eq!(lab.holders(), "lab.example/gpu=0:box-a (1/2), box-b (1/2) lab.example/gpu=1:box-c SSD=0: ");
}

#[test]
fn cdi_files_are_followed_and_their_mistakes_named() {
    let lab = Lab::new();
    let zero = lab.cdi.parent().unwrap().join("two");
    let spec = |env: &str| {
        serde_json::json!({
            "cdiVersion": "0.6.0", "kind": "vendor.com/card",
            "containerEdits": { "env": ["ANY=1"] },
            "devices": [
                { "name": "one", "containerEdits": {
                    "env": [format!("CARD={env}")],
                    "deviceNodes": [{ "path": "/dev/card", "hostPath": zero, "permissions": "r" }],
                    "mounts": [{ "hostPath": lab.cdi, "containerPath": "/specs", "options": ["ro", "bind"] }] } },
                { "name": "two", "containerEdits": { "env": ["CARD=two"] } },
                { "name": "all", "containerEdits": { "env": ["CARD=all"] } },
            ],
        })
        .to_string()
    };
    std::fs::write(lab.cdi.join("card.json"), spec("first")).unwrap();
    let show = "echo $ANY $CARD; head -c 2 /dev/card | wc -c; ls /specs; touch /specs/x || echo no";
    let seen = lab.host.hoist(&["run", "--rm", "--device", "vendor.com/card=one", "busybox", "sh", "-c", show]).ok();
    assert_eq!(seen, "1 first\n2\ncard.json\nno\n");
    // A file that changes is read again.
    std::fs::write(lab.cdi.join("card.json"), spec("second")).unwrap();
    let print = ["busybox", "sh", "-c", "echo $CARD"];
    assert_eq!(
        lab.host.hoist(&[&["run", "--rm", "--device", "vendor.com/card=one"], &print[..]].concat()).ok(),
        "second\n"
    );
    assert_eq!(
        lab.host.hoist(&[&["run", "--rm", "--device", "vendor.com/card=all"], &print[..]].concat()).ok(),
        "all\n"
    );
    lab.start("holder", &["--device", "vendor.com/card=all"]);
    let told = lab.refused(&["--device", "vendor.com/card=two"]);
    assert!(told.contains("device vendor.com/card=two was asked for: 1 of 1 is held by holder"), "{told}");

    let listed = lab.host.hoist(&["device", "cdi", "list"]).ok();
    assert!(listed.contains("vendor.com/card=one\nvendor.com/card=two\n"), "{listed}");
    let info = lab.host.hoist(&["info", "-f", "{{.CDISpecDirs}} {{json .DiscoveredDevices}}"]).ok();
    assert!(info.contains(lab.cdi.to_str().unwrap()) && info.contains("vendor.com/card=all"), "{info}");

    std::fs::write(
        lab.cdi.join("bad.yaml"),
        "cdiVersion: 0.6.0\nkind: a.b/c\ndevices:\n- {name: x, containerEdits: {envs: []}}\n",
    )
    .unwrap();
    let told = lab.refused(&["--device", "a.b/c=x"]);
    assert!(told.contains("bad.yaml: devices[0].containerEdits") && told.contains("envs"), "{told}");
}

#[test]
fn compose_services_have_devices_and_counters() {
    let lab = Lab::new();
    let file = "name: lab
services:
  gpu:
    image: busybox
    command: sleep 1000
    stop_grace_period: 0s
    gpus: [{count: 1}]
  reserved:
    image: busybox
    command: sleep 1000
    stop_grace_period: 0s
    deploy:
      resources:
        reservations:
          devices: [{capabilities: [gpu], device_ids: ['1']}]
          generic_resources: [{discrete_resource_spec: {kind: SSD, value: 1}}]
";
    let path = lab.host.write("compose.yaml", file);
    let path = path.to_str().unwrap();
    lab.host.hoist(&["compose", "-f", path, "up", "-d", "--pull", "never"]).ok();
    assert!(wait_until(
        || lab.holders() == "lab.example/gpu=0:lab-gpu-1 lab.example/gpu=1:lab-reserved-1 SSD=0:lab-reserved-1 "
    ));
    lab.host.hoist(&["compose", "-f", path, "down"]).ok();
    assert_eq!(lab.holders(), "lab.example/gpu=0: lab.example/gpu=1: SSD=0: ");
}

#[test]
fn a_device_is_set_aside_and_returned_and_a_specification_is_generated() {
    let lab = Lab::new();
    lab.host.hoist(&["device", "set-aside", "--reason", "fan is broken", "lab.example/gpu=0"]).ok();
    let told = lab.refused(&["--gpus", "2"]);
    assert!(told.contains("this machine has 1 (0 is set aside: fan is broken)"), "{told}");
    lab.start("box-a", &["--gpus", "1"]);
    assert_eq!(lab.holders(), "lab.example/gpu=0: lab.example/gpu=1:box-a SSD=0: ");
    lab.host.hoist(&["device", "return", "lab.example/gpu=0"]).ok();
    lab.start("box-b", &["--gpus", "1"]);
    assert!(lab.host.hoist(&["device", "set-aside", "lab.example/gpu=9"]).fails(1).contains("no such device"));

    let file = lab.host.path().join("lab.yaml");
    lab.host.hoist(&["device", "cdi", "generate", "--output", file.to_str().unwrap()]).ok();
    let spec = hoist_device::cdi::read(&file).unwrap();
    assert_eq!(spec.kind, "lab.example/gpu");
    let names: Vec<&str> = spec.devices.iter().map(|device| device.name.as_str()).collect();
    assert_eq!(names, ["0", "1", "all"]);
    assert!(
        lab.host
            .hoist(&["device", "cdi", "generate", "--kind", "nvidia.com/none"])
            .fails(1)
            .contains("nothing to generate")
    );
    let model = lab.host.hoist(&["device", "inspect", "-f", "{{.Model}} {{.Source}}", "lab.example/gpu=1"]).ok();
    assert_eq!(model, "Lab 9 declared\n");
}

#[test]
fn jobs_share_the_devices_with_plain_containers_by_turns() {
    let lab = Lab::new();
    let show = |job: &str| lab.host.hoist(&["job", "show", job, "--format", "{{.State}}"]).ok().trim().to_owned();
    // Two of two, then one that waits for them, and one that is too large for ever.
    let both = ["busybox", "sh", "-c", "ls /dev | grep lab; until [ -e /go ]; do sleep 0.1; done"];
    assert_eq!(lab.host.hoist(&[&["job", "submit", "--gpus", "2"][..], &both[..]].concat()).ok(), "1\n");
    let one = ["job", "submit", "--gpus", "1", "busybox", "sh", "-c", "ls /dev | grep lab"];
    assert_eq!(lab.host.hoist(&one).ok(), "2\n");
    let told = lab.host.hoist(&["job", "submit", "--gpus", "3", "busybox", "true"]).fails(125);
    assert!(told.contains("no node has 3 gpu; the most that could be had: 2 gpu"), "{told}");
    let running = || lab.host.hoist(&["ps", "-q", "--filter", "label=hoist.job.number=1"]).ok();
    assert!(wait_until(|| show("1") == "running" && !running().is_empty()));
    assert_eq!(show("2"), "pending");
    lab.host.hoist(&["exec", running().trim(), "touch", "/go"]).ok();
    assert_eq!(lab.host.hoist(&["job", "wait", "1", "2"]).ok(), "1 completed (0)\n2 completed (0)\n");
    assert_eq!(lab.host.hoist(&["job", "logs", "1"]).ok(), "lab0\nlab1\n");
    assert_eq!(lab.host.hoist(&["job", "logs", "2"]).ok(), "lab0\n", "it sees its own as the first, and no other");
    assert!(wait_until(|| lab.holders() == "lab.example/gpu=0: lab.example/gpu=1: SSD=0: "), "{}", lab.holders());
}

#[test]
fn jobs_ask_for_a_model_a_share_and_a_device_by_its_name() {
    let lab = Lab::new();
    let show = |job: &str| lab.host.hoist(&["job", "show", job, "--format", "{{.State}}: {{.Reason}}"]).ok();
    let submit = |flags: &[&str]| {
        let tail = ["busybox", "sh", "-c", "until [ -e /go ]; do sleep 0.1; done"];
        lab.host.hoist(&[&["job", "submit", "--grace", "1s"], flags, &tail].concat())
    };
    assert_eq!(submit(&["--gpus", r#""options=model=lab 9,share=0.5""#]).ok(), "1\n");
    assert_eq!(submit(&["--device", "lab.example/gpu=1"]).ok(), "2\n");
    assert_eq!(submit(&["--gpus", r#""options=share=0.5""#]).ok(), "3\n");
    assert_eq!(submit(&["--gpus", "1"]).ok(), "4\n");
    assert!(wait_until(|| ["1", "2", "3"].iter().all(|job| show(job).starts_with("running"))), "{}", show("3"));
    assert!(wait_until(|| lab.holders().contains("(1/2)")), "{}", lab.holders());
    let holders = lab.holders();
    let shared = holders.split(" lab.example").next().unwrap();
    assert_eq!(shared.matches("(1/2)").count(), 2, "both shares are of the first device: {holders}");
    assert!(wait_until(|| show("4").contains("1 node has too little free")), "{}", show("4"));
    let told = submit(&["--gpus", r#""options=model=lab 10""#]).fails(125);
    assert!(told.contains("2 devices of lab.example/gpu") || told.contains("that will do, of 2"), "{told}");
    assert!(told.contains("the nearest that can be met is 1 gpu"), "{told}");
    assert!(submit(&["--gpus", "all"]).fails(125).contains("whole-nodes"));
    for job in ["1", "2", "3", "4"] {
        lab.host.hoist(&["job", "cancel", job]).ok();
    }
}

#[test]
fn commands_of_builds_have_devices_that_are_allowed() {
    let lab = Lab::new();
    let zero = lab.cdi.parent().unwrap().join("two");
    let card = |name: &str, notes: serde_json::Value| {
        serde_json::json!({ "name": name, "annotations": notes, "containerEdits": {
            "env": [format!("CARD_{name}=1")],
            "deviceNodes": [{ "path": format!("/dev/{name}"), "hostPath": zero, "permissions": "r" }],
            "mounts": [{ "hostPath": lab.cdi, "containerPath": "/specs", "options": ["ro", "bind"] }] } })
    };
    let class = serde_json::json!({ "org.mobyproject.buildkit.device.class": "fast" });
    let free = serde_json::json!({ "org.mobyproject.buildkit.device.autoallow": "true" });
    let spec = serde_json::json!({
        "cdiVersion": "0.6.0", "kind": "vendor.com/card",
        "devices": [card("one", free), card("two", class.clone()), card("three", class)],
    });
    std::fs::write(lab.cdi.join("card.json"), spec.to_string()).unwrap();
    let build = |file: &str, flags: &[&str]| {
        lab.host.write("context/Dockerfile", &format!("FROM busybox\n{file}\n"));
        let head = ["build", "--network", "none", "--progress", "plain", "-t", "made"];
        lab.host.hoist(&[&head[..], flags, &["context"]].concat())
    };
    let show = "echo $(ls /dev | grep -E 'one|two|three|lab') $(env | grep -c CARD_) > /seen";
    let seen = || lab.host.hoist(&["run", "--rm", "made", "sh", "-c", "test ! -e /specs && cat /seen"]).stdout;
    // Its owner lets anybody have the first; the others must be allowed, by their names or by what they were asked for.
    build(&format!("RUN --device=vendor.com/card {show} && head -c 1 /dev/one && ls /specs"), &[]).ok();
    assert_eq!(seen(), "one 1\n");
    let two = format!("RUN --device=vendor.com/card=two,required {show}");
    let told = build(&two, &[]).fails(1);
    assert!(told.contains("Dockerfile:2") && told.contains("--allow device=vendor.com/card=two"), "{told}");
    let told = build(&two, &["--allow", "device=vendor.com/card=three"]).fails(1);
    assert!(told.contains("is not allowed"), "{told}");
    for (asked, allowed, want) in [
        ("vendor.com/card=two", "device=vendor.com/card=two", "two 1\n"),
        ("vendor.com/card=three", "device=vendor.com/card", "three 1\n"),
        ("fast", "device=fast", "three two 2\n"),
        ("vendor.com/card=*", "device", "one three two 3\n"),
        ("lab.example/gpu=1", "device=lab.example/gpu=1", "lab0 0\n"),
    ] {
        build(&format!("RUN --device={asked} {show}"), &["--allow", allowed]).ok();
        assert_eq!(seen(), want, "{asked}");
    }
    // A device is part of what a step is; the same step is known.
    let again = build(&format!("RUN --device=vendor.com/card=* {show}"), &["--allow", "device"]);
    assert!(again.stderr.contains("CACHED"), "{}", again.stderr);
    // What is not there is missed only by those that need it.
    let none = build(&format!("RUN --device=vendor.com/none {show}"), &[]);
    assert!(
        none.stderr.contains("WARNING: Dockerfile:2:1: --device=vendor.com/none: no such device"),
        "{}",
        none.stderr
    );
    none.ok();
    let told = build("RUN --device=vendor.com/none,required true", &[]).fails(1);
    assert!(told.contains("Dockerfile:2") && told.contains("there are vendor.com/card=one"), "{told}");
    let told = build("RUN true", &["--allow", "devices"]).fails(1);
    assert!(told.contains("unknown entitlement \"devices\""), "{told}");
    // Commands that want the same wait for each other, but not for a container.
    let hold = "test ! -e /cache/busy && touch /cache/busy && sleep 0.2 && /bin/busybox rm /cache/busy";
    let hold = format!("RUN --device=vendor.com/card=one --mount=type=cache,id=both,target=/cache {hold}");
    build(&format!("{hold}\nFROM busybox\n{hold} && true\nCOPY --from=0 /etc/passwd /both"), &[]).ok();
    lab.start("holder", &["--device", "vendor.com/card=one"]);
    let told = build(&format!("{hold} && true; true"), &[]).fails(1);
    assert!(told.contains("1 of 1 is held by holder"), "{told}");
    lab.host.hoist(&["rm", "-f", "holder"]).ok();
    build(&format!("{hold} && true; true"), &[]).ok();
}

#[test]
fn services_of_a_cluster_have_devices_that_nobody_else_has() {
    let dir = tempfile::tempdir().unwrap();
    let nodes = [node(&dir.path().join("one"), 10, 200), node(&dir.path().join("two"), 1, 5)];
    let settings = serde_json::json!({
        "devices": { "lab.example/gpu": { "nodes": nodes, "inside": "/dev/lab{index}", "model": "Lab 9" } },
    });
    let file = dir.path().join("daemon.json");
    std::fs::write(&file, settings.to_string()).unwrap();
    let mut cluster = Cluster::new(0);
    for _ in 0..2 {
        cluster.add_with(&["--config-file", file.to_str().unwrap()]).busybox();
    }
    cluster.init(&[]);
    cluster.join(1, "worker");
    cluster.wait_for(0, 2, 1);
    let (manager, worker) = (&cluster.hosts[0], &cluster.hosts[1]);
    let inspect = |what: &str| manager.hoist(&["node", "inspect", "-f", what, &cluster.node_id(1)]).ok();
    assert!(until(|| inspect("{{json .Description.Devices}}").contains("\"Model\":\"Lab 9\"")));
    assert!(inspect("{{json .Description.Resources.GenericResources}}").contains("\"Value\":2"));

    // A container that is no task has one of the four; the manager hears of it.
    worker.hoist(&["run", "-d", "--name", "by-hand", "--gpus", "1", "busybox", "sleep", "1000"]).ok();
    assert!(until(|| inspect("{{json .Description.Devices}}").contains("by-hand")));

    let create = |name: &str, count: u32, flags: &[&str]| {
        let gpus = format!("gpu={count}");
        let always = ["service", "create", "-d", "--no-resolve-image", "--name", name, "--generic-resource", &gpus];
        let tail = ["--stop-grace-period", "0s", "busybox", "sleep", "1000"];
        manager.hoist(&[&always[..], flags, &tail[..]].concat())
    };
    let told = create("large", 3, &[]).fails(1);
    assert!(told.contains("2 nodes have fewer than 3 gpu; the nearest that can be met is 2 gpu on"), "{told}");

    create("train", 1, &["--replicas", "3"]).ok();
    let holders = |host: &Host| host.hoist(&["device", "ls", "--format", "{{.Holders}}"]).ok();
    let held = || {
        let all = holders(manager) + &holders(worker);
        let mut names: Vec<String> = all.lines().map(str::to_owned).collect();
        names.sort();
        names
    };
    assert!(until(|| held().iter().filter(|name| name.starts_with("train.")).count() == 3), "{:?}", held());
    // Each task sees its own device as the first, and no other.
    for host in [manager, worker] {
        for name in holders(host).lines().filter(|name| name.starts_with("train.")) {
            assert_eq!(host.hoist(&["exec", name, "sh", "-c", "ls /dev | grep lab"]).ok(), "lab0\n");
        }
    }
    // A fourth waits, and says why; it goes on when the container by hand has ended.
    create("late", 1, &[]).ok();
    let state = || manager.hoist(&["service", "ps", "--no-trunc", "late", "--format", "{{.CurrentState}} {{.Error}}"]);
    assert!(until(|| state().stdout.contains("2 nodes have no free gpu")), "{}", state().stdout);
    worker.hoist(&["rm", "-f", "by-hand"]).ok();
    assert!(until(|| holders(worker).contains("late.1.")), "{:?}", held());
    // A job waits for services as for other jobs.
    let job = ["job", "submit", "--gpus", "1", "busybox", "sh", "-c", "ls /dev | grep lab"];
    assert_eq!(manager.hoist(&job).ok(), "1\n");
    let job = || manager.hoist(&["job", "show", "1", "--format", "{{.State}}"]).ok().trim().to_owned();
    assert!(until(|| job() == "pending"));
    manager.hoist(&["service", "rm", "late"]).ok();
    assert!(until(|| job() == "completed"), "{}", manager.hoist(&["job", "show", "1"]).ok());
    manager.hoist(&["service", "rm", "train"]).ok();
    assert!(until(|| held().iter().all(String::is_empty)), "{:?}", held());
}
