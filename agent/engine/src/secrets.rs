//! Where secrets are while containers have them: in memory only.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hoist_proto::id::ContainerId;
use nix::mount::{MntFlags, MsFlags};

const TMPFS: u64 = 0x0102_1994;
const RAMFS: u64 = 0x8584_58f6;

/// A directory for each container, below one of the run root or, where that is on a disk, on a tmpfs that is mounted
/// there.
pub(crate) struct Secrets {
    root: PathBuf,
    /// Held by who looks at the root and mounts it or takes the mount away: two who find no tmpfs would mount two, and
    /// the second would hide what is in the first.
    mounting: Mutex<()>,
}

impl Secrets {
    pub(crate) fn new(run_root: &Path) -> Self {
        Self { root: run_root.join("secrets"), mounting: Mutex::new(()) }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A container's directory, whether it is there or not.
    pub(crate) fn dir(&self, id: &ContainerId) -> PathBuf {
        self.root.join(id.as_str())
    }

    /// Makes a container's directory.
    pub(crate) fn make(&self, id: &ContainerId) -> io::Result<PathBuf> {
        let _mounting = self.mounting();
        fs_err::create_dir_all(&self.root)?;
        fs_err::set_permissions(&self.root, std::fs::Permissions::from_mode(0o700))?;
        let kind = rustix::fs::statfs(&self.root)?.f_type;
        if !matches!(kind as u64 & 0xffff_ffff, TMPFS | RAMFS) {
            let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
            nix::mount::mount(Some("tmpfs"), &self.root, Some("tmpfs"), flags, Some("mode=0700"))?;
        }
        let dir = self.dir(id);
        fs_err::create_dir_all(&dir)?;
        Ok(dir)
    }

    /// Takes the tmpfs away again, if there is one and nobody has secrets.
    pub(crate) fn close(&self) {
        let _mounting = self.mounting();
        if std::fs::read_dir(&self.root).is_ok_and(|mut entries| entries.next().is_none()) {
            let _ = nix::mount::umount2(&self.root, MntFlags::MNT_DETACH);
        }
    }

    fn mounting(&self) -> MutexGuard<'_, ()> {
        self.mounting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn the_first_may_come_at_once() {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
        nix::mount::mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
            .unwrap();
        for _ in 0..50 {
            let dir = tempfile::tempdir_in("/var/tmp").unwrap();
            let (secrets, together) = (Secrets::new(dir.path()), Barrier::new(4));
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        together.wait();
                        let place = secrets.make(&ContainerId::random()).unwrap();
                        std::fs::write(place.join("key"), "hidden").unwrap();
                    });
                }
            });
            assert_eq!(std::fs::read_dir(secrets.root()).unwrap().count(), 4);
            for place in std::fs::read_dir(secrets.root()).unwrap() {
                std::fs::remove_dir_all(place.unwrap().path()).unwrap();
            }
            secrets.close();
            assert_eq!(std::fs::read_dir(secrets.root()).unwrap().count(), 0);
        }
    }
}
