//! A machine for each test: a network namespace with its own loopback, an outside world in another
//! namespace at the end of a wire, and the daemon's directories.

#![allow(dead_code, clippy::unwrap_used)]

pub mod line;
pub mod other;

use std::fs::File;
use std::future::Future;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use hoist_network::{AttachRequest, ConnectRequest, Networks, Options, PortRange, PortRequest, Protocol};
use nix::sched::{CloneFlags, setns, unshare};

/// Runs a test on a machine of its own. Nothing of it outlives the thread.
pub fn machine<F: Future<Output = ()>>(test: impl FnOnce(Machine) -> F + Send + 'static) {
    let thread = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).unwrap();
        nix::mount::mount(
            None::<&str>,
            "/",
            None::<&str>,
            nix::mount::MsFlags::MS_REC | nix::mount::MsFlags::MS_PRIVATE,
            None::<&str>,
        )
        .unwrap();
        ip("link set lo up");
        let directory = tempfile::tempdir().unwrap();
        // Threads of the runtime are born in this thread's namespaces.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let machine = Machine { root: directory.path().to_owned() };
        std::fs::write(directory.path().join("resolv.conf"), "nameserver 127.0.0.1\n").unwrap();
        runtime.block_on(test(machine));
        drop(runtime);
        for entry in std::fs::read_dir(directory.path().join("run/netns")).into_iter().flatten().flatten() {
            let _ = nix::mount::umount2(&entry.path(), nix::mount::MntFlags::MNT_DETACH);
        }
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

pub struct Machine {
    pub root: PathBuf,
}

impl Machine {
    pub fn options(&self) -> Options {
        let mut options = Options::new(self.root.join("data"), self.root.join("run"));
        options.dns.resolv_conf = self.root.join("resolv.conf");
        options
    }

    pub async fn networks(&self) -> Networks {
        Networks::open(self.options()).await.unwrap()
    }

    /// All that a daemon may leave in the kernel and on disk, as text.
    pub fn traces(&self) -> String {
        let mut pins: Vec<String> = std::fs::read_dir(self.root.join("run/netns"))
            .into_iter()
            .flatten()
            .flatten()
            .map(|e| e.file_name().into_string().unwrap())
            .collect();
        pins.sort();
        let mounts = std::fs::read_to_string("/proc/thread-self/mounts").unwrap();
        let mounts = mounts.lines().filter(|l| l.contains(&*self.root.to_string_lossy())).count();
        let links = ip("-o link");
        let links: Vec<&str> =
            links.lines().filter_map(|l| l.split(':').nth(1)).filter(|l| !l.contains("veth")).collect();
        let records = std::fs::read_dir(self.root.join("run/endpoints")).map_or(0, |d| d.count());
        format!("links{}\npins {pins:?} mounts {mounts} records {records}\n{}", links.join(","), nft())
    }
}

/// Runs a command of iproute2 in this namespace, and returns its output.
pub fn ip(arguments: &str) -> String {
    run("ip", arguments)
}

pub fn nft() -> String {
    run("nft", "list ruleset")
}

