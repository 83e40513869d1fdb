//! Encrypted networks that span machines: two machines at the ends of a wire on which everything is heard.

#![allow(clippy::unwrap_used)]

mod support;

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use hoist_network::{
    AttachRequest, ConnectRequest, IpamConfig, Network, NetworkSpec, Networks, NodeKey, Options, Overlay, Peer, Sandbox,
};
use support::line::Line;
use support::other::{FAR, NEAR, Other};
use support::{Inside, Machine, connect, machine};

/// Of plain VXLAN; encrypted packets come on the next.
const PORT: u16 = 4790;
const NEAR6: &str = "2001:db8::1";
const FAR6: &str = "2001:db8::2";
const SECRET: &str = "a word that nobody on the line may read";

fn spec(encrypted: bool) -> NetworkSpec {
    let config = |subnet: &str| IpamConfig { subnet: Some(subnet.parse().unwrap()), ..IpamConfig::default() };
    let mut spec = NetworkSpec { name: "wide".into(), driver: "overlay".into(), ..NetworkSpec::default() };
    spec.enable_ipv6 = true;
    spec.ipam.config = vec![config("10.20.0.0/20"), config("fd00:20::/64")];
    if encrypted {
        spec.options.insert("encrypted".into(), String::new());
    }
    spec
}

fn overlay(local: &str) -> Overlay {
    Overlay { vni: 4097, port: PORT, local: local.parse().unwrap(), mesh: false }
}

fn at(name: &str, last: u8) -> AttachRequest {
    let request = ConnectRequest {
        ipv4: Some(format!("10.20.3.{last}").parse().unwrap()),
        ipv6: Some(format!("fd00:20::{last}").parse().unwrap()),
        ..connect("wide", &[name])
    };
    AttachRequest { networks: vec![request], ..AttachRequest::default() }
}

fn peer(name: &str, node: &str, key: Option<NodeKey>, last: u8) -> Peer {
    let addresses: [String; 2] = [format!("10.20.3.{last}"), format!("fd00:20::{last}")];
    Peer {
        id: format!("task-{name}"),
        node: Some(node.parse().unwrap()),
        key,
        mac: None,
        addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
        names: vec![name.into()],
        service: None,
        via: None,
        serving: true,
    }
}

fn inside(sandbox: &Sandbox) -> Inside {
    Inside::new(&sandbox.path)
}

/// The tunnel's namespace.
fn tunnel(machine: &Machine) -> Option<Inside> {
    let path = machine.root.join("run/netns/.encrypted");
    path.exists().then(|| Inside::new(&path))
}

/// Whether it is the kernel that encrypts.
fn by_kernel(machine: &Machine) -> bool {
    tunnel(machine).unwrap().ip("-d link show wg0").contains("wireguard")
}

/// Whether the kernel has WireGuard.
fn is_in_kernel() -> bool {
    let ip = |arguments: &[&str]| std::process::Command::new("ip").args(arguments).output().unwrap().status.success();
    ip(&["link", "add", "probe", "type", "wireguard"]) && ip(&["link", "del", "probe"])
}

/// Two daemons whose containers are on one network. The other's packets are encrypted in its own process.
struct Two {
    networks: Networks,
    other: Other,
    near: Inside,
    far: Inside,
}

impl Two {
    async fn new(machine: &Machine, encrypted: bool) -> Self {
        let other = Other::with(machine.root.join("other"), in_process);
        Self::of(machine.networks().await, other, encrypted).await
    }

    async fn of(networks: Networks, other: Other, encrypted: bool) -> Self {
        networks.create_overlay(spec(encrypted), overlay(NEAR)).await.unwrap();
        other.on(other.networks.create_overlay(spec(encrypted), overlay(FAR))).unwrap();
        let near = inside(&networks.attach("c-near", at("near", 2)).await.unwrap().sandbox);
        let far = inside(&other.on(other.networks.attach("c-far", at("far", 3))).unwrap().sandbox);
        Self { networks, other, near, far }
    }

    async fn tell(&self) {
        self.tell_near(true).await;
        self.tell_far().await;
    }

    async fn tell_near(&self, with_key: bool) {
        let key = self.other.on(self.other.networks.node_key());
        self.networks.replace_peers("wide", vec![peer("far", FAR, with_key.then_some(key), 3)]).await.unwrap();
    }

    async fn tell_far(&self) {
        let all = vec![peer("near", NEAR, Some(self.networks.node_key().await), 2)];
        self.other.on(self.other.networks.replace_peers("wide", all)).unwrap();
    }

