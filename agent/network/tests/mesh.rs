//! The routing mesh: a port of every machine leads to tasks on any of them, who see their caller.

#![allow(clippy::unwrap_used)]

mod support;

use hoist_network::{
    AttachRequest, ConnectRequest, IpamConfig, MeshPort, NetworkSpec, Overlay, Peer, Protocol, VirtualService,
};
use support::other::{FAR, NEAR, Other};
use support::{Inside, connect, machine, nft, run};

const NEAR_ON_MESH: &str = "10.255.0.2";
const FAR_ON_MESH: &str = "10.255.0.3";

/// This machine's part of the mesh's network.
fn spec(own: &str) -> NetworkSpec {
    let config = IpamConfig {
        subnet: Some("10.255.0.0/16".parse().unwrap()),
        gateway: Some(own.parse().unwrap()),
        ..IpamConfig::default()
    };
    let mut spec = NetworkSpec { name: "ingress".into(), driver: "overlay".into(), ..NetworkSpec::default() };
    spec.ipam.config = vec![config];
    spec
}

fn overlay(local: &str) -> Overlay {
    Overlay { vni: 4096, port: 4791, local: local.parse().unwrap(), mesh: true }
}

fn a_machine(node: &str, own: &str) -> Peer {
    Peer {
        id: format!("node-{node}"),
        node: Some(node.parse().unwrap()),
        key: None,
        mac: None,
        addresses: vec![own.parse().unwrap()],
        names: Vec::new(),
        service: None,
        via: Some(own.parse().unwrap()),
        serving: false,
    }
}

fn task(name: &str, node: Option<(&str, &str)>, address: &str) -> Peer {
    Peer {
        id: name.into(),
        node: node.map(|(node, _)| node.parse().unwrap()),
        key: None,
        mac: None,
        addresses: vec![address.parse().unwrap()],
        names: Vec::new(),
        service: Some("web".into()),
        via: node.map(|(_, via)| via.parse().unwrap()),
        serving: true,
    }
}

fn web() -> VirtualService {
    let port = |protocol| MeshPort { protocol, published: 8080, target: 80 };
    VirtualService {
        id: "web".into(),
        addresses: Vec::new(),
        names: Vec::new(),
        ports: vec![port(Protocol::Tcp), port(Protocol::Udp)],
    }
}

fn on_mesh(address: &str, gw_priority: i64) -> AttachRequest {
    let mesh = ConnectRequest {
        ipv4: Some(address.parse().unwrap()),
        // What answers from any of its addresses answers from that of the way out.
        gw_priority,
        ..connect("ingress", &["x"])
    };
    AttachRequest { networks: vec![mesh, connect("bridge", &["x"])], ..AttachRequest::default() }
}

