//! Networks of all shapes: what they give to containers, what is refused, and that nothing stays behind.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;

use hoist_network::{AttachRequest, ConnectRequest, IpamConfig, NetworkSpec, Options};
use support::{Inside, connect, ip, machine, on, port};

fn named(name: &str) -> NetworkSpec {
    NetworkSpec { name: name.into(), ..NetworkSpec::default() }
}

fn subnet(text: &str) -> IpamConfig {
    IpamConfig { subnet: Some(text.parse().unwrap()), ..IpamConfig::default() }
}

fn option(spec: &mut NetworkSpec, name: &str, value: &str) {
    spec.options.insert(format!("com.docker.network.{name}"), value.into());
}

#[test]
fn what_a_container_asks_for_it_gets() {
    machine(async |machine| {
        let networks = machine.networks().await;
        let mut spec = named("front");
        spec.ipam.config.push(IpamConfig { ip_range: Some("10.5.8.0/24".parse().unwrap()), ..subnet("10.5.0.0/16") });
        spec.ipam.config.push(subnet("fd00:5::/64"));
        spec.enable_ipv6 = true;
        spec.ipam.config[0].gateway = Some("10.5.0.254".parse().unwrap());
        option(&mut spec, "driver.mtu", "1400");
        networks.create(spec).await.unwrap();
        networks.create(named("back")).await.unwrap();
        let first = ConnectRequest {
            ipv4: Some("10.5.1.7".parse().unwrap()),
            ipv6: Some("fd00:5::77".parse().unwrap()),
            mac: Some("02:aa:bb:cc:dd:ee".parse().unwrap()),
            link_local: vec!["169.254.7.7".parse().unwrap()],
            interface_name: Some("wan".into()),
            gw_priority: 5,
            ..connect("front", &["a"])
        };
        let sysctls = "net.ipv4.conf.IFNAME.log_martians=1,net.ipv4.conf.IFNAME.rp_filter=2";
        let second = ConnectRequest {
            priority: 9,
            driver_opts: BTreeMap::from([("com.docker.network.endpoint.sysctls".into(), sysctls.into())]),
            ..connect("back", &["a"])
        };
        let request = AttachRequest { networks: vec![first, second], ..AttachRequest::default() };
        let attached = networks.attach("a", request).await.unwrap();
        let names: Vec<_> = attached.endpoints.iter().map(|e| e.interface.clone().unwrap()).collect();
        assert_eq!(names, ["eth0", "wan"], "connected by priority");
        let inside = Inside::new(&attached.sandbox.path);
        let wan = inside.ip("addr show wan");
        for part in ["mtu 1400", "02:aa:bb:cc:dd:ee", "10.5.1.7/16", "169.254.7.7/32", "fd00:5::77/64"] {
            assert!(wan.contains(part), "{part}: {wan}");
        }
        let given = wan.lines().find(|l| l.contains("fd00:5::77")).unwrap();
        assert!(!given.contains("tentative"), "usable at once: {wan}");
        assert!(inside.ip("route").contains("default via 10.5.0.254 dev wan"), "by gateway priority");
        assert!(inside.ip("-6 route").contains("default via fd00:5::1 dev wan"));
        let sysctl =
            inside.run(|| support::run("sysctl", "-n net.ipv4.conf.eth0.log_martians net.ipv4.conf.eth0.rp_filter"));
        assert_eq!(sysctl, "1\n2\n");
        let host = attached.endpoints[1].host_interface.clone().unwrap();
        assert!(ip(&format!("link show {host}")).contains("mtu 1400"));
        let next = networks.attach("b", on("front", "b")).await.unwrap();
        assert_eq!(next.endpoints[0].ipv4.unwrap().0.to_string(), "10.5.8.0", "the first of the range");
        assert!(networks.endpoints(&next.endpoints[0].network).await.iter().map(|e| &*e.container).eq(["a", "b"]));
    });
}

#[test]
fn containers_of_one_network_can_be_kept_apart() {
    machine(async |machine| {
        let networks = machine.networks().await;
        let mut spec = named("apart");
        option(&mut spec, "bridge.enable_icc", "false");
        networks.create(spec).await.unwrap();
        let request = AttachRequest { ports: vec![port("8080:80")], ..on("apart", "a") };
        let a = networks.attach("a", request).await.unwrap();
        let b = networks.attach("b", on("apart", "b")).await.unwrap();
        let (a, b) = (Inside::new(&a.sandbox.path), Inside::new(&b.sandbox.path));
        a.serve_tcp("0.0.0.0:80");
        assert!(!b.reaches("172.18.0.2:80"));
        // Past the bridge, through the host: the firewall's part.
        b.ip("route add 172.18.0.2/32 via 172.18.0.1");
        assert!(!b.reaches("172.18.0.2:80"));
        assert!(b.ask("172.18.0.1:8080").is_ok(), "what is published is published to all");
    });
}

