//! Pulling: the manifest, the platform's choice, the layers, the record.

use std::sync::Arc;

use super::layers::Wanted;
use super::lookup::find_name;
use super::{Image, Images, PullOptions, PullPolicy};
use crate::config::ImageConfig;
use crate::digest::{Digest, ImageId};
use crate::error::Error;
use crate::manifest::{AnyManifest, Descriptor, Manifest, media_type};
use crate::platform::Platform;
use crate::progress::{Progress, PullEvent};
use crate::reference::Reference;
use crate::registry::{Document, Repository, Step, Tail, download};
use crate::store::{ImageRecord, MAX_DOCUMENT, Origin, Pin};

/// What a name at a registry stands for, once the platform is chosen.
struct Resolved {
    /// The digest that the name stands for: of the index if there is one.
    top: Document,
    /// The one image's manifest.
    manifest: Manifest,
    document: Document,
}

impl Images {
    /// Pulls an image, or finds it here if the policy allows.
    pub async fn pull(
        &self,
        reference: &Reference,
        options: PullOptions,
        progress: Arc<dyn Progress>,
    ) -> Result<Image, Error> {
        let reference = reference.clone().with_default_tag();
        let platform = options.platform.clone().unwrap_or_else(Platform::host);
        if options.policy != PullPolicy::Always
            && let Some(image) = self.have(&reference, options.platform.as_ref()).await?
            && options.id.as_ref().is_none_or(|id| image.id == *id)
        {
            return Ok(image);
        }
        if options.policy == PullPolicy::Never {
            return Err(Error::NotFound(reference.familiar()));
        }
        if let Some(id) = &options.id {
            if let Some(image) = self.have_id(id, &reference).await? {
                return Ok(image);
            }
            match self.pull_from_peers(&reference, id, &options.peers, &platform, &progress).await {
                Ok(Some(image)) => return Ok(image),
                Ok(None) => {}
                Err(error) => tracing::info!(image = %reference.familiar(), %error, "no node gives the image"),
            }
        }
        let registries = &self.inner.registries;
        let repository = registries.repository_with_peers(&reference, options.auth, &options.peers, false).await?;
        let repository = Arc::new(repository);
        let resolved = self.resolve(&repository, &reference, &platform).await?;
        progress.report(PullEvent::Status {
            id: Some(reference.tag().map_or_else(|| resolved.top.digest.to_string(), str::to_owned)),
            message: format!("Pulling from {}", pulling_from(&reference)),
        });
        let id = resolved.manifest.config.digest.clone();
        let before = self.inner.state.view();
        let same = find_name(&before, &reference).is_some_and(|found| *found.id() == id);
        let result = self.fetch_image(&repository, &reference, resolved, &platform, &progress).await;
        let (id, top) = match result {
            Ok(done) => done,
            Err(error) => {
                if matches!(error, Error::DiskFull { .. }) {
                    // What does not fit helps nobody.
                    self.collect().await?;
                    self.collect_partials();
                }
                return Err(error);
            }
        };
        self.sync_in_background();
        progress.report(PullEvent::line(format!("Digest: {top}")));
        let news = if same { "Image is up to date" } else { "Downloaded newer image" };
        progress.report(PullEvent::line(format!("Status: {news} for {}", reference.familiar())));
        self.image(&self.inner.state.view(), &id)
    }

    /// Gets the very image from a machine that has it.
    async fn pull_from_peers(
        &self,
        reference: &Reference,
        id: &ImageId,
        peers: &[super::ImagePeer],
        platform: &Platform,
        progress: &Arc<dyn Progress>,
    ) -> Result<Option<Image>, Error> {
        if peers.is_empty() {
            return Ok(None);
        }
        let repository = self.inner.registries.repository_with_peers(reference, None, peers, true).await?;
        let repository = Arc::new(repository);
        let document = repository.manifest(&super::peers::tag_of(id)).await?;
        let AnyManifest::Image(manifest) = parse(&document, reference)? else {
            return Err(Error::invalid(reference.familiar(), "is an index where an image was asked for"));
        };
        if manifest.config.digest != *id {
            return Err(Error::Corrupt {
                what: format!("image {}", reference.familiar()),
                expected: id.clone(),
                actual: manifest.config.digest.clone(),
            });
        }
        progress.report(PullEvent::line(format!("Pulling {} from the cluster", reference.familiar())));
        let top = Document {
            bytes: document.bytes.clone(),
            media_type: document.media_type.clone(),
            digest: document.digest.clone(),
        };
        let resolved = Resolved { top, manifest: *manifest, document };
        let (id, _) = self.fetch_image(&repository, reference, resolved, platform, progress).await?;
        self.sync_in_background();
        self.image(&self.inner.state.view(), &id).map(Some)
    }

