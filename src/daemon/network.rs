//! What the settings say of networks.

use std::net::IpAddr;

use hoist_network::Options;

use super::{DaemonError, DaemonSettings, settings::wrong};

/// Fills in how the networks are set up.
///
/// # Errors
/// Names the setting that makes no sense.
pub fn apply(settings: &DaemonSettings, options: &mut Options) -> Result<(), DaemonError> {
    options.mtu = settings.mtu;
    options.relays = settings.userland_proxy.unwrap_or(true);
    options.dns.servers.clone_from(&settings.dns);
    if !settings.default_address_pools.is_empty() {
        options.pools = settings.address_pools()?;
    }
    options.network_options.clone_from(&settings.default_network_opts);
    default_network(settings, options)
}

/// The network of containers that name none.
fn default_network(settings: &DaemonSettings, options: &mut Options) -> Result<(), DaemonError> {
    if let Some(bip) = &settings.bip {
        let subnet = settings.subnet("bip", bip)?;
        options.default_subnets.push(subnet);
        // The address itself is the bridge's, unless it is only the subnet's.
        let address: Option<IpAddr> = bip.split('/').next().and_then(|a| a.parse().ok());
        options.default_gateways.extend(address.filter(|a| *a != subnet.base()));
    }
    match settings.bridge.as_deref() {
        Some("none") => {
            return Err(wrong(
                "bridge",
                "none",
                "the default network is always there; containers can have --network none",
            ));
        }
        Some(_) if settings.bip.is_some() => {
            return Err(wrong(
                "bridge",
                "with bip",
                "a bridge of one's own has its own addresses: give one of the two",
            ));
        }
        Some("") | None => {}
        Some(name) => options.bridge = Some(name.to_owned()),
    }
    options.default_ipv6 = settings.ipv6;
    for (setting, text, v6) in
        [("fixed-cidr", &settings.fixed_cidr, false), ("fixed-cidr-v6", &settings.fixed_cidr_v6, true)]
    {
        let Some(text) = text else { continue };
        let range = settings.subnet(setting, text)?;
        if range.is_ipv6() != v6 {
            return Err(wrong(setting, text, if v6 { "it is no IPv6 subnet" } else { "it is no IPv4 subnet" }));
        }
        // Without a subnet around it, it is the subnet; so dockerd has it.
        match options.default_subnets.iter().find(|subnet| subnet.is_ipv6() == v6) {
            None => options.default_subnets.push(range),
            Some(subnet) if subnet.covers(range) => options.default_ranges.push(range),
            Some(subnet) => return Err(wrong(setting, text, &format!("it is not inside {subnet}"))),
        }
    }
    let routers = [
        ("default-gateway", settings.default_gateway.map(IpAddr::V4)),
        ("default-gateway-v6", settings.default_gateway_v6.map(IpAddr::V6)),
    ];
    for (setting, router) in routers {
        let Some(router) = router else { continue };
        if !options.default_subnets.iter().any(|subnet| subnet.contains(router)) {
            return Err(wrong(setting, &router.to_string(), "the default network's subnet must be given with it: bip"));
        }
        options.default_routers.push(router);
    }
    let mut option = |name: &str, value: String| {
        options.default_options.insert(format!("com.docker.network.bridge.{name}"), value);
    };
    if settings.icc == Some(false) {
        option("enable_icc", "false".to_owned());
    }
    if settings.ip_masq == Some(false) {
        option("enable_ip_masquerade", "false".to_owned());
    }
    match settings.ip {
        Some(IpAddr::V4(address)) => option("host_binding_ipv4", address.to_string()),
        Some(address) => return Err(wrong("ip", &address.to_string(), "expected an IPv4 address")),
        None => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(text: &str) -> Result<Options, String> {
        let map = serde_json::from_str(text).expect("an object");
        let settings = DaemonSettings::of(map)?;
        let mut options = Options::new("", "");
        apply(&settings, &mut options).map_err(|err| err.chain())?;
        Ok(options)
    }

    #[test]
    fn the_default_network_is_as_the_settings_say() {
        let options = applied(
            r#"{"bip": "10.1.0.5/16", "fixed-cidr": "10.1.7.0/24", "default-gateway": "10.1.0.9", "icc": false,
                "ip-masq": true, "ip": "127.0.0.1", "fixed-cidr-v6": "fd00:7::/64", "ipv6": true,
                "default-network-opts": {"bridge": {"com.docker.network.driver.mtu": "1400"}}}"#,
        )
        .unwrap();
        assert_eq!(
            options.default_subnets.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["10.1.0.0/16", "fd00:7::/64"]
        );
        assert_eq!(options.default_gateways, ["10.1.0.5".parse::<IpAddr>().unwrap()]);
        assert_eq!(options.default_ranges[0].to_string(), "10.1.7.0/24");
        assert_eq!(options.default_options.len(), 2);
        assert_eq!(options.network_options["bridge"]["com.docker.network.driver.mtu"], "1400");
        for (text, words) in [
            (r#"{"fixed-cidr": "x"}"#, "fixed-cidr"),
            (r#"{"fixed-cidr": "fd00::/64"}"#, "no IPv4 subnet"),
            (r#"{"bip": "10.1.0.1/16", "fixed-cidr": "10.2.0.0/24"}"#, "not inside 10.1.0.0/16"),
            (r#"{"default-gateway": "10.1.0.9"}"#, "bip"),
            (r#"{"bridge": "none"}"#, "always there"),
            (r#"{"bridge": "br0", "bip": "10.1.0.1/16"}"#, "one of the two"),
            (r#"{"ip": "::1"}"#, "expected an IPv4 address"),
        ] {
            let said = applied(text).unwrap_err();
            assert!(said.contains(words), "{text}: {said}");
        }
    }
}
