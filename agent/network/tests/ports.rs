//! Published ports: whose they are, what is refused and by whom it is held.

#![allow(clippy::unwrap_used)]

mod support;

use std::net::{TcpListener, UdpSocket};

use hoist_network::{AttachRequest, IpamConfig, NetworkSpec, PublishedPort};
use support::{Inside, ask, ask_udp, connect, ip, machine, nft, on, port};

fn show(ports: &[PublishedPort]) -> String {
    let show = |p: &PublishedPort| format!("{}:{}->{}/{}", p.host_ip, p.host_port, p.container_port, p.protocol);
    ports.iter().map(show).collect::<Vec<_>>().join(" ")
}

#[test]
fn ranges_addresses_and_free_ports() {
    machine(async |machine| {
        let networks = machine.networks().await;
        let publish = async |container: &str, ports: &[&str]| {
            let ports = ports.iter().map(|p| port(p)).collect();
            let request = AttachRequest { ports, ..on("bridge", container) };
            networks.attach(container, request).await.map(|a| show(&a.ports)).map_err(|e| e.to_string())
        };
        assert_eq!(publish("a", &["8080:80"]).await.unwrap(), "0.0.0.0:8080->80/tcp :::8080->80/tcp");
        assert_eq!(
            publish("b", &["9000-9001:90-91", "9000:90/udp", "127.0.0.1:9002:92"]).await.unwrap(),
            "0.0.0.0:9000->90/tcp :::9000->90/tcp 0.0.0.0:9001->91/tcp :::9001->91/tcp 0.0.0.0:9000->90/udp \
             :::9000->90/udp 127.0.0.1:9002->92/tcp"
        );
        assert_eq!(
            publish("c", &["0.0.0.0:8080-8085:80"]).await.unwrap(),
            "0.0.0.0:8081->80/tcp",
            "the first free one"
        );
        assert_eq!(
            publish("d", &["80", "81"]).await.unwrap(),
            "0.0.0.0:32768->80/tcp :::32768->80/tcp 0.0.0.0:32769->81/tcp :::32769->81/tcp"
        );
        assert_eq!(publish("e", &["7000:70/sctp"]).await.unwrap(), "0.0.0.0:7000->70/sctp");
        assert_eq!(publish("x", &["8080-8081:80"]).await.unwrap_err(), "no port is free in 8080-8081/tcp");
        assert_eq!(
            publish("x", &["8090:1", "8080:80"]).await.unwrap_err(),
            "port 0.0.0.0:8080/tcp is already in use by container a"
        );
        assert_eq!(
            publish("x", &["127.0.0.1:9001:80"]).await.unwrap_err(),
            "port 127.0.0.1:9001/tcp is already in use by container b"
        );
        assert_eq!(
            publish("x", &["8090-8092:1-2"]).await.unwrap_err(),
            "host ports 8090-8092 do not fit container ports 1-2: ranges must have the same length"
        );
        assert_eq!(
            publish("x", &["203.0.113.9:80:80"]).await.unwrap_err(),
            "address 203.0.113.9 is not an address of this host"
        );
        assert_eq!(
            publish("x", &["[::1]:80:80/sctp"]).await.unwrap_err(),
            "a port of container x cannot be published on ::1: the container has no IPv6 address"
        );
        // What was refused left nothing behind, and what is released can be had again.
        assert_eq!(publish("y", &["8090:1"]).await.unwrap(), "0.0.0.0:8090->1/tcp :::8090->1/tcp");
        networks.release("a").await.unwrap();
        assert_eq!(publish("z", &["0.0.0.0:8080:80"]).await.unwrap(), "0.0.0.0:8080->80/tcp");
        assert_eq!(nft().matches(" . 8080 : ").count(), 1, "{}", nft());
    });
}

#[test]
fn ports_of_the_hosts_processes_stay_theirs() {
    machine(async |machine| {
        let networks = machine.networks().await;
        let tcp = TcpListener::bind("0.0.0.0:8080").unwrap();
        let udp = UdpSocket::bind("[::]:5353").unwrap();
        let me = std::process::id();
        let name = std::fs::read_to_string("/proc/self/comm").unwrap();
        for (wanted, address) in [("8080:80", "0.0.0.0:8080/tcp"), ("5353:53/udp", "0.0.0.0:5353/udp")] {
            let request = AttachRequest { ports: vec![port(wanted)], ..on("bridge", "a") };
            let error = networks.attach("a", request).await.unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("port {address} is already in use by process {} (pid {me})", name.trim())
            );
        }
        drop((tcp, udp));
        let request = AttachRequest { ports: vec![port("8080:80"), port("5353:53/udp")], ..on("bridge", "a") };
        networks.attach("a", request).await.unwrap();
        assert!(TcpListener::bind("127.0.0.1:8080").is_err(), "and ours are ours");
        assert!(UdpSocket::bind("127.0.0.1:5353").is_err());
        networks.release("a").await.unwrap();
        TcpListener::bind("127.0.0.1:8080").unwrap();
    });
}

