//! All that the node has to do: assignments in, a loop for each task, and the file that remembers them.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use hoist_engine::Engine;
use hoist_proto::{
    clock::SharedClock,
    id::{ConfigId, NetworkId, NodeId, SecretId, ServiceId, TaskId, VolumeId},
    protocol::Protocol,
    spec::{ClusterNetwork, ClusterVolume, Config, Secret, Task},
    wire::{
        AssignmentChange,
        assignment_change::{Action, Item},
    },
};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    ImageNodes,
    agent::AgentConfig,
    attach::Attachments,
    identity,
    overlay::{self, Overlays},
    progress::Progress,
    report::Reports,
    resources::Resources,
    task,
};

/// The node's work. Clones are the same.
#[derive(Clone)]
pub(crate) struct Worker {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) engine: Engine,
    pub(crate) clock: SharedClock,
    pub(crate) protocol: Protocol,
    pub(crate) resources: Resources,
    pub(crate) progress: Progress,
    pub(crate) reports: Reports,
    pub(crate) cancel: CancellationToken,
    pub(crate) node: NodeId,
    pub(crate) attachments: Attachments,
    pub(crate) image_nodes: Arc<dyn ImageNodes>,
    file: PathBuf,
    /// Where processes of tasks are written down that name no place.
    pub(crate) checkpoints: PathBuf,
    state: Mutex<State>,
    /// Held while what is known of the far side is made known here, so that nothing older comes later.
    pub(crate) telling: tokio::sync::Mutex<()>,
    /// The file is older than the state.
    changed: Notify,
    /// Containers that tasks wait on, by id.
    pub(crate) watched: Mutex<HashMap<String, Arc<Notify>>>,
    loops: TaskTracker,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) assigned: Assigned,
    secrets: BTreeMap<SecretId, Secret>,
    configs: BTreeMap<ConfigId, Config>,
    running: HashMap<TaskId, Running>,
    /// Anonymous volumes of containers that were removed to be made anew: `(target, volume)`.
    left: HashMap<(ServiceId, u32), Vec<(String, String)>>,
}

/// What is kept on the disk. No secret is among it.
#[derive(Default, Clone, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Assigned {
    format: u32,
    /// Whose tasks these are.
    cluster: Option<String>,
    pub(crate) tasks: BTreeMap<TaskId, Task>,
    pub(crate) networks: BTreeMap<NetworkId, ClusterNetwork>,
    volumes: BTreeMap<VolumeId, ClusterVolume>,
    pub(crate) overlays: Overlays,
}

const FORMAT: u32 = 1;

struct Running {
    task: watch::Sender<Task>,
    /// The manager wants to hear no more of it.
    forget: CancellationToken,
    /// And its container stays.
    left_alone: Arc<AtomicBool>,
}

impl Worker {
    /// Takes up what was left by the last agent.
    pub(crate) async fn load(config: &AgentConfig, cancel: CancellationToken) -> Self {
        let file = config.data_root.join("agent").join("assignments.json");
        let checkpoints = config.data_root.join("agent").join("checkpoints");
        let (dir, now) = (checkpoints.clone(), config.clock.now());
        tokio::task::spawn_blocking(move || crate::task::forget_old_checkpoints(&dir, now));
        let progress = Progress::default();
        let inner = Inner {
            engine: config.engine.clone(),
            clock: config.clock.clone(),
            protocol: config.protocol,
            resources: Resources::new(config.engine.clone(), progress.clone()),
            progress,
            reports: Reports::default(),
            cancel,
            node: config.node.clone(),
            attachments: Attachments::default(),
            image_nodes: config.images.clone(),
            file,
            checkpoints,
            state: Mutex::default(),
            telling: tokio::sync::Mutex::default(),
            changed: Notify::new(),
            watched: Mutex::default(),
            loops: TaskTracker::new(),
        };
        let worker = Self { inner: Arc::new(inner) };
        let assigned = worker.read_file().await;
        {
            let mut state = worker.state();
            for (id, task) in &assigned.tasks {
                let running = worker.spawn(task.clone());
                state.running.insert(id.clone(), running);
            }
            state.assigned = assigned;
        }
        let spanning: Vec<_> = {
            let state = worker.state();
            state.assigned.networks.values().filter(|network| network.spans_nodes()).cloned().collect()
        };
        for network in spanning {
            worker.fill_network(&network).await;
        }
        worker
    }

