//! A container's description becomes an OCI spec: pure functions. What has to be looked up on the host (users, device
//! numbers, paths of namespaces) comes in with [`Input`].

mod caps;
mod devices;
mod mounts;
mod process;
mod resources;

use std::path::PathBuf;

use hoist_device::cdi::{self, Edits};
use hoist_proto::spec::{NamespaceMode, SeccompChoice};
use hoist_runtime::seccomp::{docker_default, from_docker, native_arch};
use oci_spec::runtime::{Capability, LinuxSeccomp, Spec};
use serde_json::{Value, json};

pub(crate) use devices::{Device, all_host_devices, find_devices};
pub(crate) use mounts::{BindOptions, ReadyMount, check_propagation};
pub(crate) use process::{ProcessInput, process};
pub(crate) use resources::{BlockDevices, find_blocks, limits, resources};

use crate::container::Record;
use crate::rootfs::ResolvedUser;
use crate::{EngineError, Result};

/// Everything that the spec depends on.
pub(crate) struct Input<'a> {
    pub record: &'a Record,
    pub user: &'a ResolvedUser,
    /// In the order in which they are to be mounted.
    pub mounts: Vec<ReadyMount>,
    /// `/etc/hosts` and its like; not mounted where the person mounts something else.
    pub files: Vec<(&'static str, PathBuf)>,
    pub namespaces: NamespacePaths,
    pub devices: Vec<Device>,
    /// What devices that were assigned change.
    pub edits: &'a Edits,
    pub blocks: BlockDevices,
    pub cgroup: &'a str,
    /// Where `/dev/shm` comes from, if not from a tmpfs of its own.
    pub shm: Option<PathBuf>,
}

/// A namespace that is not the container's own new one.
#[derive(Debug, Clone, Default)]
pub(crate) enum Namespace {
    #[default]
    New,
    Host,
    Path(PathBuf),
}

#[derive(Debug, Clone, Default)]
pub(crate) struct NamespacePaths {
    pub network: Namespace,
    pub pid: Namespace,
    pub ipc: Namespace,
    pub uts: Namespace,
}

const MASKED: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The spec of a container that is about to start.
pub(crate) fn build(input: &Input<'_>) -> Result<Spec> {
    let record = input.record;
    let spec = &record.spec;
    let security = &spec.security;
    let caps = caps::bounding(security)?;
    let first = process(&ProcessInput {
        args: record.effective.entrypoint.iter().chain(&record.effective.command).cloned().collect(),
        env: with_home(&record.effective.env, input.user),
        cwd: &record.effective.working_dir,
        tty: spec.tty,
        user: input.user,
        caps: &caps,
        privileged: security.privileged,
        spec,
    })?;
    let unmasked = security.privileged || security.unmasked_paths;
    let paths = |own: &Option<Vec<String>>, default: &[&str]| match own {
        Some(own) => own.clone(),
        None if unmasked => Vec::new(),
        None => default.iter().map(|path| (*path).to_owned()).collect(),
    };
    let mut sysctls = spec.sysctls.clone();
    check_sysctls(&sysctls, &input.namespaces)?;
    if !matches!(input.namespaces.network, Namespace::Host | Namespace::Path(_)) || own_network(input) {
        // Unprivileged users may ping and open low ports in a network of their own.
        for (name, value) in
            [("net.ipv4.ip_unprivileged_port_start", "0"), ("net.ipv4.ping_group_range", "0 2147483647")]
        {
            sysctls.entry(name.into()).or_insert_with(|| value.into());
        }
    }
    let value = json!({
        // Nothing here is younger, and runtimes such as crun 1.8 refuse what they do not know.
        "ociVersion": "1.0.2",
        "root": { "path": "rootfs", "readonly": spec.read_only },
        "hostname": if matches!(input.namespaces.uts, Namespace::New) { Value::from(record.effective.hostname.clone()) } else { Value::Null },
        "domainname": if matches!(input.namespaces.uts, Namespace::New) { spec.domainname.clone().filter(|d| !d.is_empty()).into() } else { Value::Null },
        "process": first,
        "mounts": mounts::all(input),
        "annotations": spec.annotations,
        "linux": {
            "sysctl": sysctls,
            "cgroupsPath": format!("/{}", input.cgroup),
            "resources": resources(spec, &input.blocks, &input.devices)?,
            "namespaces": namespaces(input),
            "devices": input.devices.iter().filter(|device| device.create).map(Device::to_json).collect::<Vec<_>>(),
            "maskedPaths": paths(&security.masked_paths, &MASKED),
            "readonlyPaths": paths(&security.readonly_paths, &READ_ONLY),
            "rootfsPropagation": mounts::root_propagation(input),
        },
    });
    let mut value = without_nulls(value);
    cdi::apply(input.edits, &mut value)?;
    let mut built: Spec = serde_json::from_value(value)
        .map_err(|error| EngineError::Internal(format!("the container's OCI spec is malformed: {error}")))?;
    let seccomp = seccomp(&security.seccomp, security.privileged, &caps)?;
    if let Some(linux) = built.linux_mut() {
        linux.set_seccomp(seccomp);
        if let Some(label) = mount_label(&security.selinux) {
            linux.set_mount_label(Some(label));
        }
    }
    Ok(built)
}

