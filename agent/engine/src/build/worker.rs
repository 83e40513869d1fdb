//! Images and layers as the builder wants them.

use std::collections::BTreeMap;
use std::io::{BufReader, Read, Seek};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hoist_build::{
    BaseImage, BuildError, CacheDocument, CachePlace, Compression, Credentials, Draft, ImageRequest, LayerBlob,
    LayerDigest, LayerForm, NamedDevices, NewImage, NewIndex, Push, Report, RunRequest, Secret, Sink, Worker,
};
use hoist_image::{
    Auth, BuildLayer, Error, Images, Phase, Platform, PullEvent, PullOptions, PullPolicy, PushOptions, Reference,
    RemoveOptions, SaveFormat,
};
use tokio_util::sync::CancellationToken;

use super::{caches, devices};
use crate::EngineError;
use crate::inner::Inner;

/// The engine, as builds see it.
pub(crate) struct BuildWorker {
    pub(super) engine: Arc<Inner>,
    turns: Arc<devices::Turns>,
}

/// A layer being made.
pub(crate) struct Layer(pub(super) BuildLayer);

impl Draft for Layer {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn path(&self) -> PathBuf {
        self.0.path()
    }

    fn work(&self) -> PathBuf {
        self.0.work().to_owned()
    }
}

/// An error of the engine in the builder's words.
pub(super) fn engine_error(error: impl Into<EngineError>) -> BuildError {
    match error.into() {
        EngineError::Build(error) => error,
        EngineError::Image(error @ (Error::NotFound(_) | Error::NotAtRegistry { .. })) => {
            BuildError::NotFound(EngineError::Image(error).message())
        }
        EngineError::InvalidParameter(message) => BuildError::Request(message),
        other => BuildError::Engine(other.message()),
    }
}

impl BuildWorker {
    pub(super) fn new(engine: &Arc<Inner>) -> Self {
        Self { engine: Arc::clone(engine), turns: Arc::default() }
    }

    fn images(&self) -> &Images {
        &self.engine.options.images
    }

    async fn find(&self, request: &ImageRequest, report: Report) -> Result<hoist_image::Image, EngineError> {
        let platform = request.platform.as_deref().map(str::parse::<Platform>).transpose();
        let platform = platform.map_err(|error| EngineError::InvalidParameter(error.to_string()))?;
        // An id, or the beginning of one, is no name at a registry.
        if !request.pull
            && let Ok(image) = self.images().get_for(&request.reference, platform.as_ref()).await
            && platform.as_ref().is_none_or(|platform| image.config.platform() == *platform)
        {
            return Ok(image);
        }
        let reference = Reference::parse(&request.reference).map_err(Error::from)?;
        let options = PullOptions {
            platform,
            auth: credentials(&request.auth, reference.domain()),
            policy: if request.pull { PullPolicy::Always } else { PullPolicy::Missing },
            ..PullOptions::default()
        };
        match self.images().pull(&reference, options, progress(report)).await {
            // What only this machine has is as new as it gets.
            Err(error) if request.pull => match self.images().get(&request.reference).await {
                Ok(image) if image.repo_digests.is_empty() => Ok(image),
                _ => Err(error.into()),
            },
            other => Ok(other?),
        }
    }
}

pub(super) fn credentials(all: &BTreeMap<String, Credentials>, domain: &str) -> Option<Auth> {
    let hub = ["docker.io", "index.docker.io", "https://index.docker.io/v1/", "registry-1.docker.io"];
    let found = all
        .get(domain)
        .or_else(|| if domain == "docker.io" { hub.iter().find_map(|name| all.get(*name)) } else { None })?;
    Some(Auth {
        username: found.username.clone(),
        password: found.password.clone(),
        identity_token: found.identity_token.clone(),
        registry_token: found.registry_token.clone(),
    })
}

/// Transfers in the builder's words.
fn progress(report: Report) -> Arc<dyn hoist_image::Progress> {
    Arc::new(move |event: PullEvent| {
        if let PullEvent::Layer { id, phase, current, total } = event {
            let moving = matches!(
                phase,
                Phase::Downloading
                    | Phase::DownloadComplete
                    | Phase::Extracting
                    | Phase::PullComplete
                    | Phase::Pushing
                    | Phase::Pushed
            );
            if moving {
                report(format!("{phase} {id}"), current, Some(total));
            }
        }
    })
}

pub(super) fn names(texts: &[String]) -> Result<Vec<Reference>, BuildError> {
    texts
        .iter()
        .map(|text| Reference::parse(text).map_err(|error| BuildError::Request(format!("tag {text:?}: {error}"))))
        .collect()
}

pub(super) fn digest(text: &str) -> Result<hoist_image::Digest, BuildError> {
    text.parse().map_err(|error| BuildError::Engine(format!("digest {text:?}: {error}")))
}

