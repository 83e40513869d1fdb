//! Images for several platforms under one name, and what is said about them (attestations).
//!
//! The name of an index stands for this machine's image, or else the first. The index is kept beside it, under the name,
//! with all that a push must send: its layers are compressed when it is made, so that its digest is final.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokio::io::AsyncWrite;

use super::built::BuildOptions;
use super::save::{Portable, of_family};
use super::{Image, Images, LayerForm};
use crate::digest::{Digest, ImageId};
use crate::error::Error;
use crate::manifest::{Descriptor, Index, media_type};
use crate::platform::Platform;
use crate::reference::Reference;
use crate::store::{IndexMember, IndexRecord, Pin};

/// The media type of an in-toto statement.
const IN_TOTO: &str = "application/vnd.in-toto+json";

/// An image of an index that is to be made.
#[derive(Debug, Clone)]
pub struct IndexImage {
    /// What it is for.
    pub platform: Platform,
    /// The configuration blob.
    pub config: Vec<u8>,
    /// Its layers; names are given to the index.
    pub options: BuildOptions,
    /// What is said about it.
    pub attestations: Vec<Attestation>,
}

/// What an index is like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IndexForm {
    /// OCI's media types instead of Docker's.
    pub oci: bool,
    /// How its images' layers are compressed.
    pub layers: LayerForm,
    /// Annotations of the index itself.
    pub annotations: BTreeMap<String, String>,
}

/// A predicate of in-toto; the statement around it names the image.
#[derive(Debug, Clone, PartialEq)]
pub struct Attestation {
    /// Such as `https://slsa.dev/provenance/v1`.
    pub predicate_type: String,
    /// What it says.
    pub predicate: Value,
}

/// An index with all its blobs here.
pub(super) struct Prepared {
    pub bytes: Vec<u8>,
    pub descriptor: Descriptor,
    pub members: Vec<Member>,
    /// Blobs that no image has: statements and their manifests.
    pub extra: Vec<(Descriptor, Vec<u8>)>,
    /// Blobs of layers that may be no image's own, as they were made for the index.
    pub own_layers: Vec<Descriptor>,
    pub pins: Vec<Pin>,
}

/// An index whose blobs are all here, and whose images are recorded.
pub(super) struct FoundIndex {
    pub descriptor: Descriptor,
    pub members: Vec<IndexMember>,
    pub extra: Vec<Descriptor>,
}

pub(super) struct Member {
    pub id: ImageId,
    chain: Vec<Digest>,
    pub portable: Portable,
    /// It was an image before.
    known: bool,
}

impl Images {
    /// Records an index under its names. Returns the image that the names stand for here, and the index's descriptor.
    ///
    /// # Errors
    /// Layers that are gone; a full disk.
    pub async fn add_index(
        &self,
        images: Vec<IndexImage>,
        names: &[Reference],
        form: IndexForm,
    ) -> Result<(Image, Descriptor), Error> {
        let prepared = self.prepare_index(images, names, form).await?;
        let members = prepared.members.iter().map(|member| IndexMember {
            id: member.id.clone(),
            manifest: member.portable.descriptor.clone(),
            chain: member.chain.clone(),
        });
        let extra = prepared.extra.iter().map(|(descriptor, _)| descriptor).chain(&prepared.own_layers).cloned();
        let found =
            FoundIndex { descriptor: prepared.descriptor.clone(), members: members.collect(), extra: extra.collect() };
        let id = self.record_index(found, names).await?;
        if names.is_empty() {
            // Nobody could ask for the others.
            let others: Vec<ImageId> = loose(&prepared).filter(|other| **other != id).cloned().collect();
            self.forget_nameless(&others).await?;
        }
        drop(prepared.pins);
        self.sync_in_background();
        let image = self.image(&self.inner.state.view(), &id)?;
        Ok((image, prepared.descriptor))
    }

