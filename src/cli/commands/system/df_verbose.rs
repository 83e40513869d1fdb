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

/// Everything as rows: images, containers, volumes, the build cache. An image has one row, by its first name; a
/// container's size is its own.
fn rows(usage: &Usage, whole: bool) -> [Vec<Row>; 4] {
    let first = |image| image::ls::rows(image, whole, false, true).into_iter().take(1);
    let own = |container: &container::ls::Summary| {
        container::ls::row(&container::ls::Summary { size_root_fs: None, ..container.clone() }, whole)
    };
    [
        usage.images.iter().flatten().flat_map(first).collect(),
        usage.containers.iter().flatten().map(own).collect(),
        usage.volumes.iter().flatten().map(volume::ls::row).collect(),
        usage.build_cache.iter().flatten().map(result).collect(),
    ]
}

/// Four tables.
pub fn render(usage: &Usage) -> Result<String, Failure> {
    let [images, containers, volumes, results] = rows(usage, false);
    Ok(format!(
        "Images space usage:\n\n{}\nContainers space usage:\n\n{}\nLocal Volumes space usage:\n\n{}\n\
         Build cache usage: {}\n\n{}",
        IMAGES.render(None, false, None, images)?,
        CONTAINERS.render(None, false, None, containers)?,
        VOLUMES.render(None, false, None, volumes)?,
        unit::format_bytes(usage.own_build_cache()),
        BUILD_CACHE.render(None, false, None, results)?
    ))
}

/// One object with the four lists, through a template or as JSON.
pub fn through(usage: &Usage, format: &str) -> Result<String, Failure> {
    let [images, containers, volumes, results] = rows(usage, true);
    let all = Row::new()
        .list("Images", images)
        .list("Containers", containers)
        .list("Volumes", volumes)
        .list("BuildCache", results);
    let list = List { headings: &[], columns: "{{json .}}", quiet: "", may_cut: &[] };
    list.render(Some(format), false, None, vec![all])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_sees_all_four_lists() {
        let usage: Usage = serde_json::from_value(serde_json::json!({
            "Images": [{"Id": "sha256:ab", "RepoTags": ["box:1", "box:2"], "Size": 600, "SharedSize": 100, "Containers": 1}],
            "Containers": [{"Id": "c", "Names": ["/web"], "SizeRw": 10}],
            "Volumes": [{"Name": "v", "UsageData": {"Size": 50, "RefCount": 2}}],
            "BuildCache": [{"ID": "b", "Type": "regular", "Size": 7}]
        }))
        .unwrap();
        let format = "{{range .Images}}{{.Repository}}:{{.Tag}} {{.UniqueSize}};{{end}} {{len .Containers}} \
                      {{range .Volumes}}{{.Name}} {{.Links}}{{end}} {{range .BuildCache}}{{.CacheType}}{{end}}";
        assert_eq!(through(&usage, format).unwrap(), "box:1 500B; 1 v 2 regular\n");
        assert!(through(&usage, "json").unwrap().starts_with("{\"Images\":[{"));
        assert!(through(&usage, "{{.Networks}}").is_err());
    }
}
