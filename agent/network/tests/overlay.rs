//! Networks that span machines: two machines at the ends of a wire, each with a daemon of its own.

#![allow(clippy::unwrap_used)]

mod support;

use std::net::IpAddr;

use hoist_network::{AttachRequest, ConnectRequest, IpamConfig, NetworkSpec, Overlay, Peer, Sandbox, VirtualService};
use support::other::{FAR, NEAR, Other};
use support::{Inside, connect, machine, run};

fn spec() -> NetworkSpec {
    let config = |subnet: &str| IpamConfig { subnet: Some(subnet.parse().unwrap()), ..IpamConfig::default() };
    let mut spec = NetworkSpec { name: "wide".into(), driver: "overlay".into(), ..NetworkSpec::default() };
    spec.enable_ipv6 = true;
    spec.ipam.config = vec![config("10.20.0.0/20"), config("fd00:20::/64")];
    spec
}

fn overlay(local: &str) -> Overlay {
    Overlay { vni: 4097, port: 4790, local: local.parse().unwrap(), mesh: false }
}

fn at(name: &str, last: u8) -> AttachRequest {
    let request = ConnectRequest {
        ipv4: Some(format!("10.20.3.{last}").parse().unwrap()),
        ipv6: Some(format!("fd00:20::{last}").parse().unwrap()),
        ..connect("wide", &[name])
    };
    AttachRequest { networks: vec![request], ..AttachRequest::default() }
}

fn peer(name: &str, node: &str, last: u8) -> Peer {
    let addresses: [String; 2] = [format!("10.20.3.{last}"), format!("fd00:20::{last}")];
    Peer {
        id: format!("task-{name}"),
        node: Some(node.parse().unwrap()),
        key: None,
        mac: None,
        addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
        names: vec![name.into(), "web".into(), "tasks.web".into()],
        service: None,
        via: None,
        serving: true,
    }
}

fn inside(sandbox: &Sandbox) -> Inside {
    Inside::new(&sandbox.path)
}

/// The addresses that the container's name server answers, sorted.
fn resolve(inside: &Inside, name: &str) -> String {
    use hickory_proto::op::{Message, Query};
    use hickory_proto::rr::{Name, RData, RecordType};
    inside.run(|| {
        let mut query = Message::query();
        query.metadata.id = 7;
        query.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
        let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
        socket.connect("127.0.0.11:53").unwrap();
        socket.send(&query.to_vec().unwrap()).unwrap();
        let mut buffer = [0; 1500];
        let length = socket.recv(&mut buffer).unwrap();
        let answer = Message::from_vec(&buffer[..length]).unwrap();
        let mut all: Vec<String> = answer
            .answers
            .iter()
            .filter_map(|record| match &record.data {
                RData::A(address) => Some(address.to_string()),
                _ => None,
            })
            .collect();
        all.sort();
        all.join(" ")
    })
}

