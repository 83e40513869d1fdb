//! `hoist buildx imagetools`: images at registries, put together and looked at. The daemon is not asked.

mod create;
mod inspect;

use std::collections::BTreeMap;

use hoist_image::{AnyManifest, Auth, Descriptor, Options, Reference, Remote, RemoteManifest};

use crate::cli::{
    Context, Outcome,
    args::build::ImagetoolsCommand,
    commands::manifest::{credentials, failed, name},
    failure::Failure,
};

/// Carries out one of them.
pub async fn run(cx: &Context, command: ImagetoolsCommand) -> Outcome {
    match command {
        ImagetoolsCommand::Create(args) => create::run(cx, args).await,
        ImagetoolsCommand::Inspect(args) => inspect::run(cx, args).await,
    }
}

/// Registries, and what the user is at each of them.
struct Registries {
    remote: Remote,
    auth: BTreeMap<String, Option<Auth>>,
}

impl Registries {
    fn of<'r>(cx: &Context, names: impl Iterator<Item = &'r Reference>, insecure: bool) -> Result<Self, Failure> {
        let mut options = Options::default();
        let mut auth = BTreeMap::new();
        for name in names {
            if insecure {
                options.insecure_registries.push(name.domain().to_owned());
            }
            auth.insert(name.domain().to_owned(), credentials(cx, name)?);
        }
        Ok(Self { remote: Remote::new(options), auth })
    }

    fn auth(&self, name: &Reference) -> Option<Auth> {
        self.auth.get(name.domain()).cloned().flatten()
    }

    async fn manifest(&self, name: &Reference) -> Result<RemoteManifest, Failure> {
        self.remote.manifest(name, self.auth(name)).await.map_err(|error| failed(&error))
    }
}

/// What a manifest or index names; an image names itself.
fn parts(found: &RemoteManifest) -> Vec<Descriptor> {
    match &found.content {
        AnyManifest::Index(index) => index.manifests.clone(),
        AnyManifest::Image(_) => vec![found.descriptor.clone()],
    }
}