#[test]
fn udp_and_ipv6_are_carried_too() {
    machine(async |machine| {
        let outside = Inside::neighbour("198.51.100.1/24", "198.51.100.2/24");
        ip("addr add 2001:db8::1/64 dev lo nodad");
        let networks = machine.networks().await;
        let spec = NetworkSpec { name: "six".into(), enable_ipv6: true, ..NetworkSpec::default() };
        networks.create(spec).await.unwrap();
        let ports = vec![port("5353:53/udp"), port("8080:80")];
        let attached = networks.attach("a", AttachRequest { ports, ..on("six", "a") }).await.unwrap();
        assert_eq!(show(&attached.ports), "0.0.0.0:5353->53/udp :::5353->53/udp 0.0.0.0:8080->80/tcp :::8080->80/tcp");
        let inside = Inside::new(&attached.sandbox.path);
        let client = networks.attach("b", on("six", "b")).await.unwrap();
        let client = Inside::new(&client.sandbox.path);
        inside.serve_udp("[::]:53");
        inside.serve_tcp("[::]:80");
        let six = attached.endpoints[0].ipv6.unwrap().0;
        let gateway = attached.endpoints[0].gateway6.unwrap();
        assert_eq!(
            client.ask(&format!("[{six}]:80")).unwrap(),
            format!("{}3", gateway.to_string().trim_end_matches('1'))
        );
        assert_eq!(outside.ask_udp("198.51.100.1:5353").unwrap(), "::ffff:198.51.100.2");
        assert_eq!(ask_udp("127.0.0.1:5353").unwrap(), "::ffff:172.18.0.1");
        assert_eq!(client.ask(&format!("[{gateway}]:8080")).unwrap(), gateway.to_string(), "by the published port");
        assert_eq!(inside.ask(&format!("[{gateway}]:8080")).unwrap(), gateway.to_string(), "itself");
        assert_eq!(ask("[2001:db8::1]:8080").unwrap(), "2001:db8::1");
        assert_eq!(ask("[::1]:8080").unwrap(), gateway.to_string(), "the daemon carries it");
        assert_eq!(ask_udp("[::1]:5353").unwrap(), gateway.to_string());
        assert_eq!(ask("127.0.0.1:8080").unwrap(), "::ffff:172.18.0.1");
        let error = networks.publish("b", vec![port("[::1]:8082:80/sctp")]).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "a port of protocol sctp cannot be published on ::1: the kernel does not translate it; use 127.0.0.1"
        );
    });
}

/// What no rule of the kernel can do is carried by the daemon, and found again by the next.
#[test]
fn ipv6_reaches_containers_that_have_none() {
    machine(async |machine| {
        ip("addr add 2001:db8::1/64 dev lo nodad");
        ip("addr add 2001:db8::2/64 dev lo nodad");
        let networks = machine.networks().await;
        for name in ["one", "two"] {
            networks.create(NetworkSpec { name: name.into(), ..NetworkSpec::default() }).await.unwrap();
        }
        let ports = ["8080:80", "5353:53/udp", "[::1]:8081:80", "[2001:db8::2]:8082:80"].map(port).to_vec();
        let attached = networks.attach("a", AttachRequest { ports, ..on("two", "a") }).await.unwrap();
        assert_eq!(
            show(&attached.ports),
            "0.0.0.0:8080->80/tcp :::8080->80/tcp 0.0.0.0:5353->53/udp :::5353->53/udp ::1:8081->80/tcp \
             2001:db8::2:8082->80/tcp"
        );
        let inside = Inside::new(&attached.sandbox.path);
        inside.serve_udp("0.0.0.0:53");
        inside.serve_tcp("0.0.0.0:80");
        let all = |gateway: &str| {
            for address in
                ["[::1]:8080", "[2001:db8::1]:8080", "[2001:db8::2]:8080", "[::1]:8081", "[2001:db8::2]:8082"]
            {
                assert_eq!(ask(address), Ok(gateway.to_owned()), "{address}");
            }
            // Whoever asks at the second of two addresses is answered from it.
            for address in ["[::1]:5353", "[2001:db8::1]:5353", "[2001:db8::2]:5353"] {
                assert_eq!(ask_udp(address).unwrap(), gateway, "{address}");
                assert_eq!(ask_udp(address).unwrap(), gateway, "{address} again");
            }
            assert_eq!(ask("[2001:db8::1]:8082").unwrap_err(), "connection refused");
        };
        all("172.19.0.1");
        let taken = TcpListener::bind("[::]:8080").unwrap_err();
        assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
        drop(networks);
        let networks = machine.networks().await;
        all("172.19.0.1");
        networks.connect("a", connect("one", &["a"])).await.unwrap();
        all("172.18.0.1");
        networks.release("a").await.unwrap();
        assert_eq!(ask("[::1]:8080").unwrap_err(), "connection refused");
        UdpSocket::bind("[::]:5353").unwrap();
    });
}

