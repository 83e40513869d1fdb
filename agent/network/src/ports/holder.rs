//! Which process of the host has a port.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use crate::error::Holder;
use crate::model::Protocol;

/// Looks the holder up in /proc: first the socket, then whose it is.
///
/// A port counts as held by a socket on the same address or on all addresses, of either family: a
/// socket on `::` also takes IPv4.
pub(crate) fn find(address: IpAddr, port: u16, protocol: Protocol) -> Holder {
    sockets(address, port, protocol).into_iter().find_map(owner).unwrap_or(Holder::Unknown)
}

/// The inodes of the sockets in question.
fn sockets(address: IpAddr, port: u16, protocol: Protocol) -> Vec<u64> {
    let tables: &[&str] = match protocol {
        Protocol::Tcp => &["tcp", "tcp6"],
        Protocol::Udp => &["udp", "udp6"],
        // Of SCTP the kernel shows endpoints in another form; its sockets cannot be told by port.
        Protocol::Sctp => &[],
    };
    let mut found = Vec::new();
    for table in tables {
        // `thread-self`: the namespace that we work in, which need not be the process's.
        let Ok(text) = std::fs::read_to_string(format!("/proc/thread-self/net/{table}")) else { continue };
        for line in text.lines().skip(1) {
            let Some((local, inode)) = parse(line, protocol) else { continue };
            if local.1 == port && (local.0 == address || local.0.is_unspecified() || address.is_unspecified()) {
                found.push(inode);
            }
        }
    }
    found
}

/// Local address, port and inode of a line of /proc/net/tcp (proc_net_tcp(5)); none for connections.
fn parse(line: &str, protocol: Protocol) -> Option<((IpAddr, u16), u64)> {
    const LISTEN: &str = "0A";
    let mut words = line.split_whitespace();
    let local = words.nth(1)?;
    let state = words.nth(1)?;
    if protocol == Protocol::Tcp && state != LISTEN {
        return None;
    }
    let inode = words.nth(5)?.parse().ok()?;
    let (address, port) = local.split_once(':')?;
    // Each group of eight digits is a number in the host's order.
    let mut bytes = Vec::with_capacity(16);
    for group in 0..address.len() / 8 {
        let number = u32::from_str_radix(address.get(group * 8..group * 8 + 8)?, 16).ok()?;
        bytes.extend(number.to_ne_bytes());
    }
    let address = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(four) => Ipv4Addr::from(four).into(),
        Err(_) => Ipv6Addr::from(<[u8; 16]>::try_from(bytes.as_slice()).ok()?).to_canonical(),
    };
    Some(((address, u16::from_str_radix(port, 16).ok()?), inode))
}

fn owner(inode: u64) -> Option<Holder> {
    let wanted = format!("socket:[{inode}]");
    for entry in std::fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok()) else { continue };
        let Ok(files) = std::fs::read_dir(entry.path().join("fd")) else { continue };
        let has = files.flatten().any(|f| std::fs::read_link(f.path()).is_ok_and(|link| link == Path::new(&wanted)));
        if has {
            let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            return Some(Holder::Process { pid, name: name.trim().to_owned() });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernels_tables() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1";
        assert_eq!(parse(line, Protocol::Tcp), Some((("127.0.0.1".parse().unwrap(), 8080), 4711)));
        assert_eq!(parse(&line.replace(" 0A ", " 01 "), Protocol::Tcp), None);
        let six = "   0: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A \
                   00000000:00000000 00:00000000 00000000     0        0 5 1";
        assert_eq!(parse(six, Protocol::Tcp), Some((("::1".parse().unwrap(), 80), 5)));
        assert_eq!(parse("garbage", Protocol::Tcp), None);
    }

    #[test]
    fn our_own_socket_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let holder = find("127.0.0.1".parse().unwrap(), port, Protocol::Tcp);
        assert!(matches!(holder, Holder::Process { pid, .. } if pid == std::process::id() as i32), "{holder}");
    }
}
