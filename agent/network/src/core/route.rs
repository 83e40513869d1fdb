//! Which of a container's networks leads out.

use std::cmp::Reverse;
use std::net::IpAddr;

use super::{Core, refused_batch};
use crate::error::Error;
use crate::model::Endpoint;
use crate::netlink::Batch;

impl Core {
    /// Points the container's default routes at the gateways of its best network.
    pub(super) fn route(&mut self, container: &str) -> Result<(), Error> {
        let Some(held) = self.containers.get_mut(container) else { return Ok(()) };
        let Some(live) = &mut held.live else { return Ok(()) };
        let action = format!("set the default route of container {container}");
        let mut batch = Batch::default();
        for gateway in [best(&held.record.endpoints, false), best(&held.record.endpoints, true)] {
            let Some((interface, gateway)) = gateway else { continue };
            let index = match live.links.get(interface) {
                Some(index) => *index,
                None => {
                    let link = live.rtnl.link(interface).map_err(super::refused(action.clone()))?;
                    let missing = || Error::Interface { name: interface.to_owned(), reason: "it is gone".into() };
                    link.ok_or_else(missing)?.index
                }
            };
            batch.set_default_route(index, gateway);
        }
        if batch.is_empty() { Ok(()) } else { live.rtnl.send(batch).map_err(refused_batch(action)) }
    }
}

/// The endpoint with the highest gateway priority among those that lead out; the first name decides ties.
pub(super) fn leading_out<'a>(endpoints: impl IntoIterator<Item = &'a Endpoint>, v6: bool) -> Option<&'a Endpoint> {
    let leads = |e: &&Endpoint| if v6 { e.gateway6.is_some() } else { e.gateway4.is_some() };
    endpoints.into_iter().filter(leads).min_by_key(|e| (Reverse(e.request.gw_priority), e.network_name.clone()))
}

fn best(endpoints: &[Endpoint], v6: bool) -> Option<(&str, IpAddr)> {
    let endpoint = leading_out(endpoints, v6)?;
    let gateway = if v6 { endpoint.gateway6.map(IpAddr::V6) } else { endpoint.gateway4.map(IpAddr::V4) };
    Some((endpoint.interface.as_deref()?, gateway?))
}
