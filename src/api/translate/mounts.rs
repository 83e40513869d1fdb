//! `Binds`, `Mounts`, `Tmpfs` and `Volumes`.

use hoist_proto::spec::{ContainerSpec, Mount, MountKind};

use super::create::text;
use crate::api::{
    dto::{config::Config, host_config::HostConfig, mount as dto},
    error::ApiError,
};

pub fn apply(
    spec: &mut ContainerSpec,
    config: &Config,
    host: &HostConfig,
    warnings: &mut Vec<String>,
) -> Result<(), ApiError> {
    let driver = text(host.volume_driver.clone());
    for bind in host.binds.iter().flatten() {
        let mut mount = bind_text(bind)?;
        if mount.kind == MountKind::Volume {
            mount.driver.clone_from(&driver);
        }
        add(spec, mount)?;
    }
    for mount in host.mounts.iter().flatten() {
        if driver.is_some() && mount.kind == "volume" {
            warnings.push(
                "WARNING: the container-wide volume-driver configuration is ignored for volumes specified via 'mount'. Use '--mount type=volume,volume-driver=...' instead"
                    .to_owned(),
            );
        }
        add(spec, mount_object(mount)?)?;
    }
    for (target, options) in &host.tmpfs {
        let tmpfs_options = options.split(',').filter(|option| !option.is_empty()).map(str::to_owned).collect();
        let target = absolute(target, target)?;
        add(spec, Mount { kind: MountKind::Tmpfs, target, tmpfs_options, ..Mount::default() })?;
    }
    for target in config.volumes.iter().flat_map(|volumes| volumes.keys()) {
        let target = absolute(target, target)?;
        if !spec.mounts.iter().any(|mount| mount.target == target) {
            spec.mounts.push(Mount { target, driver: driver.clone(), ..Mount::default() });
        }
    }
    Ok(())
}

fn add(spec: &mut ContainerSpec, mount: Mount) -> Result<(), ApiError> {
    if spec.mounts.iter().any(|other| other.target == mount.target) {
        return Err(ApiError::bad_request(format!("Duplicate mount point: {}", mount.target)));
    }
    spec.mounts.push(mount);
    Ok(())
}

/// `/host/path:/target[:options]`, `name:/target[:options]` or `/target`.
fn bind_text(text: &str) -> Result<Mount, ApiError> {
    let refuse = |why: &str| ApiError::bad_request(format!("invalid volume specification: '{text}': {why}"));
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts.as_slice() {
        [target] => ("", *target, ""),
        [source, target] => (*source, *target, ""),
        [source, target, options] => (*source, *target, *options),
        _ => return Err(refuse("it has too many parts")),
    };
    if parts.len() > 1 && source.is_empty() {
        return Err(refuse("the source is empty"));
    }
    let mut mount = Mount { target: absolute(target, text)?, ..Mount::default() };
    if source.starts_with('/') {
        mount.kind = MountKind::Bind;
        mount.source = Some(clean(source));
        mount.create_host_path = true;
    } else if !source.is_empty() {
        mount.source = Some(volume_name(source)?);
    }
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => mount.read_only = true,
            "rw" => mount.read_only = false,
            "z" | "Z" => mount.selinux = Some(option.to_owned()),
            "nocopy" if mount.kind == MountKind::Volume => mount.no_copy = true,
            "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave" if mount.kind == MountKind::Bind => {
                mount.propagation = Some(option.to_owned());
            }
            // They tune file sharing with a virtual machine; there is none, so all hold.
            "consistent" | "cached" | "delegated" => {}
            _ => return Err(refuse(&format!("invalid mode: {option}"))),
        }
    }
    Ok(mount)
}

