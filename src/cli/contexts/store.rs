//! The files of contexts.

use std::{
    collections::BTreeMap,
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use fs_err::os::unix::fs::OpenOptionsExt;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::cli::{client::TlsFiles, failure::Failure};

/// The context that is always there and is no file: the environment's daemon, or this machine's.
pub const DEFAULT: &str = "default";

/// `meta.json`; what is not known here is kept as it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Meta {
    pub name: String,
    pub metadata: Notes,
    pub endpoints: BTreeMap<String, Endpoint>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Notes {
    #[serde(rename = "Description", skip_serializing_if = "String::is_empty")]
    pub description: String,
    #[serde(flatten)]
    pub rest: serde_json::Map<String, serde_json::Value>,
}

/// Where a context's daemon is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Endpoint {
    #[serde(rename = "Host")]
    pub host: String,
    #[serde(rename = "SkipTLSVerify")]
    pub skip_tls_verify: bool,
}

impl Meta {
    /// The daemon of the context.
    pub fn docker(&self) -> Endpoint {
        self.endpoints.get("docker").cloned().unwrap_or_default()
    }
}

/// All contexts of a person.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    pub fn of(config_dir: &Path) -> Self {
        Self { root: config_dir.join("contexts") }
    }

    fn meta_dir(&self, name: &str) -> PathBuf {
        self.root.join("meta").join(key(name))
    }

    /// Where a context's certificates are.
    pub fn tls_dir(&self, name: &str) -> PathBuf {
        self.root.join("tls").join(key(name)).join("docker")
    }

    /// The certificates of a context, when it has any.
    pub fn tls(&self, name: &str) -> Option<TlsFiles> {
        let dir = self.tls_dir(name);
        dir.is_dir().then(|| TlsFiles::of(&dir))
    }

    /// A context by its name.
    pub fn get(&self, name: &str) -> Result<Meta, Failure> {
        let path = self.meta_dir(name).join("meta.json");
        match fs_err::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map_err(|err| Failure::new(format!("{}: {err}", path.display()))),
            Err(err) if err.kind() == ErrorKind::NotFound => {
                let names: Vec<String> = self.list()?.into_iter().map(|meta| meta.name).collect();
                let mut failure = Failure::new(format!("context {name:?} does not exist"));
                if let Some(hint) = crate::cli::suggest::did_you_mean(&crate::cli::suggest::nearest(
                    name,
                    names.iter().map(String::as_str),
                )) {
                    failure = failure.hint(hint);
                }
                Err(failure)
            }
            Err(err) => Err(err.into()),
        }
    }

    /// The directories of a context, as `inspect` shows them.
    pub fn places(&self, name: &str) -> serde_json::Value {
        let tls = self.tls_dir(name);
        serde_json::json!({ "MetadataPath": self.meta_dir(name), "TLSPath": tls.parent() })
    }

    pub fn has(&self, name: &str) -> bool {
        self.meta_dir(name).join("meta.json").is_file()
    }

    /// All contexts but the default, by name.
    pub fn list(&self) -> Result<Vec<Meta>, Failure> {
        let entries = match fs_err::read_dir(self.root.join("meta")) {
            Ok(entries) => entries,
            Err(err) if err.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(err) => return Err(err.into()),
        };
        let mut found = Vec::new();
        for entry in entries {
            let path = entry?.path().join("meta.json");
            // A directory that is being made or removed is no context.
            let Ok(text) = fs_err::read_to_string(&path) else { continue };
            let meta: Meta =
                serde_json::from_str(&text).map_err(|err| Failure::new(format!("{}: {err}", path.display())))?;
            found.push(meta);
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// Writes a context, with certificates by their names in the store; `None` keeps those it has.
    pub fn put(&self, meta: &Meta, tls: Option<&[(&str, Vec<u8>)]>) -> Result<(), Failure> {
        if let Some(files) = tls {
            let dir = self.tls_dir(&meta.name);
            remove(dir.parent().unwrap_or(&dir))?;
            for (name, bytes) in files {
                write(&dir.join(name), bytes)?;
            }
        }
        write(&self.meta_dir(&meta.name).join("meta.json"), &serde_json::to_vec(meta)?)
    }

    /// Removes a context with its certificates.
    pub fn remove(&self, name: &str) -> Result<(), Failure> {
        remove(&self.meta_dir(name))?;
        remove(&self.root.join("tls").join(key(name)))
    }

    /// The name that `use` was given last.
    pub fn current(&self) -> Result<String, Failure> {
        match fs_err::read_to_string(self.root.join("hoist-current")) {
            Ok(name) if !name.trim().is_empty() => Ok(name.trim().to_owned()),
            Ok(_) => Ok(DEFAULT.to_owned()),
            Err(err) if matches!(err.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(DEFAULT.to_owned()),
            Err(err) => Err(err.into()),
        }
    }

    /// Notes which context is used from now on.
    pub fn set_current(&self, name: &str) -> Result<(), Failure> {
        write(&self.root.join("hoist-current"), format!("{name}\n").as_bytes())
    }
}

/// Names are the directories' names only through a hash, so that any name can be one.
fn key(name: &str) -> String {
    Sha256::digest(name.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn remove(dir: &Path) -> Result<(), Failure> {
    match fs_err::remove_dir_all(dir) {
        Err(err) if err.kind() != ErrorKind::NotFound => Err(err.into()),
        _ => Ok(()),
    }
}

/// Beside and moved, so that half of it is never read; keys are nobody else's business.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let dir = path.parent().unwrap_or(path);
    fs_err::create_dir_all(dir)?;
    let fresh = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = fs_err::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs_err::rename(&fresh, path));
    if written.is_err() {
        // What cannot be written cannot always be removed either; the first error counts.
        let _ = fs_err::remove_file(&fresh);
    }
    Ok(written?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_are_kept_as_docker_keeps_them() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::of(dir.path());
        assert_eq!(store.current().unwrap(), DEFAULT);
        let endpoint = Endpoint { host: "tcp://a:2376".into(), skip_tls_verify: false };
        let meta = Meta { name: "far".into(), endpoints: [("docker".into(), endpoint)].into(), ..Meta::default() };
        store.put(&meta, Some(&[("ca.pem", b"x".to_vec())])).unwrap();
        // sha256 of "far"
        let name = key("far");
        let text = std::fs::read_to_string(dir.path().join(format!("contexts/meta/{name}/meta.json"))).unwrap();
        assert_eq!(
            text,
            r#"{"Name":"far","Metadata":{},"Endpoints":{"docker":{"Host":"tcp://a:2376","SkipTLSVerify":false}}}"#
        );
        assert_eq!(store.list().unwrap(), std::slice::from_ref(&meta));
        assert!(store.tls("far").unwrap().ca.is_file());
        assert!(store.get("fa").unwrap_err().hints[0].contains("far"));
        store.remove("far").unwrap();
        assert!(!store.has("far") && store.tls("far").is_none());
    }
}
