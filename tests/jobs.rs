//! Jobs from the command line, against a real daemon: queued, run, followed, ended, counted.

#![allow(clippy::unwrap_used)] // what a helper cannot do fails the test

mod support;

use support::{Host, cluster::Cluster, wait_until};

/// All the processors that the queue can give on this machine.
fn processors() -> String {
    std::thread::available_parallelism().unwrap().to_string()
}

fn state(host: &Host, job: &str) -> String {
    host.hoist(&["job", "show", job, "--format", "{{.State}}"]).ok().trim().to_owned()
}

#[test]
fn a_job_runs_is_followed_and_ends_with_its_code() {
    let host = Host::new();
    host.busybox();
    let done =
        host.hoist(&["job", "run", "--cpus", "1", "busybox", "sh", "-c", "echo rank $RANK of $WORLD_SIZE; exit 3"]);
    assert_eq!((done.code, done.stdout.as_str()), (3, "rank 0 of 1\n"), "{}", done.stderr);
    assert_eq!(state(&host, "1"), "failed");
    assert_eq!(host.hoist(&["job", "run", "busybox", "true"]).code, 0);
    assert_eq!(host.hoist(&["job", "logs", "1"]).ok(), "rank 0 of 1\n", "what it wrote is kept");
    assert_eq!(host.hoist(&["job", "ls", "-q"]).ok(), "");
    assert_eq!(host.hoist(&["job", "ls", "-aq"]).ok(), "1\n2\n");
    assert_eq!(host.hoist(&["job", "rm", "1", "2"]).ok(), "1\n2\n");
    assert!(wait_until(|| host.hoist(&["ps", "-aq"]).ok().is_empty()), "their containers go with them");
}

#[test]
fn jobs_wait_for_each_other_and_outlive_the_daemon() {
    let mut host = Host::new();
    host.busybox();
    let all = processors();
    let first = [
        "job",
        "submit",
        "--name",
        "first",
        "--cpus",
        &all,
        "busybox",
        "sh",
        "-c",
        "until [ -e /go ]; do sleep 0.1; done",
    ];
    assert_eq!(host.hoist(&first).ok(), "1\n");
    assert_eq!(host.hoist(&["job", "submit", "--cpus", &all, "busybox", "echo", "second"]).ok(), "2\n");
    assert_eq!(host.hoist(&["job", "submit", "--after", "failure:1", "busybox", "true"]).ok(), "3\n");
    assert!(wait_until(|| state(&host, "1") == "running" && !host.hoist(&["ps", "-q"]).ok().is_empty()));
    let queue = host.hoist(&["queue", "--format", "{{.Job}} {{.Reason}}"]).ok();
    assert!(queue.contains(&format!("2 waits for {all} CPUs: 1 node has too little free")), "{queue}");
    assert!(queue.contains("3 waits for the failure of job 1"), "{queue}");
    host.kill_daemon();
    host.start_daemon();
    assert_eq!(state(&host, "1"), "running");
    let container = host.hoist(&["ps", "-q", "--filter", "label=hoist.job.number=1"]).ok();
    host.hoist(&["exec", container.trim(), "touch", "/go"]).ok();
    assert_eq!(host.hoist(&["job", "wait", "1", "2"]).ok(), "1 completed (0)\n2 completed (0)\n");
    assert!(wait_until(|| state(&host, "3") == "cancelled"), "{}", state(&host, "3"));
    assert_eq!(host.hoist(&["job", "logs", "2"]).ok(), "second\n");
    let used = host.hoist(&["usage", "--format", "{{.Jobs}}"]).ok();
    assert_eq!(used, "2\n");
}

#[test]
fn arrays_limits_holds_and_cancels() {
    let host = Host::new();
    host.busybox();
    let script =
        host.write("sweep.sh", "#!/bin/sh\n#HOIST --image busybox --array 1-3%1\necho index $HOIST_ARRAY_INDEX\n");
    assert_eq!(host.hoist(&["job", "submit", "--script", &script.display().to_string()]).ok(), "1\n");
    assert_eq!(host.hoist(&["job", "wait", "1"]).ok(), "1_1 completed (0)\n1_2 completed (0)\n1_3 completed (0)\n");
    assert_eq!(host.hoist(&["job", "logs", "1_2"]).ok(), "index 2\n");

    host.hoist(&["job", "submit", "--time", "1s", "--grace", "1s", "busybox", "sleep", "600"]).ok();
    let done = host.hoist(&["job", "wait", "2"]);
    assert!(done.code == 1 && done.stdout.starts_with("2 timed out"), "{} {}", done.code, done.stdout);

    host.hoist(&["job", "submit", "--hold", "busybox", "true"]).ok();
    assert_eq!(state(&host, "3"), "held");
    assert_eq!(host.hoist(&["job", "release", "3"]).ok(), "3\n");
    assert_eq!(host.hoist(&["job", "wait", "3"]).ok(), "3 completed (0)\n");

    host.hoist(&["job", "submit", "--grace", "0s", "busybox", "sleep", "600"]).ok();
    assert!(wait_until(|| state(&host, "4") == "running"));
    assert_eq!(host.hoist(&["job", "cancel", "4"]).ok(), "4\n");
    assert!(host.hoist(&["job", "wait", "4"]).stdout.starts_with("4 cancelled"));
}