#[test]
fn a_port_leads_to_tasks_of_every_machine_who_see_their_caller() {
    machine(async |machine| {
        let other = Other::new(machine.root.join("other"));
        let client = Inside::neighbour("203.0.113.1/24", "203.0.113.9/24");
        let networks = machine.networks().await;
        let before = machine.traces();
        let rules_before = run("ip", "rule");
        networks.create_overlay(spec(NEAR_ON_MESH), overlay(NEAR)).await.unwrap();
        other.on(other.networks.create_overlay(spec(FAR_ON_MESH), overlay(FAR))).unwrap();
        let near = Inside::new(&networks.attach("c-near", on_mesh("10.255.0.10", -1)).await.unwrap().sandbox.path);
        let far = other.on(other.networks.attach("c-far", on_mesh("10.255.0.11", 1))).unwrap();
        let far = Inside::new(&far.sandbox.path);
        far.serve_tcp("0.0.0.0:80");
        far.serve_udp("0.0.0.0:80");
        near.serve_text("0.0.0.0:80", "near");

        networks.change_services("ingress", vec![web()], Vec::new()).await.unwrap();
        assert_eq!(client.ask("203.0.113.1:8080").unwrap_err(), "connection refused", "no task yet");
        let here = (NEAR, NEAR_ON_MESH);
        let there = (FAR, FAR_ON_MESH);
        let all = vec![a_machine(FAR, FAR_ON_MESH), task("far", Some(there), "10.255.0.11")];
        networks.change_peers("ingress", all.clone(), Vec::new()).await.unwrap();
        let theirs = vec![a_machine(NEAR, NEAR_ON_MESH), task("near", Some(here), "10.255.0.10")];
        other.on(other.networks.change_services("ingress", vec![web()], Vec::new())).unwrap();
        other.on(other.networks.change_peers("ingress", theirs, Vec::new())).unwrap();

        // From outside, over this machine, to a task on the other.
        assert_eq!(client.ask("203.0.113.1:8080").unwrap(), "203.0.113.9");
        assert_eq!(client.ask_udp("203.0.113.1:8080").unwrap(), "203.0.113.9");
        // From this machine itself, by each of its addresses; the caller is the machine.
        assert_eq!(support::ask("127.0.0.1:8080").unwrap(), NEAR_ON_MESH);
        assert_eq!(support::ask("203.0.113.1:8080").unwrap(), "203.0.113.1");
        // From a container that is not on the mesh.
        let request = AttachRequest { networks: vec![connect("bridge", &["b"])], ..AttachRequest::default() };
        let plain = Inside::new(&networks.attach("c-plain", request).await.unwrap().sandbox.path);
        assert_eq!(plain.ask("203.0.113.1:8080").unwrap(), NEAR_ON_MESH);
        // Containers still reach the world and each other as before.
        client.serve_tcp("0.0.0.0:81");
        assert_eq!(near.ask("203.0.113.9:81").unwrap(), "203.0.113.1");
        assert_eq!(near.ask("10.255.0.11:80").unwrap(), "10.255.0.10");

        // The other machine's port leads here.
        other.inside.run(|| assert_eq!(support::ask(&format!("{FAR}:8080")).unwrap(), "near"));
        // Both, once both serve; and only who serves.
        networks.change_peers("ingress", vec![task("near", None, "10.255.0.10")], Vec::new()).await.unwrap();
        let answers = || {
            let all: std::collections::BTreeSet<String> =
                (0..40).map(|_| client.ask("203.0.113.1:8080").unwrap_or_else(|why| why)).collect();
            all.into_iter().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(answers(), "203.0.113.9 near");
        let leaving = Peer { serving: false, ..task("far", Some(there), "10.255.0.11") };
        networks.change_peers("ingress", vec![leaving], Vec::new()).await.unwrap();
        assert_eq!(answers(), "near");
        networks.change_peers("ingress", vec![task("far", Some(there), "10.255.0.11")], Vec::new()).await.unwrap();

        // The port is held, so that nobody else takes it and wonders.
        assert!(std::net::TcpListener::bind("0.0.0.0:8080").is_err());
        drop(networks);
        assert_eq!(answers(), "203.0.113.9 near", "without a daemon");
        let networks = machine.networks().await;
        networks.replace_services("ingress", vec![web()]).await.unwrap();
        networks.replace_peers("ingress", [all, vec![task("near", None, "10.255.0.10")]].concat()).await.unwrap();
        assert_eq!(answers(), "203.0.113.9 near");

        networks.change_services("ingress", Vec::new(), vec!["web".into()]).await.unwrap();
        assert_eq!(client.ask("203.0.113.1:8080").unwrap_err(), "connection refused");
        assert!(!nft().contains("mesh-tcp-8080"), "{}", nft());
        assert!(std::net::TcpListener::bind("0.0.0.0:8080").is_ok());
        for container in ["c-near", "c-plain"] {
            networks.release(container).await.unwrap();
        }
        networks.remove("ingress").await.unwrap();
        other.end();
        assert_eq!(machine.traces(), before, "nothing is left");
        assert_eq!(run("ip", "rule"), rules_before);
    });
}

#[test]
fn a_port_that_somebody_has_is_theirs_until_they_let_go() {
    machine(async |machine| {
        let _wire = Inside::neighbour(&format!("{NEAR}/24"), &format!("{FAR}/24"));
        let networks = machine.networks().await;
        networks.create_overlay(spec(NEAR_ON_MESH), overlay(NEAR)).await.unwrap();
        let near = Inside::new(&networks.attach("c-near", on_mesh("10.255.0.10", -1)).await.unwrap().sandbox.path);
        near.serve_text("0.0.0.0:80", "task");
        let holder = std::net::TcpListener::bind("0.0.0.0:8080").unwrap();
        networks.change_services("ingress", vec![web()], Vec::new()).await.unwrap();
        networks.change_peers("ingress", vec![task("near", None, "10.255.0.10")], Vec::new()).await.unwrap();
        std::thread::spawn(move || {
            drop(holder.accept().map(|(mut s, _)| std::io::Write::write_all(&mut s, b"holder")))
        });
        assert_eq!(support::ask("127.0.0.1:8080").unwrap(), "holder");
        // Its listener is closed by now: the next change publishes the port.
        let again = Peer { serving: false, ..task("near", None, "10.255.0.10") };
        networks.change_peers("ingress", vec![again], Vec::new()).await.unwrap();
        networks.change_peers("ingress", vec![task("near", None, "10.255.0.10")], Vec::new()).await.unwrap();
        assert_eq!(support::ask("127.0.0.1:8080").unwrap(), "task");
    });
}

/// Both families: the machine's own addresses on the mesh's network.
fn of_both(own4: &str, own6: &str) -> NetworkSpec {
    let config = IpamConfig {
        subnet: Some("fd55::/64".parse().unwrap()),
        gateway: Some(own6.parse().unwrap()),
        ..IpamConfig::default()
    };
    let mut spec = NetworkSpec { enable_ipv6: true, ..spec(own4) };
    spec.ipam.config.push(config);
    spec
}

fn with_ipv6(peer: Peer, address: &str) -> Peer {
    let addresses = [peer.addresses, vec![address.parse().unwrap()]].concat();
    Peer { addresses, ..peer }
}

#[test]
fn a_port_is_called_by_ipv6_and_the_caller_is_seen() {
    machine(async |machine| {
        let other = Other::new(machine.root.join("other"));
        let client = Inside::neighbour("2001:db8:9::1/64", "2001:db8:9::9/64");
        client.ip("route add default via 2001:db8:9::1");
        let networks = machine.networks().await;
        let (before, rules_before) = (machine.traces(), run("ip", "-6 rule"));
        networks.create_overlay(of_both(NEAR_ON_MESH, "fd55::2"), overlay(NEAR)).await.unwrap();
        other.on(other.networks.create_overlay(of_both(FAR_ON_MESH, "fd55::3"), overlay(FAR))).unwrap();
        let both = |v4: &str, v6: &str| {
            let mut request = on_mesh(v4, 1);
            request.networks[0].ipv6 = Some(v6.parse().unwrap());
            request
        };
        let near = Inside::new(&networks.attach("c-near", both("10.255.0.10", "fd55::10")).await.unwrap().sandbox.path);
        let far = other.on(other.networks.attach("c-far", both("10.255.0.11", "fd55::11"))).unwrap();
        let far = Inside::new(&far.sandbox.path);
        far.serve_tcp("[::]:80");
        far.serve_udp("[::]:80");
        near.serve_text("[::]:80", "near");

        let (here, there) = ((NEAR, NEAR_ON_MESH), (FAR, FAR_ON_MESH));
        let far_machine = with_ipv6(a_machine(FAR, FAR_ON_MESH), "fd55::3");
        let far_task = with_ipv6(task("far", Some(there), "10.255.0.11"), "fd55::11");
        networks.change_services("ingress", vec![web()], Vec::new()).await.unwrap();
        networks.change_peers("ingress", vec![far_machine.clone(), far_task.clone()], Vec::new()).await.unwrap();
        let near_machine = with_ipv6(a_machine(NEAR, NEAR_ON_MESH), "fd55::2");
        let near_task = with_ipv6(task("near", Some(here), "10.255.0.10"), "fd55::10");
        other.on(other.networks.change_services("ingress", vec![web()], Vec::new())).unwrap();
        other.on(other.networks.change_peers("ingress", vec![near_machine, near_task], Vec::new())).unwrap();

        // From outside, over this machine, to a task on the other, who sees the caller; and back the way it came.
        assert_eq!(client.ask("[2001:db8:9::1]:8080").unwrap(), "2001:db8:9::9");
        assert_eq!(client.ask_udp("[2001:db8:9::1]:8080").unwrap(), "2001:db8:9::9");
        // By this machine itself; `::1` is carried by IPv4, in the machine's own name.
        assert_eq!(support::ask("[2001:db8:9::1]:8080").unwrap(), "2001:db8:9::1");
        assert_eq!(support::ask("[::1]:8080").unwrap(), format!("::ffff:{NEAR_ON_MESH}"));
        assert_eq!(support::ask("127.0.0.1:8080").unwrap(), format!("::ffff:{NEAR_ON_MESH}"));
        other.inside.run(|| assert_eq!(support::ask("[::1]:8080").unwrap(), "near"));

        // Both, once both serve; a task without IPv6 is called by IPv4 alone.
        let own = with_ipv6(task("near", None, "10.255.0.10"), "fd55::10");
        networks.change_peers("ingress", vec![own.clone()], Vec::new()).await.unwrap();
        let answers = |to: &str| {
            let all: std::collections::BTreeSet<String> =
                (0..40).map(|_| client.ask(to).unwrap_or_else(|why| why)).collect();
            all.into_iter().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(answers("[2001:db8:9::1]:8080"), "2001:db8:9::9 near");
        let old = task("far", Some(there), "10.255.0.11");
        networks.change_peers("ingress", vec![old], Vec::new()).await.unwrap();
        assert_eq!(answers("[2001:db8:9::1]:8080"), "near");

        assert!(std::net::TcpListener::bind("[::]:8080").is_err(), "the port is held");
        drop(networks);
        assert_eq!(answers("[2001:db8:9::1]:8080"), "near", "without a daemon");
        let networks = machine.networks().await;
        networks.replace_services("ingress", vec![web()]).await.unwrap();
        networks.replace_peers("ingress", vec![far_machine, far_task, own]).await.unwrap();
        assert_eq!(answers("[2001:db8:9::1]:8080"), "2001:db8:9::9 near");

        networks.change_services("ingress", Vec::new(), vec!["web".into()]).await.unwrap();
        assert_eq!(client.ask("[2001:db8:9::1]:8080").unwrap_err(), "connection refused");
        assert!(!nft().contains("mesh6-tcp-8080"), "{}", nft());
        networks.release("c-near").await.unwrap();
        networks.remove("ingress").await.unwrap();
        other.end();
        assert_eq!(machine.traces(), before, "nothing is left");
        assert_eq!(run("ip", "-6 rule"), rules_before);
    });
}

#[test]
fn a_mesh_of_ipv4_alone_answers_calls_by_ipv6_too() {
    machine(async |machine| {
        let client = Inside::neighbour("2001:db8:9::1/64", "2001:db8:9::9/64");
        let _wire = Inside::neighbour(&format!("{NEAR}/24"), &format!("{FAR}/24"));
        let networks = machine.networks().await;
        networks.create_overlay(spec(NEAR_ON_MESH), overlay(NEAR)).await.unwrap();
        let near = Inside::new(&networks.attach("c-near", on_mesh("10.255.0.10", -1)).await.unwrap().sandbox.path);
        near.serve_tcp("0.0.0.0:80");
        networks.change_services("ingress", vec![web()], Vec::new()).await.unwrap();
        networks.change_peers("ingress", vec![task("near", None, "10.255.0.10")], Vec::new()).await.unwrap();
        assert_eq!(client.ask("[2001:db8:9::1]:8080").unwrap(), NEAR_ON_MESH, "in the machine's name");
        assert_eq!(support::ask("[::1]:8080").unwrap(), NEAR_ON_MESH);
    });
}
