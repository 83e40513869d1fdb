//! The way on which encrypted networks reach other machines: WireGuard, by the kernel or in this process.
//!
//! It ends in a network namespace of its own, which has nothing but loopback and the tunnel. The VXLAN devices of
//! encrypted networks send and receive there: what they send has no other way out, and what comes to the machine
//! in the clear has no way in, whatever the host's routes and firewall are. The namespace is pinned, so that the
//! kernel's WireGuard goes on without a daemon; what this process carries ends with it, and nothing is sent then.

mod kernel;
mod key;
mod user;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd as _;
use std::path::Path;

use nix::errno::Errno;

use self::kernel::Kernel;
use self::user::User;
pub(crate) use key::PrivateKey;
pub use key::{BadKey, NodeKey};

use crate::netlink::{Batch, Rtnl};
use crate::netns;

/// What WireGuard puts around a packet: IP, UDP, its own header and the authentication tag.
const AROUND_IPV4: u32 = 20 + 8 + 32;
const AROUND_IPV6: u32 = 40 + 8 + 32;
/// The interface's name, in its own namespace.
const LINK: &str = "wg0";

/// What the tunnel takes of each packet that goes from such an address.
pub(crate) fn around(local: IpAddr) -> u32 {
    if local.is_ipv6() { AROUND_IPV6 } else { AROUND_IPV4 }
}

/// How a machine is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ends {
    /// This machine's address on the line.
    pub(crate) local: IpAddr,
    /// The UDP port, of all machines.
    pub(crate) port: u16,
    /// What one packet of the line carries.
    pub(crate) outer_mtu: u32,
    /// Whether the kernel's WireGuard is used, where it has one.
    pub(crate) by_kernel: bool,
}

/// The tunnel to all machines with which this one shares an encrypted network.
#[derive(Debug)]
pub(crate) struct Secure {
    pub(crate) namespace: File,
    /// Of the namespace.
    pub(crate) rtnl: Rtnl,
    own: NodeKey,
    port: u16,
    /// To which packets have to come; the kernel takes those to any.
    local: Option<IpAddr>,
    link: Link,
    peers: BTreeMap<NodeKey, Far>,
    /// Peers that the kernel has from an earlier daemon, and nobody has told of yet.
    stale: BTreeSet<NodeKey>,
    /// It was made by this daemon; what an earlier one led through another is of no use.
    pub(crate) fresh: bool,
}

#[derive(Debug)]
enum Link {
    Kernel(Kernel),
    User(User),
}

/// Another machine.
#[derive(Debug)]
struct Far {
    address: IpAddr,
    /// How many containers are there that we reach through it.
    count: usize,
}

impl Secure {
    /// What an earlier daemon pinned, with its key, if the kernel carries it on.
    pub(crate) fn adopt(pin: &Path) -> io::Result<Option<(Self, PrivateKey)>> {
        let namespace = File::open(pin)?;
        let (rtnl, kernel) = netns::within(namespace.as_fd(), || {
            let mut rtnl = Rtnl::open()?;
            let kernel = match rtnl.link(LINK)? {
                Some(_) => Some(Kernel::open(LINK)?),
                None => None,
            };
            Ok((rtnl, kernel))
        })?;
        let Some(mut kernel) = kernel else { return Ok(None) };
        let Some(device) = kernel.read()? else { return Ok(None) };
        let secure = Self {
            namespace,
            rtnl,
            own: device.key.public(),
            port: device.port,
            local: None,
            link: Link::Kernel(kernel),
            peers: BTreeMap::new(),
            stale: device.peers.into_iter().collect(),
            fresh: false,
        };
        Ok(Some((secure, device.key)))
    }

    /// Makes it, and pins it. `host` is a socket of the machine's namespace, which is that of the calling thread.
    pub(crate) fn make(host: &mut Rtnl, key: &PrivateKey, ends: Ends, pin: &Path) -> io::Result<Self> {
        let (namespace, rtnl) = netns::create(|| {
            let mut rtnl = Rtnl::open()?;
            let mut batch = Batch::default();
            batch.set_up("lo");
            rtnl.send(batch).map_err(|(_, refusal)| refusal)?;
            Ok(rtnl)
        })?;
        let by_kernel = ends.by_kernel && make_kernels(host, &namespace)?;
        let link = if by_kernel {
            let mut kernel = netns::within(namespace.as_fd(), || Kernel::open(LINK))?;
            kernel.set_up(key, ends.port)?;
            Link::Kernel(kernel)
        } else {
            let device = netns::within(namespace.as_fd(), || user::device(LINK))?;
            let user =
                User::start(device, key, SocketAddr::new(ends.local, ends.port)).map_err(|e| taken(e, ends.port))?;
            Link::User(user)
        };
        let own = key.public();
        let (peers, stale) = (BTreeMap::new(), BTreeSet::new());
        let local = (!by_kernel).then_some(ends.local);
        let mut secure = Self { namespace, rtnl, own, port: ends.port, local, link, peers, stale, fresh: true };
        secure.bring_up(ends)?;
        netns::pin(&secure.namespace, pin)?;
        Ok(secure)
    }

