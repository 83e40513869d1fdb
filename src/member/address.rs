//! Addresses as people write them: `HOST`, `HOST:PORT`, an interface, or nothing.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use super::{MemberError, PORT};

/// The host of `host:port`.
pub fn host(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']'])
}

/// Host and port apart; the port is the usual one when there is none.
fn split(text: &str, usual: u16) -> Result<(String, u16), MemberError> {
    let wrong = || MemberError::Invalid(format!("invalid address {text:?}: expected ADDRESS or INTERFACE, with :PORT"));
    if text.parse::<IpAddr>().is_ok() {
        return Ok((text.to_owned(), usual));
    }
    let (host, port) = match text.rsplit_once(':') {
        // An address in brackets whose colons are its own.
        Some(_) if text.starts_with('[') && text.ends_with(']') => (text, usual),
        Some((host, port)) => (host, port.parse().map_err(|_| wrong())?),
        None => (text, usual),
    };
    let host = host.trim_matches(['[', ']']);
    if host.is_empty() || port == 0 {
        return Err(wrong());
    }
    Ok((host.to_owned(), port))
}

/// The address that an interface has.
fn of_interface(name: &str) -> Option<IpAddr> {
    let all = nix::ifaddrs::getifaddrs().ok()?;
    let mut found: Vec<IpAddr> =
        all.filter(|one| one.interface_name == name).filter_map(|one| ip(one.address.as_ref()?)).collect();
    found.sort_by_key(|ip| (ip.is_ipv6(), *ip));
    found.first().copied()
}

fn ip(address: &nix::sys::socket::SockaddrStorage) -> Option<IpAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(IpAddr::V4(v4.ip()));
    }
    // Those that are good on one link only are no address for others.
    address.as_sockaddr_in6().map(|v6| v6.ip()).filter(|ip| !ip.is_unicast_link_local()).map(IpAddr::V6)
}

fn resolve(host: &str) -> Result<IpAddr, MemberError> {
    if let Ok(ip) = host.parse() {
        return Ok(ip);
    }
    of_interface(host).ok_or_else(|| {
        MemberError::Invalid(format!("{host:?} is no address, and no interface of this machine that has one"))
    })
}

/// Where to listen.
pub fn listen(text: &str) -> Result<SocketAddr, MemberError> {
    if text.is_empty() {
        return Ok(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), PORT));
    }
    let (host, port) = split(text, PORT)?;
    Ok(SocketAddr::new(resolve(&host)?, port))
}

/// How others reach this node: as told, or where it listens, or by the address that the machine uses.
/// `None` when only those that are called can tell.
pub fn advertise(text: &str, listen: SocketAddr) -> Result<Option<SocketAddr>, MemberError> {
    if !text.is_empty() {
        let (host, port) = split(text, listen.port())?;
        let ip = resolve(&host)?;
        if ip.is_unspecified() {
            return Err(MemberError::Invalid("advertise address must be a non-zero IP address".into()));
        }
        return Ok(Some(SocketAddr::new(ip, port)));
    }
    Ok((!listen.ip().is_unspecified()).then_some(listen))
}

/// Where a first manager listens, and how others reach it.
///
/// # Errors
/// When one of them cannot be had: the port is taken and given back, so that this is known before anything is changed.
pub async fn of_first(listen: &str, advertise: &str) -> Result<(SocketAddr, SocketAddr), MemberError> {
    let listen = self::listen(listen)?;
    let advertise = match self::advertise(advertise, listen)? {
        Some(address) => address,
        None => own(listen.port())?,
    };
    drop(hoist_link::Listener::bind(&listen.to_string()).await?);
    Ok((listen, advertise))
}

/// The address by which this machine reaches others, or the only one that it has.
fn own(port: u16) -> Result<SocketAddr, MemberError> {
    // Connecting a datagram socket sends nothing; it asks the routes.
    let routed = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    });
    if let Ok(address) = routed
        && !address.ip().is_unspecified()
    {
        return Ok(SocketAddr::new(address.ip(), port));
    }
    let all = nix::ifaddrs::getifaddrs().map_err(std::io::Error::from)?;
    let mut found: Vec<IpAddr> =
        all.filter_map(|one| ip(one.address.as_ref()?)).filter(|ip| !ip.is_loopback()).collect();
    found.sort_unstable();
    found.dedup();
    match found.as_slice() {
        [only] => Ok(SocketAddr::new(*only, port)),
        [] => Err(MemberError::Invalid(
            "could not find the system's IP address - specify one with --advertise-addr".into(),
        )),
        many => {
            let list = many.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            Err(MemberError::Invalid(format!(
                "could not choose an IP address to advertise since this system has multiple addresses ({list}) - specify one with --advertise-addr"
            )))
        }
    }
}

/// A manager's address as it was typed.
pub fn remote(text: &str) -> Result<String, MemberError> {
    let text = text.trim();
    let (host, port) = split(text, PORT)?;
    Ok(if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_usual() {
        assert_eq!(listen("").unwrap().to_string(), "0.0.0.0:2377");
        assert_eq!(listen("127.0.0.1:7").unwrap().to_string(), "127.0.0.1:7");
        assert_eq!(listen("lo:7").unwrap().to_string(), "127.0.0.1:7");
        assert_eq!(listen("::1").unwrap().to_string(), "[::1]:2377");
        assert_eq!(remote("[::1]").unwrap(), "[::1]:2377");
        assert_eq!(remote("manager.example").unwrap(), "manager.example:2377");
        for wrong in ["1.2.3.4:x", ":5", "no-such-interface", "1.2.3.4:0"] {
            assert!(listen(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn nobody_is_reached_at_no_address() {
        let any = listen("0.0.0.0:5").unwrap();
        assert_eq!(advertise("", any).unwrap(), None);
        assert!(advertise("0.0.0.0", any).is_err());
        assert_eq!(advertise("127.0.0.2", any).unwrap().unwrap().to_string(), "127.0.0.2:5");
    }
}
