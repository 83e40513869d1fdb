//! From a compose project to the records that it asks for. Pure: what has to be read or looked up
//! comes in as [`Inputs`].
//!
//! Everything that cannot be done is found and named before anything is done.

mod container;
mod deploy;
mod mounts;
mod network;
mod one_off;
pub(crate) mod pre_start;
mod resources;
mod security;
mod unsupported;

use std::collections::BTreeMap;

use hoist_compose::model::{Project, Service};
use hoist_proto::spec::{
    ComposeOrigin, Dependency, DependencyCondition, NetworkSpec, ServiceSpec, TaskSpec, VolumeSpec,
};

use crate::hash::digest;

pub use one_off::{OneOff, one_off};

/// What a project asks for, not yet compared with what is there.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Desired {
    pub(crate) project: String,
    /// Dependencies first.
    pub(crate) services: Vec<DesiredService>,
    /// All services that the file knows, chosen or not.
    pub(crate) known: Vec<String>,
    pub(crate) networks: Vec<DesiredResource<NetworkSpec>>,
    pub(crate) volumes: Vec<DesiredResource<VolumeSpec>>,
    pub(crate) files: Vec<DesiredFile>,
}

/// A service; `spec.task.networks` and the like are filled in when the records are known.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DesiredService {
    pub(crate) key: String,
    pub(crate) spec: ServiceSpec,
    /// Keys of networks and volumes.
    pub(crate) networks: Vec<String>,
    pub(crate) volumes: Vec<String>,
    /// Services whose namespaces or mounts it shares: it is made anew with them.
    pub(crate) bound_to: Vec<String>,
    /// Chosen by name (or all are), not only because another depends on it.
    pub(crate) chosen: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DesiredResource<S> {
    pub(crate) key: String,
    pub(crate) spec: S,
    pub(crate) external: bool,
}

/// A secret or config that is kept by the store.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DesiredFile {
    /// `secret:KEY` or `config:KEY`.
    pub(crate) reference: String,
    pub(crate) name: String,
    pub(crate) secret: bool,
    pub(crate) external: bool,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) data: Vec<u8>,
}

/// What conversion cannot know by itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Inputs {
    /// The bytes of files that secrets and configs name, or why they cannot be read.
    pub(crate) files: BTreeMap<String, Result<Vec<u8>, String>>,
    /// Images that services would build, and that are here.
    pub(crate) built: Vec<String>,
}

/// Collects all that is wrong.
#[derive(Debug, Default)]
pub(crate) struct Problems(pub(crate) Vec<String>);

impl Problems {
    pub(crate) fn add(&mut self, service: &str, what: impl std::fmt::Display) {
        self.0.push(format!("service {service:?}: {what}"));
    }

    pub(crate) fn of_project(&mut self, what: impl std::fmt::Display) {
        self.0.push(what.to_string());
    }
}

pub(crate) const PROJECT: &str = "com.docker.compose.project";
pub(crate) const SERVICE: &str = "com.docker.compose.service";
pub(crate) const CONFIG_HASH: &str = "com.docker.compose.config-hash";
const VERSION: &str = "com.docker.compose.version";

/// The records that the project asks for, or all that is wrong with it.
pub(crate) fn convert(project: &Project, chosen: &[String], inputs: &Inputs) -> Result<Desired, Vec<String>> {
    let mut problems = Problems::default();
    let order = match project.dependency_order() {
        Ok(order) => order,
        Err(cycle) => return Err(vec![cycle.to_string()]),
    };
    unsupported::check(project, inputs, &mut problems);
    let mut desired = Desired { project: project.name.clone(), ..Desired::default() };
    desired.known = project.services.keys().chain(project.disabled_services.keys()).cloned().collect();
    for name in order.names() {
        let Some(service) = project.services.get(name) else { continue };
        let chosen = chosen.is_empty() || chosen.iter().any(|one| one == name);
        desired.services.push(one_service(project, service, chosen, inputs, &mut problems));
    }
    for (key, network) in &project.networks {
        if desired.services.iter().any(|service| service.networks.contains(key)) {
            desired.networks.push(network::network(project, key, network, &mut problems));
        }
    }
    for (key, volume) in &project.volumes {
        if desired.services.iter().any(|service| service.volumes.contains(key)) {
            desired.volumes.push(mounts::volume(project, key, volume));
        }
    }
    mounts::stored_files(project, inputs, &mut desired, &mut problems);
    if problems.0.is_empty() { Ok(desired) } else { Err(problems.0) }
}

