//! The requests of rtnetlink that concern links and their addresses.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{Emitable, Parseable};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, BridgePortState, In6AddrGenMode, InfoBridge, InfoBridgePort, InfoData, InfoIpVlan,
    InfoKind, InfoMacVlan, InfoPortData, InfoPortKind, InfoVeth, InfoVlan, LinkAttribute, LinkFlags, LinkInfo as Info,
    LinkMessage,
};

use super::socket::{Batch, Family, Refusal, Socket};
use crate::model::MacAddress;

const CREATE: i32 = libc::NLM_F_CREATE | libc::NLM_F_EXCL;

/// A link as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LinkInfo {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) up: bool,
    pub(crate) mtu: u32,
    pub(crate) mac: Option<MacAddress>,
    pub(crate) bridge: bool,
    pub(crate) master: Option<u32>,
    pub(crate) alias: Option<String>,
}

/// One end of a pair, as it is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct VethEnd<'a> {
    pub(crate) name: &'a str,
    pub(crate) mac: Option<MacAddress>,
    pub(crate) mtu: Option<u32>,
}

pub(crate) use netlink_packet_route::link::{IpVlanFlags, IpVlanMode, MacVlanMode as MacvlanMode};

/// What a link is that lies on another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overlaid {
    /// With a link address of its own.
    Macvlan(MacvlanMode),
    /// With that of the other, told apart by IP addresses.
    Ipvlan(IpVlanMode, IpVlanFlags),
}

/// A link on another one, as it is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OverlaidLink<'a> {
    pub(crate) name: &'a str,
    /// The index of the link that it lies on.
    pub(crate) parent: u32,
    pub(crate) kind: Overlaid,
    pub(crate) mac: Option<MacAddress>,
    pub(crate) mtu: Option<u32>,
}

/// An rtnetlink socket of one network namespace.
#[derive(Debug)]
pub(crate) struct Rtnl(pub(super) Socket);

impl Rtnl {
    /// For the namespace of the calling thread.
    pub(crate) fn open() -> io::Result<Self> {
        Socket::open(Family::Route).map(Self)
    }

    /// Sends the requests; see [`Socket::send`].
    pub(crate) fn send(&mut self, batch: Batch) -> Result<(), (usize, Refusal)> {
        self.0.send(batch)
    }

    /// The link of this name.
    pub(crate) fn link(&mut self, name: &str) -> Result<Option<LinkInfo>, Refusal> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        let mut found = None;
        let answer = self.0.dump(
            libc::RTM_GETLINK,
            0,
            |out| emit(&message, out),
            |_, body| found = found.take().or(parse(body)),
        );
        match answer {
            Err(refusal) if refusal.errno == nix::errno::Errno::ENODEV => Ok(None),
            Err(refusal) => Err(refusal),
            Ok(()) => Ok(found),
        }
    }

    /// All links.
    pub(crate) fn links(&mut self) -> Result<Vec<LinkInfo>, Refusal> {
        let mut links = Vec::new();
        self.0.dump(
            libc::RTM_GETLINK,
            libc::NLM_F_DUMP,
            |out| emit(&LinkMessage::default(), out),
            |_, body| links.extend(parse(body)),
        )?;
        Ok(links)
    }

    /// All addresses, with their prefix length and the index of their link.
    pub(crate) fn addresses(&mut self) -> Result<Vec<(u32, IpAddr, u8)>, Refusal> {
        let mut addresses = Vec::new();
        self.0.dump(
            libc::RTM_GETADDR,
            libc::NLM_F_DUMP,
            |out| emit(&AddressMessage::default(), out),
            |_, body| {
                let Ok(message) = AddressMessage::parse(body) else { return };
                // On a link with a peer the own address is "local"; elsewhere the two agree or one is absent.
                let own = message.attributes.iter().find_map(|a| match a {
                    AddressAttribute::Local(ip) => Some(*ip),
                    _ => None,
                });
                let any = message.attributes.iter().find_map(|a| match a {
                    AddressAttribute::Address(ip) => Some(*ip),
                    _ => None,
                });
                if let Some(ip) = own.or(any) {
                    addresses.push((message.header.index, ip, message.header.prefix_len));
                }
            },
        )?;
        Ok(addresses)
    }
}

