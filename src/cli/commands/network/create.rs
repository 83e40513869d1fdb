//! `hoist network create`

use std::{collections::BTreeMap, net::IpAddr};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::{
    Context, Exit, Outcome,
    args::network::CreateArgs,
    spec::{SpecError, key_values},
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Created {
    id: String,
    #[serde(default)]
    warning: String,
}

/// Creates a network and prints its id.
pub async fn run(cx: &Context, args: CreateArgs) -> Outcome {
    let created: Created =
        cx.client.post("/networks/create").json(&body(&args).map_err(SpecError::found_late)?)?.read().await?;
    if !created.warning.is_empty() {
        cx.printer.warn(created.warning);
    }
    cx.printer.line(created.id)?;
    Ok(Exit::OK)
}

/// The body of `POST /networks/create`.
fn body(args: &CreateArgs) -> Result<Value, SpecError> {
    let mut body = json!({
        "Name": args.name,
        "Driver": args.driver,
        "Internal": args.internal,
        "Attachable": args.attachable,
        "Ingress": args.ingress,
        "ConfigOnly": args.config_only,
        "Options": key_values("opt", &args.opts, '=')?,
        "Labels": key_values("label", &args.labels, '=')?,
        "IPAM": {
            "Driver": args.ipam_driver,
            "Options": key_values("ipam-opt", &args.ipam_opts, '=')?,
            "Config": pools(args)?,
        },
    });
    if let Some(network) = &args.config_from {
        body["ConfigFrom"] = json!({ "Network": network });
    }
    if let Some(scope) = &args.scope {
        body["Scope"] = json!(scope);
    }
    if let Some(ipv4) = args.ipv4 {
        body["EnableIPv4"] = json!(ipv4);
    }
    if let Some(ipv6) = args.ipv6 {
        body["EnableIPv6"] = json!(ipv6);
    }
    Ok(body)
}

/// A subnet with the range, gateway and addresses that lie in it.
fn pools(args: &CreateArgs) -> Result<Vec<Value>, SpecError> {
    let mut pools = args
        .subnets
        .iter()
        .map(|text| {
            let subnet =
                Subnet::parse(text).ok_or_else(|| SpecError::value("subnet", text, "expected ADDRESS/BITS"))?;
            Ok((subnet, json!({ "Subnet": text })))
        })
        .collect::<Result<Vec<_>, SpecError>>()?;
    for text in &args.ip_ranges {
        let range = Subnet::parse(text).ok_or_else(|| SpecError::value("ip-range", text, "expected ADDRESS/BITS"))?;
        place("ip-range", text, &mut pools, range.address, "IPRange", json!(text))?;
    }
    for gateway in &args.gateways {
        let text = gateway.to_string();
        place("gateway", &text, &mut pools, *gateway, "Gateway", json!(text))?;
    }
    let auxiliary: BTreeMap<String, String> = key_values("aux-address", &args.aux_addresses, '=')?;
    for (name, address) in auxiliary {
        let ip: IpAddr =
            address.parse().map_err(|_| SpecError::value("aux-address", &address, "it is not an address"))?;
        let (_, pool) = pools
            .iter_mut()
            .find(|(subnet, _)| subnet.contains(ip))
            .ok_or_else(|| SpecError::value("aux-address", &address, "no subnet has it"))?;
        pool["AuxiliaryAddresses"][name] = json!(address);
    }
    Ok(pools.into_iter().map(|(_, pool)| pool).collect())
}

fn place(
    flag: &'static str,
    text: &str,
    pools: &mut [(Subnet, Value)],
    address: IpAddr,
    key: &str,
    value: Value,
) -> Result<(), SpecError> {
    let (_, pool) = pools
        .iter_mut()
        .find(|(subnet, _)| subnet.contains(address))
        .ok_or_else(|| SpecError::value(flag, text, "no --subnet has it"))?;
    if pool.get(key).is_some() {
        return Err(SpecError::value(flag, text, "its subnet has one already"));
    }
    pool[key] = value;
    Ok(())
}

struct Subnet {
    address: IpAddr,
    bits: u32,
}

impl Subnet {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let bits = bits.parse().ok().filter(|bits| *bits <= if address.is_ipv4() { 32 } else { 128 })?;
        Some(Self { address, bits })
    }

    fn contains(&self, other: IpAddr) -> bool {
        match (self.address, other) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                let mask = u32::MAX.checked_shl(32 - self.bits).unwrap_or(0);
                (a.to_bits() ^ b.to_bits()) & mask == 0
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                let mask = u128::MAX.checked_shl(128 - self.bits).unwrap_or(0);
                (a.to_bits() ^ b.to_bits()) & mask == 0
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::args::{Cli, Command, network::NetworkCommand};

    fn made(line: &str) -> Result<Value, SpecError> {
        match Cli::try_parse_from(line.split_whitespace()).unwrap().command {
            Command::Network { command: NetworkCommand::Create(args) } => body(&args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn pools_gather_what_lies_in_them() {
        let line = "hoist network create --subnet 10.9.0.0/16 --subnet fd00::/64 --gateway fd00::1,10.9.0.1 --ip-range 10.9.8.0/24 --aux-address a=10.9.0.5 --ipv6 net";
        let body = made(line).unwrap();
        assert_eq!(
            body["IPAM"]["Config"],
            json!([{"Subnet": "10.9.0.0/16", "IPRange": "10.9.8.0/24", "Gateway": "10.9.0.1", "AuxiliaryAddresses": {"a": "10.9.0.5"}},
                   {"Subnet": "fd00::/64", "Gateway": "fd00::1"}])
        );
        assert_eq!(body["EnableIPv6"], json!(true));
        assert!(made("hoist network create --gateway 10.0.0.1 net").unwrap_err().to_string().contains("no --subnet"));
        assert!(made("hoist network create --subnet 10.0.0.0 net").is_err());
    }
}
