//! An image's digest, asked of its registry, so that all nodes run the same.

use std::time::Duration;

use crate::{
    api::dto::service as dto,
    cli::{Context, client::path_segment, credentials},
};

/// A registry that is there answers within this time; the nodes can do without.
const PATIENCE: Duration = Duration::from_secs(5);

/// Pins the image to what its registry has under that name now; says so when that cannot be known.
pub async fn resolve(cx: &Context, spec: &mut dto::ServiceSpec) {
    let Some(container) = &mut spec.task_template.container_spec else { return };
    if container.image.contains('@') {
        return;
    }
    let auth = credentials::header_for(&cx.config_dir, &container.image).ok().flatten();
    let path = format!("/distribution/{}/json", path_segment(&container.image));
    let found = cx.client.get(path).header_opt("x-registry-auth", auth).read::<serde_json::Value>();
    let Ok(Ok(found)) = tokio::time::timeout(PATIENCE, found).await else {
        cx.printer.say(format!(
            "image {} could not be accessed on a registry to record its digest; each node takes what it has or finds under \
             that name",
            container.image
        ));
        return;
    };
    if let Some(digest) = found["Descriptor"]["digest"].as_str() {
        let name = &container.image;
        let tagged = name.rsplit('/').next().is_some_and(|last| last.contains(':'));
        container.image = if tagged { format!("{name}@{digest}") } else { format!("{name}:latest@{digest}") };
    }
    let platforms = found["Platforms"].as_array().cloned().unwrap_or_default();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    spec.task_template.placement.get_or_insert_default().platforms = platforms
        .iter()
        .map(|platform| dto::Platform { architecture: text(&platform["architecture"]), os: text(&platform["os"]) })
        .collect();
}

/// The image's name with the digest that its registry has under it now; the name alone when that cannot be known.
pub async fn pinned(cx: &Context, name: &str) -> String {
    let mut spec = dto::ServiceSpec::default();
    spec.task_template.container_spec.get_or_insert_default().image = name.to_owned();
    resolve(cx, &mut spec).await;
    spec.task_template.container_spec.map_or_else(|| name.to_owned(), |container| container.image)
}
