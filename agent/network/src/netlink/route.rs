//! The requests of rtnetlink that concern routes.

use std::net::{IpAddr, Ipv6Addr};

use netlink_packet_core::Parseable;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};

use super::link::{Rtnl, emit};
use super::socket::{Batch, Refusal};
use crate::subnet::Subnet;

/// A route of the host's main table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostRoute {
    pub(crate) destination: Subnet,
    pub(crate) interface: u32,
}

impl Rtnl {
    /// All unicast routes of the main table but default routes.
    pub(crate) fn routes(&mut self) -> Result<Vec<HostRoute>, Refusal> {
        let mut routes = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut message = RouteMessage::default();
            message.header.address_family = family;
            self.0.dump(
                libc::RTM_GETROUTE,
                libc::NLM_F_DUMP,
                |out| emit(&message, out),
                |_, body| {
                    let Ok(route) = RouteMessage::parse(body) else { return };
                    if route.header.table != RouteHeader::RT_TABLE_MAIN || route.header.kind != RouteType::Unicast {
                        return;
                    }
                    let (mut destination, mut interface) = (None, 0);
                    for attribute in &route.attributes {
                        match attribute {
                            RouteAttribute::Destination(RouteAddress::Inet(a)) => destination = Some(IpAddr::V4(*a)),
                            RouteAttribute::Destination(RouteAddress::Inet6(a)) => destination = Some(IpAddr::V6(*a)),
                            RouteAttribute::Oif(index) => interface = *index,
                            _ => {}
                        }
                    }
                    let prefix = route.header.destination_prefix_length;
                    if let Some(destination) = destination.and_then(|d| Subnet::new(d, prefix))
                        && prefix > 0
                    {
                        routes.push(HostRoute { destination, interface });
                    }
                },
            )?;
        }
        Ok(routes)
    }
}

impl Batch {
    /// The default route of the gateway's family; another one gives way to it.
    pub(crate) fn set_default_route(&mut self, index: u32, gateway: IpAddr) {
        let message = default_route(index, gateway);
        self.push(libc::RTM_NEWROUTE, libc::NLM_F_CREATE | libc::NLM_F_REPLACE, |out| emit(&message, out));
    }

    /// All of these addresses are behind the link.
    pub(crate) fn set_link_route(&mut self, index: u32, destination: Ipv6Addr, prefix: u8) {
        let message = link_route(index, destination, prefix);
        self.push(libc::RTM_NEWROUTE, libc::NLM_F_CREATE | libc::NLM_F_REPLACE, |out| emit(&message, out));
    }
}

fn link_route(index: u32, destination: Ipv6Addr, prefix: u8) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet6;
    message.header.destination_prefix_length = prefix;
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Boot;
    message.header.scope = RouteScope::Universe;
    message.header.kind = RouteType::Unicast;
    message.attributes =
        vec![RouteAttribute::Destination(RouteAddress::Inet6(destination)), RouteAttribute::Oif(index)];
    message
}

fn default_route(index: u32, gateway: IpAddr) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = if gateway.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet };
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Boot;
    message.header.scope = RouteScope::Universe;
    message.header.kind = RouteType::Unicast;
    message.attributes = vec![RouteAttribute::Gateway(gateway.into()), RouteAttribute::Oif(index)];
    message
}
