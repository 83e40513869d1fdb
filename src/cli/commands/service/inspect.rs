//! `hoist service inspect`

use super::{hint, path, pretty};
use crate::{
    api::dto::service as dto,
    cli::{
        Context, Exit, Outcome,
        args::service::InspectArgs,
        commands::each::{gather, inspected},
        failure::Failure,
    },
};

/// Shows all that is known of services.
pub async fn run(cx: &Context, args: InspectArgs) -> Outcome {
    if args.pretty && args.format.as_deref().is_some_and(|format| !format.is_empty()) {
        return Err(Failure::new("--format is incompatible with human friendly format"));
    }
    let (found, failures) = gather(cx, &args.services, |name| async move {
        match cx.client.get(path(name)).query("insertDefaults", "true").read().await {
            Ok(value) => Ok(value),
            Err(err) => Err(hint(cx, err.into(), name).await),
        }
    })
    .await;
    if !args.pretty {
        return inspected(cx, args.format.as_deref(), found, &failures);
    }
    for value in found {
        cx.printer.text(pretty::pretty(&serde_json::from_value::<dto::Service>(value)?))?;
    }
    for failure in &failures {
        cx.printer.failure(failure);
    }
    Ok(if failures.is_empty() { Exit::OK } else { Exit::FAILED })
}
