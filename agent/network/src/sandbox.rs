//! Network namespaces that are ready before anybody asks.
//!
//! Making a namespace and a veth pair costs the kernel one to two milliseconds, most of it outside
//! of any lock that a start holds. So a few are kept ready: loopback up, the name server's sockets
//! bound, and a pair of which one end, down and without address, lies inside.
//!
//! A ready sandbox is nothing but open files. If the daemon is killed the kernel closes them, and
//! namespace and pair are gone without a trace.

use std::fs::File;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::dns::socket;
use crate::netlink::{Batch, Rtnl, VethEnd};
use crate::netns;

/// The interface inside, until it gets its name.
const SPARE: &str = "eth0";

/// A pair of links, one end in the host and one in a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) host: String,
    pub(crate) inside: String,
    /// The index of the end inside.
    pub(crate) index: u32,
}

/// The sockets of a container's name server, bound inside its namespace.
#[derive(Debug)]
pub(crate) struct ResolverSockets {
    pub(crate) udp: UdpSocket,
    pub(crate) tcp: TcpListener,
}

/// A namespace with all that a container's first network needs.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) namespace: File,
    pub(crate) rtnl: Rtnl,
    pub(crate) pair: Option<Pair>,
    pub(crate) resolver: ResolverSockets,
}

impl Prepared {
    /// Makes one, with a pair when `host` is a socket of the host's namespace.
    pub(crate) fn make(host: Option<&mut Rtnl>) -> io::Result<Self> {
        let (namespace, (rtnl, resolver)) = netns::create(|| {
            let mut rtnl = Rtnl::open()?;
            let mut batch = Batch::default();
            batch.set_up("lo");
            rtnl.send(batch).map_err(|(_, refusal)| refusal)?;
            quiet_ipv6()?;
            Ok((rtnl, socket::bind(true)?))
        })?;
        let mut prepared = Self { namespace, rtnl, pair: None, resolver };
        if let Some(host) = host {
            prepared.pair = Some(make_pair(host, &mut prepared.rtnl, prepared.namespace.as_fd(), SPARE, None)?);
        }
        Ok(prepared)
    }

    /// Opens a pinned namespace of an earlier daemon, and binds the name server's sockets again.
    pub(crate) fn adopt(path: &Path) -> io::Result<Self> {
        let namespace = File::open(path)?;
        let (rtnl, resolver) = netns::within(namespace.as_fd(), || Ok((Rtnl::open()?, socket::bind(false)?)))?;
        Ok(Self { namespace, rtnl, pair: None, resolver })
    }
}

/// Makes a pair whose end inside has the given name; both ends are down.
pub(crate) fn make_pair(
    host: &mut Rtnl,
    inside: &mut Rtnl,
    namespace: BorrowedFd<'_>,
    name: &str,
    mtu: Option<u32>,
) -> io::Result<Pair> {
    let outside = host_name();
    let mut batch = Batch::default();
    batch.add_veth(VethEnd { name: &outside, mac: None, mtu }, VethEnd { name, mac: None, mtu }, namespace);
    batch.no_automatic_ipv6(&outside);
    host.send(batch).map_err(|(_, refusal)| refusal)?;
    let end = inside.link(name)?.ok_or_else(|| io::Error::other(format!("link {name} is gone after it was made")))?;
    Ok(Pair { host: outside, inside: name.to_owned(), index: end.index })
}

/// A name for the host's end that no other link has: tools recognise `veth`.
fn host_name() -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    // Several daemons and earlier lives of this one are told apart by the start of the name.
    static START: std::sync::LazyLock<u32> = std::sync::LazyLock::new(crate::ident::random_u32);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!("veth{:07x}{:04x}", *START & 0x0fff_ffff, number & 0xffff)
}

/// No IPv6 on interfaces that are yet to come, until a network wants it, and no waiting for
/// duplicates when it does: addresses are given by us.
fn quiet_ipv6() -> io::Result<()> {
    for (name, value) in [("disable_ipv6", "1"), ("accept_dad", "0")] {
        match std::fs::write(format!("/proc/sys/net/ipv6/conf/default/{name}"), value) {
            // A kernel without IPv6 has nothing to be quiet about.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Keeps sandboxes ready, in a thread of its own.
#[derive(Debug)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug)]
struct State {
    ready: Vec<Prepared>,
    wanted: usize,
    stop: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    /// Starts the thread, in the namespace of the calling one.
    pub(crate) fn start(wanted: usize) -> io::Result<Self> {
        let state = State { ready: Vec::new(), wanted, stop: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), wake: Condvar::new() });
        let thread = if wanted == 0 {
            None
        } else {
            let mut host = Rtnl::open()?;
            let shared = shared.clone();
            Some(std::thread::Builder::new().name("sandboxes".into()).spawn(move || fill(&shared, &mut host))?)
        };
        Ok(Self { shared, thread })
    }

    /// A ready sandbox, if there is one. It is not replaced before [`refill`](Self::refill): the one
    /// who takes it is about to need the same locks of the kernel.
    pub(crate) fn take(&self) -> Option<Prepared> {
        self.shared.lock().ready.pop()
    }

    /// Makes up for what was taken.
    pub(crate) fn refill(&self) {
        self.shared.wake.notify_one();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn fill(shared: &Shared, host: &mut Rtnl) {
    loop {
        {
            let mut state = shared.lock();
            while !state.stop && state.ready.len() >= state.wanted {
                state = shared.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.stop {
                return;
            }
        }
        match Prepared::make(Some(host)) {
            Ok(prepared) => shared.lock().ready.push(prepared),
            Err(error) => {
                // The next start makes its own and reports what is wrong; we try again after it.
                tracing::warn!(%error, "a network namespace could not be made ready");
                let state = shared.lock();
                if !state.stop {
                    drop(shared.wake.wait(state).unwrap_or_else(PoisonError::into_inner));
                }
            }
        }
    }
}
