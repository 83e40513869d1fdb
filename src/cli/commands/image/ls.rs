//! `hoist images`

use std::collections::BTreeMap;

use hoist_proto::unit;
use serde::Deserialize;

use super::{name, tree};
use crate::cli::{
    Context, Exit, Outcome,
    args::image::LsArgs,
    client::filters,
    commands::container::ls::short,
    format::{List, Row, time},
};

/// A line of `GET /images/json`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Summary {
    pub id: String,
    pub repo_tags: Option<Vec<String>>,
    pub repo_digests: Option<Vec<String>>,
    pub created: i64,
    pub size: u64,
    pub shared_size: i64,
    pub containers: i64,
    pub labels: Option<BTreeMap<String, String>>,
    /// When they were asked for.
    pub manifests: Option<Vec<tree::Manifest>>,
}

const LIST: List<'_> = List {
    headings: &[
        ("ID", "IMAGE ID"),
        ("Repository", "REPOSITORY"),
        ("Tag", "TAG"),
        ("Digest", "DIGEST"),
        ("CreatedSince", "CREATED"),
        ("CreatedAt", "CREATED AT"),
        ("Size", "SIZE"),
        ("VirtualSize", "VIRTUAL SIZE"),
        ("SharedSize", "SHARED SIZE"),
        ("UniqueSize", "UNIQUE SIZE"),
        ("Containers", "CONTAINERS"),
    ],
    columns: "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}",
    quiet: "{{.ID}}",
    may_cut: &["Digest"],
};

/// Lists images.
pub async fn run(cx: &Context, args: LsArgs) -> Outcome {
    let mut filter = args.filters.clone();
    if let Some(repository) = &args.repository {
        filter.push(format!("reference={repository}"));
    }
    let found: Vec<Summary> = cx
        .client
        .get("/images/json")
        .flag("all", args.all)
        .flag("digests", args.digests)
        .flag("manifests", args.tree)
        .query_opt("filters", filters(&filter)?)
        .read()
        .await?;
    if args.tree {
        return tree::print(cx, &found);
    }
    let dangling = args.filters.iter().any(|filter| filter == "dangling=true");
    let rows = found
        .iter()
        .flat_map(|image| {
            rows(image, args.no_trunc, args.digests, args.all || dangling || args.quiet || !args.filters.is_empty())
        })
        .collect();
    let digests =
        List { columns: "{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}", ..LIST };
    let list = if args.digests { digests } else { LIST };
    list.print(cx.printer, args.format.format.as_deref(), args.quiet, args.no_trunc, rows)?;
    Ok(Exit::OK)
}

/// A row for each name of an image; one without a name has a row when `nameless` says so.
pub fn rows(image: &Summary, whole: bool, digests: bool, nameless: bool) -> Vec<Row> {
    const NONE: &str = "<none>";
    let tags: Vec<&str> =
        image.repo_tags.iter().flatten().map(String::as_str).filter(|tag| *tag != "<none>:<none>").collect();
    let known: Vec<(&str, &str)> = image
        .repo_digests
        .iter()
        .flatten()
        .filter_map(|text| text.split_once('@'))
        .filter(|(repository, _)| *repository != NONE)
        .collect();
    let row = |repository: &str, tag: &str, digest: &str| {
        let size = unit::format_bytes_short(image.size);
        let optional = |size: i64| u64::try_from(size).map_or_else(|_| "N/A".to_owned(), unit::format_bytes);
        let unique = u64::try_from(image.shared_size).map_or(-1, |shared| image.size.saturating_sub(shared) as i64);
        Row::new()
            .set("Containers", if image.containers < 0 { "N/A".to_owned() } else { image.containers.to_string() })
            .set("CreatedAt", time::stamp(image.created))
            .set("CreatedSince", if image.created > 0 { time::ago(image.created) } else { "N/A".to_owned() })
            .set("Digest", digest)
            .set("ID", short(&image.id, whole))
            .set("Repository", repository)
            .set("SharedSize", optional(image.shared_size))
            .set("Size", size.clone())
            .set("Tag", tag)
            .set("UniqueSize", optional(unique))
            .set("VirtualSize", size)
    };
    let mut all: Vec<Row> = tags
        .iter()
        .map(|text| {
            let (repository, tag) = name::split(text);
            let digest = known.iter().find(|(name, _)| *name == repository).map_or(NONE, |(_, digest)| digest);
            row(repository, tag, digest)
        })
        .collect();
    if tags.is_empty() && (nameless || !known.is_empty()) {
        match known.first() {
            Some((repository, digest)) => all.push(row(repository, NONE, if digests { digest } else { NONE })),
            None => all.push(row(NONE, NONE, NONE)),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_has_a_row_for_each_name() {
        let image: Summary = serde_json::from_value(serde_json::json!({
            "Id": "sha256:0123456789abcdef", "RepoTags": ["localhost:5000/a:1", "b:latest"],
            "RepoDigests": ["b@sha256:ffff"], "Created": 0, "Size": 4_261_502
        }))
        .unwrap();
        let list = List { columns: "{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.Size}}", ..LIST };
        assert_eq!(
            list.render(None, false, None, rows(&image, false, true, false)).unwrap(),
            "REPOSITORY         TAG       DIGEST        IMAGE ID       SIZE\n\
             localhost:5000/a   1         <none>        0123456789ab   4.26MB\n\
             b                  latest    sha256:ffff   0123456789ab   4.26MB\n"
        );
        let nameless = Summary { id: "sha256:01".into(), ..Summary::default() };
        assert!(rows(&nameless, false, false, false).is_empty());
        assert_eq!(rows(&nameless, false, false, true).len(), 1);
    }
}
