//! Compresses what a log has rotated away, in a process of its own: the supervisor has more to do.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use flate2::{Compression, GzBuilder};

use crate::sys;

pub(super) const SUFFIX: &str = ".gz";

/// Starts the process; `None` when there is none, and the file stays as it is.
pub(super) fn start(path: &Path) -> Option<i32> {
    // SAFETY: this process has one thread, so the child may do whatever the parent could.
    match unsafe { libc::fork() } {
        0 => {
            // Whoever is attached must see the supervisor end, not this process.
            sys::close_from(3);
            let _ = rustix::thread::set_name(c"hoist-pack");
            sys::exit_now(i32::from(pack(path).is_err()))
        }
        -1 => None,
        pid => Some(pid),
    }
}

/// Puts `path.gz` in the place of `path`.
fn pack(path: &Path) -> io::Result<()> {
    let named = |suffix: &str| {
        let mut name = path.to_owned().into_os_string();
        name.push(suffix);
        std::path::PathBuf::from(name)
    };
    let part = named(".gz-part");
    let result = (|| {
        let mut plain = File::open(path)?;
        // A follower that has read a part of the plain file finds its place again by the inode.
        let inode = plain.metadata()?.ino().to_string();
        let mut packed = GzBuilder::new().comment(inode).write(File::create(&part)?, Compression::default());
        io::copy(&mut plain, &mut packed)?;
        packed.finish()?.flush()?;
        std::fs::rename(&part, named(SUFFIX))
    })();
    let remove = if result.is_ok() { path } else { &part };
    std::fs::remove_file(remove)?;
    result
}