    /// The image of that name, if it is here and for the wanted platform.
    async fn have(&self, reference: &Reference, platform: Option<&Platform>) -> Result<Option<Image>, Error> {
        let state = self.inner.state.view();
        if find_name(&state, reference).is_none() {
            return Ok(None);
        }
        match self.get_for(&reference.to_string(), platform).await {
            Err(Error::NoPlatform { .. }) => Ok(None),
            found => found.map(Some),
        }
    }

    /// What a name stands for at its registry, and for which platforms there are images.
    pub async fn remote(
        &self,
        reference: &Reference,
        auth: Option<super::Auth>,
    ) -> Result<(Descriptor, Vec<Platform>), Error> {
        let reference = reference.clone().with_default_tag();
        let repository = self.inner.registries.repository(&reference, auth, false).await?;
        let top = repository.manifest(&wanted_tag(&reference)).await?;
        let parsed = parse(&top, &reference)?;
        let (kind, platforms) = match parsed {
            AnyManifest::Index(index) => {
                let kind = index.media_type.clone().unwrap_or_else(|| media_type::OCI_INDEX.into());
                (kind, index.manifests.into_iter().filter_map(|m| m.platform).collect())
            }
            AnyManifest::Image(manifest) => {
                let kind = manifest.media_type.clone().unwrap_or_else(|| media_type::OCI_MANIFEST.into());
                let config = self.fetch_config(&repository, &manifest.config, &reference).await?;
                (kind, vec![config.platform()])
            }
        };
        let kind = top.media_type.clone().unwrap_or(kind);
        Ok((Descriptor::new(&kind, top.digest.clone(), top.bytes.len() as u64), platforms))
    }

    async fn resolve(
        &self,
        repository: &Repository,
        reference: &Reference,
        platform: &Platform,
    ) -> Result<Resolved, Error> {
        let top = repository.manifest(&wanted_tag(reference)).await?;
        let index = match parse(&top, reference)? {
            AnyManifest::Image(manifest) => {
                let document = Document {
                    bytes: top.bytes.clone(),
                    media_type: top.media_type.clone(),
                    digest: top.digest.clone(),
                };
                return Ok(Resolved { top, manifest: *manifest, document });
            }
            AnyManifest::Index(index) => index,
        };
        let Some(chosen) = index.choose(platform) else {
            return Err(Error::NoPlatform {
                reference: reference.familiar(),
                platform: platform.to_string(),
                offered: index.platforms(),
            });
        };
        let document = repository.manifest(&chosen.digest.to_string()).await?;
        match AnyManifest::parse(&document.bytes, Some(&chosen.media_type))
            .map_err(|source| Error::Manifest { what: reference.familiar(), source })?
        {
            AnyManifest::Image(manifest) => Ok(Resolved { top, manifest: *manifest, document }),
            AnyManifest::Index(_) => {
                Err(Error::invalid(reference.familiar(), "is an index of indexes, which is not supported"))
            }
        }
    }

    /// Gets configuration and layers, and records the image. Returns its id and the digest that the name stands for.
    async fn fetch_image(
        &self,
        repository: &Arc<Repository>,
        reference: &Reference,
        resolved: Resolved,
        platform: &Platform,
        progress: &Arc<dyn Progress>,
    ) -> Result<(ImageId, Digest), Error> {
        let Resolved { top, manifest, document } = resolved;
        let documents: Vec<Pin> = {
            let _no_collection = self.inner.collecting.read().await;
            [&manifest.config.digest, &document.digest, &top.digest].map(|d| self.inner.pins.pin(d)).into()
        };
        let config = self.fetch_config(repository, &manifest.config, reference).await?;
        let offered = config.platform();
        if !offered.os.is_empty() && platform.suits(&offered).is_none() {
            return Err(Error::NoPlatform {
                reference: reference.familiar(),
                platform: platform.to_string(),
                offered: vec![offered.to_string()],
            });
        }
        let wanted = wanted_layers(&manifest, &config, &reference.familiar())?;
        let held = self.ensure_layers(&wanted, Some(repository), progress).await?;
        // A record that is there and on the disk must not come to refer to what is not.
        let durable = self.inner.state.view().images.contains_key(&manifest.config.digest);
        self.inner.blobs.put_as(&document.digest, &document.bytes, durable)?;
        self.inner.blobs.put_as(&top.digest, &top.bytes, durable)?;
        let kind =
            manifest.media_type.clone().or(document.media_type).unwrap_or_else(|| media_type::OCI_MANIFEST.into());
        let id = manifest.config.digest.clone();
        let record = ImageRecord {
            manifest: Descriptor::new(&kind, document.digest, document.bytes.len() as u64),
            chain: held.chain,
            names: Default::default(),
            digests: Default::default(),
            parent: None,
            last_tagged: None,
            unsynced: Some(self.inner.epoch.clone()),
        };
        let name = reference.tag().filter(|_| reference.digest().is_none()).map(|_| reference.to_string());
        let exact = reference.with_digest(top.digest.clone()).to_string();
        let chosen = top.digest != record.manifest.digest;
        let origin = chosen.then(|| {
            let kind = top.media_type.as_deref().unwrap_or(media_type::OCI_INDEX);
            Origin { name: exact.clone(), index: Descriptor::new(kind, top.digest.clone(), top.bytes.len() as u64) }
        });
        self.record(id.clone(), record, name.into_iter().chain([exact]), origin.as_ref()).await?;
        drop((held.pins, documents));
        Ok((id, top.digest))
    }

