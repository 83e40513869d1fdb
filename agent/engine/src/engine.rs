//! The door: every call that others may make.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use hoist_device::Devices;
use hoist_image::Images;
use hoist_network::Networks;
use hoist_proto::id::{ContainerId, ExecId};
use hoist_proto::spec::{ContainerSpec, DeviceKind, DeviceUse};
use hoist_runtime::cgroup::{Cgroup, CgroupPath};
use hoist_volume::Volumes;
use tokio::io::AsyncRead;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::container::Registry;
use crate::events::EventBus;
use crate::exec::Execs;
use crate::inner::{EngineOptions, Inner};
use crate::io::Starter;
use crate::lifecycle::recover;
use crate::metrics::{Action, Metrics};
use crate::model::*;
use crate::runtimes::Runtimes;
use crate::secrets::Secrets;
use crate::streams::{Attached, LogStream};
use crate::wide::WideNetworks;
use crate::{EngineError, Result};

/// The containers of one machine. A clone is the same engine.
#[derive(Clone)]
pub struct Engine {
    pub(crate) inner: Arc<Inner>,
    pub(crate) builder: hoist_build::Builder<crate::build::BuildWorker>,
}

impl Engine {
    /// Finds all that an earlier engine left: running containers are taken over, exits that happened meanwhile are
    /// worked off, half-made things are removed. `hoist_runtime::guard` must have been called first thing in `main`.
    ///
    /// # Errors
    /// When the roots cannot be used.
    pub async fn open(options: EngineOptions) -> Result<Self> {
        let inner = Arc::new(Inner {
            events: EventBus::new(options.clock.clone()),
            registry: Registry::default(),
            starter: Starter::new()?,
            execs: Execs::default(),
            metrics: Metrics::default(),
            runtimes: RwLock::new(Arc::new(options.runtimes.clone())),
            wide: RwLock::new(None),
            secrets: Secrets::new(&options.run_root),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            options,
        });
        crate::build::sweep(&inner);
        recover(&inner).await?;
        let builder = crate::build::open(&inner).await?;
        Ok(Self { inner, builder })
    }

    /// Writes down what is not yet, and lets go. Containers go on; where there are none, the cgroup for them goes.
    pub async fn close(&self) {
        self.inner.closing.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
        self.inner.secrets.close();
        let parent = self.inner.options.cgroup_parent.clone();
        let removed = tokio::task::spawn_blocking(move || {
            if let Ok(parent) = CgroupPath::new(parent).and_then(|path| Cgroup::open(&path)) {
                parent.delete_if_empty();
            }
        });
        let _ = removed.await;
    }

    pub fn images(&self) -> &Images {
        &self.inner.options.images
    }

    pub fn networks(&self) -> &Networks {
        &self.inner.options.networks
    }

    pub fn volumes(&self) -> &Volumes {
        &self.inner.options.volumes
    }

    /// The OCI runtimes that containers can name.
    pub fn runtimes(&self) -> Arc<Runtimes> {
        self.inner.runtimes()
    }

    /// Changes which there are, for containers that are created or started from now on.
    pub fn set_runtimes(&self, runtimes: Runtimes) {
        *self.inner.runtimes.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(runtimes);
    }

    /// From now on this one is asked about networks that span machines, or nobody.
    pub fn set_wide_networks(&self, wide: Option<Arc<dyn WideNetworks>>) {
        *self.inner.wide.write().unwrap_or_else(PoisonError::into_inner) = wide;
    }

    /// The devices of this machine, and who holds them.
    pub fn devices(&self) -> &Devices {
        &self.inner.options.devices
    }

    /// How many devices of each kind containers can be given here, by the kind's last word (`gpu` of
    /// `nvidia.com/gpu`): what a scheduler counts. Those that are set aside are left out.
    ///
    /// It may ask a driver, and so wait.
    pub fn device_counts(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for kind in self.devices().inventory().kinds.iter().filter(|kind| !kind.open) {
            let word = kind.name.rsplit('/').next().unwrap_or(&kind.name).to_owned();
            let usable = kind.devices.iter().filter(|device| device.set_aside.is_none()).count();
            *counts.entry(word).or_default() += usable as u64;
        }
        counts
    }

