//! Volumes, binds, tmpfs, and secrets and configs as files.

use hoist_compose::model::{self, Project, Service};
use hoist_proto::spec::{FileContent, FileMount, Mount, MountKind, VolumeSpec};

use super::{
    Desired, DesiredFile, DesiredResource, Inputs, PROJECT, Problems, container::pairs, resource_labels,
    resources::bytes, security::first_container,
};

/// The named volumes that a service mounts.
pub(super) fn keys(service: &Service) -> Vec<String> {
    let volumes = service.volumes.iter().filter(|mount| mount.kind == model::MountKind::Volume);
    let mut keys: Vec<String> = volumes.filter_map(|mount| mount.source.clone()).collect();
    keys.sort();
    keys.dedup();
    keys
}

pub(super) fn volume(project: &Project, key: &str, volume: &model::Volume) -> DesiredResource<VolumeSpec> {
    let own = volume.labels.iter().map(|(key, value)| (key.clone(), value.clone()));
    let spec = VolumeSpec {
        name: volume.name.clone(),
        driver: volume.driver.clone().unwrap_or_default(),
        driver_options: pairs(&volume.driver_opts),
        labels: resource_labels(&project.name, "volume", key, own, volume),
    };
    DesiredResource { key: key.to_owned(), spec, external: volume.external }
}

pub(super) fn mounts(project: &Project, service: &Service, problems: &mut Problems) -> Vec<Mount> {
    let mut mounts: Vec<Mount> =
        service.volumes.iter().filter_map(|mount| one_mount(project, service, mount, problems)).collect();
    mounts.extend(service.tmpfs.iter().filter_map(|text| tmpfs(service, text, problems)));
    mounts
}

fn one_mount(project: &Project, service: &Service, mount: &model::Mount, problems: &mut Problems) -> Option<Mount> {
    let mut spec = Mount {
        target: mount.target.clone(),
        read_only: mount.read_only,
        source: mount.source.clone(),
        ..Mount::default()
    };
    match mount.kind {
        model::MountKind::Bind => {
            spec.kind = MountKind::Bind;
            spec.create_host_path = mount.create_host_path();
            if let Some(bind) = &mount.bind {
                spec.propagation.clone_from(&bind.propagation);
                spec.recursive.clone_from(&bind.recursive);
                spec.selinux.clone_from(&bind.selinux);
            }
        }
        model::MountKind::Volume => {
            spec.kind = MountKind::Volume;
            if let Some(key) = &mount.source {
                let Some(volume) = project.volumes.get(key) else {
                    problems.add(&service.name, format!("volume {key:?} is not defined"));
                    return None;
                };
                spec.source = Some(volume.name.clone());
            }
            if let Some(options) = &mount.volume {
                spec.no_copy = options.nocopy;
                spec.subpath.clone_from(&options.subpath);
                spec.labels = pairs(&options.labels);
            }
        }
        model::MountKind::Tmpfs => {
            spec.kind = MountKind::Tmpfs;
            if let Some(options) = &mount.tmpfs {
                spec.tmpfs_size = options.size.and_then(bytes);
                spec.tmpfs_mode = options.mode.map(|mode| mode.0);
            }
        }
        model::MountKind::Image => {
            spec.kind = MountKind::Image;
            spec.subpath = mount.image.as_ref().and_then(|image| image.subpath.clone());
        }
        // Named among what is not supported.
        model::MountKind::Cluster | model::MountKind::Npipe => return None,
    }
    Some(spec)
}

/// `PATH` or `PATH:OPTIONS`.
fn tmpfs(service: &Service, text: &str, problems: &mut Problems) -> Option<Mount> {
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    let mut mount = Mount { kind: MountKind::Tmpfs, target: target.to_owned(), ..Mount::default() };
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some(("size", size)) => match hoist_proto::unit::parse_bytes(size) {
                Ok(size) => mount.tmpfs_size = Some(size),
                Err(error) => problems.add(&service.name, format!("tmpfs {text:?}: {error}")),
            },
            Some(("mode", mode)) => match u32::from_str_radix(mode, 8) {
                Ok(mode) => mount.tmpfs_mode = Some(mode),
                Err(_) => problems.add(&service.name, format!("tmpfs {text:?}: mode {mode:?} is not octal")),
            },
            _ if option == "ro" => mount.read_only = true,
            _ => mount.tmpfs_options.push(option.to_owned()),
        }
    }
    Some(mount)
}

