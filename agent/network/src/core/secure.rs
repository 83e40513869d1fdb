//! The encrypted way to other machines: there as long as a network needs it.

use std::fs::File;
use std::net::IpAddr;
use std::path::PathBuf;

use super::overlay::Tunnel;
use super::{Core, Kind, refused};
use crate::error::Error;
use crate::model::{Network, Overlay};
use crate::netlink::Batch;
use crate::netns;
use crate::secure::{Ends, NodeKey, Secure};
use crate::settings::BridgeSettings;

/// Where the tunnel's namespace is pinned, among those of containers: no container's id begins so.
pub(super) const PIN: &str = ".encrypted";

/// What changes of whom encrypted packets go to.
#[derive(Debug, Default)]
pub(super) struct Machines {
    pub(super) come: Vec<(NodeKey, IpAddr)>,
    pub(super) gone: Vec<NodeKey>,
}

impl Core {
    /// By which other machines know this one. It stays the same as long as the daemon runs.
    pub(crate) fn node_key(&self) -> NodeKey {
        self.key.public()
    }

    fn secure_pin(&self) -> PathBuf {
        self.store.namespace(PIN)
    }

    /// Takes over what an earlier daemon left, if the kernel carried it on; else it is of no use to anybody.
    pub(super) fn adopt_secure(&mut self) -> Result<(), Error> {
        let path = self.secure_pin();
        if netns::is_pinned(&path) {
            match Secure::adopt(&path) {
                Ok(Some((secure, key))) => {
                    (self.key, self.secure) = (key, Some(secure));
                    return Ok(());
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "the encrypted tunnel of an earlier daemon cannot be taken over"),
            }
        }
        self.unpin_secure()
    }

    fn unpin_secure(&self) -> Result<(), Error> {
        let path = self.secure_pin();
        netns::unpin(&path).map_err(|source| Error::Namespace { path, action: "unpin", source })
    }

    /// Makes the encrypted way, unless it is there.
    fn ensure_secure(&mut self, network: &Network, overlay: &Overlay) -> Result<(), Error> {
        let action = || format!("set up the encrypted tunnel of network {}", network.spec.name);
        let failed = |source| Error::Netlink { action: action(), source };
        let port = overlay.port.checked_add(1).ok_or_else(|| Error::Overlay {
            network: network.spec.name.clone(),
            reason: format!("there is no UDP port after {} for encrypted packets", overlay.port),
        })?;
        let ends = Ends {
            local: overlay.local,
            port,
            outer_mtu: self.outer_mtu(network, overlay)?,
            by_kernel: self.options.kernel_wireguard,
        };
        if let Some(secure) = &mut self.secure {
            if secure.fits(ends).map_err(failed)? {
                return Ok(());
            }
            // Another data path: all who lead through it have to be made anew.
            let led = |net: &&super::Net| matches!(&net.kind, Kind::Bridge(bridge) if bridge.settings.encrypted);
            if let Some(other) = self.networks.values().find(led) {
                let other = &other.network.spec.name;
                return Err(Error::Overlay {
                    network: network.spec.name.clone(),
                    reason: format!(
                        "encrypted packets of network {other} do not come to {} and UDP port {port}",
                        overlay.local
                    ),
                });
            }
            self.secure = None;
            self.unpin_secure()?;
        }
        let pin = self.secure_pin();
        self.secure = Some(Secure::make(&mut self.rtnl, &self.key, ends, &pin).map_err(failed)?);
        Ok(())
    }

    /// Makes the VXLAN device of an encrypted network, or leaves the one that leads through the tunnel already. It is
    /// the machine's, and sends and receives in the tunnel's namespace.
    pub(super) fn ensure_encrypted_link(
        &mut self,
        network: &Network,
        overlay: &Overlay,
        name: &str,
        settings: &BridgeSettings,
    ) -> Result<(), Error> {
        let action = || format!("set up the tunnel {name} of network {}", network.spec.name);
        let failed = |source| Error::Netlink { action: action(), source };
        self.ensure_secure(network, overlay)?;
        let there = self.rtnl.link(name).map_err(refused(action()))?.is_some();
        let Some(secure) = &mut self.secure else { return Ok(()) };
        if there && !secure.fresh {
            return Ok(());
        }
        if there {
            let mut batch = Batch::default();
            batch.delete_link(name);
            match self.rtnl.send(batch) {
                // Its namespace may have taken it along meanwhile.
                Err((_, refusal)) if refusal.errno != nix::errno::Errno::ENODEV => {
                    return Err(refused(action())(refusal));
                }
                _ => {}
            }
        }
        let host = File::open("/proc/thread-self/ns/net").map_err(failed)?;
        let inner = Overlay { local: secure.own().inner().into(), ..*overlay };
        let mut batch = Batch::default();
        batch.add_tunnel(name, &inner, settings.mtu, Some(&host));
        secure.rtnl.send(batch).map_err(|(_, refusal)| refused(action())(refusal))
    }

    /// All who are on a network have been told of.
    pub(super) fn told_encrypted(&mut self, network: &Network) -> Result<(), Error> {
        self.untold.remove(&network.id);
        match &mut self.secure {
            Some(secure) if self.untold.is_empty() => secure.forget_stale().map_err(|source| Error::Netlink {
                action: "clear the encrypted tunnel of an earlier daemon's machines".into(),
                source,
            }),
            _ => Ok(()),
        }
    }

    /// Forgets whom a network that goes leads to.
    pub(super) fn leave_encrypted(&mut self, network: &Network, tunnel: &Tunnel) -> Result<(), Error> {
        let machines = Machines { come: Vec::new(), gone: tunnel.keys() };
        let left = self.secure.as_mut().map_or(Ok(()), |secure| change_encrypted(secure, network, &machines));
        left.and(self.told_encrypted(network))
    }

    /// Takes the tunnel down when no network needs it any more.
    pub(super) fn drop_unused_secure(&mut self) -> Result<(), Error> {
        if self.secure.is_none() || self.networks.values().any(|net| net.network.is_encrypted()) {
            return Ok(());
        }
        self.secure = None;
        self.unpin_secure()
    }
}

/// Tells the tunnel of machines.
pub(super) fn change_encrypted(secure: &mut Secure, network: &Network, machines: &Machines) -> Result<(), Error> {
    secure.change(&machines.come, &machines.gone).map_err(|source| Error::Netlink {
        action: format!("change the encrypted tunnel of network {}", network.spec.name),
        source,
    })
}
