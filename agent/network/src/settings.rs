//! Driver options: text that people write, read into what the bridge driver does.

use std::collections::BTreeMap;
use std::net::IpAddr;

use hoist_proto::spec::ENCRYPTED;

use crate::error::Error;
use crate::model::NetworkSpec;

/// What the options of a bridge network say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BridgeSettings {
    /// The bridge's name, when it is not ours to choose.
    pub(crate) name: Option<String>,
    pub(crate) masquerade: bool,
    /// Whether containers reach each other.
    pub(crate) icc: bool,
    pub(crate) mtu: Option<u32>,
    /// Where ports are published when a container does not say.
    pub(crate) host_ip: Option<IpAddr>,
    /// Interfaces are named with this and a number.
    pub(crate) interface_prefix: String,
    /// The bridge itself gets no IPv4 address.
    pub(crate) inhibit_ipv4: bool,
    /// What goes to other machines is encrypted.
    pub(crate) encrypted: bool,
}

impl BridgeSettings {
    pub(crate) fn parse(spec: &NetworkSpec, default_mtu: Option<u32>) -> Result<Self, Error> {
        let mut settings = Self {
            name: None,
            masquerade: true,
            icc: true,
            mtu: default_mtu,
            host_ip: None,
            interface_prefix: "eth".into(),
            inhibit_ipv4: false,
            encrypted: false,
        };
        for (option, value) in &spec.options {
            let wrong = |reason: &str| Error::DriverOption {
                option: option.clone(),
                value: value.clone(),
                reason: reason.to_owned(),
            };
            let yes_or_no = || boolean(value).ok_or_else(|| wrong("expected true or false"));
            match option.as_str() {
                "com.docker.network.bridge.name" => {
                    check_interface_name(value)?;
                    settings.name = Some(value.clone());
                }
                "com.docker.network.bridge.enable_ip_masquerade" => settings.masquerade = yes_or_no()?,
                "com.docker.network.bridge.enable_icc" => settings.icc = yes_or_no()?,
                "com.docker.network.bridge.inhibit_ipv4" => settings.inhibit_ipv4 = yes_or_no()?,
                // Docker marks its default network with it.
                "com.docker.network.bridge.default_bridge" => _ = yes_or_no()?,
                "com.docker.network.bridge.host_binding_ipv4" => {
                    let address = value.parse().map_err(|_| wrong("expected an IPv4 address"))?;
                    settings.host_ip = Some(IpAddr::V4(address));
                }
                "com.docker.network.driver.mtu" => {
                    settings.mtu = Some(mtu(value).map_err(wrong)?);
                }
                "com.docker.network.container_iface_prefix" | "com.docker.network.bridge.container_iface_prefix" => {
                    check_interface_name(&format!("{value}0"))?;
                    settings.interface_prefix.clone_from(value);
                }
                "com.docker.network.bridge.gateway_mode_ipv4" | "com.docker.network.bridge.gateway_mode_ipv6" => {
                    if value != "nat" {
                        return Err(wrong("only nat is supported"));
                    }
                }
                // The identifier itself comes with the cluster's decision.
                "com.docker.network.driver.overlay.vxlanid_list" if spec.driver == "overlay" => {}
                ENCRYPTED if spec.driver == "overlay" => {
                    settings.encrypted =
                        hoist_proto::spec::encrypted(value).ok_or_else(|| wrong("expected true or false"))?;
                }
                _ => return Err(wrong(&format!("unknown option of the {} driver", spec.driver))),
            }
        }
        Ok(settings)
    }
}

/// What the driver options of an endpoint say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct EndpointSettings {
    pub(crate) interface: Option<String>,
    /// Names below `/proc/sys` with slashes, and values; `IFNAME` stands for the interface.
    pub(crate) sysctls: Vec<(String, String)>,
}

