//! Credentials in requests, and `POST /auth`.

use axum::{
    Json,
    http::{HeaderMap, StatusCode},
};
use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use hoist_image::Auth;

use crate::api::{
    body::{self, JsonBody},
    dto::{image::AuthConfig, system::AuthResponse},
    error::ApiError,
};

/// The header that carries credentials for one registry.
pub const HEADER: &str = "x-registry-auth";

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);

/// The credentials of a request; `None` when it has none.
///
/// # Errors
/// 400 for a header that cannot be read.
pub fn from_headers(headers: &HeaderMap) -> Result<Option<Auth>, ApiError> {
    match headers.get(HEADER).map(|value| value.to_str()) {
        None => Ok(None),
        Some(Ok(text)) => decode(text),
        Some(Err(_)) => Err(ApiError::bad_request("invalid X-Registry-Auth header: it is not text")),
    }
}

/// Credentials as the header has them: base64 of JSON.
///
/// # Errors
/// 400 for what is neither.
pub fn decode(text: &str) -> Result<Option<Auth>, ApiError> {
    let fail = |why: &str| ApiError::bad_request(format!("invalid X-Registry-Auth header: {why}"));
    if text.trim().is_empty() {
        return Ok(None);
    }
    let bytes = bytes(text).ok_or_else(|| fail("it must be a valid base64url-encoded string"))?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let config: AuthConfig = body::parse(&bytes).map_err(|_| fail("it does not hold JSON"))?;
    auth(config)
}

/// Base64 of either alphabet, padded or not.
pub fn bytes(text: &str) -> Option<Vec<u8>> {
    URL_SAFE.decode(text.trim()).or_else(|_| STANDARD.decode(text.trim())).ok()
}

fn auth(config: AuthConfig) -> Result<Option<Auth>, ApiError> {
    let (mut username, mut password) = (config.username, config.password);
    if username.is_empty() && !config.auth.is_empty() {
        let pair = STANDARD.decode(&config.auth).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let pair = pair.as_deref().and_then(|pair| pair.split_once(':'));
        let (user, word) =
            pair.ok_or_else(|| ApiError::bad_request("invalid credentials: auth is not base64 of user:password"))?;
        (username, password) = (user.to_owned(), word.trim_end_matches('\0').to_owned());
    }
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    let auth = Auth {
        username,
        password,
        identity_token: some(config.identitytoken),
        registry_token: some(config.registrytoken),
    };
    Ok(Some(auth).filter(|auth| *auth != Auth::default()))
}

/// `POST /auth`: checks credentials at their registry.
pub async fn check(
    axum::extract::State(state): axum::extract::State<crate::api::State>,
    JsonBody(config): JsonBody<AuthConfig>,
) -> Result<Json<AuthResponse>, ApiError> {
    let registry = match config.serveraddress.as_str() {
        "" | super::info::INDEX => "docker.io".to_owned(),
        address => address
            .trim_start_matches("https://")
            .trim_start_matches("http://")
            .split('/')
            .next()
            .unwrap_or_default()
            .to_owned(),
    };
    let auth = auth(config)?.ok_or_else(|| ApiError::new(StatusCode::UNAUTHORIZED, "no credentials were given"))?;
    state.engine.images().check_login(&registry, auth).await?;
    Ok(Json(AuthResponse { status: "Login Succeeded".to_owned(), identity_token: String::new() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_alphabets_and_both_forms() {
        let json = r#"{"username":"a","password":"b?>"}"#;
        for text in [URL_SAFE.encode(json), STANDARD.encode(json), URL_SAFE.encode(json).replace('=', "")] {
            let auth = decode(&text).unwrap().unwrap();
            assert_eq!((auth.username.as_str(), auth.password.as_str()), ("a", "b?>"));
        }
        let old = format!(r#"{{"auth":"{}"}}"#, STANDARD.encode("u:p:q"));
        assert_eq!(decode(&URL_SAFE.encode(old)).unwrap().unwrap().password, "p:q");
        assert_eq!(decode(&URL_SAFE.encode("{}")).unwrap(), None);
        assert_eq!(decode("").unwrap(), None);
        assert!(decode("%%").unwrap_err().message.contains("base64url"));
        assert!(decode(&URL_SAFE.encode("x")).unwrap_err().message.contains("JSON"));
    }
}
