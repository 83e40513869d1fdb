//! What a container mounts: planned once at its creation, made ready at each start.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use hoist_proto::id::ContainerId;
use hoist_proto::spec::{ContainerSpec, Mount, MountKind, VolumeSpec};

use crate::container::{PlannedMount, Record};
use crate::events::{Actor, Told};
use crate::inner::Inner;
use crate::model::MountPoint;
use crate::rootfs::Union;
use crate::spec::{BindOptions, ReadyMount, check_propagation};
use crate::{EngineError, Result};

/// All mounts of a new container: its own, those of others (`volumes_from`), and a volume for each path that the image
/// wants one for. Volumes are made and acquired; `acquired` tells which, also when it fails.
pub(super) fn plan(
    engine: &Inner,
    id: &ContainerId,
    spec: &ContainerSpec,
    image_volumes: &[String],
    acquired: &mut Vec<PlannedMount>,
) -> Result<Vec<PlannedMount>> {
    let mut mounts = Vec::new();
    for mount in &spec.mounts {
        check(mount)?;
        if mounts.iter().any(|other: &Mount| same(&other.target, &mount.target)) {
            return Err(EngineError::InvalidParameter(format!("duplicate mount point: {}", mount.target)));
        }
        mounts.push(mount.clone());
    }
    let mut planned = Vec::new();
    for other in &spec.volumes_from {
        let (name, mode) = other.split_once(':').unwrap_or((other, ""));
        if !matches!(mode, "" | "ro" | "rw") {
            return Err(EngineError::InvalidParameter(format!("invalid mode {mode:?} of volumes-from {other:?}")));
        }
        for theirs in &engine.registry.find(name)?.record().mounts {
            if mounts.iter().any(|mount| same(&mount.target, &theirs.mount.target)) {
                continue;
            }
            let mut mount = theirs.mount.clone();
            mount.read_only |= mode == "ro";
            mounts.push(mount);
        }
    }
    for target in image_volumes {
        if !mounts.iter().any(|mount| same(&mount.target, target)) {
            mounts.push(Mount { target: target.clone(), ..Mount::default() });
        }
    }
    for mut mount in mounts {
        let mut anonymous = false;
        if mount.kind == MountKind::Volume {
            let name = mount.source.as_deref().unwrap_or_default();
            anonymous = name.is_empty();
            let there = !anonymous && engine.options.volumes.inspect(name).is_ok();
            let volume = engine.options.volumes.create(VolumeSpec {
                name: mount.source.clone().unwrap_or_default(),
                driver: mount.driver.clone().unwrap_or_default(),
                driver_options: mount.driver_options.clone(),
                labels: mount.labels.clone(),
            })?;
            mount.source = Some(volume.name.clone());
            let entry = PlannedMount { mount: mount.clone(), anonymous };
            engine.options.volumes.acquire(&volume.name, id.as_str())?;
            if !there {
                engine.events.publish("volume", "create", actor(&volume.name, &[]));
            }
            acquired.push(entry);
        }
        planned.push(PlannedMount { mount, anonymous });
    }
    Ok(planned)
}

fn same(one: &str, other: &str) -> bool {
    one.trim_end_matches('/') == other.trim_end_matches('/')
}

fn check(mount: &Mount) -> Result<()> {
    let refuse = |why: String| Err(EngineError::InvalidParameter(format!("invalid mount config: {why}")));
    let source = mount.source.as_deref().unwrap_or_default();
    if !mount.target.starts_with('/') {
        return refuse(format!("mount path {:?} must be absolute", mount.target));
    }
    if mount.target.split('/').all(|part| matches!(part, "" | "." | "..")) {
        return refuse(format!("mount path {:?} can't be the root", mount.target));
    }
    check_propagation(mount.propagation.as_deref().unwrap_or_default())?;
    if let Some(mode) = mount.recursive.as_deref()
        && !matches!(mode, "" | "enabled" | "disabled" | "writable" | "readonly")
    {
        return refuse(format!("bind recursive mode {mode:?} is unknown"));
    }
    match mount.kind {
        MountKind::Bind if !source.starts_with('/') => refuse(format!("bind source {source:?} must be absolute")),
        MountKind::Bind if !mount.create_host_path && !Path::new(source).exists() => {
            refuse(format!("bind source path does not exist: {source}"))
        }
        MountKind::Image if source.is_empty() => refuse("an image mount needs an image".into()),
        MountKind::Npipe | MountKind::Cluster => refuse(format!("mount type {:?} is not supported", mount.kind)),
        _ => Ok(()),
    }
}

/// The container gives its volumes back; with `remove` the anonymous ones go.
pub(super) fn release(engine: &Inner, id: &ContainerId, mounts: &[PlannedMount], remove: bool) {
    for planned in mounts {
        let Some(name) = planned.mount.source.as_deref().filter(|_| planned.mount.kind == MountKind::Volume) else {
            continue;
        };
        engine.options.volumes.release(name, id.as_str());
        if remove && planned.anonymous {
            match engine.options.volumes.remove(name) {
                Ok(()) => engine.events.publish("volume", "destroy", actor(name, &[])),
                Err(error) => tracing::debug!(volume = name, error = %error, "an anonymous volume stays"),
            }
        }
    }
}

/// A volume as its events name it. All are of one driver.
fn actor(name: &str, more: &[(&str, &str)]) -> Actor {
    let attributes = std::iter::once(&("driver", "local")).chain(more);
    Actor {
        id: name.to_owned(),
        attributes: attributes.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
    }
}