    /// Writes an image into the records, and gives it names that may have been another image's.
    pub(super) async fn record(
        &self,
        id: ImageId,
        record: ImageRecord,
        names: impl IntoIterator<Item = String>,
        origin: Option<&Origin>,
    ) -> Result<(), Error> {
        self.inner
            .state
            .update(|state| {
                state.images.entry(id.clone()).or_insert(record);
                for name in names {
                    state.give(&id, &name, origin, |other| self.rank(other));
                }
                Ok(())
            })
            .await
    }

    /// Gets the configuration blob, and checks that it is one.
    async fn fetch_config(
        &self,
        repository: &Repository,
        descriptor: &Descriptor,
        reference: &Reference,
    ) -> Result<ImageConfig, Error> {
        if descriptor.size > MAX_DOCUMENT {
            return Err(Error::invalid(
                reference.familiar(),
                format!("has a configuration of {} bytes, more than {MAX_DOCUMENT}", descriptor.size),
            ));
        }
        if !media_type::is_config(&descriptor.media_type) {
            return Err(Error::invalid(
                reference.familiar(),
                format!("is no container image but an artifact of type {:?}", descriptor.media_type),
            ));
        }
        let pin = self.inner.transfers.pin(&descriptor.digest);
        let _only_here = pin.work().await;
        if self.inner.blobs.size(&descriptor.digest).is_none() {
            download(repository, &self.inner.blobs, descriptor, &Tail::new(), &|_: Step| ()).await?;
        }
        let bytes = self.inner.blobs.read(&descriptor.digest)?;
        serde_json::from_slice(&bytes)
            .map_err(|source| Error::Malformed { what: format!("configuration of {}", reference.familiar()), source })
    }
}

/// Pairs a manifest's blobs with its configuration's uncompressed digests.
pub(super) fn wanted_layers(manifest: &Manifest, config: &ImageConfig, what: &str) -> Result<Vec<Wanted>, Error> {
    let diff_ids = &config.rootfs.diff_ids;
    if manifest.layers.len() != diff_ids.len() {
        let message =
            format!("its manifest has {} layers, its configuration {}", manifest.layers.len(), diff_ids.len());
        return Err(Error::invalid(what, message));
    }
    if let Some(other) = manifest.layers.iter().find(|l| !media_type::is_layer(&l.media_type)) {
        return Err(Error::invalid(what, format!("has a layer of unsupported type {:?}", other.media_type)));
    }
    Ok(manifest
        .layers
        .iter()
        .zip(diff_ids)
        .map(|(blob, diff_id)| Wanted { blob: blob.clone(), diff_id: diff_id.clone() })
        .collect())
}

fn parse(document: &Document, reference: &Reference) -> Result<AnyManifest, Error> {
    AnyManifest::parse(&document.bytes, document.media_type.as_deref())
        .map_err(|source| Error::Manifest { what: reference.familiar(), source })
}

/// A digest is exact; the tag beside it is only for people.
pub(super) fn wanted_tag(reference: &Reference) -> String {
    match reference.digest() {
        Some(digest) => digest.to_string(),
        None => reference.tag().unwrap_or(crate::reference::DEFAULT_TAG).to_owned(),
    }
}

/// Docker shows the path alone.
fn pulling_from(reference: &Reference) -> &str {
    reference.path()
}
