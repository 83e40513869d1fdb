//! Authentication to a registry: Basic, or Bearer with a token from the server that the registry names.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::challenge::Challenge;
use super::endpoint::{Endpoint, describe};
use crate::error::Error;
use crate::images::Auth;

const CLIENT_ID: &str = "hoist";
/// Tokens without a stated life live so long (distribution's token specification).
const DEFAULT_LIFE: u64 = 60;

#[derive(Clone)]
enum Authorization {
    Basic,
    Bearer { token: String, until: Instant },
}

/// What is known about authenticating to one endpoint with one set of credentials.
pub(crate) struct Authenticator {
    auth: Option<Auth>,
    by_scope: Mutex<HashMap<String, Authorization>>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    expires_in: Option<u64>,
}

impl Authenticator {
    pub(crate) fn new(auth: Option<Auth>) -> Authenticator {
        Authenticator { auth, by_scope: Mutex::new(HashMap::new()) }
    }

    /// Whether credentials were given at all.
    pub(crate) fn has_credentials(&self) -> bool {
        self.auth.is_some()
    }

    /// Adds what is known to be wanted for this scope.
    pub(crate) fn apply(&self, scope: &str, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        if let Some(token) = self.auth.as_ref().and_then(|a| a.registry_token.as_ref()) {
            return request.bearer_auth(token);
        }
        let known = self.by_scope.lock().unwrap_or_else(PoisonError::into_inner).get(scope).cloned();
        match (known, &self.auth) {
            (Some(Authorization::Basic), Some(auth)) => request.basic_auth(&auth.username, Some(&auth.password)),
            (Some(Authorization::Bearer { token, until }), _) if until > Instant::now() => request.bearer_auth(token),
            _ => request,
        }
    }

    /// Answers a registry's challenges. `Ok(false)` if none can be answered.
    pub(crate) async fn answer(
        &self,
        endpoint: &Endpoint,
        scope: &str,
        challenges: &[Challenge],
    ) -> Result<bool, Error> {
        for challenge in challenges {
            let found = match challenge {
                Challenge::Bearer { realm, service, .. } => {
                    Some(self.token(endpoint, realm, service.as_deref(), scope).await?)
                }
                Challenge::Basic => self.auth.as_ref().filter(|a| !a.username.is_empty()).map(|_| Authorization::Basic),
            };
            if let Some(found) = found {
                self.by_scope.lock().unwrap_or_else(PoisonError::into_inner).insert(scope.to_owned(), found);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Asks the token server (distribution's "Token Authentication Specification" and "OAuth2").
    async fn token(
        &self,
        endpoint: &Endpoint,
        realm: &str,
        service: Option<&str>,
        scope: &str,
    ) -> Result<Authorization, Error> {
        let protocol = |message: String| Error::Protocol { registry: endpoint.name.clone(), message };
        let url = reqwest::Url::parse(realm)
            .map_err(|e| protocol(format!("token server address {realm:?} is invalid: {e}")))?;
        let secure = endpoint.base().await?.starts_with("https:");
        if !matches!(url.scheme(), "https" | "http") || (secure && self.auth.is_some() && url.scheme() != "https") {
            return Err(protocol(format!(
                "token server address {realm:?} is not secure, no credentials are sent there"
            )));
        }
        let mut query = vec![("scope", scope)];
        query.extend(service.map(|s| ("service", s)));
        query.retain(|(_, value)| !value.is_empty());
        let identity = self.auth.as_ref().and_then(|a| a.identity_token.as_deref());
        let mut answer = match identity {
            Some(token) => {
                let mut form = query.clone();
                form.extend([("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", CLIENT_ID)]);
                self.send(endpoint, endpoint.client.post(url.clone()).form_body(&form)).await?
            }
            None => {
                let mut with_query = url.clone();
                {
                    let mut pairs = with_query.query_pairs_mut();
                    pairs.extend_pairs(&query);
                    pairs.append_pair("client_id", CLIENT_ID);
                    if let Some(auth) = &self.auth {
                        pairs.append_pair("account", &auth.username);
                    }
                }
                let mut request = endpoint.client.get(with_query);
                if let Some(auth) = &self.auth {
                    request = request.basic_auth(&auth.username, Some(&auth.password));
                }
                self.send(endpoint, request).await?
            }
        };
        // Servers that know OAuth2 alone.
        if identity.is_none()
            && matches!(answer.status().as_u16(), 404 | 405)
            && let Some(auth) = &self.auth
        {
            let mut form = query.clone();
            form.extend([
                ("grant_type", "password"),
                ("username", &auth.username),
                ("password", &auth.password),
                ("client_id", CLIENT_ID),
            ]);
            answer = self.send(endpoint, endpoint.client.post(url).form_body(&form)).await?;
        }
        let status = answer.status();
        let body = super::client::small_body(answer, &endpoint.name).await?;
        if matches!(status.as_u16(), 400 | 401 | 403) {
            let message =
                super::client::error_text(&body).unwrap_or_else(|| "the token server refused the credentials".into());
            return Err(Error::Unauthorized { registry: endpoint.name.clone(), message });
        }
        if !status.is_success() {
            return Err(Error::Registry {
                registry: endpoint.name.clone(),
                status: status.as_u16(),
                what: "the request for a token".into(),
                message: super::client::error_text(&body).unwrap_or_else(|| "no reason given".into()),
            });
        }
        let (token, life) = read_token(&body).map_err(protocol)?;
        Ok(Authorization::Bearer { token, until: Instant::now() + life })
    }

    async fn send(&self, endpoint: &Endpoint, request: reqwest::RequestBuilder) -> Result<reqwest::Response, Error> {
        request.header(http::header::ACCEPT, "application/json").send().await.map_err(|e| Error::Unreachable {
            registry: endpoint.name.clone(),
            reason: format!("its token server does not answer: {}", describe(&e)),
        })
    }
}

/// Reads a token server's answer: the token, and for how long it is good. An error says what is wrong with the answer.
pub(crate) fn read_token(body: &[u8]) -> Result<(String, Duration), String> {
    let answer: TokenAnswer =
        serde_json::from_slice(body).map_err(|e| format!("the token server's answer is malformed: {e}"))?;
    let token = answer.token.or(answer.access_token).filter(|t| !t.is_empty());
    let token = token.ok_or("the token server gave no token")?;
    // Renewed a little before its end.
    let life = answer.expires_in.unwrap_or(DEFAULT_LIFE).clamp(20, 24 * 3600) - 10;
    Ok((token, Duration::from_secs(life)))
}

trait FormBody {
    fn form_body(self, pairs: &[(&str, &str)]) -> Self;
}

impl FormBody for reqwest::RequestBuilder {
    /// The pairs as `application/x-www-form-urlencoded`.
    fn form_body(self, pairs: &[(&str, &str)]) -> Self {
        let mut url = reqwest::Url::parse("http://form/").expect("a constant address is valid");
        url.query_pairs_mut().extend_pairs(pairs);
        let body = url.query().unwrap_or_default().to_owned();
        self.header(http::header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(body)
    }
}
