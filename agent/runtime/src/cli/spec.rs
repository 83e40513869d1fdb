//! `spec`: a config.json to begin with.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::args::SpecFile;
use crate::container::{Error, io_error};

pub(super) fn write(options: &SpecFile) -> Result<(), Error> {
    let file = options.bundle.join("config.json");
    let what = || format!("write {}", file.display());
    let mut open = std::fs::OpenOptions::new().write(true).create_new(true).open(&file).map_err(|error| {
        // Somebody's work may be in the file.
        io_error(what())(if error.kind() == io::ErrorKind::AlreadyExists {
            io::Error::new(io::ErrorKind::AlreadyExists, "the file exists, remove it first")
        } else {
            error
        })
    })?;
    let spec = if options.rootless { rootless() } else { example() };
    open.write_all(format!("{spec:#}\n").as_bytes()).map_err(io_error(what()))
}

/// A shell in a container with the usual isolation.
fn example() -> Value {
    let caps = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
    json!({
        "ociVersion": "1.2.0",
        "process": {
            "terminal": true,
            "user": { "uid": 0, "gid": 0 },
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": { "bounding": caps, "effective": caps, "permitted": caps },
            "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 }],
            "noNewPrivileges": true,
        },
        "root": { "path": "rootfs", "readonly": true },
        "hostname": "hoist",
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            {
                "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
            },
            {
                "destination": "/dev/pts", "type": "devpts", "source": "devpts",
                "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
            },
            {
                "destination": "/dev/shm", "type": "tmpfs", "source": "shm",
                "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
            },
            {
                "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
                "options": ["nosuid", "noexec", "nodev"],
            },
            {
                "destination": "/sys", "type": "sysfs", "source": "sysfs",
                "options": ["nosuid", "noexec", "nodev", "ro"],
            },
            {
                "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
                "options": ["nosuid", "noexec", "nodev", "relatime", "ro"],
            },
        ],
        "linux": {
            "resources": { "devices": [{ "allow": false, "access": "rwm" }] },
            "namespaces": [
                { "type": "pid" }, { "type": "network" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" },
                { "type": "cgroup" },
            ],
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi",
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}

/// The same for a user other than root: a user namespace in which that user is root, and nothing that needs more.
fn rootless() -> Value {
    let mut spec = example();
    let map = |id: u32| json!([{ "containerID": 0, "hostID": id, "size": 1 }]);
    spec["linux"]["uidMappings"] = map(rustix::process::geteuid().as_raw());
    spec["linux"]["gidMappings"] = map(rustix::process::getegid().as_raw());
    spec["linux"]["namespaces"] = json!([
        { "type": "pid" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" }, { "type": "cgroup" },
        { "type": "user" },
    ]);
    if let Some(linux) = spec["linux"].as_object_mut() {
        linux.remove("resources");
    }
    if let Some(mounts) = spec["mounts"].as_array_mut() {
        for mount in mounts {
            if mount["type"] == "sysfs" {
                // The host's network namespace is shown there, which is not the container's own.
                *mount = json!({
                    "destination": "/sys", "type": "none", "source": "/sys",
                    "options": ["rbind", "nosuid", "noexec", "nodev", "ro"],
                });
            }
            if let Some(options) = mount["options"].as_array_mut() {
                options.retain(|option| option != "gid=5");
            }
        }
    }
    spec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_are_specs() {
        for spec in [example(), rootless()] {
            let spec: oci_spec::runtime::Spec = serde_json::from_value(spec).unwrap();
            crate::launch::plan::Plan::new(&spec, std::path::Path::new("/")).unwrap();
        }
    }
}
