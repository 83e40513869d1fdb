//! One request and its answer.

use std::io;

use bytes::Bytes;
use futures_util::TryStreamExt;
use http::{Method, StatusCode, header};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{Response, body::Incoming};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::io::AsyncRead;
use tokio_util::io::ReaderStream;

use super::{Client, ClientError, JsonLines, connect::Body, encode::query_value};

/// A connection that has left HTTP behind.
pub type Upgraded = TokioIo<hyper::upgrade::Upgraded>;

/// A request under construction.
#[must_use = "a request is sent by one of the methods that wait for the answer"]
pub struct Request<'a> {
    client: &'a Client,
    method: Method,
    path: String,
    query: String,
    headers: Vec<(&'static str, String)>,
    body: Option<Body>,
}

/// A body out of a file.
pub fn file_body(file: fs_err::tokio::File) -> Body {
    reader_body(file)
}

/// A body out of whatever can be read.
pub fn reader_body(reader: impl AsyncRead + Send + Sync + 'static) -> Body {
    let frames = ReaderStream::with_capacity(reader, 128 << 10).map_ok(hyper::body::Frame::data);
    BodyExt::boxed(StreamBody::new(frames))
}

impl<'a> Request<'a> {
    pub(super) fn new(client: &'a Client, method: Method, path: String) -> Self {
        Self { client, method, path, query: String::new(), headers: Vec::new(), body: None }
    }

    /// Adds a parameter.
    pub fn query(mut self, key: &str, value: impl AsRef<str>) -> Self {
        self.query.push(if self.query.is_empty() { '?' } else { '&' });
        self.query.push_str(key);
        self.query.push('=');
        self.query.push_str(&query_value(value.as_ref()));
        self
    }

    /// Adds a parameter that may be absent.
    pub fn query_opt(self, key: &str, value: Option<impl AsRef<str>>) -> Self {
        match value {
            Some(value) => self.query(key, value),
            None => self,
        }
    }

    /// Adds `key=1` when set.
    pub fn flag(self, key: &str, set: bool) -> Self {
        if set { self.query(key, "1") } else { self }
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn header_opt(self, name: &'static str, value: Option<String>) -> Self {
        match value {
            Some(value) => self.header(name, value),
            None => self,
        }
    }

    /// Sends a JSON body.
    pub fn json(mut self, value: &impl Serialize) -> Result<Self, ClientError> {
        let bytes =
            serde_json::to_vec(value).map_err(|source| ClientError::Answer { what: self.path.clone(), source })?;
        self.body = Some(full(bytes.into()));
        Ok(self.header("content-type", "application/json"))
    }

    /// Sends a tar archive or any other stream.
    pub fn stream(mut self, body: Body, content_type: &str) -> Self {
        self.body = Some(body);
        self.header("content-type", content_type)
    }

    /// Sends it; the answer is a success (or the 101 that was asked for).
    pub async fn send(self) -> Result<Response<Incoming>, ClientError> {
        let mut sender = self.client.connect().await?;
        let mut request = hyper::Request::builder()
            .method(self.method)
            .uri(format!("{}{}", self.path, self.query))
            .header(header::HOST, "hoist")
            .header(header::USER_AGENT, concat!("Hoist-Client/", env!("CARGO_PKG_VERSION")));
        for (name, value) in &self.client.headers {
            request = request.header(name, value);
        }
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let request = request.body(self.body.unwrap_or_else(|| full(Bytes::new()))).map_err(|err| {
            ClientError::Refused { status: 400, message: format!("this cannot be asked of the daemon: {err}") }
        })?;
        let response = sender.send_request(request).await.map_err(ClientError::Broken)?;
        let status = response.status();
        if status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS || status == StatusCode::NOT_MODIFIED {
            return Ok(response);
        }
        let body = response.into_body().collect().await.map_err(ClientError::Broken)?.to_bytes();
        Err(ClientError::Refused { status: status.as_u16(), message: refusal(status, &body) })
    }

    /// Sends it and drops the answer.
    pub async fn done(self) -> Result<(), ClientError> {
        self.bytes().await.map(|_| ())
    }

    /// Sends it and reads the whole answer.
    pub async fn bytes(self) -> Result<Bytes, ClientError> {
        let response = self.send().await?;
        Ok(response.into_body().collect().await.map_err(ClientError::Broken)?.to_bytes())
    }

    /// Sends it and reads the answer as one JSON value.
    pub async fn read<T: DeserializeOwned>(self) -> Result<T, ClientError> {
        let what = format!("{} {}", self.method, self.path);
        let bytes = self.bytes().await?;
        let bytes: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
        serde_json::from_slice(bytes).map_err(|source| ClientError::Answer { what, source })
    }

    /// Sends it and reads the answer as a stream of JSON values.
    pub async fn lines(self) -> Result<JsonLines, ClientError> {
        let what = format!("{} {}", self.method, self.path);
        Ok(JsonLines::new(self.send().await?.into_body(), what))
    }

    /// Sends it and leaves HTTP: what follows are raw bytes both ways. The content type says in which form.
    pub async fn upgrade(self, protocol: &str) -> Result<(Upgraded, Option<String>), ClientError> {
        let response = self.header("connection", "Upgrade").header("upgrade", protocol).send().await?;
        let content_type =
            response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let upgraded = hyper::upgrade::on(response).await.map_err(ClientError::Broken)?;
        Ok((TokioIo::new(upgraded), content_type))
    }
}

fn full(bytes: Bytes) -> Body {
    BodyExt::boxed(Full::new(bytes).map_err(|never| -> io::Error { match never {} }))
}

/// The message of a refusal: Docker's `{"message": …}`, or the text, or the status.
fn refusal(status: StatusCode, body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Message {
        message: String,
    }
    if let Ok(Message { message }) = serde_json::from_slice(body)
        && !message.trim().is_empty()
    {
        return message.trim().to_owned();
    }
    let text = String::from_utf8_lossy(body);
    if text.trim().is_empty() { format!("the daemon answered {status}") } else { text.trim().to_owned() }
}