#[test]
fn a_network_without_masquerade_shows_its_addresses() {
    machine(async |machine| {
        let outside = Inside::neighbour("198.51.100.1/24", "198.51.100.2/24");
        outside.ip("route add 10.6.0.0/16 via 198.51.100.1");
        outside.serve_tcp("0.0.0.0:80");
        let networks = machine.networks().await;
        let mut spec = named("plain");
        spec.ipam.config.push(subnet("10.6.0.0/16"));
        option(&mut spec, "bridge.enable_ip_masquerade", "false");
        networks.create(spec).await.unwrap();
        let a = networks.attach("a", on("plain", "a")).await.unwrap();
        assert_eq!(Inside::new(&a.sandbox.path).ask("198.51.100.2:80").unwrap(), "10.6.0.2");
    });
}

#[test]
fn a_persons_own_bridge_is_used_and_left_alone() {
    machine(async |machine| {
        ip("link add mine type bridge");
        ip("addr add 10.7.0.1/24 dev mine");
        ip("addr add 192.0.2.1/24 dev mine");
        let networks = machine.networks().await;
        let before = machine.traces();
        let mut spec = named("own");
        spec.ipam.config.push(subnet("10.7.0.0/24"));
        option(&mut spec, "bridge.name", "mine");
        let network = networks.create(spec.clone()).await.unwrap();
        assert_eq!(network.bridge.as_deref(), Some("mine"));
        spec.name = "again".into();
        spec.ipam.config = vec![subnet("10.8.0.0/24")];
        assert_eq!(
            networks.create(spec.clone()).await.unwrap_err().to_string(),
            "interface name \"mine\" cannot be used: it is the bridge of network own"
        );
        networks.remove("own").await.unwrap();
        assert_eq!(machine.traces(), before);
        assert!(ip("addr show mine").contains("10.7.0.1/24") && ip("addr show mine").contains("192.0.2.1/24"));
        option(&mut spec, "bridge.name", "lo");
        assert_eq!(
            networks.create(spec).await.unwrap_err().to_string(),
            "interface name \"lo\" cannot be used: it exists and is no bridge"
        );
        assert_eq!(machine.traces(), before);
    });
}

