//! A further process in a running container.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags};

use super::parent::{Kill, cgroup_error, hear_out, open_own};
use super::plan::{
    CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWTIME, CLONE_NEWUSER, CLONE_NEWUTS,
};
use super::stdio::{Streams, arrange, open_terminal, own_terminal};
use super::step::{ResultExt, StepError};
use super::wire::{FromChild, Wire};
use super::{ExecInto, LaunchError, Launched, Stdio, child};
use crate::cgroup::{self, Cgroup, Entrance};
use crate::process::{ProcessPlan, apply, lsm};
use crate::procfs::Procfs;
use crate::{seccomp, sys};

const KINDS: [(u64, &str); 8] = [
    (CLONE_NEWUSER, "user"),
    (CLONE_NEWNS, "mnt"),
    (CLONE_NEWPID, "pid"),
    (CLONE_NEWNET, "net"),
    (CLONE_NEWIPC, "ipc"),
    (CLONE_NEWUTS, "uts"),
    (CLONE_NEWCGROUP, "cgroup"),
    (CLONE_NEWTIME, "time"),
];

/// What the new process needs, made before it was forked.
struct Joining<'a> {
    process: &'a ProcessPlan,
    filter: Option<&'a seccomp::Filter>,
    init: &'a OwnedFd,
    /// Kinds of namespaces in which the container's first process is not where the caller is.
    namespaces: u64,
    root: OwnedFd,
    entrance: &'a Entrance,
    in_unified: bool,
    stdio: Stdio,
    pass_fds: Vec<OwnedFd>,
    wire: Wire,
}

/// See [`super::exec_into`].
pub(crate) fn start(exec: ExecInto<'_>) -> Result<Launched, LaunchError> {
    let process = ProcessPlan::new(exec.process)?;
    lsm::check(&process)?;
    let profile = exec.spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
    let filter = profile.map(seccomp::compile).transpose().map_err(|error| LaunchError::Invalid(error.to_string()))?;
    let what = || format!("reach the container's first process {}", exec.init);
    let init = sys::pidfd_open(exec.init).step_with(what)?;
    let namespaces = differing_namespaces(exec.init).step_with(what)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, format!("/proc/{}/root", exec.init), flags, Mode::empty()).step_with(what)?;
    // What was opened by number belongs to the process that the descriptor is of, if that one still lives.
    sys::pidfd_send_signal(init.as_fd(), 0).step_with(what)?;
    let entrance = Cgroup::open(&exec.cgroup).and_then(|cgroup| cgroup.entrance()).map_err(cgroup_error)?;
    let (wire, child_wire) = Wire::pair().step("make a socket pair")?;
    let mut joining = Joining {
        process: &process,
        filter: filter.as_deref(),
        init: &init,
        namespaces,
        root,
        entrance: &entrance,
        in_unified: true,
        stdio: exec.stdio,
        pass_fds: exec.pass_fds,
        wire: child_wire,
    };
    let (pid, pidfd) = {
        let _back = join_pid_namespace(&init, namespaces)?;
        let result;
        (joining, result) = fork(joining, exec.init);
        result?
    };
    let guard = Kill::new(pid, pidfd);
    drop(joining);
    let terminal = hear_out(&wire, |listener| {
        let path = filter.as_ref().and_then(|filter| filter.listener.as_deref());
        let Some(path) = path else { return Ok(()) };
        let metadata = filter.as_ref().and_then(|filter| filter.metadata.as_deref());
        let mut state = oci_spec::runtime::State::default();
        state.set_version(exec.spec.version().clone());
        state.set_pid(Some(exec.init));
        state.set_status(oci_spec::runtime::ContainerState::Running);
        seccomp::send_listener(path, exec.spec.version(), pid, metadata, &state, listener.as_fd())
            .step_with(|| format!("send the system call filter's listener to {}", path.display()))
            .map_err(Into::into)
    })?;
    Ok(Launched { pid, pidfd: guard.disarm(), terminal })
}

fn differing_namespaces(pid: i32) -> io::Result<u64> {
    let mut differing = 0;
    for (flag, name) in KINDS {
        let inode = |path: String| rustix::fs::stat(path).map(|stat| stat.st_ino);
        match (inode(format!("/proc/{pid}/ns/{name}")), inode(format!("/proc/self/ns/{name}"))) {
            (Ok(theirs), Ok(ours)) if theirs == ours => {}
            (Ok(_), Ok(_)) => differing |= flag,
            // The kernel has no namespaces of this kind.
            (_, Err(rustix::io::Errno::NOENT)) => {}
            (Err(error), _) | (_, Err(error)) => return Err(error.into()),
        }
    }
    Ok(differing)
}

/// Children are born in the container's pid namespace until the returned guard is dropped.
fn join_pid_namespace(init: &OwnedFd, namespaces: u64) -> Result<Option<Back>, StepError> {
    if namespaces & CLONE_NEWPID == 0 {
        return Ok(None);
    }
    let own = open_own("pid")?;
    sys::setns(init.as_fd(), CLONE_NEWPID).step("join the container's pid namespace")?;
    Ok(Some(Back(own)))
}