pub(super) fn mount_object(asked: &dto::Mount) -> Result<Mount, ApiError> {
    let refuse =
        |why: String| ApiError::bad_request(format!("invalid mount config for type \"{}\": {why}", asked.kind));
    let kind = match asked.kind.as_str() {
        "bind" => MountKind::Bind,
        "volume" => MountKind::Volume,
        "tmpfs" => MountKind::Tmpfs,
        "image" => MountKind::Image,
        "npipe" | "cluster" => return Err(refuse("it is not supported on this node".to_owned())),
        _ => return Err(ApiError::bad_request(format!("mount type unknown: {:?}", asked.kind))),
    };
    for (field, given, belongs) in [
        ("BindOptions", asked.bind_options.is_some(), MountKind::Bind),
        ("VolumeOptions", asked.volume_options.is_some(), MountKind::Volume),
        ("ImageOptions", asked.image_options.is_some(), MountKind::Image),
        ("TmpfsOptions", asked.tmpfs_options.is_some(), MountKind::Tmpfs),
        ("ClusterOptions", asked.cluster_options.is_some(), MountKind::Cluster),
    ] {
        if given && kind != belongs {
            return Err(refuse(format!("field {field} must not be specified")));
        }
    }
    if asked.target.is_empty() {
        return Err(refuse("field Target must not be empty".to_owned()));
    }
    let mut mount = Mount {
        kind,
        source: text(asked.source.clone()),
        target: absolute(&asked.target, &asked.target)?,
        read_only: asked.read_only,
        ..Mount::default()
    };
    match (kind, mount.source.as_deref()) {
        (MountKind::Bind | MountKind::Image, None) => {
            return Err(refuse("field Source must not be empty".to_owned()));
        }
        (MountKind::Bind, Some(source)) if !source.starts_with('/') => {
            return Err(refuse(format!("invalid mount path: '{source}' mount path must be absolute")));
        }
        (MountKind::Bind, Some(source)) => mount.source = Some(clean(source)),
        (MountKind::Volume, Some(source)) => mount.source = Some(volume_name(source)?),
        (MountKind::Tmpfs, Some(_)) => return Err(refuse("field Source must not be specified".to_owned())),
        _ => {}
    }
    if let Some(options) = &asked.bind_options {
        bind_options(&mut mount, options).map_err(refuse)?;
    }
    if let Some(options) = asked.volume_options.clone() {
        let driver = options.driver_config.unwrap_or_default();
        mount.no_copy = options.no_copy;
        mount.labels = options.labels;
        mount.subpath = text(options.subpath);
        mount.driver = text(driver.name);
        mount.driver_options = driver.options;
    }
    if let Some(options) = &asked.image_options {
        mount.subpath = text(options.subpath.clone());
    }
    if let Some(options) = &asked.tmpfs_options {
        mount.tmpfs_size = u64::try_from(options.size_bytes)
            .map(|size| Some(size).filter(|size| *size > 0))
            .map_err(|_| refuse(format!("size {} is negative", options.size_bytes)))?;
        mount.tmpfs_mode = u32::try_from(options.mode)
            .ok()
            .filter(|mode| *mode <= 0o7777)
            .map(|mode| Some(mode).filter(|mode| *mode > 0))
            .ok_or_else(|| refuse(format!("mode {:o} is none", options.mode)))?;
        mount.tmpfs_options = options.options.iter().map(|pair| pair.join("=")).collect();
    }
    Ok(mount)
}

fn bind_options(mount: &mut Mount, options: &dto::BindOptions) -> Result<(), String> {
    mount.propagation = text(options.propagation.clone());
    if let Some(propagation) = &mount.propagation
        && !matches!(propagation.as_str(), "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave")
    {
        return Err(format!("invalid propagation mode: {propagation}"));
    }
    mount.create_host_path = options.create_mountpoint;
    mount.recursive = match (options.non_recursive, options.read_only_non_recursive, options.read_only_force_recursive)
    {
        (false, false, false) => None,
        (true, false, false) => Some("disabled".to_owned()),
        (false, true, false) => Some("writable".to_owned()),
        (false, false, true) => Some("readonly".to_owned()),
        _ => {
            return Err("NonRecursive, ReadOnlyNonRecursive and ReadOnlyForceRecursive exclude each other".to_owned());
        }
    };
    Ok(())
}

