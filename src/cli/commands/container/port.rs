//! `hoist port`

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    api::dto::endpoint::PortMap,
    cli::{
        Context, Exit, Outcome,
        args::container::PortArgs,
        commands::container::{hints, path},
        failure::Failure,
    },
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Container {
    network_settings: Settings,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Settings {
    #[serde(default)]
    ports: Option<PortMap>,
}

/// Shows where ports are published.
pub async fn run(cx: &Context, args: PortArgs) -> Outcome {
    let container: Container = match cx.client.get(path(&args.container, "json")).read().await {
        Ok(container) => container,
        Err(err) => return Err(hints::containers(cx, err.into(), &args.container).await),
    };
    let ports = container.network_settings.ports.unwrap_or_default();
    let mut sorted: BTreeMap<(u16, &str), Vec<String>> = BTreeMap::new();
    for (port, bindings) in &ports {
        let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
        let number = number.parse().unwrap_or(0);
        for binding in bindings.iter().flatten() {
            let host = match binding.host_ip.as_str() {
                "" => "0.0.0.0".to_owned(),
                ip if ip.contains(':') => format!("[{ip}]"),
                ip => ip.to_owned(),
            };
            sorted.entry((number, protocol)).or_default().push(format!("{host}:{}", binding.host_port));
        }
    }
    let mut out = String::new();
    match &args.port {
        None => {
            for ((number, protocol), places) in sorted {
                for place in places {
                    out.push_str(&format!("{number}/{protocol} -> {place}\n"));
                }
            }
        }
        Some(asked) => {
            let (number, protocol) = asked.split_once('/').unwrap_or((asked, "tcp"));
            let number: u16 =
                number.parse().map_err(|_| Failure::new(format!("invalid port {asked:?}: expected PORT[/PROTO]")))?;
            let places = sorted.get(&(number, protocol)).ok_or_else(|| {
                Failure::new(format!("port {number}/{protocol} of {} is not published", args.container))
            })?;
            out = places.iter().map(|place| format!("{place}\n")).collect();
        }
    }
    cx.printer.text(out)?;
    Ok(Exit::OK)
}
