//! Control groups on v2, v1 and hybrid hosts.
//!
//! A container has one place, the same in every hierarchy. On v2 a process is born in it; on v1 it moves
//! itself as a single thread, because moving a process from outside waits for the kernel to make sure that
//! nobody forks, which takes longer than all the rest of a container's start.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use oci_spec::runtime::LinuxResources;
use rustix::fs::{CWD, Mode, OFlags};

mod bpf;
mod devices;
mod error;
mod layout;
mod limits;
mod oom;
mod path;
mod read;
mod stats;
mod v1;
mod v2;

pub use error::CgroupError;
pub(crate) use layout::{Hierarchy, Layout};
pub use path::{CgroupPath, DEFAULT_PARENT};
pub use stats::{BlkioStats, CgroupStats, CpuStats, DeviceIo, HugetlbStats, MemoryStats, PidsStats};

/// One container's cgroup, in every hierarchy of the host that has a controller for it.
#[derive(Debug)]
pub struct Cgroup {
    path: CgroupPath,
    layout: &'static Layout,
    /// Directories that [`Cgroup::create`] has made, the deepest last.
    made: Vec<PathBuf>,
}

/// The way into a cgroup, opened before the process exists that will take it.
#[derive(Debug)]
pub(crate) struct Entrance {
    /// The directory on v2, into which a process is cloned.
    pub unified: Option<OwnedFd>,
    /// The `tasks` files on v1.
    tasks: Vec<OwnedFd>,
}

impl Entrance {
    /// Moves this process, which has one thread, into the v1 hierarchies.
    pub(crate) fn enter(&self) -> io::Result<()> {
        self.tasks.iter().try_for_each(|tasks| rustix::io::write(tasks, b"0").map(drop)).map_err(io::Error::from)
    }

    /// Moves this process into the unified hierarchy, where it could not be cloned into it.
    pub(crate) fn enter_unified(&self) -> io::Result<()> {
        let Some(dir) = &self.unified else {
            return Ok(());
        };
        let procs = rustix::fs::openat(dir, "cgroup.procs", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(rustix::io::write(procs, b"0").map(drop)?)
    }
}

/// Decides what would be written for `resources` on a host of the one kind or the other, and writes nothing.
pub(crate) fn check(resources: &LinuxResources, v2: bool) -> Result<(), CgroupError> {
    limits::plan(resources, |_| v2)?;
    let rules = devices::rules(resources.devices().as_deref().unwrap_or_default())?;
    bpf::device_program(&rules);
    Ok(())
}

fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> CgroupError {
    let what = what.into();
    |source| CgroupError::Io { what, source }
}

/// Writes a file of a cgroup in one call, as the kernel wants it.
pub(crate) fn write(file: &Path, value: &str) -> Result<(), CgroupError> {
    let result =
        std::fs::OpenOptions::new().write(true).open(file).and_then(|mut open| open.write_all(value.as_bytes()));
    result.map_err(|source| CgroupError::Io { what: format!("write {value:?} to {}", file.display()), source })
}

/// Reads a file of a cgroup.
pub(crate) fn read(file: &Path) -> Result<String, CgroupError> {
    std::fs::read_to_string(file).map_err(|source| CgroupError::Io { what: format!("read {}", file.display()), source })
}

impl Cgroup {
    /// The cgroup at `path`, which must exist.
    pub fn open(path: &CgroupPath) -> Result<Self, CgroupError> {
        let layout = Layout::get().map_err(io_error("find the host's cgroups"))?;
        let cgroup = Self { path: path.clone(), layout, made: Vec::new() };
        if cgroup.directories().any(|dir| dir.exists()) {
            return Ok(cgroup);
        }
        Err(CgroupError::Io { what: format!("open cgroup {path}"), source: io::ErrorKind::NotFound.into() })
    }

    /// The cgroup at `path`, made if it does not exist.
    pub fn create(path: &CgroupPath) -> Result<Self, CgroupError> {
        let layout = Layout::get().map_err(io_error("find the host's cgroups"))?;
        let mut cgroup = Self { path: path.clone(), layout, made: Vec::new() };
        let result = layout.hierarchies().iter().filter(|hierarchy| hierarchy.is_ours()).try_for_each(|hierarchy| {
            if hierarchy.is_v2() {
                v2::make(hierarchy, path, &mut cgroup.made)
            } else {
                v1::make(hierarchy, path, &mut cgroup.made)
            }
        });
        match result {
            Ok(()) => Ok(cgroup),
            Err(error) => {
                cgroup.undo();
                Err(error)
            }
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &CgroupPath {
        &self.path
    }

    /// Whether this call of [`Cgroup::create`] made the cgroup, rather than finding it.
    pub(crate) fn is_new(&self) -> bool {
        !self.made.is_empty()
    }

    /// Takes back what [`Cgroup::create`] made.
    pub(crate) fn undo(&mut self) {
        for dir in self.made.drain(..).rev() {
            // Our parent stays, as others may be about to make something in it.
            if !dir.ends_with(DEFAULT_PARENT) {
                let _ = remove(&dir);
            }
        }
    }

    pub(crate) fn layout(&self) -> &'static Layout {
        self.layout
    }

    fn hierarchies(&self) -> impl Iterator<Item = &'static Hierarchy> {
        self.layout.hierarchies().iter().filter(|hierarchy| hierarchy.is_ours())
    }

