//! A spec becomes a plan: everything that can be decided and checked before a process exists.

use std::collections::HashMap;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci_spec::runtime::{Hooks, Linux, LinuxIdMapping, LinuxNamespaceType, LinuxResources, Spec};

use super::LaunchError;
use crate::mounts::plan::{DevicePlan, MountPlan, device_plans, mount_plans};
use crate::process::ProcessPlan;
use crate::process::plan::{memory_policy, personality};
use crate::procfs::sysctl_path;
use crate::seccomp::Filter;

pub(crate) const CLONE_NEWTIME: u64 = 0x80;
pub(crate) const CLONE_NEWNS: u64 = libc::CLONE_NEWNS as u64;
pub(crate) const CLONE_NEWCGROUP: u64 = libc::CLONE_NEWCGROUP as u64;
pub(crate) const CLONE_NEWUTS: u64 = libc::CLONE_NEWUTS as u64;
pub(crate) const CLONE_NEWIPC: u64 = libc::CLONE_NEWIPC as u64;
pub(crate) const CLONE_NEWUSER: u64 = libc::CLONE_NEWUSER as u64;
pub(crate) const CLONE_NEWPID: u64 = libc::CLONE_NEWPID as u64;
pub(crate) const CLONE_NEWNET: u64 = libc::CLONE_NEWNET as u64;

/// A container, decided.
#[derive(Debug)]
pub(crate) struct Plan {
    pub namespaces: Namespaces,
    pub readonly_root: bool,
    /// An MS_ flag for the root mount, and whether it is for the mounts below too.
    pub propagation: Option<(u64, bool)>,
    pub mounts: Vec<MountPlan>,
    pub devices: Vec<DevicePlan>,
    pub masked: Vec<PathBuf>,
    pub readonly: Vec<PathBuf>,
    /// Path below `/proc` and value.
    pub sysctl: Vec<(String, String)>,
    pub hostname: Option<CString>,
    pub domainname: Option<CString>,
    pub process: Option<ProcessPlan>,
    pub personality: Option<u64>,
    pub memory_policy: Option<(i32, Vec<u64>)>,
    pub seccomp: Option<Arc<Filter>>,
    pub resources: Option<LinuxResources>,
    pub hooks: Hooks,
    pub annotations: HashMap<String, String>,
    pub version: String,
    pub mount_label: Option<String>,
    pub net_devices: Vec<(String, String)>,
    pub cgroup_delegated: bool,
}

/// Namespaces to make and to join.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Namespaces {
    /// CLONE_NEW flags.
    pub create: u64,
    /// CLONE_NEW flag and file.
    pub join: Vec<(u64, PathBuf)>,
    pub uid_map: Vec<IdRange>,
    pub gid_map: Vec<IdRange>,
    /// The clock's name in `/proc/self/timens_offsets`, seconds, nanoseconds.
    pub time_offsets: Vec<(String, i64, u32)>,
}

/// One line of a user namespace's map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IdRange {
    pub container: u32,
    pub host: u32,
    pub size: u32,
}

impl Namespaces {
    pub(crate) fn creates(&self, flag: u64) -> bool {
        self.create & flag != 0
    }

    pub(crate) fn joins(&self, flag: u64) -> Option<&Path> {
        self.join.iter().find(|(kind, _)| *kind == flag).map(|(_, path)| path.as_path())
    }

    /// Whether the container has one that is not the caller's.
    pub(crate) fn has(&self, flag: u64) -> bool {
        self.creates(flag) || self.joins(flag).is_some()
    }
}

fn invalid<T>(text: impl Into<String>) -> Result<T, LaunchError> {
    Err(LaunchError::Invalid(text.into()))
}

