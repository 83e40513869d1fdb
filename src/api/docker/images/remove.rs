//! Names of images: given, taken away, pruned.

use axum::{Json, extract::State as With, http::StatusCode};
use hoist_image::{PruneOptions, RemoveOptions, Removed};

use super::{inspect::platforms, publish, publish_with, pull::reference, used_by};
use crate::api::{State, dto::image as dto, error::ApiError, params::Params};

/// `POST /images/{name}/tag`.
pub async fn tag(state: State, name: &str, params: Params) -> Result<StatusCode, ApiError> {
    let repo = params.text("repo").ok_or_else(|| ApiError::bad_request("repo must be given"))?;
    let target = reference(repo, params.text("tag"))?;
    if target.digest().is_some() {
        return Err(ApiError::bad_request("refusing to create a tag with a digest reference"));
    }
    state.engine.images().tag(name, &target).await?;
    let image = state.engine.images().get(name).await?;
    publish_with(&state, "tag", (&image.id.to_string(), &target.familiar()), &image);
    Ok(StatusCode::CREATED)
}

/// `DELETE /images/{name}`.
pub async fn remove(state: State, name: &str, params: Params) -> Result<Json<Vec<dto::Removed>>, ApiError> {
    let platforms = platforms(&params, "platforms")?;
    let options = RemoveOptions {
        force: params.flag("force"),
        no_prune: params.flag("noprune"),
        used_by: used_by(&state).await?,
        platforms,
    };
    let removed = state.engine.images().remove(name, options).await?;
    Ok(Json(tell(&state, removed)))
}

fn tell(state: &State, removed: Vec<Removed>) -> Vec<dto::Removed> {
    removed
        .into_iter()
        .map(|one| match one {
            Removed::Untagged { name, image } => {
                publish(state, "untag", &image.to_string(), &name);
                dto::Removed::Untagged(name)
            }
            Removed::Deleted(id) => {
                publish(state, "delete", &id, &id);
                dto::Removed::Deleted(id)
            }
            Removed::Layer(id) => dto::Removed::Deleted(id),
        })
        .collect()
}

/// `POST /images/prune`.
pub async fn prune(With(state): With<State>, params: Params) -> Result<Json<dto::Pruned>, ApiError> {
    let filters = params.filters()?.only(&["dangling", "label", "label!", "until"])?;
    let options = PruneOptions {
        all: filters.flag("dangling")? == Some(false),
        label: filters.get("label").to_vec(),
        label_not: filters.get("label!").to_vec(),
        until: filters.until(state.now())?,
        used_by: used_by(&state).await?,
    };
    let report = state.engine.images().prune(options).await?;
    let removed = tell(&state, report.removed);
    let attributes = [("reclaimed".to_owned(), report.reclaimed.to_string())].into();
    state.engine.events().publish("image", "prune", hoist_engine::Actor { id: String::new(), attributes });
    Ok(Json(dto::Pruned {
        images_deleted: (!removed.is_empty()).then_some(removed),
        space_reclaimed: report.reclaimed,
    }))
}
