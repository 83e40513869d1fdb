//! Networks that span nodes: names, virtual addresses and balancing from any container to any other.
#![allow(clippy::unwrap_used)] // what a helper cannot do fails the test

mod support;

use std::collections::BTreeSet;

use support::cluster::{Cluster, until};

/// A manager and a worker that have the image.
fn two() -> Cluster {
    let cluster = Cluster::new(2);
    cluster.init(&[]);
    cluster.join(1, "worker");
    cluster.wait_for(0, 2, 1);
    cluster.hosts.iter().for_each(|host| host.busybox());
    cluster
}

/// One line to whoever connects: its own host name.
const SERVER: &str = "while :; do hostname | nc -l -p 80; done";

/// The only container of a service on a host.
fn container(cluster: &Cluster, at: usize, service: &str) -> String {
    let mut found = String::new();
    let filter = format!("label=hoist.service.name={service}");
    assert!(
        until(|| {
            found = cluster.hosts[at].hoist(&["ps", "-q", "-f", &filter]).ok().trim().to_owned();
            !found.is_empty()
        }),
        "{service} has no container on host {at}"
    );
    found.lines().next().unwrap().to_owned()
}

#[test]
fn the_compose_file_of_a_laptop_spans_the_machines() {
    let cluster = two();
    let manager = &cluster.hosts[0];
    manager.write(
        "compose.yaml",
        &format!(
            "
name: shop
services:
  web:
    image: busybox
    command: [sh, -c, '{SERVER}']
    stop_grace_period: 0s
    deploy: {{ replicas: 2, placement: {{ max_replicas_per_node: 1 }} }}
  db:
    image: busybox
    command: [sh, -c, '{SERVER}']
    stop_grace_period: 0s
    deploy: {{ endpoint_mode: dnsrr, placement: {{ constraints: [node.role==worker] }} }}
  client:
    image: busybox
    command: [sleep, '600']
    stop_grace_period: 0s
    deploy: {{ placement: {{ constraints: [node.role==manager] }} }}
"
        ),
    );
    manager.hoist(&["up", "-d"]).ok();
    let network = manager.hoist(&["network", "ls", "--format", "{{.Name}} {{.Driver}} {{.Scope}}"]).ok();
    assert!(network.contains("shop_default overlay swarm"), "{network}");
    let client = container(&cluster, 0, "shop_client");
    let inside = |command: &str| manager.hoist(&["exec", &client, "sh", "-c", command]);

    // By its name a service has one address, wherever its tasks are.
    let web: BTreeSet<String> = ["shop_web"; 2]
        .iter()
        .enumerate()
        .map(|(at, service)| container(&cluster, at, service).chars().take(12).collect())
        .collect();
    let mut answers = BTreeSet::new();
    let both = until(|| {
        answers.insert(inside("nc -w 2 web 80 </dev/null").stdout.trim().to_owned());
        web.iter().all(|id| answers.contains(id))
    });
    assert!(both, "{answers:?} are not all of {web:?}");
    let one = inside("nslookup web | grep -c '^Address.*10\\.0\\.'").stdout;
    assert_eq!(one.trim(), "1", "{}", inside("nslookup web").stdout);
    let each = inside("nslookup tasks.web | grep -c '^Address.*10\\.0\\.'").stdout;
    assert_eq!(each.trim(), "2", "{}", inside("nslookup tasks.web").stdout);

    // Without a virtual address its name is its task's.
    let db: String = container(&cluster, 1, "shop_db").chars().take(12).collect();
    assert!(until(|| inside("nc -w 2 db 80 </dev/null").stdout.trim() == db), "{}", inside("nslookup db").stdout);

    // A task that is gone is nobody's answer any more.
    manager.hoist(&["service", "scale", "shop_web=1"]).ok();
    let left = |at: usize| cluster.hosts[at].hoist(&["ps", "-q", "-f", "label=hoist.service.name=shop_web"]).ok();
    assert!(until(|| (left(0) + &left(1)).lines().count() == 1));
    let left: String = (left(0) + &left(1)).trim().chars().take(12).collect();
    for _ in 0..8 {
        assert_eq!(inside("nc -w 2 web 80 </dev/null").stdout.trim(), left);
    }

    manager.hoist(&["down"]).ok();
    let gone = |at: usize| {
        let links = cluster.hosts[at].other("ip", &["-br", "link"]).stdout;
        !links.contains("hsv-") && cluster.hosts[at].hoist(&["network", "ls", "-q", "-f", "name=shop"]).ok().is_empty()
    };
    assert!(until(|| gone(0) && gone(1)), "nothing of it is left on either machine");
}

