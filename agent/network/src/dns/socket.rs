//! The sockets of a container's name server.
//!
//! They are bound to 127.0.0.11 inside the container's namespace, where programs expect a name
//! server that comes with the container. So the host's firewall and its own name server are not in
//! the way, networks of any shape can ask, and who asks is known for certain.
//!
//! Port 53 itself stays free: containers often run name servers of their own on all addresses. Our
//! sockets have a port above those that the kernel gives away, and two rules in the namespace rewrite
//! the port on the way, without connection tracking, which would cost every packet of the container.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};

use crate::files::RESOLVER;
use crate::firewall::ResolverPort;
use crate::sandbox::ResolverSockets;

/// Tried first, so that the rules of an earlier daemon stay right.
const PREFERRED: u16 = 61053;
const ATTEMPTS: u32 = 16;

/// Binds the sockets in the namespace of the calling thread and leads port 53 to them. `fresh`: nobody
/// has done so before.
pub(crate) fn bind(fresh: bool) -> io::Result<ResolverSockets> {
    let mut port = PREFERRED;
    let mut left = ATTEMPTS;
    let (sockets, port) = loop {
        match bind_port(RESOLVER, port) {
            Ok(bound) => break bound,
            Err(error) if left == 0 => return Err(error),
            Err(_) => (port, left) = (0, left - 1),
        }
    };
    ResolverPort::open()?.lead(port, fresh)?;
    Ok(sockets)
}

/// Binds both sockets to one port; any that is free when `port` is zero.
fn bind_port(address: IpAddr, port: u16) -> io::Result<(ResolverSockets, u16)> {
    let tcp = TcpListener::bind(SocketAddr::new(address, port))?;
    let bound = tcp.local_addr()?;
    let udp = UdpSocket::bind(bound)?;
    tcp.set_nonblocking(true)?;
    udp.set_nonblocking(true)?;
    Ok((ResolverSockets { udp, tcp }, bound.port()))
}
