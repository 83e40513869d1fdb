//! A container's first process out of an OCI spec, and further processes in a running container.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Process, Spec};

pub(crate) mod child;
mod error;
mod exec;
mod init;
pub(crate) mod parent;
pub(crate) mod plan;
mod stdio;
pub(crate) mod step;
pub(crate) mod wire;

pub use crate::cgroup::CgroupPath;
pub use error::LaunchError;

/// What a container is made of; see [`launch`].
#[derive(Debug)]
pub struct Launch<'a> {
    /// The container's id, as hooks see it.
    pub id: &'a str,
    /// What the container is.
    pub spec: &'a Spec,
    /// The directory that relative paths in the spec are relative to. For an overlay it is also where
    /// the root is mounted, inside the container's mount namespace only, so it must exist.
    pub bundle: &'a Path,
    /// The root file system; the spec's `root.path` is not looked at, its `root.readonly` is.
    pub rootfs: Rootfs,
    /// The first process's standard streams.
    pub stdio: Stdio,
    /// Where the container is accounted and limited; made if it does not exist.
    pub cgroup: CgroupPath,
    /// PID 1 is a small reaper of ours, which needs nothing from the image and forwards signals; the
    /// command is its child.
    pub init: bool,
    /// Mounts that the caller has prepared and attached nowhere (`fsmount`, `open_tree`); they are
    /// attached after the spec's own.
    pub mounts: Vec<PreparedMount>,
    /// Further descriptors for the first process, which gets them as 3, 4, ….
    pub pass_fds: Vec<OwnedFd>,
}

/// A detached mount and the place in the container where it goes.
#[derive(Debug)]
pub struct PreparedMount {
    /// From `fsmount` or `open_tree(OPEN_TREE_CLONE)`.
    pub fd: OwnedFd,
    /// Absolute path in the container. Created if missing.
    pub target: PathBuf,
    /// Whether a missing target is made as a directory or as an empty file.
    pub directory: bool,
}

/// Where the root file system comes from.
#[derive(Debug, Clone)]
pub enum Rootfs {
    /// A directory as it is.
    Path(PathBuf),
    /// Layers put together by overlayfs, inside the container's mount namespace only: the host sees no mount.
    Overlay {
        /// Read-only layers, the topmost first.
        lower: Vec<PathBuf>,
        /// What the container writes.
        upper: PathBuf,
        /// overlayfs's scratch directory, on the file system of `upper`.
        work: PathBuf,
        /// Nothing is written to the disk for its sake, not even what a process asks to be: for what is worth nothing
        /// unless it is complete. The scratch directory can be used once.
        volatile: bool,
    },
    /// Layers only; nothing can be written.
    ReadOnlyOverlay {
        /// The topmost first.
        lower: Vec<PathBuf>,
    },
}

/// The standard streams of a container's process.
#[derive(Debug)]
pub enum Stdio {
    /// These three, used as they are.
    Streams {
        /// Becomes 0.
        stdin: OwnedFd,
        /// Becomes 1.
        stdout: OwnedFd,
        /// Becomes 2.
        stderr: OwnedFd,
    },
    /// A pseudoterminal of the container's own; [`Launched::terminal`] is its master.
    Terminal {
        /// Rows and columns, if known.
        size: Option<TerminalSize>,
    },
    /// The caller's own 0, 1 and 2.
    Inherit,
}

/// Size of a terminal in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalSize {
    /// Height.
    pub rows: u16,
    /// Width.
    pub columns: u16,
}

/// A process that runs the command it was asked to run: `execve` has succeeded.
#[derive(Debug)]
pub struct Launched {
    /// As the caller's pid namespace sees it. It is the caller's child: the caller reaps it.
    pub pid: i32,
    /// Polls readable when the process has exited.
    pub pidfd: OwnedFd,
    /// The pseudoterminal's master, if one was asked for.
    pub terminal: Option<OwnedFd>,
}

/// A further process in a running container; see [`exec_into`].
#[derive(Debug)]
pub struct ExecInto<'a> {
    /// The container's first process, as the caller sees it.
    pub init: i32,
    /// The command, its user, its limits.
    pub process: &'a Process,
    /// The container's spec, for what holds for all its processes (seccomp filter, and namespaces).
    pub spec: &'a Spec,
    /// The process's standard streams.
    pub stdio: Stdio,
    /// The container's cgroup.
    pub cgroup: CgroupPath,
    /// Further descriptors for the process, which gets them as 3, 4, ….
    pub pass_fds: Vec<OwnedFd>,
}

/// Makes the container and starts its command. Returns once `execve` has succeeded; when it fails,
/// nothing of the container is left behind.
///
/// The calling process must have one thread only.
///
/// # Errors
/// See [`LaunchError`], which also knows the exit code that a command line should return.
pub fn launch(launch: Launch<'_>) -> Result<Launched, LaunchError> {
    parent::start(launch, parent::Extra::default())
}

/// Starts a further process in a running container. Returns once `execve` has succeeded.
///
/// The calling process must have one thread only.
///
/// # Errors
/// See [`LaunchError`].
pub fn exec_into(exec: ExecInto<'_>) -> Result<Launched, LaunchError> {
    exec::start(exec)
}
