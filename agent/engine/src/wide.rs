//! Networks that span machines, as containers that are not the cluster's own ask for them.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use futures_util::future::BoxFuture;

/// Whoever knows of networks that span machines: the node's agent.
pub trait WideNetworks: fmt::Debug + Send + Sync {
    /// Makes sure that a network is here which the cluster has and containers may be put on by hand; false when
    /// it has none of that name. The error is for people.
    fn provide(&self, network: &str) -> BoxFuture<'_, Result<bool, String>>;

    /// Addresses for a container that comes to such a network; none when it has its own from the cluster already.
    /// The error is for people.
    fn join(&self, asked: Joining) -> BoxFuture<'_, Result<Vec<IpAddr>, String>>;

    /// A container has left one such network, or all.
    fn leave(&self, container: &str, network: Option<&str>);
}

/// A container that comes to a network.
#[derive(Debug, Clone)]
pub struct Joining {
    /// The network's name.
    pub network: String,
    pub container: String,
    pub labels: BTreeMap<String, String>,
    /// By which it is found there.
    pub names: Vec<String>,
    pub ipv4: Option<Ipv4Addr>,
    pub ipv6: Option<Ipv6Addr>,
}
