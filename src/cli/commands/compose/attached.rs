//! A project in the foreground: its output, its containers' ends, and Ctrl-C.

use std::collections::BTreeMap;

use hoist_compose::model::Project;
use hoist_proto::spec::StopOptions;
use jiff::Timestamp;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
};

use super::{
    args::ProjectArgs,
    containers::{self, Container, Which},
    events::{self, EngineEvent},
    follow, lifecycle,
    log_view::{LogView, Style},
    output::{self, Said, Span},
};
use crate::cli::{Context, Exit, Outcome, client::path_segment, failure::Failure};

/// How a project is shown in the foreground.
#[derive(Debug)]
pub struct Attached {
    /// The services whose output is shown.
    pub services: Vec<String>,
    /// Output from before is not shown.
    pub began: Timestamp,
    pub abort_on_exit: bool,
    pub abort_on_failure: bool,
    pub exit_code_from: Option<String>,
    pub timeout: Option<u64>,
    pub timestamps: bool,
    pub prefix: bool,
    pub colour: bool,
}

/// What made the project stop.
enum Cause {
    /// Nothing yet.
    None,
    Interrupt,
    /// A container's end, with its code.
    Exit(i64),
}

/// Shows the project until all its containers have ended, or until it is told to stop, and then stops it.
pub async fn run(context: &Context, args: &ProjectArgs, project: &Project, how: Attached) -> Outcome {
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut terminations = signal(SignalKind::terminate())?;
    let since = events::stamp(how.began);
    let mut events = events::subscribe(context, &project.name, Some(since.clone()), None).await?;
    let present = containers::list(context, &project.name, &[], Which::All).await?;
    let in_project = |service: &str| project.services.contains_key(service);
    let mut view = LogView::new(context.printer, Style { prefix: how.prefix, colour: how.colour });
    let (to, mut from) = mpsc::channel(256);
    let span = Span { follow: true, timestamps: how.timestamps, since: Some(since), ..Span::default() };
    let mut alive: BTreeMap<String, Container> = BTreeMap::new();
    let mut readers = 0_usize;
    for container in present.into_iter().filter(|container| in_project(container.service())) {
        if how.services.iter().any(|service| service == container.service()) {
            view.source(&container.log_name(&project.name));
            output::read(&context.client, &container, &project.name, span.clone(), to.clone());
            readers += 1;
        }
        if container.is_running() {
            alive.insert(container.id.clone(), container);
        } else if let Some(code) = container.exit_code() {
            report_end(context, &container.log_name(&project.name), code);
        }
    }
    let mut cause = Cause::None;
    let mut code_of: BTreeMap<String, i64> = BTreeMap::new();
    // Ends when nothing runs and nothing is left to be shown.
    while !alive.is_empty() || readers > 0 {
        tokio::select! {
            said = from.recv() => match said {
                Some(Said::End { .. }) => readers -= 1,
                Some(said) => output::show(&mut view, &said)?,
                None => break,
            },
            event = events.next::<EngineEvent>() => {
                let Some(event) = event? else { return Err(Failure::new("the daemon ended the stream of events")) };
                if !in_project(event.service()) || event.time() < how.began {
                    continue;
                }
                let container = event.container();
                match event.action.as_str() {
                    // Those of `present` are read already; a start that is new gets a reader of its own.
                    "start" if !alive.contains_key(&container.id) => {
                        if how.services.iter().any(|service| service == event.service()) {
                            let again = Span { since: Some(event.moment()), ..span.clone() };
                            output::read(&context.client, &container, &project.name, again, to.clone());
                            readers += 1;
                        }
                        alive.insert(container.id.clone(), container);
                    }
                    "die" => {
                        let code = event.exit_code().unwrap_or(0);
                        let known = alive.remove(&container.id).is_some();
                        code_of.insert(event.service().to_owned(), code);
                        if known {
                            report_end(context, &container.log_name(&project.name), code);
                        }
                        let aborts = match &how.exit_code_from {
                            Some(service) => service == event.service() || how.abort_on_exit,
                            None => how.abort_on_exit || (how.abort_on_failure && code != 0),
                        };
                        let as_meant = code == 0 && event.is_preparation();
                        if aborts && !as_meant && matches!(cause, Cause::None) {
                            cause = Cause::Exit(code);
                            break;
                        }
                    }
                    _ => {}
                }
            }
            _ = next(&mut interrupts, &mut terminations) => {
                cause = Cause::Interrupt;
                break;
            }
        }
    }
    match cause {
        Cause::None => Ok(Exit::OK),
        Cause::Interrupt => {
            context.printer.say("\nStopping; press Ctrl+C again to kill");
            stop(context, args, project, &how, &mut view, &mut from, (&mut interrupts, &mut terminations)).await?;
            Ok(Exit::OK)
        }
        Cause::Exit(code) => {
            context.printer.say("Aborting, as a container has stopped");
            stop(context, args, project, &how, &mut view, &mut from, (&mut interrupts, &mut terminations)).await?;
            match &how.exit_code_from {
                Some(service) => Ok(Exit::container(exit_code(context, project, service, &code_of).await?)),
                None => Ok(Exit::container(code)),
            }
        }
    }
}

async fn next(interrupts: &mut Signal, terminations: &mut Signal) {
    tokio::select! {
        _ = interrupts.recv() => {}
        _ = terminations.recv() => {}
    }
}

fn report_end(context: &Context, name: &str, code: i64) {
    context.printer.say(format!("{name} exited with code {code}"));
}

/// Stops the project while what it still says is shown; a second signal kills.
async fn stop(
    context: &Context,
    args: &ProjectArgs,
    project: &Project,
    how: &Attached,
    view: &mut LogView,
    from: &mut mpsc::Receiver<Said>,
    (interrupts, terminations): (&mut Signal, &mut Signal),
) -> Result<(), Failure> {
    let options = StopOptions {
        services: project.services.keys().cloned().collect(),
        timeout: how.timeout.map(std::time::Duration::from_secs),
    };
    let path = format!("/hoist/v1/projects/{}/stop", path_segment(&project.name));
    let stopping = follow::follow(context, args, "stop", context.client.post(path).json(&options)?);
    tokio::pin!(stopping);
    loop {
        tokio::select! {
            ended = &mut stopping => {
                ended?;
                break;
            }
            Some(said) = from.recv() => output::show(view, &said)?,
            () = next(interrupts, terminations) => {
                context.printer.say("Killing");
                lifecycle::signal_all(context, &project.name, &[], "SIGKILL").await?;
            }
        }
    }
    // What was written before the end and has not been shown yet.
    while let Ok(said) = from.try_recv() {
        output::show(view, &said)?;
    }
    Ok(())
}

/// The code with which a service's container ended, now that all have.
async fn exit_code(
    context: &Context,
    project: &Project,
    service: &str,
    seen: &BTreeMap<String, i64>,
) -> Result<i64, Failure> {
    if let Some(code) = seen.get(service) {
        return Ok(*code);
    }
    let services = [service.to_owned()];
    let found = containers::list(context, &project.name, &services, Which::All).await?;
    found
        .first()
        .and_then(Container::exit_code)
        .ok_or_else(|| Failure::new(format!("service {service:?} has no container that ended")))
}
