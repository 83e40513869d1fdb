//! Create, start, signal, delete; and what goes wrong on the way.

use serde_json::json;

use crate::harness::{Bundle, Change};

#[test]
fn a_container_is_created_started_killed_and_deleted() {
    let bundle = Bundle::new("echo begun; exec sleep 1000");
    let pid_file = bundle.dir.path().join("pid");
    assert_eq!(bundle.create(&["--pid-file", pid_file.to_str().unwrap()]), 0);
    let state = bundle.state();
    assert_eq!((state["status"].as_str(), state["id"].as_str()), (Some("created"), Some(bundle.id.as_str())));
    assert_eq!(bundle.file("pid"), state["pid"].to_string());
    assert_eq!(bundle.file("out"), "");
    assert!(bundle.has_cgroup());

    // Later changes in the bundle have no effect.
    std::fs::write(bundle.dir.path().join("config.json"), "{}").unwrap();
    assert_eq!(bundle.oci(&["start", "{}"]).code, 0);
    assert_eq!(bundle.state()["status"], "running");
    bundle.until("the output", || bundle.file("out") == "begun\n");

    let again = bundle.oci(&["start", "{}"]);
    assert_eq!(again.code, 1);
    assert!(again.err.contains("it is running"), "{}", again.err);
    let early = bundle.oci(&["delete", "{}"]);
    assert_eq!(early.code, 1);
    assert_eq!(bundle.state()["status"], "running");

    assert_eq!(bundle.oci(&["kill", "{}", "KILL"]).code, 0);
    bundle.until("the end", || bundle.state()["status"] == "stopped");
    assert_eq!(bundle.oci(&["kill", "{}", "0"]).code, 1);
    assert_eq!(bundle.oci(&["delete", "{}"]).code, 0);
    assert_eq!(bundle.oci(&["state", "{}"]).code, 1);
    assert!(!bundle.has_cgroup());
    assert_eq!(std::fs::read_dir(bundle.dir.path().join("state")).unwrap().count(), 0);
}

#[test]
fn run_returns_the_exit_code_and_leaves_nothing() {
    let bundle = Bundle::new("echo out; echo err >&2; exit 7");
    let done = bundle.run();
    assert_eq!((done.code, done.out.as_str(), done.err.as_str()), (7, "out\n", "err\n"));
    assert_eq!(bundle.oci(&["state", "{}"]).code, 1);
    assert!(!bundle.has_cgroup());
    let killed = Bundle::new("kill -9 $$").run();
    // The first process of a pid namespace cannot kill itself.
    assert_eq!(killed.code, 0);
}

#[test]
fn an_id_is_used_once() {
    let bundle = Bundle::new("sleep 1000");
    bundle.start();
    assert_eq!(bundle.create(&[]), 1);
    assert!(bundle.file("err").contains("exists already"));
    assert_eq!(bundle.state()["status"], "running");
    assert_eq!(bundle.oci(&["state", "../x"]).code, 1);
}

#[test]
fn what_fails_leaves_nothing_behind() {
    let cases: [(&str, Change); 6] = [
        ("not found", |bundle| bundle.args(&["/bin/nothing"])),
        ("cannot be executed", |bundle| bundle.args(&["/etc"])),
        ("No such file or directory", |bundle| {
            bundle
                .mount(json!({"destination": "/x", "type": "bind", "source": "/no/such/source", "options": ["bind"]}));
        }),
        ("intelRdt", |bundle| bundle.spec["linux"]["intelRdt"] = json!({"closID": "x"})),
        ("ociVersion", |bundle| bundle.spec["ociVersion"] = json!("2.0.0")),
        ("root file system", |bundle| bundle.spec["root"]["path"] = json!("nowhere")),
    ];
    for (message, spoil) in cases {
        let mut bundle = Bundle::new("true");
        spoil(&mut bundle);
        for done in [bundle.run(), {
            let code = bundle.create(&[]);
            crate::harness::Done { code, out: String::new(), err: bundle.file("err") }
        }] {
            assert_eq!(done.code, 1, "{message}: {}", done.err);
            assert!(done.err.contains(message), "{message}: {}", done.err);
        }
        assert!(!bundle.has_cgroup(), "{message}");
        let state = bundle.dir.path().join("state");
        let left = std::fs::read_dir(state).map(Iterator::count).unwrap_or(0);
        assert_eq!(left, 0, "{message}");
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(bundle.dir.path().to_str().unwrap()), "{message}");
    }
}

