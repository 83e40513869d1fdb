//! The keys of the daemon's settings file: those that are understood, and what is said about the others.

use std::path::Path;

use serde_json::{Map, Value};

use super::DaemonError;
use crate::cli::suggest;

/// Keys that mean here what they mean for dockerd, and `devices`, which it has not.
pub const UNDERSTOOD: &[&str] = &[
    "bip",
    "cdi-spec-dirs",
    "cgroup-parent",
    "data-root",
    "debug",
    "default-address-pools",
    "default-runtime",
    "default-shm-size",
    "default-ulimits",
    "devices",
    "dns",
    "dns-opts",
    "dns-search",
    "exec-root",
    "features",
    "group",
    "hosts",
    "init",
    "insecure-registries",
    "labels",
    "log-driver",
    "log-level",
    "log-opts",
    "max-concurrent-downloads",
    "max-download-attempts",
    "mtu",
    "no-new-privileges",
    "node-generic-resources",
    "pidfile",
    "proxies",
    "registry-mirrors",
    "runtimes",
    "tlscacert",
    "tlscert",
    "tlskey",
    "tlsverify",
];

/// Keys that can be there only with the value by which Hoist goes anyway.
const FIXED: &[(&str, &str)] = &[
    ("live-restore", "true"),
    ("iptables", "true"),
    ("ip6tables", "true"),
    ("ip-forward", "true"),
    ("ip-masq", "true"),
    ("icc", "true"),
    ("userland-proxy", "false"),
    ("experimental", "false"),
    ("selinux-enabled", "false"),
    ("raw-logs", "false"),
    ("storage-driver", "\"overlay2\""),
    ("firewall-backend", "\"nftables\""),
    ("default-cgroupns-mode", "\"private\""),
];

/// Keys of dockerd's that nothing here answers to.
const UNSUPPORTED: &[&str] = &[
    "allow-direct-routing",
    "allow-nondistributable-artifacts",
    "api-cors-header",
    "authorization-plugins",
    "bridge",
    "bridge-accept-fwmark",
    "builder",
    "config-file",
    "containerd",
    "containerd-namespace",
    "containerd-plugins-namespace",
    "cpu-rt-period",
    "cpu-rt-runtime",
    "default-gateway",
    "default-gateway-v6",
    "default-ipc-mode",
    "default-network-opts",
    "exec-opts",
    "fixed-cidr",
    "fixed-cidr-v6",
    "host-gateway-ip",
    "host-gateway-ips",
    "init-path",
    "ip",
    "ip-forward-no-drop",
    "ipv6",
    "log-format",
    "max-concurrent-uploads",
    "metrics-addr",
    "min-api-version",
    "network-control-plane-mtu",
    "oom-score-adjust",
    "rootless",
    "seccomp-profile",
    "shutdown-timeout",
    "storage-opts",
    "swarm-default-advertise-addr",
    "tls",
    "userland-proxy-path",
    "userns-remap",
    "validate",
];

/// Refuses what nobody knows and what is not supported, all of it at once.
///
/// # Errors
/// [`DaemonError::File`]
pub fn check(path: &Path, file: &Map<String, Value>) -> Result<(), DaemonError> {
    let mut wrong = Vec::new();
    for (key, value) in file {
        if UNDERSTOOD.contains(&key.as_str()) {
            continue;
        }
        if let Some((_, only)) = FIXED.iter().find(|(fixed, _)| fixed == key) {
            if serde_json::from_str::<Value>(only).ok().as_ref() != Some(value) {
                wrong.push(format!("{key} can only be {only} here, not {value}"));
            }
        } else if UNSUPPORTED.contains(&key.as_str()) {
            wrong.push(format!("{key} is not supported"));
        } else {
            let known = UNDERSTOOD.iter().chain(FIXED.iter().map(|(key, _)| key)).chain(UNSUPPORTED).copied();
            let hint = suggest::did_you_mean(&suggest::nearest(key, known));
            wrong.push(match hint {
                Some(hint) => format!("there is no setting {key} ({hint})"),
                None => format!("there is no setting {key}"),
            });
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(DaemonError::File { path: path.to_owned(), reason: wrong.join("; ") })
}
