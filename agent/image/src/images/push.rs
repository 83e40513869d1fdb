//! Pushing: blobs that the registry lacks, then the manifest.

use std::io::{BufWriter, Write};
use std::sync::Arc;

use futures_util::StreamExt as _;

use super::export::OUT;
use super::gather::{Gathered, Gathering};
use super::lookup::{familiar, find_name};
use super::save::Portable;
use super::{Images, PushOptions, Pushed, blocking};
use crate::digest::Digest;
use crate::error::Error;
use crate::manifest::{Descriptor, Manifest, media_type};
use crate::progress::{Phase, Progress, PullEvent};
use crate::reference::Reference;
use crate::registry::{Repository, Uploaded};
use crate::store::Pin;

impl Images {
    /// Pushes the image of that name to its registry.
    pub async fn push(
        &self,
        reference: &Reference,
        options: PushOptions,
        progress: Arc<dyn Progress>,
    ) -> Result<Pushed, Error> {
        let reference = reference.clone().with_default_tag();
        let Some(tag) = reference.tag().filter(|_| reference.digest().is_none()) else {
            return Err(Error::invalid(reference.familiar(), "cannot be pushed: a push needs a tag, not a digest"));
        };
        let state = self.inner.state.view();
        let found = find_name(&state, &reference).ok_or_else(|| Error::NotFound(reference.familiar()))?;
        let wanted = self.of_platforms(&state, &reference.familiar(), &found, options.platform.as_slice())?;
        let id = wanted.first().unwrap_or(found.id()).clone();
        let repository = self.inner.registries.repository(&reference, options.auth, true).await?;
        progress.report(PullEvent::line(format!("The push refers to repository [{}]", reference.name())));
        // Another repository of the same registry that has this image can lend its blobs.
        let lender = state.images[&id]
            .digests
            .iter()
            .filter_map(|n| Reference::parse(n).ok())
            .find(|r| r.domain() == reference.domain() && r.path() != reference.path());
        let from = lender.as_ref().map(Reference::path);
        // Of an index of which only this machine's image is here, that is what is pushed.
        if options.platform.is_none()
            && let Some(index) = state.index(&reference.to_string())
            && (wanted.len() > 1 || self.is_whole(index)?)
        {
            let tag = Some(tag).filter(|_| !options.by_digest);
            let gathered = self.gather(index, &wanted, Gathering::Whole).await?;
            return self.push_index(&repository, gathered, tag, from, &progress).await;
        }
        let _whole = self.ensure_blobs(&id).await?;
        let original = self.portable(&state, &id)?;
        let mut pins: Vec<Pin> = original
            .manifest
            .layers
            .iter()
            .chain([&original.manifest.config])
            .map(|b| self.inner.pins.pin(&b.digest))
            .collect();
        let mut layers = Vec::new();
        for layer in &original.manifest.layers {
            let (layer, pin) = self.sent_form(layer, options.layers).await?;
            pins.extend(pin);
            layers.push(layer);
        }
        let portable =
            if layers == original.manifest.layers { original } else { self.with_layers(&original.manifest, layers)? };
        self.push_blobs(&repository, &portable.manifest, from, &progress).await?;
        let digest = portable.descriptor.digest.clone();
        let place = if options.by_digest { digest.to_string() } else { tag.to_owned() };
        repository.upload_manifest(&place, &portable.descriptor.media_type, &portable.bytes).await?;
        self.inner.blobs.put_as(&digest, &portable.bytes, true)?;
        let name = reference.with_digest(digest.clone()).to_string();
        let descriptor = portable.descriptor.clone();
        self.inner
            .state
            .update(|state| {
                let further = state.further().contains(&id);
                if let Some(record) = state.images.get_mut(&id).filter(|_| !further) {
                    record.digests.insert(name);
                    record.manifest = descriptor;
                }
                Ok(())
            })
            .await?;
        drop(pins);
        let size = portable.bytes.len() as u64;
        progress.report(PullEvent::line(format!("{place}: digest: {digest} size: {size}")));
        tracing::debug!(name = %familiar(&reference.to_string()), "pushed");
        Ok(Pushed { digest, size })
    }

