//! A service's definition as the API shows it.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hoist_proto::spec::{
    ContainerSpec, EndpointMode, FailureAction, FileContent, FileMount, NetworkMode, PortSpec, PublishMode, Resources,
    RestartCondition, SeccompChoice, Security, Service, ServiceMode, ServiceRestart, ServiceSpec, TaskSpec,
    UpdateConfig, UpdateOrder, UpdateState, UpdateStatus,
};

use super::{
    back::{as_object, healthcheck, signed},
    time,
};
use crate::api::dto::{Empty, host_config::Ulimit, service as dto};

/// A service, without what has to be counted.
pub fn service(service: &Service) -> dto::Service {
    let endpoint = endpoint(&service.spec);
    dto::Service {
        id: service.id.to_string(),
        version: dto::Version { index: service.meta.version },
        created_at: time::moment(Some(service.meta.created)),
        updated_at: time::moment(Some(service.meta.updated)),
        spec: spec(&service.spec),
        previous_spec: service.previous.as_deref().map(spec),
        endpoint: dto::Endpoint { ports: ports(service), spec: endpoint, virtual_ips: virtual_ips(service) },
        update_status: service.update.as_ref().map(update_status),
        service_status: None,
        job_status: None,
    }
}

fn update_status(update: &UpdateStatus) -> dto::UpdateStatus {
    let state = match update.state {
        UpdateState::Updating => "updating",
        UpdateState::Paused => "paused",
        UpdateState::Completed => "completed",
        UpdateState::RollbackStarted => "rollback_started",
        UpdateState::RollbackPaused => "rollback_paused",
        UpdateState::RollbackCompleted => "rollback_completed",
    };
    dto::UpdateStatus {
        state: state.to_owned(),
        started_at: Some(time::moment(Some(update.started))),
        completed_at: update.completed.map(|at| time::moment(Some(at))),
        message: update.message.clone(),
    }
}

/// A definition.
pub fn spec(spec: &ServiceSpec) -> dto::ServiceSpec {
    dto::ServiceSpec {
        name: spec.name.clone(),
        labels: spec.labels.clone(),
        task_template: task_spec(&spec.task),
        mode: mode(spec.mode),
        update_config: spec.update.as_ref().map(update),
        rollback_config: spec.rollback.as_ref().map(update),
        networks: Vec::new(),
        endpoint_spec: Some(endpoint(spec)),
    }
}

fn mode(mode: ServiceMode) -> dto::Mode {
    match mode {
        ServiceMode::Replicated { replicas } => {
            dto::Mode { replicated: Some(dto::Replicated { replicas: Some(replicas.into()) }), ..dto::Mode::default() }
        }
        ServiceMode::Global => dto::Mode { global: Some(Empty {}), ..dto::Mode::default() },
        ServiceMode::ReplicatedJob { max_concurrent, total_completions } => dto::Mode {
            replicated_job: Some(dto::ReplicatedJob {
                max_concurrent: Some(max_concurrent.into()),
                total_completions: Some(total_completions.into()),
            }),
            ..dto::Mode::default()
        },
        ServiceMode::GlobalJob => dto::Mode { global_job: Some(Empty {}), ..dto::Mode::default() },
    }
}

