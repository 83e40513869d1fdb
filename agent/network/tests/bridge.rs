//! Containers on bridges: reaching each other, the host, the outside and back.

#![allow(clippy::unwrap_used)]

mod support;

use hoist_network::{AttachRequest, NetworkSpec};
use support::{Inside, ask, machine, on, port};

#[test]
fn containers_reach_each_other_the_outside_and_are_reached() {
    machine(async |machine| {
        let outside = Inside::neighbour("198.51.100.1/24", "198.51.100.2/24");
        let networks = machine.networks().await;
        let before = machine.traces();
        let request = AttachRequest { ports: vec![port("8080:80"), port("127.0.0.1:8081:80")], ..on("bridge", "web") };
        let web = networks.attach("c-web", request).await.unwrap();
        let client = networks.attach("c-client", on("bridge", "client")).await.unwrap();
        assert_eq!(web.endpoints[0].ipv4.unwrap().0.to_string(), "172.17.0.2");
        let (inside, client) = (Inside::new(&web.sandbox.path), Inside::new(&client.sandbox.path));
        inside.serve_tcp("0.0.0.0:80");
        outside.serve_tcp("0.0.0.0:80");

        assert_eq!(client.ask("172.17.0.2:80").unwrap(), "172.17.0.3", "container to container");
        assert_eq!(ask("172.17.0.2:80").unwrap(), "172.17.0.1", "host to container");
        assert_eq!(client.ask("198.51.100.2:80").unwrap(), "198.51.100.1", "container to outside, masqueraded");
        assert_eq!(outside.ask("198.51.100.1:8080").unwrap(), "198.51.100.2", "the client's address is kept");
        assert_eq!(ask("127.0.0.1:8080").unwrap(), "172.17.0.1", "published, by the host's loopback");
        assert_eq!(ask("127.0.0.1:8081").unwrap(), "172.17.0.1");
        assert_eq!(ask("198.51.100.1:8080").unwrap(), "198.51.100.1", "published, by the host's own address");
        assert_eq!(client.ask("172.17.0.1:8080").unwrap(), "172.17.0.1", "a neighbour, by the published port");
        assert_eq!(inside.ask("172.17.0.1:8080").unwrap(), "172.17.0.1", "itself, by its published port");
        assert!(!outside.reaches("198.51.100.1:8081"), "published on loopback only");

        networks.release("c-web").await.unwrap();
        networks.release("c-client").await.unwrap();
        assert_eq!(machine.traces(), before);
    });
}

#[test]
fn networks_are_kept_apart() {
    machine(async |machine| {
        let outside = Inside::neighbour("198.51.100.1/24", "198.51.100.2/24");
        outside.ip("route add 172.16.0.0/12 via 198.51.100.1");
        let networks = machine.networks().await;
        let spec = |name: &str, internal| NetworkSpec { name: name.into(), internal, ..NetworkSpec::default() };
        networks.create(spec("front", false)).await.unwrap();
        networks.create(spec("back", true)).await.unwrap();
        let mut all = Vec::new();
        for (container, network) in [("a", "bridge"), ("b", "front"), ("c", "back"), ("d", "back")] {
            let request = AttachRequest {
                ports: if container == "b" { vec![port("8080:80")] } else { Vec::new() },
                ..on(network, container)
            };
            let attached = networks.attach(container, request).await.unwrap();
            let inside = Inside::new(&attached.sandbox.path);
            inside.serve_tcp("0.0.0.0:80");
            all.push((inside, format!("{}:80", attached.endpoints[0].ipv4.unwrap().0)));
        }
        outside.serve_tcp("0.0.0.0:80");
        let reaches = |from: usize, to: usize| all[from].0.reaches(&all[to].1);
        assert!(!reaches(0, 1) && !reaches(1, 0), "two bridges");
        assert!(!reaches(0, 2) && !reaches(2, 0), "into and out of an internal network");
        assert!(all[2].0.ask(&all[3].1).is_ok(), "within an internal network");
        assert!(!all[2].0.reaches("198.51.100.2:80"), "from an internal network to the outside");
        assert!(!outside.reaches(&all[0].1), "from the outside straight to a container");
        assert!(all[0].0.ask("172.17.0.1:8080").is_ok(), "another network's published port");
        for network in ["front", "back"] {
            assert!(networks.remove(network).await.unwrap_err().to_string().contains("is in use by"));
        }
    });
}
