//! Files that the engine puts into containers: names of hosts, secrets and configs, and what a new volume begins with.

use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use hoist_network::{Endpoint, files};
use hoist_proto::spec::{FileContent, NetworkMode};
use rustix::fs::{Mode, OFlags, ResolveFlags};

use super::network;
use crate::container::{Handle, Record};
use crate::inner::Inner;
use crate::spec::{BindOptions, ReadyMount};
use crate::{EngineError, Result};

const RESOLV_CONF: &str = "/etc/resolv.conf";

/// `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf`, written anew for a start. A container in another's network
/// has that one's files.
pub(super) async fn write_names(
    engine: &Inner,
    handle: &Handle,
    record: &Record,
    endpoints: &[Endpoint],
) -> Result<Vec<(&'static str, PathBuf)>> {
    let paths = match &record.spec.network_mode {
        NetworkMode::Container(other) => engine.registry.find(other)?.paths(),
        _ => {
            let paths = handle.paths();
            let host = std::fs::read_to_string(RESOLV_CONF).unwrap_or_default();
            // The name server listens in each namespace that is on a bridge.
            let embedded = endpoints.iter().any(|endpoint| endpoint.interface.is_some());
            let dns = network::dns(&record.spec)?;
            fs_err::write(&paths.resolv_conf, files::resolv_conf(&host, &dns, embedded))?;
            fs_err::write(&paths.hostname, format!("{}\n", record.effective.hostname))?;
            fs_err::write(&paths.hosts, hosts(engine, record, endpoints).await?)?;
            paths
        }
    };
    Ok(vec![("/etc/resolv.conf", paths.resolv_conf), ("/etc/hostname", paths.hostname), ("/etc/hosts", paths.hosts)])
}

async fn hosts(engine: &Inner, record: &Record, endpoints: &[Endpoint]) -> Result<String> {
    let spec = &record.spec;
    let mut extra = Vec::new();
    for (name, address) in &spec.extra_hosts {
        if address == "host-gateway" && !engine.options.defaults.host_gateway.is_empty() {
            extra.extend(engine.options.defaults.host_gateway.iter().map(|address| (name.clone(), *address)));
            continue;
        }
        let address = if address == "host-gateway" {
            let own = endpoints.iter().find_map(|endpoint| endpoint.gateway4).map(IpAddr::V4);
            match own {
                Some(own) => own,
                None => engine.options.networks.inspect(network::DEFAULT).await?.gateway(false).ok_or_else(|| {
                    EngineError::InvalidParameter("host-gateway: the default network has no gateway".into())
                })?,
            }
        } else {
            let plain = address.trim_start_matches('[').trim_end_matches(']');
            plain.parse().map_err(|_| {
                EngineError::InvalidParameter(format!("invalid IP address in add-host: {address:?} of {name:?}"))
            })?
        };
        extra.push((name.clone(), address));
    }
    let on_default = spec.networks.is_empty() || spec.networks.iter().any(|wish| wish.network == network::DEFAULT);
    for link in spec.links.iter().filter(|_| on_default) {
        let (name, alias) = link.split_once(':').unwrap_or((link, link));
        let other = engine.registry.find(name)?;
        let theirs = network::addresses(&engine.options.networks.endpoints_of(other.id.as_str()).await);
        if !other.status().is_up() || theirs.is_empty() {
            return Err(EngineError::Conflict(format!("cannot link to a non running container: {name}")));
        }
        let theirs_record = other.record();
        for address in theirs {
            let names = format!("{alias} {} {}", theirs_record.effective.hostname, theirs_record.name);
            extra.push((names, address));
        }
    }
    if spec.network_mode == NetworkMode::Host {
        let mut text = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
        for (name, address) in extra {
            text.push_str(&format!("{address}\t{name}\n"));
        }
        return Ok(text);
    }
    let ipv6 = endpoints.iter().any(|endpoint| endpoint.ipv6.is_some());
    let domain = spec.domainname.as_deref().unwrap_or_default();
    Ok(files::hosts(&record.effective.hostname, domain, &network::addresses(endpoints), &extra, ipv6))
}

