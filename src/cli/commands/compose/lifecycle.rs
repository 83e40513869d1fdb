//! `down`, `stop`, `start`, `rm` through the control plane; `restart`, `kill`, `pause`, `unpause` on the containers.

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use hoist_compose::model::Project;
use hoist_proto::spec::{DownOptions, ImageRemoval, RmOptions, StartOptions, StopOptions};
use serde::Serialize;

use super::{
    args::{KillArgs, ProjectArgs, RestartArgs, RmArgs, ServicesArgs, StartArgs, StopArgs},
    args_up::{DownArgs, RmiChoice},
    containers::{self, Container, Which},
    follow,
    project::{self, Known},
};
use crate::cli::{
    Context, Exit, Outcome,
    client::path_segment,
    failure::Failure,
    progress::{Board, Step},
};

/// `hoist down`.
pub async fn down(context: &Context, args: &ProjectArgs, down: &DownArgs) -> Outcome {
    let known = project::known(context, args)?;
    known.check_services(context, &down.services).await?;
    let options = DownOptions {
        services: down.services.clone(),
        volumes: down.volumes,
        remove_orphans: down.remove_orphans,
        known: known.project.as_ref().map(all_services),
        images: down.rmi.map(|which| match which {
            RmiChoice::All => ImageRemoval::All,
            RmiChoice::Local => ImageRemoval::Local,
        }),
        timeout: down.timeout.map(Duration::from_secs),
    };
    if args.dry_run {
        return say_dry(context, &known, &down.services, "stop and remove").await;
    }
    change(context, args, &known.name, "down", &options).await
}

/// `hoist compose stop`.
pub async fn stop(context: &Context, args: &ProjectArgs, stop: &StopArgs) -> Outcome {
    let known = project::known(context, args)?;
    known.check_services(context, &stop.services).await?;
    if args.dry_run {
        return say_dry(context, &known, &stop.services, "stop").await;
    }
    let options = StopOptions { services: stop.services.clone(), timeout: stop.timeout.map(Duration::from_secs) };
    change(context, args, &known.name, "stop", &options).await
}

/// `hoist compose start`.
pub async fn start(context: &Context, args: &ProjectArgs, start: &StartArgs) -> Outcome {
    let known = project::known(context, args)?;
    known.check_services(context, &start.services).await?;
    if args.dry_run {
        return say_dry(context, &known, &start.services, "start").await;
    }
    let options = StartOptions {
        services: start.services.clone(),
        wait: start.wait,
        wait_timeout: start.wait_timeout.map(Duration::from_secs),
    };
    change(context, args, &known.name, "start", &options).await
}

/// `hoist compose rm`.
pub async fn rm(context: &Context, args: &ProjectArgs, rm: &RmArgs) -> Outcome {
    let known = project::known(context, args)?;
    known.check_services(context, &rm.services).await?;
    let which = if rm.services.is_empty() { Which::WithOneOff } else { Which::All };
    let mut found = containers::list(context, &known.name, &rm.services, which).await?;
    found.retain(|container| rm.stop || !container.is_running());
    if found.is_empty() {
        context.printer.say("No stopped containers");
        return Ok(Exit::OK);
    }
    let names: Vec<&str> = found.iter().map(Container::name).collect();
    if args.dry_run {
        return say_dry(context, &known, &rm.services, "remove").await;
    }
    if !rm.force && !confirm(context, &format!("Going to remove {}", names.join(", ")))? {
        return Ok(Exit::FAILED);
    }
    let options = RmOptions { services: rm.services.clone(), stop: rm.stop, volumes: rm.volumes, timeout: None };
    change(context, args, &known.name, "rm", &options).await
}

/// `hoist compose restart`: the containers stay, so this is between the engine and them.
pub async fn restart(context: &Context, args: &ProjectArgs, restart: &RestartArgs) -> Outcome {
    let known = project::known(context, args)?;
    known.check_services(context, &restart.services).await?;
    let mut services = restart.services.clone();
    if let Some(project) = known.project.as_ref().filter(|_| !services.is_empty() && !restart.no_deps) {
        add_dependents(project, &mut services);
    }
    let found = containers::list(context, &known.name, &services, Which::All).await?;
    if args.dry_run {
        return say_dry(context, &known, &services, "restart").await;
    }
    let timeout = restart.timeout.map(|seconds| seconds.to_string());
    each(context, args, "restart", &found, ("Restarting", "Started"), |container| {
        context
            .client
            .post(format!("/containers/{}/restart", path_segment(&container.id)))
            .query_opt("t", timeout.as_deref())
    })
    .await
}

/// Adds the services that depend on these with `restart: true`.
fn add_dependents(project: &Project, services: &mut Vec<String>) {
    let mut next = 0;
    while next < services.len() {
        for (name, service) in &project.services {
            let restarts = service.depends_on.get(&services[next]).is_some_and(|how| how.restart);
            if restarts && !services.contains(name) {
                services.push(name.clone());
            }
        }
        next += 1;
    }
}

