//! Build caches outside of this machine: a manifest whose layers are the steps' layers and whose configuration says what
//! made them, at a registry or in a directory that is laid out as OCI's image-layout.md says.

use std::io::BufReader;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::built::{BuildLayer, write_layer};
use super::collect::blobs_of;
use super::export::OUT;
use super::{Auth, Images, LayerCompression, blocking};
use crate::digest::Digest;
use crate::error::Error;
use crate::manifest::{AnyManifest, Descriptor, Index, Manifest, media_type};
use crate::pipeline::unpack_layer;
use crate::platform::Platform;
use crate::reference::Reference;
use crate::registry::{Repository, Step, Tail, Uploaded, download};
use crate::store::{MAX_DOCUMENT, Pin};

/// Where a cache is.
#[derive(Debug, Clone)]
pub enum CachePlace {
    /// A name at a registry; with a tag or a digest.
    Registry {
        /// The name.
        reference: Reference,
        /// Credentials; those of [`super::Options::auth_file`] when `None`.
        auth: Option<Auth>,
    },
    /// An OCI image layout.
    Directory(PathBuf),
}

/// What a cache's manifest leads to. An image's manifest is read in the same way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheManifest {
    /// The media type of `config`.
    pub config_type: String,
    /// The configuration blob.
    pub config: Vec<u8>,
    /// The layers, oldest first.
    pub layers: Vec<Descriptor>,
}

impl Images {
    /// Reads a cache's or image's manifest and configuration; `None` if there is none of that name.
    pub async fn read_cache(&self, place: &CachePlace, platform: &Platform) -> Result<Option<CacheManifest>, Error> {
        match place {
            CachePlace::Registry { reference, auth } => self.read_remote_cache(reference, auth.clone(), platform).await,
            CachePlace::Directory(path) => {
                let (path, platform) = (path.clone(), platform.clone());
                blocking(move || read_layout(&path, &platform)).await
            }
        }
    }

    async fn read_remote_cache(
        &self,
        reference: &Reference,
        auth: Option<Auth>,
        platform: &Platform,
    ) -> Result<Option<CacheManifest>, Error> {
        let reference = reference.clone().with_default_tag();
        let repository = self.inner.registries.repository(&reference, auth, false).await?;
        let mut wanted = super::pull::wanted_tag(&reference);
        for _ in 0..2 {
            let document = match repository.manifest(&wanted).await {
                Ok(document) => document,
                Err(Error::NotAtRegistry { .. }) => return Ok(None),
                Err(error) => return Err(error),
            };
            let parsed = AnyManifest::parse(&document.bytes, document.media_type.as_deref())
                .map_err(|source| Error::Manifest { what: reference.familiar(), source })?;
            match parsed {
                AnyManifest::Image(manifest) => {
                    let config = repository.document(&manifest.config).await?;
                    let config_type = manifest.config.media_type;
                    return Ok(Some(CacheManifest { config_type, config, layers: manifest.layers }));
                }
                AnyManifest::Index(index) => match index.choose(platform) {
                    Some(chosen) => wanted = chosen.digest.to_string(),
                    None => return Ok(None),
                },
            }
        }
        Err(Error::invalid(reference.familiar(), "is an index of indexes, which is not supported"))
    }

