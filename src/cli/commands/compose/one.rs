//! Commands on one container of a service: the container is found, and the engine's own command does the rest.

use super::{
    args::{ProjectArgs, StatsArgs},
    args_container::{AttachArgs, CommitArgs, CpArgs, ExecArgs, ExportArgs},
    containers::{self, Which},
    project,
};
use crate::cli::{
    Context, Exit, Outcome,
    args::{ListFormat, container as engine},
    commands::container,
    failure::Failure,
};

/// `hoist compose exec`: interactive, and with a terminal where there is one.
pub async fn exec(context: &Context, args: &ProjectArgs, exec: &ExecArgs) -> Outcome {
    let known = project::known(context, args)?;
    let found = containers::one(context, &known.name, &exec.service, exec.index, Which::Running).await?;
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stdin()) && context.printer.out_is_terminal();
    if args.dry_run {
        return say(context, &format!("exec in container {}: {}", found.name(), exec.command.join(" ")));
    }
    let words = std::iter::once(found.id).chain(exec.command.iter().cloned()).collect();
    container::exec::run(
        context,
        engine::ExecArgs {
            detach: exec.detach,
            detach_keys: None,
            env: exec.env.clone(),
            env_files: Vec::new(),
            interactive: exec.interactive && !exec.detach,
            privileged: exec.privileged,
            tty: !exec.no_tty && !exec.detach && (exec.tty || terminal),
            user: exec.user.clone(),
            workdir: exec.workdir.clone(),
            words,
        },
    )
    .await
}

/// `hoist compose attach`.
pub async fn attach(context: &Context, args: &ProjectArgs, attach: &AttachArgs) -> Outcome {
    let known = project::known(context, args)?;
    let found = containers::one(context, &known.name, &attach.service, attach.index, Which::Running).await?;
    if args.dry_run {
        return say(context, &format!("attach to container {}", found.name()));
    }
    container::attach::run(
        context,
        engine::AttachArgs {
            detach_keys: attach.detach_keys.clone(),
            no_stdin: attach.no_stdin,
            logs: false,
            sig_proxy: attach.sig_proxy,
            container: found.id,
        },
    )
    .await
}

/// `hoist compose commit`.
pub async fn commit(context: &Context, args: &ProjectArgs, commit: &CommitArgs) -> Outcome {
    let known = project::known(context, args)?;
    let found = containers::one(context, &known.name, &commit.service, commit.index, Which::All).await?;
    if args.dry_run {
        return say(context, &format!("commit container {}", found.name()));
    }
    container::commit::run(
        context,
        engine::CommitArgs {
            author: commit.author.clone(),
            changes: commit.change.clone(),
            message: commit.message.clone(),
            no_pause: !commit.pause,
            pause: commit.pause,
            container: found.id,
            image: commit.reference.clone(),
        },
    )
    .await
}

/// `hoist compose export`.
pub async fn export(context: &Context, args: &ProjectArgs, export: &ExportArgs) -> Outcome {
    let known = project::known(context, args)?;
    let found = containers::one(context, &known.name, &export.service, export.index, Which::All).await?;
    if args.dry_run {
        return say(context, &format!("export container {}", found.name()));
    }
    let flags = engine::ExportArgs { output: export.output.clone(), container: found.id };
    container::export::run(context, flags).await
}

/// `hoist compose cp`: out of one container, or into all of a service's.
pub async fn cp(context: &Context, args: &ProjectArgs, cp: &CpArgs) -> Outcome {
    let known = project::known(context, args)?;
    let which = if cp.all { Which::WithOneOff } else { Which::All };
    let flags = |source: String, destination: String| engine::CpArgs {
        archive: cp.archive,
        follow_link: cp.follow_link,
        quiet: false,
        source,
        destination,
    };
    match (service_path(&cp.source), service_path(&cp.destination)) {
        (Some(_), Some(_)) => {
            Err(Failure::new("copying between two services is not supported").hint("copy to a file here first"))
        }
        (Some((service, path)), None) => {
            let found = containers::one(context, &known.name, service, cp.index, which).await?;
            let source = format!("{}:{path}", found.id);
            if args.dry_run {
                return say(context, &format!("copy {}:{path} to {}", found.name(), cp.destination));
            }
            container::cp::run(context, flags(source, cp.destination.clone())).await
        }
        (None, Some((service, path))) => {
            let found = match cp.index {
                Some(index) => vec![containers::one(context, &known.name, service, Some(index), which).await?],
                None => containers::list(context, &known.name, &[service.to_owned()], which).await?,
            };
            if found.is_empty() {
                return Err(Failure::new(format!("service {service:?} has no container")));
            }
            if cp.source == "-" && found.len() > 1 {
                return Err(Failure::new(format!(
                    "standard input can be copied to one container, and {service:?} has {}",
                    found.len()
                ))
                .hint("choose one with --index"));
            }
            for one in found {
                if args.dry_run {
                    say(context, &format!("copy {} to {}:{path}", cp.source, one.name()))?;
                } else {
                    container::cp::run(context, flags(cp.source.clone(), format!("{}:{path}", one.id))).await?;
                }
            }
            Ok(Exit::OK)
        }
        (None, None) => Err(Failure::new("one of the two must be in a service").hint("write it as SERVICE:PATH")),
    }
}

/// `SERVICE:PATH`; what begins with a dot or a slash is a path here.
fn service_path(text: &str) -> Option<(&str, &str)> {
    if text.starts_with(['/', '.']) {
        return None;
    }
    text.split_once(':')
}

/// `hoist compose stats`.
pub async fn stats(context: &Context, args: &ProjectArgs, stats: &StatsArgs) -> Outcome {
    let known = project::known(context, args)?;
    let services: Vec<String> = stats.service.iter().cloned().collect();
    known.check_services(context, &services).await?;
    let which = if stats.all { Which::All } else { Which::Running };
    let found = containers::list(context, &known.name, &services, which).await?;
    if found.is_empty() {
        return Err(Failure::new(format!("no container of project {:?} is running", known.name)));
    }
    let format = Some(stats.format.clone()).filter(|format| format != "table");
    container::stats::run(
        context,
        engine::StatsArgs {
            all: stats.all,
            format: ListFormat { format },
            no_stream: stats.no_stream,
            no_trunc: stats.no_trunc,
            containers: found.iter().map(|container| container.name().to_owned()).collect(),
        },
    )
    .await
}

fn say(context: &Context, text: &str) -> Outcome {
    context.printer.line(text)?;
    Ok(Exit::OK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_and_paths_are_told_apart() {
        assert_eq!(service_path("web:/etc/hosts"), Some(("web", "/etc/hosts")));
        assert_eq!(service_path("./a:b"), None);
        assert_eq!(service_path("/a:b"), None);
        assert_eq!(service_path("file"), None);
    }
}
