//! What is particular to v1 hierarchies.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{CgroupError, CgroupPath, Hierarchy, read, write};

/// Makes a cgroup and those above it; notes in `made` what was not there.
pub(super) fn make(hierarchy: &Hierarchy, path: &CgroupPath, made: &mut Vec<PathBuf>) -> Result<(), CgroupError> {
    let full = hierarchy.directory(path);
    let mut dir = hierarchy.root().to_owned();
    let parts: Vec<&str> = path.as_str().split('/').collect();
    // Mostly the parent is there.
    if parts.len() > 1 && !hierarchy.has("cpuset") {
        match std::fs::create_dir(&full) {
            Ok(()) => {
                made.push(full);
                return Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            Err(_) => {}
        }
    }
    for part in parts {
        dir.push(part);
        match std::fs::create_dir(&dir) {
            Ok(()) => made.push(dir.clone()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => {
                return Err(CgroupError::Io { what: format!("make cgroup {}", dir.display()), source });
            }
        }
        if hierarchy.has("cpuset") {
            inherit_cpuset(&dir)?;
        }
    }
    Ok(())
}

/// A new v1 cpuset has no processors and no memory, and takes no process until it has.
fn inherit_cpuset(dir: &Path) -> Result<(), CgroupError> {
    let Some(parent) = dir.parent() else {
        return Ok(());
    };
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if read(&dir.join(file))?.trim().is_empty() {
            write(&dir.join(file), read(&parent.join(file))?.trim())?;
        }
    }
    Ok(())
}

/// Freezes or thaws, and waits until it is so.
pub(super) fn set_frozen(dir: &Path, frozen: bool) -> Result<(), CgroupError> {
    let (file, wanted) = (dir.join("freezer.state"), if frozen { "FROZEN" } else { "THAWED" });
    write(&file, wanted)?;
    let mut pause = Duration::from_micros(50);
    for _ in 0..20 {
        if read(&file)?.trim() == wanted {
            return Ok(());
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(100));
        // A process that was being created while the others froze needs another push.
        write(&file, wanted)?;
    }
    if frozen {
        // Half frozen is worse than not frozen.
        write(&file, "THAWED")?;
    }
    Err(CgroupError::Io {
        what: format!("wait for {} to be {wanted}", file.display()),
        source: io::ErrorKind::TimedOut.into(),
    })
}
