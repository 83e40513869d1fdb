//! Loading: archives of images, Docker's (old and new) and OCI's, plain or compressed.
//!
//! The archive is read once, as a stream: every file in it goes into the content store under its digest, and the
//! archive's names are only keys to find it again. So no name in it can lead anywhere.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufReader, Read, Write};
use std::sync::Arc;

use serde::Deserialize;
use tokio::io::AsyncRead;
use tokio_util::io::SyncIoBridge;

use super::export::OUT;
use super::layers::Wanted;
use super::pull::wanted_layers;
use super::{Images, LoadedImage, blocking};
use crate::config::ImageConfig;
use crate::digest::Digest;
use crate::error::Error;
use crate::manifest::{AnyManifest, Descriptor, Index, Manifest, media_type};
use crate::pipeline::{Compression, decompress};
use crate::platform::Platform;
use crate::progress::{Phase, Progress, PullEvent};
use crate::reference::Reference;
use crate::store::{Blobs, MAX_DOCUMENT, Pin, Pins};
use crate::tarball::{EntryKind, TarError, TarReader};

/// More files than that are no archive of images.
const MAX_FILES: usize = 100_000;
/// Links in old archives point to files, not through chains.
const MAX_HOPS: usize = 8;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

/// A file of the archive, now a blob.
struct Stored {
    digest: Digest,
    size: u64,
    start: Vec<u8>,
    _pin: Pin,
}

#[derive(Default)]
struct Contents {
    files: HashMap<String, Stored>,
    links: HashMap<String, String>,
}

/// An image that was found, before it is recorded.
struct Candidate {
    manifest: Manifest,
    config: Vec<u8>,
    wanted: Vec<Wanted>,
    names: Vec<Reference>,
}

impl Images {
    /// Takes in all images of an archive (Docker's or OCI's, plain, gzip or zstd).
    pub async fn load(
        &self,
        reader: impl AsyncRead + Send + Unpin + 'static,
        progress: Arc<dyn Progress>,
    ) -> Result<Vec<LoadedImage>, Error> {
        let bridge = SyncIoBridge::new(reader);
        let (blobs, pins) = (self.inner.blobs.clone(), self.inner.pins.clone());
        let read = blocking(move || read(BufReader::with_capacity(OUT, bridge), &blobs, &pins, &*progress)).await;
        let result = match read {
            Ok(contents) => self.take(&contents).await,
            Err(error) => Err(error),
        };
        if result.is_err() {
            // What came without making an image is of no use.
            self.collect().await?;
        }
        result
    }

    async fn take(&self, contents: &Contents) -> Result<Vec<LoadedImage>, Error> {
        let candidates = match (contents.get("manifest.json"), contents.get("index.json")) {
            (Some(manifest), _) => self.docker_images(contents, manifest)?,
            (None, Some(index)) => self.oci_images(contents, index)?,
            (None, None) => {
                return Err(Error::invalid(
                    "the archive",
                    "holds no images: it has neither manifest.json nor index.json",
                ));
            }
        };
        let mut loaded = Vec::new();
        for candidate in candidates {
            let Candidate { manifest, config, wanted, names } = candidate;
            let mut image = self.add_image(&manifest, &config, &wanted, names.first(), None).await?;
            for name in names.iter().skip(1) {
                self.tag(&image.id.to_string(), name).await?;
            }
            image.repo_tags = names.iter().map(|n| n.clone().with_default_tag().familiar()).collect();
            loaded.push(LoadedImage { id: image.id, names: image.repo_tags });
        }
        Ok(loaded)
    }

    fn docker_images(&self, contents: &Contents, manifest: &Stored) -> Result<Vec<Candidate>, Error> {
        let images: Vec<DockerImage> = self.document(manifest, "manifest.json")?;
        let mut candidates = Vec::new();
        for image in images {
            let stored = contents.find(&image.config)?;
            let config_bytes = self.inner.blobs.read(&stored.digest)?;
            let config = parse_config(&config_bytes, &image.config)?;
            let blobs = image
                .layers
                .unwrap_or_default()
                .iter()
                .map(|path| contents.find(path))
                .collect::<Result<Vec<_>, _>>()?;
            let layers =
                blobs.iter().map(|b| Descriptor::new(layer_type(&b.start), b.digest.clone(), b.size)).collect();
            let manifest = Manifest {
                schema_version: 2,
                media_type: Some(media_type::DOCKER_MANIFEST.into()),
                config: Descriptor::new(media_type::DOCKER_CONFIG, stored.digest.clone(), stored.size),
                layers,
                annotations: BTreeMap::new(),
            };
            let wanted = wanted_layers(&manifest, &config, &image.config)?;
            let manifest = self.original(contents, &manifest).unwrap_or(manifest);
            let names =
                image.repo_tags.unwrap_or_default().iter().map(|n| Reference::parse(n)).collect::<Result<_, _>>()?;
            candidates.push(Candidate { manifest, config: config_bytes, wanted, names });
        }
        Ok(candidates)
    }