    /// Sends the secret from one container to the other, and gives what came.
    fn send_secret(&self) -> String {
        let listener = self.far.run(|| TcpListener::bind("10.20.3.3:99").unwrap());
        let sender = self.near.run(|| {
            let mut stream =
                TcpStream::connect_timeout(&"10.20.3.3:99".parse().unwrap(), Duration::from_secs(20)).unwrap();
            stream.write_all(SECRET.as_bytes()).unwrap();
            stream
        });
        let (mut stream, _) = listener.accept().unwrap();
        drop(sender);
        let mut came = String::new();
        stream.read_to_string(&mut came).unwrap();
        came
    }
}

fn in_process(options: &mut Options) {
    options.kernel_wireguard = false;
}

#[test]
fn what_containers_say_to_each_other_is_not_to_be_read_on_the_line() {
    machine(async |machine| {
        let (networks, other) = (machine.networks().await, Other::with(machine.root.join("other"), in_process));
        let before = machine.traces();
        let two = Two::of(networks, other, true).await;
        assert_eq!(by_kernel(&machine), is_in_kernel());
        two.near.serve_tcp("[::]:80");
        two.far.serve_tcp("[::]:80");
        let line = Line::listen(&two.other.inside, "eth0");
        two.tell().await;
        assert_eq!(two.near.ask("10.20.3.3:80").unwrap(), "::ffff:10.20.3.2");
        assert_eq!(two.far.ask("10.20.3.2:80").unwrap(), "::ffff:10.20.3.3");
        assert_eq!(two.near.ask("[fd00:20::3]:80").unwrap(), "fd00:20::2");
        assert_eq!(two.send_secret(), SECRET);
        assert!(line.heard(PORT + 1));
        assert!(!line.carried(SECRET.as_bytes()));
        assert_eq!(line.datagrams(PORT), 0, "no packet of VXLAN itself");
        // 1500, less WireGuard's 60 and VXLAN's 70 over IPv6.
        assert!(two.near.ip("link show eth0").contains("mtu 1370"));
        assert_eq!(transfer(&two.near, &two.far, 3 << 20), 3 << 20);
        assert!(two.near.ip("route get 10.20.3.3").contains("10.20.3.3"));
        assert!(!support::ip("-6 route").contains("wg0"), "the machine's own routes are as they were");

        two.networks.release("c-near").await.unwrap();
        two.networks.remove("wide").await.unwrap();
        // Its pins lie under this machine's root.
        two.other.end();
        two.other.on(two.other.networks.remove("wide")).unwrap();
        assert_eq!(machine.traces(), before, "nothing is left");
    });
}

/// Sends so many bytes, and gives how many came.
fn transfer(from: &Inside, to: &Inside, bytes: usize) -> usize {
    let listener = to.run(|| TcpListener::bind("10.20.3.3:98").unwrap());
    let mut stream = from.run(|| TcpStream::connect("10.20.3.3:98").unwrap());
    let sender = std::thread::spawn(move || stream.write_all(&vec![7; bytes]).unwrap());
    let mut came = Vec::new();
    listener.accept().unwrap().0.read_to_end(&mut came).unwrap();
    sender.join().unwrap();
    came.len()
}

