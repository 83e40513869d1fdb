//! `hoist service create`

use super::{converge, files, image};
use crate::{
    api::dto::service as dto,
    cli::{
        Context, Exit, Outcome,
        args::service::CreateArgs,
        credentials,
        spec::{self, Surroundings},
    },
};

/// Creates a service, prints its id, and waits until it is as asked for.
pub async fn run(cx: &Context, args: CreateArgs) -> Outcome {
    let files = files(cx, !args.secret.is_empty(), !args.config.is_empty()).await?;
    let mut spec = spec::service::create(&args, &files, &Surroundings::real())?;
    let auth = match args.shared.with_registry_auth {
        true => credentials::header_for(&cx.config_dir, &args.image)?,
        false => None,
    };
    if !args.shared.no_resolve_image {
        image::resolve(cx, &mut spec).await;
    }
    let created: dto::Created =
        cx.client.post("/services/create").header_opt("x-registry-auth", auth).json(&spec)?.read().await?;
    for warning in created.warnings.iter().flatten() {
        cx.printer.warn(warning);
    }
    cx.printer.line(&created.id)?;
    if args.shared.detach {
        return Ok(Exit::OK);
    }
    converge::wait(cx, &created.id, args.shared.quiet).await
}
