//! What is particular to the unified hierarchy.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{CgroupError, CgroupPath, Hierarchy, read, write};

/// Makes a cgroup and those above it, with all controllers that there are; notes in `made` what was not there.
pub(super) fn make(hierarchy: &Hierarchy, path: &CgroupPath, made: &mut Vec<PathBuf>) -> Result<(), CgroupError> {
    let mut dir = hierarchy.root().to_owned();
    for part in path.as_str().split('/') {
        enable_controllers(&dir)?;
        dir.push(part);
        match std::fs::create_dir(&dir) {
            Ok(()) => made.push(dir.clone()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => {
                return Err(CgroupError::Io { what: format!("make cgroup {}", dir.display()), source });
            }
        }
    }
    Ok(())
}

/// Hands the controllers of a cgroup on to its children.
fn enable_controllers(dir: &Path) -> Result<(), CgroupError> {
    let (available, enabled) = (read(&dir.join("cgroup.controllers"))?, read(&dir.join("cgroup.subtree_control"))?);
    let missing: Vec<&str> =
        available.split_whitespace().filter(|name| !enabled.split_whitespace().any(|other| other == *name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let file = dir.join("cgroup.subtree_control");
    let all: String = missing.iter().map(|name| format!("+{name} ")).collect();
    match write(&file, all.trim_end()) {
        Ok(()) => return Ok(()),
        Err(CgroupError::Io { source, .. }) if source.raw_os_error() == Some(libc::EBUSY) => {
            // Processes in a cgroup forbid controllers below it. In a container of another engine this is
            // where its own processes sit; they move into a leaf, as that engine's users do by hand.
            evacuate(dir)?;
        }
        Err(_) => {}
    }
    // Some may be impossible (realtime processes keep `cpu` from being enabled); the others are not.
    for name in missing {
        let _ = write(&file, &format!("+{name}"));
    }
    Ok(())
}

/// Moves the processes of a cgroup namespace's root into a leaf of it.
fn evacuate(dir: &Path) -> Result<(), CgroupError> {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let at_root = own.lines().any(|line| line == "0::/") && dir == Path::new("/sys/fs/cgroup");
    if !at_root {
        return Ok(());
    }
    let leaf = dir.join("hoist-outside");
    match std::fs::create_dir(&leaf) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(source) => {
            return Err(CgroupError::Io { what: format!("make cgroup {}", leaf.display()), source });
        }
    }
    for pid in read(&dir.join("cgroup.procs"))?.lines() {
        // Kernel threads and processes that have ended cannot be moved and do not matter.
        let _ = write(&leaf.join("cgroup.procs"), pid);
    }
    Ok(())
}

/// Freezes or thaws, and waits until it is so.
pub(super) fn set_frozen(dir: &Path, frozen: bool) -> Result<(), CgroupError> {
    let wanted = if frozen { "1" } else { "0" };
    write(&dir.join("cgroup.freeze"), wanted)?;
    let events = dir.join("cgroup.events");
    let mut pause = Duration::from_micros(50);
    for _ in 0..20 {
        let text = read(&events)?;
        let now = text.lines().find_map(|line| line.strip_prefix("frozen ")).map(str::trim);
        if now.is_none_or(|now| now == wanted) {
            return Ok(());
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(100));
    }
    if frozen {
        write(&dir.join("cgroup.freeze"), "0")?;
    }
    Err(CgroupError::Io {
        what: format!("wait for {} to show frozen {wanted}", events.display()),
        source: io::ErrorKind::TimedOut.into(),
    })
}