#[test]
fn a_network_is_made_by_hand_and_holds_what_is_given_out() {
    let cluster = two();
    let manager = &cluster.hosts[0];
    let id = manager
        .hoist(&["network", "create", "-d", "overlay", "--subnet", "10.9.0.0/20", "--ipv6", "--label", "a=b", "wide"])
        .ok();
    let id = id.trim();
    let shown = |what: &str| manager.hoist(&["network", "inspect", "-f", what, "wide"]).ok().trim().to_owned();
    assert_eq!(shown("{{.Id}} {{.Driver}} {{.Scope}} {{.Labels.a}}"), format!("{id} overlay swarm b"));
    assert!(
        until(|| shown("{{json .IPAM.Config}}").contains("\"Gateway\":\"10.9.0.1\"")),
        "{}",
        shown("{{json .IPAM}}")
    );
    let twice = manager.hoist(&["network", "create", "-d", "overlay", "wide"]).fails(1);
    assert!(twice.contains("already exists"), "{twice}");
    let overlap = manager.hoist(&["network", "create", "-d", "overlay", "--subnet", "10.9.4.0/24", "other"]).fails(1);
    assert!(overlap.contains("subnet 10.9.4.0/24 overlaps with 10.9.0.0/20 of network wide"), "{overlap}");
    let worker = cluster.hosts[1].hoist(&["network", "create", "-d", "overlay", "other"]).fails(1);
    assert!(worker.contains("not a swarm manager"), "{worker}");

    let create =
        ["service", "create", "--name", "one", "--network", "wide", "--replicas", "4", "--stop-grace-period", "0s"];
    manager.hoist(&[&create[..], &["busybox", "sleep", "600"]].concat()).ok();
    let addresses = |at: usize| -> Vec<String> {
        let host = &cluster.hosts[at];
        let format = "{{(index .NetworkSettings.Networks \"wide\").IPAddress}} {{(index .NetworkSettings.Networks \"wide\").GlobalIPv6Address}}";
        let ids = host.hoist(&["ps", "-q"]).ok();
        ids.lines().map(|id| host.hoist(&["inspect", "-f", format, id]).ok().trim().to_owned()).collect()
    };
    let all: Vec<String> = (0..2).flat_map(addresses).collect();
    assert_eq!(all.len(), 4, "{all:?}");
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 4, "no address is given twice: {all:?}");
    assert!(all.iter().all(|both| both.starts_with("10.9.") && both.contains(" fd")), "{all:?}");
    let held = manager.hoist(&["network", "rm", "wide"]).fails(1);
    assert!(held.contains("network wide is in use by service one"), "{held}");
    manager.hoist(&["service", "rm", "one"]).ok();
    assert!(until(|| manager.hoist(&["network", "rm", "wide"]).code == 0));
}

