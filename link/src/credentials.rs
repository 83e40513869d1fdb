//! A node's own key and certificate, on the disk and in use.

use std::{
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{ClientConfig, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use crate::{Identity, LinkError, NodeKey, Trust, tls};

/// A node's key, its certificate with what vouches for it, and the roots that it believes.
pub struct Credentials {
    key: NodeKey,
    /// The node's own, then those between it and a root.
    chain: Vec<CertificateDer<'static>>,
    roots: Vec<Trust>,
    identity: Identity,
    pub(crate) server: Arc<ServerConfig>,
    pub(crate) client: Arc<ClientConfig>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("identity", &self.identity).finish_non_exhaustive()
    }
}

const KEY: &str = "node.key";
const CHAIN: &str = "node.crt";
const ROOTS: &str = "ca.crt";

/// The certificates of a PEM text.
fn certificates(text: &str, what: &'static str) -> Result<Vec<CertificateDer<'static>>, LinkError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let all = all.map_err(|err| LinkError::malformed(what, err))?;
    if all.is_empty() {
        return Err(LinkError::malformed(what, "it holds no certificate"));
    }
    Ok(all)
}

impl Credentials {
    /// Puts them together from PEM.
    ///
    /// # Errors
    /// When something is malformed, or does not belong together.
    pub fn new(key: NodeKey, chain: &str, roots: &str) -> Result<Self, LinkError> {
        let chain = certificates(chain, "certificate")?;
        let identity = Identity::of(&chain[0])?;
        let roots: Vec<Trust> =
            certificates(roots, "root certificate")?.iter().map(Trust::from_der).collect::<Result<_, _>>()?;
        let private =
            || PrivateKeyDer::from_pem_slice(key.pem().as_bytes()).map_err(|err| LinkError::malformed("key", err));
        let server = tls::server(&roots, &chain, private()?)?;
        let client = tls::client(&roots, &chain, private()?)?;
        Ok(Self { key, chain, roots, identity, server, client })
    }

    /// Reads them from `dir`; `None` when there are none. `open` turns the file of the key into PEM.
    ///
    /// # Errors
    /// When they are there and cannot be used.
    pub fn load(dir: &Path, open: impl FnOnce(Vec<u8>) -> Result<Vec<u8>, String>) -> Result<Option<Self>, LinkError> {
        let wrong = |name: &str, reason: String| LinkError::Credentials { path: dir.join(name), reason };
        let key = match fs_err::read(dir.join(KEY)) {
            Ok(bytes) => bytes,
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(err) => return Err(err.into()),
        };
        let mode = fs_err::metadata(dir.join(KEY))?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(wrong(KEY, format!("it can be read by others (mode {mode:o}): its mode must be 600")));
        }
        let key = open(key).map_err(|reason| wrong(KEY, reason))?;
        let key = NodeKey::from_pem(&String::from_utf8_lossy(&key)).map_err(|err| wrong(KEY, err.to_string()))?;
        let (chain, roots) = (fs_err::read_to_string(dir.join(CHAIN))?, fs_err::read_to_string(dir.join(ROOTS))?);
        Self::new(key, &chain, &roots).map(Some)
    }

    /// Writes them to `dir`; the key goes through `seal` and is readable by its owner only.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, dir: &Path, seal: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Result<(), LinkError> {
        fs_err::create_dir_all(dir)?;
        fs_err::set_permissions(dir, std::fs::Permissions::from_mode(0o700))?;
        // All three are whole on the disk before the first takes its place.
        let key = seal(self.key.pem().into_bytes());
        let staged = [
            stage(&dir.join(ROOTS), self.roots_pem().as_bytes(), 0o644)?,
            stage(&dir.join(CHAIN), self.chain_pem().as_bytes(), 0o644)?,
            stage(&dir.join(KEY), &key, 0o600)?,
        ];
        for (staged, name) in staged.iter().zip([ROOTS, CHAIN, KEY]) {
            fs_err::rename(staged, dir.join(name))?;
        }
        fs_err::File::open(dir)?.sync_all()?;
        Ok(())
    }

    /// What the certificate says.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The roots that are believed.
    pub fn roots(&self) -> &[Trust] {
        &self.roots
    }

    /// The roots in PEM.
    pub fn roots_pem(&self) -> String {
        self.roots.iter().map(Trust::pem).collect()
    }

    /// The certificate and those between it and a root, in PEM.
    pub fn chain_pem(&self) -> String {
        self.chain.iter().map(|der| crate::authority::pem(der)).collect()
    }

    /// The same key and certificate with other roots.
    ///
    /// # Errors
    /// When the roots are malformed.
    pub fn with_roots(&self, roots: &str) -> Result<Self, LinkError> {
        Self::new(NodeKey::from_pem(&self.key.pem())?, &self.chain_pem(), roots)
    }
}

/// Writes a file beside the one that it is to replace.
fn stage(path: &Path, bytes: &[u8], mode: u32) -> Result<PathBuf, LinkError> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    let mut options = fs_err::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    fs_err::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    let mut file = options.open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(fresh)
}
