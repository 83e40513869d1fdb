//! `hoist images --tree`: each image with its platforms below.

use serde::Deserialize;

use super::ls::Summary;
use crate::cli::{
    Context, Exit, Outcome,
    commands::container::ls::short,
    format::{List, Row},
};
use hoist_proto::unit;

/// `ImageManifestSummary`, as far as it is shown.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Manifest {
    #[serde(rename = "ID")]
    id: String,
    size: Size,
    image_data: Option<ImageData>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Size {
    content: u64,
    total: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct ImageData {
    platform: Platform,
    containers: Option<Vec<String>>,
}

/// Its fields are OCI's, and so are their names.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Platform {
    os: String,
    architecture: String,
    variant: Option<String>,
}

const LIST: List<'_> = List {
    headings: &[
        ("Image", "IMAGE"),
        ("ID", "ID"),
        ("Usage", "DISK USAGE"),
        ("Content", "CONTENT SIZE"),
        ("Extra", "EXTRA"),
    ],
    columns: "{{.Image}}\t{{.ID}}\t{{.Usage}}\t{{.Content}}\t{{.Extra}}",
    quiet: "{{.ID}}",
    may_cut: &[],
};

/// Prints the images, with the platforms below that are here of each; `U` marks what containers use.
pub fn print(cx: &Context, images: &[Summary]) -> Outcome {
    cx.printer.say("U marks what containers use");
    LIST.print(cx.printer, None, false, false, images.iter().flat_map(branch).collect())?;
    Ok(Exit::OK)
}

fn branch(image: &Summary) -> Vec<Row> {
    let names = image.repo_tags.iter().flatten().filter(|tag| *tag != "<none>:<none>");
    let mut names: Vec<String> = names.cloned().collect();
    if names.is_empty() {
        names.push("<untagged>".into());
    }
    let manifests = image.manifests.as_deref().unwrap_or_default();
    let is_used = |manifest: &Manifest| {
        manifest.image_data.as_ref().and_then(|data| data.containers.as_ref()).is_some_and(|used| !used.is_empty())
    };
    let row = |name: String, id: &str, (usage, content): (u64, u64), used: bool| {
        Row::new()
            .set("Image", name)
            .set("ID", short(id, false))
            .set("Usage", unit::format_bytes_short(usage))
            .set("Content", unit::format_bytes_short(content))
            .set("Extra", if used { "U" } else { "" })
    };
    let all = (
        manifests.iter().map(|manifest| manifest.size.total).sum(),
        manifests.iter().map(|manifest| manifest.size.content).sum(),
    );
    let used = manifests.iter().any(is_used);
    let mut rows: Vec<Row> = names.into_iter().map(|name| row(name, &image.id, all, used)).collect();
    for (at, manifest) in manifests.iter().enumerate() {
        let platform = manifest.image_data.as_ref().map(|data| data.platform.clone()).unwrap_or_default();
        let parts = [platform.os, platform.architecture, platform.variant.unwrap_or_default()];
        let platform: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let branch = if at + 1 == manifests.len() { "└─" } else { "├─" };
        let size = (manifest.size.total, manifest.size.content);
        rows.push(row(format!("{branch} {}", platform.join("/")), &manifest.id, size, is_used(manifest)));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_over_the_platforms() {
        let image: Summary = serde_json::from_str(
            r#"{"Id": "sha256:0123456789abcdef", "RepoTags": ["a:1", "b:latest"], "Manifests": [
                {"ID": "sha256:1111111111111111", "Size": {"Content": 1000000, "Total": 3000000},
                 "ImageData": {"Platform": {"os": "linux", "architecture": "amd64"}, "Containers": []}},
                {"ID": "sha256:2222222222222222", "Size": {"Content": 500000, "Total": 1261502},
                 "ImageData": {"Platform": {"os": "linux", "architecture": "arm64", "variant": "v8"},
                               "Containers": ["c"]}}]}"#,
        )
        .unwrap();
        let shown = LIST.render(None, false, None, branch(&image)).unwrap();
        let lines: Vec<String> =
            shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            lines,
            [
                "IMAGE ID DISK USAGE CONTENT SIZE EXTRA",
                "a:1 0123456789ab 4.26MB 1.5MB U",
                "b:latest 0123456789ab 4.26MB 1.5MB U",
                "├─ linux/amd64 111111111111 3MB 1MB",
                "└─ linux/arm64/v8 222222222222 1.26MB 500kB U"
            ]
        );
    }
}
