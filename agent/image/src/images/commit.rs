//! New images: of a container, of a file tree's archive, and those that are compiled in.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::os::fd::AsFd;
use std::path::Path;

use fs_err as fs;
use jiff::Timestamp;
use tokio::io::AsyncRead;
use tokio_util::io::SyncIoBridge;

use super::export::{OUT, archive_error};
use super::layers::Wanted;
use super::{BuiltinImage, CommitOptions, Image, Images, ImportOptions, blocking, instructions};
use crate::archive::{ArchiveOptions, archive};
use crate::config::{ContainerConfig, History, ImageConfig, RootFs};
use crate::digest::{Digest, ImageId};
use crate::error::Error;
use crate::manifest::{Descriptor, Manifest, media_type};
use crate::pipeline::decompress;
use crate::platform::Platform;
use crate::progress::silent;
use crate::reference::Reference;
use crate::store::{BlobWriter, ImageRecord, Pin};

impl Images {
    /// Makes an image with one layer of a tar archive of a file tree.
    pub async fn import(
        &self,
        reader: impl AsyncRead + Send + Unpin + 'static,
        options: ImportOptions,
    ) -> Result<Image, Error> {
        let mut config = ContainerConfig::default();
        for line in &options.changes {
            instructions::apply(&mut config, line)?;
        }
        let bridge = SyncIoBridge::new(reader);
        let layer = self
            .new_layer(move |mut out| {
                let fail = |source| Error::Archive { what: "the archive to import".into(), source };
                let mut plain = decompress(std::io::BufReader::with_capacity(OUT, bridge)).map_err(fail)?;
                std::io::copy(&mut plain, &mut out).map_err(fail)?;
                Ok(out)
            })
            .await?;
        let platform = options.platform.unwrap_or_else(Platform::host);
        let now = Timestamp::now().to_string();
        let image = ImageConfig {
            created: Some(now.clone()),
            architecture: platform.architecture,
            variant: platform.variant,
            os: platform.os,
            config,
            rootfs: RootFs { diff_ids: vec![layer.blob.digest.clone()], ..RootFs::default() },
            history: vec![History {
                created: Some(now),
                comment: options.message.unwrap_or_else(|| "Imported from -".into()),
                ..History::default()
            }],
            ..ImageConfig::default()
        };
        self.add(&image, vec![layer], options.reference.as_ref(), None).await
    }

    /// Makes an image of a container's snapshot.
    pub async fn commit(&self, container_id: &str, options: CommitOptions) -> Result<Image, Error> {
        let snapshot = self.find_snapshot(container_id)?;
        let state = self.inner.state.view();
        let top = self.top_layer(container_id)?;
        // The image that the container stands on: the one with exactly its layers.
        let base = top.as_ref().and_then(|top| state.images.iter().find(|(_, i)| i.chain.last() == Some(top)));
        let base_config = base.map(|(id, _)| self.config(id)).transpose()?;
        let mut layers: Vec<Layer> = Vec::new();
        if let Some(top) = &top {
            let lineage = state.lineage(top).unwrap_or_default();
            layers.extend(lineage.iter().rev().map(|(_, l)| Layer {
                blob: l.blob.clone(),
                diff_id: l.diff_id.clone(),
                _pin: self.inner.pins.pin(&l.blob.digest),
            }));
        }
        let what = format!("container {container_id}");
        let new = self
            .new_layer(move |out| {
                let root = fs::File::open(&snapshot.upper).map_err(|e| Error::io("open", &snapshot.upper, e))?;
                let options = ArchiveOptions { whiteouts: true, ..ArchiveOptions::default() };
                archive(root.file().as_fd(), Path::new(""), &options, out).map_err(|e| archive_error(&what, e))
            })
            .await?;
        let now = Timestamp::now().to_string();
        let host = Platform::host();
        let mut image = match &base_config {
            Some(config) => ImageConfig::clone(config),
            None => ImageConfig {
                architecture: host.architecture,
                variant: host.variant,
                os: host.os,
                ..ImageConfig::default()
            },
        };
        if let Some(config) = options.config {
            image.config = config;
        }
        // What ran in the container, not what the changes make of it.
        let ran = image.config.cmd.as_ref().map(|cmd| cmd.join(" ")).unwrap_or_default();
        for line in &options.changes {
            instructions::apply(&mut image.config, line)?;
        }
        layers.push(new);
        image.created = Some(now.clone());
        image.author = options.author.clone().unwrap_or_default();
        image.rootfs.diff_ids = layers.iter().map(|l| l.diff_id.clone()).collect();
        image.history.push(History {
            created: Some(now),
            created_by: ran,
            author: options.author.unwrap_or_default(),
            comment: options.comment.unwrap_or_default(),
            empty_layer: false,
        });
        self.add(&image, layers, options.reference.as_ref(), base.map(|(id, _)| id.clone())).await
    }

