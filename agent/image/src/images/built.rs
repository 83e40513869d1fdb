//! Layers that a build fills by hand, and images of them. Such a layer is a directory first: its archive is made when
//! somebody wants it (a push, a save), its digest when it becomes part of an image.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fs_err as fs;

use super::export::archive_error;
use super::layers::Wanted;
use super::{Image, Images, blocking};
use crate::archive::{ArchiveOptions, archive, tree_size};
use crate::config::ImageConfig;
use crate::digest::{Algorithm, Digest, Hasher, ImageId};
use crate::error::Error;
use crate::manifest::{Descriptor, Manifest, media_type};
use crate::overlay::{Merge, mount_detached};
use crate::reference::Reference;
use crate::store::{LayerRecord, NewLayer, Pin, chain_ids};
use crate::unpack::{UnpackOptions, remove_tree, unpack};

/// A layer's directory in the making. Unless it is kept, it goes with this value.
pub struct BuildLayer {
    new: NewLayer,
    _work: Work,
}

/// overlayfs' scratch directory.
struct Work(PathBuf);

impl Drop for Work {
    fn drop(&mut self) {
        // overlayfs leaves a directory in it that nobody may enter.
        let removed = fs::File::open(self.0.parent().unwrap_or(&self.0)).and_then(|parent| {
            let name = self.0.file_name().unwrap_or_default();
            remove_tree(parent.file().as_fd(), std::os::unix::ffi::OsStrExt::as_bytes(name))
        });
        if let Err(error) = removed {
            tracing::warn!(%error, "cannot remove a build's scratch directory");
        }
    }
}

impl BuildLayer {
    /// The name that it will be found by.
    pub fn name(&self) -> &str {
        self.new.name()
    }

    /// What the layer holds, in overlayfs' own format.
    pub fn path(&self) -> PathBuf {
        self.new.path()
    }

    /// overlayfs' scratch directory for [`BuildLayer::path`].
    pub fn work(&self) -> &Path {
        &self._work.0
    }
}

/// A layer's archive, described: what [`Images::describe_layer`] finds out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerArchive {
    /// The digest of the uncompressed archive.
    pub diff_id: Digest,
    /// Its bytes.
    pub size: u64,
    /// Bytes in the layer's files.
    pub files: u64,
}

/// A built layer of a new image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltLayer {
    /// The name of its directory.
    pub name: String,
    /// What its archive is.
    pub archive: LayerArchive,
}

/// What an image is made of besides its configuration.
#[derive(Debug, Clone, Default)]
pub struct BuildOptions {
    /// The image whose layers come first.
    pub base: Option<ImageId>,
    /// The layers over them, oldest first.
    pub layers: Vec<BuiltLayer>,
    /// Names that the image gets.
    pub names: Vec<Reference>,
    /// OCI's media types instead of Docker's.
    pub oci: bool,
    /// Annotations of the manifest.
    pub annotations: std::collections::BTreeMap<String, String>,
}

/// Keeps an image's layers from being removed while it lives.
pub struct Hold {
    _pins: Vec<Pin>,
}

impl Images {
    /// An empty layer directory; its root looks like that of the topmost of `below`.
    pub async fn new_build_layer(&self, below: Option<PathBuf>) -> Result<BuildLayer, Error> {
        let dirs = Arc::clone(&self.inner.dirs);
        blocking(move || {
            let new = dirs.create()?;
            let work = dirs.work(new.name());
            fs::create_dir_all(&work).map_err(|e| Error::io("create", &work, e))?;
            let layer = BuildLayer { new, _work: Work(work) };
            if let Some(below) = below {
                dirs.mend_implicit(&layer.path(), &[Vec::new()], &[below])?;
            }
            Ok(layer)
        })
        .await
    }

    /// Makes a layer last: it stays until [`Images::release_build_layers`], whether or not an image has it.
    pub async fn keep_build_layer(&self, layer: BuildLayer) -> Result<String, Error> {
        let (dirs, epoch) = (Arc::clone(&self.inner.dirs), self.inner.epoch.clone());
        blocking(move || {
            let name = layer.name().to_owned();
            dirs.hold(&name, &epoch)?;
            layer.new.keep();
            Ok(name)
        })
        .await
    }

    /// Lets layers go; those that no image has are removed. Returns the bytes that are free now.
    pub async fn release_build_layers(&self, names: &[String]) -> Result<u64, Error> {
        let mut freed = 0;
        let state = self.inner.state.view();
        for name in names {
            if !state.layers.values().any(|layer| layer.dir == *name) {
                let path = self.inner.dirs.layer(name);
                freed += blocking(move || Ok(tree_size(&path).unwrap_or(0))).await?;
            }
            self.inner.dirs.release(name)?;
        }
        self.collect().await?;
        Ok(freed)
    }

    /// The layers that are kept for builds.
    pub fn build_layers(&self) -> Result<Vec<String>, Error> {
        self.inner.dirs.held()
    }

