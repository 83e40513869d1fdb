//! What a specification must be beyond its keys.

use std::collections::{BTreeMap, HashSet};

use super::version::{minimum, rank};
use super::{Edits, Spec};
use hoist_choice::{check_device, check_kind};

/// Where, and what is wrong.
type Wrong = (String, String);

pub(super) fn check(spec: &Spec) -> Result<(), Wrong> {
    let Some(said) = rank(&spec.cdi_version) else {
        return Err((
            "cdiVersion".into(),
            format!("{:?} is no version of the specification that is known here", spec.cdi_version),
        ));
    };
    check_kind(&spec.kind).map_err(|why| ("kind".to_owned(), why))?;
    annotations(&spec.annotations, "annotations")?;
    if spec.devices.is_empty() {
        return Err(("devices".into(), "there must be at least one device".into()));
    }
    let mut names = HashSet::new();
    for (index, device) in spec.devices.iter().enumerate() {
        let at = format!("devices[{index}]");
        check_device(&device.name).map_err(|why| (format!("{at}.name"), why))?;
        if !names.insert(&device.name) {
            return Err((format!("{at}.name"), format!("a device before it has the name {:?} too", device.name)));
        }
        annotations(&device.annotations, &format!("{at}.annotations"))?;
        let key = format!("{at}.containerEdits");
        if device.container_edits.is_empty() {
            return Err((key, "a device must change something".into()));
        }
        edits(&device.container_edits, &key)?;
    }
    edits(&spec.container_edits, "containerEdits")?;
    let (least, key) = minimum(spec);
    if rank(least) > Some(said) {
        return Err((key, format!("needs cdiVersion {least}, and the file says {}", spec.cdi_version)));
    }
    Ok(())
}

fn annotations(annotations: &BTreeMap<String, String>, at: &str) -> Result<(), Wrong> {
    let size: usize = annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    if size > 256 << 10 {
        return Err((at.to_owned(), format!("{size} bytes are more than 256 KiB")));
    }
    for key in annotations.keys() {
        let (prefix, name) = key.rsplit_once('/').map_or((None, key.as_str()), |(prefix, name)| (Some(prefix), name));
        let good = check_device(name).is_ok()
            && name.len() <= 63
            && !name.contains(':')
            && prefix.is_none_or(|prefix| check_kind(&format!("{prefix}/x")).is_ok());
        if !good {
            return Err((format!("{at}.{key}"), "is not of the form name or vendor.com/name".into()));
        }
    }
    Ok(())
}

fn edits(edits: &Edits, at: &str) -> Result<(), Wrong> {
    let wrong = |key: String, why: &str| Err((format!("{at}.{key}"), why.to_owned()));
    let variables = |list: &[String], key: &str| -> Result<(), Wrong> {
        for (index, variable) in list.iter().enumerate() {
            if variable.split_once('=').is_none_or(|(name, _)| name.is_empty()) {
                return Err((format!("{at}.{key}[{index}]"), format!("{variable:?} is not of the form NAME=value")));
            }
        }
        Ok(())
    };
    variables(&edits.env, "env")?;
    for (index, node) in edits.device_nodes.iter().enumerate() {
        let key = format!("deviceNodes[{index}]");
        if !node.path.starts_with('/') {
            return wrong(format!("{key}.path"), "must be an absolute path");
        }
        if node.host_path.as_deref().is_some_and(|path| !path.is_empty() && !path.starts_with('/')) {
            return wrong(format!("{key}.hostPath"), "must be an absolute path");
        }
        if node.kind.as_deref().is_some_and(|kind| !matches!(kind, "" | "b" | "c" | "u" | "p")) {
            return wrong(format!("{key}.type"), "must be b, c, u or p");
        }
        let letters = node.permissions.as_deref().unwrap_or_default();
        if letters != "none" && !letters.bytes().all(|letter| b"rwm".contains(&letter)) {
            return wrong(format!("{key}.permissions"), "must be made of r, w and m, or be none");
        }
    }
    for (index, mount) in edits.mounts.iter().enumerate() {
        if mount.host_path.is_empty() {
            return wrong(format!("mounts[{index}].hostPath"), "is empty");
        }
        if !mount.container_path.starts_with('/') {
            return wrong(format!("mounts[{index}].containerPath"), "must be an absolute path");
        }
    }
    for (index, hook) in edits.hooks.iter().enumerate() {
        const NAMES: [&str; 6] =
            ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];
        if !NAMES.contains(&hook.hook_name.as_str()) {
            return Err((format!("{at}.hooks[{index}].hookName"), format!("must be one of {}", NAMES.join(", "))));
        }
        if !hook.path.starts_with('/') {
            return wrong(format!("hooks[{index}].path"), "must be an absolute path");
        }
        if hook.timeout.is_some_and(|seconds| seconds <= 0) {
            return wrong(format!("hooks[{index}].timeout"), "must be greater than zero");
        }
        variables(&hook.env, &format!("hooks[{index}].env"))?;
    }
    let mut inside = HashSet::new();
    for (index, device) in edits.net_devices.iter().enumerate() {
        let good = |name: &str| {
            (1..16).contains(&name.len()) && !name.contains(['/', ':', ' ']) && name != "." && name != ".."
        };
        if !good(&device.host_interface_name) {
            return wrong(format!("netDevices[{index}].hostInterfaceName"), "is no name of a network interface");
        }
        if !good(&device.name) {
            return wrong(format!("netDevices[{index}].name"), "is no name of a network interface");
        }
        if !inside.insert(&device.name) {
            return wrong(format!("netDevices[{index}].name"), "another interface has this name");
        }
    }
    if let Some(clos) = edits.intel_rdt.as_ref().and_then(|rdt| rdt.clos_id.as_deref())
        && (clos.is_empty() || clos.len() >= 4096 || matches!(clos, "." | "..") || clos.contains(['/', '\n']))
    {
        return wrong("intelRdt.closID".into(), "is no name of a directory");
    }
    Ok(())
}