    /// Gets a layer of a cache as a directory for builds. `below` are the directories of the layers under it, top first.
    ///
    /// # Errors
    /// Those of the place; a layer that does not hold what `diff_id` says.
    pub async fn fetch_cache_layer(
        &self,
        place: &CachePlace,
        layer: &Descriptor,
        diff_id: &Digest,
        below: Vec<PathBuf>,
        report: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<BuildLayer, Error> {
        let new = self.new_build_layer(below.first().cloned()).await?;
        let pin = self.inner.pins.pin(&layer.digest);
        let path = match place {
            CachePlace::Registry { reference, auth } => {
                let repository = self.inner.registries.repository(reference, auth.clone(), false).await?;
                self.fetch_blob(&repository, layer, report).await?;
                self.inner.blobs.path(&layer.digest)
            }
            CachePlace::Directory(path) => in_layout(path, &layer.digest),
        };
        let (dirs, what, expected) = (self.inner.dirs.clone(), layer.digest.clone(), diff_id.clone());
        let new = blocking(move || {
            let file = fs::File::open(&path).map_err(|e| Error::io("open blob", &path, e))?;
            let reader = BufReader::with_capacity(OUT, file);
            let (actual, unpacked) =
                unpack_layer(reader, &new.path()).map_err(|e| Error::unpack(what.short(), &new.path(), e))?;
            if actual != expected {
                return Err(Error::Corrupt { what: format!("unpacked layer {}", what.short()), expected, actual });
            }
            dirs.mend_implicit(&new.path(), &unpacked.implicit_dirs, &below)?;
            Ok(new)
        })
        .await?;
        self.drop_loose(&layer.digest, pin).await;
        Ok(new)
    }

    async fn fetch_blob(
        &self,
        repository: &Repository,
        blob: &Descriptor,
        report: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), Error> {
        let transfer = self.inner.transfers.pin(&blob.digest);
        let _only_here = transfer.work().await;
        if self.inner.blobs.size(&blob.digest).is_some() {
            return Ok(());
        }
        let _permit = self
            .inner
            .downloads
            .acquire()
            .await
            .map_err(|e| Error::invalid("the queue of downloads", e.to_string()))?;
        let heard = |step: Step| {
            if let Step::Bytes(n) = step {
                report(n);
            }
        };
        download(repository, &self.inner.blobs, blob, &Tail::new(), &heard).await
    }

    /// Puts a built layer's archive into a cache; `known` is what it was the last time, which may still be there.
    ///
    /// # Errors
    /// Those of the layer's directory and of the place.
    pub async fn put_cache_layer(
        &self,
        place: &CachePlace,
        name: &str,
        known: Option<&Descriptor>,
        compression: LayerCompression,
        sent: &(dyn Fn(u64, u64) + Send + Sync),
    ) -> Result<Descriptor, Error> {
        let repository = self.cache_repository(place).await?;
        if let Some(known) = known {
            let there = match (place, &repository) {
                (CachePlace::Directory(path), _) => {
                    fs::metadata(in_layout(path, &known.digest)).is_ok_and(|m| m.len() == known.size)
                }
                (_, Some(repository)) => repository.has_blob(&known.digest).await?,
                _ => false,
            };
            if there {
                return Ok(known.clone());
            }
        }
        let (path, writer, pins) = (self.inner.dirs.layer(name), self.inner.blobs.writer()?, self.inner.pins.clone());
        let (digest, size, pin) = blocking(move || {
            compression.write(None, writer, |mut out| write_layer(&path, &mut out))?.finish_pinned(&pins)
        })
        .await?;
        let descriptor = Descriptor::new(compression.media_type(), digest.clone(), size);
        let put = self.put_cache_blob(place, repository.as_ref(), &descriptor, &|n| sent(n, size)).await;
        self.drop_loose(&digest, pin).await;
        put.map(|()| descriptor)
    }

    /// Puts the manifest of a cache whose layers are there; returns its digest.
    ///
    /// # Errors
    /// Those of the place.
    pub async fn put_cache(&self, place: &CachePlace, cache: &CacheManifest) -> Result<Digest, Error> {
        let repository = self.cache_repository(place).await?;
        let digest = Digest::of(&cache.config);
        let config = Descriptor::new(&cache.config_type, digest.clone(), cache.config.len() as u64);
        let pin = self.inner.pins.pin(&digest);
        self.inner.blobs.put_as(&digest, &cache.config, false)?;
        let put = self.put_cache_blob(place, repository.as_ref(), &config, &|_| ()).await;
        self.drop_loose(&digest, pin).await;
        put?;
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(media_type::OCI_MANIFEST.into()),
            config,
            layers: cache.layers.clone(),
            annotations: Default::default(),
        };
        let bytes = serde_json::to_vec(&manifest)
            .map_err(|source| Error::Malformed { what: "the manifest of a cache".into(), source })?;
        let digest = Digest::of(&bytes);
        match (place, repository) {
            (CachePlace::Directory(path), _) => {
                let (path, digest) = (path.clone(), digest.clone());
                blocking(move || finish_layout(&path, &digest, &bytes)).await?;
            }
            (CachePlace::Registry { reference, .. }, Some(repository)) => {
                let reference = reference.clone().with_default_tag();
                let tag = reference.tag().unwrap_or(crate::reference::DEFAULT_TAG);
                repository.upload_manifest(tag, media_type::OCI_MANIFEST, &bytes).await?;
            }
            _ => {}
        }
        Ok(digest)
    }

