//! `hoist system df -v`: each image, container, volume and result of a build.

use hoist_proto::unit;

use super::df::{BuildCache, Usage};
use crate::cli::{
    commands::{container, image, volume},
    failure::Failure,
    format::{List, Row, time},
};

const IMAGES: List<'_> = List {
    headings: &[
        ("ID", "IMAGE ID"),
        ("Repository", "REPOSITORY"),
        ("Tag", "TAG"),
        ("CreatedSince", "CREATED"),
        ("Size", "SIZE"),
        ("SharedSize", "SHARED SIZE"),
        ("UniqueSize", "UNIQUE SIZE"),
        ("Containers", "CONTAINERS"),
    ],
    columns: "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t{{.SharedSize}}\t{{.UniqueSize}}\t{{.Containers}}",
    quiet: "",
    may_cut: &[],
};

const CONTAINERS: List<'_> = List {
    headings: &[
        ("ID", "CONTAINER ID"),
        ("Image", "IMAGE"),
        ("Command", "COMMAND"),
        ("LocalVolumes", "LOCAL VOLUMES"),
        ("Size", "SIZE"),
        ("RunningFor", "CREATED"),
        ("Status", "STATUS"),
        ("Names", "NAMES"),
    ],
    columns: "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{.RunningFor}}\t{{.Status}}\t{{.Names}}",
    quiet: "",
    may_cut: &[],
};

const VOLUMES: List<'_> = List {
    headings: &[("Name", "VOLUME NAME"), ("Links", "LINKS"), ("Size", "SIZE")],
    columns: "{{.Name}}\t{{.Links}}\t{{.Size}}",
    quiet: "",
    may_cut: &[],
};

const BUILD_CACHE: List<'_> = List {
    headings: &[
        ("ID", "CACHE ID"),
        ("CacheType", "CACHE TYPE"),
        ("Size", "SIZE"),
        ("CreatedSince", "CREATED"),
        ("LastUsedSince", "LAST USED"),
        ("UsageCount", "USAGE"),
        ("Shared", "SHARED"),
    ],
    columns: "{{.ID}}\t{{.CacheType}}\t{{.Size}}\t{{.CreatedSince}}\t{{.LastUsedSince}}\t{{.UsageCount}}\t{{.Shared}}",
    quiet: "",
    may_cut: &[],
};

fn result(entry: &BuildCache) -> Row {
    let ago = |moment: &str| moment.parse().map(|moment: jiff::Timestamp| time::ago(moment.as_second()));
    Row::new()
        .set("ID", entry.id.chars().take(12).collect::<String>())
        .set("CacheType", entry.kind.clone())
        .set("Size", unit::format_bytes_short(entry.size))
        .set("CreatedSince", ago(&entry.created_at).unwrap_or_default())
        .set("LastUsedSince", ago(&entry.last_used_at).unwrap_or_default())
        .set("UsageCount", entry.usage_count.to_string())
        .set("Shared", entry.shared.to_string())
}

/// Four tables.
pub fn render(usage: &Usage) -> Result<String, Failure> {
    let images = usage.images.iter().flatten().flat_map(|image| image::ls::rows(image, false, false, true)).collect();
    let containers = usage.containers.iter().flatten().map(|one| container::ls::row(one, false)).collect();
    let volumes = usage.volumes.iter().flatten().map(volume::ls::row).collect();
    Ok(format!(
        "Images space usage:\n\n{}\nContainers space usage:\n\n{}\nLocal Volumes space usage:\n\n{}\n\
         Build cache usage: {}\n\n{}",
        IMAGES.render(None, false, None, images)?,
        CONTAINERS.render(None, false, None, containers)?,
        VOLUMES.render(None, false, None, volumes)?,
        unit::format_bytes(usage.own_build_cache()),
        BUILD_CACHE.render(None, false, None, usage.build_cache.iter().flatten().map(result).collect())?
    ))
}
