//! Talking to the kernel: one socket type for all netlink families, and the requests of rtnetlink.
//!
//! Requests are synchronous. The kernel handles netlink requests inside the system call that sends
//! them, so an asynchronous wrapper would only add latency; what costs is the number of calls, and
//! [`Batch`] puts many requests into one.

mod attributes;
mod generic;
mod link;
mod neighbour;
mod route;
mod rule;
mod socket;

pub(crate) use attributes::{Attributes, attributes};
pub(crate) use generic::Generic;
pub(crate) use link::{IpVlanFlags, IpVlanMode, MacvlanMode, Overlaid, OverlaidLink, Rtnl, VethEnd};
pub(crate) use rule::{MAIN, Matches, RoutingRule};
pub(crate) use socket::{Batch, Family, Refusal, Socket};
