//! Images of one index, brought together to be sent or saved.

use super::save::Portable;
use super::{Images, LayerForm};
use crate::digest::{Digest, ImageId};
use crate::error::Error;
use crate::manifest::{Descriptor, media_type};
use crate::store::{IndexRecord, Pin, State};

/// What must be there of an index's images.
#[derive(Debug, Clone, Copy)]
pub(super) enum Gathering {
    /// All that it names; else it is an index of fewer.
    Whole,
    /// Any of it: who reads it passes over what is not there.
    Partly,
}

/// An index and what is sent with it; all blobs stay while this lives.
pub(super) struct Gathered {
    pub bytes: Vec<u8>,
    pub descriptor: Descriptor,
    pub images: Vec<(ImageId, Portable)>,
    /// Blobs that no image has, those first that others name.
    pub extra: Vec<Descriptor>,
    _pins: Vec<Pin>,
}

impl Images {
    /// Whether everything that an index names is here.
    pub(super) fn is_whole(&self, index: &IndexRecord) -> Result<bool, Error> {
        let document = self.index_document(index)?;
        let here = |digest: &Digest| {
            index.members.iter().any(|member| member.manifest.digest == *digest)
                || index.extra.iter().any(|blob| blob.digest == *digest)
        };
        Ok(document.manifests.iter().all(|entry| here(&entry.digest)))
    }

    /// Brings these images of an index together. The index keeps its digest if they are sent as it names them.
    ///
    /// # Errors
    /// Layers that are gone; a full disk.
    pub(super) async fn gather(
        &self,
        index: &IndexRecord,
        wanted: &[ImageId],
        how: Gathering,
    ) -> Result<Gathered, Error> {
        let mut pins = vec![self.inner.pins.pin(&index.descriptor.digest)];
        pins.extend(index.extra.iter().map(|blob| self.inner.pins.pin(&blob.digest)));
        let (mut images, mut renamed) = (Vec::new(), Vec::new());
        for member in index.members.iter().filter(|member| wanted.contains(&member.id)) {
            pins.extend(self.ensure_blobs(&member.id).await?);
            let state = self.inner.state.view();
            let portable = self.portable_as(&state, &member.id, &member.manifest)?;
            let parts = portable.manifest.layers.iter().chain([&portable.manifest.config]);
            pins.extend(parts.map(|blob| self.inner.pins.pin(&blob.digest)));
            renamed.push((member.manifest.digest.clone(), portable.descriptor.clone()));
            images.push((member.id.clone(), portable));
        }
        let mut document = self.index_document(index)?;
        let same = renamed.iter().all(|(before, now)| *before == now.digest);
        let is_extra = |digest: &Digest| index.extra.iter().any(|blob| blob.digest == *digest);
        let named = |digest: &Digest| renamed.iter().any(|(before, _)| before == digest);
        let whole = document.manifests.iter().all(|entry| named(&entry.digest) || is_extra(&entry.digest));
        if same && (whole || matches!(how, Gathering::Partly)) {
            let bytes = self.inner.blobs.read(&index.descriptor.digest)?;
            let (descriptor, extra) = (index.descriptor.clone(), index.extra.clone());
            return Ok(Gathered { bytes, descriptor, images, extra, _pins: pins });
        }
        // What is said about an image is said about the digest that it had.
        document.manifests.retain_mut(|entry| match renamed.iter().find(|(before, _)| *before == entry.digest) {
            Some((_, now)) => {
                entry.media_type.clone_from(&now.media_type);
                entry.digest = now.digest.clone();
                entry.size = now.size;
                true
            }
            None => false,
        });
        let kind = document.media_type.clone().unwrap_or_else(|| media_type::OCI_INDEX.into());
        let bytes =
            serde_json::to_vec(&document).map_err(|source| Error::Malformed { what: "a new index".into(), source })?;
        let descriptor = Descriptor::new(&kind, Digest::of(&bytes), bytes.len() as u64);
        Ok(Gathered { bytes, descriptor, images, extra: Vec::new(), _pins: pins })
    }

    /// Brings one image together, with its layers in a form, as if it were an index.
    ///
    /// # Errors
    /// Layers that are gone; a full disk.
    pub(super) async fn gather_image(&self, state: &State, id: &ImageId, form: LayerForm) -> Result<Gathered, Error> {
        let mut pins = self.ensure_blobs(id).await?;
        let mut portable = self.portable(state, id)?;
        if form.compression.is_some() {
            let mut layers = Vec::new();
            for layer in &portable.manifest.layers {
                let (layer, pin) = self.in_form(layer, form).await?;
                pins.extend(pin);
                layers.push(layer);
            }
            portable = self.with_layers(&portable.manifest, layers)?;
        }
        let parts = portable.manifest.layers.iter().chain([&portable.manifest.config]);
        pins.extend(parts.map(|blob| self.inner.pins.pin(&blob.digest)));
        let mut descriptor = portable.descriptor.clone();
        descriptor.platform = self.config(id).ok().map(|c| c.platform());
        let bytes = portable.bytes.clone();
        Ok(Gathered { bytes, descriptor, images: vec![(id.clone(), portable)], extra: Vec::new(), _pins: pins })
    }
}