#[test]
fn an_encrypted_network_spans_the_machines_and_outlives_their_daemons() {
    let mut cluster = two();
    let manager = &cluster.hosts[0];
    manager.write(
        "compose.yaml",
        &format!(
            "
name: quiet
networks:
  default: {{ driver_opts: {{ encrypted: 'true' }} }}
services:
  near:
    image: busybox
    command: [sh, -c, '{SERVER}']
    stop_grace_period: 0s
    deploy: {{ placement: {{ constraints: [node.role==manager] }} }}
  far:
    image: busybox
    command: [sh, -c, '{SERVER}']
    stop_grace_period: 0s
    deploy: {{ placement: {{ constraints: [node.role==worker] }} }}
"
        ),
    );
    manager.hoist(&["up", "-d"]).ok();
    let shown =
        manager.hoist(&["network", "inspect", "-f", "{{.Driver}} {{.Options.encrypted}}", "quiet_default"]).ok();
    assert_eq!(shown.trim(), "overlay true");
    let (near, far) = (container(&cluster, 0, "quiet_near"), container(&cluster, 1, "quiet_far"));
    // By the service's address and by the task's own, each from the other machine.
    let talk = |cluster: &Cluster| {
        [(0, &near, "far", &far), (1, &far, "near", &near)].into_iter().all(|(at, from, name, to)| {
            [name.to_owned(), format!("tasks.{name}")].iter().all(|name| {
                let ask = format!("nc -w 2 {name} 80 </dev/null");
                until(|| {
                    let answer = cluster.hosts[at].hoist(&["exec", from, "sh", "-c", &ask]).stdout;
                    answer.trim() == to.get(..12).unwrap()
                })
            })
        })
    };
    assert!(talk(&cluster));
    let forwards = |cluster: &Cluster, at: usize| cluster.hosts[at].other("bridge", &["fdb", "show"]).stdout;
    for at in 0..2 {
        let all = forwards(&cluster, at);
        assert!(all.contains("dst fd") && !all.contains("dst 10."), "to inner addresses only: {all}");
        assert!(cluster.hosts[at].other("ip", &["-br", "link"]).stdout.contains("hsv-"));
    }

    // Where this program encrypts, a daemon that starts again has another key, and everybody hears of it.
    cluster.hosts[1].kill_daemon();
    cluster.hosts[1].start_daemon();
    assert!(talk(&cluster));

    let manager = &cluster.hosts[0];
    let refused = manager.hoist(&["network", "create", "-d", "overlay", "--opt", "encrypted=perhaps", "odd"]).fails(1);
    assert!(refused.contains("driver option encrypted=\"perhaps\": expected true or false"), "{refused}");
    manager.hoist(&["network", "create", "-d", "overlay", "--opt", "encrypted", "--attachable", "open"]).ok();
    let serve = ["run", "-d", "--name", "by-hand", "--network", "open", "busybox", "sh", "-c", SERVER];
    cluster.hosts[1].hoist(&serve).ok();
    let ask = "for i in 1 2 3 4 5 6 7 8 9; do nc -w 1 by-hand 80 </dev/null && break; sleep 1; done";
    let answer = manager.hoist(&["run", "--rm", "--network", "open", "busybox", "sh", "-c", ask]).stdout;
    assert!(!answer.trim().is_empty());
    cluster.hosts[1].hoist(&["rm", "-f", "by-hand"]).ok();

    manager.hoist(&["down"]).ok();
    let gone = |at: usize| !cluster.hosts[at].other("ip", &["-br", "link"]).stdout.contains("hsv-");
    assert!(until(|| manager.hoist(&["network", "rm", "open"]).code == 0));
    assert!(until(|| gone(0) && gone(1)), "nothing of it is left on either machine");
}

