//! The table: its fixed part, and the parts that come and go with networks and ports.

use std::io;

use super::elements::{Element, Forward};
use super::expression::{Base, Meta, R0, Rule, VERDICT, Verdict, interface};
use super::mesh::{Machine, MeshForward};
use super::names::{
    self, BRIDGES, ENTERING, FORWARD, LEAVING, Names, OUTPUT, PORTS4, PORTS4_AT, PORTS6, PORTS6_AT, POSTROUTING,
    PREROUTING, PUBLISHED, RAW, SOURCES4, SOURCES6,
};
use super::objects::{self, MAP, Set};
use super::wire::{self, INET, Transaction};
use crate::netlink::{Refusal, Socket};
use crate::subnet::Subnet;

/// `established` and `related` in `ct state`.
const REPLIES: u32 = 1 << 1 | 1 << 2;
/// `dnat` in `ct status`: somebody published this port.
const TRANSLATED: u32 = 1 << 5;
/// nft's numbers for the types of keys, so that `nft list ruleset` can print them.
pub(super) mod kind {
    pub(in crate::firewall) const INTEGER: u32 = 4;
    pub(in crate::firewall) const LINK_ADDRESS: u32 = 9;
    pub(in crate::firewall) const MARK: u32 = 19;
    pub(in crate::firewall) const IPV4: u32 = 7;
    pub(in crate::firewall) const IPV6: u32 = 8;
    pub(in crate::firewall) const PROTOCOL: u32 = 12;
    pub(in crate::firewall) const PORT: u32 = 13;
    pub(in crate::firewall) const INTERFACE: u32 = 41;
    pub(in crate::firewall) const VERDICT: u32 = 0xffff_ff00;

    pub(in crate::firewall) const fn join(types: &[u32]) -> u32 {
        let (mut all, mut i) = (0, 0);
        while i < types.len() {
            all = all << 6 | types[i];
            i += 1;
        }
        all
    }
}

/// What the firewall must know of a bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BridgeRules {
    pub(crate) bridge: String,
    /// Nothing leaves, nothing enters.
    pub(crate) internal: bool,
    /// Containers reach each other.
    pub(crate) icc: bool,
    /// Subnets whose addresses are hidden behind the host's when they leave.
    pub(crate) masquerade: Vec<Subnet>,
}

/// The table of one daemon.
#[derive(Debug)]
pub(crate) struct Firewall {
    pub(super) socket: Socket,
    pub(super) table: String,
}

/// All that the table has of the routing mesh.
#[derive(Debug, Default)]
pub(crate) struct MeshRules {
    pub(crate) bridges: Vec<String>,
    pub(crate) machines: Vec<Machine>,
    pub(crate) forwards: Vec<MeshForward>,
}

impl Firewall {
    /// For the network namespace of the calling thread.
    pub(crate) fn open(names: &Names) -> io::Result<Self> {
        Ok(Self { socket: wire::open()?, table: names.table.clone() })
    }

    /// Replaces the table, whatever it was, in one step. Connections go on: what they were
    /// translated to is kept by connection tracking.
    pub(crate) fn replace(
        &mut self,
        bridges: &[BridgeRules],
        forwards: &[Forward],
        mesh: &MeshRules,
    ) -> Result<(), Refusal> {
        let mut t = Transaction::new(INET);
        // Deleting what is not there fails, hence it is made first.
        self.put_table(&mut t);
        self.drop_table(&mut t);
        self.put_table(&mut t);
        self.put_sets(&mut t);
        self.put_chains(&mut t);
        for bridge in bridges {
            self.put_bridge(&mut t, bridge);
        }
        self.put_forwards(&mut t, forwards, true);
        for forward in &mesh.forwards {
            self.put_mesh_port(&mut t, forward);
        }
        t.commit(&mut self.socket)?;
        for bridge in &mesh.bridges {
            self.set_mesh_bridge(bridge, true)?;
        }
        self.set_mesh_machines(&mesh.machines, true)
    }

    pub(crate) fn add_bridge(&mut self, bridge: &BridgeRules) -> Result<(), Refusal> {
        let mut t = Transaction::new(INET);
        self.put_bridge(&mut t, bridge);
        t.commit(&mut self.socket)
    }