impl EndpointSettings {
    pub(crate) fn parse(options: &BTreeMap<String, String>) -> Result<Self, Error> {
        let mut settings = Self::default();
        for (option, value) in options {
            let wrong = |reason: &str| Error::DriverOption {
                option: option.clone(),
                value: value.clone(),
                reason: reason.to_owned(),
            };
            match option.as_str() {
                "com.docker.network.endpoint.ifname" => {
                    check_interface_name(value)?;
                    settings.interface = Some(value.clone());
                }
                "com.docker.network.endpoint.sysctls" => {
                    for assignment in value.split(',').filter(|a| !a.is_empty()) {
                        let (name, to) = assignment.split_once('=').ok_or_else(|| wrong("expected name=value"))?;
                        let parts: Vec<&str> = name.split('.').collect();
                        // Only settings of this one interface: others belong to the container.
                        let of_interface = matches!(parts[..],
                            ["net", "ipv4" | "ipv6" | "mpls", "conf" | "neigh" | "input", "IFNAME", ref rest @ ..]
                                if !rest.is_empty() && rest.iter().all(|p| !p.is_empty() && !p.contains('/')));
                        if !of_interface {
                            return Err(wrong("expected net.ipv4.conf.IFNAME.… or the like"));
                        }
                        settings.sysctls.push((parts.join("/"), to.to_owned()));
                    }
                }
                _ => return Err(wrong("unknown option of an endpoint")),
            }
        }
        Ok(settings)
    }
}

/// Whether the kernel accepts it as the name of an interface (`dev_valid_name`).
pub(crate) fn check_interface_name(name: &str) -> Result<(), Error> {
    let refuse = |reason: &str| Err(Error::Interface { name: name.to_owned(), reason: reason.to_owned() });
    if name.is_empty() || name.len() > 15 {
        refuse("it must have 1 to 15 characters")
    } else if name == "." || name == ".." || name == "all" || name == "default" {
        refuse("it is reserved")
    } else if !name.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'/' | b':' | b'%')) {
        refuse("it has a character that is not allowed")
    } else {
        Ok(())
    }
}

/// An MTU, or what was expected. RFC 791: every link carries 68 bytes; the largest IP packet has 65535.
pub(crate) fn mtu(value: &str) -> Result<u32, &'static str> {
    value.parse().ok().filter(|m| (68..=65535).contains(m)).ok_or("expected a number from 68 to 65535")
}

fn boolean(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(option: &str, value: &str) -> Result<BridgeSettings, String> {
        let mut spec = NetworkSpec::default();
        spec.options.insert(format!("com.docker.network.{option}"), value.into());
        BridgeSettings::parse(&spec, None).map_err(|e| e.to_string())
    }

    #[test]
    fn options_are_read() {
        assert_eq!(parse("bridge.name", "br-x").unwrap().name.as_deref(), Some("br-x"));
        assert!(!parse("bridge.enable_icc", "false").unwrap().icc);
        assert!(!parse("bridge.enable_ip_masquerade", "0").unwrap().masquerade);
        assert_eq!(parse("driver.mtu", "9000").unwrap().mtu, Some(9000));
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        let refusals = [
            parse("bridge.enable_icc", "maybe"),
            parse("driver.mtu", "12"),
            parse("bridge.name", "a-name-that-is-too-long"),
            parse("bridge.gateway_mode_ipv4", "routed"),
            parse("bridge.colour", "red"),
        ]
        .map(Result::unwrap_err);
        insta::assert_snapshot!(refusals.join("\n"), @r#"
        driver option com.docker.network.bridge.enable_icc="maybe": expected true or false
        driver option com.docker.network.driver.mtu="12": expected a number from 68 to 65535
        interface name "a-name-that-is-too-long" cannot be used: it must have 1 to 15 characters
        driver option com.docker.network.bridge.gateway_mode_ipv4="routed": only nat is supported
        driver option com.docker.network.bridge.colour="red": unknown option of the bridge driver
        "#);
    }

    #[test]
    fn sysctls_stay_with_the_interface() {
        let parse = |value: &str| {
            EndpointSettings::parse(&BTreeMap::from([("com.docker.network.endpoint.sysctls".into(), value.into())]))
        };
        assert_eq!(
            parse("net.ipv4.conf.IFNAME.log_martians=1").unwrap().sysctls,
            [("net/ipv4/conf/IFNAME/log_martians".to_owned(), "1".to_owned())]
        );
        for bad in ["net.ipv4.ip_forward=1", "net.ipv4.conf.IFNAME=1", "net.ipv4.conf.IFNAME.a/../b=1", "x"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
