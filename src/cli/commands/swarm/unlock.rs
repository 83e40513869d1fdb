//! `hoist swarm unlock` and `hoist swarm unlock-key`

use std::io::{self, BufRead, IsTerminal};

use serde_json::{Value, json};

use super::{inspect, put};
use crate::cli::{Context, Exit, Outcome, args::swarm::UnlockKeyArgs, failure::Failure};

async fn key(cx: &Context) -> Result<String, Failure> {
    let answer: Value = cx.client.get("/swarm/unlockkey").read().await?;
    let key = answer["UnlockKey"].as_str().unwrap_or_default().to_owned();
    if key.is_empty() {
        return Err(Failure::new("no unlock key is set"));
    }
    Ok(key)
}

/// Tells the key to those who have to keep it.
pub async fn tell(cx: &Context) -> Result<(), Failure> {
    let key = key(cx).await?;
    cx.printer.line(format!(
        "To unlock a swarm manager after it restarts, run the `hoist swarm unlock`\ncommand and provide the following key:\n\n    {key}\n\nPlease remember to store this key in a password manager, since without it you\nwill not be able to restart the manager."
    ))
}

/// Shows the unlock key, or changes it.
pub async fn show(cx: &Context, args: UnlockKeyArgs) -> Outcome {
    if args.rotate {
        let swarm = inspect(cx).await?;
        if swarm["Spec"]["EncryptionConfig"]["AutoLockManagers"] != true {
            return Err(Failure::new("cannot rotate because autolock is not turned on"));
        }
        put(cx, &swarm, &["rotateManagerUnlockKey"]).await?;
        if !args.quiet {
            cx.printer.line("Successfully rotated manager unlock key.\n")?;
        }
    }
    if args.quiet {
        cx.printer.line(key(cx).await?)?;
    } else {
        tell(cx).await?;
    }
    Ok(Exit::OK)
}

/// Unlocks a manager that has started.
pub async fn run(cx: &Context) -> Outcome {
    if io::stdin().is_terminal() {
        cx.printer.raw_err(b"Enter unlock key: ")?;
    }
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    cx.client.post("/swarm/unlock").json(&json!({ "UnlockKey": line.trim() }))?.done().await?;
    Ok(Exit::OK)
}
