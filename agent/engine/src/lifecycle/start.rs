//! A start: network, files and mounts side by side, then a supervisor. What fails undoes all before it.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hoist_proto::clock::Timestamp;
use hoist_proto::spec::{ContainerSpec, NamespaceMode, NetworkMode};
use hoist_runtime::supervisor::{
    OtherRuntime, Reply, RestoreFrom, RootfsSpec, SPEC_FILE, StartRequest, remove_remains,
};
use tokio_util::sync::CancellationToken;

use super::{files, mounts, network};
use crate::container::{Handle, Record};
use crate::events::Told;
use crate::inner::Inner;
use crate::io::Channel;
use crate::logging;
use crate::model::{Health, RemoveOptions, Status};
use crate::rootfs::{Union, resolve_user};
use crate::spec::{Input, Namespace, NamespacePaths, all_host_devices, build, find_blocks, find_devices};
use crate::{EngineError, Result};

/// Where the root file system is mounted, in a container's run directory.
const ROOT: &str = "rootfs";

/// What a start hands to the engine: the container runs.
struct Started {
    channel: Channel,
    pid: i32,
    at: Timestamp,
}

impl Inner {
    pub(crate) async fn start(self: &Arc<Self>, name: &str) -> Result<()> {
        let handle = self.registry.find(name)?;
        self.start_handle(&handle, None).await
    }

    /// Starts its command, or has it go on from a checkpoint.
    pub(super) async fn start_handle(
        self: &Arc<Self>,
        handle: &Arc<Handle>,
        restore: Option<RestoreFrom>,
    ) -> Result<()> {
        // A container whose checkpoint is of no use is not over.
        let goes = restore.is_none();
        let started = {
            let _op = handle.op.lock().await;
            {
                let mut cell = handle.cell();
                if cell.state.status == Status::Restarting {
                    // A person need not wait for the pause of the restart policy.
                    cell.care.cancel();
                }
                cell.quick_restarts = 0;
                if !cell.state.status.is_up() {
                    cell.state.restart_count = 0;
                }
            }
            match startable(handle) {
                // Somebody else has started it, or removes it: it is not for us to take away.
                Err(refused) => return Err(refused),
                Ok(()) => self.start_with(handle, restore).await,
            }
        };
        if started.is_err() && goes && handle.record().spec.auto_remove && !handle.status().is_up() {
            self.remove_handle(handle, RemoveOptions { force: false, volumes: true }).await?;
        }
        if let Err(error) = handle.settled().await {
            // Nobody has been told of it yet, and a power cut would take it away.
            self.remove_handle(handle, RemoveOptions { force: true, volumes: true }).await?;
            return Err(error);
        }
        started
    }

    /// Starts it; the caller holds `op`.
    pub(crate) async fn start_locked(self: &Arc<Self>, handle: &Arc<Handle>) -> Result<()> {
        self.start_with(handle, None).await
    }

    async fn start_with(self: &Arc<Self>, handle: &Arc<Handle>, restore: Option<RestoreFrom>) -> Result<()> {
        startable(handle)?;
        let record = handle.record();
        let restored = restore.is_some();
        match self.launch(handle, &record, restore).await {
            Ok(started) => {
                let care = CancellationToken::new();
                handle.change(false, |cell| {
                    let state = &mut cell.state;
                    state.status = Status::Running;
                    state.pid = Some(started.pid);
                    state.started_at = Some(started.at);
                    state.exit_code = None;
                    state.error.clear();
                    state.oom_killed = false;
                    state.stopped_by_hand = false;
                    state.health = record.effective.healthcheck.is_some().then(Health::default);
                    cell.stopping = false;
                    cell.care = care.clone();
                })?;
                self.publish(handle, "start", &[]);
                self.look_after(handle, started.channel);
                if !restored {
                    self.run_hooks(handle, &record.spec.post_start, "post_start").await?;
                }
                Ok(())
            }
            Err(error) => {
                for (kind, action, actor) in self.clean_up(handle, &record).await {
                    self.events.publish(kind, action, actor);
                }
                self.release_devices(handle);
                let message = error.message();
                let code = error.exit_code();
                handle.change(false, |cell| {
                    cell.state.error.clone_from(&message);
                    cell.state.exit_code = Some(code);
                    cell.state.pid = None;
                    if cell.state.status == Status::Restarting {
                        cell.state.status = Status::Exited;
                    }
                    cell.exits += 1;
                    cell.attached.clear();
                })?;
                Err(error)
            }
        }
    }

