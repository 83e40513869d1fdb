//! The JSON body of a request.

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, Request},
    http::header,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{error::ApiError, fold::Folded};

/// Bodies of requests that carry JSON end here; a container's whole definition takes kilobytes.
const LIMIT: usize = 16 << 20;

/// A JSON body. `null` is the same as absent, as Go's clients write empty lists and maps as `null`.
#[derive(Debug)]
pub struct JsonBody<T>(pub T);

/// A JSON body that may be missing altogether.
#[derive(Debug)]
pub struct OptionalBody<T>(pub T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;
    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let typed = content_type(&request);
        let bytes = read(request.into_body()).await?;
        if bytes.is_empty() {
            return Err(ApiError::bad_request("invalid JSON: got EOF while reading request body"));
        }
        typed?;
        parse(&bytes).map(Self)
    }
}

impl<S: Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalBody<T> {
    type Rejection = ApiError;
    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let bytes = read(request.into_body()).await?;
        if bytes.is_empty() { Ok(Self(T::default())) } else { parse(&bytes).map(Self) }
    }
}

/// A JSON body of Hoist's own, in which `null` says something: a compose project's
/// `networks: {default: null}` joins the network, and a variable that is null is unset.
#[derive(Debug)]
pub struct ExactBody<T>(pub T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for ExactBody<T> {
    type Rejection = ApiError;
    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        content_type(&request)?;
        parse_exact(&read(request.into_body()).await?).map(Self)
    }
}

async fn read(body: Body) -> Result<Bytes, ApiError> {
    axum::body::to_bytes(body, LIMIT)
        .await
        .map_err(|err| ApiError::bad_request(format!("the request's body could not be read: {err}")))
}

fn content_type(request: &Request) -> Result<(), ApiError> {
    let Some(value) = request.headers().get(header::CONTENT_TYPE) else { return Ok(()) };
    let text = value.to_str().unwrap_or_default();
    let kind = text.split(';').next().unwrap_or_default().trim();
    if kind.is_empty() || kind.eq_ignore_ascii_case("application/json") {
        Ok(())
    } else {
        Err(ApiError::bad_request(format!("unsupported Content-Type header ({text}): must be 'application/json'")))
    }
}

/// Parses JSON in which `null` is absent and names of fields may be of any case, and says at which field it is wrong.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let mut value = parse_exact(bytes)?;
    drop_nulls(&mut value);
    typed(Folded(value))
}

/// Parses JSON as it is, and says at which field it is wrong.
fn parse_exact<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let value: Value =
        serde_json::from_slice(bytes).map_err(|err| ApiError::bad_request(format!("invalid JSON: {err}")))?;
    typed(value)
}

fn typed<'de, T: serde::Deserialize<'de>>(
    value: impl serde::Deserializer<'de, Error = serde_json::Error>,
) -> Result<T, ApiError> {
    serde_path_to_error::deserialize(value).map_err(|err| {
        let path = err.path().to_string();
        let inner = err.into_inner();
        ApiError::bad_request(if path == "." {
            format!("invalid JSON: {inner}")
        } else {
            format!("invalid JSON: {path}: {inner}")
        })
    })
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Debug, Default, serde::Deserialize)]
    #[serde(default)]
    struct Sample {
        list: Vec<u32>,
        map: BTreeMap<String, Vec<u32>>,
    }

    #[test]
    fn null_stays_where_it_says_something() {
        let value: Value = parse_exact(br#"{"networks":{"default":null}}"#).unwrap();
        assert_eq!(value["networks"].as_object().unwrap().len(), 1);
        assert!(parse_exact::<Value>(b"{").is_err());
    }

    #[test]
    fn null_is_absent() {
        let sample: Sample = parse(br#"{"list":null,"map":{"a":null,"b":[1]}}"#).unwrap();
        assert!(sample.list.is_empty());
        assert_eq!(sample.map.len(), 1);
    }

    #[test]
    fn errors_name_the_field() {
        let err = parse::<Sample>(br#"{"map":{"a":[1,"x"]}}"#).unwrap_err();
        assert_eq!(err.message, "invalid JSON: map.a[1]: invalid type: string \"x\", expected u32");
        assert!(parse::<Sample>(b"{").unwrap_err().message.starts_with("invalid JSON: EOF"));
        assert!(parse::<Sample>(b"{} x").is_err());
    }
}
