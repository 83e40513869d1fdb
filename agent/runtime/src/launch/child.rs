//! From the fork to the command: what happens in the container's process.
//!
//! The order is the design. While the host's root is still there, the tree is put together through
//! descriptors; then the root is entered and the host's is gone; then privileges go, the strongest last; then
//! the command is executed.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{ContainerState, State, StateBuilder};
use rustix::fs::OFlags;

use super::plan::{
    CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWTIME, CLONE_NEWUSER, CLONE_NEWUTS, Plan,
};
use super::stdio::{Streams, arrange, open_terminal, own_terminal, use_own_null};
use super::step::{ResultExt, StepError};
use super::wire::{FromChild, Wire};
use super::{PreparedMount, Stdio, init};
use crate::cgroup::{CgroupPath, Entrance, Layout};
use crate::mounts::attach::Tree;
use crate::mounts::root::Enter;
use crate::mounts::source::{RootSource, Sources};
use crate::mounts::{cgroupfs, dev, inroot, paths, root};
use crate::process::{ProcessPlan, apply};
use crate::procfs::Procfs;
use crate::seccomp::Filter;
use crate::{hooks, sys};

/// Everything that the container's process needs, made before it was forked.
pub(crate) struct Child<'a> {
    pub id: &'a str,
    pub plan: &'a Plan,
    pub bundle: &'a Path,
    /// Where the root is attached in the mount namespace.
    pub place: PathBuf,
    pub sources: Sources,
    pub prepared: Vec<PreparedMount>,
    pub stdio: Stdio,
    pub pass_fds: Vec<OwnedFd>,
    pub cgroup: Option<(&'static Layout, &'a CgroupPath, &'a Entrance)>,
    /// Whether the process was cloned into the unified hierarchy.
    pub in_unified: bool,
    /// Whether the process was born in its cgroups.
    pub in_cgroup: bool,
    pub wire: Wire,
    /// Namespaces to join that could not be joined before the fork.
    pub join: Vec<(u64, OwnedFd)>,
    pub init: Option<init::Title>,
    pub enter: Enter,
    /// A pipe in the file system at which the process waits until the container is started.
    pub hold: Option<OwnedFd>,
    pub keyring: bool,
}

/// Runs in the new process and never returns.
pub(crate) fn run(mut child: Child<'_>) -> ! {
    sys::reset_signals();
    // What is needed to the end moves above the numbers that the command's descriptors will have.
    let first_free = 3 + i32::try_from(child.pass_fds.len()).unwrap_or(0);
    let moved = sys::dup_above(child.wire.as_fd(), first_free).and_then(|wire| {
        let hold = child.hold.as_ref().map(|hold| sys::dup_above(hold, first_free)).transpose()?;
        Ok((Wire::from(wire), hold))
    });
    let Ok((wire, hold)) = moved else { sys::exit_now(125) };
    (child.wire, child.hold) = (wire, hold);
    let error = become_container(&mut child);
    // If nobody hears it any more, nobody waits for it.
    let _ = child.wire.say(&FromChild::Failed(error));
    sys::exit_now(125)
}

/// Returns only if something fails.
fn become_container(child: &mut Child<'_>) -> StepError {
    match build(child) {
        Ok(inside) => {
            finish(child, inside).err().unwrap_or_else(|| StepError::invalid("the command was not executed".into()))
        }
        Err(error) => error,
    }
}

/// What the first part leaves to the second.
struct Inside {
    streams: Streams,
    proc: Procfs,
}

/// Puts the container together and enters it.
fn build(child: &mut Child<'_>) -> Result<Inside, StepError> {
    let plan = child.plan;
    // Should the launching process die before the container is complete, this one goes with it.
    sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64, 0).step("ask to die with the parent")?;
    set_oom_score(plan.process.as_ref())?;
    join_cgroup(child)?;
    // Another process of a namespace that is joined must not be able to trace this one, which has the host's memory.
    sys::prctl(libc::PR_SET_DUMPABLE, 0, 0).step("become untraceable")?;
    if plan.namespaces.creates(CLONE_NEWUSER) {
        // The maps are written from outside; until then this process is nobody.
        child.wire.wait().step("wait for the user namespace's maps")?;
        become_root()?;
    }
    enter_namespaces(child)?;
    let mut proc = Procfs::new();
    rustix::process::setsid().step("begin a session")?;
    if child.keyring {
        join_keyring(child.id)?;
    }
    let umask = rustix::process::umask(rustix::fs::Mode::empty());
    let own_mounts = plan.namespaces.has(CLONE_NEWNS);
    if own_mounts {
        root::isolate(plan.propagation)?;
    }
    let place = std::mem::take(&mut child.place);
    let source = std::mem::replace(&mut child.sources.root, RootSource::Plain(PathBuf::new()));
    let root_fd = root::attach(source, &place, plan.propagation)?;
    if own_mounts {
        build_tree(child, &root_fd, plan.namespaces.has(CLONE_NEWUSER))?;
    }
    names_and_parameters(plan, &mut proc)?;
    let streams = match terminal(child, &root_fd, own_mounts)? {
        Some(slave) => Streams::Terminal(slave),
        None => Streams::new(std::mem::replace(&mut child.stdio, Stdio::Inherit)).unwrap_or(Streams::Inherited),
    };
    runtime_hooks(child)?;
    if own_mounts {
        paths::make_readonly(root_fd.as_fd(), &plan.readonly)?;
        paths::mask(root_fd.as_fd(), &plan.masked)?;
    }
    if let Some(process) = &plan.process {
        make_directory(&root_fd, process)?;
    }
    root::enter(&root_fd, child.enter)?;
    if own_mounts {
        seal_root(plan, &root_fd)?;
    }
    rustix::process::umask(umask);
    Ok(Inside { streams, proc })
}