/// The container has stopped: file systems of volumes may go. Answers what is to be told of it.
pub(super) fn unmount(engine: &Inner, record: &Record) -> Vec<Told> {
    let mut told = Vec::new();
    let mut held = BTreeSet::new();
    for planned in record.mounts.iter().filter(|planned| planned.mount.kind == MountKind::Volume) {
        let name = planned.mount.source.as_deref().unwrap_or_default();
        match engine.options.volumes.unmount(name, record.id.as_str()) {
            Ok(true) => drop(held.insert(name)),
            Ok(false) => {}
            Err(error) => tracing::warn!(volume = name, %error, "cannot unmount a volume"),
        }
        if held.contains(name) {
            told.push(("volume", "unmount", actor(name, &[("container", record.id.as_str())])));
        }
    }
    told
}

/// Makes all sources reachable, filling empty volumes from the image.
pub(super) async fn ready(engine: &Inner, record: &Record, root: &Union) -> Result<Vec<ReadyMount>> {
    let mut mounts = Vec::new();
    for PlannedMount { mount, .. } in &record.mounts {
        let source = mount.source.clone().unwrap_or_default();
        let target = mount.target.clone();
        mounts.push(match mount.kind {
            MountKind::Volume => {
                let volumes = &engine.options.volumes;
                let mut path = volumes.mount(&source, record.id.as_str())?;
                let seen = [
                    ("container", record.id.as_str()),
                    ("destination", &target),
                    ("propagation", mount.propagation.as_deref().unwrap_or_default()),
                    ("read/write", if mount.read_only { "false" } else { "true" }),
                ];
                engine.events.publish("volume", "mount", actor(&source, &seen));
                if !mount.no_copy && root.is_dir(&target) && is_empty(&path) {
                    super::files::populate(engine, record, &target, &path).await?;
                }
                if let Some(sub) = mount.subpath.as_deref().filter(|sub| !sub.is_empty()) {
                    path = hoist_volume::subpath(&path, sub)?;
                }
                ReadyMount::Bind { source: path, target, options: bind_options(mount) }
            }
            MountKind::Bind => {
                let path = PathBuf::from(&source);
                if !path.exists() {
                    if !mount.create_host_path {
                        return Err(EngineError::InvalidParameter(format!(
                            "bind source path does not exist: {source}"
                        )));
                    }
                    fs_err::create_dir_all(&path)?;
                }
                ReadyMount::Bind { source: path, target, options: bind_options(mount) }
            }
            MountKind::Tmpfs => ReadyMount::Tmpfs { target, options: tmpfs_options(mount) },
            MountKind::Image => {
                let mut lower = engine.options.images.get(&source).await?.layer_dirs;
                if let Some(sub) = mount.subpath.as_deref().filter(|sub| !sub.is_empty()) {
                    lower = lower.iter().filter_map(|dir| hoist_volume::subpath(dir, sub).ok()).collect();
                    if lower.is_empty() {
                        let why = format!("image {source:?} has no directory {sub:?}");
                        return Err(EngineError::InvalidParameter(why));
                    }
                }
                match lower.len() {
                    // An overlay of one directory is that directory.
                    1 => ReadyMount::Bind {
                        source: lower.remove(0),
                        target,
                        options: BindOptions { read_only: true, ..BindOptions::default() },
                    },
                    _ => ReadyMount::Overlay { lower, target },
                }
            }
            MountKind::Npipe | MountKind::Cluster => continue,
        });
    }
    Ok(mounts)
}

fn is_empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none())
}

fn bind_options(mount: &Mount) -> BindOptions {
    let mode = mount.recursive.as_deref().unwrap_or_default();
    BindOptions {
        read_only: mount.read_only,
        recursive: mount.kind == MountKind::Bind && mode != "disabled",
        read_only_recursive: mount.read_only && mode == "readonly",
        propagation: mount.propagation.clone().unwrap_or_default(),
    }
}

fn tmpfs_options(mount: &Mount) -> Vec<String> {
    let mut options: Vec<String> = ["nosuid", "nodev"].map(str::to_owned).into();
    let own = &mount.tmpfs_options;
    let has = |word: &str| own.iter().any(|option| option == word);
    if !has("exec") {
        options.push("noexec".into());
    }
    options.retain(|option| match option.as_str() {
        "nosuid" => !has("suid"),
        "nodev" => !has("dev"),
        _ => true,
    });
    options.extend(own.iter().cloned());
    if let Some(size) = mount.tmpfs_size {
        options.push(format!("size={size}"));
    }
    if let Some(mode) = mount.tmpfs_mode {
        options.push(format!("mode={mode:o}"));
    }
    if mount.read_only {
        options.push("ro".into());
    }
    options
}

/// As people see them.
pub(crate) fn points(engine: &Inner, record: &Record) -> Vec<MountPoint> {
    let point = |PlannedMount { mount, anonymous }: &PlannedMount| {
        let volume = (mount.kind == MountKind::Volume).then(|| mount.source.clone().unwrap_or_default());
        let source = match &volume {
            Some(name) => engine
                .options
                .volumes
                .inspect(name)
                .map(|volume| volume.mountpoint.display().to_string())
                .unwrap_or_default(),
            None => mount.source.clone().unwrap_or_default(),
        };
        let propagation = match (mount.kind, mount.propagation.as_deref()) {
            (_, Some(word)) if !word.is_empty() => word.to_owned(),
            (MountKind::Bind, _) => "rprivate".into(),
            _ => String::new(),
        };
        MountPoint {
            kind: mount.kind,
            driver: volume.is_some().then(|| "local".to_owned()),
            name: volume,
            source,
            target: mount.target.clone(),
            read_write: !mount.read_only && mount.kind != MountKind::Image,
            propagation,
            anonymous: *anonymous,
        }
    };
    record.mounts.iter().map(point).collect()
}
