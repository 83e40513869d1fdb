//! Making a container's processes again from a directory.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::FdFlags;

use super::criu::{Criu, work_dir};
use super::dump::NETWORK;
use super::manifest::Manifest;
use super::{CheckpointError, cuda, externals, io_error};
use crate::cgroup::{Cgroup, CgroupPath, Entrance};
use crate::launch::plan::{CLONE_NEWCGROUP, CLONE_NEWNET, CLONE_NEWNS, Plan};
use crate::launch::step::StepError;
use crate::launch::{LaunchError, Launched, Rootfs, child};
use crate::mounts::root;
use crate::mounts::source::{RootSource, open_root};
use crate::sys;

const PID: &str = "pid";

/// A container that is made from a checkpoint. The spec is that of this run, so sources of mounts, addresses and the
/// cgroup may be others than when it was written.
pub(crate) struct Restore<'a> {
    pub id: &'a str,
    pub spec: &'a Spec,
    pub bundle: &'a Path,
    pub rootfs: Rootfs,
    pub images: &'a Path,
    pub log: &'a Path,
    /// stdin, stdout and stderr.
    pub streams: [OwnedFd; 3],
    pub cgroup: &'a CgroupPath,
}

impl From<CheckpointError> for LaunchError {
    fn from(error: CheckpointError) -> Self {
        match error {
            CheckpointError::Io { what, source } => Self::Step { what, source },
            other => Self::Invalid(other.to_string()),
        }
    }
}

/// Makes the processes, the first of them a child of the caller.
pub(crate) fn restore(criu: &Criu, restore: Restore<'_>) -> Result<Launched, LaunchError> {
    let manifest = Manifest::read(restore.images)
        .map_err(io_error(format!("read the checkpoint {}", restore.images.display())))?;
    let plan = Plan::new(restore.spec, restore.bundle)?;
    let root = open_root(&restore.rootfs, true)?;
    let place = match &restore.rootfs {
        Rootfs::Path(path) => path.clone(),
        _ => restore.bundle.to_owned(),
    };
    let mut cgroup = Cgroup::create(restore.cgroup).map_err(crate::launch::parent::cgroup_error)?;
    let result = in_cgroup(criu, &restore, &manifest, &plan, root, place, &cgroup);
    if result.is_err() {
        let _ = cgroup.kill_all(libc::SIGKILL);
        cgroup.undo();
    }
    result
}

