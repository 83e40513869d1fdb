//! Services, secrets and configs on a cluster of one, by the real `docker` client and by `hoist`.

#![allow(clippy::unwrap_used)] // what a helper cannot do fails the test

mod support;

use support::{Host, wait_until};

/// A machine that is a cluster of its own.
fn cluster() -> Host {
    let host = Host::new();
    host.busybox();
    host.hoist(&["swarm", "init", "--advertise-addr", "127.0.0.1"]).ok();
    host
}

fn docker(host: &Host, args: &[&str]) -> support::Done {
    host.other("docker", args)
}

/// Waits for a list to say something.
fn until(host: &Host, args: &[&str], wanted: &str) -> String {
    let mut last = String::new();
    let seen = wait_until(|| {
        last = docker(host, args).ok();
        last.contains(wanted)
    });
    assert!(seen, "{args:?} never said {wanted:?}:\n{last}");
    last
}

#[test]
fn a_node_in_no_cluster_says_so() {
    let host = Host::new();
    for words in [&["service", "ls"][..], &["secret", "ls"], &["config", "ls"], &["stack", "ls"]] {
        let said = host.hoist(words).fails(1);
        assert!(said.contains("not a swarm manager"), "{words:?}: {said}");
    }
}

#[test]
fn docker_s_client_makes_changes_and_removes_a_service() {
    let host = cluster();
    host.write("key", "s3cret");
    docker(&host, &["secret", "create", "--label", "a=b", "key", "key"]).ok();
    docker(&host, &["config", "create", "conf", "key"]).ok();
    assert!(docker(&host, &["secret", "inspect", "key"]).ok().contains("\"a\": \"b\""));
    assert!(!docker(&host, &["secret", "inspect", "key"]).ok().contains("Data"));
    let made = docker(
        &host,
        &[
            "service",
            "create",
            "--quiet",
            "--no-resolve-image",
            "--name",
            "web",
            "--replicas",
            "2",
            "--secret",
            "key",
            "--config",
            "source=conf,target=/etc/conf,mode=0400",
            "--env",
            "SLOT={{.Task.Slot}}",
            "--hostname",
            "{{.Service.Name}}-{{.Task.Slot}}",
            "--restart-delay",
            "10ms",
            "--update-monitor",
            "200ms",
            "--stop-grace-period",
            "100ms",
            "busybox",
            "sh",
            "-c",
            "echo $(hostname) $SLOT $(cat /run/secrets/key) $(cat /etc/conf); exec sleep 1000",
        ],
    );
    let id = made.ok();
    assert!(docker(&host, &["service", "ls"]).ok().contains("2/2"));
    let logs = until(&host, &["service", "logs", "--raw", "web"], "web-2 2 s3cret s3cret");
    assert!(logs.contains("web-1 1 s3cret s3cret"), "{logs}");
    assert!(docker(&host, &["service", "logs", "web"]).ok().contains("web.1."));
    assert_eq!(docker(&host, &["service", "inspect", "-f", "{{.Spec.Mode.Replicated.Replicas}}", "web"]).ok(), "2\n");

    // A change replaces the tasks one by one and keeps the old ones as history.
    docker(&host, &["service", "update", "--quiet", "--env-add", "MORE=1", "web"]).ok();
    let tasks = docker(&host, &["service", "ps", "web"]).ok();
    assert_eq!(tasks.matches("Shutdown").count(), 4, "{tasks}");
    docker(&host, &["service", "rollback", "--quiet", "web"]).ok();
    assert!(!docker(&host, &["service", "inspect", "web"]).ok().split("PreviousSpec").next().unwrap().contains("MORE"));
    docker(&host, &["service", "scale", "-d", "web=1"]).ok();
    until(&host, &["service", "ls"], "1/1");

    let stale = host.other(
        "curl",
        &[
            "-s",
            "--unix-socket",
            host.socket().to_str().unwrap(),
            "-X",
            "POST",
            "-d",
            "{}",
            "-H",
            "Content-Type: application/json",
            &format!("http://x/services/{}/update?version=1", id.trim()),
        ],
    );
    assert!(stale.ok().contains("message"));
    let used = docker(&host, &["secret", "rm", "key"]).fails(1);
    assert!(used.contains("is in use by the following service: web"), "{used}");
    docker(&host, &["service", "rm", "web"]).ok();
    // The name is free at once.
    docker(&host, &["service", "create", "-d", "--no-resolve-image", "--name", "web", "busybox", "sleep", "1000"]).ok();
    docker(&host, &["secret", "rm", "key"]).ok();
    docker(&host, &["service", "rm", "web"]).ok();
    until(&host, &["service", "ls", "--format", "[{{.Name}}]"], "");
    assert!(wait_until(|| host.hoist(&["ps", "-aq"]).ok().is_empty()), "containers are left");
}