/// Secrets and configs as mounts, with the owner and mode that were asked for.
pub(super) fn ready_files(engine: &Inner, record: &Record) -> Result<Vec<ReadyMount>> {
    let mut mounts = Vec::new();
    for (index, file) in record.spec.files.iter().enumerate() {
        let dir = if file.secret {
            engine.secrets.make(&record.id)?
        } else {
            let dir = engine.container_dir(&record.id).join("files");
            fs_err::create_dir_all(&dir)?;
            dir
        };
        let path = dir.join(format!("{index}.content"));
        if let FileContent::HostPath(host) = &file.content {
            let bytes = fs_err::read(host).map_err(|error| {
                EngineError::InvalidParameter(format!("file {host} of {:?} cannot be read: {error}", file.source))
            })?;
            fs_err::write(&path, bytes)?;
        } else if !path.exists() {
            return Err(EngineError::Conflict(format!(
                "the bytes of {:?} are gone, as they were in memory only: create the container again",
                file.source
            )));
        }
        std::os::unix::fs::chown(&path, Some(file.uid), Some(file.gid))?;
        fs_err::set_permissions(&path, std::fs::Permissions::from_mode(file.mode.unwrap_or(0o444) & 0o7777))?;
        let target = match (file.target.as_str(), file.secret) {
            ("", true) => format!("/run/secrets/{}", file.source),
            ("", false) => format!("/{}", file.source),
            (target, _) if target.starts_with('/') => target.to_owned(),
            (target, true) => format!("/run/secrets/{target}"),
            (target, false) => format!("/{target}"),
        };
        let options = BindOptions { read_only: true, ..BindOptions::default() };
        mounts.push(ReadyMount::Bind { source: path, target, options });
    }
    Ok(mounts)
}

/// Copies what the image has at `target` into an empty volume.
pub(super) async fn populate(engine: &Inner, record: &Record, target: &str, volume: &Path) -> Result<()> {
    let root = engine.options.images.mount(record.id.as_str(), false).await?;
    let (target, volume) = (target.to_owned(), volume.to_owned());
    let copy = move || -> std::io::Result<()> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::openat2(&root, target.as_str(), flags, Mode::empty(), ResolveFlags::IN_ROOT)?;
        // A path through the descriptor stays in the mount, which is attached nowhere.
        let from = PathBuf::from(format!("/proc/self/fd/{}/.", dir.as_raw_fd()));
        copy_dir(&from, &volume)?;
        like(&from, &volume, &fs_err::metadata(&from)?)
    };
    tokio::task::spawn_blocking(copy).await.map_err(|error| EngineError::Internal(error.to_string()))??;
    Ok(())
}

fn copy_dir(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in fs_err::read_dir(from)? {
        let entry = entry?;
        let (source, dest) = (entry.path(), to.join(entry.file_name()));
        let meta = fs_err::symlink_metadata(&source)?;
        let kind = meta.file_type();
        if kind.is_dir() {
            fs_err::create_dir(&dest)?;
            copy_dir(&source, &dest)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs_err::read_link(&source)?, &dest)?;
        } else if kind.is_file() {
            fs_err::copy(&source, &dest)?;
        } else if kind.is_char_device() || kind.is_block_device() || kind.is_fifo() {
            let kind = rustix::fs::FileType::from_raw_mode(meta.mode());
            rustix::fs::mknodat(rustix::fs::CWD, &dest, kind, Mode::from_raw_mode(meta.mode()), meta.rdev())?;
        } else {
            continue;
        }
        like(&source, &dest, &meta)?;
    }
    Ok(())
}

/// Gives `dest` the owner, mode, attributes and times of `source`.
fn like(source: &Path, dest: &Path, meta: &std::fs::Metadata) -> std::io::Result<()> {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, XattrFlags};
    std::os::unix::fs::lchown(dest, Some(meta.uid()), Some(meta.gid()))?;
    if !meta.is_symlink() {
        fs_err::set_permissions(dest, meta.permissions())?;
    }
    let mut names = vec![0; 64 << 10];
    let length = rustix::fs::llistxattr(source, names.as_mut_slice()).unwrap_or(0);
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 64 << 10];
        if let Ok(length) = rustix::fs::lgetxattr(source, name, value.as_mut_slice()) {
            // Where the volume's file system has no such attributes, the file is still as good as it can be there.
            let _ = rustix::fs::lsetxattr(dest, name, &value[..length], XattrFlags::empty());
        }
    }
    let time = |seconds, nanos| Timespec { tv_sec: seconds, tv_nsec: nanos };
    let times = Timestamps {
        last_access: time(meta.atime(), meta.atime_nsec()),
        last_modification: time(meta.mtime(), meta.mtime_nsec()),
    };
    Ok(rustix::fs::utimensat(CWD, dest, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}
