//! `GET /system/df`.

use std::collections::BTreeSet;

use axum::{Json, extract::State as With};
use hoist_engine::{Container, ListOptions};
use hoist_image::{ImageSummary, ListFilter};
use hoist_proto::clock::Timestamp;

use super::{containers::list::sized_summary, images, volumes};
use crate::api::{
    State,
    dto::{
        container::Summary as ContainerSummary,
        image::Summary as ImageLine,
        system::{BuildCache, DiskUsage, Usage},
        volume::{UsageData, Volume},
    },
    error::ApiError,
    params::Params,
    translate::time::nanoseconds,
    version::ApiVersion,
};

pub async fn usage(With(state): With<State>, version: ApiVersion, params: Params) -> Result<Json<DiskUsage>, ApiError> {
    let kinds: BTreeSet<&str> = params.all("type").collect();
    if let Some(bad) = kinds.iter().find(|kind| !matches!(**kind, "container" | "image" | "volume" | "build-cache")) {
        return Err(ApiError::bad_request(format!("unknown object type: {bad}")));
    }
    let wanted = |kind: &str| kinds.is_empty() || kinds.contains(kind);
    let containers = state.engine.list(ListOptions { all: true, ..ListOptions::default() }).await?;
    let mut answer = DiskUsage::default();
    // 1.52 has both forms, unless asked for the details of the newer.
    let verbose = params.flag("verbose");
    let (old, new) =
        (version < ApiVersion(1, 53) && !(version == ApiVersion(1, 52) && verbose), version >= ApiVersion(1, 52));
    if wanted("image") {
        let (lines, sum) = images(&state, &containers, version).await?;
        if old {
            answer.layers_size = Some(sum.total_size);
            answer.images = Some(lines.clone());
        }
        answer.image_usage = new.then(|| Usage { items: verbose.then_some(lines), ..sum });
    }
    if wanted("container") {
        let (lines, sum) = containers_usage(&state, &containers, version).await?;
        if old {
            answer.containers = Some(lines.clone());
        }
        answer.container_usage = new.then(|| Usage { items: verbose.then_some(lines), ..sum });
    }
    if wanted("volume") {
        let (lines, sum) = volumes_usage(&state).await?;
        if old {
            answer.volumes = Some(lines.clone());
        }
        answer.volume_usage = new.then(|| Usage { items: verbose.then_some(lines), ..sum });
    }
    if wanted("build-cache") {
        let (lines, sum) = build_cache_usage(&state).await?;
        if old {
            answer.build_cache = Some(lines.clone());
        }
        answer.build_cache_usage = new.then(|| Usage { items: verbose.then_some(lines), ..sum });
    }
    Ok(Json(answer))
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

async fn images(
    state: &State,
    containers: &[Container],
    version: ApiVersion,
) -> Result<(Vec<ImageLine>, Usage<ImageLine>), ApiError> {
    let list = state.engine.images().list(&ListFilter::default()).await?;
    let users = |image: &ImageSummary| {
        signed(containers.iter().filter(|one| one.image_id == image.id.to_string()).count() as u64)
    };
    let mut sum = Usage { total_count: signed(list.len() as u64), ..Usage::default() };
    let mut lines = Vec::new();
    let mut shared = 0;
    for image in &list {
        let own = signed(image.size.saturating_sub(image.shared_size));
        sum.total_size += own;
        shared = shared.max(signed(image.shared_size));
        if users(image) > 0 {
            sum.active_count += 1;
        } else {
            sum.reclaimable += own;
        }
        let mut line = images::list::line(image, version);
        line.containers = users(image);
        line.shared_size = signed(image.shared_size);
        lines.push(line);
    }
    // Layers in several images count once; the largest set of them is the least there can be.
    sum.total_size += shared;
    Ok((lines, sum))
}

async fn containers_usage(
    state: &State,
    containers: &[Container],
    version: ApiVersion,
) -> Result<(Vec<ContainerSummary>, Usage<ContainerSummary>), ApiError> {
    let mut sum = Usage { total_count: signed(containers.len() as u64), ..Usage::default() };
    let mut lines = Vec::new();
    for container in containers {
        let line = sized_summary(state, container, version).await;
        let size = line.size_rw.unwrap_or(0);
        sum.total_size += size;
        if container.state.status.is_up() {
            sum.active_count += 1;
        } else {
            sum.reclaimable += size;
        }
        lines.push(line);
    }
    Ok((lines, sum))
}

async fn build_cache_usage(state: &State) -> Result<(Vec<BuildCache>, Usage<BuildCache>), ApiError> {
    let entries = state.builds.door.cache().await?;
    let mut sum = Usage { total_count: signed(entries.len() as u64), ..Usage::default() };
    let moment = |seconds| nanoseconds(Timestamp::from_second(seconds).unwrap_or_default());
    let mut lines = Vec::new();
    for entry in entries {
        let size = signed(entry.size);
        // What an image has too is counted there.
        let own = if entry.shared { 0 } else { size };
        sum.total_size += own;
        if entry.in_use {
            sum.active_count += 1;
        } else {
            sum.reclaimable += own;
        }
        lines.push(BuildCache {
            id: entry.id,
            parents: entry.parents,
            kind: entry.kind,
            description: entry.description,
            in_use: entry.in_use,
            shared: entry.shared,
            size,
            created_at: moment(entry.created_at),
            last_used_at: moment(entry.last_used_at),
            usage_count: signed(entry.usage_count),
        });
    }
    Ok((lines, sum))
}

async fn volumes_usage(state: &State) -> Result<(Vec<Volume>, Usage<Volume>), ApiError> {
    let sized = volumes::blocking(state, |volumes| {
        let sized = |volume: hoist_volume::Volume| {
            let size = volumes.size(&volume.name).map_or(-1, signed);
            (volume, size)
        };
        Ok(volumes.list().into_iter().map(sized).collect::<Vec<_>>())
    })
    .await?;
    let mut sum = Usage { total_count: signed(sized.len() as u64), ..Usage::default() };
    let mut lines = Vec::new();
    for (volume, size) in sized {
        sum.total_size += size.max(0);
        if volume.users.is_empty() {
            sum.reclaimable += size.max(0);
        } else {
            sum.active_count += 1;
        }
        let usage = UsageData { ref_count: signed(volume.users.len() as u64), size };
        lines.push(Volume { usage_data: Some(usage), ..volumes::show(&volume) });
    }
    Ok((lines, sum))
}
