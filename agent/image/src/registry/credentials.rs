//! Stored credentials: Docker's `config.json` (`auths`, `credHelpers`, `credsStore`) and its helper programs.

use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;

use crate::error::Error;
use crate::images::Auth;

/// The key under which everyone stores credentials for docker.io.
const HUB_KEY: &str = "https://index.docker.io/v1/";

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ConfigFile {
    auths: HashMap<String, Entry>,
    cred_helpers: HashMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
    registrytoken: String,
}

#[derive(Deserialize)]
struct HelperAnswer {
    #[serde(rename = "Username", default)]
    username: String,
    #[serde(rename = "Secret", default)]
    secret: String,
}

impl Auth {
    /// Finds the credentials for a registry in a file such as `~/.docker/config.json`, asking helper programs where the
    /// file says so. `Ok(None)` if there is no such file, or nothing in it for this registry.
    pub async fn from_docker_config(path: &Path, domain: &str) -> Result<Option<Auth>, Error> {
        let bytes = match fs_err::tokio::read(path).await {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io("read", path, e)),
        };
        let config: ConfigFile = serde_json::from_slice(&bytes)
            .map_err(|source| Error::Malformed { what: path.display().to_string(), source })?;
        let server = if domain == crate::reference::DEFAULT_DOMAIN { HUB_KEY } else { domain };
        if let Some(helper) = config.cred_helpers.get(domain).or_else(|| config.cred_helpers.get(server)) {
            return ask_helper(helper, server).await;
        }
        if let Some(helper) = config.creds_store.as_deref().filter(|h| !h.is_empty())
            && let Some(auth) = ask_helper(helper, server).await?
        {
            return Ok(Some(auth));
        }
        let exact = config.auths.get(server);
        let entry =
            exact.or_else(|| config.auths.iter().find(|(key, _)| host_of(key) == domain).map(|(_, entry)| entry));
        entry.map_or(Ok(None), |entry| decode(entry, path, domain))
    }
}

/// Keys may be whole addresses: `https://host:5000/v2/` is for `host:5000`.
fn host_of(key: &str) -> &str {
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    key.split('/').next().unwrap_or(key)
}

fn decode(entry: &Entry, path: &Path, domain: &str) -> Result<Option<Auth>, Error> {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let (mut username, mut password) = (entry.username.clone(), entry.password.clone());
    if !entry.auth.is_empty() {
        let bad = |why: &str| {
            Error::invalid(path.display().to_string(), format!("the entry for {domain} has an auth field that {why}"))
        };
        let bytes = STANDARD
            .decode(&entry.auth)
            .or_else(|_| STANDARD_NO_PAD.decode(&entry.auth))
            .map_err(|_| bad("is no base64"))?;
        let text = String::from_utf8(bytes).map_err(|_| bad("is no text"))?;
        let (user, pass) = text.split_once(':').ok_or_else(|| bad("has no colon"))?;
        username = user.to_owned();
        password = pass.trim_end_matches('\0').to_owned();
    }
    let auth = Auth {
        username,
        password,
        identity_token: some(&entry.identitytoken),
        registry_token: some(&entry.registrytoken),
    };
    // `docker login` with a helper leaves empty entries behind.
    Ok(Some(auth).filter(|a| *a != Auth::default()))
}

/// Runs `docker-credential-<name> get`.
async fn ask_helper(name: &str, server: &str) -> Result<Option<Auth>, Error> {
    let failed = |message: String| Error::CredentialHelper { helper: name.to_owned(), message };
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) {
        return Err(failed("this is no name of a helper".into()));
    }
    let mut child = tokio::process::Command::new(format!("docker-credential-{name}"))
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| failed(format!("cannot run docker-credential-{name}: {e}")))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that ends without reading says why on its output.
        let _ = stdin.write_all(server.as_bytes()).await;
    }
    let output = child.wait_with_output().await.map_err(|e| failed(e.to_string()))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if text.contains("credentials not found") {
            return Ok(None);
        }
        let text = if text.is_empty() { String::from_utf8_lossy(&output.stderr).trim().to_owned() } else { text };
        return Err(failed(text.chars().take(300).collect()));
    }
    let answer: HelperAnswer =
        serde_json::from_slice(&output.stdout).map_err(|e| failed(format!("its answer is malformed: {e}")))?;
    Ok(Some(if answer.username == "<token>" {
        Auth { identity_token: Some(answer.secret), ..Auth::default() }
    } else {
        Auth { username: answer.username, password: answer.secret, ..Auth::default() }
    }))
}