/// `hoist compose kill`.
pub async fn kill(context: &Context, args: &ProjectArgs, kill: &KillArgs) -> Outcome {
    let known = project::known(context, args)?;
    known.check_services(context, &kill.services).await?;
    if args.dry_run {
        return say_dry(context, &known, &kill.services, "kill").await;
    }
    let found = containers::list(context, &known.name, &kill.services, Which::Running).await?;
    each(context, args, "kill", &found, ("Killing", "Killed"), |container| {
        context.client.post(format!("/containers/{}/kill", path_segment(&container.id))).query("signal", &kill.signal)
    })
    .await?;
    if kill.remove_orphans {
        let options = DownOptions {
            services: orphans(context, &known).await?,
            remove_orphans: true,
            known: known.project.as_ref().map(all_services),
            ..DownOptions::default()
        };
        if !options.services.is_empty() {
            return change(context, args, &known.name, "down", &options).await;
        }
    }
    Ok(Exit::OK)
}

/// Sends a signal to every running container, and says nothing of those that end meanwhile.
pub async fn signal_all(context: &Context, project: &str, services: &[String], signal: &str) -> Result<(), Failure> {
    for container in containers::list(context, project, services, Which::Running).await? {
        let path = format!("/containers/{}/kill", path_segment(&container.id));
        match context.client.post(path).query("signal", signal).done().await {
            Err(error) if matches!(error.status(), Some(404 | 409)) => {}
            other => other?,
        }
    }
    Ok(())
}

/// `hoist compose pause`.
pub async fn pause(context: &Context, args: &ProjectArgs, flags: &ServicesArgs) -> Outcome {
    engine_verb(context, args, flags, "pause", ("Pausing", "Paused"), "running").await
}

/// `hoist compose unpause`.
pub async fn unpause(context: &Context, args: &ProjectArgs, flags: &ServicesArgs) -> Outcome {
    engine_verb(context, args, flags, "unpause", ("Resuming", "Running"), "paused").await
}

async fn engine_verb(
    context: &Context,
    args: &ProjectArgs,
    flags: &ServicesArgs,
    verb: &'static str,
    words: (&str, &str),
    state: &str,
) -> Outcome {
    let known = project::known(context, args)?;
    known.check_services(context, &flags.services).await?;
    if args.dry_run {
        return say_dry(context, &known, &flags.services, verb).await;
    }
    let mut found = containers::list(context, &known.name, &flags.services, Which::Running).await?;
    found.retain(|container| container.state == state);
    each(context, args, verb, &found, words, |container| {
        context.client.post(format!("/containers/{}/{verb}", path_segment(&container.id)))
    })
    .await
}

/// Sends a request for each container and shows how each goes; the first failure is the outcome, after all were tried.
async fn each<'a>(
    context: &Context,
    args: &ProjectArgs,
    title: &'static str,
    found: &[Container],
    (working, done): (&str, &str),
    request: impl Fn(&Container) -> crate::cli::client::Request<'a>,
) -> Outcome {
    let mut board = Board::new(context.printer, args.progress.unwrap_or_default(), title);
    let mut pending = futures_util::stream::FuturesUnordered::new();
    for container in found {
        let thing = format!("Container {}", container.name());
        board.set(&thing, &thing, working, Step::Working, None);
        let request = request(container);
        pending.push(async move { (thing, request.done().await) });
    }
    let mut failure = None;
    let mut ticks = tokio::time::interval(follow::TICK);
    loop {
        tokio::select! {
            next = futures_util::StreamExt::next(&mut pending) => match next {
                Some((thing, Ok(()))) => board.set(&thing, &thing, done, Step::Done, None),
                Some((thing, Err(error))) => {
                    board.set(&thing, &thing, &format!("Error  {error}"), Step::Failed, None);
                    failure.get_or_insert(Failure::from(error));
                }
                None => break,
            },
            _ = ticks.tick() => board.tick(),
        }
    }
    board.finish();
    failure.map_or(Ok(Exit::OK), Err)
}

pub async fn change(
    context: &Context,
    args: &ProjectArgs,
    project: &str,
    verb: &'static str,
    options: &impl Serialize,
) -> Outcome {
    let path = format!("/hoist/v1/projects/{}/{verb}", path_segment(project));
    follow::follow(context, args, verb, context.client.post(path).json(options)?).await?;
    Ok(Exit::OK)
}

fn all_services(project: &Project) -> Vec<String> {
    project.services.keys().chain(project.disabled_services.keys()).cloned().collect()
}

async fn orphans(context: &Context, known: &Known) -> Result<Vec<String>, Failure> {
    let Some(project) = &known.project else { return Ok(Vec::new()) };
    let named = all_services(project);
    let mut orphans: Vec<String> = containers::list(context, &known.name, &[], Which::All)
        .await?
        .iter()
        .map(|container| container.service().to_owned())
        .filter(|service| !named.contains(service))
        .collect();
    orphans.dedup();
    Ok(orphans)
}

/// Names what would be done to which container.
async fn say_dry(context: &Context, known: &Known, services: &[String], verb: &str) -> Outcome {
    for container in containers::list(context, &known.name, services, Which::All).await? {
        context.printer.line(format!("{verb} container {} ({})", container.name(), container.state))?;
    }
    Ok(Exit::OK)
}

/// Asks a person; without one the answer is no.
fn confirm(context: &Context, question: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::new(format!("{question}: nobody to ask")).hint("add --force"));
    }
    context.printer.say(format!("{question}\nAre you sure? [yN]"));
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}