#[test]
fn what_cannot_be_is_refused_and_leaves_nothing() {
    machine(async |machine| {
        ip("link add lan type bridge");
        ip("addr add 10.44.0.1/24 dev lan");
        ip("link set lan up");
        let networks = machine.networks().await;
        networks.create(named("app")).await.unwrap();
        let clean = machine.traces();
        let mut refusals = Vec::new();
        let specs: Vec<NetworkSpec> = vec![
            named("app"),
            named("-x"),
            named("host"),
            NetworkSpec { driver: "overlay".into(), ..named("n") },
            NetworkSpec { driver: "host".into(), ..named("n") },
            NetworkSpec {
                ipam: hoist_network::IpamSpec { config: vec![subnet("10.44.0.0/16")], ..Default::default() },
                ..named("n")
            },
            NetworkSpec {
                ipam: hoist_network::IpamSpec { config: vec![subnet("172.18.4.0/24")], ..Default::default() },
                ..named("n")
            },
            NetworkSpec { ipam: hoist_network::IpamSpec { driver: "dhcp".into(), ..Default::default() }, ..named("n") },
        ];
        for spec in specs {
            refusals.push(networks.create(spec).await.unwrap_err().to_string());
            assert_eq!(machine.traces(), clean);
        }
        for name in ["bridge", "nothing"] {
            refusals.push(networks.remove(name).await.unwrap_err().to_string());
        }
        networks.attach("a", on("app", "the-first")).await.unwrap();
        let with = |request: ConnectRequest| AttachRequest { networks: vec![request], ..AttachRequest::default() };
        let static_address = |a: &str| ConnectRequest { ipv4: Some(a.parse().unwrap()), ..connect("app", &["x"]) };
        let attach: Vec<AttachRequest> = vec![
            on("nothing", "x"),
            on("host", "x"),
            with(static_address("172.18.0.2")),
            with(static_address("10.0.0.1")),
            with(ConnectRequest { ipv6: Some("fd00::1".parse().unwrap()), ..connect("app", &["x"]) }),
            with(ConnectRequest { interface_name: Some("lo".into()), ..connect("app", &["x"]) }),
            with(ConnectRequest {
                driver_opts: BTreeMap::from([("colour".into(), "red".into())]),
                ..connect("app", &["x"])
            }),
            AttachRequest { networks: vec![connect("app", &[]), connect("app", &[])], ..AttachRequest::default() },
            AttachRequest { networks: vec![connect("app", &[]), connect("none", &[])], ..AttachRequest::default() },
            AttachRequest {
                networks: vec![connect("app", &[]), connect("bridge", &[])],
                ports: vec![port("99:99"), port("203.0.113.1:80:80")],
                ..Default::default()
            },
            // Fails in the kernel, when everything else has been done.
            with(ConnectRequest {
                driver_opts: BTreeMap::from([(
                    "com.docker.network.endpoint.sysctls".into(),
                    "net.ipv4.conf.IFNAME.nonsense=1".into(),
                )]),
                ..connect("app", &["x"])
            }),
        ];
        let before = machine.traces();
        for request in attach {
            refusals.push(networks.attach("x", request).await.unwrap_err().to_string());
            assert_eq!(machine.traces(), before, "after {}", refusals.last().unwrap());
        }
        refusals.push(networks.attach("../x", on("app", "x")).await.unwrap_err().to_string());
        refusals.push(networks.connect("x", connect("app", &[])).await.unwrap_err().to_string());
        refusals.push(networks.connect("a", connect("app", &[])).await.unwrap_err().to_string());
        refusals.push(networks.connect("a", connect("none", &[])).await.unwrap_err().to_string());
        refusals.push(networks.disconnect("a", "bridge").await.unwrap_err().to_string());
        refusals.push(networks.remove("app").await.unwrap_err().to_string());
        insta::assert_snapshot!(refusals.join("\n"));
        assert_eq!(
            networks.attach("x", on("app", "x")).await.unwrap().endpoints[0].ipv4.unwrap().0.to_string(),
            "172.18.0.3"
        );
    });
}

#[test]
fn a_full_network_says_so() {
    machine(async |machine| {
        let mut options = machine.options();
        options.pools = vec![hoist_network::Pool { base: "10.0.0.0/28".parse().unwrap(), size: 29 }];
        let networks = hoist_network::Networks::open(options).await.unwrap();
        for n in 0..5 {
            networks.attach(&format!("c{n}"), on("bridge", "x")).await.unwrap();
        }
        assert_eq!(
            networks.attach("c5", on("bridge", "x")).await.unwrap_err().to_string(),
            "network bridge has no free address left in 10.0.0.0/29"
        );
        networks.create(named("second")).await.unwrap();
        assert_eq!(
            networks.create(named("third")).await.unwrap_err().to_string(),
            "no free IPv4 subnet is left in the default address pools: give one, or remove unused networks"
        );
        networks.release("c2").await.unwrap();
        assert_eq!(
            networks.attach("c6", on("bridge", "x")).await.unwrap().endpoints[0].ipv4.unwrap().0.to_string(),
            "10.0.0.4"
        );
    });
}

#[test]
fn none_and_nothing_have_a_loopback_interface_only() {
    machine(async |machine| {
        let networks = machine.networks().await;
        for (container, request) in [("a", on("none", "a")), ("b", AttachRequest::default())] {
            let attached = networks.attach(container, request).await.unwrap();
            let links = Inside::new(&attached.sandbox.path).ip("-o link");
            assert_eq!(links.lines().count(), 1, "{links}");
            assert!(links.contains("lo: <LOOPBACK,UP,LOWER_UP>"));
            assert_eq!(networks.sandbox(container).await.unwrap(), attached.sandbox);
            networks.release(container).await.unwrap();
            assert!(networks.sandbox(container).await.is_err());
        }
    });
}