    pub(crate) fn remove_bridge(&mut self, bridge: &BridgeRules) -> Result<(), Refusal> {
        let mut t = Transaction::new(INET);
        for (set, elements) in bridge_elements(bridge) {
            self.elements(&mut t, set, &elements, false);
        }
        for chain in bridge_chains(bridge) {
            objects::delete_chain(&mut t, &self.table, &chain);
        }
        t.commit(&mut self.socket)
    }

    pub(crate) fn add_forwards(&mut self, forwards: &[Forward]) -> Result<(), Refusal> {
        let mut t = Transaction::new(INET);
        self.put_forwards(&mut t, forwards, true);
        t.commit(&mut self.socket)
    }

    pub(crate) fn remove_forwards(&mut self, forwards: &[Forward]) -> Result<(), Refusal> {
        let mut t = Transaction::new(INET);
        self.put_forwards(&mut t, forwards, false);
        t.commit(&mut self.socket)
    }

    /// Withdraws some and adds others in one step.
    pub(crate) fn move_forwards(&mut self, from: &[Forward], to: &[Forward]) -> Result<(), Refusal> {
        let mut t = Transaction::new(INET);
        self.put_forwards(&mut t, from, false);
        self.put_forwards(&mut t, to, true);
        t.commit(&mut self.socket)
    }

    /// Whether the table is there.
    pub(crate) fn exists(&mut self) -> Result<bool, Refusal> {
        let (mut found, table) = (false, self.table.clone());
        wire::list(
            &mut self.socket,
            libc::NFT_MSG_GETTABLE,
            INET,
            |_| {},
            |_, attributes| {
                let name = crate::netlink::attributes(attributes).find(|(kind, _)| *kind == 1);
                found |= name.is_some_and(|(_, name)| name.strip_suffix(b"\0") == Some(table.as_bytes()));
            },
        )?;
        Ok(found)
    }

    /// Base chains of others that drop forwarded packets unless a rule of theirs says otherwise:
    /// family and table.
    pub(crate) fn dropping_forward_chains(&mut self) -> Result<Vec<(u8, String)>, Refusal> {
        const DROP: [u8; 4] = [0; 4];
        const HOOK_FORWARD: [u8; 4] = [0, 0, 0, 2];
        let mut found = Vec::new();
        wire::list(
            &mut self.socket,
            libc::NFT_MSG_GETCHAIN,
            libc::AF_UNSPEC as u8,
            |_| {},
            |family, attributes| {
                let of = |kind: u16| {
                    crate::netlink::attributes(attributes).find(|(k, _)| *k == kind).map(|(_, value)| value)
                };
                let hook = of(4).and_then(|hook| crate::netlink::attributes(hook).find(|(k, _)| *k == 1));
                if hook.is_some_and(|(_, number)| number == HOOK_FORWARD)
                    && of(5).is_some_and(|policy| policy == DROP)
                    && let Some(table) = of(1)
                {
                    found.push((family, String::from_utf8_lossy(table).trim_end_matches('\0').to_owned()));
                }
            },
        )?;
        found.retain(|(_, table)| *table != self.table);
        Ok(found)
    }

    fn put_table(&self, t: &mut Transaction) {
        objects::put_table(t, &self.table);
    }

    fn drop_table(&self, t: &mut Transaction) {
        objects::drop_table(t, &self.table);
    }

    fn put_sets(&self, t: &mut Transaction) {
        use kind::{INTERFACE, IPV4, IPV6, PORT, PROTOCOL, VERDICT, join};
        const INTERVAL: u32 = 0x4;
        let port = join(&[PROTOCOL, PORT]);
        let verdicts = Some((VERDICT, 0));
        let set = |name, flags, key, data| Set { name, flags, key, data };
        let sets = [
            set(BRIDGES, 0, (INTERFACE, 16), None),
            set(LEAVING, MAP, (INTERFACE, 16), verdicts),
            set(ENTERING, MAP, (INTERFACE, 16), verdicts),
            set(SOURCES4, MAP | INTERVAL, (IPV4, 4), verdicts),
            set(SOURCES6, MAP | INTERVAL, (IPV6, 16), verdicts),
            set(PORTS4, MAP, (port, 8), Some((join(&[IPV4, PORT]), 8))),
            set(PORTS6, MAP, (port, 8), Some((join(&[IPV6, PORT]), 20))),
            set(PORTS4_AT, MAP, (join(&[IPV4, PROTOCOL, PORT]), 12), Some((join(&[IPV4, PORT]), 8))),
            set(PORTS6_AT, MAP, (join(&[IPV6, PROTOCOL, PORT]), 24), Some((join(&[IPV6, PORT]), 20))),
        ];
        let all = sets.into_iter().chain(super::mesh::sets());
        for (number, set) in (1..).zip(all) {
            objects::put_set(t, &self.table, &set, number, set.key.0 == INTERFACE);
        }
    }