#[test]
fn a_network_may_have_ipv6_alone() {
    machine(async |machine| {
        let networks = machine.networks().await;
        let spec = NetworkSpec { name: "six".into(), enable_ipv4: false, enable_ipv6: true, ..NetworkSpec::default() };
        networks.create(spec).await.unwrap();
        let request = AttachRequest { ports: vec![port("8080:80")], ..on("six", "a") };
        let a = networks.attach("a", request).await.unwrap();
        assert_eq!(show(&a.ports), ":::8080->80/tcp");
        let endpoint = &a.endpoints[0];
        assert!(endpoint.ipv4.is_none() && endpoint.gateway4.is_none());
        let inside = Inside::new(&a.sandbox.path);
        inside.serve_tcp("[::]:80");
        let gateway = endpoint.gateway6.unwrap();
        assert_eq!(ask(&format!("[{gateway}]:8080")).unwrap(), gateway.to_string());
        assert!(inside.ip("-4 addr show eth0").is_empty());
    });
}

#[test]
fn ports_follow_the_network_that_leads_out() {
    machine(async |machine| {
        let networks = machine.networks().await;
        for name in ["one", "two"] {
            networks.create(NetworkSpec { name: name.into(), ..NetworkSpec::default() }).await.unwrap();
        }
        let request = AttachRequest { ports: vec![port("8080:80")], ..on("two", "a") };
        let attached = networks.attach("a", request).await.unwrap();
        let inside = Inside::new(&attached.sandbox.path);
        inside.serve_tcp("0.0.0.0:80");
        assert_eq!(ask("127.0.0.1:8080").unwrap(), "172.19.0.1");
        networks.connect("a", connect("one", &["a"])).await.unwrap();
        assert_eq!(ask("127.0.0.1:8080").unwrap(), "172.18.0.1", "the first name of two equals");
        assert!(inside.ip("route").contains("default via 172.18.0.1 dev eth1"));
        networks.disconnect("a", "one").await.unwrap();
        assert_eq!(ask("127.0.0.1:8080").unwrap(), "172.19.0.1");
        assert!(inside.ip("route").contains("default via 172.19.0.1 dev eth0"));
        assert!(!inside.ip("link").contains("eth1"));
    });
}

#[test]
fn host_binding_and_internal_networks() {
    machine(async |machine| {
        let networks = machine.networks().await;
        let mut spec = NetworkSpec { name: "local".into(), ..NetworkSpec::default() };
        spec.options.insert("com.docker.network.bridge.host_binding_ipv4".into(), "127.0.0.1".into());
        spec.ipam.config.push(IpamConfig { subnet: Some("10.9.0.0/24".parse().unwrap()), ..IpamConfig::default() });
        networks.create(spec).await.unwrap();
        let request = AttachRequest { ports: vec![port("8080:80")], ..on("local", "a") };
        assert_eq!(show(&networks.attach("a", request).await.unwrap().ports), "127.0.0.1:8080->80/tcp");
        let spec = NetworkSpec { name: "back".into(), internal: true, ..NetworkSpec::default() };
        networks.create(spec).await.unwrap();
        let request = AttachRequest { ports: vec![port("8081:80")], ..on("back", "b") };
        assert_eq!(
            networks.attach("b", request).await.unwrap_err().to_string(),
            "ports of container b cannot be published: it is on no bridge network that leads out"
        );
        assert!(networks.endpoints_of("b").await.is_empty());
    });
}

#[test]
fn an_emptied_ruleset_is_written_again() {
    machine(async |machine| {
        let networks = machine.networks().await;
        let request = AttachRequest { ports: vec![port("8080:80")], ..on("bridge", "a") };
        networks.attach("a", request).await.unwrap();
        let before = nft();
        support::run("nft", "flush ruleset");
        networks.create(NetworkSpec { name: "n".into(), ..NetworkSpec::default() }).await.unwrap();
        assert!(nft().contains("8080"));
        support::run("nft", "flush ruleset");
        networks.remove("n").await.unwrap();
        assert_eq!(nft(), before);
        support::run("nft", "flush ruleset");
        networks.release("a").await.unwrap();
        assert!(nft().contains("chain enter-hoist0") && !nft().contains("8080"));
    });
}