    /// Records an index whose images are recorded, under its names. Returns the image that the names stand for.
    pub(super) async fn record_index(&self, found: FoundIndex, names: &[Reference]) -> Result<ImageId, Error> {
        let FoundIndex { descriptor, members, extra } = found;
        // The first of equals: the order of an index is its publisher's preference.
        let best = members.iter().map(|member| self.rank(&member.id)).max();
        let primary = members.iter().find(|member| Some(self.rank(&member.id)) == best);
        let primary = primary.ok_or_else(|| Error::invalid("an index", "has no image"))?.id.clone();
        let record = IndexRecord {
            descriptor,
            primary: primary.clone(),
            members,
            extra,
            unsynced: Some(self.inner.epoch.clone()),
        };
        self.inner
            .state
            .update(|state| {
                for member in &record.members {
                    // Without a name yet, somebody may have pruned it.
                    let image = state.images.get_mut(&member.id);
                    let image = image.ok_or_else(|| Error::NotFound(member.id.to_string()))?;
                    image.manifest = member.manifest.clone();
                }
                for name in names {
                    let name = name.clone().with_default_tag();
                    for name in [name.to_string(), name.with_digest(record.descriptor.digest.clone()).to_string()] {
                        state.call(&primary, &name);
                        state.indexes.insert(name, record.clone());
                    }
                }
                Ok(())
            })
            .await?;
        Ok(primary)
    }

    /// Writes an index and its images as an OCI layout, and keeps none of it. Returns the first image's id and the
    /// index's digest.
    ///
    /// # Errors
    /// Layers that are gone; those of the writer.
    pub async fn save_index(
        &self,
        images: Vec<IndexImage>,
        names: &[Reference],
        form: IndexForm,
        writer: impl AsyncWrite + Send + Unpin + 'static,
    ) -> Result<(ImageId, Digest), Error> {
        let prepared = self.prepare_index(images, names, form).await?;
        let written = self.write_index(&prepared, names, writer).await;
        let unneeded: Vec<ImageId> = loose(&prepared).cloned().collect();
        self.forget_nameless(&unneeded).await?;
        let first = prepared.members.first().map(|member| member.id.clone());
        let digest = prepared.descriptor.digest.clone();
        drop(prepared);
        self.collect().await?;
        written?;
        Ok((first.ok_or_else(|| Error::invalid("an index", "has no image"))?, digest))
    }

    async fn forget_nameless(&self, unneeded: &[ImageId]) -> Result<(), Error> {
        self.inner
            .state
            .update(|state| {
                // With a name, or as a further platform of one, it would be somebody's.
                let further: Vec<ImageId> = state.further().into_iter().cloned().collect();
                state.images.retain(|id, image| {
                    !unneeded.contains(id)
                        || !image.names.is_empty()
                        || !image.digests.is_empty()
                        || further.contains(id)
                });
                Ok(())
            })
            .await
    }

    async fn prepare_index(
        &self,
        images: Vec<IndexImage>,
        names: &[Reference],
        form: IndexForm,
    ) -> Result<Prepared, Error> {
        // Docker's list has no place for anything but images.
        let oci = form.oci || !form.annotations.is_empty() || images.iter().any(|image| !image.attestations.is_empty());
        let mut own_layers = Vec::new();
        let (mut members, mut entries, mut extra, mut pins) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut notes = Vec::new();
        for image in images {
            let IndexImage { platform, config, mut options, attestations } = image;
            options.oci = oci;
            let annotations = options.annotations.clone();
            let id = Digest::of(&config);
            pins.push(self.inner.pins.pin(&id));
            let known = self.inner.state.view().images.contains_key(&id);
            self.add_built(&config, options).await?;
            pins.extend(self.ensure_blobs(&id).await?);
            let state = self.inner.state.view();
            let Portable { mut manifest, .. } = self.portable(&state, &id)?;
            let mut layers = Vec::new();
            for layer in &manifest.layers {
                let (sent, pin) = self.sent_form(layer, form.layers).await?;
                pins.extend(pin);
                let sent = of_family(sent, oci);
                if sent.digest != layer.digest {
                    own_layers.push(sent.clone());
                }
                layers.push(sent);
            }
            manifest.annotations = annotations;
            let portable = self.of_kind(&manifest, layers, oci)?;
            let chain = state.images.get(&id).map(|record| record.chain.clone()).unwrap_or_default();
            pins.push(self.inner.pins.pin(&portable.descriptor.digest));
            self.inner.blobs.put_as(&portable.descriptor.digest, &portable.bytes, false)?;
            let mut entry = portable.descriptor.clone();
            entry.platform = Some(platform.clone());
            entries.push(entry);
            if !attestations.is_empty() {
                notes.push(attest(&portable.descriptor.digest, &platform, names, &attestations, &mut extra)?);
            }
            members.push(Member { id, chain, portable, known });
        }
        // As BuildKit has it: the images first, then what is said about them.
        entries.extend(notes);
        for (descriptor, bytes) in &extra {
            pins.push(self.inner.pins.pin(&descriptor.digest));
            self.inner.blobs.put_as(&descriptor.digest, bytes, false)?;
        }
        let kind = if oci { media_type::OCI_INDEX } else { media_type::DOCKER_LIST };
        let index = Index {
            schema_version: 2,
            media_type: Some(kind.into()),
            manifests: entries,
            annotations: form.annotations,
        };
        let bytes = json_bytes(&index)?;
        let descriptor = Descriptor::new(kind, Digest::of(&bytes), bytes.len() as u64);
        pins.push(self.inner.pins.pin(&descriptor.digest));
        self.inner.blobs.put_as(&descriptor.digest, &bytes, false)?;
        Ok(Prepared { bytes, descriptor, members, extra, own_layers, pins })
    }
}

