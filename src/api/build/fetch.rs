//! Contexts that are no client's directory: archives and git repositories.

use std::{io::Read, os::fd::AsFd, path::Path};

use hoist_build::{GitAccess, GitSource};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use tokio::io::AsyncRead;
use tokio_util::io::SyncIoBridge;

use super::Builds;
use crate::api::{State, error::ApiError};

/// A Dockerfile is text that people write.
const LARGEST_DOCKERFILE: u64 = 8 << 20;

/// Unpacks an archive into a directory of its own; nothing in it can lead outside.
///
/// # Errors
/// 400 for what is no archive.
pub async fn unpack_context(
    builds: &Builds,
    source: impl AsyncRead + Send + Unpin + 'static,
) -> Result<tempfile::TempDir, ApiError> {
    let dir = builds.scratch()?;
    let path = dir.path().to_owned();
    let bridge = SyncIoBridge::new(source);
    let work = move || {
        let root = fs_err::File::open(&path).map_err(|error| ApiError::internal(error.to_string()))?;
        let not_read = |error: std::io::Error| ApiError::bad_request(format!("the context cannot be read: {error}"));
        let plain = hoist_image::decompress(std::io::BufReader::with_capacity(256 << 10, bridge)).map_err(not_read)?;
        let reader = std::io::BufReader::with_capacity(256 << 10, plain);
        let options = hoist_image::unpack::UnpackOptions { owner: Some((0, 0)), ..Default::default() };
        hoist_image::unpack::unpack(root.file().as_fd(), reader, &options)
            .map_err(|error| ApiError::bad_request(format!("the context is no archive that can be unpacked: {error}")))
    };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| ApiError::internal(format!("unpacking stopped: {error}")))??;
    Ok(dir)
}

/// A file of a context, by a path that cannot leave it.
///
/// # Errors
/// 400 for a file that is not there, is too large or not text.
pub fn read_in(root: &Path, path: &str) -> Result<String, ApiError> {
    let missing = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            ApiError::bad_request(format!("failed to read dockerfile: there is no {path} in the context"))
        }
        _ => ApiError::bad_request(format!("failed to read dockerfile {path}: {error}")),
    };
    let root = fs_err::File::open(root).map_err(missing)?;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let file = openat2(root.file(), path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty(), resolve)
        .map_err(|error| missing(error.into()))?;
    let mut text = Vec::new();
    std::fs::File::from(file).take(LARGEST_DOCKERFILE + 1).read_to_end(&mut text).map_err(missing)?;
    if text.len() as u64 > LARGEST_DOCKERFILE {
        return Err(ApiError::bad_request(format!(
            "{path} is larger than {LARGEST_DOCKERFILE} bytes: no Dockerfile is"
        )));
    }
    String::from_utf8(text).map_err(|_| ApiError::bad_request(format!("{path} holds bytes that are not UTF-8")))
}

/// Fetches a context from a URL: a git repository, an archive, or a Dockerfile alone. Repositories need the program
/// `git` on this machine.
///
/// # Errors
/// 400 for what cannot be fetched, and why.
pub async fn fetch_context(state: &State, url: &str, keep_git_dir: bool) -> Result<tempfile::TempDir, ApiError> {
    let source = match url.strip_prefix("github.com/") {
        // The short form names a repository without its ending.
        Some(rest) => {
            let (name, more) = rest.split_at(rest.find(['?', '#']).unwrap_or(rest.len()));
            let name = name.trim_end_matches('/').trim_end_matches(".git");
            GitSource::parse(&format!("https://github.com/{name}.git{more}"))?
        }
        None => GitSource::parse(url)?,
    };
    let Some(source) = source else { return fetch_file(state, url).await };
    let dir = state.builds.scratch()?;
    let access = GitAccess::default();
    let commit = source.resolve(&access).await?;
    let checkout = source.checkout(&commit, dir.path(), keep_git_dir, &access).await?;
    if source.directory.is_none() {
        return Ok(dir);
    }
    let fresh = state.builds.scratch()?;
    // The part becomes the whole: a rename in the same directory of scratch.
    fs_err::rename(checkout.root, fresh.path()).map_err(|error| ApiError::internal(error.to_string()))?;
    Ok(fresh)
}

/// Fetches an archive, or a Dockerfile that needs nothing else.
async fn fetch_file(state: &State, url: &str) -> Result<tempfile::TempDir, ApiError> {
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(ApiError::bad_request(format!(
            "cannot fetch the context {url}: it is no address of a repository or file"
        )));
    }
    let dir = state.builds.scratch()?;
    let file = dir.path().join("context");
    state
        .engine
        .images()
        .fetch(url, None, &file, &|_, _| ())
        .await
        .map_err(|error| ApiError::bad_request(format!("cannot fetch the context: {error}")))?;
    let mut start = vec![0; 512];
    let mut opened = fs_err::File::open(&file).map_err(|error| ApiError::internal(error.to_string()))?;
    let length = opened.read(&mut start).map_err(|error| ApiError::internal(error.to_string()))?;
    start.truncate(length);
    if !start.contains(&0) {
        fs_err::rename(&file, dir.path().join("Dockerfile")).map_err(|error| ApiError::internal(error.to_string()))?;
        return Ok(dir);
    }
    let source = fs_err::tokio::File::open(&file).await.map_err(|error| ApiError::internal(error.to_string()))?;
    unpack_context(&state.builds, source).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_do_not_leave_the_context() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("Dockerfile"), "FROM a").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("link")).unwrap();
        assert_eq!(read_in(dir.path(), "Dockerfile").unwrap(), "FROM a");
        assert_eq!(read_in(dir.path(), "link").unwrap_err().status, 400);
        assert_eq!(read_in(dir.path(), "../../etc/passwd").unwrap_err().status, 400);
    }
}