impl Worker for BuildWorker {
    type Draft = Layer;

    async fn image(&self, request: ImageRequest, report: Report) -> Result<BaseImage, BuildError> {
        let image = self.find(&request, report).await.map_err(engine_error)?;
        let hold = self.images().hold(&image.id).await.map_err(engine_error)?;
        let pinned = image.repo_digests.first().and_then(|name| name.split_once('@')).map(|(_, digest)| digest);
        let name = Reference::parse(&request.reference)
            .map_or_else(|_| request.reference.clone(), |name| name.with_default_tag().to_string());
        let config = serde_json::to_vec(&image.config)
            .map_err(|error| BuildError::Engine(format!("the configuration of {name}: {error}")))?;
        Ok(BaseImage {
            id: image.id.to_string(),
            name: pinned.map_or_else(|| name.clone(), |digest| format!("{name}@{digest}")),
            diff_ids: image.layers.iter().map(ToString::to_string).collect(),
            dirs: image.layer_dirs,
            config,
            hold: Arc::new(hold),
        })
    }

    async fn draft(&self, lower: &[PathBuf]) -> Result<Layer, BuildError> {
        self.images().new_build_layer(lower.first().cloned()).await.map(Layer).map_err(engine_error)
    }

    async fn keep(&self, draft: Layer) -> Result<(), BuildError> {
        self.images().keep_build_layer(draft.0).await.map(drop).map_err(engine_error)
    }

    async fn release(&self, layers: Vec<String>) -> Result<u64, BuildError> {
        self.images().release_build_layers(&layers).await.map_err(engine_error)
    }

    fn kept(&self) -> Result<Vec<String>, BuildError> {
        self.images().build_layers().map_err(engine_error)
    }

    fn in_images(&self) -> std::collections::HashSet<String> {
        self.images().build_layers_of_images()
    }

    fn layer_path(&self, name: &str) -> PathBuf {
        self.images().build_layer_path(name)
    }

    async fn describe(&self, name: &str) -> Result<LayerDigest, BuildError> {
        let archive = self.images().describe_layer(name).await.map_err(engine_error)?;
        let diff_id = archive.diff_id.to_string();
        Ok(LayerDigest { diff_id, archive: archive.size, files: archive.files, blobs: BTreeMap::new() })
    }

    async fn mount(&self, lower: Vec<PathBuf>, draft: Option<&Layer>) -> Result<OwnedFd, BuildError> {
        let upper = draft.map(|draft| (draft.path(), draft.work()));
        self.images().mount_layers(lower, upper).await.map_err(engine_error)
    }

    async fn run(
        &self,
        request: RunRequest,
        draft: &Layer,
        output: Sink,
        cancel: CancellationToken,
    ) -> Result<i32, BuildError> {
        super::run::run((&self.engine, &self.turns), request, draft, output, cancel).await.map_err(engine_error)
    }

    async fn beginning(&self, mut file: std::fs::File) -> Result<(std::fs::File, Option<Vec<u8>>), BuildError> {
        let work = move || {
            let mut start = Vec::new();
            let reader = BufReader::with_capacity(64 << 10, &file);
            let read = hoist_image::decompress(reader).and_then(|plain| plain.take(512).read_to_end(&mut start));
            file.rewind().map_err(|error| BuildError::io("read", Path::new("archive"), error))?;
            Ok((file, read.is_ok().then_some(start)))
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| BuildError::Engine(error.to_string()))?
    }

    async fn unpack(
        &self,
        tree: OwnedFd,
        base: PathBuf,
        archive: std::fs::File,
        owner: Option<(u32, u32)>,
    ) -> Result<(), BuildError> {
        let work = move || {
            let reader = BufReader::with_capacity(256 << 10, archive);
            let plain = hoist_image::decompress(reader).map_err(|error| BuildError::Request(error.to_string()))?;
            let options = hoist_image::unpack::UnpackOptions { base, owner, ..Default::default() };
            hoist_image::unpack::unpack(tree.as_fd(), BufReader::with_capacity(256 << 10, plain), &options)
                .map(drop)
                .map_err(|error| {
                    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
                    BuildError::Request(format!("cannot unpack: {error}{}", cause.unwrap_or_default()))
                })
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| BuildError::Engine(error.to_string()))?
    }

    async fn store(&self, image: NewImage) -> Result<(String, String), BuildError> {
        let options = caches::options(&image)?;
        let made = self.images().add_built(&image.config, options).await.map_err(engine_error)?;
        Ok((made.id.to_string(), made.manifest.digest.to_string()))
    }

    async fn store_index(&self, index: NewIndex) -> Result<(String, String), BuildError> {
        let (images, names, form) = caches::index(index)?;
        let (image, top) = self.images().add_index(images, &names, form).await.map_err(engine_error)?;
        Ok((image.id.to_string(), top.digest.to_string()))
    }