/// The images that were recorded only because an index was made of them.
fn loose(prepared: &Prepared) -> impl Iterator<Item = &ImageId> {
    prepared.members.iter().filter(|member| !member.known).map(|member| &member.id)
}

/// Makes the manifest that holds an image's attestations; returns its entry in the index.
fn attest(
    manifest: &Digest,
    platform: &Platform,
    names: &[Reference],
    attestations: &[Attestation],
    extra: &mut Vec<(Descriptor, Vec<u8>)>,
) -> Result<Descriptor, Error> {
    let hash = json!({ manifest.algorithm().name(): manifest.hex() });
    let subject: Vec<Value> = if names.is_empty() {
        vec![json!({ "name": "_", "digest": hash })]
    } else {
        let place = platform.to_string().replace('/', "%2F");
        let package = |name: &Reference| {
            let name = name.clone().with_default_tag();
            let tag = name.tag().unwrap_or_default();
            let path = name.familiar();
            let path = path.strip_suffix(&format!(":{tag}")).unwrap_or(&path).to_owned();
            json!({ "name": format!("pkg:docker/{path}@{tag}?platform={place}"), "digest": hash })
        };
        names.iter().map(package).collect()
    };
    let mut layers = Vec::new();
    for Attestation { predicate_type, predicate } in attestations {
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v0.1",
            "predicateType": predicate_type,
            "subject": subject,
            "predicate": predicate,
        });
        let bytes = json_bytes(&statement)?;
        let mut layer = Descriptor::new(IN_TOTO, Digest::of(&bytes), bytes.len() as u64);
        layer.annotations.insert("in-toto.io/predicate-type".into(), predicate_type.clone());
        extra.push((layer.clone(), bytes));
        layers.push(layer);
    }
    let diff_ids: Vec<String> = layers.iter().map(|layer| layer.digest.to_string()).collect();
    let config = json_bytes(&json!({
        "architecture": "unknown", "os": "unknown", "config": {},
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    }))?;
    let descriptor = Descriptor::new(media_type::OCI_CONFIG, Digest::of(&config), config.len() as u64);
    extra.push((descriptor.clone(), config));
    let bytes = json_bytes(&crate::manifest::Manifest {
        schema_version: 2,
        media_type: Some(media_type::OCI_MANIFEST.into()),
        config: descriptor,
        layers,
        annotations: BTreeMap::new(),
    })?;
    let mut entry = Descriptor::new(media_type::OCI_MANIFEST, Digest::of(&bytes), bytes.len() as u64);
    extra.push((entry.clone(), bytes));
    entry.annotations.insert("vnd.docker.reference.type".into(), "attestation-manifest".into());
    entry.annotations.insert("vnd.docker.reference.digest".into(), manifest.to_string());
    entry.platform = Some(Platform::new("unknown", "unknown"));
    Ok(entry)
}

fn json_bytes(value: &impl serde::Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|source| Error::Malformed { what: "a new index".into(), source })
}
