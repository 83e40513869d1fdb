//! Copying between a container and an archive.

use std::io::{BufReader, BufWriter, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use hoist_image::Images;
use hoist_image::archive::{ArchiveError, ArchiveOptions, archive};
use hoist_image::unpack::{UnpackError, UnpackOptions, unpack};
use hoist_proto::clock::Timestamp;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, fstat, openat2, readlinkat, statat};
use tokio::io::AsyncRead;
use tokio_util::io::SyncIoBridge;

use super::Place;
use super::root::clean;
use crate::model::{CopyOptions, PathStat};
use crate::{EngineError, Result};

/// Bytes under way between the archive's writer and its reader.
const PIPE: usize = 256 << 10;

/// What is at a path; a last symbolic link is not followed, but its target is told.
pub(crate) async fn stat_path(images: &Images, place: &Place, path: &str) -> Result<PathStat> {
    let found = place.find(images, path, false).await?;
    stat_at(&found.root, &found.path, follows(path)).map_err(|error| missing(place, path, error))
}

/// A file or directory as an archive; its entries begin with the path's last name.
pub(crate) async fn copy_from(
    images: &Images,
    place: &Place,
    path: &str,
) -> Result<(PathStat, Box<dyn AsyncRead + Send + Unpin>)> {
    let found = place.find(images, path, false).await?;
    let follow = follows(path);
    let stat = stat_at(&found.root, &found.path, follow).map_err(|error| missing(place, path, error))?;
    let name = match (path.ends_with("/."), clean(path).file_name()) {
        (false, Some(name)) => name.as_bytes().to_vec(),
        _ => b".".to_vec(),
    };
    let options = ArchiveOptions { name, whiteouts: false, follow };
    Ok((stat, stream(place, found.root, found.path, options)))
}

/// All that a container has of its own and of its image, without what is mounted into it.
pub(crate) async fn export(images: &Images, place: &Place) -> Result<Box<dyn AsyncRead + Send + Unpin>> {
    let root = images.mount(&place.id, false).await?;
    Ok(stream(place, root, PathBuf::new(), ArchiveOptions::default()))
}

/// Unpacks an archive into a directory that exists.
pub(crate) async fn copy_to(
    images: &Images,
    place: &Place,
    path: &str,
    source: Box<dyn AsyncRead + Send + Unpin>,
    options: CopyOptions,
) -> Result<()> {
    let found = place.find(images, path, true).await?;
    if found.read_only {
        return Err(EngineError::Conflict(format!("{path} of container {} is mounted read only", place.name)));
    }
    let stat = stat_at(&found.root, &found.path, true).map_err(|error| missing(place, path, error))?;
    if !FileType::from_raw_mode(stat.mode).is_dir() {
        return Err(EngineError::InvalidParameter(format!(
            "{path} of container {} is not a directory: an archive is unpacked into one",
            place.name
        )));
    }
    let unpacking = UnpackOptions {
        whiteouts: false,
        base: found.path,
        no_overwrite_dir_non_dir: options.no_overwrite_dir_non_dir,
        owner: (!options.copy_uid_gid).then_some((0, 0)),
    };
    let reader = BufReader::with_capacity(PIPE, SyncIoBridge::new(source));
    let root = found.root;
    let outcome = tokio::task::spawn_blocking(move || unpack(root.as_fd(), reader, &unpacking)).await;
    match outcome.map_err(|error| EngineError::Internal(format!("unpacking ended early: {error}")))? {
        Ok(_) => Ok(()),
        Err(error @ (UnpackError::OverDirectory(_) | UnpackError::OverNonDirectory(_))) => {
            Err(EngineError::InvalidParameter(error.to_string()))
        }
        Err(UnpackError::Io { action, path, source }) => {
            Err(EngineError::Io(std::io::Error::new(source.kind(), format!("cannot {action} {path:?}: {source}"))))
        }
        Err(error) => Err(EngineError::InvalidParameter(format!("invalid archive: {error}"))),
    }
}

/// Whether a link at the path's end is meant to be followed: `link/` and `link/.` are what it points to.
fn follows(path: &str) -> bool {
    path.ends_with('/') || path.ends_with("/.")
}

fn stat_at(root: &OwnedFd, path: &Path, follow: bool) -> rustix::io::Result<PathStat> {
    let (stat, link_target) = if path.as_os_str().is_empty() {
        (fstat(root)?, String::new())
    } else {
        let mut flags = OFlags::PATH | OFlags::CLOEXEC;
        if !follow {
            flags |= OFlags::NOFOLLOW;
        }
        let file = openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)?;
        let stat = statat(&file, "", AtFlags::EMPTY_PATH)?;
        let target =
            if FileType::from_raw_mode(stat.st_mode).is_symlink() { link_target(&file, path)? } else { String::new() };
        (stat, target)
    };
    let nanos = i32::try_from(stat.st_mtime_nsec).unwrap_or(0);
    Ok(PathStat {
        name: path.file_name().map_or_else(|| "/".to_owned(), |name| name.to_string_lossy().into_owned()),
        size: u64::try_from(stat.st_size).unwrap_or(0),
        mode: stat.st_mode,
        modified: Timestamp::new(stat.st_mtime, nanos).unwrap_or_default(),
        link_target,
    })
}

/// Where a link points, as a path from the container's root.
fn link_target(file: &OwnedFd, path: &Path) -> rustix::io::Result<String> {
    let target = PathBuf::from(std::ffi::OsString::from_vec(readlinkat(file, "", Vec::new())?.into_bytes()));
    let whole = if target.is_absolute() { target } else { path.parent().unwrap_or(Path::new("")).join(target) };
    Ok(format!("/{}", clean(&whole.to_string_lossy()).display()))
}

fn missing(place: &Place, path: &str, error: rustix::io::Errno) -> EngineError {
    use rustix::io::Errno;
    match error {
        Errno::NOENT | Errno::NOTDIR | Errno::LOOP => place.no_such_path(path),
        error => EngineError::Io(std::io::Error::new(
            std::io::Error::from(error).kind(),
            format!("cannot look at {path} in container {}: {error}", place.name),
        )),
    }
}

/// Archives in the background; whoever reads slowly slows only this. An error in the middle cuts the stream short.
fn stream(place: &Place, root: OwnedFd, path: PathBuf, options: ArchiveOptions) -> Box<dyn AsyncRead + Send + Unpin> {
    let (reader, writer) = tokio::io::duplex(PIPE);
    let name = place.name.clone();
    let bridge = SyncIoBridge::new(writer);
    tokio::task::spawn_blocking(move || match write(root.as_fd(), &path, &options, bridge) {
        // Whoever reads has gone away, and knows it.
        Ok(()) | Err(ArchiveError::Write(_)) => {}
        Err(error) => tracing::warn!(container = %name, %error, "an archive was cut short"),
    });
    Box::new(reader)
}

fn write(
    root: BorrowedFd<'_>,
    path: &Path,
    options: &ArchiveOptions,
    bridge: SyncIoBridge<tokio::io::DuplexStream>,
) -> Result<(), ArchiveError> {
    let mut out = archive(root, path, options, BufWriter::with_capacity(PIPE, bridge))?;
    out.flush().and_then(|()| out.get_mut().shutdown()).map_err(ArchiveError::Write)
}
