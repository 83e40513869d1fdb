//! Commands on services.

pub mod converge;
pub mod create;
pub mod explain;
pub mod image;
pub mod inspect;
pub mod logs;
pub mod ls;
mod pretty;
pub mod ps;
pub mod rebalance;
pub mod rm;
pub mod rollback;
pub mod scale;
pub mod update;

use std::collections::BTreeMap;

use serde_json::json;

use crate::{
    api::dto::{file::File, service as dto},
    cli::{Context, client::path_segment, failure::Failure, spec, suggest},
};

/// `/services/NAME`
pub fn path(name: &str) -> String {
    format!("/services/{}", path_segment(name))
}

/// One service; near names are offered when there is none.
pub async fn get(cx: &Context, name: &str) -> Result<dto::Service, Failure> {
    match cx.client.get(path(name)).read().await {
        Ok(service) => Ok(service),
        Err(err) => Err(hint(cx, err.into(), name).await),
    }
}

/// Adds near names to a failure that says there is no such service.
pub async fn hint(cx: &Context, failure: Failure, name: &str) -> Failure {
    if !failure.is_not_found() {
        return failure;
    }
    let Ok(services) = cx.client.get("/services").read::<Vec<dto::Service>>().await else { return failure };
    match suggest::did_you_mean(&suggest::nearest(name, services.iter().map(|one| one.spec.name.as_str()))) {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// The ids of the secrets and configs that flags name.
async fn files(cx: &Context, secrets: bool, configs: bool) -> Result<spec::service::Files, Failure> {
    let mut files = spec::service::Files::default();
    for (wanted, path, ids) in [(secrets, "/secrets", &mut files.secrets), (configs, "/configs", &mut files.configs)] {
        if wanted {
            let all: Vec<File> = cx.client.get(path).read().await?;
            ids.extend(all.into_iter().map(|file| (file.spec.name, file.id)));
        }
    }
    Ok(files)
}

/// Names of nodes by their ids; empty when nodes cannot be asked for.
pub async fn node_names(cx: &Context) -> BTreeMap<String, String> {
    let nodes = cx.client.get("/nodes").read::<Vec<serde_json::Value>>().await.unwrap_or_default();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    nodes.iter().map(|node| (text(&node["ID"]), text(&node["Description"]["Hostname"]))).collect()
}

/// Writes a changed definition over the one that was read.
async fn post(
    cx: &Context,
    service: &dto::Service,
    spec: &dto::ServiceSpec,
    rollback: bool,
    auth: Option<String>,
) -> Result<(), Failure> {
    let updated: dto::Updated = cx
        .client
        .post(format!("/services/{}/update", service.id))
        .query("version", service.version.index.to_string())
        .query_opt("rollback", rollback.then_some("previous"))
        .header_opt("x-registry-auth", auth)
        .json(spec)?
        .read()
        .await?;
    for warning in updated.warnings.iter().flatten() {
        cx.printer.warn(warning);
    }
    Ok(())
}

/// A filter with one value.
fn only(key: &str, value: &str) -> String {
    json!({ key: [value] }).to_string()
}