    async fn save_index(&self, index: NewIndex, to: PathBuf) -> Result<(String, String), BuildError> {
        let file = tokio::fs::File::create(&to).await.map_err(|error| BuildError::io("create", &to, error))?;
        let (images, names, form) = caches::index(index)?;
        let (image, top) = self.images().save_index(images, &names, form, file).await.map_err(engine_error)?;
        Ok((image.to_string(), top.to_string()))
    }

    async fn devices(&self, pattern: String) -> Result<NamedDevices, BuildError> {
        let devices = self.engine.options.devices.clone();
        let found = tokio::task::spawn_blocking(move || devices.matching(&pattern)).await;
        match found.map_err(|error| BuildError::Engine(error.to_string()))? {
            Ok(found) => Ok(NamedDevices { names: found.names, allowed: found.allowed }),
            Err(there) => Err(BuildError::NotFound(format!("no such device: {there}"))),
        }
    }

    fn cannot_run(&self, platform: &str) -> Option<String> {
        super::emulate::cannot_run(platform)
    }

    async fn read_cache(&self, place: CachePlace, platform: String) -> Result<Option<CacheDocument>, BuildError> {
        caches::read(self.images(), place, &platform).await
    }

    async fn fetch_layer(
        &self,
        place: CachePlace,
        blob: LayerBlob,
        diff_id: String,
        below: Vec<PathBuf>,
        report: Report,
    ) -> Result<Layer, BuildError> {
        caches::fetch_layer(self.images(), place, &blob, &diff_id, below, report).await.map(Layer)
    }

    async fn put_layer(
        &self,
        place: CachePlace,
        name: String,
        known: Option<LayerBlob>,
        compression: Compression,
        report: Report,
    ) -> Result<LayerBlob, BuildError> {
        caches::put_layer(self.images(), place, &name, known.as_ref(), compression, report).await
    }

    async fn put_cache(&self, place: CachePlace, document: CacheDocument) -> Result<String, BuildError> {
        caches::put(self.images(), place, document).await
    }

    async fn push(
        &self,
        name: String,
        auth: BTreeMap<String, Credentials>,
        (layers, push): (LayerForm, Push),
        report: Report,
    ) -> Result<String, BuildError> {
        let reference = Reference::parse(&name).map_err(|error| engine_error(Error::from(error)))?;
        let options = PushOptions {
            auth: credentials(&auth, reference.domain()),
            layers: caches::form(layers),
            by_digest: push == Push::Digest,
            ..PushOptions::default()
        };
        let pushed = self.images().push(&reference, options, progress(report)).await.map_err(engine_error)?;
        Ok(pushed.digest.to_string())
    }

    async fn save(
        &self,
        image: String,
        called: Vec<String>,
        (oci, layers): (bool, LayerForm),
        to: PathBuf,
    ) -> Result<(), BuildError> {
        let file = tokio::fs::File::create(&to).await.map_err(|error| BuildError::io("create", &to, error))?;
        let format = if oci { SaveFormat::Oci } else { SaveFormat::Docker };
        let how = (format, caches::form(layers));
        self.images().save_as(&digest(&image)?, &names(&called)?, file, how).await.map_err(engine_error)
    }

    async fn archive(&self, tree: OwnedFd, to: PathBuf) -> Result<(), BuildError> {
        let work = move || {
            let fail = |error: std::io::Error| BuildError::io("write", &to, error);
            let file = std::io::BufWriter::with_capacity(256 << 10, std::fs::File::create(&to).map_err(fail)?);
            let options = hoist_image::archive::ArchiveOptions::default();
            let mut file = hoist_image::archive::archive(tree.as_fd(), Path::new(""), &options, file)
                .map_err(|error| BuildError::Engine(format!("cannot write {}: {error}", to.display())))?;
            std::io::Write::flush(&mut file).map_err(fail)
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| BuildError::Engine(error.to_string()))?
    }

    async fn forget(&self, image: String) {
        // One that has a name is somebody's.
        let unnamed = self.images().get(&image).await.is_ok_and(|found| found.repo_tags.is_empty());
        if unnamed && let Err(error) = self.images().remove(&image, RemoveOptions::default()).await {
            tracing::debug!(%error, image, "an exported image stays");
        }
    }

    async fn download(
        &self,
        url: String,
        auth: Option<Secret>,
        to: PathBuf,
        report: Report,
    ) -> Result<Option<i64>, BuildError> {
        let name = url.clone();
        let hear = move |done, total| report(name.clone(), done, total);
        self.images().fetch(&url, auth.as_ref().map(|auth| auth.0.as_slice()), &to, &hear).await.map_err(engine_error)
    }
}
