//! What a container sees, as an open directory.

use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use hoist_image::Images;
use rustix::fs::{CWD, Mode, OFlags, openat};

use crate::{EngineError, Result};

/// A container whose files are wanted.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// As it was called, for errors.
    pub name: String,
    pub id: String,
    /// The first process, when it runs.
    pub pid: Option<i32>,
    /// Where directories of the host are mounted: path in the container, path on the host, read only.
    pub mounts: Vec<(String, PathBuf, bool)>,
}

/// An open directory, and the path in it.
#[derive(Debug)]
pub(crate) struct Found {
    pub root: OwnedFd,
    /// Relative to `root`.
    pub path: PathBuf,
    pub read_only: bool,
}

impl Place {
    /// Opens the tree that `path` is in. For a container that runs, that is what its processes see; for another, its
    /// layers, or the volume that would be mounted there.
    pub(crate) async fn find(&self, images: &Images, path: &str, writable: bool) -> Result<Found> {
        let path = clean(path);
        if let Some(pid) = self.pid {
            let root = open_dir(&PathBuf::from(format!("/proc/{pid}/root")))?;
            return Ok(Found { root, path, read_only: false });
        }
        let covering = self
            .mounts
            .iter()
            .filter_map(|(target, source, read_only)| {
                let rest = path.strip_prefix(clean(target)).ok()?;
                Some((target.len(), source, rest.to_owned(), *read_only))
            })
            .max_by_key(|(length, ..)| *length);
        match covering {
            Some((_, source, rest, read_only)) if source.is_dir() => {
                Ok(Found { root: open_dir(source)?, path: rest, read_only })
            }
            _ => Ok(Found { root: images.mount(&self.id, writable).await?, path, read_only: false }),
        }
    }

    pub(crate) fn no_such_path(&self, path: &str) -> EngineError {
        EngineError::NoSuchPath { container: self.name.clone(), path: path.to_owned() }
    }
}

fn open_dir(path: &Path) -> Result<OwnedFd> {
    openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| EngineError::Internal(format!("cannot open {}: {error}", path.display())))
}

/// The path relative to the root, without `.` and without `..` that leads above it.
pub(super) fn clean(path: &str) -> PathBuf {
    let mut out = PathBuf::new();
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => out.push(name),
            // Lexical, as Docker does it: what is before it need not exist.
            Component::ParentDir => {
                out.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_the_root() {
        for (path, want) in [("/", ""), ("/a/./b/", "a/b"), ("a/../../b", "b"), ("/../../etc", "etc"), ("", "")] {
            assert_eq!(clean(path), Path::new(want), "{path}");
        }
    }
}
