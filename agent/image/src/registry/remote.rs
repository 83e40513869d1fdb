//! Manifests at registries, for whoever keeps no images: read, put under another name, with the blobs that they name.

use http::{Method, StatusCode, header};
use tokio::io::AsyncWriteExt as _;

use super::client::{Registries, Repository};
use crate::digest::Digest;
use crate::error::Error;
use crate::images::{Auth, Options};
use crate::manifest::{AnyManifest, Descriptor, media_type};
use crate::reference::Reference;

/// Registries as a client sees them that has no store of its own.
pub struct Remote {
    registries: Registries,
}

/// A manifest or index as a registry has it.
#[derive(Debug, Clone, PartialEq)]
pub struct RemoteManifest {
    /// What it is, how large, and its digest. The platform is that of an image's configuration.
    pub descriptor: Descriptor,
    /// Exactly what the registry sent.
    pub bytes: Vec<u8>,
    /// What it says.
    pub content: AnyManifest,
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote").finish_non_exhaustive()
    }
}

impl Remote {
    /// Speaks to registries as the options say; what they say of stores is not looked at.
    pub fn new(options: Options) -> Remote {
        Remote { registries: Registries::new(options) }
    }

    /// Gets the manifest of a tag or digest; that of an image with its platform.
    ///
    /// # Errors
    /// [`Error::NotAtRegistry`], [`Error::Unauthorized`], what the network does.
    pub async fn manifest(&self, reference: &Reference, auth: Option<Auth>) -> Result<RemoteManifest, Error> {
        let repository = self.registries.repository(reference, auth, false).await?;
        let wanted = match (reference.digest(), reference.tag()) {
            (Some(digest), _) => digest.to_string(),
            (None, tag) => tag.unwrap_or(crate::reference::DEFAULT_TAG).to_owned(),
        };
        let document = repository.manifest(&wanted).await?;
        let content = AnyManifest::parse(&document.bytes, document.media_type.as_deref())
            .map_err(|source| Error::Manifest { what: reference.familiar(), source })?;
        let (own, usual) = match &content {
            AnyManifest::Index(index) => (index.media_type.clone(), media_type::OCI_INDEX),
            AnyManifest::Image(manifest) => (manifest.media_type.clone(), media_type::OCI_MANIFEST),
        };
        let kind = own.or(document.media_type).unwrap_or_else(|| usual.to_owned());
        let mut descriptor = Descriptor::new(&kind, document.digest, document.bytes.len() as u64);
        if let AnyManifest::Image(manifest) = &content
            && media_type::is_config(&manifest.config.media_type)
        {
            let config = repository.document(&manifest.config).await?;
            let config: crate::ImageConfig = serde_json::from_slice(&config).map_err(|source| Error::Malformed {
                what: format!("configuration of {}", reference.familiar()),
                source,
            })?;
            descriptor.platform = Some(config.platform());
        }
        Ok(RemoteManifest { descriptor, bytes: document.bytes, content })
    }

    /// Puts a manifest under its digest (the reference has none, or its own) or under the reference's tag.
    ///
    /// # Errors
    /// What the registry refuses, such as a manifest whose blobs it lacks.
    pub async fn put(
        &self,
        reference: &Reference,
        auth: Option<Auth>,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Digest, Error> {
        let repository = self.registries.repository(reference, auth, true).await?;
        let digest = Digest::of(bytes);
        let place = reference.tag().map_or_else(|| digest.to_string(), str::to_owned);
        repository.upload_manifest(&place, media_type, bytes).await?;
        Ok(digest)
    }

    /// Gets a small blob, such as a configuration.
    ///
    /// # Errors
    /// What the registry does not have; a blob that is large, or not what its digest says.
    pub async fn blob(&self, from: &Reference, auth: Option<Auth>, blob: &Descriptor) -> Result<Vec<u8>, Error> {
        self.registries.repository(from, auth, false).await?.document(blob).await
    }

    /// Makes a repository have a blob that another has: one of the same registry is taken over where the registry does
    /// that, else it is fetched and sent. The credentials are those of the one and of the other.
    ///
    /// # Errors
    /// What the registry refuses; a full disk.
    pub async fn carry_blob(
        &self,
        from: &Reference,
        to: &Reference,
        (there, here): (Option<Auth>, Option<Auth>),
        blob: &Descriptor,
    ) -> Result<(), Error> {
        let target = self.registries.repository(to, here, true).await?;
        let lent = from.domain() == to.domain();
        if target.has_blob(&blob.digest).await? || (lent && target.mount(&blob.digest, from.path()).await?) {
            return Ok(());
        }
        let source = self.registries.repository(from, there, false).await?;
        let file = tempfile::NamedTempFile::new().map_err(|e| Error::io("create", std::env::temp_dir(), e))?;
        let path = file.path();
        let failed = |e| Error::io("write", path, e);
        let mut answer = source.blob(&blob.digest, 0).await?;
        let mut copy = fs_err::tokio::File::create(path).await.map_err(failed)?;
        while let Some(chunk) = answer.chunk().await.map_err(|e| source.lost(&e))? {
            copy.write_all(&chunk).await.map_err(failed)?;
        }
        copy.flush().await.map_err(failed)?;
        target.upload_blob(&blob.digest, blob.size, path, None, &|_| {}).await?;
        Ok(())
    }
}

impl Repository {
    /// Asks the registry to take a blob from another of its repositories; says whether it did.
    async fn mount(&self, digest: &Digest, from: &str) -> Result<bool, Error> {
        let site = self.main_site();
        let path = self.path(&format!("blobs/uploads/?mount={digest}&from={from}"));
        let answer = site.send(&self.scope, Method::POST, &path, &|r| r.header(header::CONTENT_LENGTH, 0)).await?;
        match answer.status() {
            StatusCode::CREATED => Ok(true),
            // It has begun an upload instead, which it forgets when nothing comes.
            StatusCode::ACCEPTED => Ok(false),
            _ => Err(site.refused(answer, &self.reference().familiar(), "the mount of a blob").await),
        }
    }

    /// The error for an answer that broke off.
    fn lost(&self, error: &reqwest::Error) -> Error {
        Error::Unreachable { registry: self.registry().to_owned(), reason: super::describe(error) }
    }
}
