//! What a build's command leaves when it ends, or when its daemon was killed.

use std::path::Path;

use hoist_runtime::cgroup::{Cgroup, CgroupPath};
use nix::mount::{MntFlags, umount2};

use crate::inner::Inner;

/// Names the command's cgroup, in its run directory.
pub(super) const CGROUP_FILE: &str = "cgroup";

/// Removes all that builds of an earlier daemon have left; networks are put in order by the recovery that follows.
pub(crate) fn sweep(engine: &Inner) {
    let root = engine.options.run_root.join("build");
    for entry in std::fs::read_dir(&root).into_iter().flatten().flatten() {
        tracing::info!(build = %entry.file_name().to_string_lossy(), "removing what an interrupted build has left");
        remove(&entry.path());
    }
}

/// Removes a command's processes, cgroup, mounts and run directory. Goes on where something fails, and says so.
pub(super) fn remove(run_dir: &Path) {
    if let Ok(path) = std::fs::read_to_string(run_dir.join(CGROUP_FILE)) {
        let removed = CgroupPath::new(path.trim()).and_then(|path| match Cgroup::open(&path) {
            Ok(cgroup) => cgroup.kill_all(nix::libc::SIGKILL).and_then(|()| cgroup.delete()),
            // There is none when nothing was started.
            Err(_) => Ok(()),
        });
        if let Err(error) = removed {
            tracing::warn!(%error, "cannot remove the cgroup of a build");
        }
    }
    for entry in std::fs::read_dir(run_dir.join("mounts")).into_iter().flatten().flatten() {
        // Most are no mounts.
        let _ = umount2(&entry.path(), MntFlags::MNT_DETACH);
    }
    if let Err(error) = std::fs::remove_dir_all(run_dir) {
        tracing::warn!(%error, path = %run_dir.display(), "cannot remove the directory of a build");
    }
}