fn in_cgroup(
    criu: &Criu,
    restore: &Restore<'_>,
    manifest: &Manifest,
    plan: &Plan,
    root: RootSource,
    place: PathBuf,
    cgroup: &Cgroup,
) -> Result<Launched, LaunchError> {
    if let Some(resources) = &plan.resources {
        cgroup.apply(resources).map_err(crate::launch::parent::cgroup_error)?;
    }
    let work = restore.log.parent().unwrap_or(Path::new("/"));
    work_dir(work).map_err(io_error(format!("make {}", work.display())))?;
    let pid_file = work.join(PID);
    let _ = std::fs::remove_file(&pid_file);

    let mut command = criu.command("restore");
    command.arg("--images-dir").arg(restore.images).arg("--work-dir").arg(work).arg("--pidfile").arg(&pid_file);
    // The first process becomes a child of whom CRIU is one.
    command.args(["--restore-detached", "--restore-sibling"]);
    // Who was at the other end of a connection has long gone on, or its address is another's now.
    command.args(["--manage-cgroups=ignore", "--tcp-close", "--file-locks", "--network-lock", "nftables"]);
    command.arg("--root").arg(&place);
    for mount in &manifest.mounts {
        let missing = || {
            let place = &mount.target;
            CheckpointError::Unsupported(format!("the checkpoint has a mount on {place}, and the container has none"))
        };
        let source = externals::source(restore.spec, &mount.target, true)?.ok_or_else(missing)?;
        command.arg("--external").arg(format!("mnt[{}]:{}", mount.key, source.display()));
    }
    let mut given: Vec<OwnedFd> = Vec::new();
    for (stream, inode) in restore.streams.iter().zip(manifest.streams) {
        let Some(inode) = inode else { continue };
        let stream = sys::dup_above(stream, 3).map_err(io_error("hand over a stream"))?;
        command.arg("--inherit-fd").arg(format!("fd[{}]:pipe:[{inode}]", stream.as_raw_fd()));
        given.push(stream);
    }
    match (manifest.network, plan.namespaces.joins(CLONE_NEWNET)) {
        (true, Some(path)) => {
            let open = rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
            let network = open.map_err(|error| io_error(format!("open {}", path.display()))(error.into()))?;
            command.arg("--inherit-fd").arg(format!("fd[{}]:{NETWORK}", network.as_raw_fd()));
            given.push(network);
        }
        (false, None) => {}
        (had, _) => {
            let (before, now) =
                if had { ("a network of its own", "the host's") } else { ("the host's network", "its own") };
            let why = format!("the checkpoint was made with {before}, and the container has {now}");
            return Err(CheckpointError::Unsupported(why).into());
        }
    }
    let mut inside = Inside {
        id: restore.id.to_owned(),
        entrance: cgroup.entrance().map_err(crate::launch::parent::cgroup_error)?,
        namespaces: CLONE_NEWNS | plan.namespaces.create & CLONE_NEWCGROUP,
        readonly: plan.readonly_root,
        place,
        root: Some(root),
        given,
    };
    // SAFETY: this process has one thread, so the child may do whatever the parent could.
    unsafe { command.pre_exec(move || inside.enter()) };
    criu.run("restore", command, restore.log)?;
    let pid = read_pid(&pid_file).map_err(io_error("read the process id that criu wrote"))?;
    let pidfd = sys::pidfd_open(pid).map_err(io_error("reach the restored process"))?;
    cuda::resume_all(criu, pid)?;
    Ok(Launched { pid, pidfd, terminal: None })
}

/// What CRIU is run in: the cgroup and the namespaces that the restored processes inherit, with the root file system
/// where nobody else sees it.
struct Inside {
    id: String,
    entrance: Entrance,
    namespaces: u64,
    readonly: bool,
    place: PathBuf,
    root: Option<RootSource>,
    given: Vec<OwnedFd>,
}

impl Inside {
    fn enter(&mut self) -> io::Result<()> {
        self.prepare()
            .map_err(|error| io::Error::from_raw_os_error(if error.errno == 0 { libc::EINVAL } else { error.errno }))?;
        self.given.iter().try_for_each(|fd| keep_open(fd.as_fd()))
    }

    fn prepare(&mut self) -> Result<(), StepError> {
        use crate::launch::step::ResultExt;
        sys::reset_signals();
        self.entrance.enter().step("join the cgroup")?;
        self.entrance.enter_unified().step("join the cgroup")?;
        child::join_keyring(&self.id)?;
        sys::unshare(self.namespaces).step("make namespaces")?;
        sys::set_propagation(c"/", libc::MS_PRIVATE | libc::MS_REC).step("cut the mounts off")?;
        let Some(source) = self.root.take() else { return Ok(()) };
        let root = root::attach(source, &self.place, None)?;
        if self.readonly {
            let attr = sys::MountAttr { set: sys::MOUNT_ATTR_RDONLY, ..sys::MountAttr::default() };
            sys::mount_setattr(root.as_fd(), false, attr).step("make the root read-only")?;
        }
        rustix::process::chdir("/").step("leave the root file system")
    }
}

fn keep_open(fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::io::fcntl_setfd(fd, FdFlags::empty())?)
}

fn read_pid(file: &Path) -> io::Result<i32> {
    let text = std::fs::read_to_string(file)?;
    text.trim().parse().map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("{text:?} is no process id")))
}