#[test]
fn containers_of_people_come_to_networks_that_span_machines() {
    let cluster = two();
    let (manager, worker) = (&cluster.hosts[0], &cluster.hosts[1]);
    manager.hoist(&["network", "create", "-d", "overlay", "--subnet", "10.9.0.0/29", "closed"]).ok();
    manager.hoist(&["network", "create", "-d", "overlay", "--attachable", "--subnet", "10.8.0.0/24", "open"]).ok();
    let refused = worker.hoist(&["run", "--network", "closed", "busybox", "true"]);
    assert!(refused.code != 0 && refused.stderr.contains("closed is not manually attachable"), "{refused:?}");
    assert!(worker.hoist(&["run", "--network", "nowhere", "busybox", "true"]).stderr.contains("nowhere"));

    let serve = ["busybox", "sh", "-c", SERVER];
    worker.hoist(&[&["run", "-d", "--name", "far", "--network", "open"][..], &serve[..]].concat()).ok();
    let fixed = ["run", "-d", "--name", "fixed", "--network", "open", "--ip", "10.8.0.77"];
    worker.hoist(&[&fixed[..], &serve[..]].concat()).ok();
    let ask = |name: &str| {
        let ask = format!("for i in 1 2 3 4 5 6 7 8 9; do nc -w 1 {name} 80 </dev/null && break; sleep 1; done");
        manager.hoist(&["run", "--rm", "--network", "open", "busybox", "sh", "-c", &ask]).stdout.trim().to_owned()
    };
    let id = |name: &str| worker.hoist(&["inspect", "-f", "{{.Config.Hostname}}", name]).ok().trim().to_owned();
    assert_eq!(ask("far"), id("far"));
    assert_eq!(ask("10.8.0.77"), id("fixed"));
    let twice = manager.hoist(&["run", "--rm", "--network", "open", "--ip", "10.8.0.77", "busybox", "true"]);
    assert!(twice.code != 0 && twice.stderr.contains("10.8.0.77"), "{twice:?}");

    // A container that runs already comes and goes.
    worker.hoist(&[&["run", "-d", "--name", "late"][..], &serve[..]].concat()).ok();
    worker.hoist(&["network", "connect", "--alias", "known", "open", "late"]).ok();
    assert_eq!(ask("known"), id("late"));
    worker.hoist(&["network", "disconnect", "open", "late"]).ok();
    assert_eq!(ask("known"), "");

    // The address goes back when the container ends, also when no manager heard of it.
    let held = manager.hoist(&["network", "rm", "open"]).fails(1);
    assert!(held.contains("in use by container far, container fixed") || held.contains("container fixed"), "{held}");
    worker.hoist(&["rm", "-f", "far", "fixed"]).ok();
    assert!(until(|| manager.hoist(&["network", "rm", "open"]).code == 0));
}

#[test]
fn a_published_port_is_every_machines() {
    let cluster = two();
    let manager = &cluster.hosts[0];
    let create =
        ["service", "create", "--name", "web", "-p", "8080:80", "--replicas", "2", "--replicas-max-per-node", "1"];
    let server = ["--stop-grace-period", "0s", "busybox", "sh", "-c", SERVER];
    manager.hoist(&[&create[..], &server[..]].concat()).ok();
    let shown = manager.hoist(&["service", "ls", "--format", "{{.Name}} {{.Ports}}"]).ok();
    assert_eq!(shown.trim(), "web *:8080->80/tcp");
    let both: BTreeSet<String> = (0..2).map(|at| container(&cluster, at, "web").chars().take(12).collect()).collect();
    let call = |at: usize, to: &str| {
        let script = format!("exec 3<>/dev/tcp/{to}/8080 && timeout 2 cat <&3");
        cluster.hosts[at].other("bash", &["-c", &script]).stdout.trim().to_owned()
    };
    for (at, to) in [(0, "127.0.0.1"), (0, "10.77.0.2"), (1, "127.0.0.1"), (1, "10.77.0.1")] {
        let mut answers = BTreeSet::new();
        let all = until(|| {
            answers.insert(call(at, to));
            both.is_subset(&answers)
        });
        assert!(all, "host {at} to {to}: {answers:?}, not {both:?}");
    }
    let taken = manager.hoist(&["service", "create", "--name", "other", "-p", "8080:81", "busybox"]).fails(1);
    assert!(taken.contains("port 8080/tcp is already in use by service web as an ingress port"), "{taken}");

    // A node without a task leads to those that have one.
    manager.hoist(&["service", "scale", "web=1"]).ok();
    let left = |at: usize| cluster.hosts[at].hoist(&["ps", "-q", "-f", "label=hoist.service.name=web"]).ok();
    assert!(until(|| (left(0) + &left(1)).lines().count() == 1));
    let left: String = (left(0) + &left(1)).trim().chars().take(12).collect();
    for at in [0, 1] {
        assert!(until(|| call(at, "127.0.0.1") == left), "{}", call(at, "127.0.0.1"));
    }
    // One that leaves its port open gets one.
    manager.hoist(&["service", "update", "--publish-rm", "80", "--publish-add", "81", "web"]).ok();
    let port = manager.hoist(&["service", "inspect", "-f", "{{(index .Endpoint.Ports 0).PublishedPort}}", "web"]).ok();
    assert_eq!(port.trim(), "30000");
    assert!(until(|| call(0, "127.0.0.1").is_empty() && call(1, "127.0.0.1").is_empty()), "8080 is closed again");
    manager.hoist(&["service", "rm", "web"]).ok();
    let gone = |at: usize| cluster.hosts[at].other("ip", &["rule"]).stdout.matches("fwmark").count() == 0;
    assert!(until(|| gone(0) && gone(1)), "{}", cluster.hosts[1].other("ip", &["rule"]).stdout);
}