    fn put_chains(&self, t: &mut Transaction) {
        const PREROUTING_HOOK: u32 = 0;
        const FORWARD_HOOK: u32 = 2;
        const OUTPUT_HOOK: u32 = 3;
        const POSTROUTING_HOOK: u32 = 4;
        self.chain(t, PUBLISHED, None);
        self.chain(t, RAW, Some(("filter", PREROUTING_HOOK, -300)));
        self.chain(t, PREROUTING, Some(("nat", PREROUTING_HOOK, -100)));
        self.chain(t, OUTPUT, Some(("nat", OUTPUT_HOOK, -100)));
        self.chain(t, FORWARD, Some(("filter", FORWARD_HOOK, 0)));
        self.chain(t, POSTROUTING, Some(("nat", POSTROUTING_HOOK, 100)));

        // Bridges have route_localnet, so that a port published on 127.0.0.1 can be reached from
        // the host. It also makes the kernel accept what a container sends to 127.0.0.0/8.
        self.rule(t, RAW, |r| {
            r.load(Meta::InName, R0).within(R0, BRIDGES).ipv4();
            r.payload(Base::Network, 16, 1, R0).is(R0, &[127]).verdict(Verdict::Drop);
        });
        // A neighbour on the wire could address 127.0.0.1 and so reach what is published there only;
        // untranslated, the kernel drops such packets.
        self.rule(t, PREROUTING, |r| {
            r.ipv4().payload(Base::Network, 16, 1, R0).is(R0, &[127]).verdict(Verdict::Return);
        });
        for chain in [PREROUTING, OUTPUT] {
            self.rule(t, chain, |r| r.destination_is_local().verdict(Verdict::Jump(PUBLISHED)));
        }
        // Answers to ::1 would be dropped on their way back: there is no route_localnet in IPv6.
        // Untranslated, it comes to the socket that holds the port, which carries it to the container.
        self.rule(t, PUBLISHED, |r| {
            r.ipv6().payload(Base::Network, 24, 16, R0);
            r.is(R0, &std::net::Ipv6Addr::LOCALHOST.octets()).verdict(Verdict::Return);
        });
        // What is published on one address goes before what is published on all.
        self.rule(t, PUBLISHED, |r| {
            r.ipv4().payload(Base::Network, 16, 4, R0).load(Meta::Protocol, R0 + 1).payload(
                Base::Transport,
                2,
                2,
                R0 + 2,
            );
            r.map(R0, PORTS4_AT, R0).redirect(libc::NFPROTO_IPV4 as u8, R0, R0 + 1);
        });
        self.rule(t, PUBLISHED, |r| {
            r.ipv4().load(Meta::Protocol, R0).payload(Base::Transport, 2, 2, R0 + 1);
            r.map(R0, PORTS4, R0).redirect(libc::NFPROTO_IPV4 as u8, R0, R0 + 1);
        });
        self.rule(t, PUBLISHED, |r| {
            r.ipv6().payload(Base::Network, 24, 16, R0).load(Meta::Protocol, R0 + 4).payload(
                Base::Transport,
                2,
                2,
                R0 + 5,
            );
            r.map(R0, PORTS6_AT, R0).redirect(libc::NFPROTO_IPV6 as u8, R0, R0 + 4);
        });
        self.rule(t, PUBLISHED, |r| {
            r.ipv6().load(Meta::Protocol, R0).payload(Base::Transport, 2, 2, R0 + 1);
            r.map(R0, PORTS6, R0).redirect(libc::NFPROTO_IPV6 as u8, R0, R0 + 4);
        });
        self.put_mesh(t);
        self.rule(t, FORWARD, |r| r.connection_state(REPLIES).verdict(Verdict::Accept));
        self.rule(t, FORWARD, |r| {
            r.load(Meta::InName, R0).map(R0, LEAVING, VERDICT);
        });
        self.rule(t, FORWARD, |r| {
            r.load(Meta::OutName, R0).map(R0, ENTERING, VERDICT);
        });
        // The host's own loopback address is no address that a container could answer to.
        self.rule(t, POSTROUTING, |r| {
            r.load(Meta::OutName, R0).within(R0, BRIDGES).ipv4();
            r.payload(Base::Network, 12, 1, R0).is(R0, &[127]).masquerade();
        });
        self.rule(t, POSTROUTING, |r| {
            r.ipv4().payload(Base::Network, 12, 4, R0).map(R0, SOURCES4, VERDICT);
        });
        self.rule(t, POSTROUTING, |r| {
            r.ipv6().payload(Base::Network, 8, 16, R0).map(R0, SOURCES6, VERDICT);
        });
    }

