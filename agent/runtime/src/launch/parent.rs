//! The launching side: prepares, forks, writes what only the outside can write, and listens.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{ContainerState, State, StateBuilder};
use rustix::fs::{CWD, Mode, OFlags};

use super::child::{self, Child, namespace_name};
use super::init::Title;
use super::plan::{CLONE_NEWCGROUP, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWTIME, CLONE_NEWUSER, Namespaces, Plan};
use super::step::{ResultExt, StepError};
use super::wire::{FromChild, ToChild, Wire};
use super::{Launch, LaunchError, Launched};
use crate::cgroup::{self, Cgroup, CgroupError};
use crate::mounts::root::Enter;
use crate::mounts::source::{Sources, open_binds, open_root};
use crate::mounts::{idmap, plan::MountPlan};
use crate::process::lsm;
use crate::{hooks, sys};

const CLONE_PARENT: u64 = libc::CLONE_PARENT as u64;

/// What only the OCI command line asks for.
#[derive(Debug)]
pub(crate) struct Extra {
    /// A listening socket: the command waits until somebody connects.
    pub hold: Option<OwnedFd>,
    /// Whether the container gets a session keyring of its own.
    pub keyring: bool,
    pub enter: Enter,
}

impl Default for Extra {
    fn default() -> Self {
        Self { hold: None, keyring: true, enter: Enter::Pivot }
    }
}

/// A cgroup that is taken back unless the launch succeeds.
struct NewCgroup(Option<Cgroup>);

impl NewCgroup {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for NewCgroup {
    fn drop(&mut self) {
        if let Some(mut cgroup) = self.0.take()
            && cgroup.is_new()
        {
            // Processes of a failed container may still be on their way out.
            let _ = cgroup.kill_all(libc::SIGKILL);
            cgroup.undo();
        }
    }
}

pub(crate) fn cgroup_error(error: CgroupError) -> LaunchError {
    match error {
        CgroupError::Io { what, source } => LaunchError::Step { what, source },
        other => LaunchError::Invalid(other.to_string()),
    }
}

/// See [`super::launch`].
pub(crate) fn start(launch: Launch<'_>, extra: Extra) -> Result<Launched, LaunchError> {
    let plan = Plan::new(launch.spec, launch.bundle)?;
    start_plan(launch, &plan, extra)
}

pub(crate) fn start_plan(launch: Launch<'_>, plan: &Plan, extra: Extra) -> Result<Launched, LaunchError> {
    if plan.process.is_none() && extra.hold.is_none() {
        return Err(LaunchError::Invalid("the configuration has no process".into()));
    }
    if !plan.net_devices.is_empty() {
        return Err(LaunchError::Invalid("linux.netDevices is not supported".into()));
    }
    if let Some(process) = &plan.process {
        lsm::check(process)?;
    }
    let own_mounts = plan.namespaces.has(CLONE_NEWNS);
    let sources = Sources { root: open_root(&launch.rootfs, own_mounts)?, binds: open_binds(&plan.mounts)? };
    let own_maps = id_mapped_mounts(plan, &sources)?;
    let cgroup = Cgroup::create(&launch.cgroup).map_err(cgroup_error)?;
    let cgroup = NewCgroup(Some(cgroup));
    let own = cgroup.0.as_ref().expect("it has just been made");
    if let Some(resources) = &plan.resources {
        own.apply(resources).map_err(cgroup_error)?;
    }
    let entrance = own.entrance().map_err(cgroup_error)?;
    if plan.cgroup_delegated {
        let owner = host_id(&plan.namespaces, plan.process.as_ref().map_or(0, |process| process.uid));
        cgroup::delegate(&entrance, owner).step("give the cgroup to the container's user")?;
    }
    let (wire, child_wire) = Wire::pair().step("make a socket pair")?;
    let place = match &launch.rootfs {
        super::Rootfs::Path(path) => path.clone(),
        _ => launch.bundle.to_owned(),
    };
    let mut borrowed = Borrowed::enter(&plan.namespaces)?;
    let child = Child {
        id: launch.id,
        plan,
        bundle: launch.bundle,
        place,
        sources,
        prepared: launch.mounts,
        stdio: launch.stdio,
        pass_fds: launch.pass_fds,
        cgroup: Some((own.layout(), &launch.cgroup, &entrance)),
        in_unified: true,
        in_cgroup: false,
        wire: child_wire,
        join: std::mem::take(&mut borrowed.later),
        init: if launch.init { Some(Title::own().step("read the own process's layout")?) } else { None },
        enter: if own_mounts { extra.enter } else { Enter::Chroot },
        hold: extra.hold,
        keyring: extra.keyring,
    };
    let (child, pid, pidfd) = fork(plan, child, &entrance, &wire)?;
    borrowed.leave()?;
    let guard = Kill::new(pid, pidfd);
    if plan.namespaces.creates(CLONE_NEWUSER) {
        let result = idmap::write_maps(pid, &plan.namespaces.uid_map, &plan.namespaces.gid_map)
            .and_then(|()| map_mounts_as_container(plan, &child.sources, pid));
        result.step("map the ids of the user namespace")?;
        wire.answer(ToChild::Continue).step("speak with the container's process")?;
    }
    drop((child, own_maps));
    let terminal = listen(&wire, plan, launch.id, launch.bundle, pid)?;
    let pidfd = guard.disarm();
    cgroup.keep();
    Ok(Launched { pid, pidfd, terminal })
}

/// Forks into the new namespaces. Returns what the child was given, of which the parent now drops its copies.
fn fork<'a>(
    plan: &Plan,
    child: Child<'a>,
    entrance: &cgroup::Entrance,
    wire: &Wire,
) -> Result<(Child<'a>, i32, OwnedFd), LaunchError> {
    // The cgroup namespace is made inside, when the process is in its cgroup; the time namespace is entered by
    // the fork itself.
    let flags = plan.namespaces.create & !(CLONE_NEWCGROUP | CLONE_NEWTIME);
    if plan.namespaces.joins(CLONE_NEWUSER).is_none() {
        return fork_into(child, entrance, flags, |child| child::run(child)).map_err(Into::into);
    }
    // New namespaces belong to the user namespace that they are made in, and one that is joined cannot be left
    // again: a process in between joins it, makes the container's process as our child, and ends.
    let (child, pid, _) = fork_into(child, entrance, 0, |child| between(child, flags))?;
    let heard = wire.hear();
    sys::waitpid(pid).step("wait for the process that joins the user namespace")?;
    match heard.step("hear from the process that joins the user namespace")? {
        Some(FromChild::Process(pid, pidfd)) => Ok((child, pid, pidfd)),
        Some(FromChild::Failed(error)) => Err(error.into()),
        _ => Err(LaunchError::Invalid("the container's process could not be made".into())),
    }
}