/// An absolute path that is not the root, without doubled or trailing slashes.
fn absolute(path: &str, whole: &str) -> Result<String, ApiError> {
    if !path.starts_with('/') {
        return Err(ApiError::bad_request(format!(
            "invalid volume specification: '{whole}': invalid mount path: '{path}' mount path must be absolute"
        )));
    }
    let path = clean(path);
    if path == "/" {
        return Err(ApiError::bad_request(format!(
            "invalid volume specification: '{whole}': destination can't be '/'"
        )));
    }
    Ok(path)
}

/// A path without `.`, `..`, doubled and trailing slashes, as far as its text tells.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

fn volume_name(name: &str) -> Result<String, ApiError> {
    let mut chars = name.chars();
    let valid = chars.next().is_some_and(|c| c.is_ascii_alphanumeric())
        && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
    if valid && name.len() > 1 {
        Ok(name.to_owned())
    } else {
        Err(ApiError::bad_request(format!(
            "create {name}: \"{name}\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::body;

    fn mounts(json: &str) -> Result<Vec<Mount>, ApiError> {
        let mut config: Config = body::parse(json.as_bytes())?;
        let host = *config.host_config.take().unwrap_or_default();
        let mut spec = ContainerSpec::default();
        apply(&mut spec, &config, &host, &mut Vec::new())?;
        Ok(spec.mounts)
    }

    #[test]
    fn binds() {
        let got = mounts(r#"{"HostConfig":{"Binds":["/a//b/:/c:ro,rshared,z","data:/d:nocopy","/e"]}}"#).unwrap();
        assert_eq!(got[0].source.as_deref(), Some("/a/b"));
        assert!(got[0].read_only && got[0].create_host_path);
        assert_eq!(got[0].propagation.as_deref(), Some("rshared"));
        assert_eq!((got[1].kind, got[1].no_copy), (MountKind::Volume, true));
        assert_eq!((got[2].kind, got[2].source.as_deref()), (MountKind::Volume, None));
    }

    #[test]
    fn mounts_of_every_kind() {
        let got = mounts(
            r#"{"Volumes":{"/v":{},"/t":{}},"HostConfig":{"Tmpfs":{"/t":"size=1m,noexec"},"Mounts":[
                {"Type":"tmpfs","Target":"/u","TmpfsOptions":{"SizeBytes":10,"Mode":1023,"Options":[["noexec"],["nr_inodes","5"]]}},
                {"Type":"image","Source":"busybox","Target":"/i","ImageOptions":{"Subpath":"bin"}},
                {"Type":"bind","Source":"/x","Target":"/y","BindOptions":{"NonRecursive":true}}]}}"#,
        )
        .unwrap();
        let targets: Vec<&str> = got.iter().map(|mount| mount.target.as_str()).collect();
        assert_eq!(targets, ["/u", "/i", "/y", "/t", "/v"]);
        assert_eq!(got[0].tmpfs_options, ["noexec", "nr_inodes=5"]);
        assert_eq!(got[2].recursive.as_deref(), Some("disabled"));
        assert!(!got[2].create_host_path);
    }

    #[test]
    fn nonsense_is_refused() {
        for (json, message) in [
            (r#"{"HostConfig":{"Binds":["a:b"]}}"#, "mount path must be absolute"),
            (r#"{"HostConfig":{"Binds":["./a:/b"]}}"#, "use absolute path"),
            (r#"{"HostConfig":{"Binds":["/a:/"]}}"#, "destination can't be '/'"),
            (r#"{"HostConfig":{"Binds":["/a:/b:what"]}}"#, "invalid mode: what"),
            (r#"{"HostConfig":{"Binds":["/a:/b","/c:/b/"]}}"#, "Duplicate mount point: /b"),
            (r#"{"HostConfig":{"Mounts":[{"Type":"bind","Target":"/a"}]}}"#, "Source must not be empty"),
            (r#"{"HostConfig":{"Mounts":[{"Type":"x","Target":"/a"}]}}"#, "mount type unknown"),
            (
                r#"{"HostConfig":{"Mounts":[{"Type":"bind","Source":"/a","Target":"/a","TmpfsOptions":{}}]}}"#,
                "TmpfsOptions",
            ),
        ] {
            let err = mounts(json).unwrap_err();
            assert!(err.message.contains(message), "{json}: {}", err.message);
        }
    }
}
