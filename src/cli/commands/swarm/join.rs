//! `hoist swarm join`

use serde_json::json;

use crate::cli::{Context, Exit, Outcome, args::swarm::JoinArgs};

/// Takes this machine into a cluster.
pub async fn run(cx: &Context, args: JoinArgs) -> Outcome {
    let body = json!({
        "ListenAddr": args.listen_addr,
        "AdvertiseAddr": args.advertise_addr.unwrap_or_default(),
        "DataPathAddr": args.data_path_addr.unwrap_or_default(),
        "RemoteAddrs": [args.manager],
        "JoinToken": args.token,
        "Availability": args.availability,
    });
    cx.client.post("/swarm/join").json(&body)?.done().await?;
    let info: serde_json::Value = cx.client.get("/info").read().await?;
    let role = if info["Swarm"]["ControlAvailable"] == true { "manager" } else { "worker" };
    cx.printer.line(format!("This node joined a swarm as a {role}."))?;
    Ok(Exit::OK)
}