    async fn launch(
        self: &Arc<Self>,
        handle: &Arc<Handle>,
        record: &Arc<Record>,
        restore: Option<RestoreFrom>,
    ) -> Result<Started> {
        let run_dir = &handle.run_dir;
        let bundle = run_dir.join(ROOT);
        fs_err::create_dir_all(&bundle)?;
        let snapshot = self.options.images.snapshot(handle.id.as_str()).await?;
        let layers = std::iter::once(snapshot.upper.clone()).chain(snapshot.lower.iter().cloned()).collect();
        let root = Union::new(layers);
        let attach = async {
            self.tell_connected(handle, &self.nominal(&record.spec.network_mode).await);
            let Some(mut request) = network::attach_request(record)? else { return Ok((None, Vec::new())) };
            let networks = self.ask_wide(handle, record, &mut request.networks).await?;
            let attached = self.options.networks.attach(handle.id.as_str(), request).await?;
            self.tell_connected(handle, &networks);
            Ok::<_, EngineError>((Some(attached.sandbox.path), attached.endpoints))
        };
        let prepare = async {
            let mut mounts = mounts::ready(self, record, &root).await?;
            mounts.extend(files::ready_files(self, record)?);
            let user = resolve_user(&root, &record.effective.user, &record.spec.group_add)?;
            Ok::<_, EngineError>((mounts, user))
        };
        // Both run to their end, so that whatever one has made when the other fails is known to be there.
        let (attached, prepared) = tokio::join!(attach, prepare);
        let ((sandbox, endpoints), (mounts, user)) = (attached?, prepared?);
        let names = files::write_names(self, handle, record, &endpoints).await?;
        let edits = self.claim_devices(handle, record, &root).await?;
        let spec = &record.spec;
        let cgroup = self.cgroup_path(record);
        let namespaces = self.namespaces(spec, sandbox)?;
        let shm = self.shared_memory(handle, spec)?;
        let oci = build(&Input {
            record,
            user: &user,
            mounts,
            files: names,
            namespaces,
            devices: devices(spec)?,
            edits: &edits,
            blocks: find_blocks(&spec.resources),
            cgroup: &cgroup,
            shm,
        })?;
        fs_err::write(run_dir.join(SPEC_FILE), serde_json::to_vec(&oci).map_err(std::io::Error::from)?)?;
        let logging = logging::settings(record, &handle.paths().log)?;
        // Not in the literal, where the lock would be held to its end.
        let size = handle.cell().size;
        let request = StartRequest {
            id: handle.id.to_string(),
            run_dir: run_dir.clone(),
            bundle,
            rootfs: RootfsSpec::Overlay {
                lower: snapshot.lower,
                upper: snapshot.upper,
                work: snapshot.work,
                volatile: false,
            },
            cgroup,
            init: spec.init.unwrap_or(false),
            tty: spec.tty,
            size,
            open_stdin: spec.open_stdin,
            stdin_once: spec.stdin_once,
            log: logging.log,
            send: logging.send,
            attach: Vec::new(),
            runtime: self.other_runtime(record)?,
            restore,
        };
        self.supervise(handle, request).await
    }

