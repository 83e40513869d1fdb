//! What devices do and what is wrong with them, with devices that the node declares: measured, shown, counted for those
//! who hold them, set aside, left by their tasks, given again.

#![allow(clippy::unwrap_used)] // what a helper cannot do fails the test

mod support;

use std::path::Path;

use serde_json::{Value, json};
use support::{
    Host,
    cluster::{Cluster, until},
    run, wait_until,
};

/// A directory with two device nodes, and settings for a daemon with them; whatever is measured is written there.
fn settings(dir: &Path) -> String {
    let nodes: Vec<String> = [("one", "10", "200"), ("two", "1", "5")]
        .iter()
        .map(|(name, major, minor)| {
            let path = dir.join(name);
            run(std::process::Command::new("mknod").arg(&path).args(["c", major, minor])).ok();
            path.display().to_string()
        })
        .collect();
    let settings = json!({
        "devices": { "lab.example/gpu": {
            "nodes": nodes, "inside": "/dev/lab{index}", "model": "Lab 9", "memory": 16_u64 << 30, "shares": 2,
            "figures": dir.join("{index}.json"), "health": dir.join("{index}.health"),
        } },
        "metrics-addr": "127.0.0.1:9323",
    });
    let file = dir.join("daemon.json");
    std::fs::write(&file, settings.to_string()).unwrap();
    file.display().to_string()
}

fn measure(dir: &Path, index: u32, figures: &Value) {
    // As a whole: a reader sees the old or the new one.
    let next = dir.join("next");
    std::fs::write(&next, figures.to_string()).unwrap();
    std::fs::rename(next, dir.join(format!("{index}.json"))).unwrap();
}

fn top(host: &Host) -> Vec<String> {
    let format = "{{.Device}}|{{.Utilisation}}|{{.Memory}}|{{.Power}}|{{.Temperature}}|{{.State}}|{{.Holders}}";
    let text = host.hoist(&["gpu", "top", "--no-stream", "--format", format]).ok();
    text.lines().map(|line| line.replace("lab.example/gpu=", "")).collect()
}

#[test]
fn devices_are_measured_and_counted_for_those_who_hold_them() {
    let dir = tempfile::tempdir().unwrap();
    let file = settings(dir.path());
    let mut cluster = Cluster::new(0);
    cluster.add_with(&["--config-file", &file]).busybox();
    let host = &cluster.hosts[0];
    assert_eq!(top(host), ["0||16GiB|||free|", "1||16GiB|||free|"]);
    let job = ["job", "submit", "--gpus", "1", "--grace", "1s", "busybox", "sleep", "1000"];
    assert_eq!(host.hoist(&job).ok(), "1\n");
    let container = || host.hoist(&["ps", "-q", "--no-trunc", "--filter", "label=hoist.job.number=1"]).ok();
    assert!(until(|| !container().is_empty()));
    let pid = host.hoist(&["inspect", "-f", "{{.State.Pid}}", container().trim()]).ok();
    let figures = json!({
        "utilisation": 25, "memory-used": "3g", "power": 200, "temperature": 61, "clock": 1400,
        "processes": [{ "pid": pid.trim().parse::<u32>().unwrap(), "memory": "2g" }],
    });
    measure(dir.path(), 0, &figures);
    let expected = "0|25%|3GiB / 16GiB|200W|61C|held|job 1 of root";
    assert!(until(|| top(host)[0] == expected), "{:?}", top(host));
    // The process is known with its container and the person.
    let text = host.hoist(&["gpu", "top", "--no-stream"]).ok();
    let process = text.lines().last().unwrap();
    assert!(process.contains(pid.trim()) && process.contains("root") && process.contains("job-1"), "{text}");
    assert!(process.contains("2GiB") && process.contains("sleep"), "{text}");
    let shown: Value = serde_json::from_str(
        host.hoist(&["gpu", "top", "--no-stream", "--format", "json"]).ok().lines().next().unwrap(),
    )
    .unwrap();
    assert_eq!(shown["Utilisation"], "25%");
    // Where a container has devices, stats has columns for them; elsewhere they are missing.
    let stats = host.hoist(&["stats", "--no-stream"]).ok();
    assert!(stats.contains("GPU %") && stats.contains("25.00%") && stats.contains("3GiB / 16GiB"), "{stats}");
    let page = host.get("http://127.0.0.1:9323/metrics");
    for line in [
        "hoist_device_utilization_ratio{kind=\"lab.example/gpu\",device=\"0\"} 0.25",
        "hoist_device_memory_used_bytes{kind=\"lab.example/gpu\",device=\"0\"} 3221225472",
        "hoist_device_power_watts{kind=\"lab.example/gpu\",device=\"0\"} 200",
        "hoist_device_set_aside{kind=\"lab.example/gpu\",device=\"1\",faulty=\"false\"} 0",
    ] {
        assert!(page.contains(line), "{line}\n{page}");
    }
    // What the job has used is counted when it has ended; the manager hears of it with every heartbeat.
    let measured = || {
        let one: Value = serde_json::from_str(&host.hoist(&["device", "inspect", "lab.example/gpu=0"]).ok()).unwrap();
        one[0]["Holders"][0]["Use"]["MeasuredMillis"].as_u64().unwrap_or(0)
    };
    assert!(until(|| measured() > 12_000), "{}", measured());
    assert!(
        host.get("http://127.0.0.1:9323/metrics")
            .contains("hoist_container_device_energy_joules_total{container=\"job-1"),
        "per task"
    );
    host.hoist(&["job", "cancel", "1"]).ok();
    // It ends as a cancelled job does.
    host.hoist(&["job", "wait", "1"]).fails(1);
    let shown: Value = serde_json::from_str(&host.hoist(&["job", "show", "--format", "json", "1"]).ok()).unwrap();
    let used = &shown[0]["status"]["used"];
    let (all, busy) = (used["MeasuredMillis"].as_f64().unwrap(), used["BusyMillis"].as_f64().unwrap());
    assert!((busy / all - 0.25).abs() < 0.01, "{used}");
    // 200 watts for as long.
    let energy = used["EnergyMillijoules"].as_f64().unwrap();
    assert!((energy / all - 200.0).abs() < 20.0, "{used}");
    let csv = host.hoist(&["usage", "--format", "csv"]).ok();
    assert!(csv.starts_with("user,jobs,device_hours,cpu_hours,idle_percent,energy_kwh\nroot,1,"), "{csv}");
    assert!(csv.lines().last().unwrap().contains(",75.0,0.0"), "{csv}");
    assert!(host.hoist(&["usage"]).ok().contains("75.0%"));
}

