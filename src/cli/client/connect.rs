//! Reaching the daemon.

use std::{io, pin::Pin, time::Duration};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

use super::{Autostart, ClientError, Host, Request, TlsFiles};

/// A body that is sent: bytes, a file, standard input.
pub type Body = BoxBody<Bytes, io::Error>;

/// How long a daemon that is being started may take until it listens.
const PATIENCE: Duration = Duration::from_secs(20);

trait Stream: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Stream for T {}

/// The daemon, as one command sees it. A connection is made for each request.
#[derive(Debug, Clone)]
pub struct Client {
    host: Host,
    tls: Option<TlsFiles>,
    autostart: Option<Autostart>,
    /// What a person wants to be sent with each request.
    pub(super) headers: Vec<(http::HeaderName, http::HeaderValue)>,
}

impl Client {
    /// With `autostart`, a daemon is started when nobody answers.
    pub fn new(host: Host, autostart: Option<Autostart>) -> Self {
        Self { host, tls: None, autostart, headers: Vec::new() }
    }

    /// A daemon elsewhere, known by its certificate.
    pub fn over_tls(host: Host, files: TlsFiles) -> Self {
        Self { host, tls: Some(files), autostart: None, headers: Vec::new() }
    }

    /// Sends further headers with each request.
    pub fn with_headers(self, headers: Vec<(http::HeaderName, http::HeaderValue)>) -> Self {
        Self { headers, ..self }
    }

    pub fn host(&self) -> &Host {
        &self.host
    }

    pub fn get(&self, path: impl Into<String>) -> Request<'_> {
        Request::new(self, http::Method::GET, path.into())
    }

    pub fn head(&self, path: impl Into<String>) -> Request<'_> {
        Request::new(self, http::Method::HEAD, path.into())
    }

    pub fn post(&self, path: impl Into<String>) -> Request<'_> {
        Request::new(self, http::Method::POST, path.into())
    }

    pub fn put(&self, path: impl Into<String>) -> Request<'_> {
        Request::new(self, http::Method::PUT, path.into())
    }

    pub fn delete(&self, path: impl Into<String>) -> Request<'_> {
        Request::new(self, http::Method::DELETE, path.into())
    }

    /// Opens a connection on which one request can be sent.
    pub(super) async fn connect(&self) -> Result<SendRequest<Body>, ClientError> {
        let stream = match self.dial().await {
            Err(err)
                if matches!(err.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
                    && self.autostart.is_some() =>
            {
                if let Some(autostart) = &self.autostart {
                    autostart.start()?;
                }
                self.dial_patiently().await
            }
            other => other,
        };
        let stream = stream.map_err(|source| ClientError::Connect { host: self.host.to_string(), source })?;
        let (sender, connection) =
            http1::Builder::new().handshake(TokioIo::new(stream)).await.map_err(ClientError::Broken)?;
        // Ends with the connection; an error reaches whoever waits for the answer.
        tokio::spawn(connection.with_upgrades());
        Ok(sender)
    }

    /// A daemon that another command has just started may not listen yet.
    async fn dial_patiently(&self) -> io::Result<Pin<Box<dyn Stream>>> {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            match self.dial().await {
                Err(err)
                    if matches!(err.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
                        && tokio::time::Instant::now() < end =>
                {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                other => return other,
            }
        }
    }

    async fn dial(&self) -> io::Result<Pin<Box<dyn Stream>>> {
        if let (Host::Tcp(address), Some(files)) = (&self.host, &self.tls) {
            return Ok(Box::pin(files.connect(address).await?));
        }
        Ok(match &self.host {
            Host::Unix(path) => Box::pin(UnixStream::connect(path).await?),
            Host::Tcp(address) => Box::pin(TcpStream::connect(address).await?),
        })
    }
}
