//! Networks on a wire of the host's (macvlan, ipvlan), networks made from a configuration, and a default network that changes
//! with the settings.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;

use hoist_network::{AttachRequest, IpamConfig, NetworkSpec, Options};
use support::{Inside, connect, ip, machine, on, port};

fn wired(name: &str, parent: &str, mode: &str, subnet: &str) -> NetworkSpec {
    let mut spec = NetworkSpec { name: name.into(), driver: "macvlan".into(), ..NetworkSpec::default() };
    spec.options = BTreeMap::from([("macvlan_mode".into(), mode.into())]);
    if !parent.is_empty() {
        spec.options.insert("parent".into(), parent.into());
    }
    spec.ipam.config.push(IpamConfig { subnet: Some(subnet.parse().unwrap()), ..IpamConfig::default() });
    spec
}

fn try_ip(arguments: &str) -> bool {
    std::process::Command::new("ip").args(arguments.split(' ')).output().unwrap().status.success()
}

#[test]
fn containers_are_on_the_hosts_wire_and_stay_there() {
    machine(async |machine| {
        // The other end of the wire is the router of the subnet.
        let router = Inside::neighbour("192.0.2.9/24", "192.0.2.1/24");
        router.serve_tcp("0.0.0.0:80");
        let links = ip("-o link");
        let wire = links.lines().find_map(|l| l.split(": ").nth(1)?.strip_prefix('w')?.split('@').next()).unwrap();
        let wire = format!("w{wire}");
        let networks = machine.networks().await;
        let before = machine.traces();
        // The host's own route to the subnet is no obstacle.
        let mut spec = wired("lan", &wire, "bridge", "192.0.2.0/24");
        spec.ipam.config[0].ip_range = Some("192.0.2.64/26".parse().unwrap());
        spec.ipam.config[0].gateway = Some("192.0.2.1".parse().unwrap());
        networks.create(spec).await.unwrap();
        let attached = networks.attach("a", on("lan", "a")).await.unwrap();
        let (a, endpoint) = (Inside::new(&attached.sandbox.path), &attached.endpoints[0]);
        assert_eq!(endpoint.ipv4.unwrap().0.to_string(), "192.0.2.64");
        assert_eq!((endpoint.host_interface.as_deref(), endpoint.interface.as_deref()), (None, Some("eth0")));
        let shown = a.ip("-d link show eth0");
        assert!(shown.contains("macvlan mode bridge") && shown.contains(&endpoint.mac.unwrap().to_string()), "{shown}");
        assert!(a.ip("route").contains("default via 192.0.2.1 dev eth0"));
        assert_eq!(a.ask("192.0.2.1:80").unwrap(), "192.0.2.64", "seen by the router as itself");
        // A bridge network beside it: two interfaces, and ports go over the bridge only.
        networks.create(NetworkSpec { name: "back".into(), ..NetworkSpec::default() }).await.unwrap();
        let mut both = on("lan", "b");
        both.networks.push(connect("back", &["b"]));
        both.ports = vec![port("8080:80")];
        let attached = networks.attach("b", both).await.unwrap();
        let b = Inside::new(&attached.sandbox.path);
        b.serve_tcp("0.0.0.0:80");
        assert!(a.ask("192.0.2.65:80").is_ok(), "containers of one wire reach each other");
        assert_eq!(support::ask("127.0.0.1:8080").unwrap(), "172.18.0.1");
        let refused = AttachRequest { ports: vec![port("8081:80")], ..on("lan", "c") };
        let text = networks.attach("c", refused).await.unwrap_err().to_string();
        assert!(text.contains("no bridge network"), "{text}");
        // The next daemon knows who has which address.
        drop(networks);
        let networks = machine.networks().await;
        networks.reconcile(&["a".to_owned(), "b".to_owned()]).await.unwrap();
        let attached = networks.attach("c", on("lan", "c")).await.unwrap();
        assert_eq!(attached.endpoints[0].ipv4.unwrap().0.to_string(), "192.0.2.66");
        assert!(a.ask("192.0.2.65:80").is_ok());
        // Taken off and put on while it runs.
        networks.disconnect("c", "lan").await.unwrap();
        assert!(!Inside::new(&attached.sandbox.path).ip("-o link").contains("macvlan"));
        let again = networks.connect("c", connect("lan", &["c"])).await.unwrap();
        assert!(again.ipv4.is_some());
        let text = networks.remove("lan").await.unwrap_err().to_string();
        assert_eq!(text, "network lan is in use by a, b, c");
        for container in ["a", "b", "c"] {
            networks.release(container).await.unwrap();
        }
        networks.remove("lan").await.unwrap();
        networks.remove("back").await.unwrap();
        assert_eq!(machine.traces(), before);
    });
}

