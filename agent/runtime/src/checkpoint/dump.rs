//! Writing a container's processes to a directory.

use std::io;
use std::path::Path;

use oci_spec::runtime::Spec;

use super::criu::{Criu, work_dir};
use super::manifest::Manifest;
use super::{CheckpointError, cuda, externals, io_error};
use crate::launch::plan::{CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER, CLONE_NEWUTS, Plan};

/// The name of the network namespace in images.
pub(super) const NETWORK: &str = "hoist-net";
/// The largest file that was removed while a process has it open, and that comes along.
const GHOST_MAX: &str = "256M";

/// What is written down; see [`dump`].
#[derive(Debug)]
pub struct Dump<'a> {
    /// The first process, as the caller sees it.
    pub init: i32,
    /// What the container was started from.
    pub spec: &'a Spec,
    /// Where that lies.
    pub bundle: &'a Path,
    /// The inodes of the pipes that the supervisor gave as stdin, stdout and stderr
    /// ([`Reply::Streams`](crate::supervisor::Reply::Streams)).
    pub streams: [Option<u64>; 3],
    /// An empty directory, for the images.
    pub images: &'a Path,
    /// Where the program's words go; its other files go beside it.
    pub log: &'a Path,
    /// The processes go on. Otherwise they have ended when it is done.
    pub leave_running: bool,
}

/// Writes all processes below the first one to a directory. When it fails they go on as if nothing had been.
///
/// # Errors
/// See [`CheckpointError`].
pub fn dump(criu: &Criu, dump: &Dump<'_>) -> Result<(), CheckpointError> {
    let plan = Plan::new(dump.spec, dump.bundle).map_err(|error| CheckpointError::Unsupported(error.to_string()))?;
    supported(&plan)?;
    let proc = |file: &str| format!("/proc/{}/{file}", dump.init);
    let mountinfo = std::fs::read_to_string(proc("mountinfo")).map_err(io_error("read the container's mounts"))?;
    let mounts = externals::externals(dump.spec, &mountinfo)?;
    let network = plan.namespaces.joins(CLONE_NEWNET).is_some();
    let work = dump.log.parent().unwrap_or(Path::new("/"));
    work_dir(work).map_err(io_error(format!("make {}", work.display())))?;

    let mut command = criu.command("dump");
    command.arg("--tree").arg(dump.init.to_string());
    command.arg("--images-dir").arg(dump.images).arg("--work-dir").arg(work);
    // The container's cgroup is made by us, and its processes are born in it.
    command.args(["--manage-cgroups=ignore", "--tcp-established", "--file-locks", "--ghost-limit", GHOST_MAX]);
    // Needs no further program.
    command.args(["--network-lock", "nftables"]);
    for mount in &mounts {
        command.arg("--external").arg(format!("mnt[{}]:{}", mount.target, mount.key));
    }
    if network {
        let inode = namespace_inode(&proc("ns/net")).map_err(io_error("examine the network namespace"))?;
        command.arg("--external").arg(format!("net[{inode}]:{NETWORK}"));
    }
    if dump.leave_running {
        command.arg("--leave-running");
    }
    let manifest = Manifest::new(dump.streams, mounts, network);
    manifest.write(dump.images).map_err(io_error(format!("write to {}", dump.images.display())))?;
    let devices = cuda::suspend(criu, dump.init)?;
    let done = criu.run("dump", command, dump.log);
    if done.is_err() || dump.leave_running {
        devices.resume()?;
    }
    done
}

/// Refuses what would be dumped and not restored, or not as it was.
fn supported(plan: &Plan) -> Result<(), CheckpointError> {
    let refuse = |why: &str| Err(CheckpointError::Unsupported(format!("the container {why}")));
    let namespaces = &plan.namespaces;
    if plan.process.as_ref().is_some_and(|process| process.terminal) {
        return refuse("has a terminal, whose other end is no part of it: create it without -t");
    }
    if namespaces.has(CLONE_NEWUSER) {
        return refuse("has a user namespace, which a checkpoint cannot have yet");
    }
    if !namespaces.creates(CLONE_NEWPID) {
        return refuse("shares its process ids with others, so they may be taken when it is restored");
    }
    if !namespaces.creates(CLONE_NEWNS) || namespaces.creates(CLONE_NEWNET) {
        return refuse("has mounts or a network that Hoist did not make");
    }
    for (kind, name) in [(CLONE_NEWIPC, "IPC namespace"), (CLONE_NEWUTS, "host name")] {
        if namespaces.joins(kind).is_some() {
            return refuse(&format!("is in the {name} of another container"));
        }
    }
    Ok(())
}

/// `net:[4026531840]`
fn namespace_inode(link: &str) -> io::Result<u64> {
    let name = std::fs::read_link(link)?;
    let name = name.to_string_lossy();
    let number = name.split_once('[').and_then(|(_, rest)| rest.strip_suffix(']')).and_then(|inode| inode.parse().ok());
    number.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("{name} is no namespace")))
}
