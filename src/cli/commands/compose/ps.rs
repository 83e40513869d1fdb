//! `hoist compose ps`, `images`, `port`, `top`, `volumes`, `wait`: what there is of a project.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    args::{ContainerStatus, ImagesArgs, PortArgs, ProjectArgs, PsArgs, ServicesArgs, VolumesArgs, WaitArgs},
    args_up::DownArgs,
    containers::{self, Container, PROJECT, Port, Which},
    lifecycle, project, rows,
};
use crate::cli::{Context, Exit, Outcome, client::path_segment, failure::Failure};

/// `hoist compose ps`.
pub async fn ps(context: &Context, args: &ProjectArgs, ps: &PsArgs) -> Outcome {
    let known = project::known(context, args)?;
    known.check_services(context, &ps.services).await?;
    let mut statuses: Vec<String> = ps.status.iter().map(|status| status_name(*status).to_owned()).collect();
    for filter in &ps.filters {
        match filter.split_once('=') {
            Some(("status", value)) => statuses.push(value.to_owned()),
            _ => {
                return Err(Failure::new(format!("invalid filter {filter:?}")).hint("only status=STATUS is known"));
            }
        }
    }
    let which = if ps.all {
        Which::WithOneOff
    } else if statuses.is_empty() {
        Which::Running
    } else {
        Which::All
    };
    let mut found = containers::list(context, &known.name, &ps.services, which).await?;
    found.retain(|container| statuses.is_empty() || statuses.contains(&container.state));
    if !ps.orphans
        && let Some(project) = &known.project
    {
        found.retain(|container| project.services.contains_key(container.service()));
    }
    if ps.services_only {
        let names: BTreeSet<&str> = found.iter().map(Container::service).collect();
        for name in names {
            context.printer.line(name)?;
        }
        return Ok(Exit::OK);
    }
    if ps.quiet {
        for container in &found {
            context.printer.line(&container.id)?;
        }
        return Ok(Exit::OK);
    }
    let rows: Vec<Value> = found.iter().map(|container| row(container, ps.no_trunc)).collect();
    rows::print(
        context,
        &ps.format,
        &[
            ("NAME", "Name"),
            ("IMAGE", "Image"),
            ("COMMAND", "Command"),
            ("SERVICE", "Service"),
            ("CREATED", "RunningFor"),
            ("STATUS", "Status"),
            ("PORTS", "Ports"),
        ],
        &rows,
    )
}

fn status_name(status: ContainerStatus) -> &'static str {
    match status {
        ContainerStatus::Created => "created",
        ContainerStatus::Running => "running",
        ContainerStatus::Paused => "paused",
        ContainerStatus::Restarting => "restarting",
        ContainerStatus::Removing => "removing",
        ContainerStatus::Exited => "exited",
        ContainerStatus::Dead => "dead",
    }
}

fn row(container: &Container, whole: bool) -> Value {
    let command = if whole { container.command.clone() } else { truncate(&container.command, 20) };
    let id = if whole { container.id.as_str() } else { container.id.get(..12).unwrap_or(&container.id) };
    let publishers: Vec<Value> = container
        .ports
        .iter()
        .map(|port| {
            json!({
                "URL": port.ip.clone().unwrap_or_default(),
                "TargetPort": port.private_port,
                "PublishedPort": port.public_port.unwrap_or(0),
                "Protocol": port.protocol,
            })
        })
        .collect();
    let health = ["(healthy)", "(unhealthy)", "(health: starting)"]
        .iter()
        .find(|word| container.status.contains(**word))
        .map_or("", |word| word.trim_matches(['(', ')']).trim_start_matches("health: "));
    json!({
        "ID": id,
        "Name": container.name(),
        "Names": container.name(),
        "Image": container.image,
        "Command": format!("\"{command}\""),
        "Project": container.labels.get(PROJECT),
        "Service": container.service(),
        "CreatedAt": jiff::Timestamp::from_second(container.created).unwrap_or_default().to_string(),
        "RunningFor": format!("{} ago", age(container.created)),
        "State": container.state,
        "Status": container.status,
        "Health": health,
        "ExitCode": container.exit_code().unwrap_or(0),
        "Publishers": publishers,
        "Ports": ports(&container.ports),
        "Labels": container.labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(","),
    })
}

