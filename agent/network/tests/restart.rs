//! A daemon dies without a word, and another takes over; or the machine starts anew.

#![allow(clippy::unwrap_used)]

mod support;

use hoist_network::{AttachRequest, NetworkSpec};
use support::{Inside, Machine, ask, connect, ip, machine, nft, on, port};

/// All links, addresses and rules of this namespace, but for what lies ready for future containers.
fn kernel() -> String {
    let links = ip("-o addr");
    let links: Vec<&str> = links.lines().filter(|l| !l.contains("veth") && !l.contains("scope link")).collect();
    let ports = ip("-o link show up type veth");
    // Chains and elements have no order of their own.
    let rules = nft();
    let mut rules: Vec<&str> =
        rules.split_inclusive(['\n', ',']).map(|l| l.trim_matches([' ', '\t', '\n', ',', '}'])).collect();
    rules.sort();
    format!("{}\n{}\n{}", links.join("\n"), ports.lines().count(), rules.join("\n"))
}

async fn spec(machine: &Machine) -> (hoist_network::Networks, Inside) {
    let networks = machine.networks().await;
    let spec = NetworkSpec { name: "app".into(), enable_ipv6: true, ..NetworkSpec::default() };
    networks.create(spec).await.unwrap();
    let mut request = AttachRequest { ports: vec![port("8080:80")], ..on("app", "web") };
    request.networks.push(connect("bridge", &["web"]));
    let attached = networks.attach("web", request).await.unwrap();
    let inside = Inside::new(&attached.sandbox.path);
    inside.serve_tcp("0.0.0.0:80");
    (networks, inside)
}

#[test]
fn a_bridge_that_somebody_removed_is_made_again() {
    machine(async |machine| {
        let (networks, _inside) = spec(&machine).await;
        let before = ip("-o addr show type bridge");
        let names: Vec<&str> = before.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
        for name in std::collections::BTreeSet::from_iter(names) {
            ip(&format!("link delete {name}"));
        }
        assert_eq!(ip("-o addr show type bridge"), "");
        let other = networks.attach("other", on("bridge", "other")).await.unwrap();
        let third = networks.attach("third", on("app", "third")).await.unwrap();
        // Who was on it is on it again, and reached.
        for sandbox in [&other.sandbox, &third.sandbox] {
            let inside = Inside::new(&sandbox.path);
            let web = if sandbox == &other.sandbox { "172.17.0.2:80" } else { "172.18.0.2:80" };
            assert!(inside.reaches(web), "{web} from {}", inside.ip("-o -4 addr"));
        }
        assert!(ask("127.0.0.1:8080").is_ok());
        for container in ["web", "other", "third"] {
            networks.release(container).await.unwrap();
        }
    });
}

#[test]
fn the_next_daemon_finds_everything() {
    machine(async |machine| {
        let (networks, inside) = spec(&machine).await;
        let (state, before) = (kernel(), networks.endpoints_of("web").await);
        // Nothing is taken down when the value goes: sockets are closed, as by a kill.
        drop(networks);
        let networks = machine.networks().await;
        networks.reconcile(&["web".to_owned()]).await.unwrap();
        assert_eq!(kernel(), state);
        assert_eq!(networks.endpoints_of("web").await, before);
        assert_eq!(ask("127.0.0.1:8080").unwrap(), "172.18.0.1");
        let other = networks.attach("other", on("app", "other")).await.unwrap();
        assert_eq!(other.endpoints[0].ipv4.unwrap().0.to_string(), "172.18.0.3", "web's address is still web's");
        assert_eq!(
            networks
                .attach("x", AttachRequest { ports: vec![port("8080:1")], ..on("app", "x") })
                .await
                .unwrap_err()
                .to_string(),
            "port 0.0.0.0:8080/tcp is already in use by container web"
        );
        assert!(inside.ip("addr").contains("172.18.0.2"));
        networks.release("web").await.unwrap();
        networks.release("other").await.unwrap();
        assert!(std::fs::read_dir(machine.root.join("run/netns")).unwrap().next().is_none());
    });
}

#[test]
fn what_died_with_the_daemon_is_cleared_away() {
    machine(async |machine| {
        let networks = machine.networks().await;
        let clean = machine.traces();
        networks.attach("dead", AttachRequest { ports: vec![port("8080:80")], ..on("bridge", "d") }).await.unwrap();
        drop(networks);
        // Half-made things, as a kill at the wrong time leaves them.
        std::fs::write(machine.root.join("run/netns/half"), "").unwrap();
        std::fs::write(machine.root.join("run/endpoints/.torn.tmp"), "{").unwrap();
        std::fs::write(machine.root.join("run/endpoints/torn.json"), "{\"version\": 1, \"cont").unwrap();
        std::fs::write(machine.root.join("data/networks/.torn.tmp"), "").unwrap();
        ip("link add hst-orphan type bridge");
        ip("link set hst-orphan alias hoist::0123");
        ip("link add hst-others type bridge");
        ip("link set hst-others alias hoist:other:0123");
        let networks = machine.networks().await;
        networks.reconcile(&[]).await.unwrap();
        ip("link del hst-others");
        assert_eq!(machine.traces(), clean);
        networks.attach("next", AttachRequest { ports: vec![port("8080:80")], ..on("bridge", "n") }).await.unwrap();
    });
}

#[test]
fn after_a_start_of_the_machine_networks_are_made_again() {
    machine(async |machine| {
        let (networks, _) = spec(&machine).await;
        networks.release("web").await.unwrap();
        let (state, list) = (kernel(), networks.list().await);
        drop(networks);
        for bridge in ["hoist0", list.iter().find(|n| n.spec.name == "app").unwrap().bridge.as_deref().unwrap()] {
            ip(&format!("link del {bridge}"));
        }
        support::run("nft", "flush ruleset");
        std::fs::remove_dir_all(machine.root.join("run")).unwrap();
        let networks = machine.networks().await;
        networks.reconcile(&[]).await.unwrap();
        let without_index = |text: String| {
            let lines = text.lines().map(|l| l.split_once(": ").map_or(l, |(_, rest)| rest).to_owned());
            let mut lines: Vec<_> = lines.collect();
            lines.sort();
            lines.join("\n")
        };
        assert_eq!(without_index(kernel()), without_index(state));
        assert_eq!(networks.list().await, list);
    });
}

#[test]
fn one_bad_network_does_not_keep_the_daemon_from_starting() {
    machine(async |machine| {
        let networks = machine.networks().await;
        let network = networks.create(NetworkSpec { name: "app".into(), ..NetworkSpec::default() }).await.unwrap();
        drop(networks);
        let bridge = network.bridge.unwrap();
        ip(&format!("link del {bridge}"));
        ip(&format!("link add {bridge} type veth peer name in-the-way"));
        std::fs::write(machine.root.join("data/networks/0123.json"), "garbage").unwrap();
        let networks = machine.networks().await;
        let error = networks.attach("a", on("app", "a")).await.unwrap_err().to_string();
        assert_eq!(
            error,
            format!("network app is not usable: interface name {bridge:?} cannot be used: it exists and is no bridge")
        );
        networks.attach("a", on("bridge", "a")).await.unwrap();
        networks.remove("app").await.unwrap();
        assert!(ip(&format!("link show {bridge}")).contains("in-the-way"), "what is not ours stays");
        assert!(machine.root.join("data/networks/0123.corrupt").exists());
    });
}