#[test]
fn containers_of_two_machines_reach_each_other_by_address_and_name() {
    machine(async |machine| {
        let other = Other::new(machine.root.join("other"));
        let networks = machine.networks().await;
        let before = machine.traces();
        networks.create_overlay(spec(), overlay(NEAR)).await.unwrap();
        other.on(other.networks.create_overlay(spec(), overlay(FAR))).unwrap();
        let near = inside(&networks.attach("c-near", at("near", 2)).await.unwrap().sandbox);
        let far = inside(&other.on(other.networks.attach("c-far", at("far", 3))).unwrap().sandbox);
        near.serve_tcp("[::]:80");
        far.serve_tcp("[::]:80");
        assert!(!near.reaches("10.20.3.3:80"), "nobody has told of it");

        networks.change_peers("wide", vec![peer("far", FAR, 3)], Vec::new()).await.unwrap();
        other.on(other.networks.change_peers("wide", vec![peer("near", NEAR, 2)], Vec::new())).unwrap();
        assert_eq!(near.ask("10.20.3.3:80").unwrap(), "::ffff:10.20.3.2");
        assert_eq!(far.ask("10.20.3.2:80").unwrap(), "::ffff:10.20.3.3");
        assert_eq!(near.ask("[fd00:20::3]:80").unwrap(), "fd00:20::2");
        assert_eq!(far.ask("[fd00:20::2]:80").unwrap(), "fd00:20::3");
        assert!(near.ip("link show eth0").contains("mtu 1450"), "room for the tunnel's headers");
        assert_eq!(resolve(&near, "far."), "10.20.3.3");
        assert_eq!(resolve(&near, "tasks.web."), "10.20.3.3");
        assert_eq!(resolve(&far, "near.wide."), "10.20.3.2");

        // A service's tasks on two machines, of which one goes.
        networks.change_peers("wide", vec![peer("third", "198.51.100.3", 4)], Vec::new()).await.unwrap();
        assert_eq!(resolve(&near, "web."), "10.20.3.3 10.20.3.4");
        networks.change_peers("wide", Vec::new(), vec!["task-third".into()]).await.unwrap();
        assert_eq!(resolve(&near, "web."), "10.20.3.3");

        networks.release("c-near").await.unwrap();
        networks.remove("wide").await.unwrap();
        // Its pins lie under this machine's root.
        other.end();
        assert_eq!(machine.traces(), before, "nothing is left");
    });
}

#[test]
fn what_a_daemon_told_the_kernel_outlives_it_and_is_corrected_by_the_next() {
    machine(async |machine| {
        let other = Other::new(machine.root.join("other"));
        let networks = machine.networks().await;
        networks.create_overlay(spec(), overlay(NEAR)).await.unwrap();
        other.on(other.networks.create_overlay(spec(), overlay(FAR))).unwrap();
        let near = inside(&networks.attach("c-near", at("near", 2)).await.unwrap().sandbox);
        let far = inside(&other.on(other.networks.attach("c-far", at("far", 3))).unwrap().sandbox);
        far.serve_tcp("0.0.0.0:80");
        let stale = peer("stale", "198.51.100.9", 9);
        networks.change_peers("wide", vec![peer("far", FAR, 3), stale], Vec::new()).await.unwrap();
        other.on(other.networks.change_peers("wide", vec![peer("near", NEAR, 2)], Vec::new())).unwrap();
        assert_eq!(near.ask("10.20.3.3:80").unwrap(), "10.20.3.2");
        drop(networks);

        let networks = machine.networks().await;
        assert_eq!(near.ask("10.20.3.3:80").unwrap(), "10.20.3.2", "before a manager has said anything");
        networks.replace_peers("wide", vec![peer("far", FAR, 3)]).await.unwrap();
        assert_eq!(near.ask("10.20.3.3:80").unwrap(), "10.20.3.2");
        assert_eq!(resolve(&near, "web."), "10.20.3.3");
        let told = run("bridge", "fdb show");
        assert!(told.contains(FAR) && !told.contains("198.51.100.9"), "{told}");

        networks.replace_peers("wide", Vec::new()).await.unwrap();
        assert!(!near.reaches("10.20.3.3:80"));
        let told = run("bridge", "fdb show");
        assert!(!told.contains("dst"), "{told}");
        other.end();
    });
}

/// A task of service `web`, on this machine when `node` is none.
fn task(name: &str, node: Option<&str>, last: u8) -> Peer {
    Peer {
        node: node.map(|node| node.parse().unwrap()),
        names: vec![name.into(), "tasks.web".into()],
        service: Some("web".into()),
        ..peer(name, FAR, last)
    }
}

fn web() -> VirtualService {
    let addresses = ["10.20.3.200", "fd00:20::200"].map(|a| a.parse().unwrap()).into();
    VirtualService { id: "web".into(), addresses, names: vec!["web".into()], ports: Vec::new() }
}

