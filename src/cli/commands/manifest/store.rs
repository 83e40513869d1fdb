//! The lists that were made here: `manifests/LIST/MANIFEST` beside `config.json`, in the form that Docker's command
//! line reads and writes, so that either may go on with what the other began.

use std::{io::ErrorKind, path::PathBuf};

use base64::{Engine, engine::general_purpose::STANDARD};
use hoist_image::{AnyManifest, Descriptor, Index, Manifest, Reference, RemoteManifest, media_type};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cli::failure::Failure;

/// The directory of all lists.
pub struct Store(PathBuf);

/// One image of a list.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Kept {
    #[serde(rename = "Ref")]
    pub name: String,
    pub descriptor: Descriptor,
    /// The manifest to the byte, in base64.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    raw: String,
    /// The same to read, under the name of its family.
    #[serde(default, rename = "SchemaV2Manifest", skip_serializing_if = "Option::is_none")]
    docker: Option<Value>,
    #[serde(default, rename = "OCIManifest", skip_serializing_if = "Option::is_none")]
    oci: Option<Value>,
}

impl Kept {
    pub fn new(name: &Reference, found: RemoteManifest) -> Result<Self, Failure> {
        let value = Some(serde_json::from_slice(&found.bytes)?);
        let (docker, oci) = match found.descriptor.media_type.as_str() {
            media_type::DOCKER_MANIFEST => (value, None),
            _ => (None, value),
        };
        Ok(Self {
            name: name.to_string(),
            descriptor: found.descriptor,
            raw: STANDARD.encode(&found.bytes),
            docker,
            oci,
        })
    }

    pub fn reference(&self) -> Result<Reference, Failure> {
        Reference::parse(&self.name).map_err(|err| Failure::new(format!("{}: {err}", self.name)))
    }

    /// The manifest to the byte, checked against its digest.
    pub fn bytes(&self) -> Result<Vec<u8>, Failure> {
        let damaged =
            || Failure::new(format!("the manifest kept for {} is damaged", self.name)).hint("make the list anew");
        let bytes = STANDARD.decode(&self.raw).map_err(|_| damaged())?;
        if hoist_image::Digest::of(&bytes) == self.descriptor.digest { Ok(bytes) } else { Err(damaged()) }
    }

    /// The manifest, understood.
    pub fn manifest(&self) -> Result<Manifest, Failure> {
        match AnyManifest::parse(&self.bytes()?, Some(&self.descriptor.media_type)) {
            Ok(AnyManifest::Image(manifest)) => Ok(*manifest),
            Ok(AnyManifest::Index(_)) => Err(Failure::new(format!("{} is a manifest list", self.name))),
            Err(err) => Err(Failure::new(format!("{}: {err}", self.name))),
        }
    }
}

impl Store {
    pub fn of(config_dir: &std::path::Path) -> Self {
        Self(config_dir.join("manifests"))
    }

    fn dir(&self, list: &Reference) -> PathBuf {
        self.0.join(file_name(list))
    }

    /// The images of a list by name; `None` where there is no such list.
    pub fn list(&self, list: &Reference) -> Result<Option<Vec<Kept>>, Failure> {
        let entries = match fs_err::read_dir(self.dir(list)) {
            Ok(entries) => entries,
            Err(err) if err.kind() == ErrorKind::NotFound => return Ok(None),
            Err(err) => return Err(err.into()),
        };
        let mut paths = Vec::new();
        for entry in entries {
            let entry = entry?;
            // What begins with a dot is a file that was being written.
            if !entry.file_name().to_string_lossy().starts_with('.') {
                paths.push(entry.path());
            }
        }
        paths.sort();
        paths.iter().map(|path| read(path)).collect::<Result<_, _>>().map(Some)
    }

    /// One image of a list.
    pub fn get(&self, list: &Reference, name: &Reference) -> Result<Option<Kept>, Failure> {
        let path = self.dir(list).join(file_name(name));
        if path.exists() { read(&path).map(Some) } else { Ok(None) }
    }

    /// Puts an image into a list, or in the place of what it was.
    pub fn save(&self, list: &Reference, name: &Reference, kept: &Kept) -> Result<(), Failure> {
        let dir = self.dir(list);
        fs_err::create_dir_all(&dir)?;
        let fresh = dir.join(format!(".{}", std::process::id()));
        let written = fs_err::write(&fresh, serde_json::to_vec(kept)?)
            .and_then(|()| fs_err::rename(&fresh, dir.join(file_name(name))));
        if written.is_err() {
            let _ = fs_err::remove_file(&fresh);
        }
        Ok(written?)
    }

    /// Forgets a list; says whether there was one.
    pub fn remove(&self, list: &Reference) -> Result<bool, Failure> {
        match fs_err::remove_dir_all(self.dir(list)) {
            Ok(()) => Ok(true),
            Err(err) if err.kind() == ErrorKind::NotFound => Ok(false),
            Err(err) => Err(err.into()),
        }
    }
}

fn read(path: &std::path::Path) -> Result<Kept, Failure> {
    let text = fs_err::read(path)?;
    serde_json::from_slice(&text).map_err(|err| Failure::new(format!("{}: {err}", path.display())))
}

/// A reference as the name of a file, as Docker makes it.
fn file_name(reference: &Reference) -> String {
    reference.to_string().replace(':', "-").replace('/', "_")
}

/// The list as a registry gets it: OCI's index for images of OCI's family, else Docker's.
pub fn index(images: &[Kept]) -> Index {
    let oci = images.first().is_some_and(|image| image.descriptor.media_type == media_type::OCI_MANIFEST);
    let kind = if oci { media_type::OCI_INDEX } else { media_type::DOCKER_LIST };
    Index {
        schema_version: 2,
        media_type: Some(kind.to_owned()),
        manifests: images.iter().map(|image| image.descriptor.clone()).collect(),
        annotations: std::collections::BTreeMap::new(),
    }
}

/// JSON with this indentation; text that is JSON keeps its order.
pub fn indented(value: &impl Serialize, indent: &'static str) -> Result<String, Failure> {
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, formatter))?;
    Ok(String::from_utf8(out).unwrap_or_default())
}
