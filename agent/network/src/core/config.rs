//! Networks that are only a configuration: nothing can be on them, others are made from them.

use super::{Core, Kind, Net};
use crate::error::Error;
use crate::ident;
use crate::model::{IpamSpec, Network, NetworkSpec};

impl Core {
    /// Keeps a configuration. Whether it makes sense shows when a network is made from it.
    pub(super) fn create_config(&mut self, mut spec: NetworkSpec) -> Result<Network, Error> {
        let wrong = |reason: &str| Error::Config { network: spec.name.clone(), reason: reason.to_owned() };
        if spec.config_from.is_some() {
            return Err(wrong("a configuration network cannot depend on another configuration network"));
        }
        if spec.internal || spec.attachable || spec.ingress {
            return Err(wrong(
                "configuration network can only contain network specific fields. Network operator fields like \
                 [ ingress | internal | attachable | scope ] are not supported",
            ));
        }
        "null".clone_into(&mut spec.driver);
        let network = Network {
            id: ident::random_id(),
            created: jiff::Timestamp::now(),
            spec,
            bridge: None,
            existing: None,
            overlay: None,
        };
        self.store.save_network(&network)?;
        self.networks.insert(network.id.clone(), Net { kind: Kind::Config, network: network.clone() });
        Ok(network)
    }

    /// Fills a network in from the configuration of that name.
    pub(super) fn configure(&self, spec: &mut NetworkSpec, name: &str) -> Result<(), Error> {
        let wrong = |reason: String| Error::Config { network: spec.name.clone(), reason };
        let found = self.networks.values().find(|n| n.network.spec.name == *name);
        let config = found.ok_or_else(|| wrong(format!("configuration network {name:?} not found")))?;
        if !matches!(config.kind, Kind::Config) {
            return Err(wrong(format!("network {name:?} is not a configuration network")));
        }
        let plain = IpamSpec::default();
        let own = !spec.ipam.config.is_empty()
            || !spec.ipam.options.is_empty()
            || !spec.labels.is_empty()
            || spec.enable_ipv6
            || !matches!(&spec.ipam.driver, driver if driver.is_empty() || *driver == plain.driver);
        if own {
            return Err(wrong(
                "user specified configurations are not supported if the network depends on a configuration network"
                    .to_owned(),
            ));
        }
        if !spec.options.is_empty() {
            return Err(wrong(
                "network driver options are not supported if the network depends on a configuration network".to_owned(),
            ));
        }
        let config = &config.network.spec;
        spec.ipam.clone_from(&config.ipam);
        spec.options.clone_from(&config.options);
        spec.labels.clone_from(&config.labels);
        (spec.enable_ipv4, spec.enable_ipv6) = (config.enable_ipv4, config.enable_ipv6);
        // By the name that it has, whatever prefix of its id was given.
        spec.config_from = Some(config.name.clone());
        Ok(())
    }
}