#[test]
fn a_job_leaves_a_faulty_device_and_the_device_returns() {
    let dir = tempfile::tempdir().unwrap();
    let file = settings(dir.path());
    let mut cluster = Cluster::new(0);
    cluster.add_with(&["--config-file", &file]).busybox();
    let host = &cluster.hosts[0];
    host.hoist(&["job", "submit", "--gpus", "1", "--grace", "1s", "busybox", "sleep", "1000"]).ok();
    assert!(until(|| top(host)[0].ends_with("|held|job 1 of root")), "{:?}", top(host));
    std::fs::write(dir.path().join("0.health"), "fan stands still\n").unwrap();
    assert!(until(|| top(host)[1].ends_with("|held|job 1 of root")), "{:?}", top(host));
    assert_eq!(top(host)[0], "0||16GiB|||faulty: fan stands still|");
    let show = host.hoist(&["job", "show", "1", "--format", "{{.State}} {{.Attempts}}"]).ok();
    assert_eq!(show, "running 2\n");
    // Nobody is given it, by hand neither.
    let told = host.hoist(&["run", "--rm", "--gpus", "1", "busybox", "true"]).fails(125);
    assert!(told.contains("0 is set aside: fan stands still") || told.contains("held by"), "{told}");
    // It returns by itself when it has been well for a while.
    std::fs::remove_file(dir.path().join("0.health")).unwrap();
    assert!(until(|| top(host)[0].contains("|free|")), "{:?}", top(host));
    // By command too: what holds it keeps it.
    host.hoist(&["gpu", "drain", "--reason", "to be cleaned", "lab.example/gpu=1"]).ok();
    assert_eq!(top(host)[1], "1||16GiB|||set aside: to be cleaned|job 1 of root");
    host.hoist(&["gpu", "return", "lab.example/gpu=1"]).ok();
    assert!(wait_until(|| top(host)[1].contains("|held|")));
    assert!(host.hoist(&["gpu", "drain", "lab.example/gpu=7"]).fails(1).contains("no such device"));
}