    /// Whether it is as it has to be; what can be changed is.
    pub(crate) fn fits(&mut self, ends: Ends) -> io::Result<bool> {
        if self.port != ends.port || self.local.is_some_and(|local| local != ends.local) {
            return Ok(false);
        }
        self.bring_up(ends).map(|()| true)
    }

    pub(crate) fn own(&self) -> NodeKey {
        self.own
    }

    fn bring_up(&mut self, ends: Ends) -> io::Result<()> {
        let missing = || io::Error::other("the tunnel's interface vanished");
        let index = self.rtnl.link(LINK)?.ok_or_else(missing)?.index;
        netns::within(self.namespace.as_fd(), || {
            let directory = format!("/proc/sys/net/ipv6/conf/{LINK}");
            std::fs::write(format!("{directory}/disable_ipv6"), "0").map_err(|error| {
                io::Error::new(error.kind(), format!("encrypted networks need IPv6 in the kernel: {error}"))
            })
        })?;
        let mut batch = Batch::default();
        batch.no_automatic_ipv6(LINK);
        batch.set_mtu(LINK, ends.outer_mtu.saturating_sub(around(ends.local)));
        batch.add_address(index, self.own.inner().into(), 128);
        batch.set_up(LINK);
        self.rtnl.send(batch).map_err(|(_, refusal)| taken(refusal.into(), ends.port))?;
        let mut batch = Batch::default();
        // All inner addresses; nobody else uses this namespace.
        batch.set_link_route(index, [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0].into(), 8);
        self.rtnl.send(batch).map_err(|(_, refusal)| refusal.into())
    }

    /// Containers that came to other machines, and those that went: each counts one.
    pub(crate) fn change(&mut self, come: &[(NodeKey, IpAddr)], gone: &[NodeKey]) -> io::Result<()> {
        let mut changed = BTreeSet::new();
        for (key, address) in come.iter().filter(|(key, _)| *key != self.own) {
            let far = self.peers.entry(*key).or_insert_with(|| {
                changed.insert(*key);
                Far { address: *address, count: 0 }
            });
            far.count += 1;
            if far.address != *address {
                far.address = *address;
                changed.insert(*key);
            }
            self.stale.remove(key);
        }
        let mut lost = Vec::new();
        for key in gone {
            let Some(far) = self.peers.get_mut(key) else { continue };
            far.count = far.count.saturating_sub(1);
            if far.count == 0 {
                self.peers.remove(key);
                lost.push(*key);
            }
        }
        let endpoint = |key: &NodeKey| self.peers.get(key).map(|far| (*key, SocketAddr::new(far.address, self.port)));
        let set: Vec<_> = changed.iter().filter_map(endpoint).collect();
        self.link.remove_peers(&lost).and(self.link.set_peers(&set))
    }

    /// All networks have been told of; who is left of an earlier daemon's peers goes.
    pub(crate) fn forget_stale(&mut self) -> io::Result<()> {
        let stale: Vec<NodeKey> = std::mem::take(&mut self.stale).into_iter().collect();
        self.link.remove_peers(&stale)
    }
}

impl Link {
    fn set_peers(&mut self, peers: &[(NodeKey, SocketAddr)]) -> io::Result<()> {
        match self {
            Self::Kernel(kernel) => kernel.set_peers(peers),
            Self::User(user) => {
                user.set_peers(peers);
                Ok(())
            }
        }
    }

    fn remove_peers(&mut self, peers: &[NodeKey]) -> io::Result<()> {
        match self {
            Self::Kernel(kernel) => kernel.remove_peers(peers),
            Self::User(user) => {
                user.remove_peers(peers);
                Ok(())
            }
        }
    }
}

/// Makes the kernel's interface, unless the kernel has no WireGuard. It is born in `namespace`, and sends and receives
/// in the one that it was made from.
fn make_kernels(host: &mut Rtnl, namespace: &File) -> io::Result<bool> {
    let mut batch = Batch::default();
    batch.add_wireguard(LINK, namespace.as_fd());
    match host.send(batch) {
        Ok(()) => Ok(true),
        Err((_, refusal)) if refusal.errno == Errno::EOPNOTSUPP => Ok(false),
        Err((_, refusal)) => Err(refusal.into()),
    }
}

fn taken(error: io::Error, port: u16) -> io::Error {
    if error.kind() == io::ErrorKind::AddrInUse {
        return io::Error::new(error.kind(), format!("UDP port {port}, on which encrypted packets come, is in use"));
    }
    error
}