fn one_service(
    project: &Project,
    service: &Service,
    chosen: bool,
    inputs: &Inputs,
    problems: &mut Problems,
) -> DesiredService {
    let mut container = container::container(project, service, inputs, problems);
    let replicas = u32::try_from(service.replicas()).unwrap_or(u32::MAX);
    let mode = deploy::mode(service, replicas, problems);
    if service.container_name.is_some() && replicas > 1 {
        problems.add(
            &service.name,
            format!("container_name forbids more than one container, and {replicas} are asked for"),
        );
    }
    let config_hash = project.config_hash(service);
    let depends_on = dependencies(project, service);
    let labels = &mut container.labels;
    let config_files: Vec<String> = project.compose_files.iter().map(|path| path.display().to_string()).collect();
    let working_dir = project.working_dir.display().to_string();
    labels.insert(PROJECT.into(), project.name.clone());
    labels.insert(SERVICE.into(), service.name.clone());
    labels.insert(CONFIG_HASH.into(), config_hash.clone());
    labels.insert("com.docker.compose.project.working_dir".into(), working_dir.clone());
    labels.insert("com.docker.compose.project.config_files".into(), config_files.join(","));
    labels.insert("com.docker.compose.oneoff".into(), "False".into());
    labels.insert(VERSION.into(), env!("CARGO_PKG_VERSION").into());
    labels.insert("com.docker.compose.depends_on".into(), depends_on_label(service));
    let task = TaskSpec {
        container,
        restart: deploy::restart(service, problems),
        placement: deploy::placement(service, problems),
        ..TaskSpec::default()
    };
    let spec = ServiceSpec {
        name: service_name(&project.name, &service.name),
        labels: deploy::labels(&project.name, service),
        compose: Some(ComposeOrigin {
            project: project.name.clone(),
            service: service.name.clone(),
            container_name: service.container_name.clone(),
            config_hash,
            working_dir,
            config_files,
        }),
        mode,
        task,
        depends_on,
        update: deploy::update(service, |deploy| deploy.update_config.as_ref(), problems),
        rollback: deploy::update(service, |deploy| deploy.rollback_config.as_ref(), problems),
        endpoint_mode: deploy::endpoint_mode(service, problems),
        ..ServiceSpec::default()
    };
    DesiredService {
        key: service.name.clone(),
        spec,
        networks: network::keys(service),
        volumes: mounts::keys(service),
        bound_to: bound_to(service),
        chosen,
    }
}

/// The files whose bytes [`convert`] needs.
pub(crate) fn needed_files(project: &Project) -> Vec<String> {
    let secrets = project.secrets.values().filter(|secret| !secret.external).filter_map(|secret| secret.file.clone());
    let configs = project.configs.values().filter(|config| !config.external).filter_map(|config| config.file.clone());
    let profiles = project.services.values().filter_map(|service| security::seccomp_file(service).map(str::to_owned));
    let mut files: Vec<String> = secrets.chain(configs).chain(profiles).collect();
    files.sort();
    files.dedup();
    files
}

/// The cluster's name of a compose service.
pub(crate) fn service_name(project: &str, service: &str) -> String {
    format!("{project}_{service}")
}

fn dependencies(project: &Project, service: &Service) -> Vec<Dependency> {
    use hoist_compose::model::DependencyCondition as Compose;
    service
        .depends_on
        .iter()
        // What is switched off by a profile and not required is not waited for.
        .filter(|(name, dependency)| dependency.required || project.services.contains_key(*name))
        .map(|(name, dependency)| Dependency {
            service: service_name(&project.name, name),
            condition: match dependency.condition {
                Compose::ServiceStarted => DependencyCondition::ServiceStarted,
                Compose::ServiceHealthy => DependencyCondition::ServiceHealthy,
                Compose::ServiceCompletedSuccessfully => DependencyCondition::ServiceCompletedSuccessfully,
            },
            required: dependency.required,
            restart: dependency.restart,
            own: pre_start::is_step_of(project, name, service),
        })
        .collect()
}

/// `db:service_healthy:false,…`, as other tools read it.
fn depends_on_label(service: &Service) -> String {
    use hoist_compose::model::DependencyCondition as Compose;
    let one = |(name, dependency): (&String, &hoist_compose::model::Dependency)| {
        let condition = match dependency.condition {
            Compose::ServiceStarted => "service_started",
            Compose::ServiceHealthy => "service_healthy",
            Compose::ServiceCompletedSuccessfully => "service_completed_successfully",
        };
        format!("{name}:{condition}:{}", dependency.restart)
    };
    service.depends_on.iter().map(one).collect::<Vec<_>>().join(",")
}

fn bound_to(service: &Service) -> Vec<String> {
    let modes = [&service.network_mode, &service.ipc, &service.pid, &service.uts, &service.cgroup];
    let shared = modes.into_iter().flatten().filter_map(|mode| mode.strip_prefix("service:")).map(str::to_owned);
    let mounts = service
        .volumes_from
        .iter()
        .filter(|from| !from.starts_with("container:"))
        .map(|from| from.split(':').next().unwrap_or(from).to_owned());
    let mut names: Vec<String> = shared.chain(mounts).collect();
    names.sort();
    names.dedup();
    names
}

/// Labels of a network or volume, with the digest that tells whether it changed.
pub(crate) fn resource_labels(
    project: &str,
    kind: &str,
    key: &str,
    own: impl Iterator<Item = (String, String)>,
    definition: &impl serde::Serialize,
) -> BTreeMap<String, String> {
    let mut labels: BTreeMap<String, String> = own.collect();
    labels.insert(PROJECT.into(), project.to_owned());
    labels.insert(format!("com.docker.compose.{kind}"), key.to_owned());
    labels.insert(VERSION.into(), env!("CARGO_PKG_VERSION").into());
    labels.insert(CONFIG_HASH.into(), digest(definition));
    labels
}

#[cfg(test)]
mod tests;
