//! Images between the machines of one cluster, as registries speak: what others may have of this store, and where
//! else than at a registry an image can be had.

use std::fs::File;
use std::path::PathBuf;

use super::{Image, Images};
use crate::digest::{Digest, ImageId};
use crate::error::Error;
use crate::manifest::AnyManifest;
use crate::reference::Reference;
use crate::store::{MAX_DOCUMENT, Pin};

/// How the tag begins by which an image is asked for whose id is known.
const BY_ID: &str = "id-";

/// Another machine's store, reached through a socket of this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImagePeer {
    /// How people call the machine.
    pub name: String,
    pub socket: PathBuf,
}

/// A manifest for another machine.
#[derive(Debug, Clone)]
pub struct PeerManifest {
    pub bytes: Vec<u8>,
    pub media_type: String,
    pub digest: Digest,
}

/// A blob for another machine; it is kept while this lives.
#[allow(missing_debug_implementations)] // a pin has nothing to show
pub struct PeerBlob {
    pub file: File,
    pub size: u64,
    _pin: Pin,
}

/// The tag that asks for an image by its id.
pub(crate) fn tag_of(id: &ImageId) -> String {
    format!("{BY_ID}{}", id.hex())
}

impl Images {
    /// A manifest by its digest, or that of an image by a tag made of its id. Names are not looked at: what they stand
    /// for on another machine is not what they stand for here.
    ///
    /// # Errors
    /// [`Error::NotFound`] also for what is no manifest.
    pub async fn peer_manifest(&self, reference: &str) -> Result<PeerManifest, Error> {
        let missing = || Error::NotFound(reference.to_owned());
        if let Some(hex) = reference.strip_prefix(BY_ID) {
            let id: ImageId = format!("sha256:{hex}").parse().map_err(|_| missing())?;
            let _whole = self.ensure_blobs(&id).await?;
            let portable = self.portable(&self.inner.state.view(), &id)?;
            let descriptor = portable.descriptor;
            let (media_type, digest) = (descriptor.media_type, descriptor.digest);
            return Ok(PeerManifest { bytes: portable.bytes, media_type, digest });
        }
        let digest: Digest = reference.parse().map_err(|_| missing())?;
        if self.inner.blobs.size(&digest).is_none_or(|size| size > MAX_DOCUMENT) {
            return Err(missing());
        }
        let bytes = self.inner.blobs.read(&digest)?;
        let media_type = match AnyManifest::parse(&bytes, None).map_err(|_| missing())? {
            AnyManifest::Image(manifest) => manifest.media_type,
            AnyManifest::Index(index) => index.media_type,
        };
        let media_type = media_type.unwrap_or_else(|| crate::manifest::media_type::OCI_MANIFEST.into());
        Ok(PeerManifest { bytes, media_type, digest })
    }

    /// A blob, kept for as long as it is read.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn peer_blob(&self, digest: &str) -> Result<PeerBlob, Error> {
        let missing = || Error::NotFound(digest.to_owned());
        let digest: Digest = digest.parse().map_err(|_| missing())?;
        let pin = self.inner.pins.pin(&digest);
        let size = self.inner.blobs.size(&digest).ok_or_else(missing)?;
        let file = self.inner.blobs.open_blob(&digest)?.into_parts().0;
        Ok(PeerBlob { file, size, _pin: pin })
    }

    /// The image of this id under a name, when it is here.
    pub(super) async fn have_id(&self, id: &ImageId, reference: &Reference) -> Result<Option<Image>, Error> {
        if !self.inner.state.view().images.contains_key(id) {
            return Ok(None);
        }
        if reference.digest().is_none() {
            self.tag(&id.to_string(), reference).await?;
        }
        self.image(&self.inner.state.view(), id).map(Some)
    }
}
