//! Several machines become one cluster, and stay one: joined, led, cut, killed.
#![allow(clippy::unwrap_used)] // what a helper cannot do fails the test

mod support;

use std::time::{Duration, Instant};

use support::cluster::{Cluster, address, until};

#[test]
fn a_worker_and_a_manager_join() {
    let cluster = Cluster::new(3);
    cluster.init(&[]);
    cluster.join(1, "worker");
    cluster.wait_for(0, 2, 1);
    cluster.join(2, "manager");
    cluster.wait_for(0, 3, 2);
    // The new manager has the whole state, and a worker has none.
    cluster.wait_for(2, 3, 2);
    let refusal = cluster.hosts[1].hoist(&["node", "ls"]).fails(1);
    assert!(refusal.contains("not a swarm manager"), "{refusal}");

    // A write at a manager that does not lead gets to the one that does.
    let worker = cluster.node_id(1);
    cluster.hosts[2].hoist(&["node", "update", "--label-add", "disk=ssd", &worker]).ok();
    let label = cluster.hosts[0].hoist(&["node", "inspect", "-f", "{{.Spec.Labels.disk}}", &worker]).ok();
    assert_eq!(label.trim(), "ssd");
    // And whoever asks there afterwards sees it.
    for number in 0..20 {
        cluster.hosts[2].hoist(&["node", "update", "--label-add", &format!("number={number}"), &worker]).ok();
        let label = cluster.hosts[2].hoist(&["node", "inspect", "-f", "{{.Spec.Labels.number}}", &worker]).ok();
        assert_eq!(label.trim(), number.to_string());
    }
    assert_eq!(cluster.leader(2), Some(0));
    let info = || cluster.hosts[1].hoist(&["info", "-f", "{{json .Swarm.RemoteManagers}}"]).stdout;
    assert!(until(|| info().contains(&address(0)) && info().contains(&address(2))), "{}", info());
}

#[test]
fn who_does_not_belong_is_refused() {
    let cluster = Cluster::new(3);
    cluster.init(&[]);
    let manager = format!("{}:2377", address(0));
    let (old, token) = (cluster.token("worker"), cluster.token("worker"));
    let join =
        |at: usize, token: &str| cluster.hosts[at].hoist(&["swarm", "join", "--token", token, &manager]).fails(1);

    // The right root and a wrong secret; a wrong root; no token at all.
    let (root, _) = token.rsplit_once('-').unwrap();
    let wrong = join(1, &format!("{root}-0000000000000000000000000"));
    assert!(wrong.contains("a valid join token is necessary"), "{wrong}");
    let (prefix, secret) = ("SWMTKN-1", token.rsplit_once('-').unwrap().1);
    let wrong = join(1, &format!("{prefix}-{}-{secret}", "0".repeat(50)));
    assert!(wrong.contains("not of the cluster that the join token is for"), "{wrong}");
    assert!(join(1, "SWMTKN-1-x").contains("invalid join token"));

    // A token that was replaced.
    cluster.hosts[0].hoist(&["swarm", "join-token", "--rotate", "-q", "worker"]).ok();
    assert!(join(1, &old).contains("a valid join token is necessary"));
    cluster.join(1, "worker");
    cluster.wait_for(0, 2, 1);
    assert!(cluster.hosts[0].daemon_log().contains("a node with a wrong join token was refused"));

    // Who is in is in, and who is not has nothing to leave.
    let again = cluster.hosts[1].hoist(&["swarm", "join", "--token", &cluster.token("worker"), &manager]).fails(1);
    assert!(again.contains("already part of a swarm"), "{again}");
    assert!(cluster.hosts[2].hoist(&["swarm", "leave"]).fails(1).contains("not part of a swarm"));
    assert!(cluster.hosts[0].hoist(&["swarm", "leave"]).fails(1).contains("--force"));
}