    fn directories(&self) -> impl Iterator<Item = PathBuf> {
        self.hierarchies().map(|hierarchy| hierarchy.directory(&self.path))
    }

    /// The cgroup's directory in the hierarchy of a controller.
    fn directory(&self, controller: &str) -> Option<(PathBuf, bool)> {
        self.layout.with(controller).map(|hierarchy| (hierarchy.directory(&self.path), hierarchy.is_v2()))
    }

    /// Opens the way in.
    pub(crate) fn entrance(&self) -> Result<Entrance, CgroupError> {
        let mut entrance = Entrance { unified: None, tasks: Vec::new() };
        for hierarchy in self.hierarchies() {
            let dir = hierarchy.directory(&self.path);
            if hierarchy.is_v2() {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let open = rustix::fs::openat(CWD, &dir, flags, Mode::empty());
                entrance.unified =
                    Some(open.map_err(|error| io_error(format!("open cgroup {}", dir.display()))(error.into()))?);
            } else {
                let file = dir.join("tasks");
                let open = rustix::fs::openat(CWD, &file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
                entrance.tasks.push(open.map_err(|error| io_error(format!("open {}", file.display()))(error.into()))?);
            }
        }
        Ok(entrance)
    }

    /// Sets the limits that `resources` names and leaves the others.
    pub fn apply(&self, resources: &LinuxResources) -> Result<(), CgroupError> {
        limits::apply(self, resources)
    }

    /// Stops all processes where they are; returns when they stand.
    pub fn freeze(&self) -> Result<(), CgroupError> {
        self.set_frozen(true)
    }

    /// Lets frozen processes go on.
    pub fn thaw(&self) -> Result<(), CgroupError> {
        self.set_frozen(false)
    }

    fn set_frozen(&self, frozen: bool) -> Result<(), CgroupError> {
        if let Some((dir, _)) = self.directory("freezer") {
            return v1::set_frozen(&dir, frozen);
        }
        match self.layout.v2() {
            Some(hierarchy) => v2::set_frozen(&hierarchy.directory(&self.path), frozen),
            None => Err(CgroupError::NoController { what: "pause", controller: "freezer" }),
        }
    }

    /// Whether the processes are frozen.
    pub fn is_frozen(&self) -> Result<bool, CgroupError> {
        if let Some((dir, _)) = self.directory("freezer") {
            return Ok(read(&dir.join("freezer.state"))?.trim() != "THAWED");
        }
        match self.layout.v2() {
            Some(hierarchy) => Ok(read(&hierarchy.directory(&self.path).join("cgroup.freeze"))?.trim() == "1"),
            None => Ok(false),
        }
    }

    /// What the processes have used.
    pub fn stats(&self) -> Result<CgroupStats, CgroupError> {
        read::all(self)
    }

    /// The processes, those of cgroups below included.
    pub fn procs(&self) -> Result<Vec<i32>, CgroupError> {
        // Any hierarchy knows all; the pids controller's is the least likely to have been left by a process.
        let dir = match self.directory("pids").or_else(|| self.directory("memory")) {
            Some((dir, _)) => dir,
            None => match self.directories().next() {
                Some(dir) => dir,
                None => return Ok(Vec::new()),
            },
        };
        let mut pids = Vec::new();
        collect_procs(&dir, &mut pids)?;
        pids.sort_unstable();
        pids.dedup();
        Ok(pids)
    }

    /// Sends `signal` (a number) to all processes; with SIGKILL none escapes by forking.
    pub fn kill_all(&self, signal: i32) -> Result<(), CgroupError> {
        if signal == libc::SIGKILL
            && let Some(hierarchy) = self.layout.v2()
        {
            match write(&hierarchy.directory(&self.path).join("cgroup.kill"), "1") {
                Ok(()) if self.layout.pure_v2().is_some() => return Ok(()),
                // Before 5.14 there is no such file, and beside v1 a process may live elsewhere.
                _ => {}
            }
        }
        // Frozen processes cannot fork while they are being counted; the signal arrives when they go on.
        let frozen = self.freeze().is_ok();
        let result = self.procs().map(|pids| {
            for pid in pids {
                // It may have ended by itself meanwhile.
                let _ = crate::sys::kill(pid, signal);
            }
        });
        if frozen {
            self.thaw()?;
        }
        result
    }

    /// A descriptor that polls readable (v1) or with an exceptional condition (v2) when the kernel has
    /// killed a process of the cgroup for want of memory. [`Cgroup::oom_kills`] tells how many.
    pub fn oom_watch(&self) -> Result<OwnedFd, CgroupError> {
        oom::watch(self)
    }

    /// How many processes the kernel has killed for want of memory since the cgroup was made.
    pub fn oom_kills(&self) -> Result<u64, CgroupError> {
        oom::kills(self)
    }

    /// Removes the cgroup from every hierarchy where nothing is in it or below it.
    pub fn delete_if_empty(self) {
        for dir in self.directories() {
            // The kernel keeps what is in use.
            let _ = std::fs::remove_dir(&dir);
        }
    }

    /// Removes the cgroup and those below it, waiting a little for processes that are exiting.
    /// A cgroup that is gone already is no error.
    pub fn delete(self) -> Result<(), CgroupError> {
        let mut failure = Ok(());
        for dir in self.directories() {
            if let Err(source) = remove_patiently(&dir) {
                failure = Err(CgroupError::Io { what: format!("remove cgroup {}", dir.display()), source });
            }
        }
        failure
    }
}

fn collect_procs(dir: &Path, pids: &mut Vec<i32>) -> Result<(), CgroupError> {
    let list = match read(&dir.join("cgroup.procs")) {
        Ok(list) => list,
        Err(CgroupError::Io { source, .. })
            if matches!(source.raw_os_error(), Some(libc::ENOENT | libc::ENODEV | libc::EOPNOTSUPP)) =>
        {
            String::new()
        }
        Err(error) => return Err(error),
    };
    pids.extend(list.lines().filter_map(|line| line.parse::<i32>().ok()));
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect_procs(&entry.path(), pids)?;
        }
    }
    Ok(())
}