    async fn supervise(&self, handle: &Handle, mut request: StartRequest) -> Result<Started> {
        let (channel, theirs) = Channel::pair()?;
        let waiting = std::mem::take(&mut handle.cell().attached);
        request.attach = waiting.iter().map(|(_, wants)| *wants).collect();
        let fds: Vec<BorrowedFd<'_>> =
            std::iter::once(theirs.as_fd()).chain(waiting.iter().map(|(fd, _)| fd.as_fd())).collect();
        self.starter.start(&request, &fds).await?;
        drop((theirs, waiting));
        match channel.hear().await?.map(|received| received.message) {
            Some(Reply::Started { pid, at }) => Ok(Started { channel, pid, at }),
            Some(Reply::Failed { message, exit_code }) => Err(EngineError::Start { message, exit_code }),
            _ => Err(EngineError::Start { message: "the supervisor has gone without a word".into(), exit_code: 125 }),
        }
    }

    /// Gives back what the run had. A container that had nothing is no error. Answers what is to be told of it, after
    /// the end of the run.
    pub(crate) async fn clean_up(&self, handle: &Handle, record: &Record) -> Vec<Told> {
        let id = handle.id.as_str();
        let network = async {
            if !matches!(record.spec.network_mode, NetworkMode::Container(_))
                && let Err(error) = self.options.networks.release(id).await
            {
                tracing::warn!(container = id, %error, "cannot give the network back");
            }
            if let Some(wide) = self.wide() {
                wide.leave(id, None);
            }
        };
        self.clean_up_other(handle, record).await;
        let cgroup = self.cgroup_path(record);
        let cgroup = tokio::task::spawn_blocking(move || remove_cgroup(&cgroup));
        let rest = async {
            let unmounted = mounts::unmount(self, record);
            let shm = handle.run_dir.join("shm");
            if shm.exists() {
                let _ = nix::mount::umount2(&shm, nix::mount::MntFlags::MNT_DETACH);
            }
            remove_run_dir(&handle.run_dir);
            if let Ok(Err(error)) = cgroup.await {
                tracing::warn!(container = id, %error, "cannot remove the cgroup");
            }
            unmounted
        };
        let ((), unmounted) = tokio::join!(network, rest);
        let left = std::mem::take(&mut handle.cell().connected);
        left.into_iter().map(|actor| ("network", "disconnect", actor)).chain(unmounted).collect()
    }

    /// Who makes the container, if not we.
    pub(crate) fn other_runtime(&self, record: &Record) -> Result<Option<OtherRuntime>> {
        record.spec.runtime.as_deref().map_or(Ok(None), |name| self.runtimes().find(name))
    }

    /// What another runtime has left when nobody told it that the container is over.
    async fn clean_up_other(&self, handle: &Handle, record: &Record) {
        let Ok(Some(runtime)) = self.other_runtime(record) else { return };
        let (id, run_dir) = (handle.id.to_string(), handle.run_dir.clone());
        let cleaned = tokio::task::spawn_blocking(move || remove_remains(&runtime, &id, &run_dir));
        let _ = cleaned.await;
    }

    pub(crate) fn cgroup_path(&self, record: &Record) -> String {
        let parent = record.spec.resources.cgroup_parent.as_deref().filter(|parent| !parent.is_empty());
        format!("{}/{}", parent.unwrap_or(&self.options.cgroup_parent).trim_matches('/'), record.id)
    }

    fn namespaces(&self, spec: &ContainerSpec, sandbox: Option<PathBuf>) -> Result<NamespacePaths> {
        let network = match (&spec.network_mode, sandbox) {
            (NetworkMode::Host, _) => Namespace::Host,
            (NetworkMode::Container(name), _) => Namespace::Path(self.namespace_of(name, "net")?),
            (_, Some(path)) => Namespace::Path(path),
            (_, None) => Namespace::New,
        };
        let of = |mode: &NamespaceMode, kind: &str| -> Result<Namespace> {
            Ok(match mode {
                NamespaceMode::Host => Namespace::Host,
                NamespaceMode::Container(name) => Namespace::Path(self.namespace_of(name, kind)?),
                _ => Namespace::New,
            })
        };
        // With the host's network goes its name, as with Docker, unless another was asked for.
        let mut uts = of(&spec.namespaces.uts, "uts")?;
        if spec.network_mode == NetworkMode::Host && spec.namespaces.uts == NamespaceMode::Default {
            uts = Namespace::New;
        }
        Ok(NamespacePaths {
            network,
            pid: of(&spec.namespaces.pid, "pid")?,
            ipc: of(&spec.namespaces.ipc, "ipc")?,
            uts,
        })
    }

