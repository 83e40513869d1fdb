//! Devices: those that every container has, those that were asked for, and the rules for both.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use hoist_proto::spec::{ContainerSpec, DeviceMapping};
use serde_json::{Value, json};

use crate::{EngineError, Result};

/// A device node and the rule that allows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Device {
    pub path: String,
    /// `c` or `b`.
    pub kind: char,
    pub major: i64,
    pub minor: i64,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub access: String,
    /// The node is made; else only the rule.
    pub create: bool,
}

impl Device {
    pub(super) fn to_json(&self) -> Value {
        json!({
            "path": self.path, "type": self.kind.to_string(), "major": self.major, "minor": self.minor,
            "fileMode": self.mode, "uid": self.uid, "gid": self.gid,
        })
    }

    fn read(host: &Path, container: String, access: &str) -> std::io::Result<Option<Self>> {
        let meta = std::fs::metadata(host)?;
        let kind = match meta.file_type() {
            kind if kind.is_char_device() => 'c',
            kind if kind.is_block_device() => 'b',
            _ => return Ok(None),
        };
        Ok(Some(Self {
            path: container,
            kind,
            major: i64::from(rustix::fs::major(meta.rdev())),
            minor: i64::from(rustix::fs::minor(meta.rdev())),
            mode: meta.mode() & 0o7777,
            uid: meta.uid(),
            gid: meta.gid(),
            access: access.to_owned(),
            create: true,
        }))
    }
}

/// The devices that a mapping means: one, or all below a directory.
pub(crate) fn find_devices(mapping: &DeviceMapping) -> Result<Vec<Device>> {
    let access = if mapping.permissions.is_empty() { "rwm" } else { &mapping.permissions };
    if !access.bytes().all(|byte| b"rwm".contains(&byte)) {
        return Err(EngineError::InvalidParameter(format!("invalid device mode {access:?} of {}", mapping.host)));
    }
    let container = if mapping.container.is_empty() { &mapping.host } else { &mapping.container };
    if !container.starts_with('/') {
        return Err(EngineError::InvalidParameter(format!("device path {container:?} is not absolute")));
    }
    let gather = |error: std::io::Error| {
        EngineError::InvalidParameter(format!(
            "error gathering device information while adding custom device {:?}: {error}",
            mapping.host
        ))
    };
    let host = Path::new(&mapping.host);
    if host.is_dir() {
        let mut found = Vec::new();
        below(host, container, access, &mut found).map_err(gather)?;
        if found.is_empty() {
            return Err(gather(std::io::Error::other("no device is below it")));
        }
        return Ok(found);
    }
    let device = Device::read(host, container.clone(), access).map_err(gather)?;
    device.map(|device| vec![device]).ok_or_else(|| gather(std::io::Error::other("not a device node")))
}

fn below(host: &Path, container: &str, access: &str, found: &mut Vec<Device>) -> std::io::Result<()> {
    for entry in fs_err::read_dir(host)? {
        let entry = entry?;
        let inside = format!("{container}/{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            below(&entry.path(), &inside, access, found)?;
        } else if !kind.is_symlink() {
            found.extend(Device::read(&entry.path(), inside, access)?);
        }
    }
    Ok(())
}

/// All of the host's, for privileged containers. Those that a container has its own of are left out.
pub(crate) fn all_host_devices() -> Vec<Device> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir("/dev") else { return found };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let own = ["pts", "shm", "fd", "mqueue", "console", "ptmx", "null", "zero", "full", "random", "urandom", "tty"];
        if own.contains(&name.as_str()) || name.starts_with(".lxc") {
            continue;
        }
        let inside = format!("/dev/{name}");
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => drop(below(&entry.path(), &inside, "rwm", &mut found)),
            Ok(kind) if !kind.is_symlink() => {
                if let Ok(Some(device)) = Device::read(&entry.path(), inside, "rwm") {
                    found.push(device);
                }
            }
            _ => {}
        }
    }
    found
}

/// Who may do what: nothing, then what every container may, then what was asked for.
pub(super) fn rules(spec: &ContainerSpec, devices: &[Device]) -> Result<Vec<Value>> {
    if spec.security.privileged {
        return Ok(vec![json!({ "allow": true, "access": "rwm" })]);
    }
    let rule = |kind: char, major: Option<i64>, minor: Option<i64>, access: &str| {
        let mut rule = json!({ "allow": true, "type": kind.to_string(), "access": access });
        for (key, number) in [("major", major), ("minor", minor)] {
            if let Some(number) = number {
                rule[key] = number.into();
            }
        }
        rule
    };
    let mut rules =
        vec![json!({ "allow": false, "access": "rwm" }), rule('c', None, None, "m"), rule('b', None, None, "m")];
    for (major, minor) in [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)] {
        rules.push(rule('c', Some(major), Some(minor), "rwm"));
    }
    rules.push(rule('c', Some(136), None, "rwm"));
    for device in devices {
        rules.push(rule(device.kind, Some(device.major), Some(device.minor), &device.access));
    }
    for text in &spec.resources.device_cgroup_rules {
        rules.push(parse_rule(text)?);
    }
    Ok(rules)
}

/// `c 1:* rwm`
fn parse_rule(text: &str) -> Result<Value> {
    let bad = || EngineError::InvalidParameter(format!("invalid device cgroup rule format: {text:?}"));
    let words: Vec<&str> = text.split_whitespace().collect();
    let [kind, numbers, access] = words[..] else { return Err(bad()) };
    let (major, minor) = numbers.split_once(':').ok_or_else(bad)?;
    let number = |text: &str| if text == "*" { Ok(None) } else { text.parse::<i64>().map(Some).map_err(|_| bad()) };
    if !matches!(kind, "a" | "b" | "c") || !access.bytes().all(|byte| b"rwm".contains(&byte)) {
        return Err(bad());
    }
    let mut rule = json!({ "allow": true, "type": kind, "access": access });
    for (key, number) in [("major", number(major)?), ("minor", number(minor)?)] {
        if let Some(number) = number {
            rule[key] = number.into();
        }
    }
    Ok(rule)
}
