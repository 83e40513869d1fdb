//! The daemon dies; containers do not notice, and the next daemon knows everything.

mod support;

use std::fs;

use support::{Host, wait_until};

/// Twenty containers of six kinds. `/ctl` is a directory of the test, through which it says when things happen.
#[test]
fn killing_the_daemon_stops_no_container_and_loses_no_line_and_no_code() {
    let mut host = Host::new();
    host.busybox();
    let control = host.path().join("ctl");
    fs::create_dir(&control).expect("a directory");
    let mount = format!("{}:/ctl", control.display());
    let say = |word: &str| fs::write(control.join(word), "").expect("a file");
    let run = |name: &str, flags: &[&str], script: &str| {
        let args = [&["run", "-d", "--name", name, "-v", &mount], flags, &["busybox", "sh", "-c", script]];
        host.hoist(&args.concat()).ok();
    };

    // About a line a millisecond. Some end while there is no daemon, all of them some time.
    for (number, until) in [(0, "/ctl/killed"), (1, "/ctl/killed"), (2, "/ctl/back"), (3, "/ctl/back")] {
        let script = format!(
            "i=0; while [ $i -lt 30000 ] && [ ! -e {until} ]; do echo $i; i=$((i+1)); usleep 1000; done; echo last $i; exit {}",
            20 + number
        );
        run(&format!("writer{number}"), &[], &script);
    }
    let wait = |word: &str| format!("while [ ! -e /ctl/{word} ]; do usleep 20000; done");
    for number in 0..6 {
        run(
            &format!("leaver{number}"),
            &["--init"][..number % 2],
            &format!("{}; exit {}", wait("killed"), 10 + number),
        );
    }
    for (number, policy) in ["always", "unless-stopped", "on-failure:2"].iter().enumerate() {
        let script = format!("echo x >>/ctl/starts{number}; {}; exit 7", wait("killed"));
        run(&format!("again{number}"), &["--restart", policy], &script);
    }
    for number in 0..3 {
        let check = format!("test -e /ctl/well{number}");
        run(&format!("checked{number}"), &["--health-cmd", &check, "--health-interval", "200ms"], "exec sleep 600");
    }
    run("terminal", &["-t", "-i"], "exec sleep 600");
    run("removed", &["--rm"], &wait("killed"));
    run("paused", &[], "exec sleep 600");
    run("quiet", &[], "exec sleep 600");
    host.hoist(&["pause", "paused"]).ok();
    let all = host.hoist(&["ps", "--format", "{{.Names}}"]).ok();
    assert_eq!(all.lines().count(), 20, "{all}");
    let stay =
        ["writer2", "writer3", "checked0", "checked1", "checked2", "terminal", "paused", "quiet"].map(str::to_owned);
    let look = |host: &Host, names: &[String], what: &str| -> Vec<String> {
        let names = names.iter().map(String::as_str);
        let args: Vec<&str> = ["inspect", "-f", what].into_iter().chain(names).collect();
        host.hoist(&args).ok().lines().map(str::to_owned).collect()
    };
    const RUN: &str = "{{.Name}} {{.State.Status}} {{.State.Pid}} {{.State.StartedAt}}";
    let before = look(&host, &stay, RUN);
    let leave: Vec<String> = (0..6).map(|n| format!("leaver{n}")).chain(["writer0".into(), "writer1".into()]).collect();
    let leaving = look(&host, &leave, "{{.State.Pid}}");
    say("well0");

    host.kill_daemon();
    say("killed");
    let gone = |pid: &String| !fs::exists(format!("/proc/{pid}")).expect("/proc can be read");
    assert!(wait_until(|| leaving.iter().all(gone)), "they end without a daemon");
    host.start_daemon();

    assert_eq!(look(&host, &stay, RUN), before, "the others run on");
    assert_eq!(
        look(&host, &leave, "{{.State.Status}} {{.State.ExitCode}}"),
        [10, 11, 12, 13, 14, 15, 20, 21].map(|code| format!("exited {code}"))
    );
    let there = || host.hoist(&["ps", "-a", "--format", "{{.Names}}"]).ok();
    assert!(wait_until(|| !there().contains("removed")), "--rm holds");

    say("back");
    for number in 0..4 {
        let name = format!("writer{number}");
        assert_eq!(host.hoist(&["wait", &name]).ok().trim(), (20 + number).to_string());
        let log = host.hoist(&["logs", &name]).ok();
        let lines: Vec<&str> = log.lines().collect();
        let count = lines.len() - 1;
        assert!(count > 100, "{name} wrote {count} lines");
        for (expected, line) in lines[..count].iter().enumerate() {
            assert_eq!(*line, expected.to_string(), "{name} lost a line");
        }
        assert_eq!(lines[count], format!("last {count}"));
    }

    let starts =
        |number: usize| fs::read_to_string(control.join(format!("starts{number}"))).unwrap_or_default().len() / 2;
    assert!(wait_until(|| starts(0) > 2 && starts(1) > 2), "the restart policies go on");
    let last = || look(&host, &["again2".to_owned()], "{{.State.Status}} {{.State.ExitCode}} {{.RestartCount}}");
    assert!(wait_until(|| last() == ["exited 7 2"]), "{:?}", last());
    assert_eq!(starts(2), 3);

    say("well1");
    let health = || look(&host, &stay[2..5], "{{.State.Health.Status}}");
    assert!(wait_until(|| health() == ["healthy", "healthy", "unhealthy"]), "{:?}", health());
    host.hoist(&["unpause", "paused"]).ok();
    assert_eq!(host.hoist(&["exec", "paused", "echo", "hello"]).ok(), "hello\n");
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

#[test]
fn a_daemon_that_stops_takes_its_socket_along_and_leaves_containers() {
    let mut host = Host::new();
    host.busybox();
    host.hoist(&["run", "-d", "--name", "stays", "busybox", "sleep", "600"]).ok();
    let pid = host.hoist(&["inspect", "-f", "{{.State.Pid}}", "stays"]).ok();
    host.other("kill", &["-TERM", &host.daemon_pid().to_string()]).ok();
    assert!(wait_until(|| !host.run_root().join("hoist.pid").exists()), "the daemon ends");
    assert!(!host.socket().exists(), "a socket that nobody listens on");
    host.kill_daemon();
    host.start_daemon();
    assert_eq!(host.hoist(&["inspect", "-f", "{{.State.Pid}}", "stays"]).ok(), pid);
}
