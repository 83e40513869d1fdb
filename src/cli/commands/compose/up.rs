//! `hoist up`: brings a project up, in the background or with its output until Ctrl-C.

use std::{collections::BTreeMap, time::Duration};

use hoist_compose::model::Project;
use hoist_proto::spec::{Plan, ServiceReady, UpOptions, UpRequest};
use jiff::Timestamp;

use super::{
    args::ProjectArgs,
    args_up::{CreateArgs, MakeArgs, ScaleArgs, UpArgs},
    attached::{self, Attached},
    build, follow, project, watch,
};
use crate::cli::{Context, Exit, Outcome, client::path_segment, credentials, failure::Failure, progress::Mode};

/// `hoist up` and `hoist compose up`.
pub async fn run(context: &Context, args: &ProjectArgs, up: &UpArgs) -> Outcome {
    refuse_up(up)?;
    let project = project::load_project(context, args)?;
    check_names(&project, &up.services)?;
    if up.watch {
        if up.detach || up.wait || up.no_start {
            return Err(Failure::new("--watch needs the foreground: leave out --detach, --wait and --no-start"));
        }
        watch::check(&project, &up.services)?;
    }
    for name in up.attach.iter().chain(&up.no_attach).chain(&up.exit_code_from) {
        check_names(&project, std::slice::from_ref(name))?;
    }
    let mut options = UpOptions {
        services: up.services.clone(),
        no_deps: up.no_deps,
        always_recreate_deps: up.always_recreate_deps,
        renew_anon_volumes: up.renew_anon_volumes,
        wait: up.wait,
        wait_timeout: up.wait_timeout.map(Duration::from_secs),
        timeout: up.timeout.map(Duration::from_secs),
        no_start: up.no_start,
        ..make_options(&up.make, &project)?
    };
    options.to_be_built = build::before(context, args, &project, &up.services, up.no_deps, &up.make).await?;
    if args.dry_run {
        return plan(context, &project, options).await;
    }
    let began = Timestamp::now();
    let shown = quiet_pull(args, &up.make);
    let ended = apply(context, &shown, "up", &project, options).await?;
    if up.detach || up.wait || up.no_start {
        say_where(context, &project, &ended.ready);
        return Ok(Exit::OK);
    }
    say_where(context, &project, &ended.ready);
    let attached = Attached {
        services: attached_services(&project, up),
        began,
        abort_on_exit: up.abort_on_container_exit || up.exit_code_from.is_some(),
        abort_on_failure: up.abort_on_container_failure,
        exit_code_from: up.exit_code_from.clone(),
        timeout: up.timeout,
        timestamps: up.timestamps,
        prefix: !up.no_log_prefix,
        colour: !up.no_color,
    };
    if !up.watch {
        return attached::run(context, args, &project, attached).await;
    }
    tokio::select! {
        ended = attached::run(context, args, &project, attached) => ended,
        failed = watch::beside(context, args, &project, &up.services) => failed,
    }
}

/// `hoist compose create`.
pub async fn create(context: &Context, args: &ProjectArgs, create: &CreateArgs) -> Outcome {
    let project = project::load_project(context, args)?;
    check_names(&project, &create.services)?;
    let mut options =
        UpOptions { services: create.services.clone(), no_start: true, ..make_options(&create.make, &project)? };
    options.to_be_built = build::before(context, args, &project, &create.services, false, &create.make).await?;
    if args.dry_run {
        return plan(context, &project, options).await;
    }
    apply(context, &quiet_pull(args, &create.make), "create", &project, options).await?;
    Ok(Exit::OK)
}

/// `hoist compose scale`: an `up` of these services, with these numbers and nothing else changed.
pub async fn scale(context: &Context, args: &ProjectArgs, scale: &ScaleArgs) -> Outcome {
    let project = project::load_project(context, args)?;
    let services: Vec<String> = scale.scale.iter().map(|(service, _)| service.clone()).collect();
    check_names(&project, &services)?;
    let options = UpOptions {
        services,
        no_deps: scale.no_deps,
        no_recreate: true,
        scale: scale.scale.iter().cloned().collect(),
        ..UpOptions::default()
    };
    if args.dry_run {
        return plan(context, &project, options).await;
    }
    apply(context, args, "scale", &project, options).await?;
    Ok(Exit::OK)
}

/// Brings services up as a step of another command.
pub async fn apply(
    context: &Context,
    args: &ProjectArgs,
    title: &'static str,
    project: &Project,
    options: UpOptions,
) -> Result<follow::Ended, Failure> {
    let credentials = credentials_of(context, project)?;
    let request = UpRequest { project: serde_json::to_value(project)?, options, credentials, ..UpRequest::default() };
    let path = format!("/hoist/v1/projects/{}/up", path_segment(&project.name));
    follow::follow(context, args, title, context.client.post(path).json(&request)?).await
}