    /// The machine's devices, for a scheduler. Containers with the label `known` are those that it gave devices itself;
    /// what others hold is told.
    ///
    /// It may ask a driver, and so wait.
    pub fn describe_devices(&self, known: &str) -> Vec<DeviceKind> {
        self.devices().described(&|holder| {
            let Ok(container) = self.inner.registry.find(holder) else { return Some(holder.to_owned()) };
            let record = container.record();
            (!record.effective.labels.contains_key(known)).then(|| record.name.clone())
        })
    }

    /// What containers with the label `known` have made of their devices so far, by the label's value. A container is
    /// told of until it is removed.
    ///
    /// It may wait while the devices are measured.
    pub fn device_uses(&self, known: &str) -> Vec<(String, DeviceUse)> {
        let uses = self.devices().uses(|holder| self.inner.registry.find(holder).is_ok());
        let labelled = |(holder, used): (String, DeviceUse)| {
            let record = self.inner.registry.find(&holder).ok()?.record();
            Some((record.effective.labels.get(known)?.clone(), used))
        };
        uses.into_iter().filter_map(labelled).collect()
    }

    /// Connects to a port on which somebody in the container listens, also one that is not published and one of its
    /// loopback addresses.
    ///
    /// # Errors
    /// `Conflict` without a process, and when nobody listens.
    pub async fn connect(&self, name: &str, port: u16) -> Result<std::net::TcpStream> {
        let container = self.inspect(name).await?;
        if !container.state.status.is_up() {
            return Err(EngineError::Conflict(format!("container {name} is not running")));
        }
        let sandbox = container.sandbox.clone();
        let work = move || match sandbox {
            Some(pinned) => hoist_network::connect(&pinned, port),
            // It is on the machine's own network.
            None => hoist_network::connect_here(port),
        };
        let connected = tokio::task::spawn_blocking(work).await;
        let connected = connected.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        connected.map_err(|error| EngineError::Conflict(format!("cannot connect to port {port} of {name}: {error}")))
    }

    /// What a monitor reads.
    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    pub fn events(&self) -> &EventBus {
        &self.inner.events
    }

    /// Makes a container of an image that is here already. What fails leaves nothing behind.
    ///
    /// # Errors
    /// Names what of the spec cannot be; `Conflict` when the name is taken; the image's `NotFound`.
    pub async fn create(&self, mut spec: ContainerSpec) -> Result<Created> {
        self.inner.options.defaults.fill(&mut spec);
        self.inner.metrics.time(Action::Create, self.inner.create(spec)).await
    }

    /// As [`create`](Self::create), for who starts it at once: while it starts, its record is brought to the disk, and
    /// [`start`](Self::start) returns when both are done. Until then a power cut takes the container away.
    ///
    /// # Errors
    /// Those of [`create`](Self::create).
    pub async fn create_to_start(&self, mut spec: ContainerSpec) -> Result<Created> {
        self.inner.options.defaults.fill(&mut spec);
        self.inner.metrics.time(Action::Create, self.inner.create_to_start(spec)).await
    }

    /// Starts a container; returns when its command runs.
    ///
    /// # Errors
    /// `NotModified` if it runs; `Start` with the exit code 125, 126 or 127.
    pub async fn start(&self, name: &str) -> Result<()> {
        self.inner.metrics.time(Action::Start, self.inner.start(name)).await
    }

    /// Writes the processes of a running container to a directory, and ends them unless they are to go on.
    ///
    /// # Errors
    /// `Conflict` if it does not run or the checkpoint exists; `Checkpoint` if it cannot be made: the container goes on.
    pub async fn checkpoint(&self, name: &str, options: CheckpointOptions) -> Result<()> {
        self.inner.checkpoint(name, options, false).await
    }