/// Who answers, in so many tries.
fn answers(inside: &Inside, address: &str) -> String {
    let all: std::collections::BTreeSet<String> =
        (0..40).map(|_| inside.ask(address).unwrap_or_else(|why| why)).collect();
    all.into_iter().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_virtual_address_leads_to_whoever_serves_on_whichever_machine() {
    machine(async |machine| {
        let other = Other::new(machine.root.join("other"));
        let networks = machine.networks().await;
        networks.create_overlay(spec(), overlay(NEAR)).await.unwrap();
        other.on(other.networks.create_overlay(spec(), overlay(FAR))).unwrap();
        let near = inside(&networks.attach("c-near", at("near", 2)).await.unwrap().sandbox);
        let far = inside(&other.on(other.networks.attach("c-far", at("far", 3))).unwrap().sandbox);
        near.serve_text("[::]:80", "near");
        far.serve_text("[::]:80", "far");
        far.serve_tcp("[::]:81");
        let here = vec![peer("near", NEAR, 2), peer("late", NEAR, 4)];
        other.on(other.networks.change_peers("wide", here, Vec::new())).unwrap();

        networks.change_services("wide", vec![web()], Vec::new()).await.unwrap();
        assert_eq!(resolve(&near, "web."), "10.20.3.200");
        assert_eq!(near.ask("10.20.3.200:80").unwrap_err(), "connection refused", "nobody stands behind it yet");
        assert_eq!(near.ask("[fd00:20::200]:80").unwrap_err(), "connection refused");

        let both = vec![task("far", Some(FAR), 3), task("near", None, 2)];
        networks.change_peers("wide", both.clone(), Vec::new()).await.unwrap();
        assert_eq!(answers(&near, "10.20.3.200:80"), "far near");
        assert_eq!(answers(&near, "[fd00:20::200]:80"), "far near");
        assert_eq!(resolve(&near, "web."), "10.20.3.200");
        // Whoever comes later knows all of it too.
        let late = inside(&networks.attach("c-late", at("late", 4)).await.unwrap().sandbox);
        assert_eq!(answers(&late, "10.20.3.200:80"), "far near");

        // One that is about to stop gets no new connections, and keeps those that it has.
        let mut held = near.connect("10.20.3.3:82", "10.20.3.200:82", &far);
        let leaving = Peer { serving: false, ..task("far", Some(FAR), 3) };
        networks.change_peers("wide", vec![leaving], Vec::new()).await.unwrap();
        assert_eq!(answers(&near, "10.20.3.200:80"), "near");
        assert_eq!(held.echo("still there"), "still there");
        assert_eq!(near.ask("10.20.3.3:80").unwrap(), "far", "by its own address");

        // The caller's own address is what is seen.
        networks.change_peers("wide", vec![task("far", Some(FAR), 3)], vec!["task-near".into()]).await.unwrap();
        assert_eq!(near.ask("10.20.3.200:81").unwrap(), "::ffff:10.20.3.2");

        // The next daemon says the same again, and corrects it.
        drop(networks);
        assert_eq!(answers(&near, "10.20.3.200:80"), "far");
        let networks = machine.networks().await;
        networks.replace_services("wide", vec![web()]).await.unwrap();
        networks.replace_peers("wide", both).await.unwrap();
        assert_eq!(answers(&near, "10.20.3.200:80"), "far near");
        assert_eq!(resolve(&near, "web."), "10.20.3.200");
        networks.change_services("wide", Vec::new(), vec!["web".into()]).await.unwrap();
        assert!(!near.reaches("10.20.3.200:80"), "it is nobody's");
        assert_eq!(resolve(&near, "web."), "");
        assert!(near.run(support::nft).contains("table inet hoist-services"));
        assert!(!near.run(support::nft).contains("10.20.3.200"));
        other.end();
    });
}

#[test]
fn a_link_that_comes_after_the_daemon_is_used_all_the_same() {
    machine(async |machine| {
        let _wire = Inside::neighbour(&format!("{NEAR}/24"), &format!("{FAR}/24"));
        let networks = machine.networks().await;
        networks.create_overlay(spec(), overlay(NEAR)).await.unwrap();
        assert!(!networks.revive("wide").await.unwrap(), "it works");
        drop(networks);
        let links = support::ip("-br addr");
        let wire =
            links.lines().find(|line| line.contains(NEAR)).and_then(|line| line.split(['@', ' ']).next()).unwrap();
        support::ip(&format!("addr del {NEAR}/24 dev {wire}"));
        let networks = machine.networks().await;
        let error = networks.attach("c-near", at("near", 2)).await.unwrap_err().to_string();
        assert!(error.contains("no interface of this machine has the address 198.51.100.1"), "{error}");
        assert!(networks.revive("wide").await.is_err());
        support::ip(&format!("addr add {NEAR}/24 dev {wire}"));
        assert!(networks.revive("wide").await.unwrap());
        networks.replace_peers("wide", vec![peer("far", FAR, 3)]).await.unwrap();
        let near = inside(&networks.attach("c-near", at("near", 2)).await.unwrap().sandbox);
        assert_eq!(resolve(&near, "far."), "10.20.3.3");
    });
}

#[test]
fn thousands_of_peers_come_and_go() {
    machine(async |machine| {
        let _wire = Inside::neighbour(&format!("{NEAR}/24"), &format!("{FAR}/24"));
        let networks = machine.networks().await;
        networks.create_overlay(spec(), overlay(NEAR)).await.unwrap();
        let many: Vec<Peer> = (0..3000_u32)
            .map(|n| Peer {
                id: n.to_string(),
                node: Some(IpAddr::from([198, 51, 100, 2 + (n % 200) as u8])),
                key: None,
                mac: None,
                addresses: vec![IpAddr::from([10, 20, (n / 250) as u8 + 1, (n % 250) as u8])],
                names: vec![format!("web-{n}"), "web".into()],
                service: None,
                via: None,
                serving: true,
            })
            .collect();
        let count = || run("bridge", "fdb show").lines().filter(|l| l.contains(" dst ")).count();
        networks.replace_peers("wide", many.clone()).await.unwrap();
        assert_eq!(count(), 3000);
        networks.replace_peers("wide", many[..10].to_vec()).await.unwrap();
        assert_eq!(count(), 10);
        networks.remove("wide").await.unwrap();
        assert_eq!(count(), 0);
    });
}

#[test]
fn what_cannot_span_machines_is_refused_with_the_reason() {
    machine(async |machine| {
        let _wire = Inside::neighbour(&format!("{NEAR}/24"), &format!("{FAR}/24"));
        let networks = machine.networks().await;
        let mut encrypted = spec();
        encrypted.options.insert("encrypted".into(), "perhaps".into());
        let refusals = [
            networks.create(spec()).await.unwrap_err(),
            networks.create_overlay(spec(), overlay("203.0.113.1")).await.unwrap_err(),
            networks.create_overlay(spec(), Overlay { vni: 1 << 24, ..overlay(NEAR) }).await.unwrap_err(),
            networks.create_overlay(encrypted, overlay(NEAR)).await.unwrap_err(),
            networks.change_peers("bridge", Vec::new(), Vec::new()).await.unwrap_err(),
        ];
        let refusals: Vec<String> = refusals.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(refusals.join("\n"), @r#"
        network driver "overlay" is not supported: use bridge, macvlan, ipvlan, host or none
        network wide cannot span machines here: no interface of this machine has the address 203.0.113.1 of its data path
        network wide cannot span machines here: VXLAN identifier 16777216 is not between 1 and 16777215
        driver option encrypted="perhaps": expected true or false
        network bridge cannot span machines here: it was made for this machine alone
        "#);
    });
}
