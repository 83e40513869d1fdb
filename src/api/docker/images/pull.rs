//! `POST /images/create`: pull from a registry, or import a file tree.

use std::sync::Arc;

use axum::{body::Body, extract::State as With, http::HeaderMap, response::Response};
use hoist_image::{Auth, Image, ImportOptions, Platform, PullOptions, PullPolicy, Reference};

use super::{inspect::platform, publish_with, reader};
use crate::api::{
    State,
    docker::auth,
    dto::image::Progress,
    error::ApiError,
    params::Params,
    stream::progress::{self, Board},
};

pub async fn create(
    With(state): With<State>,
    headers: HeaderMap,
    params: Params,
    body: Body,
) -> Result<Response, ApiError> {
    match (params.text("fromImage"), params.text("fromSrc")) {
        (Some(name), _) => {
            let options = PullOptions {
                platform: platform(&params)?,
                auth: auth::from_headers(&headers)?,
                policy: PullPolicy::Always,
                ..PullOptions::default()
            };
            let parsed = Reference::parse(name)?;
            if let (None, None, None) = (params.text("tag"), parsed.tag(), parsed.digest()) {
                return pull_all(state, parsed, options).await;
            }
            // A digest in the name is exact, whatever the tag says.
            let tag = params.text("tag").filter(|_| parsed.digest().is_none());
            pull(state, reference(name, tag)?, options).await
        }
        (None, Some("-")) => import(state, &params, Source::Body(body)).await,
        (None, Some(source)) => import(state, &params, Source::Address(address(source)?)).await,
        (None, None) => Err(ApiError::bad_request("fromImage or fromSrc must be given")),
    }
}

/// `name` with `tag`, which may be a digest; `latest` without either.
pub fn reference(name: &str, tag: Option<&str>) -> Result<Reference, ApiError> {
    let reference = Reference::parse(name)?;
    match tag {
        Some(digest) if digest.contains(':') => {
            let digest = digest.parse().map_err(|err| ApiError::bad_request(format!("{err}")))?;
            Ok(reference.with_digest(digest))
        }
        Some(tag) => Ok(reference.with_tag(tag)?),
        None => Ok(reference.with_default_tag()),
    }
}

async fn pull(state: State, reference: Reference, options: PullOptions) -> Result<Response, ApiError> {
    let board = Arc::new(Board::default());
    let progress = board.clone();
    let work = async move {
        let image = state.engine.images().pull(&reference, options, progress).await?;
        publish_with(&state, "pull", (&reference.familiar(), &reference.familiar_name()), &image);
        Ok(image)
    };
    progress::respond(board, work, false, |_: Image| Vec::new()).await
}

/// Without a tag all tags are meant.
async fn pull_all(state: State, repository: Reference, options: PullOptions) -> Result<Response, ApiError> {
    let board = Arc::new(Board::default());
    let progress = board.clone();
    let work = async move {
        let images = state.engine.images();
        for tag in images.remote_tags(&repository, options.auth.clone()).await? {
            let reference = repository.with_tag(&tag)?;
            let image = images.pull(&reference, options.clone(), progress.clone()).await?;
            publish_with(&state, "pull", (&reference.familiar(), &reference.familiar_name()), &image);
        }
        Ok(())
    };
    progress::respond(board, work, false, |()| Vec::new()).await
}

/// Pulls an image and tells a board about it, for those who have streams of their own.
///
/// # Errors
/// Those of the images.
pub async fn pull_for(
    state: &State,
    name: &str,
    platform: Option<&str>,
    auth: Option<Auth>,
    policy: PullPolicy,
    board: Arc<Board>,
) -> Result<Image, ApiError> {
    let reference = Reference::parse(name)?.with_default_tag();
    let platform =
        platform.map(str::parse::<Platform>).transpose().map_err(|err| ApiError::bad_request(err.to_string()))?;
    let image = state
        .engine
        .images()
        .pull(&reference, PullOptions { platform, auth, policy, ..PullOptions::default() }, board)
        .await?;
    publish_with(state, "pull", (&reference.familiar(), &reference.familiar_name()), &image);
    Ok(image)
}

/// Where the archive of an import comes from.
enum Source {
    Body(Body),
    Address(String),
}

/// An address without a scheme is one of HTTP, as for Docker.
fn address(source: &str) -> Result<String, ApiError> {
    match source.split_once("://") {
        Some(("http" | "https", rest)) if !rest.is_empty() => Ok(source.to_owned()),
        Some((scheme, _)) => {
            Err(ApiError::bad_request(format!("cannot import from {source}: {scheme:?} is neither http nor https")))
        }
        None => Ok(format!("http://{source}")),
    }
}

async fn import(state: State, params: &Params, source: Source) -> Result<Response, ApiError> {
    let name = params.text("repo").map(|repo| reference(repo, params.text("tag"))).transpose()?;
    let options = ImportOptions {
        reference: name.clone(),
        changes: params.all("changes").filter(|line| !line.is_empty()).map(str::to_owned).collect(),
        message: match (params.text("message"), &source) {
            (None, Source::Address(address)) => Some(format!("Imported from {address}")),
            (message, _) => message.map(str::to_owned),
        },
        platform: platform(params)?,
    };
    let work = async move {
        let images = state.engine.images();
        let image = match source {
            Source::Body(body) => images.import(reader(body), options).await?,
            Source::Address(address) => {
                let dir = state.builds.scratch()?;
                let file = dir.path().join("archive");
                images.fetch(&address, None, &file, &|_, _| ()).await?;
                let archive = fs_err::tokio::File::open(&file).await.map_err(hoist_engine::EngineError::from)?;
                images.import(archive, options).await?
            }
        };
        let shown = name.map_or_else(|| image.id.to_string(), |name| name.familiar());
        publish_with(&state, "import", (&image.id.to_string(), &shown), &image);
        Ok(image)
    };
    progress::respond(Arc::default(), work, false, |image: Image| {
        vec![Progress { status: Some(image.id.to_string()), ..Progress::default() }]
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_to_import_from() {
        assert_eq!(address("example.com/a.tar").unwrap(), "http://example.com/a.tar");
        assert_eq!(address("https://example.com/a.tar").unwrap(), "https://example.com/a.tar");
        assert!(address("ftp://example.com/a.tar").unwrap_err().message.contains("\"ftp\""));
    }

    #[test]
    fn tags_and_digests() {
        let digest = format!("sha256:{}", "a".repeat(64));
        assert_eq!(reference("busybox", None).unwrap().familiar(), "busybox:latest");
        assert_eq!(reference("busybox:1", None).unwrap().familiar(), "busybox:1");
        assert_eq!(reference("localhost:5000/a/b", Some("2")).unwrap().familiar(), "localhost:5000/a/b:2");
        assert_eq!(reference("busybox", Some(&digest)).unwrap().familiar(), format!("busybox@{digest}"));
        assert!(reference("Busybox", None).is_err());
        assert!(reference("busybox", Some("sha256:x")).is_err());
    }
}
