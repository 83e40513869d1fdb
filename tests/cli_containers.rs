//! Containers from the command line, against a real daemon: what is printed, and the exit codes.

mod support;

use std::{io::Write, process::Stdio};

use support::{Host, run, wait_until};

/// Exit code, standard output and standard error.
fn said(host: &Host, args: &[&str]) -> String {
    let done = host.hoist(args);
    format!("exit code: {}\n----- stdout -----\n{}\n----- stderr -----\n{}", done.code, done.stdout, done.stderr)
}

/// Ids, times and the test's own directory are different each time.
fn settings(host: &Host) -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(&host.path().display().to_string(), "[ROOT]");
    settings.add_filter(r"\b[0-9a-f]{64}\b", "[ID]");
    settings.add_filter(r"\b[0-9a-f]{12}\b", "[SHORT ID]");
    settings.add_filter(r"(About an? \w+|Less than a second|\d+ seconds?|\d+ minutes?) ago", "[AGE] ago");
    settings.add_filter(r"Up (About an? \w+|Less than a second|\d+ seconds?|\d+ minutes?)", "Up [AGE]");
    settings.add_filter(r"[^\S\n]{2,}", "  ");
    settings
}

#[test]
fn exit_codes_and_streams_are_the_containers() {
    let host = Host::new();
    host.busybox();
    settings(&host).bind(|| {
        insta::assert_snapshot!("run_echo", said(&host, &["run", "--rm", "busybox", "echo", "hi"]));
        insta::assert_snapshot!(
            "run_both_streams",
            said(&host, &["run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 7"])
        );
        insta::assert_snapshot!("run_not_found", said(&host, &["run", "--rm", "busybox", "nope"]));
        insta::assert_snapshot!("run_not_executable", said(&host, &["run", "--rm", "busybox", "/etc/passwd"]));
        insta::assert_snapshot!("run_no_image", said(&host, &["run", "--rm", "--pull", "never", "busybx", "true"]));
    });
    // Whatever went wrong, nothing is left.
    assert_eq!(host.hoist(&["ps", "-aq"]).ok(), "");
    assert_eq!(host.leftovers(), [] as [String; 0]);
    // Hyphens after the image are the command's.
    assert_eq!(host.hoist(&["run", "--rm", "busybox", "echo", "--rm", "-it"]).ok(), "--rm -it\n");
    // Flags may have a value.
    assert_eq!(host.hoist(&["run", "--rm=true", "--tty=false", "busybox", "echo", "x"]).ok(), "x\n");
}

#[test]
fn standard_input_is_passed_on_to_its_end() {
    let host = Host::new();
    host.busybox();
    let mut child = host
        .command(support::HOIST)
        .args(["run", "--rm", "-i", "busybox", "wc", "-c"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // More than any pipe holds.
    let writer = std::thread::spawn(move || stdin.write_all(&vec![b'x'; 3 << 20]));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), (3 << 20).to_string());
}

#[test]
fn a_container_is_listed_inspected_used_and_removed() {
    let host = Host::new();
    host.busybox();
    let id = host
        .hoist(&[
            "run", "-d", "--name", "web", "--label", "team=red", "-e", "A=1", "-p", "8080:80", "busybox", "httpd", "-f",
        ])
        .ok();
    assert_eq!(id.trim().len(), 64);
    settings(&host).bind(|| {
        insta::assert_snapshot!("ps", said(&host, &["ps"]));
        insta::assert_snapshot!(
            "ps_table",
            said(&host, &["ps", "--format", "table {{.Names}}\\t{{.State}}\\t{{.Label \"team\"}}"])
        );
        insta::assert_snapshot!("port", said(&host, &["port", "web"]));
        insta::assert_snapshot!("exec_code", said(&host, &["exec", "web", "sh", "-c", "echo $A; exit 3"]));
        insta::assert_snapshot!(
            "exec_env",
            said(&host, &["exec", "-e", "B=2", "-w", "/tmp", "web", "sh", "-c", "echo $B $PWD"])
        );
        insta::assert_snapshot!("exec_not_found", said(&host, &["exec", "web", "nope"]));
        insta::assert_snapshot!("no_such", said(&host, &["stop", "wob"]));
        insta::assert_snapshot!("template_mistake", said(&host, &["ps", "--format", "{{.Nmaes}}"]));
        insta::assert_snapshot!("inspect_mistake", said(&host, &["inspect", "-f", "{{.State.Statos}}", "web"]));
        insta::assert_snapshot!("name_taken", said(&host, &["run", "--name", "web", "busybox", "true"]));
        insta::assert_snapshot!("port_taken", said(&host, &["run", "--rm", "-p", "8080:81", "busybox", "true"]));
        insta::assert_snapshot!("rm_running", said(&host, &["rm", "web"]));
    });
    let format = "{{.State.Status}} {{index .Config.Labels \"team\"}} {{json .Config.Cmd}}";
    assert_eq!(host.hoist(&["inspect", "-f", format, "web"]).ok(), "running red [\"httpd\",\"-f\"]\n");
    assert_eq!(host.hoist(&["rename", "web", "www"]).ok(), "");
    assert_eq!(host.hoist(&["pause", "www"]).ok(), "www\n");
    assert!(host.hoist(&["ps"]).ok().contains("(Paused)"));
    assert_eq!(host.hoist(&["unpause", "www"]).ok(), "www\n");
    assert!(host.hoist(&["top", "www"]).ok().contains("httpd -f"));
    assert!(host.hoist(&["stats", "--no-stream"]).ok().contains("www"));
    assert_eq!(host.hoist(&["kill", "www"]).ok(), "www\n");
    assert_eq!(host.hoist(&["wait", "www"]).ok(), "137\n");
    assert_eq!(host.hoist(&["rm", "www"]).ok(), "www\n");
    assert_eq!(host.hoist(&["ps", "-aq"]).ok(), "");
}