#[test]
fn a_gang_shares_a_network_and_a_compose_service_is_a_job() {
    let host = Host::new();
    host.busybox();
    let talk = "if [ $RANK = 0 ]; then echo hello | nc -l -p 29500; else until nc $MASTER_ADDR $MASTER_PORT </dev/null; do sleep 0.1; done; fi";
    host.hoist(&["job", "submit", "--tasks", "2", "--name", "gang", "busybox", "sh", "-c", talk]).ok();
    assert_eq!(host.hoist(&["job", "wait", "gang"]).ok(), "1 completed (0)\n");
    assert_eq!(host.hoist(&["job", "logs", "--rank", "1", "gang"]).ok(), "hello\n");
    host.hoist(&["job", "rm", "gang"]).ok();
    // What all of them write is seen, each line with its task's rank, and a failure is the job's.
    let both = "echo here; echo there >&2; exit $RANK";
    let done = host.hoist(&["job", "run", "--tasks", "2", "--name", "both", "busybox", "sh", "-c", both]);
    let mut lines: Vec<&str> = done.stdout.lines().collect();
    lines.sort_unstable();
    assert_eq!((done.code, lines), (1, vec!["0: here", "1: here"]), "{}", done.stderr);
    assert!(done.stderr.contains("0: there\n") && done.stderr.contains("1: there\n"), "{}", done.stderr);
    let told = host.hoist(&["job", "run", "-i", "--tasks", "2", "busybox", "true"]).fails(125);
    assert!(told.contains("-i and -t are for one task"), "{told}");
    host.hoist(&["job", "rm", "both"]).ok();
    assert!(wait_until(|| !host.hoist(&["network", "ls"]).ok().contains("job-1")), "its network goes with it");

    let file = host.write(
        "compose.yaml",
        "services:\n  train:\n    image: busybox\n    environment: {SEED: 7}\n    command: sh -c 'echo seed $$SEED'\n",
    );
    let done = host.hoist(&["job", "run", "-f", &file.display().to_string(), "--service", "train"]);
    assert_eq!((done.code, done.stdout.as_str()), (0, "seed 7\n"), "{}", done.stderr);
}

#[test]
fn a_job_is_warned_before_its_time_is_up() {
    let host = Host::new();
    host.busybox();
    let save = "trap 'echo saved; exit 0' USR1; echo ready; while true; do sleep 0.1; done";
    let flags = ["job", "run", "--time", "1h", "--signal", "USR1@3598s", "busybox", "sh", "-c", save];
    let done = host.hoist(&flags);
    assert_eq!((done.code, done.stdout.as_str()), (0, "ready\nsaved\n"), "{}", done.stderr);
    let told = host.hoist(&["job", "submit", "--signal", "USR1", "busybox", "true"]).fails(125);
    assert!(told.contains("needs a time limit"), "{told}");
}

#[test]
fn a_job_comes_again_and_again() {
    let host = Host::new();
    host.busybox();
    let submit = |flags: &[&str]| host.hoist(&[&["job", "submit"], flags, &["busybox", "true"]].concat());
    assert_eq!(submit(&["--cron", "0 3 * * *", "--zone", "Europe/Berlin", "--name", "nightly"]).ok(), "nightly\n");
    let list = |format: &str| host.hoist(&["job", "cron", "ls", "--format", format]).ok();
    assert_eq!(
        list("{{.Name}} {{.Schedule}} {{.Zone}} {{.User}} {{.State}}"),
        "nightly 0 3 * * * Europe/Berlin root active\n"
    );
    assert!(!list("{{.Next}}").trim().is_empty());
    for (flags, words) in [
        (&["--cron", "0 3 * *"][..], "has 4 fields"),
        (&["--cron", "@reboot"], "@reboot"),
        (&["--cron", "@daily", "--zone", "Mars/Olympus"], "no such time zone"),
        (&["--cron", "@daily", "--name", "nightly"], "is there already"),
        (&["--cron", "@daily", "--name", "big", "--gpus", "99"], "no node has"),
    ] {
        let told = submit(flags).fails(125);
        assert!(told.contains(words), "{flags:?}: {told}");
    }
    assert_eq!(host.hoist(&["job", "cron", "pause", "nightly"]).ok(), "nightly\n");
    assert_eq!(list("{{.State}}:{{.Next}}"), "paused:\n");
    host.hoist(&["job", "cron", "resume", "nightly"]).ok();
    assert!(list("{{.State}}:{{.Next}}").starts_with("active:20"));
    host.hoist(&["job", "cron", "rm", "nightly"]).ok();
    assert_eq!(list("{{.Name}}"), "");
    assert!(host.hoist(&["job", "cron", "rm", "nightly"]).fails(1).contains("no such cron: nightly"));
    assert!(host.hoist(&["job", "run", "--cron", "@daily", "busybox", "true"]).fails(125).contains("use job submit"));
}

