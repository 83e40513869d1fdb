//! `hoist swarm update`

use super::{inspect, put, set};
use crate::cli::{Context, Exit, Outcome, args::swarm::UpdateArgs, failure::Failure};

/// Changes what is set on the cluster.
pub async fn run(cx: &Context, args: UpdateArgs) -> Outcome {
    let mut swarm = inspect(cx).await?;
    let locked = swarm["Spec"]["EncryptionConfig"]["AutoLockManagers"] == true;
    if !set(&mut swarm["Spec"], &args.settings)? {
        return Err(Failure::new("nothing to change was given").hint("see hoist swarm update --help"));
    }
    put(cx, &swarm, &[]).await?;
    cx.printer.line("Swarm updated.")?;
    if args.settings.autolock == Some(true) && !locked {
        super::unlock::tell(cx).await?;
    }
    Ok(Exit::OK)
}
