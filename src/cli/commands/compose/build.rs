//! `hoist compose build`, and the builds that `up` begins with.

use std::collections::BTreeMap;

use base64::Engine as _;
use hoist_compose::model::{Build, Dependents, Project, Service};
use hoist_proto::spec::Ulimit;

use super::{
    args::{BuildArgs, ProjectArgs},
    args_up::{MakeArgs, PullChoice},
    project,
};
use crate::{
    api::dto::build::{BuildOrder, OutputOrder},
    cli::{
        Context, Exit, Outcome,
        args::build::Progress,
        client::path_segment,
        commands::build::{Destination, Job, Part, Source, agent, attestations, cache, several},
        failure::Failure,
        progress::Mode,
    },
};

/// What the command line adds to what the file says.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    pub args: Vec<String>,
    pub no_cache: bool,
    pub pull: bool,
    pub push: bool,
    pub check: bool,
    pub ssh: Vec<String>,
}

/// `hoist compose build`.
pub async fn run(context: &Context, args: &ProjectArgs, flags: &BuildArgs) -> Outcome {
    let project = project::load_project(context, args)?;
    super::up::check_names(&project, &flags.services)?;
    let dependents = if flags.with_dependencies { Dependents::WithDependencies } else { Dependents::Alone };
    let chosen =
        project.clone().with_services(&flags.services, dependents).map_err(|error| Failure::from_error(&error))?;
    let wanted: Vec<String> = chosen
        .services
        .values()
        .filter(|service| service.build.is_some())
        .map(|service| service.name.clone())
        .collect();
    if wanted.is_empty() {
        context.printer.say("no service to build");
        return Ok(Exit::OK);
    }
    let choice = Choice {
        args: flags.build_args.clone(),
        no_cache: flags.no_cache,
        pull: flags.pull,
        push: flags.push,
        check: flags.check,
        ssh: flags.ssh.clone(),
    };
    let found = build(context, args, &project, &wanted, &choice, flags.quiet).await?;
    Ok(if flags.check && found { Exit::FAILED } else { Exit::OK })
}

/// Builds what `up`, `create` and `run` need: what is asked for, and images that are not here. Answers the images that a
/// dry run would build.
pub async fn before(
    context: &Context,
    args: &ProjectArgs,
    project: &Project,
    services: &[String],
    no_deps: bool,
    make: &MakeArgs,
) -> Result<Vec<String>, Failure> {
    if make.no_build {
        return Ok(Vec::new());
    }
    let dependents = if no_deps { Dependents::Alone } else { Dependents::WithDependencies };
    let chosen = project.clone().with_services(services, dependents).map_err(|error| Failure::from_error(&error))?;
    let mut wanted = Vec::new();
    for service in chosen.services.values().filter(|service| service.build.is_some()) {
        let always = make.build || make.pull == PullChoice::Build || service.pull_policy.as_deref() == Some("build");
        let image = project.image_of(service);
        if always || !is_here(context, &image).await? {
            wanted.push(service.name.clone());
        }
    }
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    build(context, args, project, &wanted, &Choice::default(), make.quiet_build).await?;
    let images = wanted.iter().filter_map(|name| project.services.get(name)).map(|service| project.image_of(service));
    Ok(if args.dry_run { images.collect() } else { Vec::new() })
}

