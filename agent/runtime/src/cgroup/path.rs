//! A cgroup's place, the same in every hierarchy.

use std::fmt;
use std::path::{Component, Path};

use super::CgroupError;

/// The parent of all cgroups that Hoist makes unless it is told otherwise.
pub const DEFAULT_PARENT: &str = "hoist";

/// A cgroup's place below the root of each hierarchy. Never empty, never with `.` or `..`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CgroupPath(String);

impl CgroupPath {
    /// `hoist/<id>`: the place of the container `id`.
    ///
    /// # Errors
    /// When `id` is no single path component.
    pub fn for_container(id: &str) -> Result<Self, CgroupError> {
        Self::new(format!("{DEFAULT_PARENT}/{id}"))
    }

    /// Any place; a leading slash makes no difference.
    ///
    /// # Errors
    /// When the path is empty or has `..`.
    pub fn new(path: impl AsRef<Path>) -> Result<Self, CgroupError> {
        let path = path.as_ref();
        let bad = || CgroupError::Path(path.display().to_string());
        let mut parts = Vec::new();
        for component in path.components() {
            match component {
                Component::RootDir | Component::CurDir => {}
                Component::Normal(part) => {
                    let part = part.to_str().ok_or_else(bad)?;
                    if part.contains(['\n', '\0']) {
                        return Err(bad());
                    }
                    parts.push(part);
                }
                Component::ParentDir | Component::Prefix(_) => return Err(bad()),
            }
        }
        if parts.is_empty() {
            return Err(bad());
        }
        Ok(Self(parts.join("/")))
    }

    /// Relative, without a leading slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CgroupPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_made_canonical() {
        assert_eq!(CgroupPath::new("/a//b/./c/").unwrap().as_str(), "a/b/c");
        assert_eq!(CgroupPath::for_container("x").unwrap().to_string(), "/hoist/x");
    }

    #[test]
    fn a_path_cannot_leave_the_hierarchy() {
        for path in ["", "/", "..", "/a/../b", "a/..", "a\nb"] {
            assert!(CgroupPath::new(path).is_err(), "{path:?}");
        }
    }
}
