//! A cluster is replaced node by node by a newer program while its services run: two builds side by side.
//!
//! The older one is this program kept to the first version of the cluster's protocol: it tells no other, and what came
//! later is as unknown to it as to the program of that time, so that a manager to which it is sent stops. With
//! `HOIST_EARLIER_BUILD=/path/to/hoist` it is a program of that time.
#![allow(clippy::unwrap_used)] // what a helper cannot do fails the test

mod support;

use support::{
    HOIST, Host,
    cluster::{Cluster, address, until},
};

/// The older build, and the flags of its daemon.
fn earlier() -> (String, &'static [&'static str]) {
    match std::env::var("HOIST_EARLIER_BUILD") {
        Ok(program) => (program, &[]),
        Err(_) => (HOIST.to_owned(), &["--cluster-protocol", "1"]),
    }
}

/// The version that the managers go by, as a host with this program shows it.
fn agreed(host: &Host) -> String {
    let shown = host.other("curl", &["-s", "--unix-socket", host.socket().to_str().unwrap(), "http://x/swarm"]).ok();
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    shown["Protocol"].to_string()
}

/// How many tasks of a service run, by what its manager says.
fn running(host: &Host, service: &str) -> usize {
    let shown = host.hoist(&["service", "ps", "-f", "desired-state=running", "--format", "{{.CurrentState}}", service]);
    shown.stdout.lines().filter(|line| line.starts_with("Running")).count()
}

