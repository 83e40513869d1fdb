//! `POST /containers/create`.

use axum::{Json, extract::State as With, http::StatusCode};

use crate::api::{
    State,
    body::JsonBody,
    docker::exec::console_size,
    dto::{config::Config, container::Created},
    error::ApiError,
    params::Params,
    translate::create::{self, Query},
    version::ApiVersion,
};

pub async fn create(
    With(state): With<State>,
    version: ApiVersion,
    params: Params,
    JsonBody(body): JsonBody<Config>,
) -> Result<(StatusCode, Json<Created>), ApiError> {
    let size = body.host_config.as_ref().and_then(|host| console_size(Some(host.console_size)));
    let size = size.filter(|_| body.tty);
    let query = Query { name: params.text("name"), platform: params.text("platform") };
    let translated = create::container(query, body, version)?;
    let made = state.engine.create(translated.spec).await?;
    if let Some(size) = size {
        state.engine.resize(made.id.as_str(), size).await?;
    }
    let warnings = translated.warnings.into_iter().chain(made.warnings).collect();
    Ok((StatusCode::CREATED, Json(Created { id: made.id.to_string(), warnings })))
}
