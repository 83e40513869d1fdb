//! `hoist stack deploy`

use std::collections::BTreeMap;

use hoist_proto::spec::{PlanAction, ProjectEvent, UpOptions, UpRequest};

use super::{project_args, services_of};
use crate::cli::{
    Context, Exit, Outcome,
    args::stack::{DeployArgs, Resolve},
    client::path_segment,
    commands::{compose, service::image},
    failure::Failure,
};

/// Deploys a stack, or changes one.
pub async fn run(cx: &Context, args: DeployArgs) -> Outcome {
    let project_args = project_args(&args.compose_files, Some(&args.stack), args.quiet);
    let mut project = compose::load(cx, &project_args)?;
    if args.resolve_image != Resolve::Never {
        let before: BTreeMap<String, String> = services_of(cx, &args.stack)
            .await?
            .into_iter()
            .map(|service| {
                let image = service.spec.task_template.container_spec.map(|container| container.image);
                (service.spec.name, image.unwrap_or_default())
            })
            .collect();
        for (name, service) in &mut project.services {
            // What is built here is in no registry.
            let Some(named) = service.image.as_mut().filter(|_| service.build.is_none()) else { continue };
            let known = before.get(&format!("{}_{name}", args.stack));
            let same = known.is_some_and(|known| known.split('@').next() == Some(named.as_str()));
            match known.filter(|_| args.resolve_image == Resolve::Changed && same) {
                Some(known) => named.clone_from(known),
                None => *named = image::pinned(cx, named).await,
            }
        }
    }
    let options =
        UpOptions { remove_orphans: args.prune, with_registry_auth: args.with_registry_auth, ..UpOptions::default() };
    if args.detach {
        return detached(cx, &project, options, args.quiet).await;
    }
    compose::apply(cx, &project_args, "deploy", &project, options).await?;
    Ok(Exit::OK)
}

/// Says what is being done, and leaves it to the cluster.
async fn detached(cx: &Context, project: &hoist_compose::model::Project, options: UpOptions, quiet: bool) -> Outcome {
    let credentials = compose::credentials_of(cx, project)?;
    let request = UpRequest { project: serde_json::to_value(project)?, options, credentials, ..UpRequest::default() };
    let path = format!("/hoist/v1/projects/{}/up", path_segment(&project.name));
    let mut lines = cx.client.post(path).json(&request)?.lines().await?;
    while let Some(event) = lines.next::<ProjectEvent>().await? {
        match event {
            ProjectEvent::Warning { message } => cx.printer.warn(message),
            ProjectEvent::Error { message, exit_code } => {
                return Err(Failure::new(message).code(u8::try_from(exit_code).unwrap_or(1)));
            }
            ProjectEvent::Plan { steps } => {
                if quiet {
                    return Ok(Exit::OK);
                }
                let mut services: BTreeMap<String, PlanAction> = BTreeMap::new();
                for step in steps {
                    match (step.service, step.action) {
                        (_, PlanAction::Keep) => {}
                        (Some(service), action) => {
                            services.entry(service).or_insert(action);
                        }
                        (None, action) => {
                            cx.printer.line(format!("{} {} {}", verb(action), step.resource, step.name))?
                        }
                    }
                }
                for (service, action) in services {
                    cx.printer.line(format!("{} service {}_{service}", verb(action), project.name))?;
                }
                return Ok(Exit::OK);
            }
            ProjectEvent::Done => return Ok(Exit::OK),
            _ => {}
        }
    }
    Ok(Exit::OK)
}

fn verb(action: PlanAction) -> &'static str {
    match action {
        PlanAction::Create => "Creating",
        PlanAction::Remove => "Removing",
        _ => "Updating",
    }
}
