//! All ports that are published, and how a request becomes some of them.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::holder;
use super::relay::Relay;
use super::reservation::{Refused, Reservation};
use crate::error::{Error, Holder};
use crate::model::{PortRange, PortRequest, Protocol, PublishedPort};

/// Linux's own default for ports that the kernel gives away.
const EPHEMERAL: PortRange = PortRange { first: 32768, last: 60999 };

/// Where a container's ports lead, and what of the host leads there when nothing is said.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Target {
    pub(crate) ipv4: Option<Ipv4Addr>,
    pub(crate) ipv6: Option<Ipv6Addr>,
    pub(crate) host_ip: Option<IpAddr>,
}

impl Target {
    /// The container's address that the firewall leads a host address to: one of the same family.
    pub(crate) fn for_host(&self, host: IpAddr) -> Option<IpAddr> {
        match host {
            IpAddr::V4(_) => self.ipv4.map(IpAddr::V4),
            // Its answers would not arrive.
            IpAddr::V6(Ipv6Addr::LOCALHOST) => None,
            IpAddr::V6(_) => self.ipv6.map(IpAddr::V6),
        }
    }

    /// Where that is carried which comes to a host address past the firewall.
    fn relayed(&self, host: IpAddr, port: u16) -> Option<SocketAddr> {
        if host.is_ipv4() {
            return None;
        }
        let address = self.ipv6.map(IpAddr::V6).or(self.ipv4.map(IpAddr::V4))?;
        Some(SocketAddr::new(address, port))
    }
}

/// A request for ports of one container, read.
struct Wish<'a> {
    container: &'a str,
    addresses: Vec<IpAddr>,
    protocol: Protocol,
    target: &'a Target,
}

#[derive(Debug)]
struct Held {
    container: String,
    address: IpAddr,
    container_port: u16,
    reservation: Reservation,
}

/// The ports of one daemon.
#[derive(Debug)]
pub(crate) struct Ports {
    held: HashMap<(Protocol, u16), Vec<Held>>,
    dynamic: PortRange,
    next: u16,
    relays: bool,
}

impl Ports {
    /// With the range that ports are found in (the kernel's ephemeral range when absent), and whether there are relays.
    pub(crate) fn new(dynamic: Option<PortRange>, relays: bool) -> Self {
        let dynamic = dynamic.or_else(kernel_range).unwrap_or(EPHEMERAL);
        Self { held: HashMap::new(), dynamic, next: dynamic.first, relays }
    }

    /// Whether what the firewall cannot lead is carried.
    pub(crate) fn carries(&self, protocol: Protocol) -> bool {
        self.relays && Relay::carries(protocol)
    }

    /// Takes what is asked, all or nothing.
    pub(crate) fn take(
        &mut self,
        container: &str,
        requests: &[PortRequest],
        target: &Target,
    ) -> Result<Vec<PublishedPort>, Error> {
        let mut taken = Vec::new();
        for request in requests {
            if let Err(error) = self.take_one(container, request, target, &mut taken) {
                self.release(container, &taken);
                return Err(error);
            }
        }
        Ok(taken)
    }

    /// Takes ports again that were published by an earlier daemon and are in the firewall's maps.
    pub(crate) fn adopt(&mut self, container: &str, ports: &[PublishedPort], target: &Target) {
        for port in ports {
            let to = target.relayed(port.host_ip, port.container_port).filter(|_| self.relays);
            let taken = Reservation::new(port.host_ip, port.host_port, port.protocol, to);
            let reservation = taken.unwrap_or_else(|refused| {
                let holder = holder::find(port.host_ip, port.host_port, port.protocol);
                tracing::warn!(?refused, %holder, container, "port {}/{} stays published", port.host_port, port.protocol);
                Reservation::absent()
            });
            let held = Held {
                container: container.to_owned(),
                address: port.host_ip,
                container_port: port.container_port,
                reservation,
            };
            self.held.entry((port.protocol, port.host_port)).or_default().push(held);
        }
    }

    /// Tells where a container's ports lead now.
    pub(crate) fn redirect(&self, container: &str, ports: &[PublishedPort], target: &Target) {
        for port in ports {
            let all = self.held.get(&(port.protocol, port.host_port)).into_iter().flatten();
            for held in all.filter(|held| held.container == container && held.address == port.host_ip) {
                if let Some(to) = target.relayed(held.address, held.container_port) {
                    held.reservation.redirect(to);
                }
            }
        }
    }

    /// Gives ports of a container back; those it does not have are passed over.
    pub(crate) fn release(&mut self, container: &str, ports: &[PublishedPort]) {
        for port in ports {
            let key = (port.protocol, port.host_port);
            if let Some(held) = self.held.get_mut(&key) {
                held.retain(|h| h.container != container || h.address != port.host_ip);
                if held.is_empty() {
                    self.held.remove(&key);
                }
            }
        }
    }

