//! Requests to registries: authentication, retries, and what their errors mean.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::{Method, StatusCode, header};
use reqwest::{RequestBuilder, Response};
use tokio::sync::Mutex;

use super::auth::Authenticator;
use super::challenge;
use super::endpoint::Endpoint;
use crate::digest::{Digest, Hasher};
use crate::error::Error;
use crate::images::{Auth, ImagePeer, Options};
use crate::manifest::{Descriptor, media_type};
use crate::reference::{DEFAULT_DOMAIN, Reference};
use crate::store::MAX_DOCUMENT;

const DOCUMENT_ATTEMPTS: u32 = 3;

/// All registries that were spoken to: connections are shared.
pub(crate) struct Registries {
    options: RwLock<Arc<Options>>,
    endpoints: Mutex<HashMap<String, Arc<Endpoint>>>,
}

/// One repository, at its registry and the mirrors of it.
pub(crate) struct Repository {
    reference: Reference,
    pub(super) sites: Vec<Site>,
    pub(super) scope: String,
    pub(crate) max_attempts: u32,
}

/// Where a repository can be found.
pub(super) struct Site {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) authenticator: Authenticator,
    pub(super) mirror: bool,
}

/// A manifest or index as the registry gave it, verified.
pub(crate) struct Document {
    pub bytes: Vec<u8>,
    pub media_type: Option<String>,
    pub digest: Digest,
}

impl Registries {
    pub(crate) fn new(options: Options) -> Registries {
        Registries { options: RwLock::new(Arc::new(options)), endpoints: Mutex::new(HashMap::new()) }
    }

    /// An HTTP client for a host, as registries are spoken to.
    pub(crate) fn client(&self, host: &str) -> Result<reqwest::Client, Error> {
        Ok(Endpoint::for_domain(host, &self.options())?.client)
    }

    /// A repository, to pull from or (with `push`) to push to.
    pub(crate) async fn repository(
        &self,
        reference: &Reference,
        auth: Option<Auth>,
        push: bool,
    ) -> Result<Repository, Error> {
        let options = self.options();
        let domain = reference.domain();
        let auth = match (auth, &options.auth_file) {
            (Some(auth), _) => Some(auth),
            (None, Some(file)) => Auth::from_docker_config(file, domain).await?,
            (None, None) => None,
        };
        let mut sites = Vec::new();
        if domain == DEFAULT_DOMAIN && !push {
            for mirror in &options.mirrors {
                let endpoint = self.endpoint(mirror, || Endpoint::for_mirror(mirror, &options)).await?;
                // The hub's credentials are not the mirror's business.
                sites.push(Site { endpoint, authenticator: Authenticator::new(None), mirror: true });
            }
        }
        let endpoint = self.endpoint(domain, || Endpoint::for_domain(domain, &options)).await?;
        sites.push(Site { endpoint, authenticator: Authenticator::new(auth), mirror: false });
        let actions = if push { "pull,push" } else { "pull" };
        Ok(Repository {
            scope: format!("repository:{}:{actions}", reference.path()),
            reference: reference.clone(),
            sites,
            max_attempts: options.max_attempts.max(1),
        })
    }

    /// A repository as it can be had from machines of the cluster, and then (unless `peers_only`) from its registry.
    pub(crate) async fn repository_with_peers(
        &self,
        reference: &Reference,
        auth: Option<Auth>,
        peers: &[ImagePeer],
        peers_only: bool,
    ) -> Result<Repository, Error> {
        let mut sites = Vec::new();
        for peer in peers {
            let endpoint = Arc::new(Endpoint::for_peer(peer, &self.options())?);
            sites.push(Site { endpoint, authenticator: Authenticator::new(None), mirror: true });
        }
        if peers_only {
            let (scope, reference) = (String::new(), reference.clone());
            return Ok(Repository { scope, reference, sites, max_attempts: self.options().max_attempts.max(1) });
        }
        let mut repository = self.repository(reference, auth, false).await?;
        sites.append(&mut repository.sites);
        Ok(Repository { sites, ..repository })
    }

