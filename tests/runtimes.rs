//! Containers that other OCI runtimes make: the same commands give the same, and nothing is left.

mod support;

use support::{HOIST, Host, run, wait_until};

const RUNTIMES: [&str; 2] = ["runc", "crun"];

#[test]
fn the_same_containers() {
    for runtime in RUNTIMES {
        let host = Host::new();
        host.busybox();
        let hoist = |args: &[&str]| host.hoist(args);
        let once = |args: &[&str]| hoist(&[&["run", "--rm", "--runtime", runtime], args].concat());

        let done = once(&["busybox", "sh", "-c", "echo out; echo err >&2; exit 7"]);
        assert_eq!((done.code, done.stdout.as_str(), done.stderr.as_str()), (7, "out\n", "err\n"), "{runtime}");
        let said = once(&["busybox", "nope"]).fails(127);
        assert!(said.contains("nope") && said.contains(runtime), "{said}");
        let said = once(&["busybox", "/etc"]).fails(126);
        assert!(said.contains(runtime), "{said}");
        // Limits, users, volumes and names are those of the container.
        let words =
            ["--memory", "64m", "--user", "3:4", "--hostname", "box", "--tmpfs", "/t", "-v", "vol:/v", "busybox"];
        let script = "id -u; id -g; hostname; echo x > /t/x && cat /t/x; test -d /v && cat /etc/hosts | grep -c box";
        assert_eq!(once(&[&words[..], &["sh", "-c", script]].concat()).ok(), "3\n4\nbox\nx\n1\n", "{runtime}");
        hoist(&["volume", "rm", "vol"]).ok();

        hoist(&["run", "-d", "--name", "web", "--runtime", runtime, "-m", "64m", "-p", "8080:80", "busybox", "sh", "-c",
            "trap 'echo bye; exit 3' TERM; echo up; mkdir /w; echo page > /w/index.html; httpd -h /w; while :; do sleep 1; done"]).ok();
        assert_eq!(host.get("http://127.0.0.1:8080/"), "page\n");
        let inspect = |format: &str| hoist(&["inspect", "-f", format, "web"]).ok().trim().to_owned();
        assert_eq!(inspect("{{.HostConfig.Runtime}} {{.State.Status}}"), format!("{runtime} running"));
        let done = hoist(&["exec", "-e", "A=b", "web", "sh", "-c", "echo $A; echo no >&2; exit 5"]);
        assert_eq!((done.code, done.stdout.as_str(), done.stderr.as_str()), (5, "b\n", "no\n"), "{runtime}");
        hoist(&["exec", "web", "nope"]).fails(127);
        assert!(hoist(&["top", "web"]).ok().contains("httpd"));
        let stats = hoist(&["stats", "--no-stream", "--format", "{{.MemUsage}} {{.PIDs}}", "web"]).ok();
        assert!(stats.contains("/ 64MiB") && !stats.ends_with(" 0\n"), "{runtime}: {stats}");
        hoist(&["pause", "web"]).ok();
        assert_eq!(inspect("{{.State.Status}}"), "paused");
        hoist(&["unpause", "web"]).ok();
        hoist(&["update", "--memory", "32m", "--memory-swap", "32m", "web"]).ok();
        assert!(hoist(&["stats", "--no-stream", "--format", "{{.MemUsage}}", "web"]).ok().contains("/ 32MiB"));
        hoist(&["stop", "web"]).ok();
        assert_eq!(inspect("{{.State.ExitCode}}"), "3", "{runtime}");
        assert_eq!(hoist(&["logs", "web"]).ok(), "up\nbye\n");
        hoist(&["start", "web"]).ok();
        hoist(&["kill", "web"]).ok();
        assert!(wait_until(|| inspect("{{.State.Status}} {{.State.ExitCode}}") == "exited 137"), "{runtime}");
        hoist(&["rm", "web"]).ok();
        wait_until(|| host.leftovers().is_empty());
        assert_eq!(host.leftovers(), [] as [String; 0], "{runtime}");
    }
}

#[test]
fn terminals_and_input() {
    for runtime in RUNTIMES {
        let host = Host::new();
        host.busybox();
        // `script` gives the command line a terminal.
        let typed = |words: &str| {
            let line = format!("{HOIST} {words}");
            run(host.command("script").args(["-qec", &line, "/dev/null"]))
        };
        let done = typed(&format!(
            "run --rm -it --runtime {runtime} busybox sh -c 'test -t 0 && test -t 1 && echo tty; exit 4'"
        ));
        assert_eq!((done.code, done.stdout.trim()), (4, "tty"), "{runtime}: {}", done.stderr);
        host.hoist(&["run", "-d", "--name", "box", "--runtime", runtime, "busybox", "sleep", "1000"]).ok();
        let done = typed("exec -it box sh -c 'test -t 0 && echo tty; exit 6'");
        assert_eq!((done.code, done.stdout.trim()), (6, "tty"), "{runtime}: {}", done.stderr);
        let line = format!("printf 'one\\ntwo\\n' | {HOIST} run --rm -i --runtime {runtime} busybox wc -l");
        assert_eq!(run(host.command("sh").args(["-c", &line])).ok().trim(), "2");
    }
}

