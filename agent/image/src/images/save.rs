//! Saving: images as one archive that Docker's and OCI's tools read.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufWriter, Read, Write};

use serde::Serialize;
use tokio::io::AsyncWrite;
use tokio_util::io::SyncIoBridge;

use super::export::OUT;
use super::gather::Gathering;
use super::index::{Member, Prepared};
use super::lookup::{Found, find};
use super::{Images, LayerForm, SaveFormat, blocking};
use crate::digest::{Digest, ImageId};
use crate::error::Error;
use crate::manifest::{AnyManifest, Descriptor, Index, Manifest, media_type};
use crate::platform::Platform;
use crate::reference::Reference;
use crate::store::{Blobs, IndexRecord, State};
use crate::tarball::{Entry, EntryKind, TarWriter};

/// A line of Docker's `manifest.json`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// Images that are written under the same names.
struct Wanted {
    images: Vec<ImageId>,
    /// The index that they are of, if it is written, too.
    index: Option<IndexRecord>,
    names: BTreeSet<String>,
}

/// A manifest whose blobs are all here.
pub(super) struct Portable {
    pub manifest: Manifest,
    pub bytes: Vec<u8>,
    pub descriptor: Descriptor,
}

impl Images {
    /// Writes images into one archive. A name without tag means all tags that it has. Of a name's images those for these
    /// platforms are written; all that are here when there are none.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::NoPlatform`]; those of the writer.
    pub async fn save(
        &self,
        names: &[String],
        platforms: &[Platform],
        writer: impl AsyncWrite + Send + Unpin + 'static,
        format: SaveFormat,
    ) -> Result<(), Error> {
        let state = self.inner.state.view();
        let mut wanted: Vec<Wanted> = Vec::new();
        for text in names {
            for found in named(&state, text)? {
                let images = self.of_platforms(&state, text, &found, platforms)?;
                let (index, name) = match &found {
                    Found::Name(_, name) => (state.index(name).cloned(), Some(name.clone())),
                    Found::Id(_) => (None, None),
                };
                let index = index.filter(|index| images.len() > 1 || platforms.is_empty() && !index.extra.is_empty());
                let names = name.filter(|name| !name.contains('@'));
                match wanted.iter_mut().find(|known| known.images == images && known.index == index) {
                    Some(known) => known.names.extend(names),
                    None => wanted.push(Wanted { images, index, names: names.into_iter().collect() }),
                }
            }
        }
        self.write_archive(wanted, writer, format, LayerForm::default()).await
    }

    /// Whether all that a save of these would write is here, said before the first byte.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::NoPlatform`].
    pub async fn can_save(&self, names: &[String], platforms: &[Platform]) -> Result<(), Error> {
        let state = self.inner.state.view();
        for text in names {
            for found in named(&state, text)? {
                self.of_platforms(&state, text, &found, platforms)?;
            }
        }
        Ok(())
    }

    /// Writes one image into an archive that calls it by these names, whatever it is called here.
    pub async fn save_as(
        &self,
        id: &ImageId,
        names: &[Reference],
        writer: impl AsyncWrite + Send + Unpin + 'static,
        (format, layers): (SaveFormat, LayerForm),
    ) -> Result<(), Error> {
        let names = names.iter().map(|name| name.clone().with_default_tag().to_string()).collect();
        let wanted = Wanted { images: vec![id.clone()], index: None, names };
        self.write_archive(vec![wanted], writer, format, layers).await
    }

    async fn write_archive(
        &self,
        wanted: Vec<Wanted>,
        writer: impl AsyncWrite + Send + Unpin + 'static,
        format: SaveFormat,
        form: LayerForm,
    ) -> Result<(), Error> {
        let state = self.inner.state.view();
        let mut index = Index {
            schema_version: 2,
            media_type: Some(media_type::OCI_INDEX.into()),
            manifests: Vec::new(),
            annotations: BTreeMap::new(),
        };
        let mut docker = Vec::new();
        let mut blobs: BTreeMap<Digest, u64> = BTreeMap::new();
        let mut documents: BTreeMap<Digest, Vec<u8>> = BTreeMap::new();
        let mut kept = Vec::new();
        for Wanted { images, index: of, names } in &wanted {
            let Some(first) = images.first() else { continue };
            let gathered = match of {
                Some(of) => self.gather(of, images, Gathering::Partly).await?,
                None => self.gather_image(&state, first, form).await?,
            };
            // What tools see that know of one platform only.
            let shown = gathered.images.iter().filter(|(id, _)| id == first);
            docker.extend(
                shown.map(|(id, portable)| DockerImage {
                    config: place(id),
                    repo_tags: Some(names.iter().map(|n| super::lookup::familiar(n)).collect::<Vec<_>>())
                        .filter(|n| !n.is_empty()),
                    layers: portable.manifest.layers.iter().map(|l| place(&l.digest)).collect(),
                }),
            );
            let entry = |name: Option<&String>| entry(&gathered.descriptor, name.map(String::as_str));
            if names.is_empty() {
                index.manifests.push(entry(None));
            }
            index.manifests.extend(names.iter().map(|n| entry(Some(n))));
            for (_, Portable { manifest, bytes, descriptor }) in &gathered.images {
                let parts = manifest.layers.iter().chain([&manifest.config]);
                blobs.extend(parts.map(|blob| (blob.digest.clone(), blob.size)));
                documents.insert(descriptor.digest.clone(), bytes.clone());
            }
            blobs.extend(gathered.extra.iter().map(|blob| (blob.digest.clone(), blob.size)));
            documents.insert(gathered.descriptor.digest.clone(), gathered.bytes.clone());
            kept.push(gathered);
        }
        let docker = Some(docker).filter(|_| format == SaveFormat::Docker);
        let written = self.write_layout(index, documents, blobs, docker, writer).await;
        drop(kept);
        written
    }