    pub(crate) fn reports(&self) -> &Reports {
        &self.inner.reports
    }

    pub(crate) fn progress(&self) -> &Progress {
        &self.inner.progress
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A file that cannot be read is as none: the dispatcher tells everything again.
    async fn read_file(&self) -> Assigned {
        let bytes = match fs_err::tokio::read(&self.inner.file).await {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Assigned::default(),
            Err(error) => {
                tracing::warn!(%error, "cannot read what the node had to do");
                return Assigned::default();
            }
        };
        match serde_json::from_slice::<Assigned>(&bytes) {
            Ok(mut assigned) if assigned.format == FORMAT => {
                assigned.tasks.values_mut().for_each(Task::renew);
                assigned
            }
            Ok(assigned) => {
                tracing::warn!(format = assigned.format, "what the node had to do is written in another format");
                Assigned::default()
            }
            Err(error) => {
                tracing::warn!(%error, path = %self.inner.file.display(), "what the node had to do cannot be read");
                Assigned::default()
            }
        }
    }

    /// Keeps the file up to date; runs until cancelled.
    pub(crate) async fn keep(&self) {
        loop {
            tokio::select! {
                () = self.inner.cancel.cancelled() => break,
                () = self.inner.changed.notified() => {}
            }
            self.write_file().await;
        }
        self.write_file().await;
    }

    async fn write_file(&self) {
        let bytes = {
            let mut state = self.state();
            state.assigned.format = FORMAT;
            for (id, task) in &mut state.assigned.tasks {
                if let Some(status) = self.inner.reports.get(id) {
                    task.status = status;
                }
            }
            // Credentials are told again by the dispatcher; no disk has them.
            let mut kept = state.assigned.clone();
            kept.tasks.values_mut().for_each(|task| Arc::make_mut(&mut task.spec).registry_auth = None);
            serde_json::to_vec(&kept).expect("records have string keys and memory takes the bytes")
        };
        let file = self.inner.file.clone();
        let written = tokio::task::spawn_blocking(move || identity::write(&file, &bytes)).await;
        if let Ok(Err(error)) = written {
            tracing::error!(%error, "cannot keep what the node has to do");
        }
    }

    /// The file's statuses are older than what is known.
    pub(crate) fn note_change(&self) {
        self.inner.changed.notify_one();
    }

    /// Hears whose orders will come. A cluster that has lost its state is another one: that it does not know the
    /// tasks that run here is no reason to end them.
    pub(crate) fn belongs_to(&self, cluster: &str) {
        if cluster.is_empty() {
            return;
        }
        let mut state = self.state();
        let known = state.assigned.cluster.replace(cluster.to_owned());
        if let Some(known) = known.filter(|known| known != cluster) {
            let tasks = std::mem::take(&mut state.assigned.tasks);
            tracing::warn!(
                before = known,
                now = cluster,
                tasks = tasks.len(),
                "the node has come to another cluster; the containers of the one before stay as they are"
            );
            for id in tasks.keys() {
                if let Some(running) = state.running.remove(id) {
                    running.left_alone.store(true, Ordering::SeqCst);
                    running.forget.cancel();
                }
                self.inner.reports.forget(id);
            }
            state.assigned.networks.clear();
            state.assigned.volumes.clear();
            state.assigned.overlays.forget_all();
        }
        drop(state);
        self.note_change();
    }

    /// Takes changes; a complete set replaces what was known.
    pub(crate) async fn assign(&self, changes: Vec<AssignmentChange>, complete: bool) {
        let (mut networks, mut volumes) = (Vec::new(), Vec::new());
        let telling = self.inner.telling.lock().await;
        let mut topology = overlay::Changes::default();
        let known = {
            let mut state = self.state();
            let mut seen = Seen::default();
            for change in changes {
                let remove = change.action() == Action::Remove;
                let Some(item) = change.item else { continue };
                let taken = match item {
                    Item::NetworkMember(json) => serde_json::from_slice(&json)
                        .map(|member| state.assigned.overlays.take_member(member, remove, &mut topology)),
                    Item::VirtualService(json) => serde_json::from_slice(&json)
                        .map(|service| state.assigned.overlays.take_service(service, remove, &mut topology)),
                    item => self.take(&mut state, item, remove, &mut seen, &mut networks, &mut volumes),
                };
                if let Err(error) = taken {
                    tracing::error!(%error, "an assignment cannot be read");
                }
            }
            if complete {
                self.forget_unseen(&mut state, &seen, &mut networks, &mut volumes);
                state.assigned.overlays.forget_unseen(&mut topology);
            }
            state.assigned.networks.clone()
        };
        overlay::apply(self.inner.engine.networks(), &self.inner.node, &known, topology).await;
        drop(telling);
        // Beside what comes next: a network of that name may have to make room first.
        let mesh = known.into_values().find(|network| network.spec.ingress && network.allocation.is_some());
        if let Some(mesh) = mesh {
            let worker = self.clone();
            self.inner.loops.spawn(async move { worker.join_mesh(&mesh).await });
        }
        self.note_change();
        if networks.is_empty() && volumes.is_empty() {
            return;
        }
        let resources = self.inner.resources.clone();
        self.inner.loops.spawn(async move {
            for network in networks {
                resources.drop_network(network).await;
            }
            for volume in volumes {
                resources.drop_volume(volume).await;
            }
        });
    }

    fn take(
        &self,
        state: &mut State,
        item: Item,
        remove: bool,
        seen: &mut Seen,
        networks: &mut Vec<ClusterNetwork>,
        volumes: &mut Vec<ClusterVolume>,
    ) -> Result<(), serde_json::Error> {
        match item {
            Item::Task(json) => {
                let task: Task = serde_json::from_slice(&json)?;
                if remove {
                    self.forget(state, &task.id);
                } else {
                    seen.tasks.push(task.id.clone());
                    self.take_task(state, task);
                }
            }
            Item::Network(json) => {
                let network: ClusterNetwork = serde_json::from_slice(&json)?;
                if remove {
                    networks.extend(state.assigned.networks.remove(&network.id));
                } else {
                    seen.networks.push(network.id.clone());
                    state.assigned.networks.insert(network.id.clone(), network);
                }
            }
            Item::Volume(json) => {
                let volume: ClusterVolume = serde_json::from_slice(&json)?;
                if remove {
                    // Only a volume that was to go goes with its record: data outlives mistakes.
                    let known = state.assigned.volumes.remove(&volume.id);
                    volumes.extend(known.filter(|volume| volume.removing));
                } else {
                    seen.volumes.push(volume.id.clone());
                    state.assigned.volumes.insert(volume.id.clone(), volume);
                }
            }
            Item::Secret(json) => {
                let secret: Secret = serde_json::from_slice(&json)?;
                if remove {
                    state.secrets.remove(&secret.id);
                } else {
                    state.secrets.insert(secret.id.clone(), secret);
                }
            }
            Item::Config(json) => {
                let config: Config = serde_json::from_slice(&json)?;
                if remove {
                    state.configs.remove(&config.id);
                } else {
                    state.configs.insert(config.id.clone(), config);
                }
            }
            Item::NetworkMember(_) | Item::VirtualService(_) => unreachable!("the caller takes them"),
        }
        Ok(())
    }

    fn take_task(&self, state: &mut State, task: Task) {
        match state.running.get(&task.id) {
            Some(running) => {
                running.task.send_if_modified(|known| {
                    let status = std::mem::take(&mut known.status);
                    let changed =
                        known.desired != task.desired || known.spec != task.spec || known.signal != task.signal;
                    *known = task.clone();
                    // The agent's own word on it is the newer one.
                    known.status = status;
                    changed
                });
            }
            None => {
                let running = self.spawn(task.clone());
                state.running.insert(task.id.clone(), running);
            }
        }
        state.assigned.tasks.insert(task.id.clone(), task);
    }

    fn forget(&self, state: &mut State, id: &TaskId) {
        state.assigned.tasks.remove(id);
        if let Some(running) = state.running.remove(id) {
            running.forget.cancel();
        }
        self.inner.reports.forget(id);
    }

    fn forget_unseen(
        &self,
        state: &mut State,
        seen: &Seen,
        networks: &mut Vec<ClusterNetwork>,
        volumes: &mut Vec<ClusterVolume>,
    ) {
        let gone: Vec<TaskId> = state.assigned.tasks.keys().filter(|id| !seen.tasks.contains(id)).cloned().collect();
        for id in gone {
            self.forget(state, &id);
        }
        let gone: Vec<_> = state.assigned.networks.keys().filter(|id| !seen.networks.contains(id)).cloned().collect();
        networks.extend(gone.iter().filter_map(|id| state.assigned.networks.remove(id)));
        let gone: Vec<_> = state.assigned.volumes.keys().filter(|id| !seen.volumes.contains(id)).cloned().collect();
        let gone = gone.iter().filter_map(|id| state.assigned.volumes.remove(id));
        volumes.extend(gone.filter(|volume| volume.removing));
    }

    fn spawn(&self, task: Task) -> Running {
        let forget = self.inner.cancel.child_token();
        let (sender, receiver) = watch::channel(task);
        let left_alone = Arc::new(AtomicBool::new(false));
        let driver = task::Driver::new(self.clone(), receiver, left_alone.clone());
        let token = forget.clone();
        self.inner.loops.spawn(async move {
            // A step that is under way is finished: half a container is worse than one too many.
            driver.run(token).await;
        });
        Running { task: sender, forget, left_alone }
    }

    /// Waits for the loops, which were told to end.
    pub(crate) async fn drain(&self) {
        self.inner.loops.close();
        self.inner.loops.wait().await;
    }

    /// Hears the engine, and wakes whoever waits on the container that something happened to.
    pub(crate) async fn follow_engine(&self) {
        let mut events = self.inner.engine.events().subscribe(None);
        loop {
            let event = tokio::select! {
                () = self.inner.cancel.cancelled() => return,
                event = events.next() => match event {
                    Some(event) => event,
                    None => return,
                },
            };
            if event.kind != "container" || event.action.starts_with("exec_") {
                continue;
            }
            {
                let watched = self.inner.watched.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(notify) = watched.get(&event.actor.id) {
                    notify.notify_one();
                }
            }
            if event.action == "destroy" {
                self.inner.resources.container_gone().await;
            }
        }
    }

    /// The records that a task needs, as far as they are known.
    pub(crate) fn records(&self, task: &Task) -> (Vec<ClusterNetwork>, Vec<ClusterVolume>) {
        let state = self.state();
        let ids = task.spec.networks.iter().chain(task.mesh().map(|given| &given.network));
        let networks = ids.filter_map(|id| state.assigned.networks.get(id).cloned()).collect();
        let volumes = task.spec.volumes.iter().filter_map(|id| state.assigned.volumes.get(id).cloned()).collect();
        (networks, volumes)
    }

    /// The bytes of a stored secret or config, and whether they are a template.
    pub(crate) fn file(&self, id: &str) -> Option<(Vec<u8>, bool)> {
        let state = self.state();
        let of_secret = |secret: &Secret| (secret.data.clone(), secret.templating.is_some());
        let of_config = |config: &Config| (config.data.clone(), config.templating.is_some());
        let secret = id.parse().ok().and_then(|id: SecretId| state.secrets.get(&id).map(of_secret));
        secret.or_else(|| id.parse().ok().and_then(|id: ConfigId| state.configs.get(&id).map(of_config)))
    }

    /// Remembers the anonymous volumes of a container that is about to be made anew.
    pub(crate) fn leave_volumes(&self, task: &Task, volumes: Vec<(String, String)>) {
        if !volumes.is_empty() {
            self.state().left.insert((task.service.clone(), task.slot), volumes);
        }
    }

    pub(crate) fn take_left_volumes(&self, task: &Task) -> Vec<(String, String)> {
        self.state().left.remove(&(task.service.clone(), task.slot)).unwrap_or_default()
    }
}

/// What a complete set of assignments names.
#[derive(Default)]
struct Seen {
    tasks: Vec<TaskId>,
    networks: Vec<NetworkId>,
    volumes: Vec<VolumeId>,
}