#[test]
fn exec_runs_a_further_process() {
    let bundle = Bundle::new("sleep 1000; true");
    bundle.start();
    let done = bundle.oci(&["exec", "{}", "/bin/sh", "-c", "hostname; cat /proc/1/cmdline; exit 5"]);
    assert_eq!((done.code, done.out.as_str()), (5, "box\n/bin/sh\0-c\0sleep 1000; true\0"));
    let args = ["exec", "--user", "7:8", "--additional-gids", "9", "--cwd", "/tmp", "--env", "A=b c", "{}"];
    let done = bundle.oci(&[&args[..], &["sh", "-c", "id -u; id -G; pwd; echo $A"]].concat());
    assert_eq!(done.out, "7\n8 9\n/tmp\nb c\n", "{}", done.err);
    let own = std::fs::read_to_string(format!("/proc/{}/cgroup", bundle.pid())).unwrap();
    let there = bundle.oci(&["exec", "{}", "cat", "/proc/1/cgroup", "/proc/self/cgroup"]).out;
    let (first, second) = there.split_at(there.len() / 2);
    assert_eq!(first, second, "the same cgroups, seen from inside");
    assert!(own.contains(&bundle.id));
    let missing = bundle.oci(&["exec", "{}", "nothing"]);
    assert_eq!(missing.code, 255);
    assert!(missing.err.contains("not found"), "{}", missing.err);
    // Each of those has gone, and none is left in the container.
    bundle
        .until("the end of all execs", || bundle.oci(&["ps", "--format", "json", "{}"]).out.matches(',').count() == 1);
}

#[test]
fn a_process_can_be_described_by_a_file() {
    let bundle = Bundle::new("sleep 1000");
    bundle.start();
    let file = bundle.dir.path().join("process.json");
    let process = json!({"user": {"uid": 3, "gid": 4, "umask": 18}, "args": ["sh", "-c", "id -u; umask"],
        "env": ["PATH=/bin"], "cwd": "/"});
    std::fs::write(&file, process.to_string()).unwrap();
    let done = bundle.oci(&["exec", "--process", file.to_str().unwrap(), "{}"]);
    assert_eq!(done.out, "3\n0022\n", "{}", done.err);
}

#[test]
fn a_paused_container_stands_still() {
    let bundle = Bundle::new("sleep 1000");
    bundle.start();
    assert_eq!(bundle.oci(&["pause", "{}"]).code, 0);
    assert_eq!(bundle.state()["status"], "paused");
    let refused = bundle.oci(&["exec", "{}", "true"]);
    assert_eq!(refused.code, 255);
    assert!(refused.err.contains("it is paused"), "{}", refused.err);
    assert_eq!(bundle.oci(&["resume", "{}"]).code, 0);
    assert_eq!(bundle.state()["status"], "running");
    assert_eq!(bundle.oci(&["resume", "{}"]).code, 1);
    assert_eq!(bundle.oci(&["pause", "{}"]).code, 0);
    assert_eq!(bundle.oci(&["delete", "--force", "{}"]).code, 0);
    assert!(!bundle.has_cgroup());
}

#[test]
fn containers_are_listed() {
    let bundle = Bundle::new("sleep 1000");
    bundle.start();
    assert_eq!(bundle.oci(&["list", "--quiet"]).out, format!("{}\n", bundle.id));
    let list: serde_json::Value = serde_json::from_str(&bundle.oci(&["list", "--format", "json"]).out).unwrap();
    assert_eq!(list[0]["status"], "running");
    let pids: Vec<i64> = serde_json::from_str(&bundle.oci(&["ps", "-f", "json", "{}"]).out).unwrap();
    assert!(pids.contains(&bundle.pid()));
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    let bundle = Bundle::new("true");
    for (args, word) in [
        (&["checkpoint", "{}"][..], "checkpoint"),
        (&["restore", "{}"], "restore"),
        (&["--systemd-cgroup", "list"], "systemd"),
    ] {
        let done = bundle.oci(args);
        assert_eq!(done.code, 1);
        assert!(done.err.contains(word), "{}", done.err);
    }
}

#[test]
fn errors_go_to_the_log_as_json() {
    let bundle = Bundle::new("true");
    let log = bundle.dir.path().join("log");
    bundle.oci(&["--log", log.to_str().unwrap(), "--log-format", "json", "start", "nobody"]);
    let entry: serde_json::Value = serde_json::from_str(bundle.file("log").trim()).unwrap();
    assert_eq!(entry["level"], "error");
    assert_eq!(entry["msg"], "container \"nobody\" does not exist");
}

#[test]
fn descriptors_are_passed_on_request_only() {
    use std::os::fd::AsRawFd;
    let bundle = Bundle::new("ls /proc/self/fd | tr '\\n' ' '; cat <&3");
    bundle.write();
    let path = bundle.dir.path().join("note");
    std::fs::write(&path, "hello").unwrap();
    let file = std::fs::File::open(&path).unwrap();
    let number = file.as_raw_fd();
    let script = format!("exec 3<&{number} 9</dev/null; exec \"$@\"");
    // Descriptors without the close-on-exec flag reach the runtime; only what was asked for goes further.
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
    let inner =
        bundle.command(&["run", "--preserve-fds", "1", "--bundle", bundle.dir.path().to_str().unwrap(), &bundle.id]);
    let output = std::process::Command::new("sh")
        .args(["-c", &script, "sh"])
        .arg(inner.get_program())
        .args(inner.get_args())
        .output()
        .unwrap();
    // The last number is that of the directory that ls reads.
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "0 1 2 3 4 hello",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