/// The process in between; never returns.
fn between(mut child: Child<'_>, flags: u64) -> ! {
    let wire = match sys::dup_above(child.wire.as_fd(), 3) {
        Ok(fd) => Wire::from(fd),
        Err(_) => sys::exit_now(125),
    };
    // The cgroup is the host's to give, so this process enters it, and the container's is born there.
    let result = child::join_cgroup(&child).and_then(|()| {
        child.in_cgroup = true;
        child::join_before_fork(&mut child)?;
        // SAFETY: this process was forked by one that has one thread only.
        match unsafe { sys::fork(flags | CLONE_PARENT, None) }
            .step("make the container's process and its namespaces")?
        {
            sys::Fork::Child => child::run(child),
            sys::Fork::Parent { pid, pidfd } => Ok((pid, pidfd)),
        }
    });
    // If nobody hears it any more, nobody waits for it.
    let _ = match result {
        Ok((pid, pidfd)) => wire.say(&FromChild::Process(pid, pidfd)),
        Err(error) => wire.say(&FromChild::Failed(error)),
    };
    sys::exit_now(0)
}

/// Forks into the container's cgroup where the kernel can do that, and runs `body` in the new process.
fn fork_into<'a>(
    mut child: Child<'a>,
    entrance: &cgroup::Entrance,
    flags: u64,
    body: impl FnOnce(Child<'a>),
) -> Result<(Child<'a>, i32, OwnedFd), StepError> {
    for target in [cgroup::clone_target(entrance), None] {
        child.in_unified = target.is_some();
        // SAFETY: `launch` may be called in processes with one thread only.
        match unsafe { sys::fork(flags, target) } {
            Ok(sys::Fork::Child) => {
                body(child);
                sys::exit_now(125)
            }
            Ok(sys::Fork::Parent { pid, pidfd }) => return Ok((child, pid, pidfd)),
            // Kernels before 5.7 cannot; and a cgroup that another program has filled may refuse.
            Err(error)
                if target.is_some()
                    && matches!(
                        error.raw_os_error(),
                        Some(libc::EINVAL | libc::EBUSY | libc::E2BIG | libc::EOPNOTSUPP)
                    ) => {}
            Err(error) => return Err(error).step("make the container's process and its namespaces"),
        }
    }
    Err(StepError::invalid("the container's process could not be made".into()))
}

/// A child that is killed and reaped unless the launch succeeds.
pub(crate) struct Kill {
    pid: i32,
    pidfd: Option<OwnedFd>,
}

impl Kill {
    pub(crate) fn new(pid: i32, pidfd: OwnedFd) -> Self {
        Self { pid, pidfd: Some(pidfd) }
    }

    pub(crate) fn disarm(mut self) -> OwnedFd {
        self.pidfd.take().expect("it is taken only here and in drop")
    }
}