#[test]
fn logs_have_both_streams_and_can_be_cut() {
    let host = Host::new();
    host.busybox();
    host.hoist(&["run", "--name", "talk", "busybox", "sh", "-c", "for i in 1 2 3; do echo out $i; done; echo err >&2"])
        .ok();
    let all = host.hoist(&["logs", "talk"]);
    assert_eq!((all.stdout.as_str(), all.stderr.as_str()), ("out 1\nout 2\nout 3\n", "err\n"));
    let last = host.hoist(&["logs", "--tail", "2", "talk"]);
    assert_eq!((last.stdout.as_str(), last.stderr.as_str()), ("out 3\n", "err\n"));
    assert_eq!(host.hoist(&["logs", "--until", "1h", "talk"]).ok(), "");
    let stamped = host.hoist(&["logs", "-t", "talk"]).ok();
    assert!(stamped.lines().all(|line| line.starts_with("20") && line.contains("Z out ")), "{stamped}");
    // A second run is followed to its end.
    assert_eq!(host.hoist(&["start", "-a", "talk"]).ok(), "out 1\nout 2\nout 3\n");
    assert_eq!(host.hoist(&["logs", "-f", "--tail", "1", "talk"]).stderr, "err\n");
}

#[test]
fn files_are_copied_in_and_out_under_dockers_names() {
    let host = Host::new();
    host.busybox();
    host.hoist(&["run", "-d", "--name", "box", "busybox", "sleep", "1000"]).ok();
    host.write("tree/sub/file", "inside\n");
    host.write("one", "1\n");
    host.hoist(&["cp", "one", "box:/tmp"]).ok();
    host.hoist(&["cp", "one", "box:/tmp/two"]).ok();
    host.hoist(&["cp", "tree", "box:/srv"]).ok();
    host.hoist(&["cp", "tree/.", "box:/tmp"]).ok();
    let found = host.hoist(&["exec", "box", "cat", "/tmp/one", "/tmp/two", "/srv/sub/file", "/tmp/sub/file"]).ok();
    assert_eq!(found, "1\n1\ninside\ninside\n");
    host.hoist(&["cp", "box:/tmp/two", "."]).ok();
    host.hoist(&["cp", "box:/tmp/two", "three"]).ok();
    host.hoist(&["cp", "box:/srv", "out"]).ok();
    let read = |name: &str| std::fs::read_to_string(host.path().join(name)).unwrap();
    assert_eq!((read("two"), read("three"), read("out/sub/file")), ("1\n".into(), "1\n".into(), "inside\n".into()));
    settings(&host).bind(|| {
        insta::assert_snapshot!("cp_missing", said(&host, &["cp", "box:/nope", "x"]));
        insta::assert_snapshot!("cp_missing_here", said(&host, &["cp", "nope", "box:/tmp"]));
        insta::assert_snapshot!("cp_no_directory", said(&host, &["cp", "one", "box:/no/such/"]));
        insta::assert_snapshot!("cp_two_containers", said(&host, &["cp", "box:/a", "box:/b"]));
    });
    let changes = host.hoist(&["diff", "box"]).ok();
    assert!(changes.contains("A /tmp/one\n") && changes.contains("A /srv/sub/file\n"), "{changes}");
    assert!(!changes.contains("/etc") && !changes.contains("/proc"), "the engine's own doing: {changes}");
}

