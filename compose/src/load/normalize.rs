//! Fills in what the specification says a missing key means.

use crate::model::{Dependency, DependencyCondition, Extensions, Project, Service};

pub(super) fn normalize(project: &mut Project) {
    let name = project.name.clone();
    for service in project.services.values_mut() {
        if service.networks.is_empty() && service.network_mode.is_none() && service.provider.is_none() {
            service.networks.insert("default".to_owned(), None);
        }
        if let Some(build) = &mut service.build {
            if build.dockerfile.is_none() && build.dockerfile_inline.is_none() {
                build.dockerfile = Some("Dockerfile".to_owned());
            }
            if build.context.is_none() {
                build.context = Some(project.working_dir.to_string_lossy().into_owned());
            }
        }
        let build_secrets = service.build.iter_mut().flat_map(|build| &mut build.secrets);
        for secret in service.secrets.iter_mut().chain(build_secrets).filter(|secret| secret.target.is_none()) {
            secret.target = Some(secret.secret_path());
        }
        depend_implicitly(service);
        service.depends_on.sort_keys();
        match (&mut service.deploy, service.scale) {
            (Some(deploy), Some(scale)) if deploy.replicas.is_none() => deploy.replicas = Some(scale),
            _ => {}
        }
    }
    if project.services.values().any(|service| service.networks.contains_key("default")) {
        project.networks.entry("default".to_owned()).or_default();
        project.networks.sort_keys();
    }
    for (key, network) in &mut project.networks {
        set_name(&mut network.name, &name, key, network.external);
    }
    for (key, volume) in &mut project.volumes {
        set_name(&mut volume.name, &name, key, volume.external);
    }
    for (key, secret) in &mut project.secrets {
        set_name(&mut secret.name, &name, key, secret.external);
    }
    for (key, config) in &mut project.configs {
        set_name(&mut config.name, &name, key, config.external);
    }
    for (key, model) in &mut project.models {
        if model.name.is_empty() {
            model.name.clone_from(key);
        }
    }
}

/// What is not external is named after the project.
fn set_name(name: &mut String, project: &str, key: &str, external: bool) {
    if name.is_empty() {
        *name = if external { key.to_owned() } else { format!("{project}_{key}") };
    }
}

/// Links, shared namespaces and shared volumes are dependencies too.
fn depend_implicitly(service: &mut Service) {
    let mut add = |name: &str, restart: bool| {
        service.depends_on.entry(name.to_owned()).or_insert_with(|| Dependency {
            condition: DependencyCondition::ServiceStarted,
            restart,
            required: true,
            extensions: Extensions::default(),
        });
    };
    for link in &service.links {
        add(link.split(':').next().unwrap_or(link), true);
    }
    let modes = [&service.network_mode, &service.ipc, &service.pid, &service.uts, &service.cgroup];
    for target in modes.into_iter().flatten().filter_map(|mode| mode.strip_prefix("service:")) {
        add(target, true);
    }
    for from in service.volumes_from.iter().filter(|from| !from.starts_with("container:")) {
        add(from.split(':').next().unwrap_or(from), false);
    }
}