/// A datagram to the container `far` within a VXLAN packet, as somebody on the line would make it who knows all
/// but the keys.
fn forged(text: &str) -> Vec<u8> {
    let mut packet = vec![0x08, 0, 0, 0, 0, 0x10, 0x01, 0];
    packet.extend([0x02, 0x42, 10, 20, 3, 3]);
    packet.extend([0x02, 0x42, 10, 20, 3, 2]);
    packet.extend([0x08, 0x00]);
    let length = 20 + 8 + text.len() as u16;
    let mut ip = vec![0x45, 0, 0, 0, 0, 1, 0, 0, 64, 17, 0, 0, 10, 20, 3, 2, 10, 20, 3, 3];
    ip[2..4].copy_from_slice(&length.to_be_bytes());
    let sum: u32 = ip.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let sum = !(((sum & 0xffff) + (sum >> 16)) as u16);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(ip);
    packet.extend(7777_u16.to_be_bytes());
    packet.extend(7777_u16.to_be_bytes());
    packet.extend((8 + text.len() as u16).to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(text.as_bytes());
    packet
}

/// Gives both ends of the wire addresses of IPv6 too.
fn speak_ipv6(other: &Other) {
    other.inside.ip(&format!("-6 addr add {FAR6}/64 dev eth0 nodad"));
    let wires = support::ip("-br -4 addr");
    let wire = wires.lines().find(|line| line.contains(NEAR)).unwrap().split(['@', ' ']).next().unwrap();
    support::ip(&format!("-6 addr add {NEAR6}/64 dev {wire} nodad"));
}

/// Which of several forged packets, sent from the near machine to addresses of the far one, its container gets.
fn delivered(two: &Two) -> Vec<String> {
    let socket = two.far.run(|| UdpSocket::bind("10.20.3.3:7777").unwrap());
    speak_ipv6(&two.other);
    for (to, text) in [(format!("{FAR}:{PORT}"), "by IPv4"), (format!("[{FAR6}]:{PORT}"), "by IPv6")] {
        let to: SocketAddr = to.parse().unwrap();
        let any: SocketAddr = if to.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" }.parse().unwrap();
        UdpSocket::bind(any).unwrap().send_to(&forged(text), to).unwrap();
    }
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut all = Vec::new();
    let mut buffer = [0; 100];
    while let Ok(length) = socket.recv(&mut buffer) {
        all.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
    }
    all.sort();
    all
}

#[test]
fn packets_that_come_in_the_clear_do_not_get_in() {
    machine(async |machine| {
        let two = Two::new(&machine, true).await;
        two.tell().await;
        two.far.serve_tcp("[::]:80");
        assert_eq!(two.near.ask("10.20.3.3:80").unwrap(), "::ffff:10.20.3.2");
        assert_eq!(delivered(&two), [""; 0]);
        two.other.end();
    });
    // The same packet gets into a network that is not encrypted.
    machine(async |machine| {
        let two = Two::new(&machine, false).await;
        two.tell().await;
        assert_eq!(delivered(&two), ["by IPv4"]);
        let line = Line::listen(&two.other.inside, "eth0");
        assert_eq!(two.send_secret(), SECRET);
        assert!(line.heard(PORT));
        assert!(line.carries(SECRET.as_bytes()), "the line is heard");
        two.other.end();
    });
}

#[test]
fn a_line_of_ipv6_carries_it_too() {
    machine(async |machine| {
        let (networks, other) = (machine.networks().await, Other::with(machine.root.join("other"), in_process));
        speak_ipv6(&other);
        networks.create_overlay(spec(true), overlay(NEAR6)).await.unwrap();
        other.on(other.networks.create_overlay(spec(true), overlay(FAR6))).unwrap();
        let near = inside(&networks.attach("c-near", at("near", 2)).await.unwrap().sandbox);
        let far = inside(&other.on(other.networks.attach("c-far", at("far", 3))).unwrap().sandbox);
        far.serve_tcp("[::]:80");
        let keys = (networks.node_key().await, other.on(other.networks.node_key()));
        networks.replace_peers("wide", vec![peer("far", FAR6, Some(keys.1), 3)]).await.unwrap();
        other.on(other.networks.replace_peers("wide", vec![peer("near", NEAR6, Some(keys.0), 2)])).unwrap();
        assert_eq!(near.ask("10.20.3.3:80").unwrap(), "::ffff:10.20.3.2");
        assert!(near.ip("link show eth0").contains("mtu 1350"));
        assert_eq!(transfer(&near, &far, 1 << 20), 1 << 20);
        other.end();
    });
}

#[test]
fn nothing_is_sent_to_a_machine_without_a_key() {
    machine(async |machine| {
        let two = Two::new(&machine, true).await;
        two.far.serve_tcp("[::]:80");
        let line = Line::listen(&two.other.inside, "eth0");
        two.tell_near(false).await;
        assert!(!two.near.reaches("10.20.3.3:80"));
        assert_eq!((line.datagrams(PORT), line.datagrams(PORT + 1)), (0, 0));
        // It has one later.
        two.tell().await;
        assert_eq!(two.near.ask("10.20.3.3:80").unwrap(), "::ffff:10.20.3.2");
        // And goes.
        two.networks.change_peers("wide", Vec::new(), vec!["task-far".into()]).await.unwrap();
        assert!(!two.near.reaches("10.20.3.3:80"));
        two.other.end();
    });
}

#[test]
fn the_key_and_the_sessions_of_the_kernel_outlive_the_daemon_and_those_of_the_process_end_with_it() {
    machine(async |machine| {
        let two = Two::new(&machine, true).await;
        two.far.serve_tcp("[::]:80");
        let stale =
            peer("stale", "198.51.100.9", Some("AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=".parse().unwrap()), 9);
        two.networks.change_peers("wide", vec![stale], Vec::new()).await.unwrap();
        let key = two.other.on(two.other.networks.node_key());
        two.networks.change_peers("wide", vec![peer("far", FAR, Some(key), 3)], Vec::new()).await.unwrap();
        two.tell_far().await;
        assert_eq!(two.near.ask("10.20.3.3:80").unwrap(), "::ffff:10.20.3.2");
        let (kernel, before) = (by_kernel(&machine), two.networks.node_key().await);
        let Two { networks, other, near, far } = two;
        drop(networks);
        if !kernel {
            let line = Line::listen(&other.inside, "eth0");
            assert!(!near.reaches("10.20.3.3:80"));
            assert_eq!((line.datagrams(PORT), line.datagrams(PORT + 1)), (0, 0), "nothing is sent without a tunnel");
        }

        let networks = machine.networks().await;
        networks.reconcile(&["c-near".into()]).await.unwrap();
        assert_eq!(networks.node_key().await == before, kernel);
        if kernel {
            assert_eq!(near.ask("10.20.3.3:80").unwrap(), "::ffff:10.20.3.2", "before a manager has said anything");
            assert!(peers(&machine).contains("198.51.100.9"));
        }
        let two = Two { networks, other, near, far };
        two.tell().await;
        assert_eq!(two.near.ask("10.20.3.3:80").unwrap(), "::ffff:10.20.3.2");
        if kernel {
            assert!(!peers(&machine).contains("198.51.100.9"), "whom nobody tells of any more is gone");
        }
        // Also when the daemon was killed amid the removal of the last network.
        let Two { networks, other, .. } = two;
        networks.release("c-near").await.unwrap();
        drop(networks);
        for network in std::fs::read_dir(machine.root.join("data/networks")).unwrap().flatten() {
            let text = std::fs::read_to_string(network.path()).unwrap();
            if text.contains("\"wide\"") {
                std::fs::remove_file(network.path()).unwrap();
            }
        }
        let networks = machine.networks().await;
        networks.reconcile(&[]).await.unwrap();
        assert!(tunnel(&machine).is_none());
        assert!(!support::ip("-br link").contains("hsv-"));
        other.end();
    });
}

/// The peers of the kernel's WireGuard.
fn peers(machine: &Machine) -> String {
    tunnel(machine).unwrap().run(|| support::run("wg", "show wg0 endpoints"))
}

#[test]
fn several_networks_share_one_tunnel() {
    machine(async |machine| {
        let two = Two::new(&machine, true).await;
        two.tell().await;
        let mut second = spec(true);
        second.name = "second".into();
        second.ipam.config =
            vec![IpamConfig { subnet: Some("10.30.0.0/24".parse().unwrap()), ..IpamConfig::default() }];
        second.enable_ipv6 = false;
        let ends = |local: &str| Overlay { vni: 4098, ..overlay(local) };
        let made: Network = two.networks.create_overlay(second.clone(), ends(NEAR)).await.unwrap();
        assert!(made.is_encrypted());
        two.other.on(two.other.networks.create_overlay(second.clone(), ends(FAR))).unwrap();
        let key = two.other.on(two.other.networks.node_key());
        let far = Peer { addresses: vec![IpAddr::from([10, 30, 0, 3])], ..peer("far", FAR, Some(key), 3) };
        two.networks.change_peers("second", vec![far], Vec::new()).await.unwrap();
        two.networks.remove("second").await.unwrap();
        two.far.serve_tcp("[::]:80");
        assert_eq!(two.near.ask("10.20.3.3:80").unwrap(), "::ffff:10.20.3.2", "the other network still needs it");
        let port = Overlay { vni: 4098, port: 5000, ..overlay(NEAR) };
        let refused = two.networks.create_overlay(second, port).await.unwrap_err().to_string();
        insta::assert_snapshot!(refused, @"network second cannot span machines here: encrypted packets of network wide do not come to 198.51.100.1 and UDP port 5001");
        two.other.end();
    });
}

/// Not a test: `cargo test --release --test encrypted -- --ignored --nocapture` says how much goes through.
#[test]
#[ignore = "a measurement"]
fn how_much_goes_through() {
    for encrypted in [false, true, false, true] {
        machine(async move |machine| {
            let two = Two::new(&machine, encrypted).await;
            two.tell().await;
            transfer(&two.near, &two.far, 1 << 20);
            let (start, bytes) = (Instant::now(), if encrypted { 1_usize << 30 } else { 4 << 30 });
            assert_eq!(transfer(&two.near, &two.far, bytes), bytes);
            let seconds = start.elapsed().as_secs_f64();
            println!("encrypted {encrypted}: {:.2} Gbit/s", bytes as f64 * 8.0 / seconds / 1e9);
            two.other.end();
        });
    }
}