pub(crate) fn set_oom_score(process: Option<&ProcessPlan>) -> Result<(), StepError> {
    let Some(score) = process.and_then(|process| process.oom_score_adj) else {
        return Ok(());
    };
    let host = crate::procfs::verified_host().step("open /proc")?;
    let file =
        rustix::fs::openat(&host, "self/oom_score_adj", OFlags::WRONLY | OFlags::CLOEXEC, rustix::fs::Mode::empty())
            .step("set the out-of-memory score")?;
    let text = score.to_string();
    rustix::io::write(file, text.as_bytes()).map(drop).step_with(|| {
        format!("set the out-of-memory score to {score}, which a process may lower only with CAP_SYS_RESOURCE")
    })
}

/// Enters the cgroups that the process was not born in.
pub(crate) fn join_cgroup(child: &Child<'_>) -> Result<(), StepError> {
    let Some((_, path, entrance)) = &child.cgroup else {
        return Ok(());
    };
    entrance.enter().step_with(|| format!("join cgroup {path}"))?;
    if !child.in_unified {
        entrance.enter_unified().step_with(|| format!("join cgroup {path}"))?;
    }
    Ok(())
}

/// Becomes user and group 0 of the user namespace that the process is in.
pub(crate) fn become_root() -> Result<(), StepError> {
    match sys::setgroups(&[]) {
        Ok(()) => {}
        // Where setgroups is denied there is no way to have other groups either.
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {}
        Err(error) => return Err(error).step("drop supplementary groups"),
    }
    sys::setresgid(0).step("become group 0 of the user namespace")?;
    sys::setresuid(0).step("become user 0 of the user namespace")
}

/// Joins all namespaces but the mount namespace, the user namespace first.
pub(crate) fn join_before_fork(child: &mut Child<'_>) -> Result<(), StepError> {
    let (now, later): (Vec<_>, Vec<_>) = child.join.drain(..).partition(|(kind, _)| *kind != CLONE_NEWNS);
    child.join = later;
    for (kind, fd) in now {
        sys::setns(fd.as_fd(), kind).step_with(|| format!("join the {} namespace", namespace_name(kind)))?;
        if kind == CLONE_NEWUSER {
            become_root()?;
        }
    }
    Ok(())
}

fn enter_namespaces(child: &mut Child<'_>) -> Result<(), StepError> {
    for (kind, fd) in child.join.drain(..) {
        sys::setns(fd.as_fd(), kind).step_with(|| format!("join the {} namespace", namespace_name(kind)))?;
    }
    if child.plan.namespaces.creates(CLONE_NEWCGROUP) {
        // Its root is the cgroup that the process is in now.
        sys::unshare(CLONE_NEWCGROUP).step("make a cgroup namespace")?;
    }
    Ok(())
}

/// A namespace's name for messages.
pub(crate) fn namespace_name(kind: u64) -> &'static str {
    match kind {
        CLONE_NEWNS => "mount",
        CLONE_NEWCGROUP => "cgroup",
        CLONE_NEWUTS => "uts",
        CLONE_NEWIPC => "ipc",
        CLONE_NEWUSER => "user",
        CLONE_NEWNET => "network",
        CLONE_NEWTIME => "time",
        _ => "pid",
    }
}

/// A session keyring of the container's own; kernels without keyrings, and sandboxes that forbid them, have none
/// that could leak.
pub(crate) fn join_keyring(id: &str) -> Result<(), StepError> {
    let name = std::ffi::CString::new(format!("_ses.{id}"))
        .map_err(|_| StepError::invalid(format!("the id {id:?} has a zero byte in it")))?;
    match sys::join_session_keyring(&name) {
        Ok(()) => Ok(()),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM | libc::EDQUOT)) => Ok(()),
        Err(error) => Err(error).step("join a session keyring"),
    }
}