    /// Those of them that images have, too.
    pub fn build_layers_of_images(&self) -> std::collections::HashSet<String> {
        self.inner.state.view().layers.values().map(|layer| layer.dir.clone()).collect()
    }

    /// Where a layer's directory is.
    pub fn build_layer_path(&self, name: &str) -> PathBuf {
        self.inner.dirs.layer(name)
    }

    /// Keeps an image's layers while the answer lives.
    pub async fn hold(&self, image: &ImageId) -> Result<Hold, Error> {
        let _no_collection = self.inner.collecting.read().await;
        let state = self.inner.state.view();
        let record = state.images.get(image).ok_or_else(|| Error::NotFound(image.to_string()))?;
        Ok(Hold { _pins: record.chain.iter().map(|chain| self.inner.pins.pin(chain)).collect() })
    }

    /// A mount of directories put over one another, top first, that appears nowhere; with `upper` (and overlayfs' work
    /// directory for it, used once) it can be written; nothing of that is sure to be on the disk before it is synced.
    pub async fn mount_layers(&self, lower: Vec<PathBuf>, upper: Option<(PathBuf, PathBuf)>) -> Result<OwnedFd, Error> {
        let scratch = self.inner.dirs.root().join("trash");
        blocking(move || {
            let upper = upper.as_ref().map(|(upper, work)| (upper.as_path(), work.as_path()));
            mount_detached(&Merge { lower: &lower, upper, volatile: true }, &scratch)
        })
        .await
    }

    /// Computes what a layer's archive would be, without writing it.
    pub async fn describe_layer(&self, name: &str) -> Result<LayerArchive, Error> {
        let path = self.inner.dirs.layer(name);
        blocking(move || {
            let mut count = Counted { hasher: Hasher::new(Algorithm::Sha256), size: 0 };
            write_layer(&path, &mut count)?;
            Ok(LayerArchive { diff_id: count.hasher.finish(), size: count.size, files: tree_size(&path)? })
        })
        .await
    }

