//! `hoist compose run`: a one-off command in a new container of a service.

use clap::Parser;
use hoist_compose::model::Project;
use hoist_manager::control::{OneOff, one_off};
use hoist_proto::{
    id::ContainerId,
    spec::{ContainerSpec, NetworkSpec, PullPolicy, UpOptions},
};
use serde_json::json;

use super::{args::ProjectArgs, args_container::RunArgs, args_up::MakeArgs, build, project, up};
use crate::{
    api::{translate, version::ApiVersion},
    cli::{
        Context, Exit, Outcome,
        args::{Cli, Command},
        client::path_segment,
        commands::container::{
            create::CidFile,
            run::{Running, run_body},
        },
        credentials,
        failure::Failure,
        progress::Mode,
        spec::{self, Surroundings},
        stream::{DetachKeys, terminal},
    },
};

pub async fn run(context: &Context, args: &ProjectArgs, flags: &RunArgs) -> Outcome {
    let project = project::load_project(context, args)?;
    up::check_names(&project, std::slice::from_ref(&flags.service))?;
    let project = project
        .with_targets_enabled(std::slice::from_ref(&flags.service))
        .map_err(|error| Failure::from_error(&error))?;
    let make = MakeArgs { build: flags.build, quiet_build: flags.quiet_build, ..MakeArgs::default() };
    build::before(context, args, &project, std::slice::from_ref(&flags.service), true, &make).await?;
    let service = &project.services[&flags.service];
    let slug: String = ContainerId::random().as_str().chars().take(12).collect();
    let made = one_off(&project, &flags.service, &slug, read).map_err(|problems| Failure::new(problems.join("\n")))?;
    let container = overlay(flags, &made)?;
    if args.dry_run {
        context.printer.line(format!("create container {} of service {}", container.name, flags.service))?;
        return Ok(Exit::OK);
    }
    bring_up_dependencies(context, args, flags, &project, service.depends_on.keys().cloned().collect()).await?;
    for network in &made.networks {
        ensure_network(context, network).await?;
    }
    for volume in &made.volumes {
        let body = json!({
            "Name": volume.name, "Driver": volume.driver, "DriverOpts": volume.driver_options, "Labels": volume.labels,
        });
        context.client.post("/volumes/create").json(&body)?.done().await?;
    }
    let pull = match container.pull {
        PullPolicy::Missing => "missing",
        PullPolicy::Always => "always",
        PullPolicy::Never => "never",
    };
    let credentials = credentials::Config::load(&context.config_dir)?;
    let auth = credentials.credentials(credentials::registry_of(&container.image))?.map(|found| found.header());
    let (tty, stdin, image) = (container.tty, container.open_stdin, container.image.clone());
    let body = json!({
        "pull": pull,
        "auth": auth,
        "spec": container,
        "attach": { "stdin": stdin && !flags.detach, "stdout": !flags.detach, "stderr": !flags.detach },
        "detach": flags.detach,
        "console_size": terminal::size().filter(|_| tty),
    });
    let running = Running {
        tty,
        stdin: stdin && !flags.detach,
        signals: !flags.detach,
        detach: flags.detach,
        detach_keys: DetachKeys::parse(None)?,
        cid_file: CidFile::claim(None)?,
        progress: if flags.quiet || flags.quiet_pull { Mode::Quiet } else { args.progress.unwrap_or_default() },
    };
    run_body(context, &body, &image, running).await
}

fn read(path: &str) -> Result<Vec<u8>, String> {
    fs_err::read(path).map_err(|error| error.to_string())
}

