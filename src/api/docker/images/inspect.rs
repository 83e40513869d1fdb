//! One image: all about it, and its history.

use axum::{
    Json,
    http::{HeaderMap, header},
};
use hoist_image::{ContainerConfig, Image, Platform};
use serde_json::{Map, Value, json};

use crate::api::{
    State,
    dto::{container::GraphDriver, image as dto},
    error::ApiError,
    params::Params,
    translate::time,
    version::ApiVersion,
};

/// The platform of a query: text, or OCI's JSON.
///
/// # Errors
/// 400 for what is neither, and for several.
pub fn platform(params: &Params) -> Result<Option<Platform>, ApiError> {
    let mut given = platforms(params, "platform")?;
    let first = given.pop();
    if !given.is_empty() {
        return Err(ApiError::bad_request("one platform can be given here, not several"));
    }
    Ok(first)
}

/// All platforms of a query, each in either form.
///
/// # Errors
/// 400 for what is neither.
pub fn platforms(params: &Params, name: &str) -> Result<Vec<Platform>, ApiError> {
    let read = |text: &str| {
        if text.starts_with('{') {
            serde_json::from_str(text).map_err(|err| ApiError::bad_request(format!("invalid platform {text:?}: {err}")))
        } else {
            text.parse::<Platform>().map_err(|err| ApiError::bad_request(err.to_string()))
        }
    };
    params.all(name).filter(|text| !text.is_empty()).map(read).collect()
}

/// The image of a name; with a platform, exactly the one for it.
async fn find(state: &State, name: &str, params: &Params) -> Result<Image, ApiError> {
    Ok(state.engine.images().get_exactly(name, platform(params)?.as_ref()).await?)
}

/// The version by which an image is shown. Compose 1 asks with the newest version that the daemon has,
/// and cannot do without what left the answer in version 1.45.
pub fn spoken(version: ApiVersion, headers: &HeaderMap) -> ApiVersion {
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if agent.starts_with("docker-compose/1.") { version.min(ApiVersion(1, 44)) } else { version }
}

pub async fn inspect(
    state: State,
    name: &str,
    version: ApiVersion,
    params: Params,
) -> Result<Json<dto::Inspect>, ApiError> {
    let manifests = version >= ApiVersion(1, 48) && params.flag("manifests");
    if manifests && platform(&params)?.is_some() {
        return Err(ApiError::bad_request("conflicting options: manifests and platform cannot be both given"));
    }
    let image = find(&state, name, &params).await?;
    let shown = if manifests {
        let variants = state.engine.images().variants_of(&image.id).await?;
        Some(super::list::manifests(&variants, &super::used_by(&state).await?))
    } else {
        None
    };
    Ok(Json(dto::Inspect { manifests: shown, ..show(image, version) }))
}

fn show(image: Image, version: ApiVersion) -> dto::Inspect {
    // From version 1.52 on what is empty is left out.
    let text = |text: String| Some(text).filter(|text| !text.is_empty() || version < ApiVersion(1, 52));
    let comment = image.config.history.last().map(|entry| entry.comment.clone()).unwrap_or_default();
    // What the container of the last build step was; images that were not built that way tell their own.
    let old = (version < ApiVersion(1, 45)).then(|| {
        let kept = image.config.extra.get("container_config").filter(|config| config.is_object());
        kept.cloned().unwrap_or_else(|| config(image.config.config.clone(), version))
    });
    let container = image.config.extra.get("container").and_then(Value::as_str).unwrap_or_default().to_owned();
    let docker_version = image.config.extra.get("docker_version").and_then(Value::as_str).unwrap_or_default();
    dto::Inspect {
        id: image.id.to_string(),
        repo_tags: image.repo_tags,
        repo_digests: image.repo_digests,
        parent: text(image.parent.map(|parent| parent.to_string()).unwrap_or_default()),
        comment: text(comment),
        created: image.config.created.clone().filter(|text| !text.is_empty()),
        container: old.is_some().then_some(container),
        container_config: old,
        docker_version: text(docker_version.to_owned()),
        author: text(image.config.author),
        config: config(image.config.config, version),
        architecture: image.config.architecture,
        variant: image.config.variant,
        os: image.config.os,
        size: image.size,
        virtual_size: (version < ApiVersion(1, 44)).then_some(image.size),
        graph_driver: GraphDriver { name: "overlay2".to_owned(), data: [].into() },
        root_fs: dto::RootFs {
            kind: "layers".to_owned(),
            layers: image.layers.iter().map(ToString::to_string).collect(),
        },
        manifests: None,
        metadata: dto::Metadata { last_tag_time: time::moment(image.last_tagged) },
    }
}

/// An image's configuration; older versions also write what is not set, and up to 1.49 fields of a
/// container's configuration that images do not have.
fn config(config: ContainerConfig, version: ApiVersion) -> Value {
    let mut shown = Map::new();
    if version < ApiVersion(1, 50) {
        for (name, empty) in [
            ("Hostname", json!("")),
            ("Domainname", json!("")),
            ("AttachStdin", json!(false)),
            ("AttachStdout", json!(false)),
            ("AttachStderr", json!(false)),
            ("Tty", json!(false)),
            ("OpenStdin", json!(false)),
            ("StdinOnce", json!(false)),
            ("Image", json!("")),
        ] {
            shown.insert(name.to_owned(), empty);
        }
    }
    if version < ApiVersion(1, 52) {
        for (name, empty) in [
            ("User", json!("")),
            ("Env", json!([])),
            ("Cmd", Value::Null),
            ("Volumes", Value::Null),
            ("WorkingDir", json!("")),
            ("Entrypoint", Value::Null),
            ("OnBuild", Value::Null),
            ("Labels", Value::Null),
        ] {
            shown.insert(name.to_owned(), empty);
        }
    }
    let own = ContainerConfig { extra: Map::new(), ..config };
    if let Ok(Value::Object(own)) = serde_json::to_value(own) {
        shown.extend(own);
    }
    Value::Object(shown)
}

pub async fn history(state: State, name: &str, params: Params) -> Result<Json<Vec<dto::History>>, ApiError> {
    let image = find(&state, name, &params).await?;
    let lines = state.engine.images().history(&image.id.to_string()).await?;
    Ok(Json(
        lines
            .into_iter()
            .map(|entry| dto::History {
                id: entry.id.map_or_else(|| "<missing>".to_owned(), |id| id.to_string()),
                created: entry.created.map_or(0, |created| created.as_second()),
                created_by: entry.created_by,
                tags: (!entry.tags.is_empty()).then_some(entry.tags),
                size: entry.size,
                comment: entry.comment,
            })
            .collect(),
    ))
}