    /// Makes sure that an image that is compiled into the program is here.
    pub async fn ensure_builtin(&self, image: &BuiltinImage) -> Result<Image, Error> {
        let host = Platform::host();
        let diff_id = Digest::of(&image.layer);
        // Without times, the same program always makes the same image.
        let config = ImageConfig {
            architecture: host.architecture,
            variant: host.variant,
            os: host.os,
            config: image.config.clone(),
            rootfs: RootFs { diff_ids: vec![diff_id.clone()], ..RootFs::default() },
            history: vec![History { created_by: "built into hoist".into(), ..History::default() }],
            ..ImageConfig::default()
        };
        let id = Digest::of(&document(&config)?);
        let name = image.reference.clone().with_default_tag();
        let state = self.inner.state.view();
        if state.images.get(&id).is_some_and(|i| i.names.contains(&name.to_string())) {
            return self.image(&state, &id);
        }
        let bytes = image.layer.clone();
        let layer = self
            .new_layer(move |mut out| {
                out.write_all(&bytes).map(|()| out).map_err(|e| Error::io("write blob of", "the built-in image", e))
            })
            .await?;
        self.add(&config, vec![layer], Some(&name), None).await
    }

    /// Writes a new, uncompressed layer blob.
    async fn new_layer(
        &self,
        fill: impl FnOnce(BufWriter<BlobWriter>) -> Result<BufWriter<BlobWriter>, Error> + Send + 'static,
    ) -> Result<Layer, Error> {
        let writer = self.inner.blobs.writer()?;
        let pins = self.inner.pins.clone();
        let (digest, size, pin) = blocking(move || {
            let done = fill(BufWriter::with_capacity(OUT, writer))?;
            done.into_inner()
                .map_err(|e| Error::io("write blob of", "a new layer", e.into_error()))?
                .finish_pinned(&pins)
        })
        .await?;
        Ok(Layer { blob: Descriptor::new(media_type::DOCKER_LAYER, digest.clone(), size), diff_id: digest, _pin: pin })
    }

    /// Unpacks layers whose blobs are here and records an image of them, with a manifest of ours.
    async fn add(
        &self,
        config: &ImageConfig,
        layers: Vec<Layer>,
        name: Option<&Reference>,
        parent: Option<ImageId>,
    ) -> Result<Image, Error> {
        let config_bytes = document(config)?;
        let id = Digest::of(&config_bytes);
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(media_type::DOCKER_MANIFEST.into()),
            config: Descriptor::new(media_type::DOCKER_CONFIG, id.clone(), config_bytes.len() as u64),
            layers: layers.iter().map(|l| l.blob.clone()).collect(),
            annotations: BTreeMap::new(),
        };
        let wanted: Vec<Wanted> =
            layers.iter().map(|l| Wanted { blob: l.blob.clone(), diff_id: l.diff_id.clone() }).collect();
        self.add_image(&manifest, &config_bytes, &wanted, name, parent).await
    }

    /// Records an image whose blobs are here.
    pub(super) async fn add_image(
        &self,
        manifest: &Manifest,
        config: &[u8],
        wanted: &[Wanted],
        name: Option<&Reference>,
        parent: Option<ImageId>,
    ) -> Result<Image, Error> {
        let id = manifest.config.digest.clone();
        let bytes = document(manifest)?;
        let digest = Digest::of(&bytes);
        let pins: [Pin; 2] = [self.inner.pins.pin(&id), self.inner.pins.pin(&digest)];
        let held = self.ensure_layers(wanted, None, &silent()).await?;
        self.inner.blobs.put_as(&id, config, false)?;
        self.inner.blobs.put_as(&digest, &bytes, false)?;
        let kind = manifest.media_type.as_deref().unwrap_or(media_type::OCI_MANIFEST);
        let record = ImageRecord {
            manifest: Descriptor::new(kind, digest, bytes.len() as u64),
            chain: held.chain,
            names: Default::default(),
            digests: Default::default(),
            parent,
            last_tagged: None,
            unsynced: Some(self.inner.epoch.clone()),
        };
        let name = name.map(|n| n.clone().with_default_tag().to_string());
        self.record(id.clone(), record, name, None).await?;
        drop((held.pins, pins));
        self.sync_in_background();
        self.image(&self.inner.state.view(), &id)
    }
}

/// A layer of an image in the making.
struct Layer {
    blob: Descriptor,
    diff_id: Digest,
    _pin: Pin,
}

fn document(value: &impl serde::Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|source| Error::Malformed { what: "a new image".into(), source })
}