#[test]
fn they_outlive_the_daemon() {
    for runtime in RUNTIMES {
        let mut host = Host::new();
        host.busybox();
        let script = "i=0; while [ ! -e /end ]; do i=$((i+1)); echo $i; sleep 0.05; done; exit 9";
        host.hoist(&["run", "-d", "--name", "box", "--runtime", runtime, "busybox", "sh", "-c", script]).ok();
        host.hoist(&["run", "-d", "--name", "lost", "--runtime", runtime, "busybox", "sleep", "1000"]).ok();
        let lost = host.hoist(&["inspect", "-f", "{{.State.Pid}}", "lost"]).ok();
        host.kill_daemon();
        // The supervisor of the second dies as well, as when memory runs out.
        let parent = std::fs::read_to_string(format!("/proc/{}/stat", lost.trim())).unwrap();
        let parent = parent.rsplit_once(')').unwrap().1.split_whitespace().nth(1).unwrap().to_owned();
        assert_eq!(run(std::process::Command::new("kill").args(["-9", &parent])).code, 0);
        host.start_daemon();
        assert_eq!(host.hoist(&["exec", "box", "sh", "-c", "touch /end; echo in"]).ok(), "in\n");
        assert_eq!(host.hoist(&["wait", "box"]).ok(), "9\n", "{runtime}");
        let lines = host.hoist(&["logs", "box"]).ok();
        let expected: String = (1..=lines.lines().count()).map(|number| format!("{number}\n")).collect();
        assert_eq!(lines, expected, "{runtime}");
        assert!(wait_until(|| { host.hoist(&["inspect", "-f", "{{.State.Status}}", "lost"]).ok().trim() == "exited" }));
        host.hoist(&["start", "lost"]).ok();
        host.hoist(&["rm", "-f", "lost", "box"]).ok();
        wait_until(|| host.leftovers().is_empty());
        assert_eq!(host.leftovers(), [] as [String; 0], "{runtime}");
    }
}

#[test]
fn the_settings_name_them() {
    let mut host = Host::new();
    host.busybox();
    let said = host.hoist(&["create", "--runtime", "runsc", "busybox"]).fails(1);
    assert!(said.contains("unknown or invalid runtime name: runsc") && said.contains("hoist"), "{said}");
    let said = host.hoist(&["create", "--runtime", "runc", "--init", "busybox"]).fails(1);
    assert!(said.contains("init"), "{said}");
    host.restart_with(&["--add-runtime", "mine=/usr/sbin/runc", "--default-runtime", "mine"]);
    host.hoist(&["run", "--name", "box", "busybox", "true"]).ok();
    assert_eq!(host.hoist(&["inspect", "-f", "{{.HostConfig.Runtime}}", "box"]).ok(), "mine\n");
    let info = host.hoist(&["info", "-f", "{{.DefaultRuntime}} {{json .Runtimes.mine}} {{.Runtimes}}"]).ok();
    assert!(info.starts_with(r#"mine {"path":"/usr/sbin/runc"}"#) && info.contains("crun"), "{info}");
    // What is known can change while the daemon runs; a container keeps the name of its own.
    host.kill_daemon();
    let file =
        host.write("daemon.json", r#"{"runtimes": {"mine": {"path": "runc", "runtimeArgs": ["--no-such-flag"]}}}"#);
    host.restart_with(&["--config-file", &file.display().to_string()]);
    let said = host.hoist(&["start", "box"]).fails(1);
    assert!(said.contains("runc"), "{said}");
    host.write("daemon.json", r#"{"runtimes": {"mine": {"path": "runc"}}}"#);
    run(std::process::Command::new("kill").args(["-HUP", &host.daemon_pid().to_string()])).ok();
    assert!(wait_until(|| host.hoist(&["start", "-a", "box"]).code == 0));
    for (text, word) in [
        (r#"{"runtimes": {"hoist": {"path": "runc"}}}"#, "reserved"),
        (r#"{"runtimes": {"x": {"runtimeType": "io.containerd.runsc.v1"}}}"#, "runtimeType"),
        (r#"{"default-runtime": "nothing"}"#, "nothing"),
    ] {
        let path = host.write("bad.json", text).display().to_string();
        let done = host.hoist(&["daemon", "--validate", "--config-file", &path]);
        assert!(done.code != 0 && done.stderr.contains(word), "{text}: {}", done.stderr);
    }
}
