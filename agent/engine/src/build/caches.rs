//! Caches elsewhere and indexes, in the image store's words.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use hoist_build::{
    BuildError, CacheDocument, CachePlace, Compression, Credentials, IndexedImage, LayerBlob, NewImage, NewIndex,
    Report,
};
use hoist_image::{
    Attestation, BuildLayer, BuildOptions, BuiltLayer, CacheManifest, Descriptor, Error, Images, IndexForm, IndexImage,
    LayerArchive, LayerCompression, LayerForm, Platform, Reference,
};

use super::worker::{credentials, digest, engine_error, names};

/// A layer's archive of a new image.
pub(super) fn options(image: &NewImage) -> Result<BuildOptions, BuildError> {
    let layers = image
        .layers
        .iter()
        .map(|(name, layer)| {
            let diff_id = digest(&layer.diff_id)?;
            let archive = LayerArchive { diff_id, size: layer.archive, files: layer.files };
            Ok(BuiltLayer { name: name.clone(), archive })
        })
        .collect::<Result<_, BuildError>>()?;
    Ok(BuildOptions {
        base: image.base.as_ref().map(|base| digest(&base.id)).transpose()?,
        layers,
        names: names(&image.names)?,
        oci: image.oci,
        annotations: image.annotations.clone(),
    })
}

fn index_images(images: Vec<IndexedImage>) -> Result<Vec<IndexImage>, BuildError> {
    images
        .into_iter()
        .map(|IndexedImage { platform, image, attestations }| {
            let options = options(&image)?;
            let said =
                |hoist_build::Attestation { predicate_type, predicate }| Attestation { predicate_type, predicate };
            let attestations = attestations.into_iter().map(said).collect();
            Ok(IndexImage { platform: platform_of(&platform)?, config: image.config, options, attestations })
        })
        .collect()
}

pub(super) fn index(index: NewIndex) -> Result<(Vec<IndexImage>, Vec<Reference>, IndexForm), BuildError> {
    let form = IndexForm { oci: index.oci, layers: form(index.layers), annotations: index.annotations };
    Ok((index_images(index.images)?, names(&index.names)?, form))
}

fn method(compression: Compression) -> LayerCompression {
    match compression {
        Compression::Gzip => LayerCompression::Gzip,
        Compression::Zstd => LayerCompression::Zstd,
        Compression::Uncompressed => LayerCompression::Uncompressed,
    }
}

pub(super) fn form(form: hoist_build::LayerForm) -> LayerForm {
    LayerForm { compression: form.compression.map(method), level: form.level, force: form.force }
}

fn platform_of(text: &str) -> Result<Platform, BuildError> {
    text.parse().map_err(|error: hoist_image::PlatformError| BuildError::Request(error.to_string()))
}

fn place(place: CachePlace) -> Result<hoist_image::CachePlace, BuildError> {
    Ok(match place {
        CachePlace::Directory(path) => hoist_image::CachePlace::Directory(path),
        CachePlace::Registry { reference, auth } => registry(&reference, &auth)?,
    })
}

fn registry(reference: &str, auth: &BTreeMap<String, Credentials>) -> Result<hoist_image::CachePlace, BuildError> {
    let reference = Reference::parse(reference).map_err(|error| engine_error(Error::from(error)))?;
    let auth = credentials(auth, reference.domain());
    Ok(hoist_image::CachePlace::Registry { reference: reference.with_default_tag(), auth })
}

fn blob(descriptor: &Descriptor) -> LayerBlob {
    LayerBlob {
        media_type: descriptor.media_type.clone(),
        digest: descriptor.digest.to_string(),
        size: descriptor.size,
    }
}

fn descriptor(blob: &LayerBlob) -> Result<Descriptor, BuildError> {
    Ok(Descriptor::new(&blob.media_type, digest(&blob.digest)?, blob.size))
}

pub(super) async fn read(
    images: &Images,
    from: CachePlace,
    platform: &str,
) -> Result<Option<CacheDocument>, BuildError> {
    let found = images.read_cache(&place(from)?, &platform_of(platform)?).await.map_err(engine_error)?;
    Ok(found.map(|found| CacheDocument {
        kind: found.config_type,
        config: found.config,
        layers: found.layers.iter().map(blob).collect(),
    }))
}

pub(super) async fn fetch_layer(
    images: &Images,
    from: CachePlace,
    layer: &LayerBlob,
    diff_id: &str,
    below: Vec<PathBuf>,
    report: Report,
) -> Result<BuildLayer, BuildError> {
    let layer = descriptor(layer)?;
    let (part, total) = (format!("Downloading {}", layer.digest.short()), layer.size);
    let heard = move |n| report(part.clone(), n, Some(total));
    images.fetch_cache_layer(&place(from)?, &layer, &digest(diff_id)?, below, &heard).await.map_err(engine_error)
}

pub(super) async fn put_layer(
    images: &Images,
    to: CachePlace,
    name: &str,
    known: Option<&LayerBlob>,
    compression: Compression,
    report: Report,
) -> Result<LayerBlob, BuildError> {
    let known = known.map(descriptor).transpose()?;
    let compression = method(compression);
    let part: Arc<str> = format!("Pushing {}", name.get(..12).unwrap_or(name)).into();
    let sent = move |n, total| report(part.to_string(), n, Some(total));
    let put = images.put_cache_layer(&place(to)?, name, known.as_ref(), compression, &sent).await;
    put.map(|put| blob(&put)).map_err(engine_error)
}

pub(super) async fn put(images: &Images, to: CachePlace, document: CacheDocument) -> Result<String, BuildError> {
    let layers = document.layers.iter().map(descriptor).collect::<Result<_, _>>()?;
    let manifest = CacheManifest { config_type: document.kind, config: document.config, layers };
    let digest = images.put_cache(&place(to)?, &manifest).await.map_err(engine_error)?;
    Ok(digest.to_string())
}
