//! `hoist build`: what is needed is sent, the build is shown, its results are fetched.

mod bake;
mod builders;
mod context;
mod destination;
mod imagetools;
mod options;
mod output;
mod screen;
mod several;
mod storage;
mod view;

use std::{collections::BTreeMap, path::PathBuf};

use hoist_build::BuildResult;

use options::Call;

pub use bake::run as bake;
pub use builders::{choose, inspect, ls, refused, version};
pub use context::Source;
pub use destination::Destination;
pub use imagetools::run as imagetools;
pub use options::{agent, attestations, cache};
pub use several::{Part, several};
pub use storage::{du, prune};
pub use view::View;

use super::super::{
    Context, Exit, Outcome,
    args::build::{BuildArgs, Progress},
    client::Host,
    credentials,
    failure::Failure,
};
use crate::api::dto::build::{BuildLine, BuildOrder};

/// One build as the command line and Compose ask for it.
pub struct Job {
    pub source: Source,
    /// The Dockerfile: a path, `-`, or the context's own.
    pub file: Option<String>,
    /// The Dockerfile's text, instead of a file.
    pub inline: Option<String>,
    /// Name and place of further contexts.
    pub contexts: Vec<(String, String)>,
    pub destinations: Vec<Destination>,
    /// What the daemon is asked; contexts, Dockerfile, outputs and credentials are filled in.
    pub order: BuildOrder,
}

/// `hoist build`
pub async fn run(cx: &Context, args: BuildArgs) -> Outcome {
    let progress = if args.quiet { Progress::Quiet } else { args.progress };
    let (call, json) = options::call(&args)?;
    let (quiet, check) = (args.quiet, call == Call::Check);
    let (iidfile, metadata_file): (Option<PathBuf>, Option<PathBuf>) =
        (args.iidfile.clone(), args.metadata_file.clone());
    let mut job = options::job(args)?;
    (job.order.check, job.order.call) = (check, if let Call::Ask(question) = call { Some(question) } else { None });
    let mut view = View::new(cx.printer, progress);
    let Some(result) = carry_out(cx, job, &mut view).await? else {
        if let Some(description) = view.called() {
            match json {
                true => cx.printer.line(&description.json)?,
                false => cx.printer.text(&description.text)?,
            }
            return Ok(if description.found { Exit::FAILED } else { Exit::OK });
        }
        return Ok(if check && view.found_something() { Exit::FAILED } else { Exit::OK });
    };
    if let Some(path) = iidfile {
        fs_err::write(path, result.image.as_deref().unwrap_or_default())?;
    }
    if let Some(path) = metadata_file {
        fs_err::write(path, serde_json::to_string_pretty(&result.metadata)?)?;
    }
    if let (true, Some(image)) = (quiet, &result.image) {
        cx.printer.line(image)?;
    }
    Ok(Exit::OK)
}

/// Sends what is needed, builds, and fetches the results. `None` when only the checks were asked for.
pub async fn carry_out(cx: &Context, job: Job, view: &mut View) -> Result<Option<BuildResult>, Failure> {
    let ready = prepare(cx, job, view).await?;
    perform(cx, ready, view).await
}

/// A build whose contexts are with the daemon.
struct Ready {
    order: BuildOrder,
    destinations: Vec<Destination>,
    /// Where local caches go.
    caches: Vec<PathBuf>,
    sent: Vec<String>,
}

/// Sends what the daemon needs.
async fn prepare(cx: &Context, job: Job, view: &mut View) -> Result<Ready, Failure> {
    let Job { source, file, inline, contexts, destinations, mut order } = job;
    if !order.ssh.is_empty() && !matches!(cx.client.host(), Host::Unix(_)) {
        return Err(Failure::usage(
            "--ssh needs the daemon on this machine: an agent's socket is not forwarded over a network",
        ));
    }
    let mut sent = Vec::new();
    let sending = async {
        context::send_all(cx, source, file, inline, contexts, &mut order, &mut sent, view).await?;
        context::send_caches(cx, &mut order, &mut sent, view).await?;
        let caches = output::caches(&order.cache_to)?;
        order.outputs = destinations.iter().map(|destination| destination.order.clone()).collect();
        order.auth = auth(cx, &order)?;
        Ok(caches)
    };
    match sending.await {
        Ok(caches) => Ok(Ready { order, destinations, caches, sent }),
        Err(failure) => {
            forget(cx, sent).await;
            Err(failure)
        }
    }
}

