//! Overlay mounts that appear nowhere: a descriptor of the merged tree, which ends when it is closed.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags, OpenTreeFlags};
use rustix::thread::UnshareFlags;

use crate::error::Error;

/// What to merge.
pub(crate) struct Merge<'a> {
    /// Directories, top first; at least one.
    pub lower: &'a [PathBuf],
    /// The container's own directory and overlay's work directory, for a tree that can be written.
    pub upper: Option<(&'a Path, &'a Path)>,
    /// Nothing is written to the disk for its sake, and overlay's work directory can be used once. Else the whole file
    /// system is written out when the mount ends.
    pub volatile: bool,
}

/// Merges directories. `scratch` is an existing directory on which nothing is visible afterwards.
pub(crate) fn mount_detached(merge: &Merge<'_>, scratch: &Path) -> Result<OwnedFd, Error> {
    let fail = |e: io::Error| Error::io("mount the file tree below", scratch, e);
    match (merge.lower, merge.upper) {
        // Overlay wants two directories; one alone is its own merge.
        ([one], None) => rustix::fs::open(one, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|e| Error::io("open", one, e.into())),
        ([], Some((upper, _))) => {
            rustix::fs::open(upper, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .map_err(|e| Error::io("open", upper, e.into()))
        }
        _ => {
            // A thread of its own, as it gets a mount namespace and a working directory of its own.
            let (options, base) = options(merge).map_err(fail)?;
            std::thread::scope(|scope| scope.spawn(|| mount(&options, &base, scratch)).join())
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                .map_err(fail)
        }
    }
}

/// The option string and the directory that its paths are relative to: relative ones keep it within a page.
fn options(merge: &Merge<'_>) -> io::Result<(CString, PathBuf)> {
    let all = merge.lower.iter().map(PathBuf::as_path).chain(merge.upper.into_iter().flat_map(|(u, w)| [u, w]));
    let mut base: Option<PathBuf> = None;
    for path in all {
        let shared = match &base {
            None => path.parent().unwrap_or(path).to_owned(),
            Some(base) => base.ancestors().find(|a| path.starts_with(a)).unwrap_or(Path::new("/")).to_owned(),
        };
        base = Some(shared);
    }
    let base = base.unwrap_or_else(|| "/".into());
    let mut text = Vec::new();
    let mut put = |key: &str, paths: &[&Path]| {
        if !text.is_empty() {
            text.push(b',');
        }
        text.extend_from_slice(key.as_bytes());
        for (at, path) in paths.iter().enumerate() {
            text.push(if at == 0 { b'=' } else { b':' });
            for byte in path.strip_prefix(&base).unwrap_or(path).as_os_str().as_bytes() {
                if matches!(byte, b':' | b',' | b'\\') {
                    text.push(b'\\');
                }
                text.push(*byte);
            }
        }
    };
    put("lowerdir", &merge.lower.iter().map(PathBuf::as_path).collect::<Vec<_>>());
    if let Some((upper, work)) = merge.upper {
        put("upperdir", &[upper]);
        put("workdir", &[work]);
        // A directory that was moved must be copied: overlayfs' own marks for that cannot be expressed in a layer.
        text.extend_from_slice(b",redirect_dir=off,metacopy=off,index=off");
        if merge.volatile && can_be_volatile() {
            text.extend_from_slice(b",volatile");
        }
    }
    Ok((CString::new(text)?, base))
}

/// Kernels know this from 5.10 on.
fn can_be_volatile() -> bool {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy();
    let mut numbers = release.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (5, 10)
}

fn mount(options: &CString, base: &Path, scratch: &Path) -> io::Result<OwnedFd> {
    // SAFETY: both flags only separate this thread from the process's others; it ends with this function, and nothing
    // that it shares with them is changed.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FS | UnshareFlags::NEWNS) }?;
    rustix::mount::mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)?;
    rustix::process::chdir(base)?;
    rustix::mount::mount("overlay", scratch, "overlay", MountFlags::empty(), options.as_c_str())?;
    let tree =
        rustix::mount::open_tree(CWD, scratch, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC)?;
    // The tree's descriptor is of the kind that only names; work needs one that can be read.
    let open =
        rustix::fs::openat(tree.as_fd(), ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    Ok(open)
}