impl Plan {
    /// Reads and checks a spec. Looks at nothing else, and changes nothing.
    pub(crate) fn new(spec: &Spec, bundle: &Path) -> Result<Self, LaunchError> {
        check_version(spec.version())?;
        if spec.solaris().is_some() || spec.windows().is_some() || spec.zos().is_some() || spec.vm().is_some() {
            return invalid("the configuration is for another platform than linux");
        }
        let default_linux = Linux::default();
        // A spec without a linux part asks for no namespaces at all, not for the defaults of the type.
        let absent = spec.linux().is_none();
        let linux = spec.linux().as_ref().unwrap_or(&default_linux);
        if linux.intel_rdt().is_some() {
            return invalid("linux.intelRdt is not supported");
        }
        let namespaces = if absent { Namespaces::default() } else { namespaces(linux)? };
        let process = spec.process().as_ref().map(ProcessPlan::new).transpose()?;
        let label = |text: &Option<String>, what: &str| match text {
            Some(text) if !namespaces.has(CLONE_NEWUTS) => {
                invalid(format!("{what} {text:?} needs a uts namespace of the container's own"))
            }
            Some(text) if text.len() > 64 => invalid(format!("{what} {text:?} is longer than 64 characters")),
            Some(text) => match CString::new(text.as_str()) {
                Ok(text) => Ok(Some(text)),
                Err(_) => invalid(format!("{what} has a zero byte in it")),
            },
            None => Ok(None),
        };
        let hostname = label(spec.hostname(), "hostname")?;
        let domainname = label(spec.domainname(), "domainname")?;
        let own_mounts = namespaces.has(CLONE_NEWNS);
        let paths = |list: &Option<Vec<String>>, what: &str| -> Result<Vec<PathBuf>, LaunchError> {
            let list = if absent { &[] } else { list.as_deref().unwrap_or_default() };
            if !list.is_empty() && !own_mounts {
                return invalid(format!("{what} needs a mount namespace of the container's own"));
            }
            list.iter()
                .map(|path| match Path::new(path) {
                    path if path.is_absolute() && !path.as_os_str().as_bytes().contains(&0) => Ok(path.to_owned()),
                    _ => invalid(format!("{what}: {path:?} is not an absolute path")),
                })
                .collect()
        };
        let seccomp = match linux.seccomp() {
            Some(profile) => {
                Some(crate::seccomp::compile(profile).map_err(|error| LaunchError::Invalid(error.to_string()))?)
            }
            None => None,
        };
        let mounts = mount_plans(spec.mounts().as_deref().unwrap_or_default(), bundle, &namespaces)?;
        let hooks = spec.hooks().clone().unwrap_or_default();
        crate::hooks::check(&hooks)?;
        Ok(Self {
            readonly_root: spec.root().as_ref().and_then(|root| root.readonly()).unwrap_or(false),
            propagation: propagation(linux.rootfs_propagation().as_deref())?,
            devices: if absent { Vec::new() } else { device_plans(linux.devices().as_deref().unwrap_or_default())? },
            masked: paths(linux.masked_paths(), "linux.maskedPaths")?,
            readonly: paths(linux.readonly_paths(), "linux.readonlyPaths")?,
            sysctl: sysctls(linux, &namespaces)?,
            hostname,
            domainname,
            process,
            personality: personality_of(linux)?,
            memory_policy: linux.memory_policy().as_ref().map(memory_policy).transpose()?,
            seccomp,
            resources: if absent { None } else { linux.resources().clone() },
            hooks,
            annotations: spec.annotations().clone().unwrap_or_default(),
            version: spec.version().clone(),
            mount_label: linux.mount_label().clone().filter(|label| !label.is_empty()),
            net_devices: net_devices(linux, &namespaces)?,
            cgroup_delegated: namespaces.creates(CLONE_NEWCGROUP) && mounts.iter().any(MountPlan::is_writable_cgroup),
            mounts,
            namespaces,
        })
    }
}

