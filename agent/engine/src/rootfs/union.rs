//! Overlay layers seen as one tree: finding a file the way the kernel's overlayfs would.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags};

/// Directories over one another, the topmost first.
pub(crate) struct Union {
    layers: Vec<PathBuf>,
}

/// As many symbolic links as the kernel follows.
const LINKS_MAX: usize = 40;
/// Files such as `/etc/passwd` are small; a larger one is an attack.
const FILE_MAX: u64 = 8 << 20;

enum Entry {
    Directory,
    Link(PathBuf),
    /// A regular file of that layer.
    File(usize),
    Other,
}

impl Union {
    pub(crate) fn new(layers: Vec<PathBuf>) -> Self {
        Self { layers }
    }

    /// The contents of the file at `path`, or `None` if there is no such file.
    pub(crate) fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        let Some((path, Entry::File(layer))) = self.resolve(Path::new(path)) else { return Ok(None) };
        // Links were resolved by hand; one that appears now is a race that somebody tries to win.
        let root =
            rustix::fs::open(&self.layers[layer], OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let file = rustix::fs::openat2(
            &root,
            &path,
            OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK,
            Mode::empty(),
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
        )?;
        let mut bytes = Vec::new();
        std::fs::File::from(file).take(FILE_MAX).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Whether there is a directory at `path`.
    pub(crate) fn is_dir(&self, path: &str) -> bool {
        matches!(self.resolve(Path::new(path)), Some((_, Entry::Directory)))
    }

    /// The path without symbolic links, relative to the root, and what is there.
    fn resolve(&self, path: &Path) -> Option<(PathBuf, Entry)> {
        let mut todo: VecDeque<OsString> = parts(path);
        let mut done = PathBuf::new();
        let mut entry = Entry::Directory;
        let mut links = 0;
        while let Some(name) = todo.pop_front() {
            if name == ".." {
                done.pop();
                entry = Entry::Directory;
                continue;
            }
            let Entry::Directory = entry else { return None };
            let next = done.join(&name);
            entry = self.lookup(&next)?;
            if let Entry::Link(target) = &entry {
                links += 1;
                if links > LINKS_MAX {
                    return None;
                }
                if target.is_absolute() {
                    done = PathBuf::new();
                }
                for part in parts(target).into_iter().rev() {
                    todo.push_front(part);
                }
                entry = Entry::Directory;
            } else {
                done = next;
            }
        }
        Some((done, entry))
    }

    /// What is at `path`, whose parents are directories.
    fn lookup(&self, path: &Path) -> Option<Entry> {
        for (index, layer) in self.layers.iter().enumerate() {
            let full = layer.join(path);
            match std::fs::symlink_metadata(&full) {
                Ok(meta) => {
                    let kind = meta.file_type();
                    if kind.is_dir() {
                        return Some(Entry::Directory);
                    }
                    if kind.is_symlink() {
                        return std::fs::read_link(&full).ok().map(Entry::Link);
                    }
                    if kind.is_file() {
                        return Some(Entry::File(index));
                    }
                    use std::os::unix::fs::MetadataExt;
                    let whiteout = kind.is_char_device() && meta.rdev() == 0;
                    return if whiteout { None } else { Some(Entry::Other) };
                }
                Err(_) if self.hides_lower(layer, path) => return None,
                Err(_) => {}
            }
        }
        None
    }

    /// Whether one of the parents of `path` in this layer is opaque or is no directory.
    fn hides_lower(&self, layer: &Path, path: &Path) -> bool {
        let mut parent = path.parent();
        while let Some(dir) = parent {
            if dir.as_os_str().is_empty() {
                break;
            }
            let full = layer.join(dir);
            match std::fs::symlink_metadata(&full) {
                Ok(meta) if !meta.is_dir() => return true,
                Ok(_) => {
                    for name in ["trusted.overlay.opaque", "user.overlay.opaque"] {
                        let mut value = [0_u8; 1];
                        if rustix::fs::lgetxattr(&full, name, &mut value) == Ok(1) && value == *b"y" {
                            return true;
                        }
                    }
                }
                Err(_) => {}
            }
            parent = dir.parent();
        }
        false
    }
}

fn parts(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsStr::new("..").to_owned()),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn text(union: &Union, path: &str) -> Option<String> {
        union.read(path).unwrap().map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn upper_layers_hide_lower_ones() {
        let dir = tempfile::tempdir().unwrap();
        let (top, low) = (dir.path().join("top"), dir.path().join("low"));
        fs::create_dir_all(low.join("etc/opaque")).unwrap();
        fs::create_dir_all(top.join("etc/opaque")).unwrap();
        fs::create_dir_all(low.join("real")).unwrap();
        for (path, content) in [("etc/a", "low a"), ("etc/b", "low b"), ("etc/opaque/c", "hidden"), ("real/d", "d")] {
            fs::write(low.join(path), content).unwrap();
        }
        fs::write(top.join("etc/a"), "top a").unwrap();
        rustix::fs::setxattr(top.join("etc/opaque"), "trusted.overlay.opaque", b"y", rustix::fs::XattrFlags::empty())
            .unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        let kind = rustix::fs::FileType::CharacterDevice;
        rustix::fs::mknodat(rustix::fs::CWD, top.join("etc/b"), kind, mode, 0).unwrap();
        symlink("/real", top.join("link")).unwrap();
        symlink("../../../../link/d", low.join("etc/far")).unwrap();
        symlink("/etc/loop", low.join("etc/loop")).unwrap();
        let union = Union::new(vec![top, low]);
        assert_eq!(text(&union, "/etc/a").as_deref(), Some("top a"));
        assert_eq!(text(&union, "/etc/b"), None);
        assert_eq!(text(&union, "/etc/opaque/c"), None);
        assert_eq!(text(&union, "/link/d").as_deref(), Some("d"));
        assert_eq!(text(&union, "/etc/far").as_deref(), Some("d"));
        assert_eq!(text(&union, "/etc/loop"), None);
        assert_eq!(text(&union, "/etc/a/x"), None);
        assert!(union.is_dir("/link") && union.is_dir("/") && !union.is_dir("/etc/a"));
    }
}
