//! The spec's mounts and devices, checked.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxDevice, LinuxDeviceType, Mount};

use super::options::MountOptions;
use crate::launch::LaunchError;
use crate::launch::plan::{CLONE_NEWNS, CLONE_NEWUSER, IdRange, Namespaces, id_ranges};

/// One mount.
#[derive(Debug, Clone)]
pub(crate) struct MountPlan {
    /// Where, in the container; absolute.
    pub target: PathBuf,
    /// The kind of file system; empty for a bind.
    pub kind: String,
    /// For a bind, an absolute path on the host; else whatever the file system takes.
    pub source: PathBuf,
    pub options: MountOptions,
    /// For an id-mapped mount: its own maps, or the container's if these are empty.
    pub uid_map: Vec<IdRange>,
    pub gid_map: Vec<IdRange>,
}

impl MountPlan {
    /// Whether the container may make cgroups through this mount.
    pub(crate) fn is_writable_cgroup(&self) -> bool {
        (self.kind == "cgroup" || self.kind == "cgroup2")
            && self.target == Path::new("/sys/fs/cgroup")
            && (self.options.attr.set | self.options.recursive_attr.set) & crate::sys::MOUNT_ATTR_RDONLY == 0
    }
}

/// One device node.
#[derive(Debug, Clone)]
pub(crate) struct DevicePlan {
    pub path: PathBuf,
    /// S_IFCHR, S_IFBLK or S_IFIFO.
    pub kind: u32,
    pub major: u32,
    pub minor: u32,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

fn invalid<T>(text: impl Into<String>) -> Result<T, LaunchError> {
    Err(LaunchError::Invalid(text.into()))
}

/// Reads and checks the spec's mounts.
pub(crate) fn mount_plans(
    mounts: &[Mount],
    bundle: &Path,
    namespaces: &Namespaces,
) -> Result<Vec<MountPlan>, LaunchError> {
    if !mounts.is_empty() && !namespaces.has(CLONE_NEWNS) {
        return invalid("mounts need a mount namespace of the container's own");
    }
    mounts.iter().map(|mount| mount_plan(mount, bundle, namespaces)).collect()
}

fn mount_plan(mount: &Mount, bundle: &Path, namespaces: &Namespaces) -> Result<MountPlan, LaunchError> {
    let destination = mount.destination();
    if destination.as_os_str().is_empty() || destination.as_os_str().as_bytes().contains(&0) {
        return invalid(format!("mounts: {destination:?} is no path"));
    }
    // A relative destination is deprecated and means one from the root (config.md, "Mounts").
    let target = Path::new("/").join(destination);
    let mut options = MountOptions::parse(mount.options().iter().flatten());
    let mut kind = mount.typ().clone().unwrap_or_default();
    if kind == "bind" || kind == "rbind" {
        options.recursive |= kind == "rbind";
        options.bind = true;
    }
    if kind.contains('\0')
        || options.data.iter().any(|(key, value)| {
            key.is_empty() || key.contains('\0') || value.as_ref().is_some_and(|value| value.contains('\0'))
        })
    {
        return invalid(format!("mount {}: an option or the type has a zero byte or an empty name", target.display()));
    }
    let source = mount.source().clone().unwrap_or_default();
    if source.as_os_str().as_bytes().contains(&0) {
        return invalid(format!("mount {}: the source has a zero byte in it", target.display()));
    }
    let source = if options.bind && !options.remount {
        if source.as_os_str().is_empty() {
            return invalid(format!("mount {}: a bind mount needs a source", target.display()));
        }
        bundle.join(source)
    } else {
        source
    };
    if options.bind {
        kind = String::new();
        if let Some(word) = options.superblock.first() {
            return invalid(format!(
                "mount {}: the option {word} belongs to the source's file system and cannot be set by a bind mount",
                target.display()
            ));
        }
        if let Some((key, _)) = options.data.first() {
            return invalid(format!("mount {}: a bind mount has no option {key:?}", target.display()));
        }
    } else if kind.is_empty() && !options.remount {
        return invalid(format!("mount {}: neither a type nor bind is given", target.display()));
    }
    if options.copy_up && kind != "tmpfs" {
        return invalid(format!("mount {}: tmpcopyup goes with a tmpfs only", target.display()));
    }
    let map = |list: &Option<Vec<_>>, what: &str| id_ranges(list.as_deref().unwrap_or_default(), what);
    let uid_map = map(mount.uid_mappings(), "mounts.uidMappings")?;
    let gid_map = map(mount.gid_mappings(), "mounts.gidMappings")?;
    if uid_map.is_empty() != gid_map.is_empty() {
        return invalid(format!("mount {}: uidMappings and gidMappings go together", target.display()));
    }
    if options.idmap.is_none() && !uid_map.is_empty() {
        options.idmap = Some(false);
    }
    if options.idmap.is_some() {
        if !options.bind {
            return invalid(format!("mount {}: only a bind mount can be id-mapped", target.display()));
        }
        if uid_map.is_empty() && !namespaces.has(CLONE_NEWUSER) {
            return invalid(format!(
                "mount {}: idmap needs uidMappings and gidMappings, or a user namespace",
                target.display()
            ));
        }
    }
    Ok(MountPlan { target, kind, source, options, uid_map, gid_map })
}

/// Reads and checks the spec's devices.
pub(crate) fn device_plans(devices: &[LinuxDevice]) -> Result<Vec<DevicePlan>, LaunchError> {
    devices.iter().map(device_plan).collect()
}

fn device_plan(device: &LinuxDevice) -> Result<DevicePlan, LaunchError> {
    let path = device.path();
    if !path.is_absolute() || path.file_name().is_none() || CString::new(path.as_os_str().as_bytes()).is_err() {
        return invalid(format!("linux.devices: {path:?} is not an absolute path"));
    }
    let kind = match device.typ() {
        LinuxDeviceType::C | LinuxDeviceType::U => libc::S_IFCHR,
        LinuxDeviceType::B => libc::S_IFBLK,
        LinuxDeviceType::P => libc::S_IFIFO,
        LinuxDeviceType::A => {
            return invalid(format!("linux.devices: {path:?} has no type c, b, u or p"));
        }
    };
    let number = |number: i64| match u32::try_from(number) {
        Ok(number) => Ok(number),
        Err(_) if kind == libc::S_IFIFO => Ok(0),
        Err(_) => invalid(format!("linux.devices: {path:?} has the device number {number}")),
    };
    Ok(DevicePlan {
        path: path.clone(),
        kind,
        major: number(device.major())?,
        minor: number(device.minor())?,
        mode: device.file_mode().unwrap_or(0o666) & 0o7777,
        uid: device.uid().unwrap_or(0),
        gid: device.gid().unwrap_or(0),
    })
}