async fn forget(cx: &Context, sent: Vec<String>) {
    for id in sent {
        // It would be dropped after a while anyway.
        let _ = cx.client.delete(format!("/hoist/v1/build/contexts/{id}")).done().await;
    }
}

/// Builds, and fetches the results.
async fn perform(cx: &Context, ready: Ready, view: &mut View) -> Result<Option<BuildResult>, Failure> {
    let Ready { order, destinations, caches, sent } = ready;
    let outcome = async {
        view.dockerfile(&order.dockerfile_name, &order.dockerfile);
        let (check, asked) = (order.check, order.call.is_some());
        let mut lines = cx.client.post("/hoist/v1/build").json(&order)?.lines().await?;
        let mut results = None;
        let mut built = None;
        let mut ticks = tokio::time::interval(std::time::Duration::from_millis(100));
        loop {
            let line = tokio::select! {
                line = lines.next::<BuildLine>() => line?,
                _ = ticks.tick() => {
                    view.tick();
                    continue;
                }
            };
            match line {
                None => break,
                Some(BuildLine::Id(id)) => results = Some(id),
                Some(BuildLine::Event(event)) => view.event(event),
                Some(BuildLine::Checks { warnings, .. }) => view.checks(warnings),
                Some(BuildLine::Called(description)) => view.answered(description),
                Some(BuildLine::Error(failure)) => return Err(view.failed(failure)),
                Some(BuildLine::Result(result)) => built = Some(*result),
            }
        }
        if !asked {
            view.finish(check);
        }
        let Some(result) = built else {
            return match check || asked {
                true => Ok(None),
                false => Err(Failure::new("the daemon ended the build without a result")),
            };
        };
        if let Some(id) = results {
            let fetched = async {
                output::fetch_all(cx, &id, &destinations).await?;
                output::fetch_caches(cx, &id, destinations.len(), &caches).await
            };
            let fetched = fetched.await;
            let dropped = cx.client.delete(format!("/hoist/v1/build/{id}")).done().await;
            fetched?;
            dropped?;
        }
        Ok(Some(result))
    }
    .await;
    forget(cx, sent).await;
    outcome
}

/// Credentials of the registries that the build may meet.
fn auth(cx: &Context, order: &BuildOrder) -> Result<BTreeMap<String, String>, Failure> {
    use hoist_build::dockerfile::{Kind, parse};
    let mut images: Vec<String> = order.names().cloned().collect();
    if let Ok(file) = parse(&order.dockerfile_name, order.dockerfile.as_bytes()) {
        images.extend(file.instructions.into_iter().filter_map(|instruction| match instruction.kind {
            Kind::From(from) if !from.image.text.contains('$') => Some(from.image.text),
            Kind::Copy(copy) => copy.from.map(|from| from.text),
            _ => None,
        }));
    }
    let config = credentials::Config::load(&cx.config_dir)?;
    let mut registries: Vec<String> = images.iter().map(|image| credentials::registry_of(image).to_owned()).collect();
    registries.extend(config.auths.keys().cloned());
    registries.sort();
    registries.dedup();
    let mut found = BTreeMap::new();
    for registry in registries {
        // A helper that is missing matters to those registries alone that need it: they will say so.
        if let Ok(Some(credentials)) = config.credentials(&registry) {
            let host = registry.trim_start_matches("https://").trim_start_matches("http://");
            let host = host.split('/').next().unwrap_or_default();
            let host = if host == "index.docker.io" { "docker.io" } else { host };
            found.insert(host.to_owned(), credentials.header());
        }
    }
    Ok(found)
}
