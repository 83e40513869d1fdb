//! What the container's processes may do and which namespaces they share.

use hoist_compose::model::{Project, Service};
use hoist_proto::spec::{NamespaceMode, Namespaces, SeccompChoice, Security};

use super::{Inputs, Problems};

pub(super) fn security(service: &Service, inputs: &Inputs, problems: &mut Problems) -> Security {
    let mut security = Security {
        privileged: service.privileged,
        cap_add: service.cap_add.clone(),
        cap_drop: service.cap_drop.clone(),
        ..Security::default()
    };
    for option in &service.security_opt {
        apply(&mut security, service, option, inputs, problems);
    }
    security
}

fn apply(security: &mut Security, service: &Service, option: &str, inputs: &Inputs, problems: &mut Problems) {
    let (key, value) = match option.split_once(['=', ':']) {
        Some((key, value)) => (key, Some(value)),
        None => (option, None),
    };
    match (key, value) {
        ("no-new-privileges", None | Some("true")) => security.no_new_privileges = true,
        ("no-new-privileges", Some("false")) => security.no_new_privileges = false,
        ("seccomp", Some("unconfined")) => security.seccomp = SeccompChoice::Unconfined,
        ("seccomp", Some("builtin" | "default")) => security.seccomp = SeccompChoice::Default,
        ("seccomp", Some(profile)) if profile.trim_start().starts_with('{') => {
            security.seccomp = SeccompChoice::Profile(profile.to_owned());
        }
        ("seccomp", Some(path)) => match inputs.files.get(path) {
            Some(Ok(profile)) => {
                security.seccomp = SeccompChoice::Profile(String::from_utf8_lossy(profile).into_owned());
            }
            Some(Err(error)) => problems.add(&service.name, format!("security_opt seccomp: {error}")),
            None => problems.add(&service.name, format!("security_opt seccomp: file {path} was not read")),
        },
        ("apparmor", Some(profile)) => security.apparmor = Some(profile.to_owned()),
        ("label", Some(label)) => security.selinux.push(label.to_owned()),
        ("systempaths", Some("unconfined")) => security.unmasked_paths = true,
        _ => problems.add(&service.name, format!("security_opt {option:?} is not supported")),
    }
}

pub(super) fn namespaces(project: &Project, service: &Service, problems: &mut Problems) -> Namespaces {
    let mut one = |key: &str, value: &Option<String>, words: &[&str]| {
        let Some(text) = value.as_deref().filter(|text| !text.is_empty()) else { return NamespaceMode::Default };
        if let Some(other) = text.strip_prefix("service:") {
            return NamespaceMode::Container(first_container(project, other));
        }
        if let Some(container) = text.strip_prefix("container:") {
            return NamespaceMode::Container(container.to_owned());
        }
        match text {
            _ if !words.contains(&text) => {}
            "host" => return NamespaceMode::Host,
            "private" => return NamespaceMode::Private,
            "shareable" => return NamespaceMode::Shareable,
            "none" => return NamespaceMode::None,
            _ => {}
        }
        problems.add(&service.name, format!("{key} {text:?} is not supported"));
        NamespaceMode::Default
    };
    Namespaces {
        pid: one("pid", &service.pid, &["host", "private"]),
        ipc: one("ipc", &service.ipc, &["host", "private", "shareable", "none"]),
        uts: one("uts", &service.uts, &["host"]),
        cgroup: one("cgroup", &service.cgroup, &["host", "private"]),
        user: one("userns_mode", &service.userns_mode, &["host"]),
    }
}

/// The container that stands for a service whose namespaces or mounts are shared.
pub(super) fn first_container(project: &Project, service: &str) -> String {
    match project.services.get(service).or_else(|| project.disabled_services.get(service)) {
        Some(service) => project.container_name(service, 1),
        None => format!("{}-{service}-1", project.name),
    }
}

/// The seccomp profile's file that a service names, if any.
pub(super) fn seccomp_file(service: &Service) -> Option<&str> {
    service.security_opt.iter().find_map(|option| {
        let path = option.strip_prefix("seccomp=").or_else(|| option.strip_prefix("seccomp:"))?;
        let word = matches!(path, "unconfined" | "builtin" | "default") || path.trim_start().starts_with('{');
        (!word).then_some(path)
    })
}
