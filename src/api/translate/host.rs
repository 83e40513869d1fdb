//! `HostConfig`: the parts that are neither mounts, ports, networks nor limits.

use hoist_proto::spec::{ContainerSpec, Logging, NamespaceMode, Namespaces};

use super::{create::text, resources, security};
use crate::api::{dto::host_config::HostConfig, error::ApiError, version::ApiVersion};

pub fn apply(
    spec: &mut ContainerSpec,
    mut host: HostConfig,
    version: ApiVersion,
    warnings: &mut Vec<String>,
) -> Result<(), ApiError> {
    refuse_foreign(&host)?;
    spec.resources = resources::limits(&mut host, version)?;
    spec.security = security::security(&host)?;
    spec.namespaces = namespaces(&host)?;
    spec.restart = resources::restart_policy(&host.restart_policy)?;
    spec.ulimits = resources::ulimits(host.ulimits.take().unwrap_or_default())?;
    spec.auto_remove = host.auto_remove;
    spec.annotations = host.annotations;
    spec.dns = host.dns;
    spec.dns_options = host.dns_options;
    spec.dns_search = host.dns_search;
    for entry in host.extra_hosts.unwrap_or_default() {
        let (name, address) = entry
            .split_once([':', '='])
            .filter(|(name, address)| !name.is_empty() && !address.is_empty())
            .ok_or_else(|| ApiError::bad_request(format!("bad format for add-host: \"{entry}\"")))?;
        let address = address.trim_start_matches('[').trim_end_matches(']');
        if address != "host-gateway" && address.parse::<std::net::IpAddr>().is_err() {
            return Err(ApiError::bad_request(format!("invalid IP address in add-host: \"{address}\"")));
        }
        spec.extra_hosts.push((name.to_owned(), address.to_owned()));
    }
    spec.group_add = host.group_add.unwrap_or_default();
    spec.links.extend(host.links.unwrap_or_default());
    spec.volumes_from = host.volumes_from.unwrap_or_default();
    spec.init = host.init;
    spec.read_only = host.readonly_rootfs;
    spec.sysctls = host.sysctls;
    spec.storage_options = host.storage_opt;
    spec.oom_kill_disable = host.oom_kill_disable.unwrap_or(false);
    spec.oom_score_adj = match host.oom_score_adj {
        0 => None,
        adjustment @ -1000..=1000 => Some(adjustment),
        other => {
            return Err(ApiError::bad_request(format!(
                "Invalid value {other}, range for oom score adj is [-1000, 1000]"
            )));
        }
    };
    spec.shm_size = match host.shm_size {
        0 => None,
        size if size < 0 => {
            return Err(ApiError::bad_request(format!("SHM size can not be less than 0 (it is {size})")));
        }
        size => Some(size.unsigned_abs()),
    };
    spec.logging = Logging { driver: text(host.log_config.kind), options: host.log_config.config };
    spec.runtime = text(host.runtime);
    if spec.oom_kill_disable && spec.resources.memory.is_none() {
        warnings.push(
            "OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources."
                .to_owned(),
        );
    }
    Ok(())
}

/// What other systems have and this one does not.
fn refuse_foreign(host: &HostConfig) -> Result<(), ApiError> {
    let given = [
        ("Isolation", !matches!(host.isolation.as_str(), "" | "default")),
        ("CpuCount", host.cpu_count != 0),
        ("CpuPercent", host.cpu_percent != 0),
        ("IOMaximumIOps", host.io_maximum_iops != 0),
        ("IOMaximumBandwidth", host.io_maximum_bandwidth != 0),
    ];
    if let Some((name, _)) = given.iter().find(|(_, given)| *given) {
        return Err(ApiError::bad_request(format!("{name} is supported on Windows only")));
    }
    if !host.cgroup.is_empty() {
        return Err(ApiError::bad_request(format!("invalid Cgroup {:?}: not supported on this platform", host.cgroup)));
    }
    Ok(())
}

fn namespaces(host: &HostConfig) -> Result<Namespaces, ApiError> {
    let refuse = |kind: &str, mode: &str| ApiError::bad_request(format!("invalid {kind} mode: {mode}"));
    let container = |mode: &str| {
        mode.strip_prefix("container:")
            .filter(|name| !name.is_empty())
            .map(|name| NamespaceMode::Container(name.into()))
    };
    let pid = match host.pid_mode.as_str() {
        "" => NamespaceMode::Default,
        "private" => NamespaceMode::Private,
        "host" => NamespaceMode::Host,
        mode => match container(mode) {
            Some(mode) => mode,
            None => return Err(refuse("PID", mode)),
        },
    };
    let ipc = match host.ipc_mode.as_str() {
        "" => NamespaceMode::Default,
        "none" => NamespaceMode::None,
        "private" => NamespaceMode::Private,
        "shareable" => NamespaceMode::Shareable,
        "host" => NamespaceMode::Host,
        mode => match container(mode) {
            Some(mode) => mode,
            None => return Err(refuse("IPC", mode)),
        },
    };
    let simple = |kind: &str, mode: &str| match mode {
        "" => Ok(NamespaceMode::Default),
        "private" if kind != "UTS" => Ok(NamespaceMode::Private),
        "host" => Ok(NamespaceMode::Host),
        mode => Err(refuse(kind, mode)),
    };
    Ok(Namespaces {
        pid,
        ipc,
        uts: simple("UTS", &host.uts_mode)?,
        cgroup: simple("cgroup namespace", &host.cgroupns_mode)?,
        user: simple("user namespace", &host.userns_mode)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(host: HostConfig) -> Result<ContainerSpec, ApiError> {
        let mut spec = ContainerSpec::default();
        apply(&mut spec, host, ApiVersion::NEWEST, &mut Vec::new())?;
        Ok(spec)
    }

    #[test]
    fn namespaces_in_all_modes() {
        let spec = applied(HostConfig {
            pid_mode: "container:db".into(),
            ipc_mode: "shareable".into(),
            uts_mode: "host".into(),
            cgroupns_mode: "private".into(),
            ..HostConfig::default()
        })
        .unwrap();
        assert_eq!(spec.namespaces.pid, NamespaceMode::Container("db".into()));
        assert_eq!(spec.namespaces.ipc, NamespaceMode::Shareable);
        assert_eq!(spec.namespaces.uts, NamespaceMode::Host);
        assert_eq!(spec.namespaces.cgroup, NamespaceMode::Private);
        for host in [
            HostConfig { pid_mode: "container:".into(), ..HostConfig::default() },
            HostConfig { uts_mode: "private".into(), ..HostConfig::default() },
            HostConfig { ipc_mode: "x".into(), ..HostConfig::default() },
        ] {
            assert!(applied(host).unwrap_err().message.starts_with("invalid "));
        }
    }

    #[test]
    fn hosts_in_both_forms() {
        let host = HostConfig {
            extra_hosts: Some(vec!["a:10.0.0.1".into(), "b=host-gateway".into(), "c:::1".into(), "d:[::2]".into()]),
            ..HostConfig::default()
        };
        let hosts = applied(host).unwrap().extra_hosts;
        assert_eq!(hosts[2], ("c".to_owned(), "::1".to_owned()));
        assert_eq!(hosts[3], ("d".to_owned(), "::2".to_owned()));
        let bad = HostConfig { extra_hosts: Some(vec!["a:x".into()]), ..HostConfig::default() };
        assert_eq!(applied(bad).unwrap_err().message, "invalid IP address in add-host: \"x\"");
    }
}
