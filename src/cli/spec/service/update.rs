//! `service update`: what is there, changed.

use super::{super::resources::ulimit, Files, parse, shared, words};
use crate::{
    api::dto::service::{self as dto, ContainerSpec, ServiceSpec},
    cli::{
        args::service::UpdateArgs,
        spec::{SpecError, Surroundings, env, key_values, mount},
    },
};

/// Changes a definition as the flags say.
///
/// # Errors
/// [`SpecError`], naming the flag and its value.
pub fn update(
    spec: &mut ServiceSpec,
    args: &UpdateArgs,
    files: &Files,
    around: &Surroundings,
) -> Result<(), SpecError> {
    shared::apply(spec, &args.shared)?;
    spec.labels.retain(|key, _| !args.label_rm.contains(key));
    spec.labels.extend(key_values("label-add", &args.label_add, '=')?);
    container(spec.task_template.container_spec.get_or_insert_default(), args, files, around)?;
    let placement = spec.task_template.placement.get_or_insert_default();
    change(&mut placement.constraints, &args.constraint_rm, args.constraint_add.clone(), |have, name| have == name);
    let preferences = parsed(&args.placement_pref_add, |text| parse::preference("placement-pref-add", text))?;
    let gone = parsed(&args.placement_pref_rm, |text| parse::preference("placement-pref-rm", text))?;
    placement.preferences.retain(|have| !gone.contains(have));
    placement.preferences.extend(preferences);
    let networks = parsed(&args.network_add, |text| parse::network("network-add", text))?;
    spec.task_template.networks.retain(|have| !args.network_rm.contains(&have.target));
    spec.task_template.networks.extend(networks);
    let reserved = spec.task_template.resources.get_or_insert_default().reservations.get_or_insert_default();
    let kind = |resource: &dto::GenericResource| {
        resource.discrete_resource_spec.as_ref().map(|discrete| discrete.kind.clone()).unwrap_or_default()
    };
    let generic = parsed(&args.generic_resource_add, |text| parse::generic("generic-resource-add", text))?;
    reserved.generic_resources.retain(|have| {
        !args.generic_resource_rm.contains(&kind(have)) && !generic.iter().any(|new| kind(new) == kind(have))
    });
    reserved.generic_resources.extend(generic);
    ports(spec.endpoint_spec.get_or_insert_default(), args)?;
    if args.force {
        spec.task_template.force_update += 1;
    }
    Ok(())
}

fn parsed<T>(texts: &[String], parse: impl Fn(&String) -> Result<T, SpecError>) -> Result<Vec<T>, SpecError> {
    texts.iter().map(parse).collect()
}

/// Takes away what a flag names, then puts new ones in.
fn change<T>(list: &mut Vec<T>, gone: &[String], new: Vec<T>, is: impl Fn(&T, &String) -> bool)
where
    T: PartialEq,
{
    list.retain(|have| !gone.iter().any(|name| is(have, name)));
    for one in new {
        if !list.contains(&one) {
            list.push(one);
        }
    }
}

fn container(
    spec: &mut ContainerSpec,
    args: &UpdateArgs,
    files: &Files,
    around: &Surroundings,
) -> Result<(), SpecError> {
    if let Some(image) = &args.image {
        spec.image.clone_from(image);
    }
    if let Some(text) = &args.args {
        spec.args = words::split(text).map_err(|why| SpecError::value("args", text, why))?;
    }
    spec.labels.retain(|key, _| !args.container_label_rm.contains(key));
    spec.labels.extend(key_values("container-label-add", &args.container_label_add, '=')?);
    let name = |variable: &str| variable.split('=').next().unwrap_or_default().to_owned();
    let new = env::variables(&args.env_add, &[], around)?;
    spec.env.retain(|have| !args.env_rm.contains(&name(have)) && !new.iter().any(|new| name(new) == name(have)));
    spec.env.extend(new);
    let mounts = parsed(&args.mount_add, |text| mount::parse(text, around))?;
    spec.mounts
        .retain(|have| !args.mount_rm.contains(&have.target) && !mounts.iter().any(|new| new.target == have.target));
    spec.mounts.extend(mounts);
    let secrets = parsed(&args.secret_add, |text| files.secret("secret-add", text))?;
    change(&mut spec.secrets, &args.secret_rm, secrets, |have, name| have.secret_name == *name);
    let configs = parsed(&args.config_add, |text| files.config("config-add", text))?;
    change(&mut spec.configs, &args.config_rm, configs, |have, name| have.config_name == *name);
    change(&mut spec.groups, &args.group_rm, args.group_add.clone(), |have, name| have == name);
    let dns = spec.dns_config.get_or_insert_default();
    change(&mut dns.nameservers, &args.dns_rm, args.dns_add.clone(), |have, name| have == name);
    change(&mut dns.options, &args.dns_option_rm, args.dns_option_add.clone(), |have, name| have == name);
    change(&mut dns.search, &args.dns_search_rm, args.dns_search_add.clone(), |have, name| have == name);
    if *dns == dto::DnsConfig::default() {
        spec.dns_config = None;
    }
    let hosts = parsed(&args.host_add, |text| parse::host("host-add", text))?;
    let gone = parsed(&args.host_rm, |text| {
        // A name alone takes all of its addresses away.
        if text.contains([':', '=']) { parse::host("host-rm", text) } else { Ok(text.clone()) }
    })?;
    change(&mut spec.hosts, &gone, hosts, |have, gone| {
        have == gone || have.split_whitespace().skip(1).any(|name| name == gone)
    });
    spec.sysctls.retain(|key, _| !args.sysctl_rm.contains(key));
    spec.sysctls.extend(key_values("sysctl-add", &args.sysctl_add, '=')?);
    let ulimits = parsed(&args.ulimit_add, |text| ulimit("ulimit-add", text))?;
    spec.ulimits
        .retain(|have| !args.ulimit_rm.contains(&have.name) && !ulimits.iter().any(|new| new.name == have.name));
    spec.ulimits.extend(ulimits);
    Ok(())
}

fn ports(endpoint: &mut dto::EndpointSpec, args: &UpdateArgs) -> Result<(), SpecError> {
    for text in &args.publish_rm {
        let gone = parse::ports("publish-rm", text)?;
        endpoint.ports.retain(|have| {
            !gone.iter().any(|gone| gone.target_port == have.target_port && gone.protocol == have.protocol)
        });
    }
    for text in &args.publish_add {
        for new in parse::ports("publish-add", text)? {
            endpoint.ports.retain(|have| (have.target_port, &have.protocol) != (new.target_port, &new.protocol));
            endpoint.ports.push(new);
        }
    }
    Ok(())
}