impl Batch {
    /// A bridge without spanning tree, whose own address never changes with its ports.
    pub(crate) fn add_bridge(&mut self, name: &str, mac: MacAddress, mtu: Option<u32>) {
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::Address(mac.0.to_vec()),
            LinkAttribute::LinkInfo(vec![
                Info::Kind(InfoKind::Bridge),
                Info::Data(InfoData::Bridge(vec![InfoBridge::ForwardDelay(0)])),
            ]),
        ];
        message.attributes.extend(mtu.map(LinkAttribute::Mtu));
        self.push(libc::RTM_NEWLINK, CREATE, |out| emit(&message, out));
    }

    /// A pair whose second end is born in another namespace. Both are down.
    pub(crate) fn add_veth(&mut self, host: VethEnd<'_>, peer: VethEnd<'_>, namespace: BorrowedFd<'_>) {
        let mut inside = LinkMessage::default();
        inside.attributes = end_attributes(peer);
        inside.attributes.push(LinkAttribute::NetNsFd(namespace.as_raw_fd()));
        let mut message = LinkMessage::default();
        message.attributes = end_attributes(host);
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            Info::Kind(InfoKind::Veth),
            Info::Data(InfoData::Veth(InfoVeth::Peer(inside))),
        ]));
        self.push(libc::RTM_NEWLINK, CREATE, |out| emit(&message, out));
    }

    /// A pair of which both ends are here. Both are down.
    pub(crate) fn add_wire(&mut self, name: &str, peer: &str) {
        let mut other = LinkMessage::default();
        other.attributes.push(LinkAttribute::IfName(peer.to_owned()));
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::LinkInfo(vec![
                Info::Kind(InfoKind::Veth),
                Info::Data(InfoData::Veth(InfoVeth::Peer(other))),
            ]),
        ];
        self.push(libc::RTM_NEWLINK, CREATE, |out| emit(&message, out));
    }

    /// A link on another one, born in a namespace that may be another. It is down.
    pub(crate) fn add_overlaid(&mut self, link: OverlaidLink<'_>, namespace: BorrowedFd<'_>) {
        let mut message = LinkMessage::default();
        message.attributes = end_attributes(VethEnd { name: link.name, mac: link.mac, mtu: link.mtu });
        message.attributes.push(LinkAttribute::Link(link.parent));
        message.attributes.push(LinkAttribute::NetNsFd(namespace.as_raw_fd()));
        let (kind, data) = match link.kind {
            Overlaid::Macvlan(mode) => (InfoKind::MacVlan, InfoData::MacVlan(vec![InfoMacVlan::Mode(mode)])),
            Overlaid::Ipvlan(mode, flags) => {
                (InfoKind::IpVlan, InfoData::IpVlan(vec![InfoIpVlan::Mode(mode), InfoIpVlan::Flags(flags)]))
            }
        };
        message.attributes.push(LinkAttribute::LinkInfo(vec![Info::Kind(kind), Info::Data(data)]));
        self.push(libc::RTM_NEWLINK, CREATE, |out| emit(&message, out));
    }

    /// The 802.1Q sub-interface `id` of the link with the index `over`.
    pub(crate) fn add_vlan(&mut self, name: &str, over: u32, id: u16) {
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::Link(over),
            LinkAttribute::LinkInfo(vec![
                Info::Kind(InfoKind::Vlan),
                Info::Data(InfoData::Vlan(vec![InfoVlan::Id(id)])),
            ]),
        ];
        self.push(libc::RTM_NEWLINK, CREATE, |out| emit(&message, out));
    }

    /// An interface of the kernel's WireGuard that is born in another namespace, without key and down. Its own packets
    /// are those of the socket's namespace.
    pub(crate) fn add_wireguard(&mut self, name: &str, namespace: BorrowedFd<'_>) {
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::NetNsFd(namespace.as_raw_fd()),
            LinkAttribute::LinkInfo(vec![Info::Kind(InfoKind::Wireguard)]),
        ];
        self.push(libc::RTM_NEWLINK, CREATE, |out| emit(&message, out));
    }

    /// No IPv6 address comes into being by itself on this link: a bridge's port has no use for one.
    pub(crate) fn no_automatic_ipv6(&mut self, name: &str) {
        self.set(
            name,
            vec![LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(
                In6AddrGenMode::None,
            )])])],
        );
    }

    /// Makes the link a port of the bridge with this index.
    pub(crate) fn set_master(&mut self, name: &str, bridge: u32) {
        self.set(name, vec![LinkAttribute::Controller(bridge)]);
    }

    /// `isolated` ports do not reach each other; `hairpin` ports get back what they send.
    pub(crate) fn set_port(&mut self, name: &str, isolated: bool, hairpin: bool) {
        self.change_port(name, vec![InfoBridgePort::Isolated(isolated), InfoBridgePort::HairpinMode(hairpin)]);
    }

    /// Name, link address and MTU of a link that is down.
    pub(crate) fn set_end(&mut self, index: u32, end: VethEnd<'_>) {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes = end_attributes(end);
        self.push(libc::RTM_SETLINK, 0, |out| emit(&message, out));
    }

    /// A text that is shown with the link.
    pub(crate) fn set_alias(&mut self, name: &str, alias: &str) {
        self.set(name, vec![LinkAttribute::IfAlias(alias.to_owned())]);
    }

    /// Cuts a bridge's port off and forgets what was learnt behind it. Taking the link down would do
    /// the same, but waits for all processors.
    pub(crate) fn cut_port(&mut self, name: &str) {
        self.change_port(name, vec![InfoBridgePort::State(BridgePortState::Disabled), InfoBridgePort::Flush]);
    }

    pub(crate) fn set_mtu(&mut self, name: &str, mtu: u32) {
        self.set(name, vec![LinkAttribute::Mtu(mtu)]);
    }

    pub(crate) fn set_up(&mut self, name: &str) {
        let mut message = LinkMessage::default();
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        self.push(libc::RTM_SETLINK, 0, |out| emit(&message, out));
    }

    pub(crate) fn delete_link(&mut self, name: &str) {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        self.push(libc::RTM_DELLINK, 0, |out| emit(&message, out));
    }

    /// Gives a link an address. Duplicate detection is off: we gave the address, and it would make
    /// the address unusable for a second.
    pub(crate) fn add_address(&mut self, index: u32, address: IpAddr, prefix: u8) {
        let message = address_message(index, address, prefix);
        self.push(libc::RTM_NEWADDR, libc::NLM_F_CREATE | libc::NLM_F_REPLACE, |out| emit(&message, out));
    }

    pub(crate) fn delete_address(&mut self, index: u32, address: IpAddr, prefix: u8) {
        let message = address_message(index, address, prefix);
        self.push(libc::RTM_DELADDR, 0, |out| emit(&message, out));
    }

    /// What concerns a link as a port of its bridge is heard with `RTM_NEWLINK` only.
    fn change_port(&mut self, name: &str, data: Vec<InfoBridgePort>) {
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::LinkInfo(vec![
                Info::PortKind(InfoPortKind::Bridge),
                Info::PortData(InfoPortData::BridgePort(data)),
            ]),
        ];
        self.push(libc::RTM_NEWLINK, 0, |out| emit(&message, out));
    }

    fn set(&mut self, name: &str, attributes: Vec<LinkAttribute>) {
        let mut message = LinkMessage::default();
        message.attributes = attributes;
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        self.push(libc::RTM_SETLINK, 0, |out| emit(&message, out));
    }
}

