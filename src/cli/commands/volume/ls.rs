//! `hoist volume ls`

use hoist_proto::unit;

use super::{Listed, Volume};
use crate::cli::{
    Context, Exit, Outcome,
    args::volume::LsArgs,
    client::filters,
    format::{List, Row},
};

const LIST: List<'_> = List {
    headings: &[
        ("Name", "VOLUME NAME"),
        ("Driver", "DRIVER"),
        ("Scope", "SCOPE"),
        ("Mountpoint", "MOUNTPOINT"),
        ("Labels", "LABELS"),
        ("Links", "LINKS"),
        ("Size", "SIZE"),
        ("Availability", "AVAILABILITY"),
        ("Group", "GROUP"),
        ("Status", "STATUS"),
    ],
    columns: "{{.Driver}}\t{{.Name}}",
    quiet: "{{.Name}}",
    may_cut: &["Mountpoint", "Labels"],
};

/// Lists volumes.
pub async fn run(cx: &Context, args: LsArgs) -> Outcome {
    let listed: Listed = cx.client.get("/volumes").query_opt("filters", filters(&args.filters)?).read().await?;
    for warning in listed.warnings.iter().flatten() {
        cx.printer.warn(warning);
    }
    let mut volumes = listed.volumes.unwrap_or_default();
    volumes.sort_by(|a, b| a.name.cmp(&b.name));
    let rows = volumes.iter().map(row).collect();
    LIST.print(cx.printer, args.format.format.as_deref(), args.quiet, false, rows)?;
    Ok(Exit::OK)
}

/// A volume as templates see it.
pub fn row(volume: &Volume) -> Row {
    let usage = volume.usage_data.clone();
    let (links, size) = match usage.filter(|usage| usage.size >= 0) {
        Some(usage) => (usage.ref_count.to_string(), unit::format_bytes(usage.size.unsigned_abs())),
        None => ("N/A".to_owned(), "N/A".to_owned()),
    };
    Row::new()
        .set("Availability", "N/A")
        .set("Driver", volume.driver.clone())
        .set("Group", "N/A")
        .labels(&volume.labels.clone().unwrap_or_default())
        .set("Links", links)
        .set("Mountpoint", volume.mountpoint.clone())
        .set("Name", volume.name.clone())
        .set("Scope", volume.scope.clone())
        .set("Size", size)
        .set("Status", "N/A")
}
