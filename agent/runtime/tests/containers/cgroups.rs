//! Limits, checked where the kernel keeps them.

use serde_json::{Value, json};

use crate::harness::Bundle;

fn value(bundle: &Bundle, controller: &str, files: [&str; 2]) -> String {
    let file = files.into_iter().find_map(|file| bundle.cgroup_file(controller, file)).unwrap();
    std::fs::read_to_string(file).unwrap().trim().to_owned()
}

#[test]
fn limits_are_set_updated_and_measured() {
    let mut bundle = Bundle::new("sleep 1000");
    bundle.spec["linux"]["resources"] = json!({
        "cpu": {"shares": 512, "quota": 20000, "period": 50000, "cpus": "0"},
        "memory": {"limit": 64 << 20, "swap": 64 << 20},
        "pids": {"limit": 33},
    });
    bundle.start();
    assert_eq!(value(&bundle, "pids", ["pids.max", "pids.max"]), "33");
    assert_eq!(value(&bundle, "memory", ["memory.limit_in_bytes", "memory.max"]), (64 << 20).to_string());
    assert!(["20000", "20000 50000"].contains(&value(&bundle, "cpu", ["cpu.cfs_quota_us", "cpu.max"]).as_str()));
    assert_eq!(value(&bundle, "cpuset", ["cpuset.cpus", "cpuset.cpus"]), "0");

    let args = ["update", "--memory", "32m", "--memory-swap", "48m", "--pids-limit", "44", "--cpu-quota", "-1", "{}"];
    let done = bundle.oci(&args);
    assert_eq!(done.code, 0, "{}", done.err);
    assert_eq!(value(&bundle, "pids", ["pids.max", "pids.max"]), "44");
    assert_eq!(value(&bundle, "memory", ["memory.limit_in_bytes", "memory.max"]), (32 << 20).to_string());
    assert!(["-1", "max 100000"].contains(&value(&bundle, "cpu", ["cpu.cfs_quota_us", "cpu.max"]).as_str()));
    // Up again, where the limit of the sum has to change first.
    let done = bundle.oci(&["update", "--memory", "96m", "--memory-swap", "96m", "{}"]);
    assert_eq!(done.code, 0, "{}", done.err);

    let events: Value = serde_json::from_str(&bundle.oci(&["events", "--stats", "{}"]).out).unwrap();
    assert_eq!(events["type"], "stats");
    assert!(events["data"]["memory"]["usage"]["usage"].as_u64().unwrap() > 0);
    assert_eq!(events["data"]["memory"]["usage"]["limit"], 96 << 20);
    assert_eq!(events["data"]["pids"]["limit"], 44);
    assert!(events["data"]["pids"]["current"].as_u64().unwrap() >= 1);
    assert!(events["data"]["cpu"]["usage"]["total"].as_u64().unwrap() > 0);
    let bad = bundle.oci(&["update", "--memory", "9m", "--memory-swap", "5m", "{}"]);
    assert_eq!(bad.code, 1);
    assert!(bad.err.contains("memory.swap"), "{}", bad.err);
}

#[test]
fn too_many_processes_and_too_much_memory() {
    let mut bundle = Bundle::new("for i in 1 2 3 4 5 6 7 8 9; do sleep 2 & done; wait");
    bundle.spec["linux"]["resources"]["pids"] = json!({"limit": 5});
    let done = bundle.run();
    assert!(done.err.contains("can't fork"), "{}", done.err);

    let mut bundle = Bundle::new("dd if=/dev/zero of=/dev/null bs=200M count=1; echo $?");
    bundle.spec["linux"]["resources"]["memory"] = json!({"limit": 16 << 20, "swap": 16 << 20});
    let done = bundle.run();
    assert_eq!(done.out, "137\n", "{}", done.err);
}