/// The service's container with what the command line says over it.
fn overlay(flags: &RunArgs, made: &OneOff) -> Result<ContainerSpec, Failure> {
    let over = given(flags)?;
    let mut container = made.container.clone();
    if let Some(name) = &flags.name {
        container.name.clone_from(name);
    }
    if !flags.command.is_empty() {
        container.command = Some(flags.command.clone());
    }
    if flags.entrypoint.is_some() {
        container.entrypoint = over.entrypoint;
        container.command = Some(flags.command.clone());
    }
    if !flags.service_ports {
        container.ports = over.ports;
    }
    if !flags.use_aliases {
        for network in &mut container.networks {
            network.aliases.clear();
        }
    }
    container.mounts.retain(|mount| over.mounts.iter().all(|new| new.target != mount.target));
    container.mounts.extend(over.mounts);
    container.env.extend(over.env);
    container.labels.extend(over.labels);
    container.security.cap_add.extend(over.security.cap_add);
    container.security.cap_drop.extend(over.security.cap_drop);
    container.user = over.user.or(container.user);
    container.working_dir = over.working_dir.or(container.working_dir);
    container.pull = flags.pull.policy().unwrap_or(container.pull);
    container.auto_remove = flags.rm;
    let terminal =
        std::io::IsTerminal::is_terminal(&std::io::stdin()) && std::io::IsTerminal::is_terminal(&std::io::stdout());
    container.tty = !flags.no_tty && !flags.detach && (flags.tty || terminal);
    container.open_stdin = flags.interactive && !flags.detach;
    container.stdin_once = container.open_stdin;
    Ok(container)
}

/// What the flags say, read in exactly the way in which `hoist run` reads them.
fn given(flags: &RunArgs) -> Result<ContainerSpec, Failure> {
    let mut words = vec!["hoist".to_owned(), "run".to_owned()];
    let mut add = |flag: &str, values: &[String]| {
        for value in values {
            words.push(format!("--{flag}={value}"));
        }
    };
    add("publish", &flags.publish);
    add("volume", &flags.volume);
    add("env", &flags.env);
    add("label", &flags.label);
    add("cap-add", &flags.cap_add);
    add("cap-drop", &flags.cap_drop);
    let files: Vec<String> = flags.env_from_file.iter().map(|path| path.display().to_string()).collect();
    add("env-file", &files);
    for (flag, value) in [("user", &flags.user), ("workdir", &flags.workdir), ("entrypoint", &flags.entrypoint)] {
        add(flag, value.as_slice());
    }
    words.push("image".to_owned());
    let parsed = Cli::try_parse_from(&words).map_err(|error| Failure::usage(error.to_string()))?;
    let Command::Run(run) = parsed.command else {
        return Err(Failure::usage("the flags of run are not understood"));
    };
    let config = spec::container(&run.create, &Surroundings::real())?;
    let query = translate::create::Query { name: None, platform: None };
    let translated = translate::create::container(query, config, ApiVersion::NEWEST)
        .map_err(|error| Failure::usage(error.to_string()))?;
    Ok(translated.spec)
}

async fn bring_up_dependencies(
    context: &Context,
    args: &ProjectArgs,
    flags: &RunArgs,
    project: &Project,
    services: Vec<String>,
) -> Result<(), Failure> {
    if flags.no_deps || services.is_empty() {
        return Ok(());
    }
    let mut args = args.clone();
    if flags.quiet {
        args.progress = Some(Mode::Quiet);
    }
    // Healthy and completed ones too, as the service itself would wait for them.
    let options = UpOptions { services, remove_orphans: flags.remove_orphans, wait: true, ..UpOptions::default() };
    up::apply(context, &args, "run", project, options).await.map(|_| ())
}

/// Makes one of the project's networks when no service has yet.
async fn ensure_network(context: &Context, network: &NetworkSpec) -> Result<(), Failure> {
    match context.client.get(format!("/networks/{}", path_segment(&network.name))).done().await {
        Err(error) if error.status() == Some(404) => {}
        other => return other.map_err(Failure::from),
    }
    let pools: Vec<serde_json::Value> = network
        .ipam
        .pools
        .iter()
        .map(|pool| {
            json!({
                "Subnet": pool.subnet, "IPRange": pool.ip_range, "Gateway": pool.gateway,
                "AuxiliaryAddresses": pool.aux_addresses,
            })
        })
        .collect();
    let body = json!({
        "Name": network.name,
        "Driver": if network.driver.is_empty() { "bridge" } else { &network.driver },
        "Options": network.options,
        "Labels": network.labels,
        "Internal": network.internal,
        "Attachable": network.attachable,
        "EnableIPv4": network.enable_ipv4,
        "EnableIPv6": network.enable_ipv6,
        "IPAM": { "Driver": network.ipam.driver, "Options": network.ipam.options, "Config": pools },
    });
    context.client.post("/networks/create").json(&body)?.done().await?;
    Ok(())
}