    /// Writes an index with all that it leads to as an OCI layout that calls it by these names.
    pub(super) async fn write_index(
        &self,
        prepared: &Prepared,
        names: &[Reference],
        writer: impl AsyncWrite + Send + Unpin + 'static,
    ) -> Result<(), Error> {
        let mut blobs: BTreeMap<Digest, u64> = BTreeMap::new();
        let mut documents: BTreeMap<Digest, Vec<u8>> = BTreeMap::new();
        documents.insert(prepared.descriptor.digest.clone(), prepared.bytes.clone());
        for (descriptor, bytes) in &prepared.extra {
            documents.insert(descriptor.digest.clone(), bytes.clone());
        }
        for Member { portable, .. } in &prepared.members {
            documents.insert(portable.descriptor.digest.clone(), portable.bytes.clone());
            let parts = portable.manifest.layers.iter().chain([&portable.manifest.config]);
            blobs.extend(parts.map(|blob| (blob.digest.clone(), blob.size)));
        }
        let mut manifests = Vec::new();
        for name in names {
            let name = name.clone().with_default_tag().to_string();
            manifests.push(entry(&prepared.descriptor, Some(&name)));
        }
        if names.is_empty() {
            manifests.push(entry(&prepared.descriptor, None));
        }
        let index = Index {
            schema_version: 2,
            media_type: Some(media_type::OCI_INDEX.into()),
            manifests,
            annotations: BTreeMap::new(),
        };
        self.write_layout(index, documents, blobs, None, writer).await
    }

    /// Writes a layout; with Docker's own list it is an archive for `docker load` as well.
    async fn write_layout(
        &self,
        index: Index,
        documents: BTreeMap<Digest, Vec<u8>>,
        blobs: BTreeMap<Digest, u64>,
        docker: Option<Vec<DockerImage>>,
        writer: impl AsyncWrite + Send + Unpin + 'static,
    ) -> Result<(), Error> {
        let store = self.inner.blobs.clone();
        let bridge = SyncIoBridge::new(writer);
        blocking(move || {
            let mut out = Out { tar: TarWriter::new(BufWriter::with_capacity(OUT, bridge)), store };
            out.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
            for (digest, bytes) in &documents {
                out.file(&place(digest), bytes)?;
            }
            for (digest, size) in &blobs {
                out.blob(digest, *size)?;
            }
            out.document("index.json", &index)?;
            if let Some(docker) = docker {
                out.document("manifest.json", &docker)?;
            }
            let mut end = out.tar.finish().map_err(write_error)?;
            end.flush().and_then(|()| end.get_mut().shutdown()).map_err(write_error)
        })
        .await
    }

    /// The image's own manifest if all its blobs are here, else one of the blobs that are.
    pub(super) fn portable(&self, state: &State, id: &ImageId) -> Result<Portable, Error> {
        let record = state.images.get(id).ok_or_else(|| Error::NotFound(id.to_string()))?;
        self.portable_as(state, id, &record.manifest)
    }

    /// The same with a manifest that is not the one that the image has by itself.
    pub(super) fn portable_as(&self, state: &State, id: &ImageId, descriptor: &Descriptor) -> Result<Portable, Error> {
        let record = state.images.get(id).ok_or_else(|| Error::NotFound(id.to_string()))?;
        let bytes = self.inner.blobs.read(&descriptor.digest)?;
        let what = || format!("image {id}");
        let manifest = match AnyManifest::parse(&bytes, Some(&descriptor.media_type))
            .map_err(|source| Error::Manifest { what: what(), source })?
        {
            AnyManifest::Image(manifest) => *manifest,
            AnyManifest::Index(_) => return Err(Error::invalid(what(), "has an index as its manifest")),
        };
        if manifest.layers.iter().all(|l| self.inner.blobs.size(&l.digest) == Some(l.size)) {
            return Ok(Portable { manifest, bytes, descriptor: descriptor.clone() });
        }
        let layers = record.chain.iter().map(|chain| state.layers.get(chain).map(|l| l.blob.clone()));
        let layers = layers.collect::<Option<Vec<_>>>().ok_or_else(|| Error::invalid(what(), "lacks a layer"))?;
        self.with_layers(&manifest, layers)
    }