/// A cluster of two on a wire of both families, and a third host that is a caller from outside.
fn two_and_a_caller() -> Cluster {
    let mut cluster = two();
    cluster.add();
    for (at, host) in cluster.hosts.iter().enumerate() {
        host.other("ip", &["address", "add", &format!("fd00:77::{}/64", at + 1), "dev", "eth0", "nodad"]).ok();
    }
    cluster
}

/// A server on the worker that says in its log who calls, called by both families at both machines.
fn is_called_by_both_families(cluster: &Cluster) {
    let manager = &cluster.hosts[0];
    let create = ["service", "create", "--name", "web", "-p", "8080:80", "--constraint", "node.role==worker"];
    let server = ["--stop-grace-period", "0s", "busybox", "httpd", "-f", "-vv", "-p", "80"];
    manager.hoist(&[&create[..], &server[..]].concat()).ok();
    let call = |at: usize, to: &str| {
        let url = format!("http://{to}:8080/");
        let words = ["-g", "-s", "-o", "/dev/null", "-m", "3", "-w", "%{http_code}", &url];
        cluster.hosts[at].other("curl", &words).stdout
    };
    for to in ["10.77.0.1", "10.77.0.2", "[fd00:77::1]", "[fd00:77::2]"] {
        assert!(until(|| call(2, to) == "404"), "{to} answers {}", call(2, to));
    }
    for to in ["127.0.0.1", "[::1]"] {
        assert!(until(|| (0..2).all(|at| call(at, to) == "404")), "{to} answers {}, {}", call(0, to), call(1, to));
    }
    let log = || {
        let told = manager.hoist(&["service", "logs", "web"]);
        told.stdout + &told.stderr
    };
    let seen = |address: &str| log().contains(address);
    assert!(until(|| seen("[fd00:77::3]:") && seen("10.77.0.3]:")), "the caller is seen: {}", log());
}

