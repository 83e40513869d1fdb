//! The daemon dies; containers do not notice, and the next daemon knows everything.

mod support;

use support::{Host, wait_until};

#[test]
fn killing_the_daemon_stops_no_container_and_loses_no_line_and_no_code() {
    let mut host = Host::new();
    host.busybox();
    for number in 0..5 {
        let script = "i=0; while true; do echo $i; i=$((i+1)); usleep 1000; done";
        host.hoist(&["run", "-d", "--name", &format!("writer{number}"), "busybox", "sh", "-c", script]).ok();
    }
    for number in 0..5 {
        let script = format!("sleep 2; exit {}", number + 10);
        host.hoist(&["run", "-d", "--name", &format!("leaver{number}"), "busybox", "sh", "-c", &script]).ok();
    }
    let again = "while true; do sleep 1; date +%s >>/starts; exit 1; done";
    host.hoist(&["run", "-d", "--restart", "always", "--name", "again", "busybox", "sh", "-c", again]).ok();
    let pid = |host: &Host, name: &str| host.hoist(&["inspect", "-f", "{{.State.Pid}}", name]).ok();
    let before: Vec<String> = (0..5).map(|number| pid(&host, &format!("writer{number}"))).collect();

    host.kill_daemon();
    std::thread::sleep(std::time::Duration::from_secs(3));
    host.start_daemon();

    for (number, before) in before.iter().enumerate() {
        let name = format!("writer{number}");
        assert_eq!(&pid(&host, &name), before, "{name} runs on");
        host.hoist(&["kill", &name]).ok();
        let log = host.hoist(&["logs", &name]).ok();
        for (expected, line) in log.lines().enumerate() {
            assert_eq!(line, expected.to_string(), "{name} lost a line");
        }
        assert!(log.lines().count() > 500, "{name} wrote {} lines", log.lines().count());
    }
    for number in 0..5 {
        let code = host.hoist(&["inspect", "-f", "{{.State.ExitCode}}", &format!("leaver{number}")]).ok();
        assert_eq!(code.trim(), (number + 10).to_string());
    }
    let count = || -> u32 {
        host.hoist(&["inspect", "-f", "{{.RestartCount}}", "again"]).ok().trim().parse().expect("a number")
    };
    let then = count();
    assert!(wait_until(|| count() > then), "the restart policy goes on");
}

#[test]
fn a_project_outlives_the_daemon() {
    let mut host = Host::new();
    let file = format!("{}/examples/hello/compose.yaml", env!("CARGO_MANIFEST_DIR"));
    host.hoist(&["up", "-d", "-f", &file]).ok();
    let before = host.hoist(&["ps", "-q", "--no-trunc"]).ok();
    host.kill_daemon();
    assert!(host.get("http://127.0.0.1:8080/healthz").contains("ok"), "ports answer without a daemon");
    host.start_daemon();
    assert_eq!(before, host.hoist(&["ps", "-q", "--no-trunc"]).ok());
    assert!(host.get("http://127.0.0.1:8080/").contains("store says:"), "names still resolve");
    host.hoist(&["down", "-v", "-f", &file]).ok();
    assert_eq!(host.leftovers(), [] as [String; 0]);
}