#[test]
fn two_daemons_share_a_machine() {
    machine(async |machine| {
        let networks = machine.networks().await;
        let other = |instance: &str| {
            let roots = (machine.root.join("data2"), machine.root.join("run2"));
            Options { instance: instance.into(), dns: machine.options().dns, ..Options::new(roots.0, roots.1) }
        };
        assert_eq!(
            hoist_network::Networks::open(other("too/long")).await.err().unwrap().to_string(),
            "invalid instance \"too/long\": at most 8 letters, digits and _ are allowed"
        );
        let second = hoist_network::Networks::open(other("b")).await.unwrap();
        let one = networks
            .attach("c", AttachRequest { ports: vec![port("8080:80"), port("127.0.0.1:8082:80")], ..on("bridge", "c") })
            .await
            .unwrap();
        let two =
            second.attach("c", AttachRequest { ports: vec![port("8081:80")], ..on("bridge", "c") }).await.unwrap();
        assert_eq!(one.endpoints[0].ipv4.unwrap().0.to_string(), "172.17.0.2");
        assert_eq!(two.endpoints[0].ipv4.unwrap().0.to_string(), "172.18.0.2");
        for (wanted, address, holder) in [
            ("8080:80", "0.0.0.0:8080", format!(" (pid {})", std::process::id())),
            ("127.0.0.1:8082:80", "127.0.0.1:8082", "a process that cannot be identified".into()),
        ] {
            let request = AttachRequest { ports: vec![port(wanted)], ..on("bridge", "d") };
            let error = second.attach("d", request).await.unwrap_err().to_string();
            let begin = format!("port {address}/tcp is already in use by ");
            assert!(error.starts_with(&begin) && error.ends_with(&holder), "{error}");
        }
        Inside::new(&one.sandbox.path).serve_tcp("0.0.0.0:80");
        Inside::new(&two.sandbox.path).serve_tcp("0.0.0.0:80");
        assert_eq!(support::ask("127.0.0.1:8080").unwrap(), "172.17.0.1");
        assert_eq!(support::ask("127.0.0.1:8081").unwrap(), "172.18.0.1");
        second.reconcile(&[]).await.unwrap();
        assert_eq!(support::ask("127.0.0.1:8080").unwrap(), "172.17.0.1");
    });
}

#[test]
fn the_hosts_own_firewall_is_heard() {
    machine(async |machine| {
        let outside = Inside::neighbour("198.51.100.1/24", "198.51.100.2/24");
        let networks = machine.networks().await;
        let request = AttachRequest { ports: vec![port("8080:80"), port("8081:81")], ..on("bridge", "a") };
        let a = networks.attach("a", request).await.unwrap();
        let a = Inside::new(&a.sandbox.path);
        a.serve_tcp("0.0.0.0:80");
        a.serve_tcp("0.0.0.0:81");
        assert!(outside.ask("198.51.100.1:8080").is_ok() && networks.warnings().await.is_empty());
        support::run("nft", "add table inet filter");
        support::run("nft", "add chain inet filter forward { type filter hook forward priority 10 ; policy drop ; }");
        assert!(!outside.reaches("198.51.100.1:8080"), "a policy of theirs");
        assert_eq!(networks.warnings().await.len(), 1);
        support::run("nft", "add rule inet filter forward ct state established,related accept");
        support::run("nft", "add rule inet filter forward meta l4proto tcp ct original proto-dst 8080 accept");
        assert!(
            outside.ask("198.51.100.1:8080").is_ok() && !outside.reaches("198.51.100.1:8081"),
            "and a rule of theirs"
        );
    });
}

#[test]
fn datagrams_follow_the_new_container() {
    machine(async |machine| {
        let outside = Inside::neighbour("198.51.100.1/24", "198.51.100.2/24");
        let networks = machine.networks().await;
        let client = outside.run(|| std::net::UdpSocket::bind("198.51.100.2:4000").unwrap());
        client.connect("198.51.100.1:5353").unwrap();
        client.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
        // Remembered as a connection to the host itself.
        client.send(b"?").unwrap();
        let mut buffer = [0; 64];
        let _ = client.recv(&mut buffer);
        for container in ["a", "b"] {
            let request = AttachRequest { ports: vec![port("5353:53/udp")], ..on("bridge", container) };
            let attached = networks.attach(container, request).await.unwrap();
            let inside = Inside::new(&attached.sandbox.path);
            inside.serve_udp("0.0.0.0:53");
            client.send(b"?").unwrap();
            let length = client.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"198.51.100.2", "{container}");
            networks.release(container).await.unwrap();
            networks.attach("other", on("bridge", "other")).await.unwrap();
        }
    });
}
