//! `hoist images --tree`: each image with its platform below.

use serde::Deserialize;

use super::ls::Summary;
use crate::cli::{
    Context, Exit, Outcome,
    commands::container::ls::short,
    format::{List, Row},
};
use hoist_proto::unit;

/// What is looked at of `GET /images/ID/json`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Inspected {
    architecture: String,
    os: String,
    variant: String,
}

/// What is looked at of `GET /containers/json`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Used {
    #[serde(rename = "ImageID")]
    image_id: String,
}

const LIST: List<'_> = List {
    headings: &[("Image", "IMAGE"), ("ID", "ID"), ("Usage", "DISK USAGE"), ("Extra", "EXTRA")],
    columns: "{{.Image}}\t{{.ID}}\t{{.Usage}}\t{{.Extra}}",
    quiet: "{{.ID}}",
    may_cut: &[],
};

/// Prints the images; `U` marks those that containers use.
pub async fn print(cx: &Context, images: &[Summary]) -> Outcome {
    let used: Vec<Used> = cx.client.get("/containers/json").flag("all", true).read().await?;
    let mut rows = Vec::new();
    for image in images {
        let inspected: Inspected = cx.client.get(format!("/images/{}/json", image.id)).read().await?;
        let in_use = used.iter().any(|container| container.image_id == image.id);
        rows.extend(branch(image, &inspected, in_use));
    }
    cx.printer.say("U marks what containers use");
    LIST.print(cx.printer, None, false, false, rows)?;
    Ok(Exit::OK)
}

fn branch(image: &Summary, inspected: &Inspected, in_use: bool) -> Vec<Row> {
    let names = image.repo_tags.iter().flatten().filter(|tag| *tag != "<none>:<none>");
    let mut names: Vec<String> = names.cloned().collect();
    if names.is_empty() {
        names.push("<untagged>".into());
    }
    let row = |name: String| {
        Row::new()
            .set("Image", name)
            .set("ID", short(&image.id, false))
            .set("Usage", unit::format_bytes_short(image.size))
            .set("Extra", if in_use { "U" } else { "" })
    };
    let parts = [&inspected.os, &inspected.architecture, &inspected.variant];
    let platform: Vec<&str> = parts.into_iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
    names.into_iter().chain([format!("└─ {}", platform.join("/"))]).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_over_the_platform() {
        let image = Summary {
            id: "sha256:0123456789abcdef".into(),
            repo_tags: Some(vec!["a:1".into(), "b:latest".into()]),
            size: 4_261_502,
            ..Summary::default()
        };
        let inspected = Inspected { os: "linux".into(), architecture: "arm64".into(), variant: "v8".into() };
        let shown = LIST.render(None, false, None, branch(&image, &inspected, true)).unwrap();
        let lines: Vec<String> =
            shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            lines,
            [
                "IMAGE ID DISK USAGE EXTRA",
                "a:1 0123456789ab 4.26MB U",
                "b:latest 0123456789ab 4.26MB U",
                "└─ linux/arm64/v8 0123456789ab 4.26MB U"
            ]
        );
    }
}