#[test]
fn a_manager_shows_the_devices_of_all_nodes_and_services_leave_faulty_ones() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut cluster = Cluster::new(0);
    for dir in &dirs {
        cluster.add_with(&["--config-file", &settings(dir.path())]).busybox();
    }
    cluster.init(&[]);
    cluster.join(1, "worker");
    cluster.wait_for(0, 2, 1);
    let (manager, worker) = (&cluster.hosts[0], &cluster.hosts[1]);
    measure(dirs[1].path(), 1, &json!({ "utilisation": 80 }));
    let list = |flags: &[&str]| {
        let format = ["gpu", "ls", "--format", "{{.Node}} {{.Device}} {{.Utilisation}} {{.State}}"];
        manager.hoist(&[&format[..], flags].concat()).ok()
    };
    assert!(until(|| list(&[]).contains("80%")), "{}", list(&[]));
    assert_eq!(list(&[]).lines().count(), 4, "{}", list(&[]));
    // A worker knows its own alone, and says so.
    let own = worker.hoist(&["gpu", "ls", "-q"]);
    assert!(own.stderr.contains("only this node's"), "{}", own.stderr);
    assert_eq!(own.ok().lines().count(), 2);
    // Three of the four are taken; the fourth is where a task goes whose device is faulty.
    let create = ["service", "create", "-d", "--no-resolve-image", "--name", "train", "--generic-resource", "gpu=1"];
    let tail = ["--replicas", "3", "--stop-grace-period", "0s", "busybox", "sleep", "1000"];
    manager.hoist(&[&create[..], &tail[..]].concat()).ok();
    let held = |host: &Host| top(host).iter().filter(|line| line.contains("|held|train.")).count();
    let both = || {
        let all = manager.hoist(&["gpu", "top", "--no-stream", "--format", "{{.Holders}}"]).ok();
        all.lines().filter(|line| line.starts_with("train.")).count()
    };
    assert!(until(|| both() == 3), "{}", list(&[]));
    assert!(held(manager) >= 1);
    let place = usize::from(!top(manager)[0].contains("|held|train."));
    std::fs::write(dirs[0].path().join(format!("{place}.health")), "XID 79").unwrap();
    let local = || manager.hoist(&["device", "ls", "--format", "{{.State}}: {{.Holders}}"]).ok();
    let moved = || local().lines().nth(place).is_some_and(|line| line == "set aside: XID 79: ");
    assert!(until(|| moved() && both() == 3), "{}\n{}", local(), list(&[]));
    // A device of another node is set aside from here.
    let name = cluster.node_id(1);
    manager.hoist(&["gpu", "drain", "--node", &name, "lab.example/gpu=0"]).ok();
    assert!(until(|| list(&["--node", &name]).contains("set aside: by command")), "{}", list(&[]));
    manager.hoist(&["gpu", "return", "--node", &name, "lab.example/gpu=0"]).ok();
    assert!(until(|| !list(&["--node", &name]).contains("set aside")), "{}", list(&[]));
}

#[test]
fn a_job_that_does_not_use_its_device_is_warned_and_ended() {
    let dir = tempfile::tempdir().unwrap();
    let file = settings(dir.path());
    let mut cluster = Cluster::new(0);
    cluster.add_with(&["--config-file", &file]).busybox();
    let host = &cluster.hosts[0];
    let rules = |grace: u32| {
        let text =
            format!("partitions:\n  - {{name: all, idle_percent: 10, idle_minutes: 0, idle_grace_minutes: {grace}}}\n");
        std::fs::write(dir.path().join("rules.yaml"), text).unwrap();
        host.hoist(&["queue", "rules", &dir.path().join("rules.yaml").display().to_string()]).ok();
    };
    // The queue looks again whenever something changes.
    let nudge = || host.hoist(&["job", "submit", "--hold", "busybox", "true"]).ok();
    let shown = |job: &str| host.hoist(&["job", "show", job]).ok();
    rules(60);
    measure(dir.path(), 0, &json!({ "utilisation": 3 }));
    measure(dir.path(), 1, &json!({ "utilisation": 80 }));
    let wait = "trap 'echo warned' USR1; while true; do sleep 0.1; done";
    for name in ["first", "second"] {
        let flags =
            ["job", "submit", "--name", name, "--gpus", "1", "--grace", "0s", "--time", "10h", "--signal", "USR1"];
        host.hoist(&[&flags[..], &["busybox", "sh", "-c", wait]].concat()).ok();
    }
    let warned =
        "its devices worked less than 10 % of the time for 0 minutes: it is ended in 60 minutes unless it uses them";
    assert!(
        until(|| {
            nudge();
            std::thread::sleep(std::time::Duration::from_millis(500));
            shown("first").contains(warned) || shown("second").contains(warned)
        }),
        "{}",
        shown("first")
    );
    let (idle, busy) = if shown("first").contains(warned) { ("first", "second") } else { ("second", "first") };
    assert!(until(|| host.hoist(&["job", "logs", idle]).ok().contains("warned")));
    rules(0);
    assert!(until(|| shown(idle).contains("cancelled")), "{}", shown(idle));
    assert!(shown(idle).contains("its devices worked less than 10 % of the time for 0 minutes\n"), "{}", shown(idle));
    assert!(shown(busy).contains("running") && !host.hoist(&["job", "logs", busy]).ok().contains("warned"));
}
