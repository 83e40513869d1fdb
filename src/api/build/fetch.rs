//! Contexts that are no client's directory: archives and git repositories.

use std::{io::Read, os::fd::AsFd, path::Path, process::Stdio};

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
        let reader = std::io::BufReader::with_capacity(256 << 10, bridge);
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
/// 404 for a file that is not there, 400 for one that is too large or not text.
pub fn read_in(root: &Path, path: &str) -> Result<String, ApiError> {
    let missing = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            ApiError::not_found(format!("failed to read dockerfile: there is no {path} in the context"))
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

/// Where a git context is: repository, what to check out, and the directory in it.
#[derive(Debug, PartialEq, Eq)]
struct Git {
    url: String,
    reference: Option<String>,
    directory: Option<String>,
}

/// Whether a text names a git repository, as Docker's clients tell them from other URLs.
fn git(text: &str) -> Option<Git> {
    let (url, fragment) = text.split_once('#').map_or((text, ""), |(url, fragment)| (url, fragment));
    let web = url.starts_with("http://") || url.starts_with("https://");
    let url = match url {
        url if web && url.ends_with(".git") => url.to_owned(),
        url if ["git://", "ssh://", "git@"].iter().any(|scheme| url.starts_with(scheme)) => url.to_owned(),
        url if url.starts_with("github.com/") => format!("https://{url}"),
        _ => return None,
    };
    let (reference, directory) = fragment.split_once(':').unwrap_or((fragment, ""));
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    Some(Git { url, reference: some(reference), directory: some(directory) })
}

/// Fetches a context from a URL. Git repositories need the program `git` on this machine.
///
/// # Errors
/// 400 for what cannot be fetched, and why.
pub async fn fetch_context(state: &State, url: &str) -> Result<tempfile::TempDir, ApiError> {
    let Some(git) = git(url) else {
        return Err(ApiError::bad_request(format!(
            "cannot fetch the context {url}: only git repositories are fetched; download the archive and pipe it: \
             curl -fsSL {url} | hoist build -"
        )));
    };
    let dir = state.builds.scratch()?;
    let reference = git.reference.as_deref().unwrap_or("HEAD");
    if reference.starts_with('-') || git.url.starts_with('-') {
        return Err(ApiError::bad_request(format!("{reference:?} is no git reference")));
    }
    run_git(dir.path(), &["init", "--quiet", "."]).await?;
    run_git(dir.path(), &["fetch", "--quiet", "--depth", "1", "--", &git.url, reference]).await?;
    run_git(dir.path(), &["checkout", "--quiet", "FETCH_HEAD"]).await?;
    fs_err::tokio::remove_dir_all(dir.path().join(".git"))
        .await
        .map_err(|error| ApiError::internal(error.to_string()))?;
    let Some(directory) = git.directory else { return Ok(dir) };
    let inner = fs_err::canonicalize(dir.path().join(&directory))
        .ok()
        .filter(|inner| inner.starts_with(dir.path()) && inner.is_dir())
        .ok_or_else(|| ApiError::bad_request(format!("{} has no directory {directory:?}", git.url)))?;
    let fresh = state.builds.scratch()?;
    // The part becomes the whole: a rename in the same directory of scratch.
    fs_err::rename(inner, fresh.path()).map_err(|error| ApiError::internal(error.to_string()))?;
    Ok(fresh)
}

async fn run_git(dir: &Path, args: &[&str]) -> Result<(), ApiError> {
    let mut command = tokio::process::Command::new("git");
    command
        .args(args)
        .current_dir(dir)
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_ALLOW_PROTOCOL", "http:https:git:ssh")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = command.output().await.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            ApiError::bad_request("a git context needs the program git, which is not installed on the daemon's machine")
        }
        _ => ApiError::internal(format!("cannot start git: {error}")),
    })?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(ApiError::bad_request(format!("git {}: {}", args.first().unwrap_or(&""), words.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_told_from_archives() {
        let parts = |text| git(text).map(|git| (git.url, git.reference, git.directory));
        assert_eq!(
            parts("https://x/y.git#v1:sub/dir"),
            Some(("https://x/y.git".into(), Some("v1".into()), Some("sub/dir".into())))
        );
        assert_eq!(parts("git@x:y.git"), Some(("git@x:y.git".into(), None, None)));
        assert_eq!(parts("github.com/a/b#:d"), Some(("https://github.com/a/b".into(), None, Some("d".into()))));
        assert_eq!(parts("https://x/y.tar.gz"), None);
    }

    #[test]
    fn files_do_not_leave_the_context() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("Dockerfile"), "FROM a").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("link")).unwrap();
        assert_eq!(read_in(dir.path(), "Dockerfile").unwrap(), "FROM a");
        assert_eq!(read_in(dir.path(), "link").unwrap_err().status, 404);
        assert_eq!(read_in(dir.path(), "../../etc/passwd").unwrap_err().status, 404);
    }
}