#[test]
fn an_overlay_of_both_families_carries_both() {
    let cluster = two();
    let (manager, worker) = (&cluster.hosts[0], &cluster.hosts[1]);
    manager.hoist(&["network", "create", "-d", "overlay", "--ipv6", "--attachable", "dual"]).ok();
    let serve = "while :; do hostname | nc -l -p 80; done";
    worker.hoist(&["run", "-d", "--name", "far", "--network", "dual", "busybox", "sh", "-c", serve]).ok();
    let shown = "{{.NetworkSettings.Networks.dual.IPAddress}} {{.NetworkSettings.Networks.dual.GlobalIPv6Address}}";
    let shown = worker.hoist(&["inspect", "-f", shown, "far"]).ok();
    let (v4, v6) = shown.trim().split_once(' ').unwrap();
    assert!(v4.starts_with("10.") && v6.starts_with("fd"), "{shown}");
    let name = worker.hoist(&["inspect", "-f", "{{.Config.Hostname}}", "far"]).ok();
    for to in [v4, v6, "far"] {
        let ask = format!("for i in 1 2 3 4 5 6 7 8 9; do nc -w 1 {to} 80 </dev/null && break; sleep 1; done");
        let answer = manager.hoist(&["run", "--rm", "--network", "dual", "busybox", "sh", "-c", &ask]).stdout;
        assert_eq!(answer.trim(), name.trim(), "{to}");
    }
    worker.hoist(&["rm", "-f", "far"]).ok();

    // A service's virtual addresses, of both families.
    let create = ["service", "create", "--name", "web", "--network", "dual", "--constraint", "node.role==worker"];
    manager.hoist(&[&create[..], &["--stop-grace-period", "0s", "busybox", "sh", "-c", serve]].concat()).ok();
    let ask = "for i in 1 2 3 4 5 6 7 8 9; do nc -w 1 $0 80 </dev/null && break; sleep 1; done";
    let virtuals = manager.hoist(&["service", "inspect", "-f", "{{json .Endpoint.VirtualIPs}}", "web"]).ok();
    let virtuals: serde_json::Value = serde_json::from_str(&virtuals).unwrap();
    let virtuals: Vec<&str> = virtuals.as_array().unwrap().iter().filter_map(|one| one["Addr"].as_str()).collect();
    assert!(virtuals.iter().any(|address| address.contains(':')), "{virtuals:?}");
    for address in virtuals {
        let to = address.split('/').next().unwrap();
        let words = ["run", "--rm", "--network", "dual", "busybox", "sh", "-c", ask, to];
        assert!(!manager.hoist(&words).stdout.trim().is_empty(), "{to}");
    }
}

#[test]
fn a_published_port_is_called_by_ipv6_and_the_caller_is_seen() {
    let cluster = two_and_a_caller();
    is_called_by_both_families(&cluster);
    let manager = &cluster.hosts[0];
    manager.hoist(&["service", "rm", "web"]).ok();

    // A container's own port of one machine, by both families as well.
    let host = "published=8081,target=80,mode=host";
    let create = ["service", "create", "--name", "own", "-p", host, "--constraint", "node.role==worker"];
    let server = ["--stop-grace-period", "0s", "busybox", "httpd", "-f", "-p", "80"];
    manager.hoist(&[&create[..], &server[..]].concat()).ok();
    for to in ["10.77.0.2", "[fd00:77::2]", "10.77.0.1"] {
        let url = format!("http://{to}:8081/");
        let words = ["-g", "-s", "-o", "/dev/null", "-m", "3", "-w", "%{http_code}", &url];
        let answer = || cluster.hosts[2].other("curl", &words).stdout;
        let wanted = if to == "10.77.0.1" { "000" } else { "404" };
        assert!(until(|| answer() == wanted), "{to}: {}", answer());
    }
}

#[test]
fn the_routing_mesh_is_made_by_hand_and_encrypted() {
    let cluster = two_and_a_caller();
    let manager = &cluster.hosts[0];
    let there = manager.hoist(&["network", "create", "-d", "overlay", "--ingress", "mine"]).fails(1);
    assert!(there.contains("is already present"), "{there}");
    manager.hoist(&["network", "rm", "ingress"]).ok();
    for (flag, why) in [("--attachable", "cannot be attachable"), ("--internal", "cannot be internal")] {
        let refused = manager.hoist(&["network", "create", "-d", "overlay", "--ingress", flag, "mine"]).fails(1);
        assert!(refused.contains(why), "{refused}");
    }
    // What publishes nothing runs without a mesh, and what does waits for one.
    let quiet = ["service", "create", "--name", "quiet", "--stop-grace-period", "0s", "busybox", "sleep", "600"];
    manager.hoist(&quiet).ok();
    let early = ["service", "create", "-d", "--name", "early", "-p", "8082:80", "busybox", "httpd", "-f", "-p", "80"];
    manager.hoist(&early).ok();
    let state = || manager.hoist(&["service", "ps", "--format", "{{.CurrentState}} {{.Error}}", "early"]).stdout;
    assert!(until(|| state().starts_with("New")), "{}", state());

    let create = ["network", "create", "-d", "overlay", "--ingress", "--ipv6", "--opt", "encrypted", "mine"];
    manager.hoist(&create).ok();
    assert!(until(|| state().starts_with("Running")), "{}", state());
    is_called_by_both_families(&cluster);
    for at in 0..2 {
        let all = cluster.hosts[at].other("bridge", &["fdb", "show"]).stdout;
        assert!(all.contains("dst fd") && !all.contains("dst 10."), "to inner addresses only: {all}");
    }
    let held = manager.hoist(&["network", "rm", "mine"]).fails(1);
    assert!(held.contains("in use by service early, service web"), "{held}");
    manager.hoist(&["service", "rm", "web", "early", "quiet"]).ok();
    assert!(until(|| manager.hoist(&["network", "rm", "mine"]).code == 0));
    let gone = |at: usize| !cluster.hosts[at].other("ip", &["-br", "link"]).stdout.contains("hsv-");
    assert!(until(|| gone(0) && gone(1)), "nothing of it is left on either machine");
}