    pub(super) fn options(&self) -> Arc<Options> {
        self.options.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Other mirrors and other insecure registries from now on; what is under way goes on as it began.
    pub(crate) async fn set(&self, mirrors: Vec<String>, insecure: Vec<String>) {
        let mut endpoints = self.endpoints.lock().await;
        let new = Options { mirrors, insecure_registries: insecure, ..(*self.options()).clone() };
        *self.options.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
        endpoints.clear();
    }

    pub(super) async fn endpoint(
        &self,
        key: &str,
        make: impl FnOnce() -> Result<Endpoint, Error>,
    ) -> Result<Arc<Endpoint>, Error> {
        let mut endpoints = self.endpoints.lock().await;
        if let Some(endpoint) = endpoints.get(key) {
            return Ok(Arc::clone(endpoint));
        }
        let endpoint = Arc::new(make()?);
        endpoints.insert(key.to_owned(), Arc::clone(&endpoint));
        Ok(endpoint)
    }

    /// Checks credentials against a registry, as `login` does.
    pub(crate) async fn check(&self, domain: &str, auth: Auth) -> Result<(), Error> {
        let endpoint = self.endpoint(domain, || Endpoint::for_domain(domain, &self.options())).await?;
        let site = Site { endpoint, authenticator: Authenticator::new(Some(auth)), mirror: false };
        let answer = site.send("", Method::GET, "/v2/", &|r| r).await?;
        match answer.status() {
            s if s.is_success() => Ok(()),
            _ => Err(site.refused(answer, domain, "the login").await),
        }
    }
}

impl Repository {
    /// The registry's name.
    pub(crate) fn registry(&self) -> &str {
        self.reference.domain()
    }

    /// What is asked for.
    pub(crate) fn reference(&self) -> &Reference {
        &self.reference
    }

    /// The registry itself, without mirrors.
    pub(super) fn main_site(&self) -> &Site {
        self.sites.last().expect("a repository always has its registry as the last site")
    }

    /// The path of something in this repository.
    pub(super) fn path(&self, rest: &str) -> String {
        format!("/v2/{}/{rest}", self.reference.path())
    }

    /// Gets a manifest or index by tag or digest.
    pub(crate) async fn manifest(&self, tag_or_digest: &str) -> Result<Document, Error> {
        let path = self.path(&format!("manifests/{tag_or_digest}"));
        let accept = media_type::ACCEPT.join(", ");
        let mut last = None;
        for site in &self.sites {
            let result = retried(DOCUMENT_ATTEMPTS, || async {
                let answer = site.send(&self.scope, Method::GET, &path, &|r| r.header(header::ACCEPT, &accept)).await?;
                if !answer.status().is_success() {
                    return Err(site.refused(answer, &self.reference.familiar(), "the request for the manifest").await);
                }
                let text = |name: &str| answer.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
                let media_type =
                    text("content-type").map(|t| t.split(';').next().unwrap_or_default().trim().to_owned());
                let stated: Option<Digest> = text("docker-content-digest").and_then(|d| d.parse().ok());
                let bytes = small_body(answer, &site.endpoint.name).await?;
                let wanted: Option<Digest> = tag_or_digest.parse().ok();
                let digest = verify(&bytes, wanted.or(stated), &self.reference.familiar())?;
                Ok(Document { bytes, media_type, digest })
            });
            match result.await {
                Ok(document) => return Ok(document),
                Err(error) => {
                    if site.mirror {
                        tracing::info!(mirror = %site.endpoint.name, %error, "mirror does not have the image");
                    }
                    last = Some(error);
                }
            }
        }
        Err(last.expect("a repository has at least one site"))
    }

    /// Gets a small blob.
    pub(crate) async fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>, Error> {
        if descriptor.size > MAX_DOCUMENT {
            let message = format!("has a document of {} bytes, more than {MAX_DOCUMENT}", descriptor.size);
            return Err(Error::invalid(self.reference.familiar(), message));
        }
        retried(DOCUMENT_ATTEMPTS, || async {
            let bytes = small_body(self.blob(&descriptor.digest, 0).await?, self.registry()).await?;
            verify(&bytes, Some(descriptor.digest.clone()), &self.reference.familiar())?;
            Ok(bytes)
        })
        .await
    }

    /// Whether the registry itself has a blob in this repository.
    pub(crate) async fn has_blob(&self, digest: &Digest) -> Result<bool, Error> {
        let site = self.main_site();
        let head = site.send(&self.scope, Method::HEAD, &self.path(&format!("blobs/{digest}")), &|r| r).await?;
        match head.status() {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(site.refused(head, &self.reference.familiar(), "the question for a blob").await),
        }
    }

