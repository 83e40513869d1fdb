//! Commands on networks.

use clap::{Args, Subcommand};

use super::{ListFormat, container::PruneArgs};

// `hoist network …`
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum NetworkCommand {
    /// Connect a container to a network
    Connect(ConnectArgs),
    /// Create a network
    Create(CreateArgs),
    /// Disconnect a container from a network
    Disconnect(DisconnectArgs),
    /// Show all that is known of networks
    Inspect(InspectArgs),
    /// List networks
    #[command(visible_alias = "list")]
    Ls(LsArgs),
    /// Remove networks that no container uses
    Prune(PruneArgs),
    /// Remove networks
    #[command(visible_alias = "remove")]
    Rm(RmArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist network connect --alias db backend postgres")]
pub struct ConnectArgs {
    /// Further name on this network
    #[arg(long = "alias", value_name = "NAME", value_delimiter = ',')]
    pub aliases: Vec<String>,
    /// Option for the driver
    #[arg(long = "driver-opt", value_name = "KEY=VALUE", value_delimiter = ',')]
    pub driver_opts: Vec<String>,
    /// The highest gives the default route
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub gw_priority: Option<i64>,
    /// IPv4 address
    #[arg(long, value_name = "IP")]
    pub ip: Option<std::net::Ipv4Addr>,
    /// IPv6 address
    #[arg(long, value_name = "IP")]
    pub ip6: Option<std::net::Ipv6Addr>,
    /// Link to another container
    #[arg(long = "link", value_name = "NAME[:ALIAS]")]
    pub links: Vec<String>,
    /// Link-local address
    #[arg(long = "link-local-ip", value_name = "IP", value_delimiter = ',')]
    pub link_local_ips: Vec<std::net::IpAddr>,
    #[arg(value_name = "NETWORK")]
    pub network: String,
    #[arg(value_name = "CONTAINER")]
    pub container: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist network create --subnet 10.9.0.0/24 --internal backend")]
pub struct CreateArgs {
    /// Containers may be attached by hand
    #[arg(long)]
    pub attachable: bool,
    /// Address that is not given out
    #[arg(long = "aux-address", value_name = "NAME=IP", value_delimiter = ',')]
    pub aux_addresses: Vec<String>,
    /// Network whose configuration is copied
    #[arg(long, value_name = "NETWORK")]
    pub config_from: Option<String>,
    /// Only a configuration for other networks
    #[arg(long)]
    pub config_only: bool,
    /// Driver
    #[arg(short, long, value_name = "NAME", default_value = "bridge")]
    pub driver: String,
    /// Gateway of a subnet
    #[arg(long = "gateway", value_name = "IP", value_delimiter = ',')]
    pub gateways: Vec<std::net::IpAddr>,
    /// Make the cluster's routing mesh network
    #[arg(long)]
    pub ingress: bool,
    /// No way out of the network
    #[arg(long)]
    pub internal: bool,
    /// Part of a subnet from which addresses are given out
    #[arg(long = "ip-range", value_name = "CIDR", value_delimiter = ',')]
    pub ip_ranges: Vec<String>,
    /// Driver of addresses
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub ipam_driver: String,
    /// Option for the driver of addresses
    #[arg(long = "ipam-opt", value_name = "KEY=VALUE", value_delimiter = ',')]
    pub ipam_opts: Vec<String>,
    /// Give IPv4 addresses
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub ipv4: Option<bool>,
    /// Give IPv6 addresses
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub ipv6: Option<bool>,
    /// Label
    #[arg(long = "label", value_name = "KEY[=VALUE]")]
    pub labels: Vec<String>,
    /// Option for the driver
    #[arg(short, long = "opt", value_name = "KEY=VALUE")]
    pub opts: Vec<String>,
    /// local or swarm
    #[arg(long, value_name = "SCOPE")]
    pub scope: Option<String>,
    /// Subnet
    #[arg(long = "subnet", value_name = "CIDR", value_delimiter = ',')]
    pub subnets: Vec<String>,
    #[arg(value_name = "NETWORK")]
    pub name: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist network disconnect backend postgres")]
pub struct DisconnectArgs {
    /// Even when the container is gone
    #[arg(short, long)]
    pub force: bool,
    #[arg(value_name = "NETWORK")]
    pub network: String,
    #[arg(value_name = "CONTAINER")]
    pub container: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist network inspect -f '{{range .Containers}}{{.Name}} {{end}}' backend")]
pub struct InspectArgs {
    /// json or a Go template
    #[arg(short, long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Show more
    #[arg(short, long)]
    pub verbose: bool,
    #[arg(value_name = "NETWORK", required = true)]
    pub networks: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist network ls --filter driver=bridge")]
pub struct LsArgs {
    /// Only those that match, such as driver=bridge, name=TEXT, label=KEY
    #[arg(short, long = "filter", value_name = "KEY=VALUE")]
    pub filters: Vec<String>,
    #[command(flatten)]
    pub format: ListFormat,
    /// Show whole ids
    #[arg(long)]
    pub no_trunc: bool,
    /// Show ids only
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hoist network rm backend")]
pub struct RmArgs {
    /// No error when there is no such network
    #[arg(short, long)]
    pub force: bool,
    #[arg(value_name = "NETWORK", required = true)]
    pub networks: Vec<String>,
}