    fn namespace_of(&self, name: &str, kind: &str) -> Result<PathBuf> {
        let other = self.registry.find(name)?;
        let pid = other.cell().state.pid.ok_or_else(|| {
            EngineError::Conflict(format!("cannot join the {kind} namespace of a non running container: {name}"))
        })?;
        Ok(PathBuf::from(format!("/proc/{pid}/ns/{kind}")))
    }

    /// Where `/dev/shm` comes from when it is not the container's own alone.
    fn shared_memory(&self, handle: &Handle, spec: &ContainerSpec) -> Result<Option<PathBuf>> {
        match &spec.namespaces.ipc {
            NamespaceMode::Host => Ok(Some("/dev/shm".into())),
            NamespaceMode::Shareable => {
                let dir = handle.run_dir.join("shm");
                fs_err::create_dir_all(&dir)?;
                let flags =
                    nix::mount::MsFlags::MS_NOSUID | nix::mount::MsFlags::MS_NOEXEC | nix::mount::MsFlags::MS_NODEV;
                let data = format!("mode=1777,size={}", spec.shm_size.unwrap_or(64 << 20));
                nix::mount::mount(Some("shm"), &dir, Some("tmpfs"), flags, Some(data.as_str()))
                    .map_err(std::io::Error::from)?;
                Ok(Some(dir))
            }
            NamespaceMode::Container(name) => {
                let other = self.registry.find(name)?;
                let dir = other.run_dir.join("shm");
                if !dir.exists() {
                    return Err(EngineError::Conflict(format!(
                        "the IPC namespace of container {name} is private: create it with the mode \"shareable\""
                    )));
                }
                Ok(Some(dir))
            }
            _ => Ok(None),
        }
    }
}

/// Whether its state lets it be started.
fn startable(handle: &Handle) -> Result<()> {
    let cell = handle.cell();
    match cell.state.status {
        _ if cell.removed => Err(EngineError::NoSuchContainer(handle.id.to_string())),
        Status::Running => Err(EngineError::NotModified(cell.record.name.clone())),
        Status::Paused => Err(EngineError::Conflict("cannot start a paused container, try unpause instead".into())),
        Status::Removing | Status::Dead => {
            Err(EngineError::Conflict("container is marked for removal and cannot be started".into()))
        }
        Status::Created | Status::Restarting | Status::Exited => Ok(()),
    }
}

fn devices(spec: &ContainerSpec) -> Result<Vec<crate::spec::Device>> {
    let mut devices = if spec.security.privileged { all_host_devices() } else { Vec::new() };
    for mapping in &spec.resources.devices {
        for device in find_devices(mapping)? {
            devices.retain(|other| other.path != device.path);
            devices.push(device);
        }
    }
    Ok(devices)
}

/// Removes what a run had in `/run`. A root file system that another runtime left mounted there goes first: its files are
/// the container's.
pub(super) fn remove_run_dir(run_dir: &Path) {
    let root = run_dir.join(ROOT);
    let _ = nix::mount::umount2(&root, nix::mount::MntFlags::MNT_DETACH);
    match std::fs::remove_dir(&root) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(directory = %root.display(), %error, "a root file system is still mounted");
        }
        _ => drop(std::fs::remove_dir_all(run_dir)),
    }
}

/// Removes a container's cgroup. One that is not there is as it should be: a start that fails early makes none.
pub(super) fn remove_cgroup(path: &str) -> std::result::Result<(), hoist_runtime::cgroup::CgroupError> {
    use hoist_runtime::cgroup::{Cgroup, CgroupPath};
    match Cgroup::open(&CgroupPath::new(path)?) {
        Ok(cgroup) => cgroup.delete(),
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => Err(error),
    }
}
