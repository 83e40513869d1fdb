//! What is mounted where, in which order.

use std::path::PathBuf;

use hoist_proto::spec::{NamespaceMode, NetworkMode};
use serde_json::{Value, json};

use super::{Input, Namespace};
use crate::{EngineError, Result};

/// A mount whose source is on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ReadyMount {
    Bind {
        source: PathBuf,
        target: String,
        options: BindOptions,
    },
    Tmpfs {
        target: String,
        options: Vec<String>,
    },
    /// Layers of an image, read-only.
    Overlay {
        lower: Vec<PathBuf>,
        target: String,
    },
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct BindOptions {
    pub read_only: bool,
    /// Mounts below the source come along.
    pub recursive: bool,
    /// Mounts below the source are read-only too.
    pub read_only_recursive: bool,
    /// Empty is `rprivate`.
    pub propagation: String,
}

const DEFAULT_SHM: u64 = 64 << 20;

/// The words that Docker knows.
pub(crate) fn check_propagation(word: &str) -> Result<()> {
    match word {
        "" | "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave" => Ok(()),
        other => Err(EngineError::InvalidParameter(format!("invalid propagation mode: {other:?}"))),
    }
}

/// All mounts: the kernel's file systems, then the person's by depth, then our files.
pub(super) fn all(input: &Input<'_>) -> Vec<Value> {
    let mut list = kernel(input);
    // A mount over one of the defaults takes its place.
    let targets: Vec<String> = input.mounts.iter().map(|mount| clean(target(mount))).collect();
    list.retain(|mount| {
        let place = mount["destination"].as_str().unwrap_or_default();
        !targets.iter().any(|target| target == place)
    });
    let mut own: Vec<&ReadyMount> = input.mounts.iter().collect();
    own.sort_by_key(|mount| clean(target(mount)).matches('/').count());
    list.extend(own.into_iter().map(to_json));
    for (place, source) in &input.files {
        if !targets.iter().any(|target| target == place) {
            list.push(json!({
                "destination": place, "type": "bind", "source": source, "options": ["bind", "rprivate", if input.record.spec.read_only { "ro" } else { "rw" }],
            }));
        }
    }
    list
}

fn target(mount: &ReadyMount) -> &str {
    match mount {
        ReadyMount::Bind { target, .. } | ReadyMount::Tmpfs { target, .. } | ReadyMount::Overlay { target, .. } => {
            target
        }
    }
}

/// Without `.`, `..` and double slashes.
pub(super) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

fn to_json(mount: &ReadyMount) -> Value {
    match mount {
        ReadyMount::Bind { source, target, options } => {
            let propagation = if options.propagation.is_empty() { "rprivate" } else { &options.propagation };
            let mut words = vec![if options.recursive { "rbind" } else { "bind" }, propagation];
            words.push(match (options.read_only, options.read_only_recursive) {
                (true, true) => "rro",
                (true, false) => "ro",
                (false, _) => "rw",
            });
            json!({ "destination": target, "type": "bind", "source": source, "options": words })
        }
        ReadyMount::Tmpfs { target, options } => {
            json!({ "destination": target, "type": "tmpfs", "source": "tmpfs", "options": options })
        }
        ReadyMount::Overlay { lower, target } => {
            let dirs: Vec<_> = lower.iter().map(|dir| dir.display().to_string()).collect();
            json!({ "destination": target, "type": "overlay", "source": "overlay",
                    "options": ["ro", format!("lowerdir={}", dirs.join(":"))] })
        }
    }
}

fn kernel(input: &Input<'_>) -> Vec<Value> {
    let spec = &input.record.spec;
    let host_net = matches!(input.namespaces.network, Namespace::Host) || spec.network_mode == NetworkMode::Host;
    let rw = if spec.security.privileged { "rw" } else { "ro" };
    let mut list = vec![
        json!({ "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"] }),
        json!({ "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                "options": ["nosuid", "strictatime", "mode=755", "size=65536k"] }),
        json!({ "destination": "/dev/pts", "type": "devpts", "source": "devpts",
                "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"] }),
    ];
    // A new sysfs belongs to the network namespace, which the host's own does already.
    if host_net {
        list.push(json!({ "destination": "/sys", "type": "bind", "source": "/sys",
                          "options": ["rbind", "rprivate", "nosuid", "noexec", "nodev", rw] }));
    } else {
        list.push(json!({ "destination": "/sys", "type": "sysfs", "source": "sysfs",
                          "options": ["nosuid", "noexec", "nodev", rw] }));
    }
    list.push(json!({ "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
                      "options": [rw, "nosuid", "noexec", "nodev"] }));
    if matches!(input.namespaces.ipc, Namespace::Host) {
        list.push(json!({ "destination": "/dev/mqueue", "type": "bind", "source": "/dev/mqueue",
                          "options": ["rbind", "rprivate", "nosuid", "noexec", "nodev"] }));
    } else {
        list.push(json!({ "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
                          "options": ["nosuid", "noexec", "nodev"] }));
    }
    match (&input.shm, &spec.namespaces.ipc) {
        (_, NamespaceMode::None) => {}
        (Some(source), _) => list.push(json!({ "destination": "/dev/shm", "type": "bind", "source": source,
                          "options": ["rbind", "rprivate", "nosuid", "noexec", "nodev"] })),
        (None, _) => {
            let size = spec.shm_size.unwrap_or(DEFAULT_SHM);
            list.push(json!({ "destination": "/dev/shm", "type": "tmpfs", "source": "shm",
                              "options": ["nosuid", "noexec", "nodev", "mode=1777", format!("size={size}")] }));
        }
    }
    list
}

/// Mounts that others see want a root that is not private.
pub(super) fn root_propagation(input: &Input<'_>) -> Option<&'static str> {
    let any = |words: [&str; 2]| {
        input.mounts.iter().any(|mount| match mount {
            ReadyMount::Bind { options, .. } => words.contains(&options.propagation.as_str()),
            _ => false,
        })
    };
    if any(["shared", "rshared"]) {
        Some("rshared")
    } else if any(["slave", "rslave"]) {
        Some("rslave")
    } else {
        None
    }
}
