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
use super::index::FoundIndex;
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
use crate::store::{Blobs, IndexMember, MAX_DOCUMENT, Pin, Pins};
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
    /// The manifest as the archive has it.
    original: Option<Descriptor>,
    config: Vec<u8>,
    platform: Platform,
    wanted: Vec<Wanted>,
}

/// What the archive has under some names: an image, or some of an index.
struct Group {
    images: Vec<Candidate>,
    /// The index, and its blobs that no image has.
    index: Option<(Descriptor, Vec<Descriptor>)>,
    names: Vec<Reference>,
}

impl Images {
    /// Takes in all images of an archive (Docker's or OCI's, plain, gzip or zstd); with platforms, only those for them.
    ///
    /// # Errors
    /// [`Error::NoPlatform`] for a name that has nothing for the platforms; what is wrong with the archive.
    pub async fn load(
        &self,
        reader: impl AsyncRead + Send + Unpin + 'static,
        platforms: Vec<Platform>,
        progress: Arc<dyn Progress>,
    ) -> Result<Vec<LoadedImage>, Error> {
        let bridge = SyncIoBridge::new(reader);
        let (blobs, pins) = (self.inner.blobs.clone(), self.inner.pins.clone());
        let read = blocking(move || read(BufReader::with_capacity(OUT, bridge), &blobs, &pins, &*progress)).await;
        let result = match read {
            Ok(contents) => self.take(&contents, &platforms).await,
            Err(error) => Err(error),
        };
        if result.is_err() {
            // What came without making an image is of no use.
            self.collect().await?;
        }
        result
    }

    async fn take(&self, contents: &Contents, platforms: &[Platform]) -> Result<Vec<LoadedImage>, Error> {
        let layout = contents.get("index.json").map(|index| self.document::<Index>(index, "index.json")).transpose()?;
        let mut groups = match (contents.get("manifest.json"), layout) {
            // Docker's list knows of one platform of each name.
            (_, Some(layout)) if layout.manifests.iter().any(|entry| media_type::is_index(&entry.media_type)) => {
                self.oci_images(contents, &layout)?
            }
            (Some(manifest), _) => self.docker_images(contents, manifest)?,
            (None, Some(layout)) => self.oci_images(contents, &layout)?,
            (None, None) => {
                return Err(Error::invalid(
                    "the archive",
                    "holds no images: it has neither manifest.json nor index.json",
                ));
            }
        };
        if !platforms.is_empty() {
            for group in &mut groups {
                group.only(platforms)?;
            }
        }
        let mut loaded = Vec::new();
        for Group { images, index, names } in groups {
            let mut members = Vec::new();
            let name = names.first().filter(|_| images.len() == 1);
            for Candidate { manifest, original, config, wanted, .. } in &images {
                let image = self.add_image(manifest, config, wanted, name, None).await?;
                let chain = self.inner.state.view().images.get(&image.id).map(|i| i.chain.clone()).unwrap_or_default();
                members.push(IndexMember { id: image.id, manifest: original.clone().unwrap_or(image.manifest), chain });
            }
            let Some(first) = members.first() else { continue };
            let id = match index {
                Some((descriptor, extra)) if members.len() > 1 || !extra.is_empty() => {
                    self.record_index(FoundIndex { descriptor, members, extra }, &names).await?
                }
                _ => {
                    for name in &names {
                        self.tag(&first.id.to_string(), name).await?;
                    }
                    first.id.clone()
                }
            };
            let names = names.into_iter().map(|name| name.with_default_tag().familiar()).collect();
            loaded.push(LoadedImage { id, names });
        }
        Ok(loaded)
    }

    fn docker_images(&self, contents: &Contents, manifest: &Stored) -> Result<Vec<Group>, Error> {
        let images: Vec<DockerImage> = self.document(manifest, "manifest.json")?;
        let mut groups = Vec::new();
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
            let candidate = Candidate {
                original: None,
                platform: config.platform().normalised(),
                config: config_bytes,
                manifest,
                wanted,
            };
            groups.push(Group { images: vec![candidate], index: None, names });
        }
        Ok(groups)
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

    fn oci_images(&self, contents: &Contents, index: &Index) -> Result<Vec<Group>, Error> {
        let mut groups: Vec<(Digest, Group)> = Vec::new();
        for entry in &index.manifests {
            let name = name_of(entry);
            if let Some((_, known)) = groups.iter_mut().find(|(digest, _)| *digest == entry.digest) {
                known.names.extend(name);
                continue;
            }
            let mut group = self.oci_group(contents, entry, 0)?;
            if !group.images.is_empty() {
                group.names.extend(name);
                groups.push((entry.digest.clone(), group));
            }
        }
        Ok(groups.into_iter().map(|(_, group)| group).collect())
    }