#[test]
fn ports_of_a_job_come_to_the_caller() {
    use std::io::{BufRead as _, BufReader};

    let host = Host::new();
    host.busybox();
    // On its loopback address only, as notebooks do.
    let serve = "echo hello from rank $RANK > page; exec busybox httpd -f -p 127.0.0.1:8888";
    let mut job = host
        .command(support::HOIST)
        .args(["job", "run", "--grace", "1s", "-p", "0:8888", "busybox", "sh", "-c", serve])
        .stderr(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(job.stderr.take().unwrap()).lines();
    let told = lines.find_map(|line| line.unwrap().split_once("http://").map(|(_, rest)| rest.to_owned())).unwrap();
    let address = told.split(' ').next().unwrap().to_owned();
    assert!(told.ends_with("is port 8888 of the job"), "{told}");
    assert_eq!(host.get(&format!("http://{address}/page")), "hello from rank 0\n");
    // Nothing is published on the machine, and another port is forwarded afterwards.
    assert_eq!(host.hoist(&["ps", "--format", "{{.Ports}}"]).ok().trim(), "");
    assert!(host.hoist(&["job", "forward", "1", "53/udp"]).fails(125).contains("only TCP"));
    host.hoist(&["job", "cancel", "1"]).ok();
    assert_ne!(job.wait().unwrap().code(), Some(0));
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let host = Host::new();
    host.busybox();
    let refused = |args: &[&str], words: &str| {
        let done = host.hoist(&[&["job", "submit"], args].concat());
        assert_eq!(done.code, 125, "{args:?}: {}", done.stderr);
        assert!(done.stderr.contains(words), "{args:?}: {}", done.stderr);
    };
    refused(&["--cpus", "9999", "busybox", "true"], "no node has 9999 CPUs");
    refused(&["--gpus", "999", "busybox", "true"], "no node has");
    refused(&["--partition", "fast", "busybox", "true"], "there are default");
    refused(&["--after", "77", "busybox", "true"], "no such job: 77");
    refused(&["--restart", "always", "busybox", "true"], "--restart is not for jobs");
    refused(&["--array", "3-1", "busybox", "true"], "--array");
    refused(&["--constraint", "node.colour==red", "busybox", "true"], "node.colour");
    refused(&[], "a job needs an image");
    assert_eq!(host.hoist(&["job", "cancel", "1"]).code, 1);
    assert_eq!(host.hoist(&["job", "ls", "-aq"]).ok(), "", "what is refused leaves nothing");
    let rules = host.write("lab.yaml", "partitions:\n- name: day\n  max_time_hours: 2\n");
    host.hoist(&["queue", "rules", &rules.display().to_string()]).ok();
    refused(&["--time", "3h", "busybox", "true"], "partition day allows 2 hours at most");
    let wrong = host.write("wrong.yaml", "partition:\n- name: day\n");
    assert_eq!(host.hoist(&["queue", "rules", &wrong.display().to_string()]).code, 125);
}

#[test]
fn a_job_that_gives_way_goes_on_from_its_checkpoint_or_says_why_it_begins_again() {
    let host = Host::new();
    host.busybox();
    let all = processors();
    let rules = host.write("rules.yaml", "partitions:\n  - {name: all, preempt: true}\n");
    host.hoist(&["queue", "rules", &rules.display().to_string()]).ok();
    let works = std::process::Command::new("criu").arg("check").output().is_ok_and(|answer| answer.status.success());
    let count = "echo began >>/begun; i=0; while true; do i=$((i+1)); echo $i; sleep 0.1; done";
    host.hoist(&[
        "job",
        "submit",
        "--name",
        "low",
        "--checkpoint",
        "--grace",
        "0s",
        "--cpus",
        &all,
        "busybox",
        "sh",
        "-c",
        count,
    ])
    .ok();
    assert!(wait_until(|| host.hoist(&["job", "logs", "1"]).stdout.lines().count() > 2));
    assert!(host.hoist(&["job", "show", "1"]).ok().contains("Checkpoint: "));
    host.hoist(&[
        "job",
        "submit",
        "--name",
        "high",
        "--priority",
        "9",
        "--grace",
        "0s",
        "--cpus",
        &all,
        "busybox",
        "sleep",
        "600",
    ])
    .ok();
    assert!(wait_until(|| state(&host, "2") == "running"), "{}", state(&host, "2"));
    host.hoist(&["job", "cancel", "2"]).ok();
    assert!(wait_until(|| state(&host, "1") == "running"), "{}", state(&host, "1"));
    assert!(wait_until(|| host.hoist(&["job", "logs", "1"]).stdout.lines().count() > 2));
    let said = host.hoist(&["job", "show", "1"]).ok();
    let container = host.hoist(&["ps", "-q", "--filter", "label=hoist.job.number=1"]).ok();
    let begun = host.hoist(&["exec", container.trim(), "cat", "/begun"]).ok();
    let first = host.hoist(&["job", "logs", "1"]).ok().lines().next().unwrap().to_owned();
    assert_eq!(begun, "began\n", "a file of its own came along, or is not there yet");
    if works {
        assert!(said.contains("it went on from one") && first != "1", "{said}: {first}");
    } else {
        let why = said.contains("criu does not work with this kernel") || said.contains("install it");
        assert!(said.contains("not made, so that it begins again: ") && why && first == "1", "{said}: {first}");
    }
    host.hoist(&["job", "cancel", "1"]).ok();
    assert!(host.hoist(&["job", "wait", "1"]).stdout.starts_with("1 cancelled"));
    for (args, words) in [
        (&["--tasks", "2"][..], "has one task"),
        (&["-t"], "without -t"),
        (&["--checkpoint-dir", "here"], "not an absolute path"),
    ] {
        let args = [&["job", "submit", "--checkpoint"], args, &["busybox", "true"]].concat();
        let said = host.hoist(&args);
        assert!(said.code != 0 && said.stderr.contains(words), "{args:?}: {}", said.stderr);
    }
}

#[test]
fn a_job_with_input_that_ends_at_once_keeps_its_output_and_its_code() {
    let host = Host::new();
    host.busybox();
    for round in 0..12 {
        let done = host.hoist(&["job", "run", "-i", "busybox", "sh", "-c", "echo said; echo told >&2; exit 7"]);
        assert_eq!((done.code, done.stdout.as_str()), (7, "said\n"), "round {round}: {}", done.stderr);
        assert!(done.stderr.contains("told\n"), "round {round}: {}", done.stderr);
    }
    // What is typed gets there, and the end of it too.
    let mut counting = host
        .command(support::HOIST)
        .args(["job", "run", "-i", "busybox", "wc", "-l"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut counting.stdin.take().unwrap(), b"one\ntwo\n").unwrap();
    let counted = counting.wait_with_output().unwrap();
    assert_eq!((counted.status.code(), String::from_utf8_lossy(&counted.stdout).trim()), (Some(0), "2"));
}

#[test]
fn three_people_share_a_machine() {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    let host = Host::new();
    host.busybox();
    // Others of the socket's group may use the daemon.
    for dir in [host.path().to_owned(), host.run_root()] {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o711)).unwrap();
    }
    std::os::unix::fs::chown(host.socket(), None, Some(0)).unwrap();
    let by = |user: &str, words: &[&str]| {
        let mut command = host.command("setpriv");
        command.args(["--reuid", user, "--regid", "root", "--clear-groups", "--", support::HOIST]).args(words);
        support::run(&mut command)
    };
    let rules = host.write("rules.yaml", "partitions:\n  - {name: all, preempt: true}\n");
    host.hoist(&["queue", "rules", &rules.display().to_string()]).ok();
    let go = host.path().join("go");
    fs::create_dir(&go).unwrap();
    let mount = format!("{}:/go", go.display());
    let all = processors();
    let train = "until [ -e /go/now ]; do sleep 0.1; done; echo trained $HOIST_ARRAY_INDEX of $HOIST_JOB_USER";
    let submit = |user: &str, array: &str, priority: &str| {
        let flags = ["job", "submit", "--name", user, "--array", array, "--priority", priority, "--cpus", &all];
        let command = ["--grace", "0s", "-v", &mount, "busybox", "sh", "-c", train];
        by(user, &[&flags[..], &command[..]].concat()).ok()
    };
    let is =
        |job: &str, wanted: &str| assert!(wait_until(|| state(&host, job) == wanted), "{job}: {}", state(&host, job));

    // Twenty jobs: each higher priority takes the machine from the lower one.
    assert_eq!(submit("daemon", "1-8", "0"), "1\n");
    is("1_1", "running");
    assert_eq!(submit("bin", "1-8", "5"), "2\n");
    is("2_1", "running");
    is("1_1", "pending");
    assert_eq!(submit("sys", "1-4", "10"), "3\n");
    is("3_1", "running");
    is("2_1", "pending");

    // The queue: by priority, with who waits for what.
    let queue = host.hoist(&["queue", "--format", "{{.Job}} {{.User}} {{.Priority}} {{.Reason}}"]).ok();
    let owners: Vec<&str> = queue.lines().map(|line| line.split(' ').nth(1).unwrap()).collect();
    assert_eq!(owners, [vec!["sys"; 3], vec!["bin"; 8], vec!["daemon"; 8]].concat(), "{queue}");
    assert!(queue.lines().all(|line| line.contains("waits for") || line.contains("behind")), "{queue}");

    // Nobody touches another's; everybody their own.
    let told = by("daemon", &["job", "cancel", "2"]).fails(1);
    assert!(told.contains("is bin's"), "{told}");
    assert_eq!(by("bin", &["job", "cancel", "2_8"]).ok(), "2_8\n");
    assert_eq!(by("sys", &["job", "hold", "3_4"]).ok(), "3_4\n");

    fs::write(go.join("now"), "").unwrap();
    assert_eq!(by("daemon", &["job", "wait", "1"]).code, 0);
    assert_eq!(state(&host, "3_4"), "held");
    by("sys", &["job", "release", "3_4"]).ok();
    let ended = by("sys", &["job", "wait", "2", "3"]);
    assert_eq!(ended.stdout.matches("completed (0)").count(), 11, "{}", ended.stdout);
    assert!(ended.stdout.contains("2_8 cancelled"), "{}", ended.stdout);
    // What gave way was started twice, and wrote its line once.
    assert_eq!(host.hoist(&["job", "show", "1_1", "--format", "{{.Attempts}}"]).ok(), "2\n");
    assert_eq!(host.hoist(&["job", "logs", "1_1"]).ok(), "trained 1 of daemon\n");
    // The accounts: each job once, however often it was started.
    let used = host.hoist(&["usage", "--format", "{{.Account}} {{.Jobs}}"]).ok();
    let mut used: Vec<&str> = used.lines().collect();
    used.sort_unstable();
    assert_eq!(used, ["bin 7", "daemon 8", "sys 4"]);
}

