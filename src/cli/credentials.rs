//! Registry credentials: Docker's `config.json` and its helpers.

use std::{
    collections::BTreeMap,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use serde::{Deserialize, Serialize};

use super::failure::Failure;

/// The key under which Docker Hub's credentials are kept.
pub const HUB: &str = "https://index.docker.io/v1/";

/// What of `config.json` concerns registries; the rest is kept as it is.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Config {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub auths: BTreeMap<String, Entry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creds_store: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub cred_helpers: BTreeMap<String, String>,
    #[serde(flatten)]
    rest: serde_json::Map<String, serde_json::Value>,
}

/// One registry's credentials as they are kept.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Entry {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub auth: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub identitytoken: String,
    #[serde(flatten)]
    rest: serde_json::Map<String, serde_json::Value>,
}

/// One registry's credentials as they are sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Credentials {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub username: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub password: String,
    pub serveraddress: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub identitytoken: String,
}

impl Credentials {
    /// As the `X-Registry-Auth` header has it.
    pub fn header(&self) -> String {
        URL_SAFE.encode(serde_json::json!(self).to_string())
    }
}

/// What of `config.json` a reader knows; a file that is not there says nothing.
pub fn read_config<T: Default + serde::de::DeserializeOwned>(dir: &Path) -> Result<T, Failure> {
    let path = dir.join("config.json");
    let text = match fs_err::read_to_string(&path) {
        Ok(text) => text,
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => return Ok(T::default()),
        Err(err) => return Err(err.into()),
    };
    serde_json::from_str(&text).map_err(|err| Failure::new(format!("{}: {err}", path.display())))
}

impl Config {
    /// Reads `config.json`; one that is not there is empty.
    pub fn load(dir: &Path) -> Result<Self, Failure> {
        read_config(dir)
    }

    /// Writes `config.json`, readable by its owner only.
    pub fn save(&self, dir: &Path) -> Result<(), Failure> {
        use fs_err::os::unix::fs::OpenOptionsExt;
        fs_err::create_dir_all(dir)?;
        let path = dir.join("config.json");
        let fresh = dir.join(format!(".config.json.{}", std::process::id()));
        let mut file = fs_err::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        let written = file
            .write_all(serde_json::to_string_pretty(self)?.as_bytes())
            .and_then(|()| file.write_all(b"\n"))
            .and_then(|()| file.sync_all())
            .and_then(|()| fs_err::rename(&fresh, &path));
        if written.is_err() {
            let _ = fs_err::remove_file(&fresh);
        }
        Ok(written?)
    }

    /// The helper that keeps a registry's credentials, when one does.
    pub fn helper(&self, registry: &str) -> Option<&str> {
        self.cred_helpers
            .get(registry)
            .or(self.creds_store.as_ref())
            .map(String::as_str)
            .filter(|name| !name.is_empty())
    }

    /// The credentials of a registry, asking its helper.
    pub fn credentials(&self, registry: &str) -> Result<Option<Credentials>, Failure> {
        if let Some(helper) = self.helper(registry)
            && let Some(found) = helper_get(helper, registry)?
        {
            return Ok(Some(found));
        }
        let bare = |key: &str| {
            key.trim_start_matches("https://")
                .trim_start_matches("http://")
                .split('/')
                .next()
                .unwrap_or_default()
                .to_owned()
        };
        let entry = self
            .auths
            .get(registry)
            .or_else(|| self.auths.iter().find(|(key, _)| bare(key) == bare(registry)).map(|(_, entry)| entry));
        let Some(entry) = entry else { return Ok(None) };
        let mut found = Credentials {
            serveraddress: registry.to_owned(),
            identitytoken: entry.identitytoken.clone(),
            ..Credentials::default()
        };
        if !entry.auth.is_empty() {
            let broken = || {
                Failure::new(format!("the credentials of {registry} in config.json are damaged")).hint("log in again")
            };
            let decoded = STANDARD.decode(entry.auth.trim()).map_err(|_| broken())?;
            let decoded = String::from_utf8(decoded).map_err(|_| broken())?;
            let (username, password) = decoded.split_once(':').ok_or_else(broken)?;
            found.username = username.to_owned();
            found.password = password.trim_end_matches('\0').to_owned();
        }
        Ok((!found.username.is_empty() || !found.identitytoken.is_empty()).then_some(found))
    }

