//! `hoist swarm init`

use serde_json::json;

use super::{blank, inspect, set, token};
use crate::cli::{Context, Exit, Outcome, args::swarm::InitArgs};

/// Makes this machine the first manager of a cluster, and tells how others join it.
pub async fn run(cx: &Context, args: InitArgs) -> Outcome {
    let mut spec = blank();
    set(&mut spec, &args.settings)?;
    let body = json!({
        "ListenAddr": args.listen_addr,
        "AdvertiseAddr": args.advertise_addr.unwrap_or_default(),
        "DataPathAddr": args.data_path_addr.unwrap_or_default(),
        "DataPathPort": args.data_path_port,
        "DefaultAddrPool": args.default_addr_pools,
        "SubnetSize": args.default_addr_pool_mask_length,
        "ForceNewCluster": args.force_new_cluster,
        "AutoLockManagers": args.settings.autolock.unwrap_or_default(),
        "Availability": args.availability,
        "Spec": spec,
    });
    let node: String = cx.client.post("/swarm/init").json(&body)?.read().await?;
    cx.printer.line(format!("Swarm initialized: current node ({node}) is now a manager.\n"))?;
    let swarm = inspect(cx).await?;
    token::tell(cx, &swarm, "worker").await?;
    cx.printer
        .line("To add a manager to this swarm, run 'hoist swarm join-token manager' and follow the instructions.")?;
    if args.settings.autolock == Some(true) {
        super::unlock::tell(cx).await?;
    }
    Ok(Exit::OK)
}