/// What the caller's login says of the registries that the project's images come from.
pub fn credentials_of(context: &Context, project: &Project) -> Result<BTreeMap<String, String>, Failure> {
    let mut by_registry: BTreeMap<String, Option<String>> = BTreeMap::new();
    let mut by_image = BTreeMap::new();
    for service in project.services.values() {
        let steps = service.pre_start.iter().filter_map(|step| step.image.clone());
        for image in steps.chain([project.image_of(service)]) {
            let registry = credentials::registry_of(&image).to_owned();
            if !by_registry.contains_key(&registry) {
                by_registry.insert(registry.clone(), credentials::header_for(&context.config_dir, &image)?);
            }
            if let Some(Some(header)) = by_registry.get(&registry) {
                by_image.insert(image, header.clone());
            }
        }
    }
    Ok(by_image)
}

async fn plan(context: &Context, project: &Project, options: UpOptions) -> Outcome {
    let request = UpRequest { project: serde_json::to_value(project)?, options, ..UpRequest::default() };
    let path = format!("/hoist/v1/projects/{}/plan", path_segment(&project.name));
    let plan: Plan = context.client.post(path).json(&request)?.read().await?;
    if plan.is_empty() {
        context.printer.say("nothing to do");
    }
    context.printer.text(plan.to_string())?;
    Ok(Exit::OK)
}

fn make_options(make: &MakeArgs, project: &Project) -> Result<UpOptions, Failure> {
    let scale: BTreeMap<String, u32> = make.scale.iter().cloned().collect();
    check_names(project, &scale.keys().cloned().collect::<Vec<_>>())?;
    Ok(UpOptions {
        force_recreate: make.force_recreate,
        no_recreate: make.no_recreate,
        remove_orphans: make.remove_orphans,
        pull: make.pull.policy(),
        scale,
        ..UpOptions::default()
    })
}

fn refuse_up(up: &UpArgs) -> Result<(), Failure> {
    if up.menu == Some(true) {
        return Err(Failure::usage("--menu is not supported yet"));
    }
    Ok(())
}

fn quiet_pull(args: &ProjectArgs, make: &MakeArgs) -> ProjectArgs {
    let mut args = args.clone();
    if make.quiet_pull {
        args.progress = Some(Mode::Quiet);
    }
    args
}

pub fn check_names(project: &Project, names: &[String]) -> Result<(), Failure> {
    for name in names {
        if !project.services.contains_key(name) && !project.disabled_services.contains_key(name) {
            return Err(project::no_such_service(name, Some(project)));
        }
    }
    Ok(())
}

/// The services whose output is shown; `None` is all of the project's.
fn attached_services(project: &Project, up: &UpArgs) -> Vec<String> {
    let mut wanted: Vec<String> = if !up.attach.is_empty() {
        up.attach.clone()
    } else if up.services.is_empty() || up.attach_dependencies {
        project.services.keys().cloned().collect()
    } else {
        up.services.clone()
    };
    wanted.retain(|name| {
        let service = project.services.get(name).or_else(|| project.disabled_services.get(name));
        !up.no_attach.contains(name)
            && (up.attach.contains(name) || service.is_none_or(|service| service.attach != Some(false)))
    });
    wanted
}

/// Says where each published port answers.
fn say_where(context: &Context, project: &Project, ready: &[ServiceReady]) {
    for service in ready {
        let mut places: Vec<String> = Vec::new();
        for port in &service.ports {
            let host = match port.host_ip {
                address if address.is_unspecified() => "127.0.0.1".to_owned(),
                std::net::IpAddr::V4(address) => address.to_string(),
                std::net::IpAddr::V6(address) => format!("[{address}]"),
            };
            let place = match (port.protocol, looks_like_web(project, &service.name, port.container_port)) {
                (hoist_proto::spec::Protocol::Tcp, true) => format!("http://{host}:{}/", port.host_port),
                (protocol, _) => format!("{host}:{}/{protocol}", port.host_port),
            };
            if !places.contains(&place) {
                places.push(place);
            }
        }
        if !places.is_empty() {
            context.printer.say(format!(" {}  {}", context.printer.paint(&service.name, "1"), places.join("  ")));
        }
    }
}

/// Whether a port speaks HTTP, by what the file says of it or by its well-known number.
fn looks_like_web(project: &Project, service: &str, container_port: u16) -> bool {
    let said = project.services.get(service).and_then(|service| {
        service.ports.iter().find(|port| port.target == container_port).and_then(|port| port.app_protocol.as_deref())
    });
    match said {
        Some(protocol) => protocol.starts_with("http"),
        None => matches!(container_port, 80 | 3000 | 5000 | 8000 | 8080 | 8888 | 9090),
    }
}