/// The containers of a service on all hosts, with the moment at which each began.
fn containers(cluster: &Cluster, service: &str) -> Vec<String> {
    let filter = format!("label=hoist.service.name={service}");
    let of = |host: &Host| {
        let ids = host.hoist(&["ps", "-q", "--no-trunc", "-f", &filter]).ok();
        let ids: Vec<&str> = ids.split_whitespace().collect();
        if ids.is_empty() {
            return String::new();
        }
        host.hoist(&[&["inspect", "-f", "{{.Id}} {{.State.StartedAt}}"], &ids[..]].concat()).ok()
    };
    let mut all: Vec<String> =
        cluster.hosts.iter().flat_map(|host| of(host).lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    all.sort();
    all
}

#[test]
fn a_cluster_is_replaced_node_by_node_while_its_services_run() {
    let (program, flags) = earlier();
    let mut cluster = Cluster::new(0);
    for _ in 0..4 {
        cluster.add_host(Host::of(&program, flags));
    }
    cluster.init(&[]);
    (1..3).for_each(|at| cluster.join(at, "manager"));
    cluster.join(3, "worker");
    (0..3).for_each(|at| cluster.wait_for(at, 4, 3));
    cluster.hosts.iter().for_each(Host::busybox);
    let create = ["service", "create", "--name", "web", "--mode", "global", "--stop-grace-period", "0s"];
    cluster.hosts[0].hoist(&[&create[..], &["busybox", "sleep", "600"]].concat()).ok();
    assert!(until(|| running(&cluster.hosts[0], "web") == 4));
    let before = containers(&cluster, "web");
    assert_eq!(before.len(), 4);

    // One after the other, the leader first: whoever leads then is older than who follows, or the other way round. Each
    // time everybody takes part, and what is written through the new one is read at the others.
    for at in 0..3 {
        cluster.hosts[at].replace_daemon(HOIST, &[]);
        (0..3).for_each(|other| cluster.wait_for(other, 4, 3));
        let (label, node) = (format!("round={at}"), cluster.node_id(3));
        cluster.hosts[at].hoist(&["node", "update", "--label-add", &label, &node]).ok();
        for other in 0..3 {
            let read =
                || cluster.hosts[other].hoist(&["node", "inspect", "-f", "{{.Spec.Labels.round}}", &node]).stdout;
            assert!(until(|| read().trim() == at.to_string()), "host {other} reads {:?}", read());
        }
        // Tasks come to be and go, with all that is written of them, under a leader of either kind.
        let (name, count) = (format!("job{at}"), "3");
        let job = ["service", "create", "-d", "--name", &name, "--mode", "replicated-job", "--replicas", count];
        cluster.hosts[at].hoist(&[&job[..], &["busybox", "true"]].concat()).ok();
        let done = || {
            let states = ["service", "ps", "--format", "{{.CurrentState}}", &name];
            cluster.hosts[at].hoist(&states).stdout.lines().filter(|line| line.starts_with("Complete")).count()
        };
        assert!(until(|| done() == 3), "{}", cluster.hosts[at].hoist(&["service", "ps", &name]).stdout);
        if at < 2 {
            assert_eq!(agreed(&cluster.hosts[at]), "1", "a manager of the older program is there");
        }
    }
    assert!(until(|| (0..3).all(|at| agreed(&cluster.hosts[at]) == "2")), "{}", agreed(&cluster.hosts[0]));
    // The worker is of the older program still, and does all that it did.
    cluster.hosts[0].hoist(&["service", "update", "-d", "--env-add", "A=1", "--force", "web"]).ok();
    assert!(until(|| running(&cluster.hosts[0], "web") == 4 && containers(&cluster, "web").len() == 4));
    let after = containers(&cluster, "web");
    assert!(after.iter().all(|container| !before.contains(container)), "the update reached all: {after:?}");

    // What is older now is refused by name: as a manager, as one that is to become one, and as one that was one.
    cluster.add_host(Host::of(&program, flags));
    let (token, manager) = (cluster.token("manager"), format!("{}:2377", address(0)));
    let refused = cluster.hosts[4].hoist(&["swarm", "join", "--token", &token, &manager]).fails(1);
    assert!(refused.contains("speaks no more than version 1"), "{refused}");
    assert!(refused.contains("the managers have agreed on 2: install a newer hoist on the node"), "{refused}");
    let worker = cluster.node_id(3);
    let refused = cluster.hosts[1].hoist(&["node", "promote", &worker]).fails(1);
    assert!(refused.contains("install a newer hoist on the node before it becomes a manager"), "{refused}");
    cluster.hosts[3].replace_daemon(HOIST, &[]);
    cluster.wait_for(0, 4, 3);
    assert_eq!(containers(&cluster, "web"), after, "no container has noticed");
    assert!(until(|| cluster.hosts[1].hoist(&["node", "promote", &worker]).code == 0));
    cluster.wait_for(0, 4, 4);
}

#[test]
fn an_older_program_does_not_take_over_what_it_cannot_read() {
    let mut cluster = Cluster::new(2);
    cluster.init(&[]);
    cluster.join(1, "manager");
    (0..2).for_each(|at| cluster.wait_for(at, 2, 2));
    assert!(until(|| agreed(&cluster.hosts[1]) == "2"));
    let (program, flags) = (HOIST, ["--cluster-protocol", "1"]);
    let host = &mut cluster.hosts[1];
    host.kill_daemon();
    let refusal = host.try_start_daemon_with(program, &flags).unwrap_err();
    assert!(
        refusal.contains("version 2 of the cluster's protocol, and this program speaks no more than 1"),
        "{refusal}"
    );
    assert!(refusal.contains("a newer hoist must run here"), "{refusal}");
    // And with its own program it is what it was.
    host.replace_daemon(HOIST, &[]);
    (0..2).for_each(|at| cluster.wait_for(at, 2, 2));

    // A cluster that is kept to the older version can go back to the older program.
    let mut kept = Cluster::new(0);
    kept.add_with(&flags);
    kept.init(&[]);
    kept.wait_for(0, 1, 1);
    assert_eq!(agreed(&kept.hosts[0]), "1");
    let refused = kept.hosts[0].hoist(&["network", "create", "-d", "overlay", "--ingress", "mine"]).fails(1);
    assert!(refused.contains("needs version 2 of the cluster's protocol, which goes by 1 now: manager"), "{refused}");
    kept.hosts[0].replace_daemon(HOIST, &[]);
    kept.wait_for(0, 1, 1);
    assert!(until(|| agreed(&kept.hosts[0]) == "2"));
    let wrong = kept.hosts[0].try_start_daemon_with(HOIST, &["--cluster-protocol", "7"]).unwrap_err();
    assert!(
        wrong.contains("invalid value \"7\" for --cluster-protocol") && wrong.contains("it speaks 1 to 2"),
        "{wrong}"
    );
}