#[test]
fn a_leader_is_killed_and_the_others_go_on() {
    let mut cluster = Cluster::new(3);
    cluster.init(&[]);
    cluster.join(1, "manager");
    cluster.join(2, "manager");
    // A manager that has not heard yet that the third has a vote would wait for the first for ever.
    (0..3).for_each(|at| cluster.wait_for(at, 3, 3));
    let label = |host: &support::Host, label: &str, node: &str| {
        host.hoist(&["node", "update", "--label-add", label, node]).ok()
    };
    let node = cluster.node_id(2);
    label(&cluster.hosts[0], "before=1", &node);

    cluster.hosts[0].kill_daemon();
    assert!(until(|| matches!(cluster.leader(1), Some(1 | 2))), "{:?}", cluster.nodes(1));
    label(&cluster.hosts[1], "during=1", &node);
    let labels = |at: usize| cluster.hosts[at].hoist(&["node", "inspect", "-f", "{{json .Spec.Labels}}", &node]).stdout;
    assert!(until(|| labels(2).trim() == r#"{"before":"1","during":"1"}"#), "{}", labels(2));

    // The one that was killed learns what it has missed.
    cluster.hosts[0].start_daemon();
    cluster.wait_for(0, 3, 3);
    let labels = cluster.hosts[0].hoist(&["node", "inspect", "-f", "{{json .Spec.Labels}}", &node]).stdout;
    assert_eq!(labels.trim(), r#"{"before":"1","during":"1"}"#);
}

#[test]
fn roles_change_and_nodes_leave() {
    let cluster = Cluster::new(3);
    cluster.init(&[]);
    cluster.join(1, "worker");
    cluster.join(2, "worker");
    cluster.wait_for(0, 3, 1);
    let (first, second) = (cluster.node_id(0), cluster.node_id(1));
    let last = cluster.hosts[0].hoist(&["node", "demote", &first]).fails(1);
    assert!(last.contains("last manager"), "{last}");

    cluster.hosts[0].hoist(&["node", "promote", &second]).ok();
    cluster.wait_for(0, 3, 2);
    cluster.wait_for(1, 3, 2);
    cluster.hosts[1].hoist(&["node", "demote", &second]).ok();
    cluster.wait_for(0, 3, 1);
    assert!(until(|| cluster.hosts[1].hoist(&["node", "ls"]).stderr.contains("not a swarm manager")));

    let third = cluster.node_id(2);
    let there = cluster.hosts[0].hoist(&["node", "rm", &third]).fails(1);
    assert!(there.contains("is not down"), "{there}");
    cluster.hosts[2].hoist(&["swarm", "leave"]).ok();
    assert!(until(|| cluster.nodes(0).iter().any(|line| line.starts_with(&format!("{third} Down")))));
    cluster.hosts[0].hoist(&["node", "rm", &third]).ok();
    assert_eq!(cluster.nodes(0).len(), 2);
    // It may come back, as another.
    cluster.join(2, "worker");
    cluster.wait_for(0, 3, 1);
    assert_ne!(cluster.node_id(2), third);
}

#[test]
fn the_root_is_replaced_while_all_runs() {
    let cluster = Cluster::new(2);
    cluster.init(&[]);
    cluster.join(1, "worker");
    cluster.wait_for(0, 2, 1);
    let (root, token) = (cluster.hosts[0].hoist(&["swarm", "ca"]).ok(), cluster.token("worker"));
    let next = cluster.hosts[0].hoist(&["swarm", "ca", "--rotate", "-q"]).ok();
    assert_ne!(next, root);
    assert_ne!(cluster.token("worker"), token);
    let trust = |at: usize| {
        let id = cluster.node_id(at);
        cluster.hosts[0].hoist(&["node", "inspect", "-f", "{{.Description.TLSInfo.TrustRoot}}", &id]).stdout
    };
    cluster.wait_for(0, 2, 1);
    assert!(until(|| (0..2).all(|at| trust(at).trim() == next.trim())), "{}\n{}", trust(0), trust(1));
}

#[test]
fn certificates_of_a_minute_are_renewed_while_all_runs() {
    let mut cluster = Cluster::new(2);
    cluster.init(&["--cert-expiry", "1m"]);
    cluster.join(1, "worker");
    cluster.wait_for(0, 2, 1);
    cluster.hosts.iter().for_each(|host| host.busybox());
    let serial = |cluster: &Cluster, at: usize| {
        let certificate = cluster.hosts[at].data_root().join("cluster/node.crt");
        let done =
            cluster.hosts[at].other("openssl", &["x509", "-noout", "-serial", "-in", certificate.to_str().unwrap()]);
        done.ok()
    };
    let (began, first) = (Instant::now(), [serial(&cluster, 0), serial(&cluster, 1)]);
    assert!(until(|| (0..2).all(|at| serial(&cluster, at) != first[at])), "not renewed: {first:?}");
    // When the first ones are good no more, what was opened with them still is, and what is opened anew is too.
    std::thread::sleep(Duration::from_secs(65).saturating_sub(began.elapsed()));
    let create = ["service", "create", "--name", "web", "--mode", "global", "--stop-grace-period", "0s"];
    cluster.hosts[0].hoist(&[&create[..], &["busybox", "sh", "-c", "hostname; exec sleep 600"]].concat()).ok();
    cluster.hosts[1].restart_with(&[]);
    cluster.wait_for(0, 2, 1);
    assert!(until(|| cluster.hosts[0].hoist(&["service", "logs", "web"]).stdout.lines().count() == 2));
}

#[test]
fn a_manager_without_the_others_makes_the_cluster_anew() {
    let mut cluster = Cluster::new(3);
    cluster.init(&[]);
    cluster.join(1, "manager");
    cluster.join(2, "worker");
    cluster.wait_for(0, 3, 2);
    let worker = cluster.node_id(2);
    cluster.hosts[0].hoist(&["node", "update", "--label-add", "kept=1", &worker]).ok();
    cluster.wait_for(1, 3, 2);
    cluster.hosts[0].kill_daemon();
    cluster.hosts[1].hoist(&["swarm", "init", "--force-new-cluster"]).ok();
    let label = cluster.hosts[1].hoist(&["node", "inspect", "-f", "{{.Spec.Labels.kept}}", &worker]).ok();
    assert_eq!(label.trim(), "1");
    // The worker finds the manager that is left.
    assert!(until(|| cluster.nodes(1).iter().any(|line| *line == format!("{worker} Ready"))), "{:?}", cluster.nodes(1));
}

#[test]
fn a_task_is_reached_from_a_manager_wherever_it_runs() {
    let cluster = Cluster::new(2);
    cluster.init(&[]);
    cluster.join(1, "worker");
    cluster.wait_for(0, 2, 1);
    cluster.hosts.iter().for_each(|host| host.busybox());
    let (manager, worker) = (&cluster.hosts[0], &cluster.hosts[1]);
    let command = ["busybox", "sh", "-c", "echo from far; echo and ill >&2; exec sleep 600"];
    let create =
        ["service", "create", "--name", "far", "--constraint", "node.role==worker", "--stop-grace-period", "0s"];
    manager.hoist(&[&create[..], &command[..]].concat()).ok();
    let container = worker.hoist(&["ps", "-q"]).ok().trim().to_owned();
    assert_eq!(manager.hoist(&["ps", "-q"]).ok(), "", "it runs on the worker alone");

    let logs = manager.hoist(&["service", "logs", "--raw", "far"]);
    assert_eq!((logs.stdout.as_str(), logs.stderr.as_str()), ("from far\n", "and ill\n"));
    assert_eq!(manager.hoist(&["logs", "-n", "1", &container]).stderr, "and ill\n");
    assert_eq!(manager.hoist(&["exec", &container, "echo", "inside"]).ok(), "inside\n");
    manager.hoist(&["exec", &container, "sh", "-c", "exit 7"]).fails(7);
    assert!(manager.hoist(&["top", &container]).ok().contains("sleep 600"));
    let copied = manager.path().join("copied");
    manager.hoist(&["cp", &format!("{container}:/bin/sh"), &copied.display().to_string()]).ok();
    assert!(copied.symlink_metadata().is_ok());

    manager.hoist(&["service", "rm", "far"]).ok();
    assert!(until(|| worker.hoist(&["ps", "-aq"]).ok().is_empty()), "no container runs on without its service");

    manager.hoist(&[&create[..], &command[..]].concat()).ok();
    assert!(!worker.hoist(&["ps", "-q"]).ok().is_empty());
    worker.hoist(&["swarm", "leave"]).ok();
    assert!(until(|| worker.hoist(&["ps", "-aq"]).ok().is_empty()), "who leaves takes nothing along");
}

#[test]
fn a_locked_manager_needs_its_key() {
    let mut cluster = Cluster::new(1);
    cluster.init(&["--autolock"]);
    let host = &cluster.hosts[0];
    host.busybox();
    let key = host.hoist(&["swarm", "unlock-key", "-q"]).ok().trim().to_owned();
    assert!(key.starts_with("SWMKEY-1-"), "{key}");
    let create = ["service", "create", "--name", "one", "busybox", "sleep", "600"];
    host.hoist(&create).ok();
    let dir = host.path().join("data/cluster");
    let locked = |name: &str| std::fs::read(dir.join(name)).unwrap().starts_with(b"hoist-locked-1\n");
    assert!(until(|| locked("node.key") && locked("key")));
    let mode =
        |name: &str| std::os::unix::fs::PermissionsExt::mode(&dir.join(name).metadata().unwrap().permissions()) & 0o777;
    assert_eq!((mode("node.key"), mode("key")), (0o600, 0o600));

    // What runs goes on, and nothing is told of the cluster before the key is there.
    cluster.hosts[0].kill_daemon();
    cluster.hosts[0].start_daemon();
    let host = &cluster.hosts[0];
    assert!(host.hoist(&["node", "ls"]).fails(1).contains("needs to be unlocked"));
    assert_eq!(host.hoist(&["info", "-f", "{{.Swarm.LocalNodeState}}"]).ok().trim(), "locked");
    assert_eq!(host.hoist(&["ps", "-q"]).ok().lines().count(), 1);
    let unlock = |host: &support::Host, key: &str| {
        host.other("sh", &["-c", &format!("echo {key} | {} swarm unlock", support::HOIST)])
    };
    let wrong = unlock(host, "SWMKEY-1-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").fails(1);
    assert!(wrong.contains("invalid key"), "{wrong}");
    assert!(host.hoist(&["swarm", "leave"]).fails(1).contains("needs to be unlocked"));
    unlock(host, &key).ok();
    assert!(until(|| host.hoist(&["service", "ls", "--format", "{{.Name}} {{.Replicas}}"]).stdout.trim() == "one 1/1"));
    assert!(unlock(host, &key).fails(1).contains("not locked"));

    // Another key, and none.
    let node_key = || std::fs::read(dir.join("node.key")).unwrap();
    let before = node_key();
    host.hoist(&["swarm", "unlock-key", "--rotate", "-q"]).ok();
    assert_ne!(host.hoist(&["swarm", "unlock-key", "-q"]).ok().trim(), key);
    assert!(until(|| node_key() != before));
    host.hoist(&["swarm", "update", "--autolock=false"]).ok();
    assert!(until(|| !locked("node.key") && !locked("key")));
    cluster.hosts[0].kill_daemon();
    cluster.hosts[0].start_daemon();
    cluster.wait_for(0, 1, 1);

    // Whoever has lost the key can still leave; the next cluster has nothing to do with it.
    let host = &cluster.hosts[0];
    host.hoist(&["swarm", "update", "--autolock=true"]).ok();
    assert!(until(|| locked("node.key") && locked("key")));
    cluster.hosts[0].kill_daemon();
    cluster.hosts[0].start_daemon();
    cluster.hosts[0].hoist(&["swarm", "leave", "--force"]).ok();
    cluster.init(&[]);
    cluster.wait_for(0, 1, 1);
}

#[test]
fn a_swarm_that_was_saved_begins_again_where_it_was() {
    let cluster = Cluster::new(2);
    cluster.init(&[]);
    cluster.join(1, "worker");
    cluster.wait_for(0, 2, 1);
    let (manager, worker) = (&cluster.hosts[0], &cluster.hosts[1]);
    worker.busybox();
    let secret = manager.write("secret", "not to be read");
    manager.hoist(&["secret", "create", "key", &secret.display().to_string()]).ok();
    let create = ["service", "create", "--name", "one", "--constraint", "node.role==worker", "--secret", "key"];
    let quick = ["--stop-grace-period", "1s", "--update-monitor", "500ms"];
    manager.hoist(&[&create[..], &quick[..], &["busybox", "sleep", "600"]].concat()).ok();
    let container = worker.hoist(&["ps", "-q"]).ok();
    assert_eq!(container.lines().count(), 1);

    let file = manager.path().join("saved").display().to_string();
    let key = manager.hoist(&["swarm", "snapshot", "save", "-q", &file]).ok();
    let bytes = std::fs::read(&file).unwrap();
    for plain in [&b"not to be read"[..], b"PRIVATE KEY", b"busybox"] {
        assert!(!bytes.windows(plain.len()).any(|part| part == plain));
    }
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions()) & 0o777;
    assert_eq!(mode, 0o600);
    let key_file = manager.write("saved.key", &key).display().to_string();
    let advertise = address(0);
    let restore = ["swarm", "snapshot", "restore", "--advertise-addr", &advertise, "--key-file", &key_file, &file];
    assert!(manager.hoist(&restore).fails(1).contains("already part of a swarm"));

    manager.hoist(&["swarm", "leave", "--force"]).ok();
    let wrong =
        manager.write("wrong.key", "SWMKEY-1-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").display().to_string();
    let refused = manager.hoist(&["swarm", "snapshot", "restore", "--key-file", &wrong, &file]).fails(1);
    assert!(refused.contains("does not open with this key"), "{refused}");
    assert_eq!(manager.hoist(&["info", "-f", "{{.Swarm.LocalNodeState}}"]).ok().trim(), "inactive");
    let told = manager.hoist(&restore).ok();
    assert!(told.contains("Swarm restored"), "{told}");

    // The worker finds it, and what ran has run on.
    let worker_is_back = || cluster.nodes(0).iter().filter(|line| line.contains(" Ready")).count() == 2;
    assert!(until(worker_is_back), "{:?}", cluster.nodes(0));
    let services = || manager.hoist(&["service", "ls", "--format", "{{.Name}} {{.Replicas}}"]).stdout;
    assert!(until(|| services().trim() == "one 1/1"), "{}", services());
    assert_eq!(worker.hoist(&["ps", "-q"]).ok(), container);
    manager.hoist(&["service", "update", "--env-add", "AGAIN=1", "one"]).ok();
    assert_ne!(worker.hoist(&["ps", "-q"]).ok(), container);
    let task = worker.hoist(&["ps", "-q"]).ok();
    assert_eq!(worker.hoist(&["exec", task.trim(), "cat", "/run/secrets/key"]).ok(), "not to be read");
}

#[test]
fn a_monitor_reads_what_is_in_the_cluster() {
    let mut cluster = Cluster::new(2);
    let settings = cluster.hosts[0].write("daemon.json", r#"{"metrics-addr": "127.0.0.1:9323"}"#).display().to_string();
    cluster.hosts[0].restart_with(&["--config-file", &settings]);
    cluster.init(&[]);
    cluster.join(1, "worker");
    cluster.wait_for(0, 2, 1);
    let manager = &cluster.hosts[0];
    manager.busybox();
    cluster.hosts[1].busybox();
    let create = ["service", "create", "--name", "two", "--replicas", "2", "--update-monitor", "500ms"];
    manager.hoist(&[&create[..], &["busybox", "sleep", "600"]].concat()).ok();
    let page = manager.get("http://127.0.0.1:9323/metrics");
    for line in [
        "swarm_node_manager 1",
        "swarm_manager_leader 1",
        "swarm_manager_nodes{state=\"ready\"} 2",
        "swarm_manager_nodes{state=\"down\"} 0",
        "swarm_manager_tasks_total{state=\"running\"} 2",
        "swarm_manager_services_total 1",
        "swarm_manager_secrets_total 0",
    ] {
        assert!(page.lines().any(|one| one == line), "{line} is missing:\n{page}");
    }
    let value = |name: &str| -> f64 {
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name}:\n{page}"))
    };
    assert!(value("swarm_raft_transaction_latency_seconds_count") > 5.0);
    assert!(value("hoist_store_transactions_total") >= value("swarm_raft_transaction_latency_seconds_count"));
    assert!(value("hoist_raft_applied_index") > 5.0);
}
