//! A context as an archive: `meta.json` and `tls/docker/*`, as Docker writes it.

use std::io::{Cursor, Read};

use super::{Meta, Store};
use crate::cli::failure::Failure;

/// No file of a context is larger.
const LIMIT: u64 = 1 << 20;
/// The certificates that a context may have.
const CERTIFICATES: [&str; 3] = ["ca.pem", "cert.pem", "key.pem"];

impl Store {
    /// A context in an archive.
    pub fn export(&self, name: &str) -> Result<Vec<u8>, Failure> {
        let meta = self.get(name)?;
        let mut tar = tar::Builder::new(Vec::new());
        let mut add = |path: &str, bytes: &[u8]| {
            let mut header = tar::Header::new_ustar();
            header.set_mode(0o644);
            header.set_size(bytes.len() as u64);
            tar.append_data(&mut header, path, bytes)
        };
        add("meta.json", &serde_json::to_vec(&meta)?)?;
        let dir = self.tls_dir(name);
        for file in CERTIFICATES.into_iter().filter(|file| dir.join(file).is_file()) {
            add(&format!("tls/docker/{file}"), &fs_err::read(dir.join(file))?)?;
        }
        Ok(tar.into_inner()?)
    }

    /// A context from an archive, under a name of its own.
    pub fn import(&self, name: &str, archive: &[u8]) -> Result<(), Failure> {
        let mut meta: Option<Meta> = None;
        let mut files = Vec::new();
        let mut tar = tar::Archive::new(Cursor::new(archive));
        for entry in tar.entries()? {
            let mut entry = entry?;
            let path = entry.path()?.to_string_lossy().into_owned();
            if entry.size() > LIMIT {
                return Err(Failure::new(format!("{path} in the archive is larger than any file of a context")));
            }
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            if path == "meta.json" {
                meta = Some(serde_json::from_slice(&bytes)?);
            } else if let Some(file) = CERTIFICATES.into_iter().find(|file| path == format!("tls/docker/{file}")) {
                files.push((file, bytes));
            } else if !path.ends_with('/') {
                return Err(Failure::new(format!("the archive holds {path}, which is no part of a context")));
            }
        }
        let mut meta = meta.ok_or_else(|| Failure::new("the archive holds no meta.json: it is no context"))?;
        name.clone_into(&mut meta.name);
        self.put(&meta, Some(&files))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::contexts::Endpoint;

    #[test]
    fn there_and_back() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::of(dir.path());
        let endpoint = Endpoint { host: "tcp://a:2376".into(), skip_tls_verify: false };
        let meta = Meta { name: "far".into(), endpoints: [("docker".into(), endpoint)].into(), ..Meta::default() };
        store.put(&meta, Some(&[("ca.pem", b"authority".to_vec())])).unwrap();
        let archive = store.export("far").unwrap();
        store.import("near", &archive).unwrap();
        assert_eq!(store.get("near").unwrap().docker().host, "tcp://a:2376");
        assert_eq!(std::fs::read(store.tls_dir("near").join("ca.pem")).unwrap(), b"authority");
        assert!(store.import("x", b"nothing").is_err());
    }
}
