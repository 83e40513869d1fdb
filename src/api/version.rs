//! API versions: `/v1.41/containers/json` is `/containers/json` as version 1.41 knew it.

use std::{fmt, str::FromStr};

use axum::{
    extract::FromRequestParts,
    http::{Request, Uri, request::Parts},
};

use super::error::ApiError;

/// A version of the Docker Engine API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiVersion(pub u16, pub u16);

impl ApiVersion {
    /// The oldest that is spoken.
    pub const OLDEST: Self = Self(1, 24);
    /// The newest that is spoken, and what a path without a version means.
    pub const NEWEST: Self = Self(1, 56);
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl FromStr for ApiVersion {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let (major, minor) = text.split_once('.').ok_or(())?;
        Ok(Self(major.parse().map_err(drop)?, minor.parse().map_err(drop)?))
    }
}

impl<S: Sync> FromRequestParts<S> for ApiVersion {
    type Rejection = std::convert::Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get().copied().unwrap_or(Self::NEWEST))
    }
}

/// Takes the version off the path and remembers it in the request.
pub fn strip<B>(request: &mut Request<B>) -> Result<(), ApiError> {
    let path = request.uri().path();
    let Some((version, rest)) = split(path) else {
        return Ok(());
    };
    let version = check(version)?;
    let target = match request.uri().query() {
        Some(query) => format!("{rest}?{query}"),
        None => rest.to_owned(),
    };
    *request.uri_mut() = target.parse::<Uri>().map_err(|err| ApiError::bad_request(format!("invalid path: {err}")))?;
    request.extensions_mut().insert(version);
    Ok(())
}

/// `/v1.41/x` as `1.41` and `/x`.
fn split(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_prefix("/v")?;
    let (version, _) = rest.split_once('/')?;
    let digits = version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    (digits && version.contains('.')).then(|| (version, &rest[version.len()..]))
}

fn check(text: &str) -> Result<ApiVersion, ApiError> {
    let version: ApiVersion =
        text.parse().map_err(|()| ApiError::bad_request(format!("invalid API version {text:?}")))?;
    if version < ApiVersion::OLDEST {
        return Err(ApiError::bad_request(format!(
            "client version {version} is too old. Minimum supported API version is {}, please upgrade your client to a newer version",
            ApiVersion::OLDEST
        )));
    }
    if version > ApiVersion::NEWEST {
        return Err(ApiError::bad_request(format!(
            "client version {version} is too new. Maximum supported API version is {}",
            ApiVersion::NEWEST
        )));
    }
    Ok(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripped(uri: &str) -> Result<(String, Option<ApiVersion>), ApiError> {
        let mut request = Request::builder().uri(uri).body(()).unwrap();
        strip(&mut request)?;
        Ok((request.uri().to_string(), request.extensions().get().copied()))
    }

    #[test]
    fn the_prefix_is_taken_off() {
        assert_eq!(stripped("/v1.41/info?x=1").unwrap(), ("/info?x=1".into(), Some(ApiVersion(1, 41))));
        assert_eq!(stripped("/info").unwrap(), ("/info".into(), None));
        assert_eq!(stripped("/volumes/v1.2").unwrap(), ("/volumes/v1.2".into(), None));
        assert_eq!(stripped("/version").unwrap().0, "/version");
    }

    #[test]
    fn others_are_refused() {
        assert!(stripped("/v1.23/info").unwrap_err().message.contains("too old"));
        assert!(stripped("/v1.99/info").unwrap_err().message.contains("too new"));
        assert!(stripped("/v1..2/info").is_err());
        assert!(stripped("/v1.99999999/info").is_err());
    }
}
