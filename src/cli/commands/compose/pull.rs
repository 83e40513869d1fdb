//! `hoist compose pull` and `push`.

use std::collections::BTreeSet;

use hoist_compose::model::{Dependents, Project};
use serde::Deserialize;

use super::{
    args::{ProjectArgs, PullArgs, PullPolicyChoice, PushArgs},
    follow, project,
};
use crate::cli::{
    Context, Exit, Outcome,
    client::path_segment,
    commands::image::name,
    credentials,
    failure::Failure,
    progress::{Board, Mode, Step},
};

/// `hoist compose pull`.
pub async fn pull(context: &Context, args: &ProjectArgs, pull: &PullArgs) -> Outcome {
    let project = chosen(context, args, &pull.services, pull.include_deps)?;
    let mut images = BTreeSet::new();
    for service in project.services.values() {
        let buildable = service.build.is_some();
        let never = matches!(service.pull_policy.as_deref(), Some("never" | "build"));
        if never || (buildable && (pull.ignore_buildable || service.image.is_none())) {
            continue;
        }
        images.insert(project.image_of(service));
    }
    if pull.policy == Some(PullPolicyChoice::Missing) {
        let mut missing = BTreeSet::new();
        for image in images {
            match context.client.get(format!("/images/{}/json", path_segment(&image))).done().await {
                Ok(()) => {}
                Err(error) if error.status() == Some(404) => {
                    missing.insert(image);
                }
                Err(error) => return Err(error.into()),
            }
        }
        images = missing;
    }
    if args.dry_run {
        for image in images {
            context.printer.line(format!("pull image {image}"))?;
        }
        return Ok(Exit::OK);
    }
    transfer(context, args, Way::Pull, pull.quiet, images, pull.ignore_pull_failures).await
}

/// `hoist compose push`.
pub async fn push(context: &Context, args: &ProjectArgs, push: &PushArgs) -> Outcome {
    let project = chosen(context, args, &push.services, push.include_deps)?;
    let images: BTreeSet<String> = project
        .services
        .values()
        .filter(|service| service.build.is_some())
        .map(|service| project.image_of(service))
        .collect();
    if args.dry_run {
        for image in images {
            context.printer.line(format!("push image {image}"))?;
        }
        return Ok(Exit::OK);
    }
    transfer(context, args, Way::Push, push.quiet, images, push.ignore_push_failures).await
}

fn chosen(context: &Context, args: &ProjectArgs, services: &[String], with_deps: bool) -> Result<Project, Failure> {
    let project = project::load_project(context, args)?;
    super::up::check_names(&project, services)?;
    let dependents = if with_deps { Dependents::WithDependencies } else { Dependents::Alone };
    project.with_services(services, dependents).map_err(|error| Failure::from_error(&error))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Pull,
    Push,
}

/// What became of an image: so much of it has been moved, or the end.
type News = (String, Result<Option<(u64, u64)>, Failure>);

/// A line of the engine's progress.
#[derive(Deserialize)]
struct Progress {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    status: Option<String>,
    #[serde(rename = "progressDetail", default)]
    detail: Option<Detail>,
    #[serde(default)]
    error: Option<String>,
}

#[derive(Default, Deserialize)]
struct Detail {
    #[serde(default)]
    current: u64,
    #[serde(default)]
    total: u64,
}

async fn transfer(
    context: &Context,
    args: &ProjectArgs,
    way: Way,
    quiet: bool,
    images: BTreeSet<String>,
    go_on: bool,
) -> Outcome {
    let mode = if quiet { Mode::Quiet } else { args.progress.unwrap_or_default() };
    let (title, working, done) = match way {
        Way::Pull => ("pull", "Pulling", "Pulled"),
        Way::Push => ("push", "Pushing", "Pushed"),
    };
    let mut board = Board::new(context.printer, mode, title);
    let name = |image: &str| format!("Image {image}");
    let (to, mut from) = tokio::sync::mpsc::channel::<News>(64);
    for image in images {
        board.set(&image, &name(&image), working, Step::Working, None);
        let (context_client, to) = (context.client.clone(), to.clone());
        let credentials = credentials::header_for(&context.config_dir, &image)?;
        tokio::spawn(async move {
            let request = match way {
                Way::Pull => {
                    let (name, tag) = split_or_latest(&image);
                    context_client.post("/images/create").query("fromImage", name).query("tag", tag)
                }
                Way::Push => {
                    let (name, tag) = split_or_latest(&image);
                    context_client.post(format!("/images/{}/push", path_segment(name))).query("tag", tag)
                }
            };
            let outcome = read(request.header_opt("x-registry-auth", credentials), &image, &to).await;
            // The receiver lives until all senders are gone.
            let _ = to.send((image, outcome.map(|()| None))).await;
        });
    }
    drop(to);
    let mut failure: Option<Failure> = None;
    let mut ticks = tokio::time::interval(follow::TICK);
    loop {
        tokio::select! {
            next = from.recv() => match next {
                Some((image, Ok(bar @ Some(_)))) => board.set(&image, &name(&image), working, Step::Working, bar),
                Some((image, Ok(None))) => board.set(&image, &name(&image), done, Step::Done, None),
                Some((image, Err(error))) => {
                    let step = if go_on { Step::Warned } else { Step::Failed };
                    board.set(&image, &name(&image), &format!("Error  {}", error.message), step, None);
                    failure.get_or_insert(Failure { message: format!("{image}: {}", error.message), ..error });
                }
                None => break,
            },
            _ = ticks.tick() => board.tick(),
        }
    }
    board.finish();
    match failure {
        Some(failure) if !go_on => Err(failure),
        _ => Ok(Exit::OK),
    }
}

/// Repository and tag or digest: without a tag, the API would mean all of them.
fn split_or_latest(image: &str) -> (&str, &str) {
    match name::split(image) {
        (repository, "") => (repository, "latest"),
        both => both,
    }
}

async fn read(
    request: crate::cli::client::Request<'_>,
    image: &str,
    to: &tokio::sync::mpsc::Sender<News>,
) -> Result<(), Failure> {
    let mut layers: std::collections::BTreeMap<String, (u64, u64)> = std::collections::BTreeMap::new();
    let mut lines = request.lines().await?;
    while let Some(line) = lines.next::<Progress>().await? {
        if let Some(error) = line.error {
            return Err(Failure::new(error));
        }
        let moving = line.status.as_deref().is_some_and(|status| matches!(status, "Downloading" | "Pushing"));
        if let (Some(id), Some(detail), true) = (line.id, line.detail, moving) {
            layers.insert(id, (detail.current, detail.total));
            let sum = layers.values().fold((0, 0), |sum, part| (sum.0 + part.0, sum.1 + part.1));
            // A receiver that is gone needs no progress.
            let _ = to.send((image.to_owned(), Ok(Some(sum)))).await;
        }
    }
    Ok(())
}