    /// What an entry of an index leads to; nothing for what is no container image.
    fn oci_group(&self, contents: &Contents, entry: &Descriptor, depth: usize) -> Result<Group, Error> {
        let what = || format!("manifest {}", entry.digest);
        if entry.size > MAX_DOCUMENT || depth > 3 {
            return Err(Error::invalid(what(), "is too large, or an index within indexes"));
        }
        let Some(stored) = contents.blob(&entry.digest) else {
            return Err(Error::invalid(what(), "is not in the archive"));
        };
        let bytes = self.inner.blobs.read(&stored.digest)?;
        let parsed = AnyManifest::parse(&bytes, Some(&entry.media_type))
            .map_err(|source| Error::Manifest { what: what(), source })?;
        let mut group = Group { images: Vec::new(), index: None, names: Vec::new() };
        let index = match parsed {
            AnyManifest::Image(manifest) => {
                if !is_attestation(entry) && media_type::is_config(&manifest.config.media_type) {
                    group.images.push(self.candidate(contents, entry, *manifest)?);
                }
                return Ok(group);
            }
            AnyManifest::Index(index) => index,
        };
        let mut extra = Vec::new();
        let mut missing = None;
        for member in index.manifests.iter().filter(|member| !media_type::is_index(&member.media_type)) {
            // An archive may hold only some of an index's images.
            let Some(manifest) = self.manifest_here(contents, member) else { continue };
            if is_attestation(member) {
                let parts: Vec<Descriptor> = manifest.layers.into_iter().chain([manifest.config]).collect();
                if parts.iter().all(|part| contents.blob(&part.digest).is_some()) {
                    extra.extend(parts);
                    extra.push(Descriptor::new(&member.media_type, member.digest.clone(), member.size));
                }
            } else if media_type::is_config(&manifest.config.media_type) {
                match self.candidate(contents, member, manifest) {
                    Ok(candidate) => group.images.push(candidate),
                    Err(error) => missing = missing.or(Some(error)),
                }
            }
        }
        if group.images.is_empty() {
            if let Some(error) = missing {
                return Err(error);
            }
            // An index of indexes is taken for that of them which this machine would choose.
            let here = Index {
                manifests: index.manifests.into_iter().filter(|m| contents.blob(&m.digest).is_some()).collect(),
                ..index
            };
            let inner = here
                .choose(&Platform::host())
                .or_else(|| here.manifests.iter().find(|member| media_type::is_index(&member.media_type)));
            return match inner.filter(|member| media_type::is_index(&member.media_type)) {
                Some(inner) => self.oci_group(contents, inner, depth + 1),
                None => Err(Error::invalid(what(), "is an index of which no image is in the archive")),
            };
        }
        let kind = index.media_type.as_deref().unwrap_or(&entry.media_type);
        group.index = Some((Descriptor::new(kind, stored.digest.clone(), stored.size), extra));
        Ok(group)
    }

    fn manifest_here(&self, contents: &Contents, entry: &Descriptor) -> Option<Manifest> {
        let stored = contents.blob(&entry.digest).filter(|_| entry.size <= MAX_DOCUMENT)?;
        match AnyManifest::parse(&self.inner.blobs.read(&stored.digest).ok()?, Some(&entry.media_type)) {
            Ok(AnyManifest::Image(manifest)) => Some(*manifest),
            _ => None,
        }
    }

    /// An image whose blobs are all in the archive.
    fn candidate(&self, contents: &Contents, entry: &Descriptor, manifest: Manifest) -> Result<Candidate, Error> {
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
        Ok(Candidate {
            original: Some(Descriptor::new(&entry.media_type, entry.digest.clone(), entry.size)),
            platform: parsed.platform().normalised(),
            config: config_bytes,
            manifest,
            wanted,
        })
    }

    fn document<T: serde::de::DeserializeOwned>(&self, stored: &Stored, name: &str) -> Result<T, Error> {
        let bytes = self.inner.blobs.read(&stored.digest)?;
        serde_json::from_slice(&bytes)
            .map_err(|source| Error::Malformed { what: format!("{name} in the archive"), source })
    }
}

impl Group {
    /// Leaves only images for these platforms.
    fn only(&mut self, platforms: &[Platform]) -> Result<(), Error> {
        let offered: Vec<String> = self.images.iter().map(|image| image.platform.to_string()).collect();
        self.images.retain(|image| platforms.iter().any(|wanted| wanted.clone().normalised() == image.platform));
        if self.images.is_empty() {
            let name = self.names.first().map_or_else(|| "an image of the archive".to_owned(), Reference::familiar);
            let wanted: Vec<String> = platforms.iter().map(ToString::to_string).collect();
            return Err(Error::NoPlatform { reference: name, platform: wanted.join(", "), offered });
        }
        // What is said about an image that is not taken is of no use.
        if let Some((_, extra)) = &mut self.index {
            extra.clear();
        }
        Ok(())
    }
}

/// Whether an entry of an index is what somebody says about another.
fn is_attestation(entry: &Descriptor) -> bool {
    entry.annotations.contains_key("vnd.docker.reference.type")
        || entry.platform.as_ref().is_some_and(|platform| platform.os == "unknown")
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