    /// Does the same, and has the container's own files come along, for another container that is made of the same
    /// image. Those of one that goes on are left out, as they would not fit to its memory.
    ///
    /// # Errors
    /// Those of [`checkpoint`](Self::checkpoint).
    pub async fn checkpoint_with_files(&self, name: &str, options: CheckpointOptions) -> Result<()> {
        self.inner.checkpoint(name, options, true).await
    }

    /// The names of a container's checkpoints; of those in `dir` if they were made there.
    ///
    /// # Errors
    /// `NoSuchContainer`; `InvalidParameter` for a directory that cannot be one.
    pub async fn checkpoints(&self, name: &str, dir: Option<&Path>) -> Result<Vec<String>> {
        self.inner.checkpoints(name, dir)
    }

    /// Removes a checkpoint.
    ///
    /// # Errors
    /// `NoSuchCheckpoint`.
    pub async fn remove_checkpoint(&self, name: &str, checkpoint: &str, dir: Option<&Path>) -> Result<()> {
        self.inner.remove_checkpoint(name, checkpoint, dir).await
    }

    /// Starts a container where a checkpoint was made.
    ///
    /// # Errors
    /// `NoSuchCheckpoint`; those of [`start`](Self::start).
    pub async fn restore(&self, name: &str, checkpoint: &str, dir: Option<&Path>) -> Result<()> {
        self.inner.metrics.time(Action::Start, self.inner.restore(name, checkpoint, dir)).await
    }

    /// Stops a container: its `pre_stop` hooks, its stop signal, and SIGKILL when it takes too long.
    ///
    /// # Errors
    /// `NotModified` if it does not run.
    pub async fn stop(&self, name: &str, options: StopOptions) -> Result<()> {
        self.inner.stop(name, &options).await
    }

    /// Stops it if it runs, and starts it.
    ///
    /// # Errors
    /// Those of both.
    pub async fn restart(&self, name: &str, options: StopOptions) -> Result<()> {
        self.inner.restart(name, &options).await
    }

    /// Sends a signal (`KILL`, `SIGTERM`, `9`; `None` is SIGKILL) to the first process.
    ///
    /// # Errors
    /// `Conflict` if it does not run.
    pub async fn kill(&self, name: &str, signal: Option<&str>) -> Result<()> {
        self.inner.kill(name, signal).await
    }

    /// Stops all processes where they are.
    ///
    /// # Errors
    /// `Conflict` if it does not run or is paused.
    pub async fn pause(&self, name: &str) -> Result<()> {
        self.inner.pause(name).await
    }

    /// Lets them go on.
    ///
    /// # Errors
    /// `Conflict` if it is not paused.
    pub async fn unpause(&self, name: &str) -> Result<()> {
        self.inner.unpause(name).await
    }