#[test]
fn parents_are_made_and_go_and_modes_are_kept() {
    machine(async |machine| {
        ip("link add wire type veth peer name far");
        ip("link set wire up");
        ip("link set far up");
        let networks = machine.networks().await;
        let before = machine.traces();
        // Some kernels have no 802.1Q; there the parent is the wire itself.
        let tagging = try_ip("link add link wire name try type vlan id 9") && try_ip("link del try");
        let parent = if tagging { "wire.50" } else { "wire" };
        networks.create(wired("tagged", parent, "vepa", "10.50.0.0/24")).await.unwrap();
        let shown = ip(&format!("-d link show {parent}"));
        assert!(!tagging || shown.contains("vlan protocol 802.1Q id 50"), "{shown}");
        let a = networks.attach("a", on("tagged", "a")).await.unwrap();
        let inside = Inside::new(&a.sandbox.path);
        assert!(inside.ip("-d link show eth0").contains("macvlan mode vepa"));
        // Somebody removes it; the next daemon makes it again.
        networks.release("a").await.unwrap();
        drop(networks);
        if tagging {
            ip("link del wire.50");
        }
        let networks = machine.networks().await;
        assert!(ip(&format!("link show {parent}")).contains("UP"));
        // A wire of its own leads nowhere, but its containers meet.
        let alone = networks.create(wired("alone", "", "bridge", "10.51.0.0/24")).await.unwrap();
        assert!(alone.spec.internal);
        let (a, b) = (
            networks.attach("a", on("alone", "a")).await.unwrap(),
            networks.attach("b", on("alone", "b")).await.unwrap(),
        );
        let (a, b) = (Inside::new(&a.sandbox.path), Inside::new(&b.sandbox.path));
        a.serve_tcp("0.0.0.0:80");
        assert_eq!(b.ask("10.51.0.2:80").unwrap(), "10.51.0.3");
        assert!(!a.ip("route").contains("default"));
        networks.create(wired("private", "wire", "private", "10.52.0.0/24")).await.unwrap();
        let wrong = [
            wired("x", "nowhere", "bridge", "10.60.0.0/24"),
            wired("x", "nowhere.7", "bridge", "10.60.0.0/24"),
            wired("x", "lo", "bridge", "10.60.0.0/24"),
            wired("x", "wire", "sideways", "10.60.0.0/24"),
            wired("x", "wire", "bridge", "10.52.0.0/25"),
        ];
        let mut said = Vec::new();
        for spec in wrong {
            said.push(networks.create(spec).await.unwrap_err().to_string());
        }
        insta::assert_snapshot!(said.join("\n"), @r#"
        interface name "nowhere" cannot be used: there is no such interface on this machine, and it is no sub-interface such as eth0.50
        interface name "nowhere.7" cannot be used: the interface that it would be a sub-interface of is missing
        driver option parent="lo": the loopback interface cannot be a parent
        driver option macvlan_mode="sideways": expected bridge, private, vepa or passthru
        subnet 10.52.0.0/25 overlaps 10.52.0.0/24 of network private
        "#);
        let through = wired("x", "wire", "passthru", "10.60.0.0/24");
        let text = networks.create(through).await.unwrap_err().to_string();
        assert!(text.contains("in mode passthru only one can"), "{text}");
        for container in ["a", "b"] {
            networks.release(container).await.unwrap();
        }
        for network in ["tagged", "alone", "private"] {
            networks.remove(network).await.unwrap();
        }
        networks.create(wired("through", "wire", "passthru", "10.53.0.0/24")).await.unwrap();
        let a = networks.attach("a", on("through", "a")).await.unwrap();
        assert!(Inside::new(&a.sandbox.path).ip("-d link show eth0").contains("macvlan mode passthru"));
        networks.release("a").await.unwrap();
        networks.remove("through").await.unwrap();
        assert_eq!(machine.traces(), before);
    });
}

#[test]
fn networks_are_made_from_a_configuration() {
    machine(async |machine| {
        let networks = machine.networks().await;
        let mut config = NetworkSpec { name: "config".into(), config_only: true, ..NetworkSpec::default() };
        config.options.insert("com.docker.network.driver.mtu".into(), "1400".into());
        config.labels.insert("team".into(), "blue".into());
        let subnet = Some("10.70.0.0/24".parse().unwrap());
        config.ipam.config.push(IpamConfig { subnet, ..IpamConfig::default() });
        assert_eq!(networks.create(config).await.unwrap().spec.driver, "null");
        let from = |name: &str, config: &str| NetworkSpec {
            name: name.into(),
            config_from: Some(config.into()),
            ..NetworkSpec::default()
        };
        let made = networks.create(from("made", "config")).await.unwrap();
        assert_eq!(made.spec.ipam.config[0].gateway.unwrap().to_string(), "10.70.0.1");
        assert_eq!((made.spec.labels["team"].as_str(), made.spec.driver.as_str()), ("blue", "bridge"));
        drop(networks);
        let networks = machine.networks().await;
        let a = networks.attach("a", on("made", "a")).await.unwrap();
        assert!(Inside::new(&a.sandbox.path).ip("link show eth0").contains("mtu 1400"));
        let mut said = vec![networks.attach("b", on("config", "b")).await.unwrap_err().to_string()];
        said.push(networks.remove("config").await.unwrap_err().to_string());
        let mut own = from("x", "config");
        own.enable_ipv6 = true;
        let internal = NetworkSpec { name: "x".into(), config_only: true, internal: true, ..NetworkSpec::default() };
        let both = NetworkSpec { config_only: true, ..from("x", "config") };
        for spec in [own, internal, both, from("x", "made"), from("x", "nothing")] {
            said.push(networks.create(spec).await.unwrap_err().to_string());
        }
        insta::assert_snapshot!(said.join("\n"), @r#"
        no container can be on network config: it is a configuration that networks are made from
        network config is in use by network made
        network x: user specified configurations are not supported if the network depends on a configuration network
        network x: configuration network can only contain network specific fields. Network operator fields like [ ingress | internal | attachable | scope ] are not supported
        network x: a configuration network cannot depend on another configuration network
        network x: network "made" is not a configuration network
        network x: configuration network "nothing" not found
        "#);
        networks.release("a").await.unwrap();
        networks.remove("made").await.unwrap();
        networks.remove("config").await.unwrap();
    });
}

#[test]
fn the_default_network_follows_the_settings() {
    machine(async |machine| {
        drop(machine.networks().await);
        let options = || Options {
            default_subnets: vec!["10.80.0.0/16".parse().unwrap()],
            default_ranges: vec!["10.80.5.0/24".parse().unwrap()],
            default_routers: vec!["10.80.9.9".parse().unwrap()],
            default_options: BTreeMap::from([("com.docker.network.bridge.enable_icc".into(), "false".into())]),
            network_options: BTreeMap::from([(
                "bridge".into(),
                BTreeMap::from([("com.docker.network.driver.mtu".into(), "1300".into())]),
            )]),
            ..machine.options()
        };
        let networks = hoist_network::Networks::open(options()).await.unwrap();
        let attached = networks.attach("a", on("bridge", "a")).await.unwrap();
        assert!(attached.endpoints[0].ipv4.unwrap().0.to_string().starts_with("10.80.5."));
        assert!(Inside::new(&attached.sandbox.path).ip("route").contains("default via 10.80.9.9"));
        let made = networks.create(NetworkSpec { name: "other".into(), ..NetworkSpec::default() }).await.unwrap();
        assert_eq!(made.spec.options["com.docker.network.driver.mtu"], "1300");
        drop(networks);
        // While a container is on it, it stays.
        let mut other = options();
        other.default_subnets = vec!["10.81.0.0/16".parse().unwrap()];
        other.default_ranges.clear();
        other.default_routers.clear();
        let networks = hoist_network::Networks::open(other.clone()).await.unwrap();
        assert!(ip("addr").contains("10.80.5.0/16"), "{}", ip("addr"));
        networks.release("a").await.unwrap();
        drop(networks);
        let networks = hoist_network::Networks::open(other).await.unwrap();
        assert!(ip("addr").contains("10.81.0.1/16") && !ip("addr").contains("10.80."), "{}", ip("addr"));
        networks.remove("other").await.unwrap();
    });
}

/// A kernel that has no ipvlan says so when the network is made; one that has it lets containers share an address.
#[test]
fn containers_may_share_the_wires_address() {
    machine(async |machine| {
        let router = Inside::neighbour("192.0.2.9/24", "192.0.2.1/24");
        router.serve_tcp("0.0.0.0:80");
        let links = ip("-o link");
        let wire = links.lines().find_map(|l| l.split(": ").nth(1)?.strip_prefix('w')?.split('@').next()).unwrap();
        let wire = format!("w{wire}");
        let networks = machine.networks().await;
        let before = machine.traces();
        let shared = |name: &str, mode: &str, subnet: &str| {
            let mut spec = wired(name, &wire, "", subnet);
            spec.driver = "ipvlan".into();
            spec.options.remove("macvlan_mode");
            spec.options.insert("ipvlan_mode".into(), mode.into());
            spec
        };
        for (mode, flag, why) in [("l4", "bridge", "l2, l3 or l3s"), ("l2", "loud", "bridge, private or vepa")] {
            let mut spec = shared("x", mode, "192.0.2.0/24");
            spec.options.insert("ipvlan_flag".into(), flag.into());
            assert!(networks.create(spec).await.unwrap_err().to_string().contains(why));
        }
        let has = try_ip(&format!("link add try link {wire} type ipvlan mode l2")) && try_ip("link delete try");
        let mut spec = shared("lan", "l2", "192.0.2.0/24");
        spec.ipam.config[0].ip_range = Some("192.0.2.64/26".parse().unwrap());
        spec.ipam.config[0].gateway = Some("192.0.2.1".parse().unwrap());
        let made = networks.create(spec).await;
        if !has {
            let error = made.unwrap_err().to_string();
            assert!(error.contains("not every kernel can"), "{error}");
            assert_eq!(machine.traces(), before);
            return;
        }
        made.unwrap();
        let attached = networks.attach("a", on("lan", "a")).await.unwrap();
        let a = Inside::new(&attached.sandbox.path);
        assert!(a.ip("-d link show eth0").contains("ipvlan  mode l2"), "{}", a.ip("-d link show eth0"));
        assert!(ip(&format!("link show {wire}")).contains(&attached.endpoints[0].mac.unwrap().to_string()));
        assert_eq!(a.ask("192.0.2.1:80").unwrap(), "192.0.2.64", "seen by the router as itself");
        let attached = networks.attach("b", on("lan", "b")).await.unwrap();
        Inside::new(&attached.sandbox.path).serve_tcp("0.0.0.0:80");
        assert!(a.ask("192.0.2.65:80").is_ok(), "containers of one wire reach each other");
        let mut own = on("lan", "c");
        own.networks[0].mac = Some("02:00:00:00:00:01".parse().unwrap());
        let error = networks.attach("c", own).await.unwrap_err().to_string();
        assert!(error.contains("link address"), "{error}");
        let error = networks.create(wired("m", &wire, "bridge", "192.0.3.0/24")).await.unwrap_err().to_string();
        assert!(error.contains("network lan uses it, with driver ipvlan"), "{error}");
        let error = networks.create(shared("n", "l3", "192.0.3.0/24")).await.unwrap_err().to_string();
        assert!(error.contains("another mode"), "{error}");
        for container in ["a", "b"] {
            networks.release(container).await.unwrap();
        }
        networks.remove("lan").await.unwrap();
        // In mode l3 the host routes between subnets; there is no neighbour to ask for.
        networks.create(shared("routed", "l3", "10.7.0.0/24")).await.unwrap();
        let attached = networks.attach("a", on("routed", "a")).await.unwrap();
        let a = Inside::new(&attached.sandbox.path);
        router.ip("route add 10.7.0.0/24 via 192.0.2.9");
        assert_eq!(a.ask("192.0.2.1:80").unwrap(), attached.endpoints[0].ipv4.unwrap().0.to_string());
        networks.release("a").await.unwrap();
        networks.remove("routed").await.unwrap();
        assert_eq!(machine.traces(), before);
    });
}