struct Back(OwnedFd);

impl Drop for Back {
    fn drop(&mut self) {
        // One may always return to where one still is oneself.
        let _ = sys::setns(self.0.as_fd(), CLONE_NEWPID);
    }
}

/// Forks, into the container's cgroup where the kernel can do that. A container that has made cgroups of its own
/// and moved its first process into one of them has no place for processes in its cgroup itself; then the new
/// process goes where that one is.
fn fork<'a>(mut joining: Joining<'a>, init: i32) -> (Joining<'a>, Result<(i32, OwnedFd), StepError>) {
    let moved = cgroup::unified_of(init);
    let targets = [cgroup::clone_target(joining.entrance), moved.as_ref().map(AsFd::as_fd), None];
    let mut failure = io::Error::from_raw_os_error(libc::EBUSY);
    for (index, target) in targets.into_iter().enumerate() {
        if target.is_none() && index < 2 {
            continue;
        }
        joining.in_unified = target.is_some();
        // SAFETY: `exec_into` may be called in processes with one thread only.
        match unsafe { sys::fork(0, target) } {
            Ok(sys::Fork::Child) => run(joining),
            Ok(sys::Fork::Parent { pid, pidfd }) => return (joining, Ok((pid, pidfd))),
            Err(error) => failure = error,
        }
    }
    (joining, Err(failure).step("make a process in the container"))
}

/// Runs in the new process and never returns.
fn run(mut joining: Joining<'_>) -> ! {
    sys::reset_signals();
    let first_free = 3 + i32::try_from(joining.pass_fds.len()).unwrap_or(0);
    match sys::dup_above(joining.wire.as_fd(), first_free) {
        Ok(wire) => joining.wire = Wire::from(wire),
        Err(_) => sys::exit_now(125),
    }
    let error = join(&mut joining).err().unwrap_or_else(|| StepError::invalid("the command was not executed".into()));
    let _ = joining.wire.say(&FromChild::Failed(error));
    sys::exit_now(125)
}

/// Returns only on failure.
fn join(joining: &mut Joining<'_>) -> Result<(), StepError> {
    let process = joining.process;
    sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64, 0).step("ask to die with the parent")?;
    child::set_oom_score(Some(process))?;
    let (before, after) = &process.affinity;
    if !before.is_empty() {
        sys::sched_setaffinity(before).step("bind to the processors of execCPUAffinity.initial")?;
    }
    joining.entrance.enter().step("join the container's cgroup")?;
    if !joining.in_unified {
        joining.entrance.enter_unified().step("join the container's cgroup")?;
    }
    if !after.is_empty() {
        sys::sched_setaffinity(after).step("bind to the processors of execCPUAffinity.final")?;
    }
    // From here on the container's processes see this one, which still has the host's memory.
    sys::prctl(libc::PR_SET_DUMPABLE, 0, 0).step("become untraceable")?;
    let others = joining.namespaces & !CLONE_NEWPID;
    if others != 0 {
        sys::setns(joining.init.as_fd(), others).step("join the container's namespaces")?;
    }
    if joining.namespaces & CLONE_NEWUSER != 0 {
        child::become_root()?;
    }
    rustix::process::setsid().step("begin a session")?;
    sys::new_session_keyring().step("join a session keyring")?;
    // The container's root is not the root of its mount namespace where it was entered by chroot.
    rustix::process::fchdir(&joining.root).step("enter the container's root")?;
    rustix::process::chroot(".").step("enter the container's root")?;
    let streams = match std::mem::replace(&mut joining.stdio, Stdio::Inherit) {
        Stdio::Terminal { size } => {
            let (master, slave) = open_terminal(joining.root.as_fd(), size.or(process.console_size))?;
            own_terminal(slave.as_fd(), process.uid)?;
            joining.wire.say(&FromChild::Terminal(master)).step("hand over the terminal")?;
            Streams::Terminal(slave)
        }
        other => Streams::new(other).unwrap_or(Streams::Inherited),
    };
    let mut proc = Procfs::new();
    let set_groups = joining.namespaces & CLONE_NEWUSER == 0 || child::can_set_groups(&mut proc);
    let directory = apply::change_directory(&process.cwd);
    apply::privileged(process, &mut proc)?;
    drop(proc);
    arrange(streams, std::mem::take(&mut joining.pass_fds)).step("arrange descriptors")?;
    if process.no_new_privileges {
        sys::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0).step("set no_new_privs")?;
    } else {
        child::load_filter(joining.filter, &joining.wire)?;
    }
    apply::identity(process, set_groups)?;
    if directory.is_err() {
        apply::change_directory(&process.cwd)?;
    }
    sys::prctl(libc::PR_SET_PDEATHSIG, 0, 0).step("live on without the parent")?;
    if process.no_new_privileges {
        child::load_filter(joining.filter, &joining.wire)?;
    }
    Err(apply::execute(process))
}
