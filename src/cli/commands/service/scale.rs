//! `hoist service scale`

use super::{converge, get, post};
use crate::cli::{Context, Exit, Outcome, args::service::ScaleArgs, failure::Failure};

/// Changes how many tasks services have.
pub async fn run(cx: &Context, args: ScaleArgs) -> Outcome {
    let mut wanted = Vec::new();
    for text in &args.services {
        let pair = text.split_once('=').and_then(|(name, count)| Some((name, count.parse::<u64>().ok()?)));
        wanted.push(pair.ok_or_else(|| Failure::new(format!("invalid scale {text:?}: expected SERVICE=REPLICAS")))?);
    }
    let mut exit = Exit::OK;
    let mut scaled = Vec::new();
    for (name, count) in wanted {
        match scale(cx, name, count).await {
            Ok(id) => {
                cx.printer.line(format!("{name} scaled to {count}"))?;
                scaled.push(id);
            }
            Err(failure) => {
                cx.printer.failure(&failure);
                exit = Exit::FAILED;
            }
        }
    }
    if !args.detach {
        for id in scaled {
            if converge::wait(cx, &id, false).await? != Exit::OK {
                exit = Exit::FAILED;
            }
        }
    }
    Ok(exit)
}

async fn scale(cx: &Context, name: &str, count: u64) -> Result<String, Failure> {
    let service = get(cx, name).await?;
    let mut spec = service.spec.clone();
    match (&mut spec.mode.replicated, &mut spec.mode.replicated_job) {
        (Some(replicated), _) => replicated.replicas = Some(count),
        (_, Some(job)) => job.total_completions = Some(count),
        _ => {
            return Err(Failure::new(format!("{name}: scale can only be used with replicated or replicated-job mode")));
        }
    }
    post(cx, &service, &spec, false, None).await?;
    Ok(service.id)
}