fn nanos(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

fn update(config: &UpdateConfig) -> dto::UpdateConfig {
    dto::UpdateConfig {
        parallelism: config.parallelism.into(),
        delay: nanos(config.delay),
        failure_action: match config.failure_action {
            FailureAction::Pause => "pause",
            FailureAction::Continue => "continue",
            FailureAction::Rollback => "rollback",
        }
        .to_owned(),
        monitor: nanos(config.monitor),
        max_failure_ratio: config.max_failure_ratio,
        order: match config.order {
            UpdateOrder::StopFirst => "stop-first",
            UpdateOrder::StartFirst => "start-first",
        }
        .to_owned(),
    }
}

fn endpoint(spec: &ServiceSpec) -> dto::EndpointSpec {
    let mode = match spec.endpoint_mode {
        EndpointMode::Vip => "vip",
        EndpointMode::Dnsrr => "dnsrr",
    };
    dto::EndpointSpec { mode: mode.to_owned(), ports: spec.task.container.ports.iter().map(port).collect() }
}

/// The ports as they are published: those that were left open have been chosen.
fn ports(service: &Service) -> Vec<dto::PortConfig> {
    let Some(mesh) = &service.mesh else { return endpoint(&service.spec).ports };
    let asked = &service.spec.task.container.ports;
    let named =
        |target: u16| asked.iter().find(|port| port.container_port.0 == target).and_then(|port| port.name.clone());
    let meshed = mesh.ports.iter().map(|given| dto::PortConfig {
        name: named(given.target).unwrap_or_default(),
        protocol: given.protocol.to_string(),
        target_port: given.target,
        published_port: given.published,
        publish_mode: "ingress".to_owned(),
    });
    meshed.chain(asked.iter().filter(|port| !port.is_meshed()).map(port)).collect()
}

/// With the length of a host's prefix, as nobody needs to know the subnet's to call it.
fn virtual_ips(service: &Service) -> Vec<dto::VirtualIp> {
    let each = service.virtual_ips.iter().flat_map(|given| given.addresses.iter().map(move |address| (given, address)));
    each.map(|(given, address)| dto::VirtualIp {
        network_id: given.network.to_string(),
        addr: format!("{address}/{}", if address.is_ipv6() { 128 } else { 32 }),
    })
    .collect()
}

fn port(port: &PortSpec) -> dto::PortConfig {
    dto::PortConfig {
        name: port.name.clone().unwrap_or_default(),
        protocol: port.protocol.to_string(),
        target_port: port.container_port.0,
        published_port: port.host_port.map_or(0, |(first, _)| first),
        publish_mode: match port.mode {
            PublishMode::Ingress => "ingress",
            PublishMode::Host => "host",
        }
        .to_owned(),
    }
}

/// What a task runs and where it may run.
pub fn task_spec(task: &TaskSpec) -> dto::TaskSpec {
    let container = &task.container;
    let logging = &container.logging;
    dto::TaskSpec {
        container_spec: Some(container_spec(container)),
        plugin_spec: None,
        network_attachment_spec: None,
        resources: Some(resources(&container.resources)),
        restart_policy: task.restart.as_ref().map(restart),
        placement: Some(placement(task)),
        networks: networks(task),
        log_driver: (logging.driver.is_some() || !logging.options.is_empty()).then(|| dto::Driver {
            name: logging.driver.clone().unwrap_or_default(),
            options: logging.options.clone(),
        }),
        force_update: task.force_update,
        runtime: "container".to_owned(),
    }
}

fn networks(task: &TaskSpec) -> Vec<dto::NetworkTarget> {
    let plain = |name: &str| dto::NetworkTarget { target: name.to_owned(), ..dto::NetworkTarget::default() };
    match task.container.network_mode {
        NetworkMode::Host => return vec![plain("host")],
        NetworkMode::None => return vec![plain("none")],
        NetworkMode::Networks | NetworkMode::Container(_) => {}
    }
    let one = |(index, attachment): (usize, &hoist_proto::spec::NetworkAttachment)| dto::NetworkTarget {
        target: task.networks.get(index).map_or_else(|| attachment.network.clone(), ToString::to_string),
        aliases: attachment.aliases.clone(),
        driver_opts: attachment.driver_options.clone(),
    };
    task.container.networks.iter().enumerate().map(one).collect()
}

fn restart(policy: &ServiceRestart) -> dto::RestartPolicy {
    dto::RestartPolicy {
        condition: match policy.condition {
            RestartCondition::None => "none",
            RestartCondition::OnFailure => "on-failure",
            RestartCondition::Any => "any",
        }
        .to_owned(),
        delay: Some(nanos(policy.delay)),
        max_attempts: Some(policy.max_attempts.unwrap_or(0).into()),
        window: (!policy.window.is_zero()).then(|| nanos(policy.window)),
    }
}

fn placement(task: &TaskSpec) -> dto::Placement {
    let placement = &task.placement;
    let platform = |text: &String| {
        let (os, architecture) = text.split_once('/').unwrap_or((text, ""));
        dto::Platform { architecture: architecture.to_owned(), os: os.to_owned() }
    };
    dto::Placement {
        constraints: placement.constraints.clone(),
        preferences: placement
            .spread
            .iter()
            .map(|key| dto::Preference { spread: Some(dto::Spread { spread_descriptor: key.clone() }) })
            .collect(),
        max_replicas: placement.max_replicas_per_node.unwrap_or(0).into(),
        platforms: placement.platforms.iter().map(platform).collect(),
    }
}

fn resources(resources: &Resources) -> dto::Resources {
    let limits = dto::Limit {
        nano_cpus: resources.nano_cpus.map_or(0, signed),
        memory_bytes: resources.memory.map_or(0, signed),
        pids: resources.pids.unwrap_or(0),
    };
    let generic = resources.reserved_generic.iter().map(|(kind, count)| dto::GenericResource {
        named_resource_spec: None,
        discrete_resource_spec: Some(dto::DiscreteResource { kind: kind.clone(), value: signed(*count) }),
    });
    let reservations = dto::Reservation {
        nano_cpus: resources.reserved_nano_cpus.map_or(0, signed),
        memory_bytes: resources.reserved_memory.map_or(0, signed),
        generic_resources: generic.collect(),
    };
    dto::Resources {
        limits: Some(limits).filter(|limits| *limits != dto::Limit::default()),
        reservations: Some(reservations).filter(|reservations| *reservations != dto::Reservation::default()),
        swap_bytes: resources.memory_swap.map(|total| match total {
            -1 => -1,
            total => total - resources.memory.map_or(0, signed),
        }),
        memory_swappiness: resources.memory_swappiness.map(signed),
    }
}

fn container_spec(spec: &ContainerSpec) -> dto::ContainerSpec {
    let dns = dto::DnsConfig {
        nameservers: spec.dns.clone(),
        search: spec.dns_search.clone(),
        options: spec.dns_options.clone(),
    };
    let of_kind = |secret: bool| spec.files.iter().filter(move |file| file.secret == secret);
    dto::ContainerSpec {
        image: spec.image.clone(),
        labels: spec.labels.clone(),
        command: spec.entrypoint.clone().unwrap_or_default(),
        args: spec.command.clone().unwrap_or_default(),
        hostname: spec.hostname.clone().unwrap_or_default(),
        env: spec.env.clone(),
        dir: spec.working_dir.clone().unwrap_or_default(),
        user: spec.user.clone().unwrap_or_default(),
        groups: spec.group_add.clone(),
        privileges: privileges(&spec.security),
        init: spec.init,
        stop_signal: spec.stop_signal.clone().unwrap_or_default(),
        tty: spec.tty,
        open_stdin: spec.open_stdin,
        read_only: spec.read_only,
        mounts: spec.mounts.iter().map(as_object).collect(),
        stop_grace_period: spec.stop_grace_period.map(nanos),
        healthcheck: spec.healthcheck.as_ref().map(healthcheck),
        hosts: spec.extra_hosts.iter().map(|(name, address)| format!("{address} {name}")).collect(),
        dns_config: Some(dns).filter(|dns| *dns != dto::DnsConfig::default()),
        secrets: of_kind(true)
            .map(|file| dto::SecretReference {
                file: Some(file_target(file)),
                secret_id: stored(file),
                secret_name: file.source.clone(),
            })
            .collect(),
        configs: of_kind(false)
            .map(|file| dto::ConfigReference {
                file: Some(file_target(file)),
                runtime: None,
                config_id: stored(file),
                config_name: file.source.clone(),
            })
            .collect(),
        isolation: "default".to_owned(),
        sysctls: spec.sysctls.clone(),
        capability_add: spec.security.cap_add.clone(),
        capability_drop: spec.security.cap_drop.clone(),
        ulimits: spec
            .ulimits
            .iter()
            .map(|limit| Ulimit { name: limit.name.clone(), hard: limit.hard, soft: limit.soft })
            .collect(),
        oom_score_adj: spec.oom_score_adj.unwrap_or(0).into(),
    }
}

fn file_target(file: &FileMount) -> dto::FileTarget {
    dto::FileTarget {
        name: file.target.clone(),
        uid: file.uid.to_string(),
        gid: file.gid.to_string(),
        mode: file.mode.unwrap_or(0o444),
    }
}

fn stored(file: &FileMount) -> String {
    match &file.content {
        FileContent::Stored(id) => id.clone(),
        FileContent::Inline(_) | FileContent::HostPath(_) => String::new(),
    }
}

fn privileges(security: &Security) -> Option<dto::Privileges> {
    let mut context = dto::SelinuxContext::default();
    for label in &security.selinux {
        match label.split_once(':') {
            Some(("user", value)) => value.clone_into(&mut context.user),
            Some(("role", value)) => value.clone_into(&mut context.role),
            Some(("type", value)) => value.clone_into(&mut context.kind),
            Some(("level", value)) => value.clone_into(&mut context.level),
            _ => context.disable |= label == "disable",
        }
    }
    let seccomp = match &security.seccomp {
        SeccompChoice::Default => None,
        SeccompChoice::Unconfined => Some(dto::Seccomp { mode: "unconfined".to_owned(), profile: String::new() }),
        SeccompChoice::Profile(text) => {
            Some(dto::Seccomp { mode: "custom".to_owned(), profile: STANDARD.encode(text) })
        }
    };
    let privileges = dto::Privileges {
        credential_spec: None,
        selinux_context: Some(context).filter(|context| *context != dto::SelinuxContext::default()),
        seccomp,
        app_armor: (security.apparmor.as_deref() == Some("unconfined"))
            .then(|| dto::AppArmor { mode: "disabled".to_owned() }),
        no_new_privileges: security.no_new_privileges,
    };
    (privileges != dto::Privileges::default()).then_some(privileges)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{body, translate::service as there};

    /// What was asked for comes back as it was, and asked for again it is the same.
    #[test]
    fn a_definition_comes_back() {
        let json = r#"{"Name":"web","Labels":{"a":"b"},"TaskTemplate":{"ContainerSpec":{"Image":"busybox","Command":["sh"],
            "Args":["-c","x"],"Hostname":"{{.Node.Hostname}}","Env":["A=b"],"Dir":"/w","User":"1:2","Groups":["g"],
            "Privileges":{"SELinuxContext":{"Disable":false,"Type":"t"},"Seccomp":{"Mode":"unconfined"},"AppArmor":{"Mode":"disabled"},"NoNewPrivileges":true},
            "Init":true,"StopSignal":"INT","TTY":true,"OpenStdin":true,"ReadOnly":true,
            "Mounts":[{"Type":"volume","Source":"data","Target":"/data","VolumeOptions":{"DriverConfig":{"Name":"local","Options":{"a":"b"}}}},{"Type":"tmpfs","Target":"/t","TmpfsOptions":{"SizeBytes":4096}}],
            "StopGracePeriod":3000000000,"Healthcheck":{"Test":["CMD","true"],"Interval":2000000000},"Hosts":["1.2.3.4 a"],
            "DNSConfig":{"Nameservers":["1.1.1.1"],"Search":["x"],"Options":["ndots:2"]},
            "Secrets":[{"File":{"Name":"s","UID":"0","GID":"5","Mode":288},"SecretID":"id1","SecretName":"key"}],
            "Configs":[{"File":{"Name":"/c","UID":"0","GID":"0","Mode":292},"ConfigID":"id2","ConfigName":"conf"}],
            "Sysctls":{"net.x":"1"},"CapabilityAdd":["CAP_NET_RAW"],"CapabilityDrop":["CAP_KILL"],
            "Ulimits":[{"Name":"nofile","Hard":10,"Soft":5}],"OomScoreAdj":7},
            "Resources":{"Limits":{"NanoCPUs":500000000,"MemoryBytes":67108864,"Pids":9},
              "Reservations":{"NanoCPUs":100000000,"MemoryBytes":33554432,"GenericResources":[{"DiscreteResourceSpec":{"Kind":"gpu","Value":2}}]},
              "SwapBytes":1048576,"MemorySwappiness":10},
            "RestartPolicy":{"Condition":"on-failure","Delay":1000000000,"MaxAttempts":3,"Window":9000000000},
            "Placement":{"Constraints":["node.role==manager"],"Preferences":[{"Spread":{"SpreadDescriptor":"node.labels.zone"}}],"MaxReplicas":2,"Platforms":[{"Architecture":"amd64","OS":"linux"}]},
            "Networks":[{"Target":"net","Aliases":["x"]}],"LogDriver":{"Name":"json-file","Options":{"max-size":"1m"}},"ForceUpdate":4,"Runtime":"container"},
            "Mode":{"Replicated":{"Replicas":3}},
            "UpdateConfig":{"Parallelism":2,"Delay":1000000000,"FailureAction":"rollback","Monitor":3000000000,"MaxFailureRatio":0.25,"Order":"start-first"},
            "RollbackConfig":{"Parallelism":1,"FailureAction":"pause","Monitor":5000000000,"MaxFailureRatio":0,"Order":"stop-first"},
            "EndpointSpec":{"Mode":"vip","Ports":[{"Protocol":"tcp","TargetPort":80,"PublishedPort":8080,"PublishMode":"ingress"}]}}"#;
        let asked: dto::ServiceSpec = body::parse(json.as_bytes()).unwrap();
        let predefined = Default::default();
        let around = there::Around { base: None, predefined: &predefined };
        let made = there::service(asked.clone(), around).unwrap();
        let mut shown = spec(&made);
        let again = there::service(shown.clone(), around).unwrap();
        assert_eq!(again, made);
        if let Some(container) = &mut shown.task_template.container_spec {
            assert_eq!(std::mem::take(&mut container.isolation), "default");
        }
        assert_eq!(serde_json::to_value(&shown).unwrap(), serde_json::to_value(&asked).unwrap());
        // What the API cannot say is kept.
        let mut base = made.clone();
        base.task.container.security.privileged = true;
        let kept = there::service(asked, there::Around { base: Some(&base), predefined: &predefined }).unwrap();
        assert_eq!(kept, base);
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        let predefined = Default::default();
        for (json, message) in [
            (r#"{"Mode":{"Global":{},"Replicated":{}}}"#, "only one service mode"),
            (r#"{"TaskTemplate":{"Runtime":"plugin"}}"#, "runtime plugin"),
            (r#"{"TaskTemplate":{"NetworkAttachmentSpec":{"ContainerID":"x"}}}"#, "runtime attachment"),
            (r#"{"TaskTemplate":{"RestartPolicy":{"Condition":"x"}}}"#, "restart condition"),
            (r#"{"TaskTemplate":{"RestartPolicy":{"Delay":-1}}}"#, "Delay cannot be negative"),
            (r#"{"TaskTemplate":{"Resources":{"SwapBytes":1}}}"#, "memory limit beside it"),
            (r#"{"TaskTemplate":{"ContainerSpec":{"Privileges":{"CredentialSpec":{"File":"x"}}}}}"#, "CredentialSpec"),
            (r#"{"TaskTemplate":{"Networks":[{"Target":"host"},{"Target":"x"}]}}"#, "cannot be combined"),
            (r#"{"EndpointSpec":{"Ports":[{"PublishedPort":1}]}}"#, "TargetPort"),
            (r#"{"UpdateConfig":{"Order":"x"}}"#, "UpdateConfig order"),
            (r#"{"RollbackConfig":{"FailureAction":"rollback"}}"#, "failure action"),
        ] {
            let asked = body::parse(json.as_bytes()).unwrap();
            let err = there::service(asked, there::Around { base: None, predefined: &predefined }).unwrap_err();
            assert!(err.message.contains(message), "{json}: {}", err.message);
        }
    }
}