pub fn run(program: &str, arguments: &str) -> String {
    let output = Command::new(program).args(arguments.split_whitespace()).output().unwrap();
    assert!(output.status.success(), "{program} {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Both ends of a connection.
pub struct Echo {
    near: TcpStream,
    far: TcpStream,
}

impl Echo {
    /// Sends a text to the far end, and gives what comes back from there.
    pub fn echo(&mut self, text: &str) -> String {
        let mut buffer = vec![0; text.len()];
        for stream in [&self.near, &self.far] {
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        }
        self.near.write_all(text.as_bytes()).unwrap();
        self.far.read_exact(&mut buffer).unwrap();
        self.far.write_all(&buffer).unwrap();
        self.near.read_exact(&mut buffer).unwrap();
        String::from_utf8(buffer).unwrap()
    }
}

/// The inside of a sandbox.
#[derive(Clone)]
pub struct Inside(Arc<File>);

impl Inside {
    pub fn new(path: &Path) -> Self {
        Self(Arc::new(File::open(path).unwrap()))
    }

    /// Another machine, at the end of a wire from `near` (an address with prefix) to `far`.
    pub fn neighbour(near: &str, far: &str) -> Self {
        let far = far.to_owned();
        let (file, _) = in_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            (File::open("/proc/thread-self/ns/net").unwrap(), ())
        });
        let inside = Self(Arc::new(file));
        use std::os::fd::AsRawFd;
        let path = format!("/proc/{}/fd/{}", std::process::id(), inside.0.as_raw_fd());
        let wire = format!("w{}", inside.0.as_raw_fd());
        ip(&format!("link add {wire} type veth peer name eth0 netns {path}"));
        ip(&format!("addr add {near} dev {wire} nodad"));
        ip(&format!("link set {wire} up"));
        inside.run(move || {
            ip("link set lo up");
            ip(&format!("addr add {far} dev eth0 nodad"));
            ip("link set eth0 up");
        });
        inside
    }

    /// Runs `f` in a thread inside.
    pub fn run<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        in_thread(|| {
            setns(self.0.as_fd(), CloneFlags::CLONE_NEWNET).unwrap();
            f()
        })
    }

    /// A server that answers each connection with the address of its client.
    pub fn serve_tcp(&self, address: &str) {
        let listener = self.run(|| TcpListener::bind(address).unwrap_or_else(|e| panic!("{address}: {e}")));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let _ = write!(stream, "{}", stream.peer_addr().unwrap().ip());
            }
        });
    }

    /// A server that answers each connection with a text.
    pub fn serve_text(&self, address: &str, text: &'static str) {
        let listener = self.run(|| TcpListener::bind(address).unwrap_or_else(|e| panic!("{address}: {e}")));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let _ = stream.write_all(text.as_bytes());
            }
        });
    }

    /// A connection to `virtual_address` of which `server`, who has `own`, sends back all that comes.
    pub fn connect(&self, own: &str, virtual_address: &str, server: &Inside) -> Echo {
        let port = own.rsplit_once(':').unwrap().1;
        let listener = server.run(|| TcpListener::bind(format!("[::]:{port}")).unwrap());
        listener.set_nonblocking(true).unwrap();
        let address: SocketAddr = virtual_address.parse().unwrap();
        // By chance it leads to others, who refuse.
        for _ in 0..200 {
            let Ok(near) = self.run(|| TcpStream::connect_timeout(&address, Duration::from_secs(5))) else { continue };
            for _ in 0..100 {
                if let Ok((far, _)) = listener.accept() {
                    far.set_nonblocking(false).unwrap();
                    return Echo { near, far };
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        panic!("{virtual_address} never led to {own}");
    }

    /// A server that answers each datagram with the address of its sender.
    pub fn serve_udp(&self, address: &str) {
        let socket = self.run(|| UdpSocket::bind(address).unwrap());
        std::thread::spawn(move || {
            let mut buffer = [0; 64];
            while let Ok((_, client)) = socket.recv_from(&mut buffer) {
                let _ = socket.send_to(client.ip().to_string().as_bytes(), client);
            }
        });
    }

    /// What a server answers, or why it does not.
    pub fn ask(&self, address: &str) -> Result<String, String> {
        self.run(|| ask(address))
    }

    /// Whether a server can be reached. Half a second is long for packets that never leave the machine.
    pub fn reaches(&self, address: &str) -> bool {
        let address: SocketAddr = address.parse().unwrap();
        self.run(|| TcpStream::connect_timeout(&address, Duration::from_millis(500)).is_ok())
    }

    pub fn ask_udp(&self, address: &str) -> Result<String, String> {
        self.run(|| ask_udp(address))
    }

    pub fn ip(&self, arguments: &str) -> String {
        self.run(|| ip(arguments))
    }
}

pub fn ask(address: &str) -> Result<String, String> {
    let address: SocketAddr = address.parse().unwrap();
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).map_err(|e| e.kind().to_string())?;
    stream.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(|e| e.kind().to_string())?;
    Ok(answer)
}

pub fn ask_udp(address: &str) -> Result<String, String> {
    let address: SocketAddr = address.parse().unwrap();
    let any = if address.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
    let socket = UdpSocket::bind(any).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(800))).unwrap();
    let mut buffer = [0; 64];
    for _ in 0..3 {
        socket.send_to(b"?", address).map_err(|e| e.kind().to_string())?;
        if let Ok((length, from)) = socket.recv_from(&mut buffer) {
            assert_eq!(from, address);
            return Ok(String::from_utf8_lossy(&buffer[..length]).into());
        }
    }
    Err("timed out".into())
}

fn in_thread<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|s| s.spawn(f).join().unwrap_or_else(|p| std::panic::resume_unwind(p)))
}

pub fn connect(network: &str, names: &[&str]) -> ConnectRequest {
    ConnectRequest {
        network: network.into(),
        names: names.iter().map(|n| (*n).to_owned()).collect(),
        ..ConnectRequest::default()
    }
}

pub fn on(network: &str, name: &str) -> AttachRequest {
    AttachRequest { networks: vec![connect(network, &[name])], ..AttachRequest::default() }
}

/// `[address:]host:container[/protocol]`, with ranges; `host` may be empty.
pub fn port(text: &str) -> PortRequest {
    let (text, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (rest, container) = text.rsplit_once(':').unwrap_or(("", text));
    let (ip, host) = rest.rsplit_once(':').map_or((None, rest), |(ip, host)| (Some(ip), host));
    let range = |t: &str| {
        let (first, last) = t.split_once('-').unwrap_or((t, t));
        PortRange { first: first.parse().unwrap(), last: last.parse().unwrap() }
    };
    PortRequest {
        host_ip: ip.map(|ip| ip.trim_matches(['[', ']']).parse::<IpAddr>().unwrap()),
        host_ports: (!host.is_empty()).then(|| range(host)),
        container_ports: range(container),
        protocol: protocol.parse::<Protocol>().unwrap(),
    }
}
