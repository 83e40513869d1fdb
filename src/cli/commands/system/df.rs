//! `hoist system df`

use hoist_proto::unit;
use serde::Deserialize;

use super::df_verbose;
use crate::cli::{
    Context, Exit, Outcome,
    args::system::DfArgs,
    commands::{container, image, volume},
    format::{List, Row},
};

/// The answer of `GET /system/df`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Usage {
    pub layers_size: i64,
    pub images: Option<Vec<image::ls::Summary>>,
    pub containers: Option<Vec<container::ls::Summary>>,
    pub volumes: Option<Vec<volume::Volume>>,
    pub build_cache: Option<Vec<BuildCache>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct BuildCache {
    #[serde(rename = "ID")]
    pub id: String,
    #[serde(rename = "Type")]
    pub kind: String,
    pub created_at: String,
    pub last_used_at: String,
    pub usage_count: u64,
    pub size: u64,
    pub in_use: bool,
    pub shared: bool,
}

impl Usage {
    /// Bytes of the build cache that no image has too.
    pub fn own_build_cache(&self) -> u64 {
        self.build_cache.iter().flatten().filter(|entry| !entry.shared).map(|entry| entry.size).sum()
    }
}

/// From version 1.52 on the answer has sums only, and none of what they are the sums of.
const LISTING: &str = "/v1.44/system/df";

const LIST: List<'_> = List {
    headings: &[
        ("Type", "TYPE"),
        ("TotalCount", "TOTAL"),
        ("Active", "ACTIVE"),
        ("Size", "SIZE"),
        ("Reclaimable", "RECLAIMABLE"),
    ],
    columns: "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}",
    quiet: "{{.Type}}",
    may_cut: &[],
};

/// Shows what takes up disk space.
pub async fn run(cx: &Context, args: DfArgs) -> Outcome {
    let usage: Usage = cx.client.get(LISTING).read().await?;
    if args.verbose {
        cx.printer.text(match args.format.format.as_deref() {
            None | Some("" | "table") => df_verbose::render(&usage)?,
            Some(format) => df_verbose::through(&usage, format)?,
        })?;
        return Ok(Exit::OK);
    }
    LIST.print(cx.printer, args.format.format.as_deref(), false, true, rows(&usage))?;
    Ok(Exit::OK)
}

fn rows(usage: &Usage) -> Vec<Row> {
    let images = usage.images.as_deref().unwrap_or_default();
    let used = images.iter().filter(|image| image.containers > 0);
    let used_size: u64 =
        used.clone().map(|image| image.size.saturating_sub(u64::try_from(image.shared_size).unwrap_or(0))).sum();
    let layers = u64::try_from(usage.layers_size).unwrap_or(0);
    let containers = usage.containers.as_deref().unwrap_or_default();
    let active =
        |container: &&container::ls::Summary| matches!(container.state.as_str(), "running" | "paused" | "restarting");
    let size = |containers: &mut dyn Iterator<Item = &container::ls::Summary>| -> u64 {
        containers.map(|container| container.size_rw.unwrap_or(0)).sum()
    };
    let volumes = usage.volumes.as_deref().unwrap_or_default();
    let volume_size = |volume: &volume::Volume| {
        volume.usage_data.as_ref().and_then(|usage| u64::try_from(usage.size).ok()).unwrap_or(0)
    };
    let in_use = |volume: &&volume::Volume| volume.usage_data.as_ref().is_some_and(|usage| usage.ref_count > 0);
    let cache = usage.build_cache.as_deref().unwrap_or_default();
    let cache_size = usage.own_build_cache();
    let cache_free = cache.iter().filter(|entry| !entry.in_use && !entry.shared).map(|entry| entry.size).sum();
    let (all_containers, all_volumes) = (size(&mut containers.iter()), volumes.iter().map(volume_size).sum::<u64>());
    let free_containers = size(&mut containers.iter().filter(|container| !active(container)));
    let free_volumes = volumes.iter().filter(|volume| !in_use(volume)).map(volume_size).sum();
    vec![
        row("Images", images.len(), used.count(), layers, layers.saturating_sub(used_size)),
        row("Containers", containers.len(), containers.iter().filter(active).count(), all_containers, free_containers),
        row("Local Volumes", volumes.len(), volumes.iter().filter(in_use).count(), all_volumes, free_volumes),
        row("Build Cache", cache.len(), cache.iter().filter(|entry| entry.in_use).count(), cache_size, cache_free),
    ]
}

fn row(kind: &str, total: usize, active: usize, size: u64, free: u64) -> Row {
    let share = (free * 100).checked_div(size).map(|share| format!(" ({share}%)")).unwrap_or_default();
    Row::new()
        .set("Active", active.to_string())
        .set("Reclaimable", format!("{}{share}", unit::format_bytes(free)))
        .set("Size", unit::format_bytes(size))
        .set("TotalCount", total.to_string())
        .set("Type", kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares() {
        let usage: Usage = serde_json::from_value(serde_json::json!({
            "LayersSize": 1000, "Images": [{"Id": "a", "Size": 600, "SharedSize": 0, "Containers": 1}, {"Id": "b", "Size": 400}],
            "Containers": [{"Id": "c", "State": "running", "SizeRw": 10}, {"Id": "d", "State": "exited", "SizeRw": 30}],
            "Volumes": [{"Name": "v", "UsageData": {"Size": 50, "RefCount": 0}}]
        }))
        .unwrap();
        assert_eq!(
            LIST.render(None, false, None, rows(&usage)).unwrap(),
            "TYPE            TOTAL     ACTIVE    SIZE      RECLAIMABLE\n\
             Images          2         1         1kB       400B (40%)\n\
             Containers      2         1         40B       30B (75%)\n\
             Local Volumes   1         0         50B       50B (100%)\n\
             Build Cache     0         0         0B        0B\n"
        );
    }
}
