//! A container beside a service's tasks: `compose run`.

use std::collections::BTreeMap;

use hoist_compose::model::{Dependents, Project};
use hoist_proto::spec::{ContainerSpec, FileContent, NetworkSpec, RestartPolicy, VolumeSpec};

use super::{Inputs, convert, needed_files};

/// A container made of a service's definition for one command, and what must exist for it.
#[derive(Debug, Clone, PartialEq)]
pub struct OneOff {
    /// Named and labelled as a one-off container; without the service's ports being any different.
    pub container: ContainerSpec,
    /// The project's own networks that it joins.
    pub networks: Vec<NetworkSpec>,
    /// The project's own named volumes that it mounts.
    pub volumes: Vec<VolumeSpec>,
}

/// Converts one service. `slug` tells this container from others: it becomes part of its name. `read` gives the bytes
/// of a file that a secret or config names.
///
/// # Errors
/// All that is wrong with the service.
pub fn one_off(
    project: &Project,
    service: &str,
    slug: &str,
    read: impl Fn(&str) -> Result<Vec<u8>, String>,
) -> Result<OneOff, Vec<String>> {
    let names = [service.to_owned()];
    let project = project.clone().with_services(&names, Dependents::Alone).map_err(|error| vec![error.to_string()])?;
    let files = needed_files(&project).into_iter().map(|path| (path.clone(), read(&path))).collect();
    // Whether a built image is here is for the engine to say.
    let built = project.services.values().map(|service| project.image_of(service)).collect();
    let desired = convert(&project, &names, &Inputs { files, built })?;
    let bytes: BTreeMap<&str, (&[u8], bool)> =
        desired.files.iter().map(|file| (file.reference.as_str(), (file.data.as_slice(), file.external))).collect();
    let Some(found) = desired.services.iter().find(|one| one.key == service) else {
        return Err(vec![format!("no such service: {service}")]);
    };
    let mut container = found.spec.task.container.clone();
    let mut problems = Vec::new();
    for file in &mut container.files {
        if let FileContent::Stored(reference) = &file.content {
            match bytes.get(reference.as_str()) {
                Some((data, false)) => file.content = FileContent::Inline(data.to_vec()),
                _ => problems.push(format!(
                    "service {service:?}: {} is external, which a one-off container cannot use yet",
                    reference.replacen(':', " ", 1)
                )),
            }
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    container.name = format!("{}-{service}-run-{slug}", project.name);
    container.restart = RestartPolicy::No;
    container.labels.insert("com.docker.compose.oneoff".into(), "True".into());
    container.labels.insert("com.docker.compose.slug".into(), slug.to_owned());
    container.labels.insert("com.docker.compose.container-number".into(), "1".into());
    Ok(OneOff {
        container,
        networks: desired
            .networks
            .into_iter()
            .filter(|network| !network.external)
            .map(|network| network.spec)
            .collect(),
        volumes: desired.volumes.into_iter().filter(|volume| !volume.external).map(|volume| volume.spec).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_one_off_is_named_and_labelled_and_has_its_secrets() {
        let text = "name: demo\nservices:\n  web:\n    image: x\n    restart: always\n    secrets: [key]\nsecrets:\n  key:\n    file: /run/k\n";
        let options = hoist_compose::LoadOptions::new("/");
        let project = hoist_compose::load_str(text, &options).unwrap().project;
        let made = one_off(&project, "web", "abc", |path| Ok(path.as_bytes().to_vec())).unwrap();
        assert_eq!(made.container.name, "demo-web-run-abc");
        assert_eq!(made.container.restart, RestartPolicy::No);
        assert_eq!(made.container.labels["com.docker.compose.oneoff"], "True");
        assert_eq!(made.container.files[0].content, FileContent::Inline(b"/run/k".to_vec()));
        assert_eq!(made.networks[0].name, "demo_default");
        let gone = one_off(&project, "web", "abc", |_| Err("no such file".into())).unwrap_err();
        assert!(gone[0].contains("no such file"), "{gone:?}");
        assert!(one_off(&project, "nope", "abc", |_| Ok(Vec::new())).unwrap_err()[0].contains("nope"));
    }
}
