//! `hoist inspect`

use serde_json::Value;

use crate::cli::{
    Context, Outcome,
    args::system::{InspectArgs, ObjectKind},
    commands::{
        container::{self, hints},
        each::{gather, inspected},
        image, network, volume,
    },
    failure::Failure,
};

/// Shows all that is known of objects of any kind: containers first, then images, networks, volumes.
pub async fn run(cx: &Context, args: InspectArgs) -> Outcome {
    let (kind, size) = (args.kind, args.size);
    let (found, failures) = gather(cx, &args.names, |name| async move {
        if let Some(kind) = kind {
            return ask(cx, kind, name, size).await;
        }
        for kind in [ObjectKind::Container, ObjectKind::Image, ObjectKind::Network, ObjectKind::Volume] {
            match ask(cx, kind, name, size).await {
                // A name that one kind cannot have may be another's.
                Err(failure) if matches!(failure.status, Some(404 | 400)) => {}
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
    };
    Ok(cx.client.get(path).flag("size", size && kind == ObjectKind::Container).read().await?)
}
