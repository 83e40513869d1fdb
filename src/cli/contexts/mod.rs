//! Contexts: daemons that a person has given a name, kept where and as Docker keeps them, so that both know them.
//!
//! `contexts/meta/<sha256 of the name>/meta.json` says what there is, `contexts/tls/<the same>/docker/` holds the
//! certificates. Which one is current is not shared: the daemon that `docker` talks to is seldom the one meant by
//! `hoist`.

mod archive;
mod store;

pub use store::{DEFAULT, Endpoint, Meta, Store};

use super::{
    client::{Client, Host, TlsFiles},
    failure::Failure,
};

/// What of a command line and its environment says which daemon is meant.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// `-H`
    pub host: Option<String>,
    /// `--context`
    pub context: Option<String>,
    /// Certificates that were named by flags or by the environment.
    pub tls: Option<TlsFiles>,
}

/// Which context is in force, and who says so.
///
/// # Errors
/// For `-H` beside `--context`, and where the note of the current one cannot be read.
pub fn current(choice: &Choice, store: &Store) -> Result<String, Failure> {
    match (&choice.context, &choice.host) {
        (Some(_), Some(_)) => Err(Failure::usage("--context and --host exclude each other")),
        (Some(name), None) => Ok(name.clone()),
        (None, Some(_)) => Ok(DEFAULT.to_owned()),
        (None, None) => match env("HOIST_HOST").or_else(|| env("DOCKER_HOST")) {
            Some(_) => Ok(DEFAULT.to_owned()),
            None => match env("HOIST_CONTEXT").or_else(|| env("DOCKER_CONTEXT")) {
                Some(name) => Ok(name),
                None => store.current(),
            },
        },
    }
}

/// The daemon that is meant; `None` is this machine's own.
///
/// # Errors
/// For a context that is not there, and a host that is none.
pub fn client(choice: &Choice, store: &Store) -> Result<Option<Client>, Failure> {
    let name = current(choice, store)?;
    if name != DEFAULT {
        let meta = store.get(&name)?;
        let host = Host::parse(&meta.docker().host)?;
        return Ok(Some(match store.tls(&name) {
            Some(files) => Client::over_tls(host, files),
            None => Client::new(host, None),
        }));
    }
    let Some(text) = choice.host.clone().or_else(|| env("HOIST_HOST")).or_else(|| env("DOCKER_HOST")) else {
        return Ok(None);
    };
    let host = Host::parse_for(&text, choice.tls.is_some())?;
    Ok(Some(match (&host, &choice.tls) {
        (Host::Tcp(_), Some(files)) => Client::over_tls(host, files.clone()),
        _ => Client::new(host, None),
    }))
}

/// A variable that is set to something.
pub fn env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