#[test]
fn ports_of_a_job_on_another_node_come_to_the_caller() {
    use std::io::{BufRead as _, BufReader};

    let mut cluster = Cluster::new(0);
    for _ in 0..2 {
        cluster.add().busybox();
    }
    cluster.init(&[]);
    cluster.join(1, "worker");
    cluster.wait_for(0, 2, 1);
    let (caller, worker) = (&cluster.hosts[0], &cluster.hosts[1]);
    let forwarded = |words: &[&str]| {
        let mut child = caller
            .command(support::HOIST)
            .args(words)
            .stderr(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let told = lines.find_map(|line| line.unwrap().split_once("http://").map(|(_, rest)| rest.to_owned())).unwrap();
        let address = told.split(' ').next().unwrap().to_owned();
        (child, caller.get(&format!("http://{address}/page")))
    };
    let serve = "echo hello from $(hostname) > page; exec busybox httpd -f -p 127.0.0.1:8888";
    let there = ["--constraint", "node.role==worker", "--grace", "1s"];
    let command = ["-h", "notebook", "busybox", "sh", "-c", serve];
    let (mut run, page) = forwarded(&[&["job", "run", "-p", "0:8888"], &there[..], &command[..]].concat());
    assert_eq!(page, "hello from notebook\n");
    let on = |host: &Host| host.hoist(&["ps", "-q", "--filter", "label=hoist.job.number=1"]).ok().lines().count();
    assert_eq!((on(caller), on(worker)), (0, 1), "it runs there");
    // A second way to it, afterwards.
    let (mut forward, page) = forwarded(&["job", "forward", "1", "0:8888"]);
    assert_eq!(page, "hello from notebook\n");
    caller.hoist(&["job", "cancel", "1"]).ok();
    assert_ne!(run.wait().unwrap().code(), Some(0));
    assert_eq!(forward.wait().unwrap().code(), Some(0), "it ends with the job");
}