    /// Gives it another name.
    ///
    /// # Errors
    /// `Conflict` when the name is taken.
    pub async fn rename(&self, name: &str, new: &str) -> Result<()> {
        self.inner.rename(name, new).await
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// `NoSuchContainer`.
    pub async fn wait(&self, name: &str, condition: WaitCondition) -> Result<WaitResult> {
        self.inner.wait(name, condition).await
    }

    /// Removes it.
    ///
    /// # Errors
    /// `Conflict` if it runs and `force` is not given.
    pub async fn remove(&self, name: &str, options: RemoveOptions) -> Result<()> {
        self.inner.metrics.time(Action::Delete, self.inner.remove(name, options)).await
    }

    /// Changes limits and the restart policy; answers warnings.
    ///
    /// # Errors
    /// Names the limit that cannot be set.
    pub async fn update(&self, name: &str, options: UpdateOptions) -> Result<Vec<String>> {
        self.inner.update(name, options).await
    }

    /// Connects to the first process's streams; before a start nothing of its output is missed.
    ///
    /// # Errors
    /// `Conflict` if it is paused.
    pub async fn attach(&self, name: &str, options: AttachOptions) -> Result<Attached> {
        self.inner.attach(name, options, false).await
    }

    /// Connects to the streams of a first process that runs, and waits for no start.
    ///
    /// # Errors
    /// `Conflict` if it does not run.
    pub async fn attach_running(&self, name: &str, options: AttachOptions) -> Result<Attached> {
        self.inner.attach(name, options, true).await
    }

    /// A client has left its streams by keys or by going away, and it goes on: that is told.
    pub fn detached(&self, name: &str) {
        self.inner.detached(name);
    }

    /// As [`detached`](Self::detached), of an exec.
    pub fn exec_detached(&self, id: &str) {
        self.inner.exec_detached(id);
    }

    /// Sets the size of its terminal.
    ///
    /// # Errors
    /// `Conflict` if it does not run.
    pub async fn resize(&self, name: &str, size: TerminalSize) -> Result<()> {
        self.inner.resize(name, size).await
    }

    /// Prepares a further process.
    ///
    /// # Errors
    /// `Conflict` if the container does not run.
    pub async fn exec_create(&self, name: &str, spec: ExecSpec) -> Result<ExecId> {
        self.inner.exec_create(name, spec)
    }

    /// Starts it; returns when its command runs.
    ///
    /// # Errors
    /// `Start` with the exit code 125, 126 or 127; `Conflict` if it was started before.
    pub async fn exec_start(&self, id: &str, size: Option<TerminalSize>) -> Result<Attached> {
        self.inner.exec_start(id, size).await
    }

    /// Waits for its end and tells the exit code.
    ///
    /// # Errors
    /// `NoSuchExec`.
    pub async fn exec_wait(&self, id: &str) -> Result<i32> {
        self.inner.exec_wait(id).await
    }

    /// What is known of an exec.
    ///
    /// # Errors
    /// `NoSuchExec`.
    pub async fn exec_inspect(&self, id: &str) -> Result<ExecInfo> {
        self.inner.exec_inspect(id)
    }

    /// Sets the size of its terminal.
    ///
    /// # Errors
    /// `Conflict` if it does not run.
    pub async fn exec_resize(&self, id: &str, size: TerminalSize) -> Result<()> {
        self.inner.exec_resize(id, size)
    }

    /// Sends a signal to an exec's process.
    ///
    /// # Errors
    /// `Conflict` if it does not run.
    pub async fn exec_kill(&self, id: &str, signal: &str) -> Result<()> {
        self.inner.exec_kill(id, signal).await
    }

    /// What it wrote.
    ///
    /// # Errors
    /// `InvalidParameter` when its logging driver keeps nothing.
    pub async fn logs(&self, name: &str, options: LogOptions) -> Result<LogStream> {
        self.inner.logs(name, options).await
    }

    /// Names and values that its log options want beside its lines: labels, variables, the tag.
    ///
    /// # Errors
    /// `NoSuchContainer`, `Ambiguous`.
    pub fn log_details(&self, name: &str) -> Result<Vec<(String, String)>> {
        crate::logging::details(&self.inner.registry.find(name)?.record())
    }

    /// What it uses now; `None` when it does not run. Rates are the difference of two.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub async fn stats(&self, name: &str) -> Result<Option<Stats>> {
        self.inner.stats(name).await
    }

    /// Its processes; `columns` are `ps` options (`-ef` when empty).
    ///
    /// # Errors
    /// `Conflict` if it does not run.
    pub async fn top(&self, name: &str, columns: &str) -> Result<Top> {
        self.inner.top(name, columns).await
    }

    /// All about one, by name, id or unambiguous prefix of an id.
    ///
    /// # Errors
    /// `NoSuchContainer`, `Ambiguous`.
    pub async fn inspect(&self, name: &str) -> Result<Container> {
        let handle = self.inner.registry.find(name)?;
        Ok(self.inner.inspect(&handle).await)
    }