fn build_tree(child: &mut Child<'_>, root_fd: &OwnedFd, own_user: bool) -> Result<(), StepError> {
    let plan = child.plan;
    let view = child.cgroup.as_ref().map(|(layout, path, _)| cgroupfs::View {
        layout,
        path,
        namespace: plan.namespaces.has(CLONE_NEWCGROUP),
    });
    let empty = Layout::default();
    let nowhere = CgroupPath::new("none").expect("a plain word is a path");
    let label = match &plan.mount_label {
        Some(_) if !Path::new("/sys/fs/selinux").is_dir() => {
            return Err(StepError::invalid("linux.mountLabel: the kernel has no SELinux".into()));
        }
        label => label.as_deref(),
    };
    let mut tree = Tree {
        root: root_fd.as_fd(),
        label,
        late_readonly: Vec::new(),
        default_propagation: root::towards_host(plan.propagation),
        cgroup: view.unwrap_or(cgroupfs::View { layout: &empty, path: &nowhere, namespace: false }),
    };
    let mut own_dev = true;
    for (mount, source) in plan.mounts.iter().zip(child.sources.binds.drain(..)) {
        if mount.target == Path::new("/dev") {
            own_dev = !mount.options.bind;
        }
        tree.mount(mount, source)?;
    }
    for mount in child.prepared.drain(..) {
        tree.prepared(mount.fd.as_fd(), &mount.target, mount.directory)?;
    }
    if own_dev {
        dev::populate(root_fd.as_fd(), &plan.devices, own_user)?;
    }
    tree.finish()
}

fn names_and_parameters(plan: &Plan, proc: &mut Procfs) -> Result<(), StepError> {
    if let Some(name) = &plan.hostname {
        rustix::system::sethostname(name.to_bytes()).step_with(|| format!("set the host name {name:?}"))?;
    }
    if let Some(name) = &plan.domainname {
        rustix::system::setdomainname(name.to_bytes()).step_with(|| format!("set the domain name {name:?}"))?;
    }
    for (path, value) in &plan.sysctl {
        proc.write(path, value.as_bytes()).step_with(|| format!("write {value:?} to /proc/{path}"))?;
    }
    Ok(())
}

/// Opens the container's terminal if it is to have one, and hands the master over.
fn terminal(child: &mut Child<'_>, root_fd: &OwnedFd, own_mounts: bool) -> Result<Option<OwnedFd>, StepError> {
    let Stdio::Terminal { size } = child.stdio else {
        return Ok(None);
    };
    let process = child.plan.process.as_ref();
    let size = size.or_else(|| process.and_then(|process| process.console_size));
    let (master, slave) = open_terminal(root_fd.as_fd(), size)?;
    own_terminal(slave.as_fd(), process.map_or(0, |process| process.uid))?;
    if own_mounts {
        dev::console(root_fd.as_fd(), slave.as_fd()).step("mount the terminal on /dev/console")?;
    }
    child.wire.say(&FromChild::Terminal(master)).step("hand over the terminal")?;
    Ok(Some(slave))
}

/// Hooks that run when the tree is complete and the host's root is still there.
fn runtime_hooks(child: &Child<'_>) -> Result<(), StepError> {
    let list = &child.plan.hooks;
    if !hooks::prestart(list).is_empty() || list.create_runtime().as_ref().is_some_and(|list| !list.is_empty()) {
        child.wire.say(&FromChild::HooksPlease).step("ask for hooks")?;
        child.wire.wait().step("wait for hooks")?;
    }
    let inside = list.create_container().as_deref().unwrap_or_default();
    if !inside.is_empty() {
        let state = state(child, ContainerState::Creating);
        hooks::run("createContainer", inside, &state).map_err(|error| StepError::hook(error.to_string()))?;
    }
    Ok(())
}

/// The container's state as its own processes see it.
fn state(child: &Child<'_>, status: ContainerState) -> State {
    StateBuilder::default()
        .version(child.plan.version.clone())
        .id(child.id)
        .status(status)
        .pid(std::process::id().cast_signed())
        .bundle(child.bundle)
        .annotations(child.plan.annotations.clone())
        .build()
        .expect("all fields are set")
}

/// Makes the working directory if the image has none.
fn make_directory(root_fd: &OwnedFd, process: &ProcessPlan) -> Result<(), StepError> {
    use std::os::unix::ffi::OsStrExt;
    let path = Path::new(std::ffi::OsStr::from_bytes(process.cwd.to_bytes()));
    match inroot::open_or_make(root_fd.as_fd(), path, inroot::Missing::Directory) {
        Ok(_) => Ok(()),
        // On a read-only root it is found missing, or not, when the process goes there.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EROFS | libc::EACCES | libc::ENOTDIR)) => Ok(()),
        Err(error) => Err(error).step_with(|| format!("make working directory {}", path.display())),
    }
}