/// Calls a port again and again from a host, until told to stop; gives how many calls there were, and those that failed.
fn caller(
    host: &support::Host,
    address: &str,
    stop: std::sync::Arc<std::sync::atomic::AtomicBool>,
) -> std::thread::JoinHandle<(usize, Vec<String>)> {
    use std::{
        io::{Read, Write},
        net::TcpStream,
        sync::atomic::Ordering,
        time::Duration,
    };
    let namespace = std::fs::File::open(format!("/proc/{}/ns/net", host.namespace.id())).unwrap();
    let address: std::net::SocketAddr = address.parse().unwrap();
    std::thread::spawn(move || {
        nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        let one = || -> std::io::Result<bool> {
            let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer.starts_with("HTTP/1.1 200"))
        };
        let (mut calls, mut failed) = (0, Vec::new());
        while !stop.load(Ordering::Relaxed) {
            calls += 1;
            match one() {
                Ok(true) => {}
                Ok(false) => failed.push("another answer".into()),
                Err(error) => failed.push(error.to_string()),
            }
        }
        (calls, failed)
    })
}

#[test]
fn no_call_fails_while_a_service_is_replaced_and_its_leader_dies() {
    let mut cluster = Cluster::new(3);
    cluster.init(&[]);
    cluster.join(1, "manager");
    cluster.join(2, "manager");
    (0..3).for_each(|at| cluster.wait_for(at, 3, 3));
    cluster.hosts.iter().for_each(|host| host.busybox());
    let create = [
        "service",
        "create",
        "--name",
        "web",
        "-p",
        "8080:80",
        "--replicas",
        "4",
        "--stop-grace-period",
        "1s",
        "--update-order",
        "start-first",
        "--update-monitor",
        "500ms",
        "--health-cmd",
        "wget -q -O /dev/null http://127.0.0.1/",
        "--health-interval",
        "1s",
        "--health-start-interval",
        "200ms",
        "--health-start-period",
        "10s",
        "busybox",
    ];
    let serve = ["sh", "-c", "mkdir -p /www && echo hello > /www/index.html && exec httpd -f -p 80 -h /www"];
    cluster.hosts[1].hoist(&[&create[..], &serve[..]].concat()).ok();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let callers: Vec<_> = [(1, "127.0.0.1:8080"), (2, "10.77.0.2:8080")]
        .map(|(at, address)| caller(&cluster.hosts[at], address, stop.clone()))
        .into();
    cluster.hosts[1].hoist(&["service", "update", "-d", "--env-add", "VERSION=2", "web"]).ok();
    std::thread::sleep(std::time::Duration::from_secs(1));
    cluster.hosts[0].kill_daemon();
    let state = || cluster.hosts[1].hoist(&["service", "inspect", "-f", "{{.UpdateStatus.State}}", "web"]).stdout;
    let done = until(|| state().trim() == "completed");
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    for caller in callers {
        let (calls, failed) = caller.join().unwrap();
        assert!(failed.is_empty(), "{} of {calls} calls failed: {:?}", failed.len(), &failed[..failed.len().min(5)]);
        assert!(calls > 10, "{calls} calls");
    }
    assert!(done, "{}", state());
}