#[test]
fn signals_reach_the_container() {
    let host = Host::new();
    host.busybox();
    let mut child = host
        .command(support::HOIST)
        .args([
            "run",
            "--rm",
            "--name",
            "trap",
            "busybox",
            "sh",
            "-c",
            "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
    assert_eq!(line, "ready\n");
    // nsenter becomes the program, so that the child is it.
    run(std::process::Command::new("kill").args(["-TERM", &child.id().to_string()])).ok();
    assert_eq!(child.wait().unwrap().code(), Some(9));
    assert!(wait_until(|| host.hoist(&["ps", "-aq"]).stdout.is_empty()));
}

#[test]
fn a_cid_file_holds_the_id_and_a_taken_one_stops_all() {
    let host = Host::new();
    host.busybox();
    let id = host.hoist(&["create", "--cidfile", "cid", "busybox", "true"]).ok();
    assert_eq!(std::fs::read_to_string(host.path().join("cid")).unwrap(), id.trim());
    let refused = host.hoist(&["run", "--cidfile", "cid", "busybox", "true"]).fails(125);
    assert!(refused.contains("cid is there already"), "{refused}");
    host.hoist(&["run", "--cidfile", "other", "--pull", "never", "no-such-image"]).fails(125);
    assert!(!host.path().join("other").exists());
}

/// What keeps a container from starting is told, and whoever waits for its end is not left waiting.
#[test]
fn what_cannot_start_is_told_to_both_clients() {
    let host = Host::new();
    host.busybox();
    host.hoist(&["run", "-d", "--name", "web", "busybox", "sleep", "1000"]).ok();
    let docker = |args: &[&str]| host.other("docker", args);
    let hoist = |args: &[&str]| host.hoist(args);
    let cases: &[(&[&str], &str)] = &[
        // The one starts, as Docker has it, and then finds that there is nothing to share.
        (&["--ipc", "container:web"], "is private"),
        (&["--volumes-from", "nobody"], "No such container: nobody"),
        (&["--network", "container:nobody"], "No such container: nobody"),
        (&["--pid", "container:nobody"], "No such container: nobody"),
        (&["--link", "nobody:x"], "No such container: nobody"),
        (&["--cpus", "100000"], "CPUs available"),
        (&["--platform", "linux/s390x", "--pull", "never"], "linux/s390x"),
        (&["--userns", "private"], "user"),
        (&["--storage-opt", "colour=red"], "there is only \"size\""),
    ];
    for (flags, why) in cases {
        let args = [&["run", "--rm"], *flags, &["busybox", "true"]].concat();
        for (client, done) in [("docker", docker(&args)), ("hoist", hoist(&args))] {
            assert_eq!(done.code, 125, "{client} {flags:?}: {}", done.stderr);
            let said = done.stderr.to_lowercase();
            assert!(said.contains(&why.to_lowercase()), "{client} {flags:?}: {said}");
            // A container that is not there is no image that is missing.
            assert!(flags[0] == "--platform" || !said.contains("unable to find image"), "{client} {flags:?}: {said}");
            assert!(!said.contains("error waiting"), "{client} {flags:?}: {said}");
        }
    }
    assert_eq!(host.hoist(&["ps", "-a", "--format", "{{.Names}}"]).ok(), "web\n");
    let tree = host.hoist(&["images", "--tree"]).ok();
    assert!(tree.lines().any(|line| line.starts_with("└─ linux/")), "{tree}");
    host.hoist(&["rm", "-f", "web"]).ok();
}

#[test]
fn a_container_goes_on_from_a_checkpoint_or_it_is_said_why_not() {
    let host = Host::new();
    host.busybox();
    let count = "i=0; while true; do i=$((i+1)); echo $i; sleep 0.1; done";
    host.hoist(&["run", "-d", "--name", "box", "busybox", "sh", "-c", count]).ok();
    let lines = || host.hoist(&["logs", "box"]).ok().lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(wait_until(|| lines().len() > 2), "the container counts");
    assert_eq!(host.hoist(&["checkpoint", "ls", "box"]).ok(), "CHECKPOINT NAME\n");
    for (args, words) in [
        (&["checkpoint", "create", "nobody", "one"][..], "no such container: nobody"),
        (&["checkpoint", "rm", "box", "one"], "checkpoint one does not exist for container box"),
        (&["start", "--checkpoint", "one", "box"], "checkpoint one does not exist for container box"),
        (&["checkpoint", "create", "box", "../one"], "invalid checkpoint name"),
    ] {
        let said = host.hoist(args).fails(1);
        assert!(said.to_lowercase().contains(words), "{args:?}: {said}");
    }
    let works = std::process::Command::new("criu").arg("check").output().is_ok_and(|answer| answer.status.success());
    // Docker's own client, which asks for checkpoints where experiments are allowed.
    let made = host.other("docker", &["checkpoint", "create", "box", "one"]);
    if works {
        assert_eq!(made.ok(), "one\n");
        assert_eq!(host.hoist(&["inspect", "-f", "{{.State.Status}}", "box"]).ok(), "exited\n");
        assert_eq!(host.hoist(&["checkpoint", "ls", "box"]).ok(), "CHECKPOINT NAME\none\n");
        host.hoist(&["start", "--checkpoint", "one", "box"]).ok();
        host.hoist(&["checkpoint", "rm", "box", "one"]).ok();
    } else {
        let said = made.fails(1);
        assert!(said.contains("criu does not work with this kernel: ") || said.contains("install it"), "{said}");
        assert_eq!(host.other("docker", &["checkpoint", "ls", "box"]).ok(), "CHECKPOINT NAME\n");
    }
    let before = lines().len();
    assert!(wait_until(|| lines().len() > before + 2), "the container goes on");
    let wanted: Vec<String> = (1..=lines().len()).map(|number| number.to_string()).collect();
    let seen = lines();
    assert_eq!(seen[..wanted.len()], wanted, "no number is missing and none is there twice");
    host.hoist(&["rm", "-f", "box"]).ok();
}
