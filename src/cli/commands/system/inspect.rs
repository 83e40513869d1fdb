//! `hoist inspect`

use serde_json::Value;

use crate::cli::{
    Context, Outcome,
    args::system::{InspectArgs, ObjectKind},
    client::path_segment,
    commands::{
        container::{self, hints},
        each::{gather, inspected},
        image, network, service, volume,
    },
    failure::Failure,
};

/// The kinds, in the order in which a name is looked up.
const KINDS: [ObjectKind; 10] = [
    ObjectKind::Container,
    ObjectKind::Image,
    ObjectKind::Network,
    ObjectKind::Volume,
    ObjectKind::Service,
    ObjectKind::Task,
    ObjectKind::Node,
    ObjectKind::Plugin,
    ObjectKind::Secret,
    ObjectKind::Config,
];

/// Shows all that is known of objects of any kind: containers first, then images, networks, volumes, and what a cluster
/// has.
pub async fn run(cx: &Context, args: InspectArgs) -> Outcome {
    let (kind, size) = (args.kind, args.size);
    let (found, failures) = gather(cx, &args.names, |name| async move {
        if let Some(kind) = kind {
            return ask(cx, kind, name, size).await;
        }
        for kind in KINDS {
            match ask(cx, kind, name, size).await {
                // A name that one kind cannot have may be another's, and not every daemon is in a cluster.
                Err(failure) if matches!(failure.status, Some(404 | 400 | 406 | 503)) => {}
                other => return other,
            }
        }
        let mut failure = Failure::new(format!("there is no container, image, network or volume {name:?}"));
        failure.status = Some(404);
        Err(hints::containers(cx, failure, name).await)
    })
    .await;
    inspected(cx, args.format.as_deref(), found, &failures)
}

async fn ask(cx: &Context, kind: ObjectKind, name: &str, size: bool) -> Result<Value, Failure> {
    let path = match kind {
        ObjectKind::Container => container::path(name, "json"),
        ObjectKind::Image => image::path(name, "json"),
        ObjectKind::Network => network::path(name),
        ObjectKind::Volume => volume::path(name),
        ObjectKind::Service => service::path(name),
        ObjectKind::Task => format!("/tasks/{}", path_segment(name)),
        ObjectKind::Node => format!("/nodes/{}", path_segment(name)),
        ObjectKind::Plugin => format!("/plugins/{}/json", path_segment(name)),
        ObjectKind::Secret => format!("/secrets/{}", path_segment(name)),
        ObjectKind::Config => format!("/configs/{}", path_segment(name)),
    };
    Ok(cx.client.get(path).flag("size", size && kind == ObjectKind::Container).read().await?)
}