async fn is_here(context: &Context, image: &str) -> Result<bool, Failure> {
    match context.client.get(format!("/images/{}/json", path_segment(image))).done().await {
        Ok(()) => Ok(true),
        Err(error) if error.status() == Some(404) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Builds services, those first whose images others build on; answers whether checks found something.
async fn build(
    context: &Context,
    args: &ProjectArgs,
    project: &Project,
    wanted: &[String],
    choice: &Choice,
    quiet: bool,
) -> Result<bool, Failure> {
    let mut parts = Vec::new();
    let mut jobs = BTreeMap::new();
    for name in order(project, wanted)? {
        let Some(service) = project.services.get(&name).or_else(|| project.disabled_services.get(&name)) else {
            continue;
        };
        let Some(build) = &service.build else { continue };
        // What is wrong with one is known before any is built.
        jobs.insert(name.clone(), job(project, service, build, choice)?);
        let needs = build.additional_contexts.values().filter_map(|place| place.strip_prefix("service:"));
        parts.push(Part { needs: needs.map(str::to_owned).collect(), name });
    }
    if args.dry_run {
        for service in parts.iter().filter_map(|part| project.services.get(&part.name)) {
            context.printer.line(format!("build image {} of service {}", project.image_of(service), service.name))?;
        }
        return Ok(false);
    }
    let progress = match (quiet, args.progress.unwrap_or_default()) {
        (true, _) | (_, Mode::Quiet) => Progress::Quiet,
        (_, Mode::Auto) => Progress::Auto,
        (_, Mode::Tty) => Progress::Tty,
        (_, Mode::Plain) => Progress::Plain,
        (_, Mode::Json) => Progress::Rawjson,
    };
    let done = several(context, ("Service", &parts), (progress, choice.check), |name, _| {
        jobs.remove(name).ok_or_else(|| Failure::new(format!("service {name} was to be built twice")))
    });
    Ok(done.await?.found)
}

/// The services to build, each behind those whose images it builds on (`service:NAME`).
fn order(project: &Project, wanted: &[String]) -> Result<Vec<String>, Failure> {
    fn visit(project: &Project, name: &str, path: &mut Vec<String>, done: &mut Vec<String>) -> Result<(), Failure> {
        if done.iter().any(|known| known == name) {
            return Ok(());
        }
        if path.iter().any(|known| known == name) {
            return Err(Failure::new(format!("builds need each other in a cycle: {} → {name}", path.join(" → "))));
        }
        path.push(name.to_owned());
        let service = project.services.get(name).or_else(|| project.disabled_services.get(name));
        let Some(build) = service.and_then(|service| service.build.as_ref()) else {
            let user = path.iter().rev().nth(1).cloned().unwrap_or_default();
            return Err(Failure::new(format!(
                "service {user}: the context service:{name} is no service that is built"
            )));
        };
        for place in build.additional_contexts.values() {
            if let Some(other) = place.strip_prefix("service:") {
                visit(project, other, path, done)?;
            }
        }
        path.pop();
        done.push(name.to_owned());
        Ok(())
    }
    let mut done = Vec::new();
    for name in wanted {
        visit(project, name, &mut Vec::new(), &mut done)?;
    }
    Ok(done)
}

/// What a service's `build` asks for.
fn job(project: &Project, service: &Service, build: &Build, choice: &Choice) -> Result<Job, Failure> {
    let wrong = |what: String| Failure::new(format!("service {}: build.{what}", service.name));
    if build.privileged {
        return Err(wrong("privileged is not supported; use RUN --security=insecure and entitlements".to_owned()));
    }
    if build.isolation.as_deref().is_some_and(|isolation| isolation != "default") {
        return Err(wrong("isolation is not supported on Linux".to_owned()));
    }
    let context = build.context.clone().unwrap_or_else(|| project.working_dir.to_string_lossy().into_owned());
    let source = Source::parse(&context);
    let file = build.dockerfile.as_ref().map(|file| match &source {
        Source::Directory(dir) => dir.join(file).to_string_lossy().into_owned(),
        _ => file.clone(),
    });
    let lookup = |name: &str| project.environment.get(name).cloned();
    let mut args: BTreeMap<String, String> = build
        .args
        .iter()
        .filter_map(|(name, value)| Some((name.clone(), value.clone().or_else(|| lookup(name))?)))
        .collect();
    for entry in &choice.args {
        match entry.split_once('=') {
            Some((name, value)) => drop(args.insert(name.to_owned(), value.to_owned())),
            None => drop(lookup(entry).map(|value| args.insert(entry.clone(), value))),
        }
    }
    let mut contexts = Vec::new();
    for (name, place) in &build.additional_contexts {
        let place = match place
            .strip_prefix("service:")
            .and_then(|other| project.services.get(other).or_else(|| project.disabled_services.get(other)))
        {
            Some(other) => format!("docker-image://{}", project.image_of(other)),
            None => place.clone(),
        };
        contexts.push((name.clone(), place));
    }
    let mut ssh = BTreeMap::new();
    let written = build.ssh.iter().map(|(id, path)| if path.is_empty() { id.clone() } else { format!("{id}={path}") });
    for entry in written.chain(choice.ssh.iter().cloned()) {
        let (id, path) = agent(&entry)?;
        ssh.insert(id, path);
    }
    let mut labels: BTreeMap<String, String> =
        build.labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    labels.insert("com.docker.compose.project".to_owned(), project.name.clone());
    labels.insert("com.docker.compose.service".to_owned(), service.name.clone());
    let mut tags = vec![project.image_of(service)];
    tags.extend(build.tags.iter().cloned());
    let platforms = match (build.platforms.is_empty(), &service.platform) {
        (true, Some(platform)) => vec![platform.clone()],
        _ => build.platforms.clone(),
    };
    let order = BuildOrder {
        target: build.target.clone(),
        args,
        labels,
        platforms,
        no_cache: build.no_cache || choice.no_cache,
        pull: build.pull || choice.pull,
        network: build.network.clone().unwrap_or_default(),
        extra_hosts: build.extra_hosts.pairs().map(|(name, address)| (name.to_owned(), address.to_owned())).collect(),
        shm_size: build.shm_size.and_then(|size| u64::try_from(size.0).ok()),
        ulimits: build
            .ulimits
            .iter()
            .map(|(name, limit)| Ulimit { name: name.clone(), soft: limit.soft, hard: limit.hard })
            .collect(),
        secrets: secrets(project, service, build)?,
        ssh,
        allow: build.entitlements.clone(),
        attestations: attestations(build.provenance.as_deref(), build.sbom.as_deref(), &[])?,
        tags,
        cache_from: build.cache_from.iter().map(|entry| cache(entry)).collect::<Result<_, _>>()?,
        cache_to: build.cache_to.iter().map(|entry| cache(entry)).collect::<Result<_, _>>()?,
        check: choice.check,
        ..BuildOrder::default()
    };
    let destination = Destination::there(OutputOrder::an_image(choice.push));
    Ok(Job { source, file, inline: build.dockerfile_inline.clone(), contexts, destinations: vec![destination], order })
}

fn secrets(project: &Project, service: &Service, build: &Build) -> Result<BTreeMap<String, String>, Failure> {
    let mut found = BTreeMap::new();
    for mount in &build.secrets {
        let wrong =
            |what: &str| Failure::new(format!("service {}: build secret {:?} {what}", service.name, mount.source));
        let secret = project.secrets.get(&mount.source).ok_or_else(|| wrong("is not among the project's secrets"))?;
        let bytes = match (&secret.file, &secret.content, &secret.environment) {
            (Some(file), ..) => fs_err::read(project.working_dir.join(file))?,
            (None, Some(content), _) => content.clone().into_bytes(),
            (None, None, Some(name)) => match project.environment.get(name) {
                Some(value) => value.clone().into_bytes(),
                None => return Err(wrong(&format!("comes from the variable {name}, which is not set"))),
            },
            (None, None, None) => return Err(wrong("has neither file nor environment: a build cannot use it")),
        };
        let id = mount.target.clone().unwrap_or_else(|| mount.source.clone());
        let id = id.rsplit('/').next().unwrap_or_default().to_owned();
        found.insert(id, base64::prelude::BASE64_STANDARD.encode(bytes));
    }
    Ok(found)
}