    /// Newer archives also hold the manifest that the image came with: then it keeps its digest.
    fn original(&self, contents: &Contents, made: &Manifest) -> Option<Manifest> {
        let index: Index = self.document(contents.get("index.json")?, "index.json").ok()?;
        index.manifests.iter().find_map(|entry| {
            let stored = contents.blob(&entry.digest)?;
            let bytes = self.inner.blobs.read(&stored.digest).ok()?;
            match AnyManifest::parse(&bytes, Some(&entry.media_type)) {
                Ok(AnyManifest::Image(m))
                    if same_blobs(&m, made) && serde_json::to_vec(&m).is_ok_and(|again| again == bytes) =>
                {
                    Some(*m)
                }
                _ => None,
            }
        })
    }

    fn oci_images(&self, contents: &Contents, index: &Stored) -> Result<Vec<Candidate>, Error> {
        let index: Index = self.document(index, "index.json")?;
        let mut candidates: Vec<Candidate> = Vec::new();
        for entry in &index.manifests {
            let name = name_of(entry);
            let Some(manifest) = self.oci_manifest(contents, entry, 0)? else { continue };
            if let Some(known) = candidates.iter_mut().find(|c| c.manifest == manifest) {
                known.names.extend(name);
                continue;
            }
            let what = format!("manifest {}", entry.digest);
            let missing = |digest: &Digest| Error::invalid(&what, format!("the archive lacks its blob {digest}"));
            let config = contents.blob(&manifest.config.digest).ok_or_else(|| missing(&manifest.config.digest))?;
            let config_bytes = self.inner.blobs.read(&config.digest)?;
            let parsed = parse_config(&config_bytes, &what)?;
            for layer in &manifest.layers {
                let stored = contents.blob(&layer.digest).ok_or_else(|| missing(&layer.digest))?;
                if stored.size != layer.size {
                    return Err(Error::Size {
                        what: format!("blob {}", layer.digest),
                        expected: layer.size,
                        actual: stored.size,
                    });
                }
            }
            let wanted = wanted_layers(&manifest, &parsed, &what)?;
            candidates.push(Candidate { manifest, config: config_bytes, wanted, names: name.into_iter().collect() });
        }
        Ok(candidates)
    }

    /// The manifest that an entry of an index leads to; `None` for what is no container image for this machine.
    fn oci_manifest(&self, contents: &Contents, entry: &Descriptor, depth: usize) -> Result<Option<Manifest>, Error> {
        let what = || format!("manifest {}", entry.digest);
        if entry.size > MAX_DOCUMENT || depth > 3 {
            return Err(Error::invalid(what(), "is too large, or an index within indexes"));
        }
        let Some(stored) = contents.blob(&entry.digest) else {
            return Err(Error::invalid(what(), "is not in the archive"));
        };
        let bytes = self.inner.blobs.read(&stored.digest)?;
        match AnyManifest::parse(&bytes, Some(&entry.media_type))
            .map_err(|source| Error::Manifest { what: what(), source })?
        {
            AnyManifest::Image(manifest) => Ok(Some(*manifest).filter(|m| media_type::is_config(&m.config.media_type))),
            AnyManifest::Index(index) => {
                // An archive may hold only some of an index's images.
                let here = Index {
                    manifests: index.manifests.iter().filter(|m| contents.blob(&m.digest).is_some()).cloned().collect(),
                    ..index
                };
                match here.choose(&Platform::host()) {
                    Some(chosen) => self.oci_manifest(contents, chosen, depth + 1),
                    None => Err(Error::NoPlatform {
                        reference: what(),
                        platform: Platform::host().to_string(),
                        offered: here.platforms(),
                    }),
                }
            }
        }
    }

    fn document<T: serde::de::DeserializeOwned>(&self, stored: &Stored, name: &str) -> Result<T, Error> {
        let bytes = self.inner.blobs.read(&stored.digest)?;
        serde_json::from_slice(&bytes)
            .map_err(|source| Error::Malformed { what: format!("{name} in the archive"), source })
    }
}

impl Contents {
    fn get(&self, name: &str) -> Option<&Stored> {
        let mut name = name.to_owned();
        for _ in 0..MAX_HOPS {
            if let Some(stored) = self.files.get(&name) {
                return Some(stored);
            }
            name = self.links.get(&name)?.clone();
        }
        None
    }

    fn find(&self, name: &str) -> Result<&Stored, Error> {
        let clean = normal("", name);
        self.get(&clean).ok_or_else(|| {
            Error::invalid("the archive", format!("lacks the file {name:?} that its manifest.json names"))
        })
    }