impl Drop for Kill {
    fn drop(&mut self) {
        if let Some(pidfd) = self.pidfd.take() {
            let _ = sys::pidfd_send_signal(pidfd.as_fd(), libc::SIGKILL);
            let _ = sys::waitpid(self.pid);
        }
    }
}

/// Hears the container's first process out. Returns the terminal when the command runs, or waits to be started.
fn listen(wire: &Wire, plan: &Plan, id: &str, bundle: &Path, pid: i32) -> Result<Option<OwnedFd>, LaunchError> {
    hear(
        wire,
        |listener| send_listener(plan, id, bundle, pid, listener),
        || {
            let state = state(plan, id, bundle, pid, ContainerState::Creating);
            let hook =
                |kind, list: &[_]| hooks::run(kind, list, &state).map_err(|error| LaunchError::Hook(error.to_string()));
            hook("prestart", hooks::prestart(&plan.hooks))?;
            hook("createRuntime", plan.hooks.create_runtime().as_deref().unwrap_or_default())
        },
    )
}

/// Hears out a process that has no hooks.
pub(crate) fn hear_out(
    wire: &Wire,
    seccomp: impl FnMut(OwnedFd) -> Result<(), LaunchError>,
) -> Result<Option<OwnedFd>, LaunchError> {
    hear(wire, seccomp, || Ok(()))
}

fn hear(
    wire: &Wire,
    mut seccomp: impl FnMut(OwnedFd) -> Result<(), LaunchError>,
    mut run_hooks: impl FnMut() -> Result<(), LaunchError>,
) -> Result<Option<OwnedFd>, LaunchError> {
    let mut terminal = None;
    loop {
        match wire.hear().step("hear from the container's process")? {
            None | Some(FromChild::Created) => return Ok(terminal),
            Some(FromChild::Failed(error)) => return Err(error.into()),
            Some(FromChild::Terminal(master)) => terminal = Some(master),
            // Said only before this is listened to.
            Some(FromChild::Process(..)) => {}
            Some(FromChild::Seccomp(listener)) => seccomp(listener)?,
            Some(FromChild::HooksPlease) => {
                run_hooks()?;
                wire.answer(ToChild::Continue).step("speak with the container's process")?;
            }
        }
    }
}

/// The container's state as hooks of the runtime's namespace see it.
pub(crate) fn state(plan: &Plan, id: &str, bundle: &Path, pid: i32, status: ContainerState) -> State {
    StateBuilder::default()
        .version(plan.version.clone())
        .id(id)
        .status(status)
        .pid(pid)
        .bundle(bundle)
        .annotations(plan.annotations.clone())
        .build()
        .expect("all fields are set")
}

/// Hands the filter's notification descriptor to whom the profile names.
pub(crate) fn send_listener(
    plan: &Plan,
    id: &str,
    bundle: &Path,
    pid: i32,
    listener: OwnedFd,
) -> Result<(), LaunchError> {
    let Some(filter) = plan.seccomp.as_deref() else {
        return Ok(());
    };
    let Some(path) = &filter.listener else {
        return Ok(());
    };
    let state = state(plan, id, bundle, pid, ContainerState::Creating);
    crate::seccomp::send_listener(path, &plan.version, pid, filter.metadata.as_deref(), &state, listener.as_fd())
        .step_with(|| format!("send the system call filter's listener to {}", path.display()))
        .map_err(Into::into)
}

/// The host's id of a user of the container.
fn host_id(namespaces: &Namespaces, id: u32) -> u32 {
    let range = namespaces.uid_map.iter().find(|range| id >= range.container && id - range.container < range.size);
    range.map_or(id, |range| range.host + (id - range.container))
}

/// Id-maps the bind mounts that have maps of their own. Returns the namespaces that carry them.
fn id_mapped_mounts(plan: &Plan, sources: &Sources) -> Result<Vec<OwnedFd>, LaunchError> {
    let mut namespaces = Vec::new();
    for (mount, source) in plan.mounts.iter().zip(&sources.binds) {
        let (Some(recursive), Some(source)) = (mount.options.idmap, source) else {
            continue;
        };
        let namespace = if !mount.uid_map.is_empty() {
            idmap::namespace(&mount.uid_map, &mount.gid_map).step_with(|| mapping(mount))?
        } else if let Some(path) = plan.namespaces.joins(CLONE_NEWUSER) {
            open_namespace(CLONE_NEWUSER, path)?
        } else {
            continue;
        };
        map_mount(source, &namespace, recursive).step_with(|| mapping(mount))?;
        namespaces.push(namespace);
    }
    Ok(namespaces)
}

fn mapping(mount: &MountPlan) -> String {
    format!("map the ids of mount {} on {}", mount.source.display(), mount.target.display())
}