    /// Sends all images of an index and what is said about them, then the index.
    async fn push_index(
        &self,
        repository: &Repository,
        gathered: Gathered,
        tag: Option<&str>,
        from: Option<&str>,
        progress: &Arc<dyn Progress>,
    ) -> Result<Pushed, Error> {
        for (_, Portable { manifest, bytes, descriptor }) in &gathered.images {
            self.push_blobs(repository, manifest, from, progress).await?;
            repository.upload_manifest(&descriptor.digest.to_string(), &descriptor.media_type, bytes).await?;
        }
        for blob in &gathered.extra {
            if media_type::is_manifest(&blob.media_type) {
                repository
                    .upload_manifest(&blob.digest.to_string(), &blob.media_type, &self.inner.blobs.read(&blob.digest)?)
                    .await?;
            } else {
                let path = self.inner.blobs.path(&blob.digest);
                repository.upload_blob(&blob.digest, blob.size, &path, from, &|_| ()).await?;
            }
        }
        let Descriptor { media_type, digest, size, .. } = gathered.descriptor.clone();
        let place = tag.map_or_else(|| digest.to_string(), str::to_owned);
        repository.upload_manifest(&place, &media_type, &gathered.bytes).await?;
        progress.report(PullEvent::line(format!("{place}: digest: {digest} size: {size}")));
        Ok(Pushed { digest, size })
    }

    /// Sends what the registry lacks of an image's layers, and its configuration.
    async fn push_blobs(
        &self,
        repository: &Repository,
        manifest: &Manifest,
        from: Option<&str>,
        progress: &Arc<dyn Progress>,
    ) -> Result<(), Error> {
        let uploads = manifest.layers.iter().map(|layer| {
            let (progress, blobs, turns) = (Arc::clone(progress), &self.inner.blobs, &self.inner.uploads);
            async move {
                let short = layer.digest.short().to_owned();
                let tell = |phase, current| {
                    progress.report(PullEvent::Layer { id: short.clone(), phase, current, total: layer.size })
                };
                tell(Phase::Preparing, 0);
                let _turn = turns.acquire().await.expect("the semaphore is never closed");
                let sent = |n| tell(Phase::Pushing, n);
                let done =
                    repository.upload_blob(&layer.digest, layer.size, &blobs.path(&layer.digest), from, &sent).await?;
                let end = match done {
                    Uploaded::Existed => Phase::LayerAlreadyExists,
                    Uploaded::Mounted => Phase::Mounted,
                    Uploaded::Sent => Phase::Pushed,
                };
                tell(end, layer.size);
                Ok::<_, Error>(())
            }
        });
        let mut uploads: futures_util::stream::FuturesUnordered<_> = uploads.collect();
        while let Some(result) = uploads.next().await {
            result?;
        }
        drop(uploads);
        let config = &manifest.config;
        repository
            .upload_blob(&config.digest, config.size, &self.inner.blobs.path(&config.digest), from, &|_| ())
            .await
            .map(drop)
    }

    /// The layer's blob, compressed if it is not: then the new blob takes the old one's place in the records.
    pub(super) async fn compressed(&self, layer: &Descriptor) -> Result<(Descriptor, Option<Pin>), Error> {
        if !matches!(layer.media_type.as_str(), media_type::DOCKER_LAYER | media_type::OCI_LAYER) {
            return Ok((layer.clone(), None));
        }
        let gzip = if layer.media_type == media_type::OCI_LAYER {
            media_type::OCI_LAYER_GZIP
        } else {
            media_type::DOCKER_LAYER_GZIP
        };
        let mut source = self.inner.blobs.open_blob(&layer.digest)?;
        let writer = self.inner.blobs.writer()?;
        let pins = self.inner.pins.clone();
        let (digest, size, pin): (Digest, u64, Pin) = blocking(move || {
            let fail = |e| Error::io("compress", "a layer", e);
            let mut encoder =
                flate2::write::GzEncoder::new(BufWriter::with_capacity(OUT, writer), flate2::Compression::default());
            std::io::copy(&mut source, &mut encoder).map_err(fail)?;
            let mut out = encoder.finish().map_err(fail)?;
            out.flush().map_err(fail)?;
            out.into_inner().map_err(|e| fail(e.into_error()))?.finish_pinned(&pins)
        })
        .await?;
        let new = Descriptor::new(gzip, digest, size);
        self.inner
            .state
            .update(|state| {
                for record in state.layers.values_mut().filter(|l| l.blob.digest == layer.digest) {
                    record.blob = new.clone();
                }
                Ok(())
            })
            .await?;
        Ok((new, Some(pin)))
    }
}
