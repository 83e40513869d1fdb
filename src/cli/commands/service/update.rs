//! `hoist service update`

use super::{converge, files, get, image, post};
use crate::cli::{
    Context, Exit, Outcome,
    args::service::UpdateArgs,
    credentials,
    spec::{self, Surroundings},
};

/// Changes a service, and waits until it is as asked for.
pub async fn run(cx: &Context, args: UpdateArgs) -> Outcome {
    let service = get(cx, &args.service).await?;
    let mut changed = service.spec.clone();
    if args.rollback {
        post(cx, &service, &changed, true, None).await?;
    } else {
        let files = files(cx, !args.secret_add.is_empty(), !args.config_add.is_empty()).await?;
        spec::service::update(&mut changed, &args, &files, &Surroundings::real())?;
        let image = changed.task_template.container_spec.as_ref().map(|spec| spec.image.clone()).unwrap_or_default();
        let auth = match args.shared.with_registry_auth {
            true => credentials::header_for(&cx.config_dir, &image)?,
            false => None,
        };
        if args.image.is_some() && !args.shared.no_resolve_image {
            image::resolve(cx, &mut changed).await;
        }
        post(cx, &service, &changed, false, auth).await?;
    }
    cx.printer.line(&args.service)?;
    if args.shared.detach {
        return Ok(Exit::OK);
    }
    converge::wait(cx, &service.id, args.shared.quiet).await
}
