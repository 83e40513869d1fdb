//! `hoist service ls`

use crate::{
    api::dto::service as dto,
    cli::{
        Context, Exit, Outcome,
        args::service::LsArgs,
        client::filters,
        commands::container::ls::short,
        failure::Failure,
        format::{List, Row},
    },
};

const LIST: List<'_> = List {
    headings: &[
        ("ID", "ID"),
        ("Name", "NAME"),
        ("Mode", "MODE"),
        ("Replicas", "REPLICAS"),
        ("Image", "IMAGE"),
        ("Ports", "PORTS"),
        ("Labels", "LABELS"),
    ],
    columns: "{{.ID}}\t{{.Name}}\t{{.Mode}}\t{{.Replicas}}\t{{.Image}}\t{{.Ports}}",
    quiet: "{{.ID}}",
    may_cut: &["Image", "Ports"],
};

/// Lists services.
pub async fn run(cx: &Context, args: LsArgs) -> Outcome {
    show(cx, filters(&args.filters)?, args.format.format.as_deref(), args.quiet).await
}

/// Lists those that match.
pub async fn show(cx: &Context, filters: Option<String>, format: Option<&str>, quiet: bool) -> Outcome {
    let services = list(cx, filters).await?;
    let rows = services.iter().map(row).collect();
    LIST.print(cx.printer, format, quiet, false, rows)?;
    Ok(Exit::OK)
}

/// Services with how many tasks they have, by name.
pub async fn list(cx: &Context, filters: Option<String>) -> Result<Vec<dto::Service>, Failure> {
    let mut services: Vec<dto::Service> =
        cx.client.get("/services").query("status", "true").query_opt("filters", filters).read().await?;
    services.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
    Ok(services)
}

fn row(service: &dto::Service) -> Row {
    let spec = &service.spec;
    let mode = mode(&spec.mode);
    let image = spec.task_template.container_spec.as_ref().map(|container| container.image.as_str());
    Row::new()
        .set("ID", short(&service.id, false))
        .set("Name", spec.name.clone())
        .set("Mode", mode)
        .set("Replicas", replicas(service))
        .set("Image", plain_image(image.unwrap_or_default()))
        .set("Ports", ports(&service.endpoint.ports))
        .labels(&spec.labels)
}

/// In Docker's words.
pub fn mode(mode: &dto::Mode) -> &'static str {
    match mode {
        dto::Mode { global: Some(_), .. } => "global",
        dto::Mode { replicated_job: Some(_), .. } => "replicated job",
        dto::Mode { global_job: Some(_), .. } => "global job",
        _ => "replicated",
    }
}

fn replicas(service: &dto::Service) -> String {
    let status = service.service_status.clone().unwrap_or_default();
    let (running, desired, completed) = (status.running_tasks, status.desired_tasks, status.completed_tasks);
    let most = service.spec.task_template.placement.as_ref().map_or(0, |placement| placement.max_replicas);
    match &service.spec.mode {
        dto::Mode { replicated_job: Some(job), .. } => {
            let total = job.total_completions.unwrap_or(1);
            format!("{running}/{desired} ({completed}/{total} completed)")
        }
        dto::Mode { global_job: Some(_), .. } => {
            format!("{running}/{desired} ({completed}/{} completed)", desired + completed)
        }
        _ if most > 0 => format!("{running}/{desired} (max {most} per node)"),
        _ => format!("{running}/{desired}"),
    }
}

/// Without the digest, which says little to people.
pub fn plain_image(image: &str) -> &str {
    match image.split_once('@') {
        Some((name, _)) if name.rsplit('/').next().is_some_and(|last| last.contains(':')) => name,
        _ => image,
    }
}

/// `*:80->80/tcp, …`: what is published on every node.
pub fn ports(ports: &[dto::PortConfig]) -> String {
    let shown: Vec<String> = ports
        .iter()
        .filter(|port| port.publish_mode != "host" && port.published_port != 0)
        .map(|port| format!("*:{}->{}/{}", port.published_port, port.target_port, port.protocol))
        .collect();
    shown.join(", ")
}
