//! What a compose file can say and the engine cannot do yet. Everything is named at once.

use hoist_compose::model::{MountKind, Project, Service};

use super::{Inputs, Problems};

pub(super) fn check(project: &Project, inputs: &Inputs, problems: &mut Problems) {
    for service in project.services.values() {
        for (key, used) in keys(service) {
            if used {
                problems.add(&service.name, format!("{key} is not supported yet"));
            }
        }
        let image = project.image_of(service);
        // One with a name of its own may be in a registry.
        if service.build.is_some() && service.image.is_none() && !inputs.built.contains(&image) {
            problems.add(
                &service.name,
                format!("image {image:?} is not on this machine; build it first: hoist compose build {}", service.name),
            );
        }
        for mount in &service.volumes {
            let kind = match mount.kind {
                MountKind::Npipe => "npipe",
                MountKind::Cluster => "cluster",
                _ => continue,
            };
            problems.add(&service.name, format!("volumes of type {kind} are not supported ({})", mount.target));
        }
    }
    // Only what a service uses matters.
    let uses = |pick: fn(&Service) -> &Vec<hoist_compose::model::FileMount>, key: &String| {
        project.services.values().any(|service| pick(service).iter().any(|mount| mount.source == *key))
    };
    for (key, secret) in project.secrets.iter().filter(|(key, _)| uses(|service| &service.secrets, key)) {
        if secret.driver.is_some() {
            problems.of_project(format!("secret {key:?}: driver is not supported yet"));
        }
        if secret.template_driver.is_some() {
            problems.of_project(format!("secret {key:?}: template_driver is not supported yet"));
        }
    }
    for (key, config) in project.configs.iter().filter(|(key, _)| uses(|service| &service.configs, key)) {
        if config.template_driver.is_some() {
            problems.of_project(format!("config {key:?}: template_driver is not supported yet"));
        }
    }
}

fn keys(service: &Service) -> Vec<(&'static str, bool)> {
    vec![
        ("cpu_count", service.cpu_count.is_some()),
        ("cpu_percent", service.cpu_percent.is_some()),
        ("credential_spec", service.credential_spec.is_some()),
        (
            "isolation",
            service.isolation.as_deref().is_some_and(|isolation| !isolation.is_empty() && isolation != "default"),
        ),
        ("models", !service.models.is_empty()),
        ("pre_start with per_replica", service.pre_start.iter().any(|step| step.per_replica)),
        ("provider", service.provider.is_some()),
        ("use_api_socket", service.use_api_socket),
    ]
}