fn map_mount(mount: &OwnedFd, namespace: &OwnedFd, recursive: bool) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let attr =
        sys::MountAttr { set: sys::MOUNT_ATTR_IDMAP, userns: Some(namespace.as_raw_fd()), ..sys::MountAttr::default() };
    sys::mount_setattr(mount.as_fd(), recursive, attr)
}

/// Id-maps the bind mounts that are to have the map of the container's new user namespace.
fn map_mounts_as_container(plan: &Plan, sources: &Sources, pid: i32) -> io::Result<()> {
    for (mount, source) in plan.mounts.iter().zip(&sources.binds) {
        if let (Some(recursive), Some(source)) = (mount.options.idmap, source)
            && mount.uid_map.is_empty()
        {
            let namespace = idmap::open_user(pid)?;
            map_mount(source, &namespace, recursive)
                .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", mapping(mount))))?;
        }
    }
    Ok(())
}

fn open_namespace(kind: u64, path: &Path) -> Result<OwnedFd, LaunchError> {
    let what = || format!("open the {} namespace {}", namespace_name(kind), path.display());
    let fd = rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).step_with(what)?;
    if sys::namespace_kind(fd.as_fd()).step_with(what)? != kind {
        return Err(LaunchError::Invalid(format!(
            "linux.namespaces: {} is no {} namespace",
            path.display(),
            namespace_name(kind)
        )));
    }
    Ok(fd)
}

/// The namespaces that the launching process is in for the moment of the fork, so that the child is born in
/// them: no second process is needed for a pid namespace, and what a new user namespace would forbid to join
/// is joined already.
struct Borrowed {
    back: Vec<(u64, OwnedFd)>,
    /// What the child joins itself.
    later: Vec<(u64, OwnedFd)>,
}

impl Borrowed {
    fn enter(namespaces: &Namespaces) -> Result<Self, LaunchError> {
        let mut borrowed = Self { back: Vec::new(), later: Vec::new() };
        let joins_user = namespaces.joins(CLONE_NEWUSER).is_some();
        let opened: Vec<(u64, &PathBuf, OwnedFd)> = namespaces
            .join
            .iter()
            .map(|(kind, path)| Ok((*kind, path, open_namespace(*kind, path)?)))
            .collect::<Result<_, LaunchError>>()?;
        for (kind, path, fd) in opened {
            // Root and working directory belong to the mount namespace, and a user namespace cannot be left.
            if kind == CLONE_NEWNS || kind == CLONE_NEWUSER || joins_user && kind != CLONE_NEWPID {
                borrowed.later.push((kind, fd));
                continue;
            }
            borrowed.remember(kind)?;
            sys::setns(fd.as_fd(), kind)
                .step_with(|| format!("join the {} namespace {}", namespace_name(kind), path.display()))?;
        }
        // The user namespace first: it gives the rights to join the others.
        borrowed.later.sort_by_key(|(kind, _)| (*kind != CLONE_NEWUSER, *kind == CLONE_NEWNS));
        if namespaces.creates(CLONE_NEWTIME) {
            borrowed.remember(CLONE_NEWTIME)?;
            sys::unshare(CLONE_NEWTIME).step("make a time namespace")?;
            write_time_offsets(namespaces).step("set the clocks of the time namespace")?;
        }
        Ok(borrowed)
    }

    fn remember(&mut self, kind: u64) -> Result<(), LaunchError> {
        let file = match kind {
            CLONE_NEWPID => "pid",
            CLONE_NEWTIME => "time",
            super::plan::CLONE_NEWNET => "net",
            super::plan::CLONE_NEWIPC => "ipc",
            super::plan::CLONE_NEWUTS => "uts",
            _ => "cgroup",
        };
        self.back.push((kind, open_own(file)?));
        Ok(())
    }

    fn leave(&mut self) -> Result<(), StepError> {
        let mut result = Ok(());
        for (kind, own) in self.back.drain(..).rev() {
            if let Err(error) = sys::setns(own.as_fd(), kind) {
                result = Err(error).step_with(|| format!("return to the own {} namespace", namespace_name(kind)));
            }
        }
        result
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        let _ = self.leave();
    }
}

fn write_time_offsets(namespaces: &Namespaces) -> io::Result<()> {
    if namespaces.time_offsets.is_empty() {
        return Ok(());
    }
    let lines: String = namespaces
        .time_offsets
        .iter()
        .map(|(clock, seconds, nanoseconds)| format!("{clock} {seconds} {nanoseconds}\n"))
        .collect();
    std::fs::write("/proc/self/timens_offsets", lines)
}

/// A namespace of this process, to come back to.
pub(crate) fn open_own(name: &str) -> Result<OwnedFd, StepError> {
    let path = format!("/proc/self/ns/{name}");
    let open = rustix::fs::openat(CWD, &path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    open.step_with(|| format!("open {path}"))
}