#[test]
fn want_of_memory_is_an_event() {
    use std::io::BufRead;
    let mut bundle = Bundle::new("read x < /data/go; dd if=/dev/zero of=/dev/null bs=200M count=1; sleep 1000");
    let go = bundle.root().join("data/go");
    rustix::fs::mkfifoat(rustix::fs::CWD, &go, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    bundle.spec["linux"]["resources"]["memory"] = json!({"limit": 16 << 20, "swap": 16 << 20});
    bundle.start();
    let mut events = bundle
        .command(&["events", "--interval", "50ms", &bundle.id])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufReader::new(events.stdout.take().unwrap()).lines().map_while(Result::ok);
    // With the first statistics the watch stands.
    assert!(lines.next().unwrap().contains("\"stats\""));
    std::fs::write(&go, "go\n").unwrap();
    let oom = lines.find(|line| line.contains("\"oom\""));
    let _ = bundle.oci(&["kill", "{}", "KILL"]);
    assert!(oom.is_some());
    // The watch ends with the container.
    assert!(events.wait().unwrap().success());
}

#[test]
fn devices_are_those_that_were_allowed() {
    let script = "for d in full mine; do head -c 1 /dev/$d > /dev/null 2>&1; echo $?; done; \
                  mknod /tmp/loop b 7 0; echo $?; head -c 1 /tmp/loop 2>&1; echo $?";
    let mut bundle = Bundle::new(script);
    bundle.spec["linux"]["devices"] = json!([{"path": "/dev/mine", "type": "c", "major": 10, "minor": 229}]);
    let done = bundle.run();
    let denied = "head: /tmp/loop: Operation not permitted";
    assert_eq!(done.out, format!("0\n1\n0\n{denied}\n1\n"), "{}", done.err);
    bundle.spec["linux"]["resources"]["devices"] = json!([
        {"allow": false, "access": "rwm"},
        {"allow": true, "type": "b", "major": 7, "minor": 0, "access": "r"},
    ]);
    let done = bundle.run();
    assert!(!done.out.contains("Operation not permitted"), "{}", done.out);
}

#[test]
fn a_cgroup_path_of_the_callers() {
    let mut bundle = Bundle::new("sleep 1000");
    let path = format!("/hoist/{}-outer/inner", bundle.id);
    bundle.spec["linux"]["cgroupsPath"] = json!(path);
    bundle.start();
    let text = std::fs::read_to_string(format!("/proc/{}/cgroup", bundle.pid())).unwrap();
    assert!(text.lines().all(|line| line.contains(":name=") || line.ends_with(&path)), "{text}");
    assert_eq!(bundle.oci(&["delete", "--force", "{}"]).code, 0);
    for entry in std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
        assert!(!entry.path().join(&path[1..]).exists());
        // The one above was made by the runtime too; it holds nothing and may be used again.
        let _ = std::fs::remove_dir(entry.path().join(format!("hoist/{}-outer", bundle.id)));
    }
    let mut bad = Bundle::new("true");
    bad.spec["linux"]["cgroupsPath"] = json!("system.slice:hoist:x");
    assert!(bad.run().err.contains("systemd"));
    bad.spec["linux"]["cgroupsPath"] = json!("/a/../../b");
    assert!(bad.run().err.contains("invalid cgroup path"));
}

#[test]
fn all_processes_are_killed_without_a_pid_namespace() {
    let mut bundle = Bundle::new("sleep 1000 & sleep 1000 & sleep 1000; true");
    bundle.namespace("pid", None);
    bundle.start();
    bundle.until("all processes", || bundle.oci(&["ps", "-f", "json", "{}"]).out.matches(',').count() == 3);
    let pids: Vec<i32> = serde_json::from_str(&bundle.oci(&["ps", "-f", "json", "{}"]).out).unwrap();
    assert_eq!(bundle.oci(&["kill", "--all", "{}", "KILL"]).code, 0);
    for pid in pids {
        bundle.until("the end", || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z ")
        });
    }
    assert_eq!(bundle.oci(&["delete", "{}"]).code, 0);
}

#[test]
fn limits_without_a_controller_are_refused() {
    let mut bundle = Bundle::new("true");
    bundle.spec["linux"]["resources"]["unified"] = json!({"../escape": "1"});
    let done = bundle.run();
    assert_eq!(done.code, 1);
    assert!(done.err.contains("unified"), "{}", done.err);
    bundle.spec["linux"]["resources"] = json!({"network": {"classID": 5}});
    let done = bundle.run();
    // Hosts with net_cls take it; this refusal names what is missing.
    assert!(done.code == 0 || done.err.contains("net_cls"), "{}", done.err);
}
