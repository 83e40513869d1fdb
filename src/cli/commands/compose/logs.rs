//! `hoist compose logs`: what the project's containers wrote, and write.

use tokio::sync::mpsc;

use super::{
    args::{LogsArgs, ProjectArgs},
    containers::{self, Which},
    log_view::{LogView, Style},
    output::{self, Said, Span},
    project,
};
use crate::cli::{Context, Exit, Outcome, format::time};

pub async fn run(context: &Context, args: &ProjectArgs, logs: &LogsArgs) -> Outcome {
    let known = project::known(context, args)?;
    known.check_services(context, &logs.services).await?;
    let span = Span {
        follow: logs.follow,
        timestamps: logs.timestamps,
        since: logs.since.as_deref().map(|text| time::parse("since", text)).transpose()?,
        until: logs.until.as_deref().map(|text| time::parse("until", text)).transpose()?,
        tail: (logs.tail != "all").then(|| logs.tail.clone()),
    };
    let mut found = containers::list(context, &known.name, &logs.services, Which::All).await?;
    found.retain(|container| logs.index.is_none_or(|index| index == 0 || container.number() == index));
    let mut view = LogView::new(context.printer, Style { prefix: !logs.no_log_prefix, colour: !logs.no_color });
    for container in &found {
        view.source(&container.log_name(&known.name));
    }
    if logs.follow {
        follow(context, &known.name, &found, span, &mut view, &logs.services).await
    } else {
        for container in &found {
            let (to, mut from) = mpsc::channel(64);
            let reader = output::read(&context.client, container, &known.name, span.clone(), to);
            while let Some(said) = from.recv().await {
                output::show(&mut view, &said)?;
                if let Said::End { failure: Some(failure), .. } = said {
                    return Err(failure);
                }
            }
            reader.abort();
        }
        Ok(Exit::OK)
    }
}

/// Shows lines until all containers have ended; a container that starts meanwhile is shown too.
async fn follow(
    context: &Context,
    project: &str,
    found: &[containers::Container],
    span: Span,
    view: &mut LogView,
    services: &[String],
) -> Outcome {
    let (to, mut from) = mpsc::channel(256);
    let mut open = 0_usize;
    for container in found {
        output::read(&context.client, container, project, span.clone(), to.clone());
        open += 1;
    }
    let mut events = super::events::subscribe(context, project, None, None).await?;
    while open > 0 {
        tokio::select! {
            said = from.recv() => match said {
                Some(Said::End { failure: Some(failure), .. }) if !failure.is_not_found() => return Err(failure),
                Some(Said::End { .. }) => open -= 1,
                Some(said) => output::show(view, &said)?,
                None => break,
            },
            event = events.next::<super::events::EngineEvent>() => {
                let Some(event) = event? else { break };
                let wanted = services.is_empty() || services.iter().any(|service| service == event.service());
                if event.action == "start" && wanted {
                    let again = Span { since: Some(event.moment()), tail: None, ..span.clone() };
                    output::read(&context.client, &event.container(), project, again, to.clone());
                    open += 1;
                }
            }
        }
    }
    Ok(Exit::OK)
}