/// Whether the namespace path is a sandbox made for this container (not another container's).
fn own_network(input: &Input<'_>) -> bool {
    matches!(input.namespaces.network, Namespace::Path(_))
        && matches!(
            input.record.spec.network_mode,
            hoist_proto::spec::NetworkMode::Networks | hoist_proto::spec::NetworkMode::None
        )
}

fn namespaces(input: &Input<'_>) -> Vec<Value> {
    let mut list = vec![json!({ "type": "mount" })];
    let paths = &input.namespaces;
    for (kind, namespace) in
        [("network", &paths.network), ("pid", &paths.pid), ("ipc", &paths.ipc), ("uts", &paths.uts)]
    {
        match namespace {
            Namespace::New => list.push(json!({ "type": kind })),
            Namespace::Host => {}
            Namespace::Path(path) => list.push(json!({ "type": kind, "path": path })),
        }
    }
    if input.record.spec.namespaces.cgroup != NamespaceMode::Host {
        list.push(json!({ "type": "cgroup" }));
    }
    list
}

/// Only settings that belong to a namespace of the container's own; others would change the host.
fn check_sysctls(sysctls: &std::collections::BTreeMap<String, String>, namespaces: &NamespacePaths) -> Result<()> {
    const IPC: [&str; 10] = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
        "kernel.msg_next_id",
        "kernel.sem_next_id",
    ];
    for name in sysctls.keys() {
        let refuse = |why: &str| Err(EngineError::InvalidParameter(format!("sysctl {name:?} is not allowed: {why}")));
        let host = |namespace: &Namespace| matches!(namespace, Namespace::Host);
        if name.contains("..") || name.contains('/') {
            return refuse("not a name of a setting");
        } else if name.starts_with("net.") {
            if host(&namespaces.network) {
                return refuse("the container shares the host's network");
            }
        } else if IPC.contains(&name.as_str()) || name.starts_with("fs.mqueue.") {
            if host(&namespaces.ipc) {
                return refuse("the container shares the host's IPC namespace");
            }
        } else if matches!(name.as_str(), "kernel.hostname" | "kernel.domainname") {
            return refuse("use the hostname and domainname settings");
        } else {
            return refuse("it belongs to no namespace");
        }
    }
    Ok(())
}

/// The filter of system calls.
pub(crate) fn seccomp(choice: &SeccompChoice, privileged: bool, caps: &[Capability]) -> Result<Option<LinuxSeccomp>> {
    match choice {
        _ if privileged && *choice == SeccompChoice::Default => Ok(None),
        SeccompChoice::Unconfined => Ok(None),
        SeccompChoice::Default => Ok(native_arch().map(|arch| docker_default(caps, arch))),
        SeccompChoice::Profile(text) => {
            let arch = native_arch().ok_or_else(|| {
                EngineError::InvalidParameter("seccomp profile: filters are not supported on this architecture".into())
            })?;
            from_docker(text, caps, arch)
                .map(Some)
                .map_err(|error| EngineError::InvalidParameter(format!("seccomp profile: {error}")))
        }
    }
}

/// `HOME` is the user's, unless somebody has set it.
pub(crate) fn with_home(env: &[String], user: &ResolvedUser) -> Vec<String> {
    let mut env = env.to_vec();
    if !env.iter().any(|variable| variable.starts_with("HOME=")) {
        env.push(format!("HOME={}", user.home.as_deref().unwrap_or("/")));
    }
    env
}

/// `system_u:object_r:container_file_t:<level>` when a level was given.
fn mount_label(options: &[String]) -> Option<String> {
    let level = options.iter().find_map(|option| option.strip_prefix("level:"))?;
    Some(format!("system_u:object_r:container_file_t:{level}"))
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            map.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k, without_nulls(v))).collect()
        }
        Value::Array(list) => list.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

/// The bounding set that execs of the container get.
pub(crate) fn capabilities(security: &hoist_proto::spec::Security) -> Result<Vec<Capability>> {
    caps::bounding(security)
}

#[cfg(test)]
mod tests;
