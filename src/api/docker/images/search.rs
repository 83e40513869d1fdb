//! `GET /images/search`.

use axum::{Json, extract::State as With, http::HeaderMap};

use crate::api::{State, docker::auth, dto::image::SearchResult, error::ApiError, params::Params};

/// Docker Hub's search is not where its images are.
const HUB: &str = "index.docker.io";
/// What is asked for when no limit is given, and the most that can be.
const LIMITS: (u32, u32) = (25, 100);

pub async fn search(
    With(state): With<State>,
    headers: HeaderMap,
    params: Params,
) -> Result<Json<Vec<SearchResult>>, ApiError> {
    let term = params.text("term").ok_or_else(|| ApiError::bad_request("term must be given"))?;
    let limit = match params.number::<u32>("limit")? {
        None | Some(0) => LIMITS.0,
        Some(limit) if limit <= LIMITS.1 => limit,
        Some(limit) => {
            return Err(ApiError::bad_request(format!("limit {limit} is outside the range of [1, {}]", LIMITS.1)));
        }
    };
    let filters = params.filters()?.only(&["is-automated", "is-official", "stars"])?;
    let (automated, official) = (filters.flag("is-automated")?, filters.flag("is-official")?);
    let mut stars = 0;
    for text in filters.get("stars") {
        let number: i64 = text.parse().map_err(|_| ApiError::bad_request(format!("invalid filter 'stars={text}'")))?;
        stars = stars.max(number);
    }
    let (domain, words) = split(term);
    let found = state.engine.images().search(domain, words, limit, auth::from_headers(&headers)?).await?;
    let fits = |line: &hoist_image::Found| {
        automated != Some(true)
            && official.is_none_or(|official| line.is_official == official)
            && line.star_count >= stars
    };
    let shown = found.into_iter().filter(fits).map(|line| SearchResult {
        star_count: line.star_count,
        is_official: line.is_official,
        name: line.name,
        is_automated: false,
        description: line.description,
    });
    Ok(Json(shown.take(limit as usize).collect()))
}

/// The registry to ask, when the term begins with one, and the words to look for.
fn split(term: &str) -> (&str, &str) {
    match term.split_once('/') {
        Some(("docker.io" | "index.docker.io", words)) => (HUB, words),
        Some((host, words)) if host.contains(['.', ':']) || host == "localhost" => (host, words),
        Some(("library", words)) => (HUB, words),
        _ => (HUB, term),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_before_the_words() {
        assert_eq!(split("busybox"), (HUB, "busybox"));
        assert_eq!(split("library/busybox"), (HUB, "busybox"));
        assert_eq!(split("me/app"), (HUB, "me/app"));
        assert_eq!(split("localhost:5000/app"), ("localhost:5000", "app"));
        assert_eq!(split("docker.io/app"), (HUB, "app"));
    }
}