    /// A blob of the archive's layout. Its file is called by its digest, and must have it.
    fn blob(&self, digest: &Digest) -> Option<&Stored> {
        self.get(&format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())).filter(|s| s.digest == *digest)
    }
}

/// Reads the whole archive into the store.
fn read(
    reader: impl std::io::BufRead + Send,
    blobs: &Blobs,
    pins: &Pins,
    progress: &dyn Progress,
) -> Result<Contents, Error> {
    let failed = |source: std::io::Error| Error::Archive { what: "the archive of images".into(), source };
    let bad = |e: TarError| match e {
        TarError::Io(source) => failed(source),
        other => failed(std::io::Error::other(other)),
    };
    let plain = decompress(reader).map_err(failed)?;
    let mut tar = TarReader::new(BufReader::with_capacity(OUT, plain));
    let mut contents = Contents::default();
    while let Some(entry) = tar.next_entry().map_err(bad)? {
        let name = normal("", &String::from_utf8_lossy(&entry.path));
        if contents.files.len() + contents.links.len() > MAX_FILES {
            return Err(Error::invalid("the archive", format!("has more than {MAX_FILES} files")));
        }
        match entry.kind {
            EntryKind::Symlink | EntryKind::HardLink => {
                let link = String::from_utf8_lossy(&entry.link).into_owned();
                let base = if entry.kind == EntryKind::Symlink {
                    name.rsplit_once('/').map_or("", |(dir, _)| dir)
                } else {
                    ""
                };
                contents.links.insert(name.clone(), normal(base, &link));
            }
            EntryKind::File if entry.sparse.is_some() => {
                return Err(Error::invalid(
                    "the archive",
                    format!("has {name:?} as a sparse file, which is not supported"),
                ));
            }
            EntryKind::File => {
                let id: String = name
                    .split('/')
                    .rev()
                    .find(|p| p.len() >= 12 && p.bytes().all(|b| b.is_ascii_hexdigit()))
                    .unwrap_or(&name)
                    .chars()
                    .take(12)
                    .collect();
                let mut writer = blobs.writer()?;
                let mut start = Vec::new();
                let mut done = 0u64;
                loop {
                    let part = tar.fill().map_err(failed)?;
                    if part.is_empty() {
                        break;
                    }
                    let n = part.len();
                    if start.len() < 8 {
                        start.extend_from_slice(&part[..n.min(8 - start.len())]);
                    }
                    writer.write_all(part).map_err(|e| Error::io("write blob of", &name, e))?;
                    tar.consume(n);
                    done += n as u64;
                    if entry.size > MAX_DOCUMENT {
                        progress.report(PullEvent::Layer {
                            id: id.clone(),
                            phase: Phase::LoadingLayer,
                            current: done,
                            total: entry.size,
                        });
                    }
                }
                let pinned = writer.finish_pinned(pins)?;
                contents.files.insert(name, Stored { digest: pinned.0, size: pinned.1, start, _pin: pinned.2 });
            }
            _ => {}
        }
    }
    // A compressed stream's checksum comes last.
    std::io::copy(&mut tar.into_inner().take(u64::MAX), &mut std::io::sink()).map_err(failed)?;
    Ok(contents)
}

/// A name in the archive, without `.` and `..`; only a key.
fn normal(base: &str, name: &str) -> String {
    let mut parts: Vec<&str> =
        if name.starts_with('/') { Vec::new() } else { base.split('/').filter(|p| !p.is_empty()).collect() };
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            other => parts.push(other),
        }
    }
    parts.join("/")
}

fn layer_type(start: &[u8]) -> &'static str {
    match Compression::of(start) {
        Compression::Gzip => media_type::DOCKER_LAYER_GZIP,
        Compression::Zstd => media_type::DOCKER_LAYER_ZSTD,
        _ => media_type::DOCKER_LAYER,
    }
}

fn same_blobs(a: &Manifest, b: &Manifest) -> bool {
    a.config.digest == b.config.digest
        && a.layers.len() == b.layers.len()
        && a.layers.iter().zip(&b.layers).all(|(a, b)| a.digest == b.digest && a.size == b.size)
}

fn parse_config(bytes: &[u8], what: &str) -> Result<ImageConfig, Error> {
    serde_json::from_slice(bytes)
        .map_err(|source| Error::Malformed { what: format!("configuration of {what}"), source })
}

/// The name that an entry of an index gives its image, if it is a whole one.
fn name_of(entry: &Descriptor) -> Option<Reference> {
    let named = entry
        .annotations
        .get("io.containerd.image.name")
        .or_else(|| entry.annotations.get("org.opencontainers.image.ref.name").filter(|n| n.contains([':', '/'])));
    named.and_then(|n| Reference::parse(n).ok()).filter(|r| r.digest().is_none())
}