#[test]
fn a_failed_update_is_rolled_back_and_said_so() {
    let host = cluster();
    host.hoist(&[
        "service",
        "create",
        "-q",
        "--no-resolve-image",
        "--name",
        "web",
        "--replicas",
        "2",
        "--update-failure-action",
        "rollback",
        "--update-monitor",
        "300ms",
        "--stop-grace-period",
        "100ms",
        "--restart-delay",
        "10ms",
        "busybox",
        "sleep",
        "1000",
    ])
    .ok();
    let said = host.hoist(&["service", "update", "-q", "--args", "false", "web"]).fails(1);
    assert!(said.contains("rolled back"), "{said}");
    let state = host
        .hoist(&[
            "service",
            "inspect",
            "-f",
            "{{.UpdateStatus.State}} {{.Spec.TaskTemplate.ContainerSpec.Args}}",
            "web",
        ])
        .ok();
    assert_eq!(state, "rollback_completed [sleep 1000]\n");
    until(&host, &["service", "ls"], "2/2");
}

#[test]
fn jobs_end_and_tasks_without_a_place_say_why() {
    let host = cluster();
    host.hoist(&[
        "service",
        "create",
        "-q",
        "--no-resolve-image",
        "--name",
        "job",
        "--mode",
        "replicated-job",
        "--replicas",
        "3",
        "--max-concurrent",
        "2",
        "busybox",
        "echo",
        "done",
    ])
    .ok();
    assert!(host.hoist(&["service", "ls"]).ok().contains("(3/3 completed)"));
    assert_eq!(host.hoist(&["service", "logs", "--raw", "job"]).ok(), "done\ndone\ndone\n");
    host.hoist(&[
        "service",
        "create",
        "-d",
        "--no-resolve-image",
        "--name",
        "big",
        "--reserve-memory",
        "100000g",
        "busybox",
        "true",
    ])
    .ok();
    let reason = "no suitable node (1 node lacks 97.66TiB of free memory)";
    let why = until(&host, &["service", "ps", "--no-trunc", "big"], reason);
    assert!(why.contains("Pending"), "{why}");
    let explained = host.hoist(&["explain", "big.1"]).ok();
    assert!(explained.contains("it has no node") && explained.contains("lacks"), "{explained}");
    assert!(host.hoist(&["explain", "job.1"]).ok().contains("it is on "));
}

#[test]
fn a_secret_changes_in_place_and_its_services_roll() {
    let host = cluster();
    host.write("one", "one");
    host.write("two", "two");
    host.write("conf", "secret is {{secret \"key\"}} in slot {{.Task.Slot}}");
    host.hoist(&["secret", "create", "key", "one"]).ok();
    host.hoist(&["config", "create", "--template-driver", "golang", "conf", "conf"]).ok();
    host.hoist(&[
        "service",
        "create",
        "-q",
        "--no-resolve-image",
        "--name",
        "web",
        "--secret",
        "key",
        "--config",
        "conf",
        "--update-monitor",
        "200ms",
        "--stop-grace-period",
        "100ms",
        "busybox",
        "sh",
        "-c",
        "cat /conf; echo; exec sleep 1000",
    ])
    .ok();
    until(&host, &["service", "logs", "--raw", "web"], "secret is one in slot 1");
    host.hoist(&["secret", "update", "-q", "key", "two"]).ok();
    until(&host, &["service", "logs", "--raw", "web"], "secret is two in slot 1");
    // The old content is kept for a rollback.
    host.hoist(&["service", "rollback", "-q", "web"]).ok();
    assert!(wait_until(|| host.hoist(&["service", "logs", "--raw", "web"]).ok().matches("secret is one").count() == 2));
    host.hoist(&["service", "rm", "web"]).ok();
    assert!(wait_until(|| host.hoist(&["secret", "ls", "--format", "{{.Name}}"]).ok() == "key\n"));
}

#[test]
fn a_stack_is_deployed_changed_and_removed() {
    let host = cluster();
    host.write(
        "compose.yaml",
        "services:\n  web:\n    image: busybox\n    command: [sleep, '1000']\n    stop_grace_period: 100ms\n    deploy: {replicas: 2}\n  \
         other:\n    image: busybox\n    command: [sleep, '1000']\n    stop_grace_period: 100ms\n",
    );
    let said = host.hoist(&["stack", "deploy", "-c", "compose.yaml", "--resolve-image", "never", "shop"]).ok();
    assert!(said.contains("Creating service shop_web"), "{said}");
    until(&host, &["service", "ls"], "2/2");
    let stacks = host.hoist(&["stack", "ls"]).ok();
    assert!(stacks.contains("shop") && stacks.contains('2'), "{stacks}");
    assert!(docker(&host, &["stack", "services", "shop"]).ok().contains("shop_other"));
    assert!(host.hoist(&["stack", "ps", "shop"]).ok().contains("shop_web.2"));
    host.write(
        "compose.yaml",
        "services:\n  web:\n    image: busybox\n    command: [sleep, '1000']\n    stop_grace_period: 100ms\n    deploy: {replicas: 1}\n",
    );
    host.hoist(&[
        "stack",
        "deploy",
        "-c",
        "compose.yaml",
        "--resolve-image",
        "never",
        "--prune",
        "--detach=false",
        "-q",
        "shop",
    ])
    .ok();
    assert!(!host.hoist(&["stack", "services", "shop"]).ok().contains("shop_other"));
    host.hoist(&["stack", "rm", "--detach=false", "shop"]).ok();
    assert!(host.hoist(&["stack", "ps", "shop"]).fails(1).contains("nothing found in stack: shop"));
    assert!(wait_until(|| host.hoist(&["ps", "-aq"]).ok().is_empty()), "containers are left");
}