/// Versions of the specification that can be honoured: all of the first major one.
fn check_version(version: &str) -> Result<(), LaunchError> {
    let number = |part: Option<&str>| {
        part.is_some_and(|part| !part.is_empty() && part.len() < 10 && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let mut parts = core.split('.');
    let major = parts.next();
    if !number(major) || !number(parts.next()) || !number(parts.next()) || parts.next().is_some() {
        return invalid(format!("ociVersion {version:?} is no semantic version"));
    }
    match major {
        Some("1") => Ok(()),
        _ => invalid(format!("ociVersion {version} is not supported: the runtime implements 1.0 to 1.3")),
    }
}

fn namespaces(linux: &Linux) -> Result<Namespaces, LaunchError> {
    let mut found = Namespaces::default();
    for namespace in linux.namespaces().iter().flatten() {
        let flag = match namespace.typ() {
            LinuxNamespaceType::Mount => CLONE_NEWNS,
            LinuxNamespaceType::Cgroup => CLONE_NEWCGROUP,
            LinuxNamespaceType::Uts => CLONE_NEWUTS,
            LinuxNamespaceType::Ipc => CLONE_NEWIPC,
            LinuxNamespaceType::User => CLONE_NEWUSER,
            LinuxNamespaceType::Pid => CLONE_NEWPID,
            LinuxNamespaceType::Network => CLONE_NEWNET,
            LinuxNamespaceType::Time => CLONE_NEWTIME,
        };
        if found.has(flag) {
            return invalid(format!("linux.namespaces has {} twice", namespace.typ()));
        }
        match namespace.path() {
            Some(path) if path.as_os_str().is_empty() => found.create |= flag,
            Some(path) if !path.is_absolute() => {
                return invalid(format!("linux.namespaces: the path {path:?} is not absolute"));
            }
            Some(path) => found.join.push((flag, path.clone())),
            None => found.create |= flag,
        }
    }
    let map = |list: &Option<Vec<LinuxIdMapping>>, what: &str| id_ranges(list.as_deref().unwrap_or_default(), what);
    found.uid_map = map(linux.uid_mappings(), "linux.uidMappings")?;
    found.gid_map = map(linux.gid_mappings(), "linux.gidMappings")?;
    let mapped = !found.uid_map.is_empty() || !found.gid_map.is_empty();
    if mapped && !found.has(CLONE_NEWUSER) {
        return invalid("linux.uidMappings and linux.gidMappings need a user namespace");
    }
    if found.creates(CLONE_NEWUSER) && (found.uid_map.is_empty() || found.gid_map.is_empty()) {
        return invalid("a new user namespace needs linux.uidMappings and linux.gidMappings");
    }
    for (clock, offset) in linux.time_offsets().iter().flatten() {
        if clock != "monotonic" && clock != "boottime" {
            return invalid(format!("linux.timeOffsets: there is no clock {clock:?}, only monotonic and boottime"));
        }
        let nanosecs = offset.nanosecs().unwrap_or(0);
        if nanosecs >= 1_000_000_000 {
            return invalid(format!("linux.timeOffsets: {nanosecs} nanoseconds are more than a second"));
        }
        found.time_offsets.push((clock.clone(), offset.secs().unwrap_or(0), nanosecs));
    }
    if !found.time_offsets.is_empty() && !found.creates(CLONE_NEWTIME) {
        return invalid("linux.timeOffsets needs a new time namespace");
    }
    found.time_offsets.sort();
    Ok(found)
}

/// Checks the ranges of a user namespace or an id-mapped mount.
pub(crate) fn id_ranges(list: &[LinuxIdMapping], what: &str) -> Result<Vec<IdRange>, LaunchError> {
    list.iter()
        .map(|range| {
            let range = IdRange { container: range.container_id(), host: range.host_id(), size: range.size() };
            let fits = |first: u32| first.checked_add(range.size).is_some();
            if range.size == 0 || !fits(range.container) || !fits(range.host) {
                return invalid(format!(
                    "{what}: {}:{}:{} is no range of ids",
                    range.container, range.host, range.size
                ));
            }
            Ok(range)
        })
        .collect()
}

fn propagation(word: Option<&str>) -> Result<Option<(u64, bool)>, LaunchError> {
    let Some(word) = word.filter(|word| !word.is_empty()) else { return Ok(None) };
    let flag = match word.strip_prefix('r').unwrap_or(word) {
        "shared" => libc::MS_SHARED,
        "slave" => libc::MS_SLAVE,
        "private" => libc::MS_PRIVATE,
        "unbindable" => libc::MS_UNBINDABLE,
        _ => {
            return invalid(format!("linux.rootfsPropagation {word:?} is not shared, slave, private or unbindable"));
        }
    };
    Ok(Some((flag, word.starts_with('r'))))
}

/// Only sysctls that belong to a namespace of the container's own: any other would change the host's.
fn sysctls(linux: &Linux, namespaces: &Namespaces) -> Result<Vec<(String, String)>, LaunchError> {
    const IPC: [&str; 8] = [
        "kernel/msgmax",
        "kernel/msgmnb",
        "kernel/msgmni",
        "kernel/sem",
        "kernel/shmall",
        "kernel/shmmax",
        "kernel/shmmni",
        "kernel/shm_rmid_forced",
    ];
    let mut list = Vec::new();
    for (name, value) in linux.sysctl().iter().flatten() {
        let Some(path) = sysctl_path(name) else {
            return invalid(format!("linux.sysctl: {name:?} is no name of a kernel parameter"));
        };
        let key = &path["sys/".len()..];
        let owner = if IPC.contains(&key) || key.starts_with("fs/mqueue/") {
            Some((CLONE_NEWIPC, "an ipc"))
        } else if key.starts_with("net/") {
            Some((CLONE_NEWNET, "a network"))
        } else if key == "kernel/domainname" || key == "kernel/hostname" {
            Some((CLONE_NEWUTS, "a uts"))
        } else if key.starts_with("user/") {
            Some((CLONE_NEWUSER, "a user"))
        } else {
            None
        };
        match owner {
            Some((flag, _)) if namespaces.has(flag) => list.push((path, value.clone())),
            Some((_, kind)) => {
                return invalid(format!("linux.sysctl: {name} needs {kind} namespace of the container's own"));
            }
            None => {
                return invalid(format!("linux.sysctl: {name} belongs to no namespace and would change the host"));
            }
        }
    }
    list.sort();
    Ok(list)
}

fn personality_of(linux: &Linux) -> Result<Option<u64>, LaunchError> {
    let Some(wanted) = linux.personality() else {
        return Ok(None);
    };
    if let Some(flag) = wanted.flags().iter().flatten().next() {
        return invalid(format!("linux.personality.flags: {flag:?} is not supported, the specification has no flags"));
    }
    Ok(Some(personality(wanted.domain())))
}

fn net_devices(linux: &Linux, namespaces: &Namespaces) -> Result<Vec<(String, String)>, LaunchError> {
    let mut list = Vec::new();
    for (name, device) in linux.net_devices().iter().flatten() {
        if !namespaces.has(CLONE_NEWNET) {
            return invalid("linux.netDevices needs a network namespace of the container's own");
        }
        let inside = device.name().clone().filter(|name| !name.is_empty()).unwrap_or_else(|| name.clone());
        for name in [name, &inside] {
            let fine = !name.is_empty()
                && name.len() < 16
                && name != "."
                && name != ".."
                && !name.contains(['/', '\0'])
                && !name.contains(char::is_whitespace);
            if !fine {
                return invalid(format!("linux.netDevices: {name:?} is no name of a network interface"));
            }
        }
        list.push((name.clone(), inside));
    }
    list.sort();
    Ok(list)
}