fn seal_root(plan: &Plan, root_fd: &OwnedFd) -> Result<(), StepError> {
    let attr = sys::MountAttr {
        set: if plan.readonly_root { sys::MOUNT_ATTR_RDONLY } else { 0 },
        ..sys::MountAttr::default()
    };
    if attr.set != 0 {
        sys::mount_setattr(root_fd.as_fd(), false, attr).step("make the root file system read-only")?;
    }
    if let Some((propagation, recursive)) = plan.propagation {
        let attr = sys::MountAttr { propagation, ..sys::MountAttr::default() };
        sys::mount_setattr(root_fd.as_fd(), recursive, attr).step("set the root file system's propagation")?;
    }
    Ok(())
}

/// What is left when the process is inside: limits, privileges, hooks, the command. Returns only on failure.
fn finish(child: &mut Child<'_>, inside: Inside) -> Result<(), StepError> {
    let plan = child.plan;
    let Inside { mut streams, mut proc } = inside;
    let Some(process) = &plan.process else {
        wait_for_start(child)?;
        return Err(StepError::invalid("the configuration has no process to start".into()));
    };
    if let Some(domain) = plan.personality {
        sys::personality(domain).step("set the execution domain")?;
    }
    if let Some((mode, nodes)) = &plan.memory_policy {
        sys::set_mempolicy(*mode, nodes).step("set the memory policy")?;
    }
    // What root cannot enter, the user perhaps can (a mount from the network); so a failure here is not final.
    let directory = apply::change_directory(&process.cwd);
    let set_groups = !plan.namespaces.has(CLONE_NEWUSER) || can_set_groups(&mut proc);
    apply::privileged(process, &mut proc)?;
    drop(proc);
    use_own_null(&mut streams);
    arrange(streams, std::mem::take(&mut child.pass_fds)).step("arrange descriptors")?;
    if child.hold.is_some() {
        apply::check_executable(process)?;
        wait_for_start(child)?;
    }
    let mut reaper = None;
    if let Some(title) = &child.init {
        reaper = init::split(title).step("start the command beside the container's first process")?;
    }
    if process.no_new_privileges {
        sys::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0).step("set no_new_privs")?;
    }
    if let Some(command) = reaper {
        apply::identity(process, set_groups)?;
        sys::prctl(libc::PR_SET_PDEATHSIG, 0, 0).step("live on without the parent")?;
        init::reap(command);
    }
    // Without no_new_privs only a privileged process can load a filter; with it the filter comes last, and need
    // not allow what only the runtime does.
    if !process.no_new_privileges {
        load_filter(plan.seccomp.as_deref(), &child.wire)?;
    }
    apply::identity(process, set_groups)?;
    if directory.is_err() {
        apply::change_directory(&process.cwd)?;
    }
    let hooks = plan.hooks.start_container().as_deref().unwrap_or_default();
    if !hooks.is_empty() {
        let state = state(child, ContainerState::Created);
        hooks::run("startContainer", hooks, &state).map_err(|error| StepError::hook(error.to_string()))?;
    }
    if child.init.is_none() {
        sys::prctl(libc::PR_SET_PDEATHSIG, 0, 0).step("live on without the parent")?;
    }
    if process.no_new_privileges {
        load_filter(plan.seccomp.as_deref(), &child.wire)?;
    }
    Err(apply::execute(process))
}

/// Says that the container is created, and waits until somebody connects to start it. From then on that
/// connection is the wire.
fn wait_for_start(child: &mut Child<'_>) -> Result<(), StepError> {
    let Some(listener) = child.hold.take() else {
        return Ok(());
    };
    sys::prctl(libc::PR_SET_PDEATHSIG, 0, 0).step("live on without the parent")?;
    child.wire.say(&FromChild::Created).step("say that the container is created")?;
    let connection = loop {
        match rustix::net::accept_with(&listener, rustix::net::SocketFlags::CLOEXEC) {
            Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNABORTED) => {}
            other => break other.step("wait for the start")?,
        }
    };
    child.wire.replace(connection).step("take over the start's connection")
}

/// Loads the system call filter, if there is one, and hands over its listener.
pub(crate) fn load_filter(filter: Option<&Filter>, wire: &Wire) -> Result<(), StepError> {
    let Some(filter) = filter else { return Ok(()) };
    match crate::seccomp::load(filter).step("load the system call filter")? {
        Some(listener) => wire.say(&FromChild::Seccomp(listener)).step("hand over the filter's listener"),
        None => Ok(()),
    }
}

pub(crate) fn can_set_groups(proc: &mut Procfs) -> bool {
    let Ok(file) = proc.open("self/setgroups", OFlags::RDONLY) else {
        return true;
    };
    io::read_to_string(std::fs::File::from(file)).is_ok_and(|text| text.trim() != "deny")
}