    /// The same image with other blobs for its layers.
    pub(super) fn with_layers(&self, manifest: &Manifest, layers: Vec<Descriptor>) -> Result<Portable, Error> {
        let oci = layers.iter().any(|l| l.media_type.starts_with("application/vnd.oci."));
        self.of_kind(manifest, layers, oci)
    }

    /// The same in OCI's or Docker's family of media types.
    pub(super) fn of_kind(&self, manifest: &Manifest, layers: Vec<Descriptor>, oci: bool) -> Result<Portable, Error> {
        let kind = if oci { media_type::OCI_MANIFEST } else { media_type::DOCKER_MANIFEST };
        let mut config = manifest.config.clone();
        config.media_type = if oci { media_type::OCI_CONFIG } else { media_type::DOCKER_CONFIG }.into();
        let layers = layers.into_iter().map(|l| of_family(l, oci)).collect();
        let manifest = Manifest { media_type: Some(kind.into()), config, layers, ..manifest.clone() };
        let bytes = serde_json::to_vec(&manifest)
            .map_err(|source| Error::Malformed { what: "a new manifest".into(), source })?;
        let descriptor = Descriptor::new(kind, Digest::of(&bytes), bytes.len() as u64);
        Ok(Portable { manifest, bytes, descriptor })
    }
}

/// The media type of the same blob in OCI's or Docker's family: a manifest does not mix them.
pub(super) fn of_family(mut layer: Descriptor, oci: bool) -> Descriptor {
    use media_type::*;
    let forms = [(OCI_LAYER, DOCKER_LAYER), (OCI_LAYER_GZIP, DOCKER_LAYER_GZIP), (OCI_LAYER_ZSTD, DOCKER_LAYER_ZSTD)];
    if let Some((o, d)) = forms.iter().find(|(o, d)| layer.media_type == *o || layer.media_type == *d) {
        layer.media_type = if oci { o } else { d }.to_string();
    }
    layer
}

/// The images that a text means, by the names to save them under.
fn named(state: &State, text: &str) -> Result<Vec<Found>, Error> {
    let bare = Reference::parse(text).ok().filter(|r| r.tag().is_none() && r.digest().is_none());
    if let Some(reference) = bare {
        let prefix = format!("{}:", reference.name());
        let tags = state.images.iter().flat_map(|(id, record)| {
            record
                .names
                .iter()
                .filter(|n| n.strip_prefix(&prefix).is_some_and(|tag| !tag.contains('/')))
                .map(|n| Found::Name(id.clone(), n.clone()))
        });
        let tags: Vec<_> = tags.collect();
        if !tags.is_empty() {
            return Ok(tags);
        }
    }
    Ok(vec![find(state, text)?])
}

/// Where a layout has a blob.
fn place(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

/// A line of a layout's index, for a name with its tag.
fn entry(descriptor: &Descriptor, name: Option<&str>) -> Descriptor {
    let mut descriptor = descriptor.clone();
    if let Some(name) = name {
        descriptor.annotations.insert("io.containerd.image.name".into(), name.to_owned());
        let tag = Reference::parse(name).ok().and_then(|r| r.tag().map(str::to_owned));
        descriptor.annotations.extend(tag.map(|t| ("org.opencontainers.image.ref.name".to_owned(), t)));
    }
    descriptor
}

fn write_error(source: std::io::Error) -> Error {
    Error::io("write", "the archive of images", source)
}

struct Out<W: Write> {
    tar: TarWriter<W>,
    store: Blobs,
}

impl<W: Write> Out<W> {
    fn entry(&mut self, name: &str, size: u64, data: &mut dyn Read) -> Result<(), Error> {
        let entry = Entry { size, ..Entry::new(name, EntryKind::File, 0o644) };
        self.tar.append(&entry, data).map_err(write_error)
    }

    fn file(&mut self, name: &str, mut bytes: &[u8]) -> Result<(), Error> {
        self.entry(name, bytes.len() as u64, &mut bytes)
    }

    fn document(&mut self, name: &str, value: &impl Serialize) -> Result<(), Error> {
        let bytes = serde_json::to_vec(value).map_err(|source| Error::Malformed { what: name.to_owned(), source })?;
        self.file(name, &bytes)
    }

    fn blob(&mut self, digest: &Digest, size: u64) -> Result<(), Error> {
        let mut file = self.store.open_blob(digest)?;
        self.entry(&place(digest), size, &mut file)
    }
}