    /// Keeps credentials: with the helper, or in the file.
    pub fn store(&mut self, registry: &str, credentials: &Credentials) -> Result<(), Failure> {
        if let Some(helper) = self.helper(registry) {
            let (name, secret) = if credentials.identitytoken.is_empty() {
                (credentials.username.as_str(), &credentials.password)
            } else {
                ("<token>", &credentials.identitytoken)
            };
            let input = serde_json::json!({ "ServerURL": registry, "Username": name, "Secret": secret });
            helper_run(helper, "store", &input.to_string())?;
            self.auths.insert(registry.to_owned(), Entry::default());
            return Ok(());
        }
        let entry = Entry {
            auth: STANDARD.encode(format!("{}:{}", credentials.username, credentials.password)),
            identitytoken: credentials.identitytoken.clone(),
            ..Entry::default()
        };
        self.auths.insert(registry.to_owned(), entry);
        Ok(())
    }

    /// Forgets credentials; says whether there were any.
    pub fn erase(&mut self, registry: &str) -> Result<bool, Failure> {
        if let Some(helper) = self.helper(registry) {
            helper_run(helper, "erase", registry)?;
        }
        Ok(self.auths.remove(registry).is_some())
    }
}

/// The registry of an image's name, as credentials are kept for it.
pub fn registry_of(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => {
            if matches!(host, "docker.io" | "index.docker.io") { HUB } else { host }
        }
        _ => HUB,
    }
}

/// The `X-Registry-Auth` header for an image, when there are credentials.
pub fn header_for(dir: &Path, image: &str) -> Result<Option<String>, Failure> {
    let config = Config::load(dir)?;
    Ok(config.credentials(registry_of(image))?.map(|found| found.header()))
}

fn helper_get(helper: &str, registry: &str) -> Result<Option<Credentials>, Failure> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Found {
        username: String,
        secret: String,
    }
    let answer = match helper_run(helper, "get", registry) {
        Ok(answer) => answer,
        Err(failure) if failure.message.contains("credentials not found") => return Ok(None),
        Err(failure) => return Err(failure),
    };
    let found: Found = serde_json::from_str(&answer)
        .map_err(|err| Failure::new(format!("docker-credential-{helper}: its answer is not understood: {err}")))?;
    let mut credentials = Credentials { serveraddress: registry.to_owned(), ..Credentials::default() };
    if found.username == "<token>" {
        credentials.identitytoken = found.secret;
    } else {
        credentials.username = found.username;
        credentials.password = found.secret;
    }
    Ok(Some(credentials))
}

fn helper_run(helper: &str, verb: &str, input: &str) -> Result<String, Failure> {
    let name = format!("docker-credential-{helper}");
    let fail = |reason: String| Failure::new(format!("{name}: {reason}"));
    let mut child = Command::new(&name)
        .arg(verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(|err| fail(err.to_string()).hint("config.json names this credential helper; it must be in PATH"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).map_err(|err| fail(err.to_string()))?;
    }
    let output = child.wait_with_output().map_err(|err| fail(err.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !output.status.success() {
        return Err(fail(if text.is_empty() { output.status.to_string() } else { text }));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries() {
        assert_eq!(registry_of("busybox"), HUB);
        assert_eq!(registry_of("me/app:1"), HUB);
        assert_eq!(registry_of("docker.io/library/x"), HUB);
        assert_eq!(registry_of("localhost:5000/x"), "localhost:5000");
        assert_eq!(registry_of("ghcr.io/a/b"), "ghcr.io");
    }

    #[test]
    fn credentials_are_kept_and_found_and_other_settings_stay() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join("config.json"),
            r#"{"psFormat":"{{.ID}}","auths":{"https://old.example/v2/":{"auth":"YTpi"}}}"#,
        )
        .unwrap();
        let mut config = Config::load(dir.path()).unwrap();
        let credentials = Credentials {
            username: "u".into(),
            password: "p:w".into(),
            serveraddress: "r:5000".into(),
            ..Default::default()
        };
        config.store("r:5000", &credentials).unwrap();
        config.save(dir.path()).unwrap();
        let mut config = Config::load(dir.path()).unwrap();
        assert_eq!(config.credentials("r:5000").unwrap(), Some(credentials));
        assert_eq!(config.credentials("old.example").unwrap().unwrap().username, "a");
        assert_eq!(config.rest["psFormat"], "{{.ID}}");
        assert!(config.erase("r:5000").unwrap());
        assert!(config.credentials("r:5000").unwrap().is_none());
    }
}
