//! Commands on manifest lists. They speak with registries themselves; no daemon is asked.

pub mod annotate;
pub mod create;
pub mod inspect;
pub mod push;
pub mod rm;
mod store;

use hoist_image::{Auth, Options, Reference, Remote};

use crate::cli::{
    Context, Outcome, args::manifest::ManifestCommand, credentials::Config, credentials::registry_of, failure::Failure,
};
pub(super) use store::indented;
use store::{Kept, Store};

/// Carries out one of them.
pub async fn run(cx: &Context, command: ManifestCommand) -> Outcome {
    use ManifestCommand as C;
    match command {
        C::Annotate(args) => annotate::run(cx, args),
        C::Create(args) => create::run(cx, args).await,
        C::Inspect(args) => inspect::run(cx, args).await,
        C::Push(args) => push::run(cx, args).await,
        C::Rm(args) => rm::run(cx, args),
    }
}

/// The whole name of a list or manifest: `docker.io/library/busybox:latest`.
pub(super) fn name(text: &str) -> Result<Reference, Failure> {
    let reference = Reference::parse(text).map_err(|err| Failure::new(format!("{text}: {err}")))?;
    Ok(reference.with_default_tag())
}

/// What the user is at a name's registry.
pub(super) fn credentials(cx: &Context, name: &Reference) -> Result<Option<Auth>, Failure> {
    let found = Config::load(&cx.config_dir)?.credentials(registry_of(&name.to_string()))?;
    Ok(found.map(|found| Auth {
        username: found.username,
        password: found.password,
        identity_token: Some(found.identitytoken).filter(|token| !token.is_empty()),
        registry_token: None,
    }))
}

/// The registry of a name, and what the user is there.
fn registry(cx: &Context, name: &Reference, insecure: bool) -> Result<(Remote, Option<Auth>), Failure> {
    let auth = credentials(cx, name)?;
    let mut options = Options::default();
    if insecure {
        options.insecure_registries.push(name.domain().to_owned());
    }
    Ok((Remote::new(options), auth))
}

/// An error of a registry; what a plain one says to TLS gets its hint.
pub(super) fn failed(error: &hoist_image::Error) -> Failure {
    let failure = Failure::from_error(error);
    match error {
        hoist_image::Error::Unreachable { .. } => {
            failure.hint("--insecure speaks plain HTTP, or TLS without checking the certificate")
        }
        hoist_image::Error::Unauthorized { .. } => failure.hint("hoist login REGISTRY keeps credentials"),
        _ => failure,
    }
}

/// One image's manifest, from the list here or else from its registry.
async fn image(cx: &Context, list: Option<&Reference>, name: &Reference, insecure: bool) -> Result<Kept, Failure> {
    if let Some(list) = list
        && let Some(kept) = Store::of(&cx.config_dir).get(list, name)?
    {
        return Ok(kept);
    }
    let (remote, auth) = registry(cx, name, insecure)?;
    let found = remote.manifest(name, auth).await.map_err(|err| failed(&err))?;
    match found.content {
        hoist_image::AnyManifest::Image(_) => Kept::new(name, found),
        hoist_image::AnyManifest::Index(_) => Err(Failure::new(format!("{name} is a manifest list"))
            .hint("name its images by their digests; \"hoist manifest inspect\" shows them")),
    }
}