    /// All about many, newest first.
    ///
    /// # Errors
    /// None at present.
    pub async fn list(&self, options: ListOptions) -> Result<Vec<Container>> {
        Ok(self.inner.list(&options).await)
    }

    /// Its id, by name, id or unambiguous prefix of an id.
    ///
    /// # Errors
    /// `NoSuchContainer`, `Ambiguous`.
    pub fn resolve(&self, name: &str) -> Result<ContainerId> {
        Ok(self.inner.registry.find(name)?.id.clone())
    }

    /// Bytes of its own files, and of all it sees.
    ///
    /// # Errors
    /// When the snapshot cannot be read.
    pub async fn size(&self, name: &str) -> Result<(u64, u64)> {
        let handle = self.inner.registry.find(name)?;
        Ok(self.inner.options.images.snapshot_size(handle.id.as_str()).await?)
    }

    /// Puts a container, running or not, on a network.
    ///
    /// # Errors
    /// Those of the networks.
    pub async fn connect_network(&self, name: &str, attachment: hoist_proto::spec::NetworkAttachment) -> Result<()> {
        self.inner.connect_network(name, attachment).await
    }

    /// Takes it off.
    ///
    /// # Errors
    /// Those of the networks.
    pub async fn disconnect_network(&self, name: &str, network: &str, force: bool) -> Result<()> {
        self.inner.disconnect_network(name, network, force).await
    }

    /// A file in the container; a last symbolic link is not followed.
    ///
    /// # Errors
    /// `NoSuchPath`.
    pub async fn stat_path(&self, name: &str, path: &str) -> Result<PathStat> {
        self.inner.stat_path(name, path).await
    }

    /// A file or directory of the container as a tar archive.
    ///
    /// # Errors
    /// `NoSuchPath`.
    pub async fn copy_from(&self, name: &str, path: &str) -> Result<(PathStat, Box<dyn AsyncRead + Send + Unpin>)> {
        self.inner.copy_from(name, path).await
    }

    /// Unpacks a tar archive into a directory of the container.
    ///
    /// # Errors
    /// `NoSuchPath`; `InvalidParameter` for an archive that tries to leave the directory.
    pub async fn copy_to(
        &self,
        name: &str,
        path: &str,
        archive: Box<dyn AsyncRead + Send + Unpin>,
        options: CopyOptions,
    ) -> Result<()> {
        self.inner.copy_to(name, path, archive, options).await
    }

    /// All that it sees as a tar archive.
    ///
    /// # Errors
    /// When the snapshot cannot be read.
    pub async fn export(&self, name: &str) -> Result<Box<dyn AsyncRead + Send + Unpin>> {
        self.inner.export(name).await
    }

    /// What changed since its image, but for the places of the engine's own mounts.
    ///
    /// # Errors
    /// When the snapshot cannot be read.
    pub async fn changes(&self, name: &str) -> Result<Vec<hoist_image::Change>> {
        let handle = self.inner.registry.find(name)?;
        let diff = async { Ok(self.inner.options.images.diff(handle.id.as_str()).await?) };
        Ok(crate::files::own(self.inner.metrics.time(Action::Changes, diff).await?))
    }

    /// Makes an image of it; with `pause` it stands still meanwhile.
    ///
    /// # Errors
    /// Those of the images.
    pub async fn commit(
        &self,
        name: &str,
        options: hoist_image::CommitOptions,
        pause: bool,
    ) -> Result<hoist_image::Image> {
        self.inner.metrics.time(Action::Commit, self.inner.commit(name, options, pause)).await
    }

    /// Removes containers that do not run.
    ///
    /// # Errors
    /// When one that should go cannot be removed.
    pub async fn prune(&self, options: PruneOptions) -> Result<PruneReport> {
        self.inner.prune(&options).await
    }
}
