//! `GET /images/json`.

use axum::{Json, extract::State as With};
use hoist_image::{ContainerUse, ImageSummary, ListFilter, Variant};

use crate::api::{
    State,
    dto::image::{self as dto, Summary},
    error::ApiError,
    params::Params,
    version::ApiVersion,
};

pub async fn list(
    With(state): With<State>,
    version: ApiVersion,
    params: Params,
) -> Result<Json<Vec<Summary>>, ApiError> {
    let filters = params.filters()?.only(&["before", "dangling", "label", "label!", "reference", "since", "until"])?;
    let one = |key: &str| match filters.get(key) {
        [] => Ok(None),
        [value] => Ok(Some(value.clone())),
        _ => Err(ApiError::bad_request(format!("invalid filter '{key}': it was given more than once"))),
    };
    let mut filter = ListFilter {
        dangling: filters.flag("dangling")?,
        reference: filters.get("reference").to_vec(),
        label: filters.get("label").to_vec(),
        before: one("before")?,
        since: one("since")?,
        until: filters.until(state.now())?,
    };
    // The older form of the reference filter.
    if version < ApiVersion(1, 41)
        && let Some(pattern) = params.text("filter")
    {
        filter.reference.push(pattern.to_owned());
    }
    let mut images = state.engine.images().list(&filter).await?;
    images.retain(|image| filters.labels(&image.labels));
    if params.flag("identity") {
        return Err(ApiError::bad_request("identity is not supported: who signed or built an image is not kept"));
    }
    let with_manifests = version >= ApiVersion(1, 47) && params.flag("manifests");
    let users = if version >= ApiVersion(1, 51) || with_manifests { super::used_by(&state).await? } else { Vec::new() };
    let lines = images.iter().map(|image| {
        let mut line = line(image, version);
        if params.flag("shared-size") {
            line.shared_size = i64::try_from(image.shared_size).unwrap_or(i64::MAX);
        }
        if version >= ApiVersion(1, 51) {
            line.containers = i64::try_from(users.iter().filter(|user| user.image == image.id).count()).unwrap_or(0);
        }
        if with_manifests {
            line.manifests = Some(manifests(&image.variants, &users));
        }
        line
    });
    Ok(Json(lines.collect()))
}

/// What is here of an image's name, each platform for itself (from version 1.47 on).
pub fn manifests(variants: &[Variant], users: &[ContainerUse]) -> Vec<dto::Manifest> {
    let manifest = |variant: &Variant| dto::Manifest {
        id: variant.manifest.digest.to_string(),
        descriptor: variant.manifest.clone(),
        available: true,
        kind: "image",
        size: dto::ManifestSize { content: variant.content, total: variant.content + variant.unpacked },
        image_data: dto::ManifestImage {
            platform: variant.platform.clone(),
            containers: users.iter().filter(|u| u.image == variant.id).map(|u| u.container.clone()).collect(),
            size: dto::Unpacked { unpacked: variant.unpacked },
        },
    };
    variants.iter().map(manifest).collect()
}

/// An image as a line of the list.
pub fn line(image: &ImageSummary, version: ApiVersion) -> Summary {
    let size = i64::try_from(image.size).unwrap_or(i64::MAX);
    // Up to version 1.42 an image without names was written so.
    let none = |list: &[String], word: &str| match list {
        [] if version < ApiVersion(1, 43) => vec![word.to_owned()],
        list => list.to_vec(),
    };
    Summary {
        containers: -1,
        created: image.created.map_or(0, |created| created.as_second()),
        id: image.id.to_string(),
        labels: image.labels.clone(),
        parent_id: image.parent.as_ref().map(ToString::to_string).unwrap_or_default(),
        repo_digests: none(&image.repo_digests, "<none>@<none>"),
        repo_tags: none(&image.repo_tags, "<none>:<none>"),
        shared_size: -1,
        size,
        virtual_size: (version < ApiVersion(1, 44)).then_some(size),
        manifests: None,
    }
}
