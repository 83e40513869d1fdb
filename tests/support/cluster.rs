//! Several hosts on one wire, each with a daemon and a network namespace of its own.

use std::{
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use super::{Host, run};

/// How long a cluster may take to become what a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Hosts on one wire. Host number `n` has the address `10.77.0.n`, counted from 1.
pub struct Cluster {
    pub hosts: Vec<Host>,
    /// Holds the namespace with the bridge.
    wire: Child,
}

/// The address of a host, counted from 0 as `hosts` is.
pub fn address(at: usize) -> String {
    format!("10.77.0.{}", at + 1)
}

fn ip(namespace: u32, args: &[&str]) {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/proc/{namespace}/ns/net")).args(["--", "ip"]).args(args);
    run(&mut command).ok();
}

impl Cluster {
    /// Starts daemons that know nothing of each other.
    pub fn new(count: usize) -> Self {
        let wire = super::namespace();
        let id = wire.id();
        ip(id, &["link", "add", "wire", "type", "bridge"]);
        ip(id, &["link", "set", "wire", "up"]);
        let mut cluster = Self { hosts: Vec::new(), wire };
        for _ in 0..count {
            cluster.add();
        }
        cluster
    }

    /// Adds a host to the wire.
    pub fn add(&mut self) -> &mut Host {
        self.add_with(&[])
    }

    /// Adds a host whose daemon has further flags.
    pub fn add_with(&mut self, flags: &[&str]) -> &mut Host {
        self.add_host(Host::with_flags(flags))
    }

    /// Adds a host.
    pub fn add_host(&mut self, host: Host) -> &mut Host {
        let at = self.hosts.len();
        let (port, theirs) = (format!("port{at}"), host.namespace.id().to_string());
        let wire = self.wire.id();
        ip(wire, &["link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &theirs]);
        ip(wire, &["link", "set", &port, "master", "wire", "up"]);
        ip(host.namespace.id(), &["address", "add", &format!("{}/24", address(at)), "dev", "eth0"]);
        ip(host.namespace.id(), &["link", "set", "eth0", "up"]);
        self.hosts.push(host);
        self.hosts.last_mut().expect("one was just put there")
    }

    /// Takes a host off the wire, or puts it back.
    pub fn connect(&self, at: usize, connected: bool) {
        ip(self.wire.id(), &["link", "set", &format!("port{at}"), if connected { "up" } else { "down" }]);
    }

    /// Makes the first host a cluster's manager.
    pub fn init(&self, flags: &[&str]) {
        self.hosts[0].hoist(&[&["swarm", "init", "--advertise-addr", &address(0)], flags].concat()).ok();
    }

    /// The token that the first host gives out.
    pub fn token(&self, role: &str) -> String {
        self.hosts[0].hoist(&["swarm", "join-token", "-q", role]).ok().trim().to_owned()
    }

    /// Takes a host into the first host's cluster.
    pub fn join(&self, at: usize, role: &str) {
        let (token, manager) = (self.token(role), format!("{}:2377", address(0)));
        self.hosts[at].hoist(&["swarm", "join", "--token", &token, &manager]).ok();
    }

    /// This host's id in the cluster.
    pub fn node_id(&self, at: usize) -> String {
        self.hosts[at].hoist(&["info", "-f", "{{.Swarm.NodeID}}"]).ok().trim().to_owned()
    }

    /// The nodes as a host shows them: `id status manager-status`, a line each, in the order of ids.
    pub fn nodes(&self, at: usize) -> Vec<String> {
        let done = self.hosts[at].hoist(&["node", "ls", "--format", "{{.ID}} {{.Status}} {{.ManagerStatus}}"]);
        let mut lines: Vec<String> = done.stdout.lines().map(|line| line.trim().to_owned()).collect();
        lines.sort();
        lines
    }

    /// Which host leads, as one of them sees it.
    pub fn leader(&self, at: usize) -> Option<usize> {
        let lines = self.nodes(at);
        let id = lines.iter().find(|line| line.ends_with(" Leader"))?.split(' ').next()?.to_owned();
        // One whose daemon was killed says nothing.
        let own = |at: &usize| self.hosts[*at].hoist(&["info", "-f", "{{.Swarm.NodeID}}"]).stdout;
        (0..self.hosts.len()).find(|at| own(at).trim() == id)
    }

    /// Waits until `count` nodes are ready, and `managers` of them reachable managers, as a host sees it.
    #[track_caller]
    pub fn wait_for(&self, at: usize, count: usize, managers: usize) {
        let mut seen = Vec::new();
        let there = until(|| {
            seen = self.nodes(at);
            let ready = seen.iter().filter(|line| line.contains(" Ready")).count();
            let able = seen.iter().filter(|line| line.ends_with(" Leader") || line.ends_with(" Reachable")).count();
            let led = seen.iter().any(|line| line.ends_with(" Leader"));
            ready == count && able == managers && led
        });
        assert!(there, "{count} nodes, {managers} managers; there are:\n{}", seen.join("\n"));
    }
}

/// Asks again until it is so, or patience is over.
pub fn until(mut so: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if so() {
            return true;
        }
        thread::sleep(Duration::from_millis(100));
    }
    false
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.hosts.clear();
        let _ = self.wire.kill();
        let _ = self.wire.wait();
    }
}