    /// Records an image of layers that are here as directories.
    pub async fn add_built(&self, config: &[u8], options: BuildOptions) -> Result<Image, Error> {
        let parsed: ImageConfig = serde_json::from_slice(config)
            .map_err(|source| Error::Malformed { what: "the configuration of a new image".into(), source })?;
        let state = self.inner.state.view();
        let (archive_type, config_type, manifest_type) = if options.oci {
            (media_type::OCI_LAYER, media_type::OCI_CONFIG, media_type::OCI_MANIFEST)
        } else {
            (media_type::DOCKER_LAYER, media_type::DOCKER_CONFIG, media_type::DOCKER_MANIFEST)
        };
        let mut wanted: Vec<Wanted> = Vec::new();
        if let Some(base) = &options.base {
            let record = state.images.get(base).ok_or_else(|| Error::NotFound(base.to_string()))?;
            for chain in &record.chain {
                let layer = state.layers.get(chain).ok_or_else(|| Error::invalid(base.to_string(), "lacks a layer"))?;
                let blob = super::save::of_family(layer.blob.clone(), options.oci);
                wanted.push(Wanted { blob, diff_id: layer.diff_id.clone() });
            }
        }
        let first = wanted.len();
        wanted.extend(options.layers.iter().map(|layer| Wanted {
            blob: Descriptor::new(archive_type, layer.archive.diff_id.clone(), layer.archive.size),
            diff_id: layer.archive.diff_id.clone(),
        }));
        let diff_ids: Vec<Digest> = wanted.iter().map(|layer| layer.diff_id.clone()).collect();
        if parsed.rootfs.diff_ids != diff_ids {
            return Err(Error::invalid("the configuration of a new image", "names other layers than the image has"));
        }
        let chain = chain_ids(&diff_ids);
        let _pins: Vec<Pin> = {
            let _no_collection = self.inner.collecting.read().await;
            chain.iter().map(|id| self.inner.pins.pin(id)).collect()
        };
        for (at, layer) in options.layers.iter().enumerate() {
            let at = first + at;
            self.adopt(layer, &chain[at], at.checked_sub(1).map(|below| &chain[below]), &mut wanted[at].blob).await?;
        }
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(manifest_type.into()),
            config: Descriptor::new(config_type, Digest::of(config), config.len() as u64),
            layers: wanted.iter().map(|layer| layer.blob.clone()).collect(),
            annotations: options.annotations,
        };
        let mut names = options.names.iter();
        let image = self.add_image(&manifest, config, &wanted, names.next(), None).await?;
        self.restate(&image, &manifest).await?;
        for name in names {
            self.tag(&image.id.to_string(), name).await?;
        }
        self.image(&self.inner.state.view(), &image.id)
    }

    /// An image that was known may be described anew: with other annotations, or in the other family of media types.
    async fn restate(&self, image: &Image, manifest: &Manifest) -> Result<(), Error> {
        let known = self.inner.blobs.read(&image.manifest.digest).ok();
        let known = known.and_then(|bytes| serde_json::from_slice::<Manifest>(&bytes).ok());
        if known.is_some_and(|known| {
            (&known.annotations, &known.media_type) == (&manifest.annotations, &manifest.media_type)
        }) {
            return Ok(());
        }
        let oci = manifest.media_type.as_deref() == Some(media_type::OCI_MANIFEST);
        let new = self.of_kind(manifest, manifest.layers.clone(), oci)?;
        let _pin = self.inner.pins.pin(&new.descriptor.digest);
        self.inner.blobs.put_as(&new.descriptor.digest, &new.bytes, false)?;
        self.inner
            .state
            .update(|state| {
                if let Some(record) = state.images.get_mut(&image.id) {
                    record.manifest = new.descriptor.clone();
                }
                Ok(())
            })
            .await
    }

    /// Records a built directory as the layer `chain`. One directory is one layer: where it is another's already, as it
    /// is for what was copied independently of what is below, this one gets a directory of its own with the same files.
    async fn adopt(
        &self,
        layer: &BuiltLayer,
        chain: &Digest,
        parent: Option<&Digest>,
        blob: &mut Descriptor,
    ) -> Result<(), Error> {
        let inner = &self.inner;
        let state = inner.state.view();
        if let Some(known) = state.layers.get(chain) {
            let oci = blob.media_type.starts_with("application/vnd.oci.");
            *blob = super::save::of_family(known.blob.clone(), oci);
            return Ok(());
        }
        let taken = state.layers.values().any(|other| other.dir == layer.name);
        let copy = if taken { Some(self.twin(&layer.name).await?) } else { None };
        let record = LayerRecord {
            dir: copy.as_ref().map_or(layer.name.as_str(), NewLayer::name).to_owned(),
            diff_id: layer.archive.diff_id.clone(),
            parent: parent.cloned(),
            size: layer.archive.files,
            blob: Descriptor::new(&blob.media_type, blob.digest.clone(), blob.size),
            unsynced: Some(inner.epoch.clone()),
        };
        inner.state.update_later(|state| drop(state.layers.insert(chain.clone(), record))).await;
        if let Some(copy) = copy {
            copy.keep();
        }
        Ok(())
    }

    /// Another directory with the same files.
    async fn twin(&self, name: &str) -> Result<NewLayer, Error> {
        let dirs = Arc::clone(&self.inner.dirs);
        let from = dirs.layer(name);
        blocking(move || {
            let new = dirs.create()?;
            let root = fs::File::open(new.path()).map_err(|e| Error::io("open", new.path(), e))?;
            let (reader, mut writer) = io::pipe().map_err(|e| Error::io("copy layer", &from, e))?;
            std::thread::scope(|scope| {
                let sender = scope.spawn(move || {
                    let written = write_layer(&from, &mut writer);
                    drop(writer);
                    written
                });
                let options = UnpackOptions { whiteouts: true, ..UnpackOptions::default() };
                let unpacked = unpack(root.file().as_fd(), io::BufReader::new(&reader), &options);
                // The writer must not wait for a reader that has given up.
                drop(reader);
                sender.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
                unpacked.map_err(|e| Error::unpack(new.name(), &new.path(), e))
            })?;
            Ok(new)
        })
        .await
    }

    /// Makes sure that all layers of an image can be read as blobs: those of built layers are written now.
    pub(super) async fn ensure_blobs(&self, id: &ImageId) -> Result<Vec<Pin>, Error> {
        let state = self.inner.state.view();
        let record = state.images.get(id).ok_or_else(|| Error::NotFound(id.to_string()))?;
        let mut pins = Vec::new();
        for layer in record.chain.iter().filter_map(|chain| state.layers.get(chain)) {
            pins.push(self.inner.pins.pin(&layer.blob.digest));
            if layer.blob.digest != layer.diff_id || self.inner.blobs.size(&layer.blob.digest).is_some() {
                continue;
            }
            let (mut writer, path) = (self.inner.blobs.writer()?, self.inner.dirs.layer(&layer.dir));
            let (all, expected, what) = (self.inner.pins.clone(), layer.diff_id.clone(), layer.dir.clone());
            let (actual, _, pin) = blocking(move || {
                write_layer(&path, &mut writer)?;
                writer.finish_pinned(&all)
            })
            .await?;
            if actual != expected {
                return Err(Error::Corrupt { what: format!("layer directory {what}"), expected, actual });
            }
            pins.push(pin);
        }
        Ok(pins)
    }
}

/// The same directory always gives the same archive.
pub(super) fn write_layer(path: &Path, out: &mut impl Write) -> Result<(), Error> {
    let root = fs::File::open(path).map_err(|e| Error::io("open", path, e))?;
    let options = ArchiveOptions { whiteouts: true, ..ArchiveOptions::default() };
    let what = format!("layer directory {}", path.display());
    let out = io::BufWriter::with_capacity(super::export::OUT, out);
    let mut out = archive(root.file().as_fd(), Path::new(""), &options, out).map_err(|e| archive_error(&what, e))?;
    out.flush().map_err(|e| Error::io("write the archive of", path, e))
}

struct Counted {
    hasher: Hasher,
    size: u64,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
