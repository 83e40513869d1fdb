//! Network namespaces: made, entered, pinned to a path, and let go.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

/// Runs `f` in a thread of its own that has entered `namespace`.
///
/// The thread ends with `f`: no thread that others use ever sits in the wrong namespace.
pub(crate) fn within<T: Send>(namespace: BorrowedFd<'_>, f: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    in_thread(|| {
        setns(namespace, CloneFlags::CLONE_NEWNET)?;
        f()
    })
}

/// Connects to a port of whoever listens in the namespace that is pinned to a path, be it on its loopback addresses
/// only. Blocks.
///
/// # Errors
/// When nobody listens there.
pub fn connect(pinned: &Path, port: u16) -> io::Result<std::net::TcpStream> {
    let namespace = File::open(pinned)?;
    within(namespace.as_fd(), || connect_here(port))
}

/// The same in this process's own namespace.
///
/// # Errors
/// When nobody listens there.
pub fn connect_here(port: u16) -> io::Result<std::net::TcpStream> {
    use std::net::{Ipv4Addr, Ipv6Addr, TcpStream};
    TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        .or_else(|error| TcpStream::connect((Ipv6Addr::LOCALHOST, port)).map_err(|_| error))
}

/// Makes a namespace and runs `f` in it; the namespace lives as long as the file.
pub(crate) fn create<T: Send>(f: impl FnOnce() -> io::Result<T> + Send) -> io::Result<(File, T)> {
    in_thread(|| {
        unshare(CloneFlags::CLONE_NEWNET)?;
        // `thread-self`: `self` would be the namespace of the process's first thread.
        let file = File::open("/proc/thread-self/ns/net")?;
        Ok((file, f()?))
    })
}

fn in_thread<T: Send>(f: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("netns".into()).spawn_scoped(scope, f)?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Pins a namespace to a path, so that it lives without any process or daemon.
///
/// What lies at the path is replaced: a leftover from before a crash.
pub(crate) fn pin(namespace: impl AsFd, path: &Path) -> io::Result<()> {
    File::create(path)?;
    let source = format!("/proc/self/fd/{}", namespace.as_fd().as_raw_fd());
    mount(Some(source.as_str()), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .inspect_err(|_| _ = std::fs::remove_file(path))
        .map_err(io::Error::from)
}

/// Takes the pin away; the kernel removes the namespace with its links once nobody is in it.
/// A path that is no pin, or not there, is no error.
pub(crate) fn unpin(path: &Path) -> io::Result<()> {
    match umount2(path, MntFlags::MNT_DETACH) {
        Ok(()) | Err(nix::Error::EINVAL | nix::Error::ENOENT) => {}
        Err(errno) => return Err(errno.into()),
    }
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Whether a pinned namespace lies at the path.
pub(crate) fn is_pinned(path: &Path) -> bool {
    /// `NSFS_MAGIC` in linux/magic.h.
    const NSFS: u64 = 0x6e73_6673;
    nix::sys::statfs::statfs(path).is_ok_and(|s| s.filesystem_type().0 as u64 == NSFS)
}
