//! `hoist swarm join-token`

use serde_json::Value;

use super::{inspect, put};
use crate::cli::{Context, Exit, Outcome, args::swarm::JoinTokenArgs, failure::Failure};

/// Shows how others join, or changes the token.
pub async fn run(cx: &Context, args: JoinTokenArgs) -> Outcome {
    let flag = match args.role.as_str() {
        "worker" => "rotateWorkerToken",
        "manager" => "rotateManagerToken",
        other => return Err(Failure::new(format!("unknown role {other:?}: expected worker or manager"))),
    };
    let mut swarm = inspect(cx).await?;
    if args.rotate {
        put(cx, &swarm, &[flag]).await?;
        swarm = inspect(cx).await?;
        if !args.quiet {
            cx.printer.line(format!("Successfully rotated {} join token.\n", args.role))?;
        }
    }
    if args.quiet {
        cx.printer.line(word(&swarm, &args.role))?;
    } else {
        tell(cx, &swarm, &args.role).await?;
    }
    Ok(Exit::OK)
}

fn word<'a>(swarm: &'a Value, role: &str) -> &'a str {
    let name = if role == "worker" { "Worker" } else { "Manager" };
    swarm["JoinTokens"][name].as_str().unwrap_or_default()
}

/// The command that another machine has to run.
pub async fn tell(cx: &Context, swarm: &Value, role: &str) -> Result<(), Failure> {
    let info: Value = cx.client.get("/info").read().await?;
    let own = info["Swarm"]["NodeID"].as_str().unwrap_or_default();
    let managers = info["Swarm"]["RemoteManagers"].as_array().cloned().unwrap_or_default();
    let me = managers.iter().find(|manager| manager["NodeID"] == own).or(managers.first());
    let address = me.and_then(|manager| manager["Addr"].as_str()).unwrap_or_default();
    let token = word(swarm, role);
    cx.printer.line(format!(
        "To add a {role} to this swarm, run the following command:\n\n    hoist swarm join --token {token} {address}\n"
    ))
}