pub(super) fn volumes_from(project: &Project, service: &Service) -> Vec<String> {
    let one = |text: &String| {
        if let Some(container) = text.strip_prefix("container:") {
            return container.to_owned();
        }
        match text.split_once(':') {
            Some((name, access)) => format!("{}:{access}", first_container(project, name)),
            None => first_container(project, text),
        }
    };
    service.volumes_from.iter().map(one).collect()
}

/// Secrets and configs; their bytes are named by reference until the records are known.
pub(super) fn files(project: &Project, service: &Service, problems: &mut Problems) -> Vec<FileMount> {
    let mut files = Vec::new();
    for (secret, mounts) in [(true, &service.secrets), (false, &service.configs)] {
        let kind = if secret { "secret" } else { "config" };
        for mount in mounts {
            let defined = if secret {
                project.secrets.contains_key(&mount.source)
            } else {
                project.configs.contains_key(&mount.source)
            };
            if !defined {
                problems.add(&service.name, format!("{kind} {:?} is not defined", mount.source));
                continue;
            }
            let mut number = |what: &str, text: &Option<String>| match text.as_deref().map(str::parse) {
                None => 0,
                Some(Ok(id)) => id,
                Some(Err(_)) => {
                    let text = text.as_deref().unwrap_or_default();
                    problems.add(&service.name, format!("{kind} {:?}: {what} {text:?} is not a number", mount.source));
                    0
                }
            };
            let (uid, gid) = (number("uid", &mount.uid), number("gid", &mount.gid));
            files.push(FileMount {
                source: mount.source.clone(),
                target: target(mount, secret),
                uid,
                gid,
                mode: mount.mode.map(|mode| mode.0),
                secret,
                content: FileContent::Stored(format!("{kind}:{}", mount.source)),
            });
        }
    }
    files
}

fn target(mount: &model::FileMount, secret: bool) -> String {
    let name = mount.target.as_deref().unwrap_or(&mount.source);
    match (name.starts_with('/'), secret) {
        (true, _) => name.to_owned(),
        (false, true) => format!("/run/secrets/{name}"),
        (false, false) => format!("/{name}"),
    }
}

/// The secrets and configs that some service uses, with their bytes.
pub(super) fn stored_files(project: &Project, inputs: &Inputs, desired: &mut Desired, problems: &mut Problems) {
    let mut used: Vec<(bool, String)> = desired
        .services
        .iter()
        .flat_map(|service| &service.spec.task.container.files)
        .map(|file| (file.secret, file.source.clone()))
        .collect();
    used.sort();
    used.dedup();
    for (secret, key) in used {
        let kind = if secret { "secret" } else { "config" };
        let definition = if secret {
            project.secrets.get(&key).map(|s| (&s.name, &s.file, &s.environment, &s.content, s.external, &s.labels))
        } else {
            project.configs.get(&key).map(|c| (&c.name, &c.file, &c.environment, &c.content, c.external, &c.labels))
        };
        let Some((name, file, environment, content, external, labels)) = definition else { continue };
        let data = match (file, content, environment, external) {
            (_, _, _, true) => Vec::new(),
            (Some(path), ..) => match inputs.files.get(path) {
                Some(Ok(data)) => data.clone(),
                Some(Err(error)) => {
                    problems.of_project(format!("{kind} {key:?}: {error}"));
                    continue;
                }
                None => {
                    problems.of_project(format!("{kind} {key:?}: file {path} was not read"));
                    continue;
                }
            },
            (None, Some(content), ..) => content.clone().into_bytes(),
            (None, None, Some(variable), _) => {
                problems.of_project(format!("{kind} {key:?}: environment variable {variable:?} is not set"));
                continue;
            }
            (None, None, None, false) => {
                problems.of_project(format!("{kind} {key:?}: it has neither file, environment nor content"));
                continue;
            }
        };
        let mut labels = pairs(labels);
        if !external {
            labels.insert(PROJECT.into(), project.name.clone());
            labels.insert(format!("com.docker.compose.{kind}"), key.clone());
        }
        desired.files.push(DesiredFile {
            reference: format!("{kind}:{key}"),
            name: name.clone(),
            secret,
            external,
            labels,
            data,
        });
    }
}