    fn take_one(
        &mut self,
        container: &str,
        request: &PortRequest,
        target: &Target,
        taken: &mut Vec<PublishedPort>,
    ) -> Result<(), Error> {
        let addresses = host_addresses(container, request, target, self.relays)?;
        let wish = Wish { container, addresses, protocol: request.protocol, target };
        let mut publish = |host_port, container_port| {
            taken.extend(wish.addresses.iter().map(|host_ip| PublishedPort {
                host_ip: *host_ip,
                host_port,
                container_port,
                protocol: request.protocol,
            }));
        };
        match request.host_ports {
            Some(host) if host.len() == request.container_ports.len() => {
                // Each pair is noted before the next is tried, so that the caller can give all back.
                for (host_port, container_port) in host.iter().zip(request.container_ports.iter()) {
                    self.reserve(&wish, host_port, container_port)
                        .map_err(|clash| clash.explain(host_port, request.protocol))?;
                    publish(host_port, container_port);
                }
            }
            Some(host) if request.container_ports.len() == 1 => {
                let container_port = request.container_ports.first;
                let port = self.find(&wish, host, host.first, container_port)?;
                publish(port, container_port);
            }
            Some(host) => return Err(Error::PortRanges { host, container: request.container_ports }),
            None => {
                for container_port in request.container_ports.iter() {
                    let port = self.find(&wish, self.dynamic, self.next, container_port)?;
                    self.next = if port == self.dynamic.last { self.dynamic.first } else { port + 1 };
                    publish(port, container_port);
                }
            }
        }
        Ok(())
    }

    /// Takes the first port that is free on all addresses, beginning at `start` and going round.
    fn find(&mut self, wish: &Wish<'_>, range: PortRange, start: u16, container_port: u16) -> Result<u16, Error> {
        for port in (start..=range.last).chain(range.first..start) {
            match self.reserve(wish, port, container_port) {
                Ok(()) => return Ok(port),
                Err(Clash::Taken(..)) => {}
                Err(clash) => return Err(clash.explain(port, wish.protocol)),
            }
        }
        Err(Error::PortsExhausted { range, protocol: wish.protocol })
    }

    /// Takes one port on all addresses or on none.
    fn reserve(&mut self, wish: &Wish<'_>, port: u16, container_port: u16) -> Result<(), Clash> {
        let mut taken = Vec::with_capacity(wish.addresses.len());
        for &address in &wish.addresses {
            if let Some(held) = self.holder(address, port, wish.protocol) {
                return Err(Clash::Taken(address, Some(held.container.clone())));
            }
            let target = wish.target.relayed(address, container_port).filter(|_| self.relays);
            match Reservation::new(address, port, wish.protocol, target) {
                Ok(reservation) => {
                    taken.push(Held { container: wish.container.to_owned(), address, container_port, reservation });
                }
                Err(Refused::Taken) => return Err(Clash::Taken(address, None)),
                Err(Refused::NotOurAddress) => return Err(Clash::NotOurAddress(address)),
                Err(Refused::Other(source)) => return Err(Clash::Other(address, source)),
            }
        }
        self.held.entry((wish.protocol, port)).or_default().extend(taken);
        Ok(())
    }

    fn holder(&self, address: IpAddr, port: u16, protocol: Protocol) -> Option<&Held> {
        self.held.get(&(protocol, port))?.iter().find(|held| {
            held.address.is_ipv6() == address.is_ipv6()
                && (held.address == address || held.address.is_unspecified() || address.is_unspecified())
        })
    }
}

/// Why one port cannot be had. Which process is to blame is looked up only when somebody is told.
enum Clash {
    Taken(IpAddr, Option<String>),
    NotOurAddress(IpAddr),
    Other(IpAddr, io::Error),
}

impl Clash {
    fn explain(self, port: u16, protocol: Protocol) -> Error {
        match self {
            Self::Taken(address, container) => Error::PortInUse {
                address: SocketAddr::new(address, port),
                protocol,
                holder: match container {
                    Some(container) => Holder::Container(container),
                    None => holder::find(address, port, protocol),
                },
            },
            Self::NotOurAddress(address) => Error::HostAddress(address),
            Self::Other(address, source) => {
                Error::Reserve { action: format!("reserve port {}/{protocol}", SocketAddr::new(address, port)), source }
            }
        }
    }
}

/// The host's addresses that a request means: those that lead to the container, by the firewall or by a relay.
fn host_addresses(container: &str, request: &PortRequest, target: &Target, relays: bool) -> Result<Vec<IpAddr>, Error> {
    let relays = relays && Relay::carries(request.protocol);
    let leads = |host: IpAddr| {
        target.for_host(host).is_some() || relays && target.relayed(host, request.container_ports.first).is_some()
    };
    // Docker reads an address of all zeros as "all of this family" and none as "all of both".
    match request.host_ip.or(target.host_ip) {
        Some(address) if leads(address) => Ok(vec![address]),
        Some(address) if address == Ipv6Addr::LOCALHOST && target.ipv6.is_some() => {
            Err(Error::HostLoopback6(request.protocol))
        }
        Some(address) => Err(Error::NoAddressOfFamily {
            container: container.to_owned(),
            host: address,
            family: crate::ipam::family_name(address.is_ipv6()),
        }),
        None => {
            let mut all = Vec::new();
            all.extend(target.ipv4.map(|_| IpAddr::V4(Ipv4Addr::UNSPECIFIED)));
            let any6 = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
            all.extend((target.for_host(any6).is_some() || leads(any6) && has_ipv6()).then_some(any6));
            if all.is_empty() { Err(Error::NotPublishable(container.to_owned())) } else { Ok(all) }
        }
    }
}

/// Whether the host has any IPv6 address, be it `::1` alone.
pub(crate) fn has_ipv6() -> bool {
    std::fs::read("/proc/thread-self/net/if_inet6").is_ok_and(|list| !list.is_empty())
}

fn kernel_range() -> Option<PortRange> {
    let text: io::Result<String> = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let text = text.ok()?;
    let mut numbers = text.split_whitespace().map(str::parse::<u16>);
    let (first, last) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    (first <= last && first > 0).then_some(PortRange { first, last })
}
