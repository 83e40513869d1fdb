//! The firewall: one nftables table of our own, in the `inet` family, written through netlink.
//!
//! ```text
//! raw         prerouting -300   a container cannot address the host's loopback
//! prerouting  dstnat            to a local address? → published
//! output      dstnat            the same for the host's own processes
//! published                     map lookup: address, protocol, port → container, port; or the mesh's chain
//! mesh        mangle            answers to what another machine sent on go back to it (see `mesh`)
//! forward     filter            replies pass; leaving an internal bridge, entering any bridge: its chain
//! enter-BR                      from BR itself, or through a published port; nothing else
//! post-BR     srcnat            leaving BR's subnet: the host's address; back into BR: the bridge's
//! ```
//!
//! The table accepts and drops only what concerns our bridges. In nftables an accept ends only the
//! own table's judgement, so a host's rules for forwarded packets are always heard, whatever their
//! priority: a drop of theirs wins. They see a published port's packet with the container as its
//! destination and find the original port in `ct original proto-dst`.
//!
//! Published ports are elements of maps and networks are elements of verdict maps: a packet costs
//! the same, and a change is one small transaction, however many there are.

mod balance;
mod conntrack;
mod elements;
mod expression;
mod mesh;
mod names;
mod objects;
mod resolver;
mod silence;
mod table;
mod wire;

pub(crate) use balance::{Balancer, Virtual};
pub(crate) use conntrack::Connections;
pub(crate) use elements::Forward;
pub(crate) use mesh::{Machine, MeshForward, mark};
pub(crate) use names::Names;
pub(crate) use resolver::ResolverPort;
pub(crate) use silence::silence;
pub(crate) use table::{BridgeRules, Firewall, MeshRules};