/// Removes a cgroup and those below it.
fn remove(dir: &Path) -> io::Result<()> {
    match std::fs::remove_dir(dir) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
        Err(error) => return Err(error),
    }
    for entry in std::fs::read_dir(dir)?.flatten() {
        if entry.file_type()?.is_dir() {
            remove(&entry.path())?;
        }
    }
    match std::fs::remove_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A process that has been killed leaves its cgroup a moment later.
fn remove_patiently(dir: &Path) -> io::Result<()> {
    let mut pause = Duration::from_micros(200);
    loop {
        match remove(dir) {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) && pause < Duration::from_millis(500) => {
                std::thread::sleep(pause);
                pause *= 2;
            }
            other => return other,
        }
    }
}

/// Gives the cgroup to the container's root, so that it may make cgroups of its own (config-linux.md,
/// "Cgroup ownership"). v2 only: v1 cannot be delegated safely.
pub(crate) fn delegate(entrance: &Entrance, uid: u32) -> io::Result<()> {
    let Some(dir) = &entrance.unified else {
        return Ok(());
    };
    let owner = Some(rustix::fs::Uid::from_raw(uid));
    rustix::fs::chownat(dir, "", owner, None, rustix::fs::AtFlags::EMPTY_PATH)?;
    let listed = std::fs::read_to_string("/sys/kernel/cgroup/delegate");
    let files = listed.as_deref().unwrap_or("cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n");
    for file in files.lines().filter(|file| !file.is_empty()) {
        match rustix::fs::chownat(dir, file, owner, None, rustix::fs::AtFlags::SYMLINK_NOFOLLOW) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// A descriptor for `CLONE_INTO_CGROUP`.
pub(crate) fn clone_target(entrance: &Entrance) -> Option<BorrowedFd<'_>> {
    entrance.unified.as_ref().map(AsFd::as_fd)
}

/// The unified cgroup that a process is in.
pub(crate) fn unified_of(pid: i32) -> Option<OwnedFd> {
    let hierarchy = Layout::get().ok()?.v2()?;
    let list = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let path = list.lines().find_map(|line| line.strip_prefix("0::"))?;
    let dir = hierarchy.directory(&CgroupPath::new(path).ok()?);
    rustix::fs::openat(CWD, dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()
}
