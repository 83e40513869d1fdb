//! The requests of rtnetlink that concern neighbours: who has which link address, and behind which
//! machine it lies.

use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd as _};

use netlink_packet_core::Parseable;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::link::{InfoData, InfoKind, InfoVxlan, LinkAttribute, LinkInfo as Info, LinkMessage};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};

use super::link::{Rtnl, emit};
use super::socket::{Batch, Refusal};
use crate::model::{MacAddress, Overlay};

const REPLACE: i32 = libc::NLM_F_CREATE | libc::NLM_F_REPLACE;

impl Rtnl {
    /// Behind which machine each link address lies, as a tunnel knows it.
    pub(crate) fn forwards(&mut self, tunnel: u32) -> Result<Vec<(MacAddress, IpAddr)>, Refusal> {
        let mut all = Vec::new();
        let mut wanted = NeighbourMessage::default();
        wanted.header.family = AddressFamily::Bridge;
        wanted.header.ifindex = tunnel;
        self.neighbour_messages(&wanted, |message| {
            let address = message.attributes.iter().find_map(|a| match a {
                NeighbourAttribute::Destination(NeighbourAddress::Inet(a)) => Some(IpAddr::V4(*a)),
                NeighbourAttribute::Destination(NeighbourAddress::Inet6(a)) => Some(IpAddr::V6(*a)),
                // The kernel's family is that of the bridge, whatever the tunnel's is.
                NeighbourAttribute::Destination(NeighbourAddress::Other(bytes)) => address(bytes),
                _ => None,
            });
            if message.header.ifindex == tunnel
                && let (Some(mac), Some(address)) = (link_address(message), address)
            {
                all.push((mac, address));
            }
        })?;
        Ok(all)
    }

    /// The lasting neighbours on a link.
    pub(crate) fn neighbours(&mut self, link: u32) -> Result<Vec<(IpAddr, MacAddress)>, Refusal> {
        let mut all = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut wanted = NeighbourMessage::default();
            wanted.header.family = family;
            self.neighbour_messages(&wanted, |message| {
                let address = message.attributes.iter().find_map(|a| match a {
                    NeighbourAttribute::Destination(NeighbourAddress::Inet(a)) => Some(IpAddr::V4(*a)),
                    NeighbourAttribute::Destination(NeighbourAddress::Inet6(a)) => Some(IpAddr::V6(*a)),
                    _ => None,
                });
                if message.header.ifindex == link
                    && message.header.state == NeighbourState::Permanent
                    && let (Some(address), Some(mac)) = (address, link_address(message))
                {
                    all.push((address, mac));
                }
            })?;
        }
        Ok(all)
    }

    fn neighbour_messages(
        &mut self,
        wanted: &NeighbourMessage,
        mut each: impl FnMut(&NeighbourMessage),
    ) -> Result<(), Refusal> {
        self.0.dump(
            libc::RTM_GETNEIGH,
            libc::NLM_F_DUMP,
            |out| emit(wanted, out),
            |_, body| {
                if let Ok(message) = NeighbourMessage::parse(body) {
                    each(&message);
                }
            },
        )
    }
}

impl Batch {
    /// A VXLAN tunnel that learns nothing: it sends to whom it was told of, and answers for them
    /// who asks for their link addresses, so that no such question leaves the machine.
    ///
    /// It sends and receives in the namespace of the socket, wherever it is born.
    pub(crate) fn add_tunnel(&mut self, name: &str, overlay: &Overlay, mtu: Option<u32>, born_in: Option<&dyn AsFd>) {
        let local = match overlay.local {
            IpAddr::V4(address) => InfoVxlan::Local(address),
            IpAddr::V6(address) => InfoVxlan::Local6(address),
        };
        let mut data = vec![
            InfoVxlan::Id(overlay.vni),
            local,
            InfoVxlan::Port(overlay.port),
            InfoVxlan::Learning(false),
            InfoVxlan::Proxy(true),
        ];
        if overlay.local.is_ipv4() {
            data.push(InfoVxlan::UDPCsum(false));
        }
        if born_in.is_some() {
            // The tunnel that it leads through has a better checksum.
            data.extend([InfoVxlan::UDPZeroCsumTX(true), InfoVxlan::UDPZeroCsumRX(true)]);
        }
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::LinkInfo(vec![Info::Kind(InfoKind::Vxlan), Info::Data(InfoData::Vxlan(data))]),
        ];
        message.attributes.extend(born_in.map(|namespace| LinkAttribute::NetNsFd(namespace.as_fd().as_raw_fd())));
        message.attributes.extend(mtu.map(LinkAttribute::Mtu));
        self.push(libc::RTM_NEWLINK, libc::NLM_F_CREATE | libc::NLM_F_EXCL, |out| emit(&message, out));
    }

    /// What goes to this link address goes through the tunnel to `machine`.
    pub(crate) fn set_forward(&mut self, tunnel: u32, mac: MacAddress, machine: IpAddr) {
        let message = forward(tunnel, mac, machine);
        self.push(libc::RTM_NEWNEIGH, REPLACE, |out| emit(&message, out));
    }

    pub(crate) fn delete_forward(&mut self, tunnel: u32, mac: MacAddress, machine: IpAddr) {
        let message = forward(tunnel, mac, machine);
        self.push(libc::RTM_DELNEIGH, 0, |out| emit(&message, out));
    }

    /// A neighbour who need not be asked for.
    pub(crate) fn set_neighbour(&mut self, link: u32, address: IpAddr, mac: MacAddress) {
        let message = neighbour(link, address, mac);
        self.push(libc::RTM_NEWNEIGH, REPLACE, |out| emit(&message, out));
    }

    pub(crate) fn delete_neighbour(&mut self, link: u32, address: IpAddr, mac: MacAddress) {
        let message = neighbour(link, address, mac);
        self.push(libc::RTM_DELNEIGH, 0, |out| emit(&message, out));
    }
}

fn forward(tunnel: u32, mac: MacAddress, machine: IpAddr) -> NeighbourMessage {
    let mut message = neighbour(tunnel, machine, mac);
    message.header.family = AddressFamily::Bridge;
    message.header.flags = NeighbourFlags::Own;
    message
}

fn neighbour(link: u32, address: IpAddr, mac: MacAddress) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = if address.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet };
    message.header.ifindex = link;
    message.header.state = NeighbourState::Permanent;
    message.attributes =
        vec![NeighbourAttribute::Destination(address.into()), NeighbourAttribute::LinkLayerAddress(mac.0.to_vec())];
    message
}

fn link_address(message: &NeighbourMessage) -> Option<MacAddress> {
    message.attributes.iter().find_map(|a| match a {
        NeighbourAttribute::LinkLayerAddress(bytes) => bytes.as_slice().try_into().ok().map(MacAddress),
        _ => None,
    })
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from);
    v4.or_else(|| <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from))
}
