//! `service create`.

use super::{super::resources::ulimit, Files, parse, shared};
use crate::{
    api::dto::{Empty, service as dto},
    cli::{
        args::service::CreateArgs,
        spec::{SpecError, Surroundings, env, key_values, mount},
    },
};

/// The definition that the flags describe.
///
/// # Errors
/// [`SpecError`], naming the flag and its value.
pub fn create(args: &CreateArgs, files: &Files, around: &Surroundings) -> Result<dto::ServiceSpec, SpecError> {
    let mut spec = dto::ServiceSpec {
        name: args.name.clone().unwrap_or_else(random_name),
        labels: key_values("label", &args.labels, '=')?,
        mode: mode(&args.mode)?,
        ..dto::ServiceSpec::default()
    };
    if args.shared.replicas_max_per_node.is_some()
        && spec.mode.replicated.is_none()
        && spec.mode.replicated_job.is_none()
    {
        return Err(SpecError::conflict("replicas-max-per-node", "only replicated and replicated-job have it"));
    }
    let all = |flag, texts: &[String], parse: fn(&'static str, &str) -> Result<_, SpecError>| {
        texts.iter().map(|text| parse(flag, text)).collect::<Result<Vec<_>, _>>()
    };
    let dns = dto::DnsConfig {
        nameservers: args.dns.clone(),
        search: args.dns_search.clone(),
        options: args.dns_option.clone(),
    };
    spec.task_template.container_spec = Some(dto::ContainerSpec {
        image: args.image.clone(),
        args: args.command.clone(),
        labels: key_values("container-label", &args.container_labels, '=')?,
        env: env::variables(&args.env, &args.env_files, around)?,
        groups: args.group.clone(),
        mounts: args.mount.iter().map(|text| mount::parse(text, around)).collect::<Result<_, _>>()?,
        hosts: args.host.iter().map(|text| parse::host("host", text)).collect::<Result<_, _>>()?,
        dns_config: Some(dns).filter(|dns| *dns != dto::DnsConfig::default()),
        secrets: args.secret.iter().map(|text| files.secret("secret", text)).collect::<Result<_, _>>()?,
        configs: args.config.iter().map(|text| files.config("config", text)).collect::<Result<_, _>>()?,
        sysctls: key_values("sysctl", &args.sysctl, '=')?,
        ulimits: args.ulimit.iter().map(|text| ulimit("ulimit", text)).collect::<Result<_, _>>()?,
        ..dto::ContainerSpec::default()
    });
    spec.task_template.networks =
        args.network.iter().map(|n| parse::network("network", n)).collect::<Result<_, _>>()?;
    spec.task_template.placement = Some(dto::Placement {
        constraints: args.constraint.clone(),
        preferences: all("placement-pref", &args.placement_pref, parse::preference)?,
        ..dto::Placement::default()
    });
    let generic = args.generic_resource.iter().map(|text| parse::generic("generic-resource", text));
    spec.task_template.resources.get_or_insert_default().reservations.get_or_insert_default().generic_resources =
        generic.collect::<Result<_, _>>()?;
    let mut ports = Vec::new();
    for text in &args.publish {
        ports.extend(parse::ports("publish", text)?);
    }
    spec.endpoint_spec = Some(dto::EndpointSpec { mode: String::new(), ports });
    shared::apply(&mut spec, &args.shared)?;
    Ok(spec)
}

fn mode(text: &str) -> Result<dto::Mode, SpecError> {
    let mut mode = dto::Mode::default();
    match text {
        "replicated" => mode.replicated = Some(dto::Replicated { replicas: Some(1) }),
        "global" => mode.global = Some(Empty {}),
        "replicated-job" => {
            mode.replicated_job = Some(dto::ReplicatedJob { max_concurrent: None, total_completions: Some(1) });
        }
        "global-job" => mode.global_job = Some(Empty {}),
        other => {
            return Err(SpecError::value("mode", other, "expected replicated, global, replicated-job or global-job"));
        }
    }
    Ok(mode)
}

fn random_name() -> String {
    let id = hoist_proto::id::ServiceId::random();
    format!("service-{}", &id.as_str()[..8])
}
