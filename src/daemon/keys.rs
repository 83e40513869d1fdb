//! The keys of the daemon's settings file: those that are understood, and what is said about the others.

use std::path::Path;

use serde_json::{Map, Value};

use super::DaemonError;
use crate::cli::suggest;

/// Keys that mean here what they mean for dockerd, and `devices` and `cluster-protocol`, which it has not.
pub const UNDERSTOOD: &[&str] = &[
    "bip",
    "bridge",
    "cdi-spec-dirs",
    "cgroup-parent",
    "cluster-protocol",
    "data-root",
    "debug",
    "default-address-pools",
    "default-cgroupns-mode",
    "default-gateway",
    "default-gateway-v6",
    "default-ipc-mode",
    "default-network-opts",
    "default-runtime",
    "default-shm-size",
    "default-ulimits",
    "devices",
    "dns",
    "dns-opts",
    "dns-search",
    "exec-opts",
    "exec-root",
    "features",
    "fixed-cidr",
    "fixed-cidr-v6",
    "group",
    "host-gateway-ip",
    "host-gateway-ips",
    "hosts",
    "icc",
    "init",
    "insecure-registries",
    "ip",
    "ip-masq",
    "ipv6",
    "labels",
    "log-driver",
    "log-format",
    "log-level",
    "log-opts",
    "max-concurrent-downloads",
    "max-concurrent-uploads",
    "max-download-attempts",
    "metrics-addr",
    "mtu",
    "no-new-privileges",
    "node-generic-resources",
    "oom-score-adjust",
    "pidfile",
    "proxies",
    "raw-logs",
    "registry-mirrors",
    "runtimes",
    "seccomp-profile",
    "swarm-default-advertise-addr",
    "tlscacert",
    "tlscert",
    "tlskey",
    "tlsverify",
    "userland-proxy",
];

/// Keys that can be there only with the value by which Hoist goes anyway.
const FIXED: &[(&str, &str)] = &[
    ("live-restore", "true"),
    ("iptables", "true"),
    ("ip6tables", "true"),
    ("ip-forward", "true"),
    ("experimental", "false"),
    ("selinux-enabled", "false"),
    ("storage-driver", "\"overlay2\""),
    ("firewall-backend", "\"nftables\""),
];

/// Keys of dockerd's that nothing here answers to, and why.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("allow-direct-routing", "containers are reached from outside through published ports only"),
    ("allow-nondistributable-artifacts", "such layers are never pushed"),
    ("api-cors-header", "browsers get no access to the API"),
    ("authorization-plugins", "there are no plugins"),
    ("bridge-accept-fwmark", "marks of the host's firewall are not looked at"),
    ("builder", "limits of the build cache are given to \"hoist builder prune\""),
    ("config-file", "a file cannot name another"),
    ("containerd", "there is no containerd below"),
    ("containerd-namespace", "there is no containerd below"),
    ("containerd-plugins-namespace", "there is no containerd below"),
    ("cpu-rt-period", "real-time scheduling is not set for all containers"),
    ("cpu-rt-runtime", "real-time scheduling is not set for all containers"),
    ("init-path", "the init of containers is part of the program"),
    ("ip-forward-no-drop", "the policy of the host's firewall is never changed"),
    ("min-api-version", "all versions from 1.24 on are answered"),
    ("network-control-plane-mtu", "the cluster's control plane is TCP"),
    ("rootless", "the daemon needs root"),
    ("shutdown-timeout", "containers go on when the daemon stops"),
    ("storage-opts", "the storage has none"),
    ("tls", "TLS without checking clients is not offered; use tlsverify"),
    ("userland-proxy-path", "there is no process for each published port"),
    ("userns-remap", "users of containers are those of the host"),
    ("validate", "it is a flag only"),
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
        } else if let Some((_, why)) = UNSUPPORTED.iter().find(|(unsupported, _)| unsupported == key) {
            wrong.push(format!("{key} is not supported: {why}"));
        } else {
            let known = UNDERSTOOD.iter().chain(FIXED.iter().chain(UNSUPPORTED).map(|(key, _)| key)).copied();
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
