//! What a machine does not hear: one nftables table, replaced as a whole.

use std::{io, net::IpAddr};

use crate::firewall::silence;

/// Drops what comes from these addresses before anything else sees it: what passes through as well, and connections
/// that exist.
pub(super) fn replace(sources: &[IpAddr]) -> io::Result<()> {
    silence(sources).map_err(io::Error::from)
}
