//! The requests of rtnetlink that concern routing rules and the tables that they choose.

use std::net::IpAddr;

use netlink_packet_core::Parseable;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};

use super::link::{Rtnl, emit};
use super::socket::{Batch, Refusal};
use crate::subnet::Subnet;

/// A rule that sends some packets to a table of routes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RoutingRule {
    pub(crate) priority: u32,
    pub(crate) table: u32,
    pub(crate) matches: Matches,
}

/// Which packets a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Matches {
    To(Subnet),
    From(IpAddr),
    /// From an address, and only what the table says more precisely than by a default route.
    FromPrecisely(IpAddr),
    /// Of a family, with this mark, as long as it comes in from this link (any, when a rule is to go).
    Mark {
        v6: bool,
        mark: u32,
        link: Option<String>,
    },
}

/// The kernel's main table.
pub(crate) const MAIN: u32 = RouteHeader::RT_TABLE_MAIN as u32;

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet }
}

impl Rtnl {
    /// The marks of one family that lead to tables at this priority.
    pub(crate) fn marked_rules(&mut self, v6: bool, priority: u32) -> Result<Vec<u32>, Refusal> {
        let mut wanted = RuleMessage::default();
        wanted.header.family = if v6 { AddressFamily::Inet6 } else { AddressFamily::Inet };
        let mut marks = Vec::new();
        self.0.dump(
            libc::RTM_GETRULE,
            libc::NLM_F_DUMP,
            |out| emit(&wanted, out),
            |_, body| {
                let Ok(rule) = RuleMessage::parse(body) else { return };
                if !rule.attributes.contains(&RuleAttribute::Priority(priority)) {
                    return;
                }
                marks.extend(rule.attributes.iter().find_map(|attribute| match attribute {
                    RuleAttribute::FwMark(mark) => Some(*mark),
                    _ => None,
                }));
            },
        )?;
        Ok(marks)
    }
}

impl Batch {
    /// Adds a rule; one that is there already is refused with `EEXIST`.
    pub(crate) fn add_rule(&mut self, rule: &RoutingRule) {
        let message = rule_message(rule);
        self.push(libc::RTM_NEWRULE, libc::NLM_F_CREATE | libc::NLM_F_EXCL, |out| emit(&message, out));
    }

    pub(crate) fn delete_rule(&mut self, rule: &RoutingRule) {
        let message = rule_message(rule);
        self.push(libc::RTM_DELRULE, 0, |out| emit(&message, out));
    }

    /// The default route of a table that is not the main one.
    pub(crate) fn set_table_route(&mut self, table: u32, index: u32, gateway: IpAddr) {
        let message = table_route(table, index, gateway);
        self.push(libc::RTM_NEWROUTE, libc::NLM_F_CREATE | libc::NLM_F_REPLACE, |out| emit(&message, out));
    }

    pub(crate) fn delete_table_route(&mut self, table: u32, index: u32, gateway: IpAddr) {
        let message = table_route(table, index, gateway);
        self.push(libc::RTM_DELROUTE, 0, |out| emit(&message, out));
    }
}

fn rule_message(rule: &RoutingRule) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.action = RuleAction::ToTable;
    message.attributes = vec![RuleAttribute::Priority(rule.priority), RuleAttribute::Table(rule.table)];
    match rule.matches {
        Matches::To(subnet) => {
            message.header.family = family(subnet.base());
            message.header.dst_len = subnet.prefix();
            message.attributes.push(RuleAttribute::Destination(subnet.base()));
        }
        Matches::From(address) | Matches::FromPrecisely(address) => {
            message.header.family = family(address);
            message.header.src_len = if address.is_ipv6() { 128 } else { 32 };
            message.attributes.push(RuleAttribute::Source(address));
        }
        Matches::Mark { v6, mark, ref link } => {
            message.header.family = if v6 { AddressFamily::Inet6 } else { AddressFamily::Inet };
            message.attributes.push(RuleAttribute::FwMark(mark));
            message.attributes.extend(link.clone().map(RuleAttribute::Iifname));
        }
    }
    if matches!(rule.matches, Matches::FromPrecisely(_)) {
        message.attributes.push(RuleAttribute::SuppressPrefixLen(0));
    }
    message
}

fn table_route(table: u32, index: u32, gateway: IpAddr) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family(gateway);
    message.header.protocol = RouteProtocol::Boot;
    message.header.scope = RouteScope::Universe;
    message.header.kind = RouteType::Unicast;
    message.attributes =
        vec![RouteAttribute::Table(table), RouteAttribute::Gateway(gateway.into()), RouteAttribute::Oif(index)];
    message
}