    async fn cache_repository(&self, place: &CachePlace) -> Result<Option<Repository>, Error> {
        match place {
            CachePlace::Registry { reference, auth } => {
                self.inner.registries.repository(reference, auth.clone(), true).await.map(Some)
            }
            CachePlace::Directory(_) => Ok(None),
        }
    }

    async fn put_cache_blob(
        &self,
        place: &CachePlace,
        repository: Option<&Repository>,
        blob: &Descriptor,
        sent: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), Error> {
        let from = self.inner.blobs.path(&blob.digest);
        match (place, repository) {
            (CachePlace::Directory(path), _) => {
                let to = in_layout(path, &blob.digest);
                blocking(move || {
                    let dir = to.parent().unwrap_or(&to);
                    fs::create_dir_all(dir).map_err(|e| Error::io("create", dir, e))?;
                    fs::copy(&from, &to).map(drop).map_err(|e| Error::io("write", &to, e))
                })
                .await
            }
            (_, Some(repository)) => {
                let done = repository.upload_blob(&blob.digest, blob.size, &from, None, sent).await?;
                if done != Uploaded::Sent {
                    sent(blob.size);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Removes a blob that was here for a transfer only.
    async fn drop_loose(&self, digest: &Digest, pin: Pin) {
        drop(pin);
        let _nobody_records = self.inner.collecting.write().await;
        if !blobs_of(&self.inner.state.view()).contains(digest) && !self.inner.pins.is_pinned(digest) {
            self.inner.blobs.remove(digest);
        }
    }
}

fn in_layout(layout: &Path, digest: &Digest) -> PathBuf {
    layout.join("blobs").join(digest.algorithm().name()).join(digest.hex())
}

fn read_layout(layout: &Path, platform: &Platform) -> Result<Option<CacheManifest>, Error> {
    let small = |path: PathBuf| -> Result<Vec<u8>, Error> {
        let size = fs::metadata(&path).map_err(|e| Error::io("read", &path, e))?.len();
        if size > MAX_DOCUMENT {
            return Err(Error::invalid(path.display().to_string(), format!("is larger than {MAX_DOCUMENT} bytes")));
        }
        fs::read(&path).map_err(|e| Error::io("read", &path, e))
    };
    let blob = |digest: &Digest| -> Result<Vec<u8>, Error> {
        let bytes = small(in_layout(layout, digest))?;
        crate::registry::verify(&bytes, Some(digest.clone()), &layout.display().to_string())?;
        Ok(bytes)
    };
    let index = layout.join("index.json");
    if !index.exists() {
        return Ok(None);
    }
    let what = index.display().to_string();
    let mut index: Index =
        serde_json::from_slice(&small(index)?).map_err(|source| Error::Malformed { what: what.clone(), source })?;
    for _ in 0..3 {
        let Some(entry) = index.choose(platform).or(index.manifests.first()).cloned() else { return Ok(None) };
        let bytes = blob(&entry.digest)?;
        let parsed = AnyManifest::parse(&bytes, Some(&entry.media_type));
        match parsed.map_err(|source| Error::Manifest { what: what.clone(), source })? {
            AnyManifest::Image(manifest) => {
                let config = blob(&manifest.config.digest)?;
                let config_type = manifest.config.media_type;
                return Ok(Some(CacheManifest { config_type, config, layers: manifest.layers }));
            }
            AnyManifest::Index(inner) => index = inner,
        }
    }
    Err(Error::invalid(what, "is an index of indexes of indexes, which is not supported"))
}

/// Writes what makes blobs a layout; the index comes last.
fn finish_layout(layout: &Path, digest: &Digest, manifest: &[u8]) -> Result<(), Error> {
    let write = |path: PathBuf, bytes: &[u8]| fs::write(&path, bytes).map_err(|e| Error::io("write", &path, e));
    write(in_layout(layout, digest), manifest)?;
    write(layout.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    let mut entry = Descriptor::new(media_type::OCI_MANIFEST, digest.clone(), manifest.len() as u64);
    entry.annotations.insert("org.opencontainers.image.ref.name".into(), crate::reference::DEFAULT_TAG.into());
    let index = Index {
        schema_version: 2,
        media_type: Some(media_type::OCI_INDEX.into()),
        manifests: vec![entry],
        annotations: Default::default(),
    };
    let bytes = serde_json::to_vec(&index)
        .map_err(|source| Error::Malformed { what: layout.join("index.json").display().to_string(), source })?;
    write(layout.join("index.json"), &bytes)
}