fn age(created: i64) -> String {
    let seconds = (jiff::Timestamp::now().as_second() - created).max(0);
    hoist_proto::unit::format_age(std::time::Duration::from_secs(seconds.unsigned_abs()))
}

fn truncate(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        return text.to_owned();
    }
    text.chars().take(length - 1).chain(['…']).collect()
}

/// `0.0.0.0:8080->80/tcp, 53/udp`, as Docker writes ports.
fn ports(ports: &[Port]) -> String {
    let mut texts: Vec<String> = ports
        .iter()
        .map(|port| match (&port.ip, port.public_port) {
            (Some(ip), Some(public)) if ip.contains(':') => {
                format!("[{ip}]:{public}->{}/{}", port.private_port, port.protocol)
            }
            (ip, Some(public)) => {
                format!("{}:{public}->{}/{}", ip.as_deref().unwrap_or("0.0.0.0"), port.private_port, port.protocol)
            }
            (_, None) => format!("{}/{}", port.private_port, port.protocol),
        })
        .collect();
    texts.sort();
    texts.dedup();
    texts.join(", ")
}

/// `hoist compose port`.
pub async fn port(context: &Context, args: &ProjectArgs, port: &PortArgs) -> Outcome {
    let known = project::known(context, args)?;
    let container = containers::one(context, &known.name, &port.service, Some(port.index), Which::Running).await?;
    let found = container.ports.iter().find(|bound| {
        bound.private_port == port.private_port && bound.protocol == port.protocol && bound.public_port.is_some()
    });
    match found {
        Some(Port { ip, public_port: Some(public), .. }) => {
            let ip = ip.clone().unwrap_or_else(|| "0.0.0.0".to_owned());
            context.printer.line(if ip.contains(':') {
                format!("[{ip}]:{public}")
            } else {
                format!("{ip}:{public}")
            })?;
            Ok(Exit::OK)
        }
        _ => {
            let published = ports(&container.ports);
            let failure = Failure::new(format!(
                "port {}/{} of {} is not published",
                port.private_port,
                port.protocol,
                container.name()
            ));
            Err(if published.is_empty() { failure } else { failure.hint(format!("published are: {published}")) })
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Processes {
    titles: Vec<String>,
    #[serde(default)]
    processes: Vec<Vec<String>>,
}

/// `hoist compose top`.
pub async fn top(context: &Context, args: &ProjectArgs, flags: &ServicesArgs) -> Outcome {
    let known = project::known(context, args)?;
    known.check_services(context, &flags.services).await?;
    for container in containers::list(context, &known.name, &flags.services, Which::Running).await? {
        let found: Processes =
            context.client.get(format!("/containers/{}/top", path_segment(&container.id))).read().await?;
        context.printer.line(container.name())?;
        context.printer.text(rows::columns(&found.titles, &found.processes))?;
        context.printer.line("")?;
    }
    Ok(Exit::OK)
}

/// `hoist compose images`.
pub async fn images(context: &Context, args: &ProjectArgs, flags: &ImagesArgs) -> Outcome {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Image {
        id: String,
        #[serde(default)]
        size: u64,
        #[serde(default)]
        architecture: String,
        #[serde(default)]
        os: String,
        #[serde(default)]
        created: Option<String>,
    }
    let known = project::known(context, args)?;
    known.check_services(context, &flags.services).await?;
    let found = containers::list(context, &known.name, &flags.services, Which::All).await?;
    let mut images: BTreeMap<String, Image> = BTreeMap::new();
    for container in &found {
        if !images.contains_key(&container.image_id) {
            let path = format!("/images/{}/json", path_segment(&container.image_id));
            images.insert(container.image_id.clone(), context.client.get(path).read().await?);
        }
    }
    if flags.quiet {
        for image in images.values() {
            context.printer.line(image.id.trim_start_matches("sha256:"))?;
        }
        return Ok(Exit::OK);
    }
    let rows: Vec<Value> = found
        .iter()
        .filter_map(|container| {
            let image = images.get(&container.image_id)?;
            let (repository, tag) = match container.image.rsplit_once(':') {
                Some((repository, tag)) if !tag.contains('/') => (repository, tag),
                _ => (container.image.as_str(), "latest"),
            };
            let id = image.id.trim_start_matches("sha256:");
            Some(json!({
                "ID": id.get(..12).unwrap_or(id),
                "ContainerName": container.name(),
                "Repository": repository,
                "Tag": tag,
                "Platform": format!("{}/{}", image.os, image.architecture),
                "Size": hoist_proto::unit::format_bytes_short(image.size),
                "Created": image.created,
            }))
        })
        .collect();
    rows::print(
        context,
        &flags.format,
        &[
            ("CONTAINER", "ContainerName"),
            ("REPOSITORY", "Repository"),
            ("TAG", "Tag"),
            ("PLATFORM", "Platform"),
            ("IMAGE ID", "ID"),
            ("SIZE", "Size"),
        ],
        &rows,
    )
}

/// `hoist compose volumes`.
pub async fn volumes(context: &Context, args: &ProjectArgs, flags: &VolumesArgs) -> Outcome {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Volumes {
        #[serde(default)]
        volumes: Option<Vec<Value>>,
    }
    let known = project::known(context, args)?;
    known.check_services(context, &flags.services).await?;
    let filters = json!({ "label": [format!("{PROJECT}={}", known.name)] }).to_string();
    let found: Volumes = context.client.get("/volumes").query("filters", filters).read().await?;
    let mut volumes = found.volumes.unwrap_or_default();
    if !flags.services.is_empty() {
        let used: BTreeSet<String> = containers::list(context, &known.name, &flags.services, Which::All)
            .await?
            .into_iter()
            .flat_map(|container| container.mounts)
            .filter_map(|mount| mount.name)
            .collect();
        volumes.retain(|volume| volume["Name"].as_str().is_some_and(|name| used.contains(name)));
    }
    if flags.quiet {
        for volume in &volumes {
            context.printer.line(volume["Name"].as_str().unwrap_or_default())?;
        }
        return Ok(Exit::OK);
    }
    rows::print(context, &flags.format, &[("DRIVER", "Driver"), ("VOLUME NAME", "Name")], &volumes)
}

/// `hoist compose wait`: prints the code of each container as it ends; ends with the code of the last.
pub async fn wait(context: &Context, args: &ProjectArgs, flags: &WaitArgs) -> Outcome {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Ended {
        status_code: i64,
    }
    let known = project::known(context, args)?;
    known.check_services(context, &flags.services).await?;
    let found = containers::list(context, &known.name, &flags.services, Which::Running).await?;
    if found.is_empty() {
        return Err(Failure::new(format!("no container of {} is running", flags.services.join(", "))));
    }
    let mut pending: futures_util::stream::FuturesUnordered<_> = found
        .iter()
        .map(|container| async move {
            let path = format!("/containers/{}/wait", path_segment(&container.id));
            let ended: Result<Ended, _> = context.client.post(path).read().await;
            (container.name(), ended)
        })
        .collect();
    let mut last = 0;
    while let Some((name, ended)) = futures_util::StreamExt::next(&mut pending).await {
        last = ended?.status_code;
        context.printer.line(format!("container {name:?} exited with status code {last}"))?;
        if flags.down_project {
            drop(pending);
            let down =
                DownArgs { services: Vec::new(), remove_orphans: false, rmi: None, timeout: None, volumes: false };
            lifecycle::down(context, args, &down).await?;
            break;
        }
    }
    Ok(Exit::container(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_written_as_docker_does() {
        let port = |ip: Option<&str>, public| Port {
            ip: ip.map(str::to_owned),
            private_port: 80,
            public_port: public,
            protocol: "tcp".into(),
        };
        let list = [port(Some("::"), Some(8080)), port(Some("0.0.0.0"), Some(8080)), port(None, None)];
        assert_eq!(ports(&list), "0.0.0.0:8080->80/tcp, 80/tcp, [::]:8080->80/tcp");
        assert_eq!(truncate("/docker-entrypoint.sh nginx", 20), "/docker-entrypoint.…");
    }
}
