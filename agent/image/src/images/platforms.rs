//! Which of a name's images is meant, and which platforms of a name are here.

use std::collections::HashMap;

use super::lookup::{Found, find};
use super::{Image, Images, Variant};
use crate::digest::{Digest, ImageId};
use crate::error::Error;
use crate::manifest::{AnyManifest, Index, Manifest};
use crate::platform::Platform;
use crate::store::{IndexRecord, State};

impl Images {
    /// Finds an image as [`Images::get`] does; with a platform, that of a name's images which suits it best.
    ///
    /// # Errors
    /// [`Error::NoPlatform`] when none does.
    pub async fn get_for(&self, name_or_id: &str, platform: Option<&Platform>) -> Result<Image, Error> {
        let state = self.inner.state.view();
        let found = find(&state, name_or_id)?;
        let Some(platform) = platform else { return self.image(&state, found.id()) };
        // An image that does not say what it is for is taken at its word.
        let fit = |id: &ImageId| match self.platform(id)? {
            offered if offered.os.is_empty() => Ok(Some(0)),
            offered => Ok::<_, Error>(platform.suits(&offered)),
        };
        let mut best: Option<(u32, ImageId)> = None;
        for id in here(&state, &found) {
            if let Some(fit) = fit(&id)?
                && best.as_ref().is_none_or(|(other, _)| fit > *other)
            {
                best = Some((fit, id));
            }
        }
        match best {
            Some((_, id)) => self.image(&state, &id),
            None => Err(self.lacks(&state, name_or_id, &found, platform)),
        }
    }

    /// Finds an image as [`Images::get`] does; with a platform, the one for exactly that.
    ///
    /// # Errors
    /// [`Error::NoPlatform`] when there is none.
    pub async fn get_exactly(&self, name_or_id: &str, platform: Option<&Platform>) -> Result<Image, Error> {
        let state = self.inner.state.view();
        let found = find(&state, name_or_id)?;
        let fits =
            self.of_platforms(&state, name_or_id, &found, platform.map(std::slice::from_ref).unwrap_or_default())?;
        self.image(&state, fits.first().unwrap_or(found.id()))
    }

    /// What is here of a name for exactly these platforms; all of it when there are none.
    pub(super) fn of_platforms(
        &self,
        state: &State,
        text: &str,
        found: &Found,
        platforms: &[Platform],
    ) -> Result<Vec<ImageId>, Error> {
        let all = here(state, found);
        if platforms.is_empty() {
            return Ok(all);
        }
        let mut chosen = Vec::new();
        for wanted in platforms {
            let mut fits = all.iter().filter(|id| self.platform(id).is_ok_and(|p| p == wanted.clone().normalised()));
            let id = fits.next().ok_or_else(|| self.lacks(state, text, found, wanted))?;
            if !chosen.contains(id) {
                chosen.push(id.clone());
            }
        }
        Ok(chosen)
    }

    fn lacks(&self, state: &State, text: &str, found: &Found, wanted: &Platform) -> Error {
        let offered =
            here(state, found).iter().filter_map(|id| self.platform(id).ok()).map(|p| p.to_string()).collect();
        Error::NoPlatform { reference: text.to_owned(), platform: wanted.to_string(), offered }
    }

    /// What an image is for, with the field's many spellings made one.
    pub(super) fn platform(&self, id: &ImageId) -> Result<Platform, Error> {
        Ok(self.config(id)?.platform().normalised())
    }

    /// How well an image suits this machine.
    pub(super) fn rank(&self, id: &ImageId) -> u32 {
        let host = Platform::host();
        self.platform(id).ok().and_then(|offered| host.suits(&offered)).unwrap_or(0)
    }

    /// The document of an index.
    pub(super) fn index_document(&self, index: &IndexRecord) -> Result<Index, Error> {
        let what = || format!("index {}", index.descriptor.digest);
        let bytes = self.inner.blobs.read(&index.descriptor.digest)?;
        match AnyManifest::parse(&bytes, Some(&index.descriptor.media_type)) {
            Ok(AnyManifest::Index(document)) => Ok(document),
            Ok(AnyManifest::Image(_)) => Err(Error::invalid(what(), "is an image's manifest")),
            Err(source) => Err(Error::Manifest { what: what(), source }),
        }
    }

    /// What is here of an image's name, each platform for itself.
    pub(super) fn variants(&self, state: &State, id: &ImageId) -> Result<Vec<Variant>, Error> {
        let Some(record) = state.images.get(id) else { return Ok(Vec::new()) };
        let mut manifests: HashMap<&ImageId, _> = HashMap::from([(id, &record.manifest)]);
        let mut ids = vec![id];
        for member in record.names.iter().filter_map(|name| state.index(name)).flat_map(|index| &index.members) {
            if manifests.insert(&member.id, &member.manifest).is_none() {
                ids.push(&member.id);
            }
        }
        let mut variants = Vec::new();
        for id in ids {
            let manifest = manifests[id];
            let bytes = self.inner.blobs.read(&manifest.digest)?;
            let parsed: Manifest = serde_json::from_slice(&bytes)
                .map_err(|source| Error::Malformed { what: format!("manifest {}", manifest.digest), source })?;
            let parts = parsed.layers.iter().chain([&parsed.config]).map(|blob| &blob.digest);
            let content = |digest: &Digest| self.inner.blobs.size(digest).unwrap_or(0);
            let chain = state.images.get(id).map(|image| image.chain.as_slice()).unwrap_or_default();
            variants.push(Variant {
                id: id.clone(),
                platform: self.platform(id)?,
                manifest: manifest.clone(),
                content: manifest.size + parts.map(content).sum::<u64>(),
                unpacked: chain.iter().filter_map(|layer| state.layers.get(layer)).map(|layer| layer.size).sum(),
            });
        }
        Ok(variants)
    }
}

/// The images that a text may mean, the one with the name first.
fn here(state: &State, found: &Found) -> Vec<ImageId> {
    let mut ids = vec![found.id().clone()];
    if let Found::Name(id, name) = found
        && let Some(index) = state.index(name)
    {
        ids.extend(index.members.iter().map(|member| member.id.clone()).filter(|other| other != id));
    }
    ids
}