    /// Begins to get a blob, from `offset` on. The answer is a success of some kind.
    pub(crate) async fn blob(&self, digest: &Digest, offset: u64) -> Result<Response, Error> {
        let path = self.path(&format!("blobs/{digest}"));
        let mut last = None;
        for site in &self.sites {
            let range = |request: RequestBuilder| match offset {
                0 => request,
                _ => request.header(header::RANGE, format!("bytes={offset}-")),
            };
            match site.send(&self.scope, Method::GET, &path, &range).await {
                Ok(answer) if answer.status().is_success() || answer.status() == StatusCode::RANGE_NOT_SATISFIABLE => {
                    return Ok(answer);
                }
                Ok(answer) => {
                    last = Some(site.refused(answer, &format!("blob {digest}"), "the request for a blob").await)
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.expect("a repository has at least one site"))
    }
}

impl Site {
    /// Sends a request, authenticating as the registry wants. The answer may still be a refusal.
    pub(super) async fn send(
        &self,
        scope: &str,
        method: Method,
        path_or_url: &str,
        build: &(dyn Fn(RequestBuilder) -> RequestBuilder + Sync),
    ) -> Result<Response, Error> {
        let base = self.endpoint.base().await?;
        let url = if path_or_url.starts_with('/') { format!("{base}{path_or_url}") } else { path_or_url.to_owned() };
        for attempt in 0.. {
            let request = self.authenticator.apply(scope, build(self.endpoint.client.request(method.clone(), &url)));
            let answer = request.send().await.map_err(|e| self.endpoint.unreachable(&e))?;
            if answer.status() != StatusCode::UNAUTHORIZED || attempt > 0 {
                return Ok(answer);
            }
            let headers = answer.headers().get_all(header::WWW_AUTHENTICATE);
            let challenges: Vec<_> =
                headers.iter().filter_map(|v| v.to_str().ok()).flat_map(challenge::parse).collect();
            if !self.authenticator.answer(&self.endpoint, scope, &challenges).await? {
                return Ok(answer);
            }
        }
        unreachable!("the loop returns on its second pass")
    }

    /// The meaning of an answer that is no success.
    pub(super) async fn refused(&self, answer: Response, resource: &str, what: &str) -> Error {
        let registry = self.endpoint.name.clone();
        let status = answer.status();
        let body = small_body(answer, &registry).await.unwrap_or_default();
        let message = error_text(&body);
        match status.as_u16() {
            401 if self.authenticator.has_credentials() => Error::Unauthorized {
                registry,
                message: message.unwrap_or_else(|| "incorrect username or password".into()),
            },
            // Without a login a registry does not say whether there is such a repository.
            401 if what.contains("manifest") && message.as_deref().is_none_or(|m| m.contains("denied")) => {
                Error::NotAtRegistry { reference: resource.to_owned(), registry }
            }
            401 => Error::Unauthorized { registry, message: message.unwrap_or_else(|| "it requires a login".into()) },
            403 => Error::Denied {
                registry,
                resource: resource.to_owned(),
                message: message.unwrap_or_else(|| "forbidden".into()),
            },
            404 if what.contains("manifest") => Error::NotAtRegistry { reference: resource.to_owned(), registry },
            code => Error::Registry {
                registry,
                status: code,
                what: format!("{what} ({resource})"),
                message: message.unwrap_or_else(|| status.canonical_reason().unwrap_or("no reason given").to_owned()),
            },
        }
    }
}

/// Tries again, after a while that doubles each time, while the error is one that may pass.
pub(super) async fn retried<T, F: Future<Output = Result<T, Error>>>(
    attempts: u32,
    mut attempt: impl FnMut() -> F,
) -> Result<T, Error> {
    let mut pause = Duration::from_millis(200);
    for _ in 1..attempts {
        match attempt().await {
            Err(error) if error.is_transient() => {
                tracing::debug!(%error, "trying again");
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            other => return other,
        }
    }
    attempt().await
}

/// Computes the digest of a document, and compares it with the one that it should have.
pub(crate) fn verify(bytes: &[u8], wanted: Option<Digest>, what: &str) -> Result<Digest, Error> {
    let Some(wanted) = wanted else { return Ok(Digest::of(bytes)) };
    let mut hasher = Hasher::new(wanted.algorithm());
    hasher.update(bytes);
    let actual = hasher.finish();
    if actual != wanted {
        return Err(Error::Corrupt { what: format!("manifest of {what}"), expected: wanted, actual });
    }
    Ok(actual)
}

/// Reads an answer's body, up to a limit.
pub(super) async fn small_body(mut answer: Response, registry: &str) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    loop {
        match answer.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body),
            Err(e) => {
                return Err(Error::Unreachable {
                    registry: registry.to_owned(),
                    reason: super::endpoint::describe(&e),
                });
            }
        }
        if body.len() as u64 > MAX_DOCUMENT {
            return Err(Error::Protocol {
                registry: registry.to_owned(),
                message: format!("a document of more than {MAX_DOCUMENT} bytes"),
            });
        }
    }
}

/// The texts of an error document (OCI distribution, "Error Codes"; token servers use `details`).
pub(crate) fn error_text(body: &[u8]) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(body).ok()?;
    let one = |e: &serde_json::Value| {
        let text =
            |key: &str| e.get(key).and_then(serde_json::Value::as_str).filter(|t| !t.is_empty()).map(str::to_owned);
        text("message").or_else(|| text("error_description")).or_else(|| text("details")).or_else(|| text("code"))
    };
    let texts: Vec<String> = match value.get("errors").and_then(serde_json::Value::as_array) {
        Some(errors) => errors.iter().filter_map(one).collect(),
        None => one(&value).into_iter().collect(),
    };
    let joined = texts.join("; ");
    let line: String = joined.chars().filter(|c| !c.is_control()).take(500).collect();
    (!line.is_empty()).then_some(line)
}
