//! Edits become part of a container's OCI spec.

use std::os::unix::fs::{FileTypeExt, MetadataExt};

use serde_json::{Map, Value, json};

use super::{DeviceNode, Edits, Mount};
use crate::{DeviceError, Result};

/// Applies edits to an OCI spec in its JSON form.
///
/// # Errors
/// `Missing` for a device node or a mount's source that is not on this host, or is of another type than it is said.
pub fn apply(edits: &Edits, spec: &mut Value) -> Result<()> {
    for variable in &edits.env {
        set_variable(spec, variable);
    }
    let user = spec["process"]["user"]["uid"].as_u64().filter(|uid| *uid > 0);
    let group = spec["process"]["user"]["gid"].as_u64().filter(|gid| *gid > 0);
    for node in &edits.device_nodes {
        device(spec, node, user, group)?;
    }
    for mount in &edits.mounts {
        add_mount(spec, mount)?;
    }
    for hook in &edits.hooks {
        let mut value = json!({ "path": hook.path });
        for (key, list) in [("args", &hook.args), ("env", &hook.env)] {
            if !list.is_empty() {
                value[key] = list.clone().into();
            }
        }
        if let Some(seconds) = hook.timeout {
            value["timeout"] = seconds.into();
        }
        list(spec, &["hooks", &hook.hook_name]).push(value);
    }
    for gid in edits.additional_gids.iter().filter(|gid| **gid != 0) {
        let gids = list(spec, &["process", "user", "additionalGids"]);
        if !gids.contains(&json!(gid)) {
            gids.push(json!(gid));
        }
    }
    for device in &edits.net_devices {
        map(spec, &["linux", "netDevices"]).insert(device.host_interface_name.clone(), json!({ "name": device.name }));
    }
    if let Some(rdt) = &edits.intel_rdt {
        let value = serde_json::to_value(rdt).unwrap_or_default();
        map(spec, &["linux"]).insert("intelRdt".into(), value);
    }
    Ok(())
}

/// A later variable of a name replaces an earlier one.
fn set_variable(spec: &mut Value, variable: &str) {
    let name = variable.split_once('=').map_or(variable, |(name, _)| name);
    let env = list(spec, &["process", "env"]);
    let same =
        |value: &Value| value.as_str().and_then(|text| text.split_once('=')).is_some_and(|(other, _)| other == name);
    match env.iter().position(same) {
        Some(place) => env[place] = variable.into(),
        None => env.push(variable.into()),
    }
}

fn device(spec: &mut Value, node: &DeviceNode, user: Option<u64>, group: Option<u64>) -> Result<()> {
    let mut kind = node.kind.clone().filter(|kind| !kind.is_empty());
    let (mut major, mut minor) = (node.major, node.minor);
    let mut mode = node.file_mode;
    let complete = kind.as_deref() == Some("p") || (kind.is_some() && major.is_some() && minor.is_some());
    if !complete {
        let host = node.host();
        let meta = std::fs::metadata(host)
            .map_err(|error| DeviceError::Missing(format!("the device node {host} cannot be looked at: {error}")))?;
        let found = match meta.file_type() {
            found if found.is_char_device() => "c",
            found if found.is_block_device() => "b",
            found if found.is_fifo() => "p",
            _ => return Err(DeviceError::Missing(format!("{host} is not a device node"))),
        };
        // An unbuffered device is a character device by another name.
        if let Some(said) = kind.as_deref()
            && said != found
            && (said, found) != ("u", "c")
        {
            return Err(DeviceError::Missing(format!("the device node {host} has the type {found}, not {said}")));
        }
        kind = kind.or_else(|| Some(found.to_owned()));
        if found != "p" {
            major = major.or_else(|| Some(rustix::fs::major(meta.rdev()).into()));
            minor = minor.or_else(|| Some(rustix::fs::minor(meta.rdev()).into()));
        }
        mode = mode.or(Some(meta.mode() & 0o7777));
    }
    let kind = kind.unwrap_or_else(|| "c".into());
    let mut made = json!({ "path": node.path, "type": kind });
    let numbers = [
        ("major", major),
        ("minor", minor),
        ("fileMode", mode.map(i64::from)),
        // The node belongs to the container's user unless somebody is named.
        ("uid", node.uid.map(i64::from).or(user.and_then(|uid| i64::try_from(uid).ok()))),
        ("gid", node.gid.map(i64::from).or(group.and_then(|gid| i64::try_from(gid).ok()))),
    ];
    for (key, number) in numbers {
        if let Some(number) = number {
            made[key] = number.into();
        }
    }
    let devices = list(spec, &["linux", "devices"]);
    devices.retain(|other| other["path"] != node.path.as_str());
    devices.push(made);
    if matches!(kind.as_str(), "b" | "c" | "u") {
        let access = match node.permissions.as_deref() {
            None | Some("") => "rwm",
            Some("none") => "",
            Some(letters) => letters,
        };
        let kind = if kind == "b" { "b" } else { "c" };
        let mut rule = json!({ "allow": true, "type": kind, "access": access });
        for (key, number) in [("major", major), ("minor", minor)] {
            if let Some(number) = number {
                rule[key] = number.into();
            }
        }
        if !access.is_empty() {
            list(spec, &["linux", "resources", "devices"]).push(rule);
        }
    }
    Ok(())
}

/// Puts a mount where nothing that is mounted below it is hidden by it.
fn add_mount(spec: &mut Value, mount: &Mount) -> Result<()> {
    let bind = mount.options.iter().any(|option| option == "bind" || option == "rbind");
    if bind && let Err(error) = std::fs::metadata(&mount.host_path) {
        return Err(DeviceError::Missing(format!("{} cannot be mounted: {error}", mount.host_path)));
    }
    let mut value = json!({ "source": mount.host_path, "destination": mount.container_path });
    match mount.kind.as_deref().filter(|kind| !kind.is_empty()) {
        Some(kind) => value["type"] = kind.into(),
        None if bind => value["type"] = "none".into(),
        None => {}
    }
    if !mount.options.is_empty() {
        value["options"] = mount.options.clone().into();
    }
    let mounts = list(spec, &["mounts"]);
    mounts.retain(|other| other["destination"] != mount.container_path.as_str());
    let below = format!("{}/", mount.container_path.trim_end_matches('/'));
    let place =
        mounts.iter().position(|other| other["destination"].as_str().is_some_and(|path| path.starts_with(&below)));
    mounts.insert(place.unwrap_or(mounts.len()), value);
    Ok(())
}

fn map<'a>(value: &'a mut Value, path: &[&str]) -> &'a mut Map<String, Value> {
    let mut at = value;
    for key in path {
        let inside = as_map(at);
        at = inside.entry(*key).or_insert_with(|| json!({}));
    }
    as_map(at)
}

fn as_map(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = json!({});
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("it was made a map"),
    }
}

fn list<'a>(value: &'a mut Value, path: &[&str]) -> &'a mut Vec<Value> {
    let Some((last, parents)) = path.split_last() else { unreachable!("a list has a name") };
    let entry = map(value, parents).entry(*last).or_insert_with(|| json!([]));
    if !entry.is_array() {
        *entry = json!([]);
    }
    match entry {
        Value::Array(list) => list,
        _ => unreachable!("it was made a list"),
    }
}