    fn put_bridge(&self, t: &mut Transaction, bridge: &BridgeRules) {
        let name = interface(&bridge.bridge);
        for chain in bridge_chains(bridge) {
            self.chain(t, &chain, None);
        }
        let enter = names::enter(&bridge.bridge);
        if bridge.internal {
            let leave = names::leave(&bridge.bridge);
            self.rule(t, &leave, |r| r.load(Meta::OutName, R0).is_not(R0, &name).verdict(Verdict::Drop));
        } else {
            self.rule(t, &enter, |r| r.connection_status(TRANSLATED).verdict(Verdict::Accept));
        }
        if bridge.icc {
            self.rule(t, &enter, |r| r.load(Meta::InName, R0).is(R0, &name).verdict(Verdict::Accept));
        }
        self.rule(t, &enter, |r| r.verdict(Verdict::Drop));
        if !bridge.masquerade.is_empty() {
            let post = names::post(&bridge.bridge);
            self.rule(t, &post, |r| r.load(Meta::OutName, R0).is_not(R0, &name).masquerade());
            // To itself through a published port: the answer must come back through the host.
            self.rule(t, &post, |r| r.connection_status(TRANSLATED).masquerade());
        }
        for (set, elements) in bridge_elements(bridge) {
            self.elements(t, set, &elements, true);
        }
    }

    fn put_forwards(&self, t: &mut Transaction, forwards: &[Forward], add: bool) {
        for map in [PORTS4, PORTS4_AT, PORTS6, PORTS6_AT] {
            let elements: Vec<_> = forwards.iter().filter(|f| f.map() == map).map(Forward::element).collect();
            self.elements(t, map, &elements, add);
        }
    }

    pub(super) fn chain(&self, t: &mut Transaction, name: &str, hook: Option<objects::Hook<'_>>) {
        objects::put_chain(t, &self.table, name, hook);
    }

    pub(super) fn rule(&self, t: &mut Transaction, chain: &str, expressions: impl FnOnce(&mut Rule<'_, '_>)) {
        objects::put_rule(t, &self.table, chain, expressions);
    }

    pub(super) fn elements(&self, t: &mut Transaction, set: &str, elements: &[Element], add: bool) {
        objects::change_elements(t, &self.table, set, elements, add);
    }
}

fn bridge_chains(bridge: &BridgeRules) -> Vec<String> {
    let mut chains = vec![names::enter(&bridge.bridge)];
    if bridge.internal {
        chains.push(names::leave(&bridge.bridge));
    }
    if !bridge.masquerade.is_empty() {
        chains.push(names::post(&bridge.bridge));
    }
    chains
}

fn bridge_elements(bridge: &BridgeRules) -> Vec<(&'static str, Vec<Element>)> {
    let name = &bridge.bridge;
    let mut all =
        vec![(BRIDGES, vec![Element::bridge(name)]), (ENTERING, vec![Element::bridge_to(name, names::enter(name))])];
    if bridge.internal {
        all.push((LEAVING, vec![Element::bridge_to(name, names::leave(name))]));
    }
    all.extend(bridge.masquerade.iter().map(|subnet| Element::subnet_to(*subnet, names::post(name))));
    all
}
