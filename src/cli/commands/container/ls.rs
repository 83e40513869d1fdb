//! `hoist ps`

use std::collections::BTreeMap;

use hoist_proto::unit;
use serde::Deserialize;

use crate::cli::{
    Context, Exit, Outcome,
    args::container::PsArgs,
    client::filters,
    commands::container::port_list::{Port, describe},
    format::{List, Row, time},
};

/// A line of `GET /containers/json`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Summary {
    pub id: String,
    pub names: Vec<String>,
    pub image: String,
    #[serde(rename = "ImageID")]
    pub image_id: String,
    pub command: String,
    pub created: i64,
    pub ports: Vec<Port>,
    pub size_rw: Option<u64>,
    pub size_root_fs: Option<u64>,
    pub labels: BTreeMap<String, String>,
    pub state: String,
    pub status: String,
    pub health: Option<Health>,
    pub network_settings: Networks,
    pub mounts: Vec<Mount>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Health {
    pub status: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Networks {
    pub networks: BTreeMap<String, serde::de::IgnoredAny>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Mount {
    #[serde(rename = "Type")]
    pub kind: String,
    pub name: String,
    pub source: String,
    pub driver: String,
}

const LIST: List<'_> = List {
    headings: &[
        ("ID", "CONTAINER ID"),
        ("Names", "NAMES"),
        ("Image", "IMAGE"),
        ("Command", "COMMAND"),
        ("CreatedAt", "CREATED AT"),
        ("RunningFor", "CREATED"),
        ("Ports", "PORTS"),
        ("State", "STATE"),
        ("Status", "STATUS"),
        ("HealthStatus", "HEALTH STATUS"),
        ("Size", "SIZE"),
        ("Labels", "LABELS"),
        ("Mounts", "MOUNTS"),
        ("LocalVolumes", "LOCAL VOLUMES"),
        ("Networks", "NETWORKS"),
        ("Platform", "PLATFORM"),
    ],
    columns: "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}",
    quiet: "{{.ID}}",
    may_cut: &["Image", "Command", "Ports", "Mounts", "Labels", "Networks"],
};

/// Lists containers.
pub async fn run(cx: &Context, args: PsArgs) -> Outcome {
    let mut format = args.format.format.as_deref().filter(|format| !format.is_empty());
    if args.quiet && format.take().is_some_and(|format| format != "table") {
        cx.printer.warn("--format is ignored, as --quiet is given too");
    }
    let size = args.size || format.is_some_and(wants_size);
    let last = if args.latest { Some(1) } else { args.last.filter(|last| *last > 0) };
    let found: Vec<Summary> = cx
        .client
        .get("/containers/json")
        .flag("all", args.all || last.is_some())
        .flag("size", size)
        .query_opt("limit", last.map(|last| last.to_string()))
        .query_opt("filters", filters(&args.filters)?)
        .read()
        .await?;
    let rows = found.iter().map(|container| row(container, args.no_trunc)).collect();
    let sized = List { columns: &format!("{}\t{{{{.Size}}}}", LIST.columns), ..LIST };
    let list = if args.size { sized } else { LIST };
    list.print(cx.printer, format, args.quiet, args.no_trunc, rows)?;
    Ok(Exit::OK)
}

/// Whether a template shows sizes, which take time to find out: by name, or with all else there is.
fn wants_size(format: &str) -> bool {
    format.contains(".Size") || (format.contains("json") && format != "json")
}

/// A container as templates see it.
pub fn row(container: &Summary, whole: bool) -> Row {
    let names: Vec<&str> = container.names.iter().map(|name| name.trim_start_matches('/')).collect();
    let mounts: Vec<String> = container
        .mounts
        .iter()
        .map(|mount| if mount.name.is_empty() { &mount.source } else { &mount.name })
        .map(|name| if whole { name.clone() } else { ellipsis(name, 15) })
        .collect();
    let networks: Vec<&str> = container.network_settings.networks.keys().map(String::as_str).collect();
    let command = if whole { container.command.clone() } else { ellipsis(&container.command, 20) };
    let local = container.mounts.iter().filter(|mount| mount.driver == "local").count();
    Row::new()
        .set(
            "Command",
            format!("\"{}\"", command.escape_default().to_string().replace("\\'", "'").replace("\\u{2026}", "…")),
        )
        .set("CreatedAt", time::stamp(container.created))
        .set("HealthStatus", container.health.as_ref().map_or("", |health| &health.status))
        .set("ID", short(&container.id, whole))
        .set("Image", image(container, whole))
        .labels(&container.labels)
        .set("LocalVolumes", local.to_string())
        .set("Mounts", mounts.join(","))
        .set("Names", names.join(","))
        .set("Networks", networks.join(","))
        .set("Ports", describe(&container.ports))
        .set("RunningFor", time::ago(container.created))
        .set("Size", size(container))
        .set("State", container.state.clone())
        .set("Status", container.status.clone())
}

/// An image whose name is gone is shown by its id.
fn image(container: &Summary, whole: bool) -> String {
    match container.image.strip_prefix("sha256:") {
        Some(hex) if !whole => short(hex, false),
        _ if container.image.is_empty() => "<no image>".to_owned(),
        _ => match container.image.split_once('@') {
            Some((name, _)) if !whole => name.to_owned(),
            _ => container.image.clone(),
        },
    }
}

fn size(container: &Summary) -> String {
    let own = unit::format_bytes_short(container.size_rw.unwrap_or(0));
    match container.size_root_fs {
        Some(all) if all > 0 => format!("{own} (virtual {})", unit::format_bytes_short(all)),
        _ => own,
    }
}

/// The twelve digits that people use.
pub fn short(id: &str, whole: bool) -> String {
    let bare = id.strip_prefix("sha256:").unwrap_or(id);
    if whole { id.to_owned() } else { bare.chars().take(12).collect() }
}

/// At most so many characters, the last being an ellipsis.
pub fn ellipsis(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(length - 1).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_as_docker_prints_it() {
        let container: Summary = serde_json::from_value(serde_json::json!({
            "Id": "ca5534a51dd04bbcebe9b23ba05f389466cf0c190f1f8f182d7eea92a9671d00", "Names": ["/web"], "Image": "nginx",
            "Command": "/docker-entrypoint.sh nginx -g 'daemon off;'", "Created": 1, "State": "running", "Status": "Up 4 hours",
            "Ports": [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
                      {"IP": "::", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
                      {"PrivatePort": 443, "Type": "tcp"}],
            "Labels": {"a": "b"}, "Mounts": [{"Type": "volume", "Name": "data", "Driver": "local"}],
            "NetworkSettings": {"Networks": {"bridge": {}}}
        }))
        .unwrap();
        let text = LIST
            .render(
                Some("table {{.ID}}\\t{{.Command}}\\t{{.Status}}\\t{{.Ports}}\\t{{.Names}}"),
                false,
                None,
                vec![row(&container, false)],
            )
            .unwrap();
        let lines: Vec<String> =
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            lines,
            [
                "CONTAINER ID COMMAND STATUS PORTS NAMES",
                "ca5534a51dd0 \"/docker-entrypoint.…\" Up 4 hours 443/tcp, 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp web"
            ]
        );
        let text = LIST
            .render(
                Some("{{.Image}} {{.Label \"a\"}} {{.Mounts}} {{.Networks}}"),
                false,
                None,
                vec![row(&container, false)],
            )
            .unwrap();
        assert_eq!(text, "nginx b data bridge\n");
    }
}