fn end_attributes(end: VethEnd<'_>) -> Vec<LinkAttribute> {
    let mut attributes = vec![LinkAttribute::IfName(end.name.to_owned())];
    attributes.extend(end.mac.map(|m| LinkAttribute::Address(m.0.to_vec())));
    attributes.extend(end.mtu.map(LinkAttribute::Mtu));
    attributes
}

fn address_message(index: u32, address: IpAddr, prefix: u8) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.index = index;
    message.header.prefix_len = prefix;
    message.attributes = vec![AddressAttribute::Local(address), AddressAttribute::Address(address)];
    match address {
        IpAddr::V4(v4) => {
            message.header.family = AddressFamily::Inet;
            if prefix < 31 {
                let broadcast = v4.to_bits() | (u32::MAX >> prefix);
                message.attributes.push(AddressAttribute::Broadcast(broadcast.into()));
            }
        }
        IpAddr::V6(_) => {
            message.header.family = AddressFamily::Inet6;
            message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
    }
    message
}

fn parse(body: &[u8]) -> Option<LinkInfo> {
    let message = LinkMessage::parse(body).ok()?;
    let mut link = LinkInfo {
        index: message.header.index,
        name: String::new(),
        up: message.header.flags.contains(LinkFlags::Up),
        mtu: 0,
        mac: None,
        bridge: false,
        master: None,
        alias: None,
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::IfAlias(alias) => link.alias = Some(alias),
            LinkAttribute::Controller(index) => link.master = Some(index),
            LinkAttribute::Address(bytes) => link.mac = bytes.try_into().ok().map(MacAddress),
            LinkAttribute::LinkInfo(infos) => link.bridge = infos.contains(&Info::Kind(InfoKind::Bridge)),
            _ => {}
        }
    }
    Some(link)
}

pub(super) fn emit<T: Emitable>(message: &T, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + message.buffer_len(), 0);
    message.emit(&mut out[start..]);
}
