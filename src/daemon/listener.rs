//! Where the daemon listens: unix sockets of its own, and those that the service manager opened for it.

use std::{
    os::{fd::OwnedFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
};

use tokio::net::{TcpListener, UnixListener};

use super::{DaemonError, DaemonSettings, roots::Roots, tls};
use crate::api::Listener;

/// Groups whose members may use the socket, the first that exists.
const GROUPS: [&str; 2] = ["hoist", "docker"];

/// The sockets that this daemon has put into the file system. They go with it, so that nobody takes one that is left
/// for a daemon's.
#[derive(Debug, Default)]
pub struct Bound(Vec<PathBuf>);

impl Drop for Bound {
    fn drop(&mut self) {
        for path in &self.0 {
            let _ = fs_err::remove_file(path);
        }
    }
}

/// Whether the daemon could listen there, as far as the words tell.
///
/// # Errors
/// [`DaemonError::Host`]
pub fn check(host: &str, settings: &DaemonSettings) -> Result<(), DaemonError> {
    let fail = |reason: &str| Err(DaemonError::Host { host: host.to_owned(), reason: reason.to_owned() });
    if let Some(address) = host.strip_prefix("tcp://") {
        let port = address.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        if !settings.tlsverify {
            return fail("TCP needs mutual TLS: give --tlsverify, --tlscacert, --tlscert and --tlskey, or use unix://");
        }
        return if matches!(port, Some(Ok(_))) { Ok(()) } else { fail("expected tcp://ADDRESS:PORT") };
    }
    if host.starts_with("fd://") || host.strip_prefix("unix://").is_some_and(|path| path.starts_with('/')) {
        return Ok(());
    }
    fail("expected unix://PATH, fd:// or tcp://ADDRESS:PORT")
}

/// Opens every place that the settings name; the run root's `hoist.sock` when they name none.
pub async fn open_all(settings: &DaemonSettings, roots: &Roots) -> Result<(Vec<Listener>, Bound), DaemonError> {
    let group = group_id(settings.group.as_deref())?;
    let mut hosts: Vec<String> = settings.hosts.clone();
    if hosts.is_empty() {
        if std::env::var("LISTEN_PID").is_ok_and(|pid| pid == std::process::id().to_string()) {
            hosts.push("fd://".to_owned());
        }
        let own = format!("unix://{}", roots.run.join("hoist.sock").display());
        hosts.push(own);
    }
    let mut listeners: Vec<UnixListener> = Vec::new();
    let mut others = Vec::new();
    let mut bound = Bound::default();
    for host in &hosts {
        check(host, settings)?;
        if let Some(address) = host.strip_prefix("tcp://") {
            let fail = |reason: String| DaemonError::Host { host: host.clone(), reason };
            let listener = TcpListener::bind(address).await.map_err(|err| fail(err.to_string()))?;
            others.push(Listener::Tls(listener, tls::acceptor(settings)?));
        } else if let Some(path) = host.strip_prefix("unix://") {
            let activated = listeners.iter().any(|listener: &UnixListener| {
                listener.local_addr().is_ok_and(|address| address.as_pathname() == Some(Path::new(path)))
            });
            if !activated {
                listeners.push(bind(Path::new(path), group).map_err(DaemonError::Files)?);
                bound.0.push(PathBuf::from(path));
            }
        } else {
            listeners.extend(inherited(host)?);
        }
    }
    others.extend(listeners.into_iter().map(Listener::Unix));
    Ok((others, bound))
}

/// Binds under another name and moves the socket into place once owner and mode are right, so that
/// it is never there with wider rights, and never absent while an old one is replaced.
fn bind(path: &Path, group: Option<u32>) -> std::io::Result<UnixListener> {
    if let Some(parent) = path.parent() {
        fs_err::create_dir_all(parent)?;
    }
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    match fs_err::remove_file(&fresh) {
        Err(err) if err.kind() != std::io::ErrorKind::NotFound => return Err(err),
        _ => {}
    }
    let listener = UnixListener::bind(&fresh)
        .map_err(|err| std::io::Error::new(err.kind(), format!("cannot listen on {}: {err}", path.display())))?;
    fs_err::set_permissions(&fresh, std::fs::Permissions::from_mode(0o660))?;
    if let Some(group) = group {
        std::os::unix::fs::chown(&fresh, None, Some(group))?;
    }
    fs_err::rename(&fresh, path)?;
    Ok(listener)
}

/// The sockets of `LISTEN_FDS` (sd_listen_fds(3)).
fn inherited(host: &str) -> Result<Vec<UnixListener>, DaemonError> {
    let fail = |reason: &str| DaemonError::Host { host: host.to_owned(), reason: reason.to_owned() };
    let count: i32 = std::env::var("LISTEN_FDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .filter(|count| *count > 0)
        .ok_or_else(|| fail("the service manager handed over no socket (LISTEN_FDS)"))?;
    (3..3 + count)
        .map(|number| {
            let fd: OwnedFd =
                hoist_runtime::inherit::take_fd(number).map_err(|err| DaemonError::Descriptor(number, err))?;
            let listener = std::os::unix::net::UnixListener::from(fd);
            listener.set_nonblocking(true).map_err(|err| DaemonError::Descriptor(number, err))?;
            UnixListener::from_std(listener).map_err(|err| DaemonError::Descriptor(number, err))
        })
        .collect()
}

fn group_id(asked: Option<&str>) -> Result<Option<u32>, DaemonError> {
    let table = fs_err::read_to_string("/etc/group").unwrap_or_default();
    let find = |name: &str| {
        table.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
        })
    };
    match asked {
        Some("") => Ok(None),
        Some(name) => match name.parse().ok().or_else(|| find(name)) {
            Some(id) => Ok(Some(id)),
            None => Err(DaemonError::Group(name.to_owned())),
        },
        None => Ok(GROUPS.iter().find_map(|name| find(name))),
    }
}
