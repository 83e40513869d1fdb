//! Which daemon a command line means.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use super::ClientError;

/// Where a daemon listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    Unix(PathBuf),
    /// `host:port`
    Tcp(String),
}

impl Host {
    /// The socket of the daemon that holds a run root.
    pub fn of_run_root(run_root: &Path) -> Self {
        Self::Unix(run_root.join("hoist.sock"))
    }

    /// Parses `unix://PATH`, `tcp://HOST[:PORT]` or an absolute path.
    pub fn parse(text: &str) -> Result<Self, ClientError> {
        Self::parse_for(text, false)
    }

    /// As [`parse`](Self::parse); a daemon that speaks TLS has another usual port.
    pub fn parse_for(text: &str, tls: bool) -> Result<Self, ClientError> {
        let fail = |reason: &str| ClientError::Host { host: text.to_owned(), reason: reason.to_owned() };
        if let Some(path) = text.strip_prefix("unix://") {
            if path.is_empty() {
                return Err(fail("the path is missing"));
            }
            return Ok(Self::Unix(path.into()));
        }
        if text.starts_with('/') {
            return Ok(Self::Unix(text.into()));
        }
        if let Some(address) = text.strip_prefix("tcp://").or_else(|| text.strip_prefix("http://")) {
            let address = address.trim_end_matches('/');
            if address.is_empty() {
                return Err(fail("the address is missing"));
            }
            let has_port = address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
            return Ok(Self::Tcp(if has_port {
                address.to_owned()
            } else {
                format!("{address}:{}", if tls { 2376 } else { 2375 })
            }));
        }
        match text.split_once("://") {
            Some((scheme, _)) => {
                Err(fail(&format!("{scheme}:// is not supported; use unix://PATH or tcp://HOST:PORT")))
            }
            None => Err(fail("expected unix://PATH or tcp://HOST:PORT")),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        assert_eq!(Host::parse("unix:///run/x.sock").unwrap(), Host::Unix("/run/x.sock".into()));
        assert_eq!(Host::parse("/run/x.sock").unwrap(), Host::Unix("/run/x.sock".into()));
        assert_eq!(Host::parse("tcp://10.0.0.1").unwrap(), Host::Tcp("10.0.0.1:2375".into()));
        assert_eq!(Host::parse("tcp://[::1]:99").unwrap(), Host::Tcp("[::1]:99".into()));
        for bad in ["ssh://me@there", "unix://", "run/x.sock", "", "tcp://"] {
            assert!(Host::parse(bad).is_err(), "{bad}");
        }
    }
}
