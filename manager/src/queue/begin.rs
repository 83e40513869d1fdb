//! A job that starts: its service, and its tasks with their nodes.

use std::sync::Arc;

use hoist_proto::{
    id::{NetworkId, NodeId, ServiceId, TaskId},
    spec::{
        AssignedDevice, ClusterNetwork, Job, JobState, Lifecycle, Meta, NetworkAttachment, NetworkMode, NetworkSpec,
        OVERLAY, Placement, RestartCondition, Service, ServiceMode, ServiceRestart, ServiceSpec, TaskCheckpoint,
        TaskSpec, TaskState,
    },
};
use hoist_store::{StoreError, Tx};

use crate::{hash, orchestrator::new_task};

/// The label of a service that is a job's; its value is the job's id.
pub(crate) const JOB: &str = "hoist.job.id";
/// Where the first task of several listens for the others, as `torchrun` expects it.
const MASTER_PORT: u16 = 29_500;

/// Where a task goes, and the devices that the queue chose for it there: the scheduler gives it just these.
pub(crate) struct Place {
    pub(crate) node: NodeId,
    pub(crate) devices: Vec<AssignedDevice>,
}

/// Writes what makes a job run at these places, one for each task.
pub(crate) fn start(tx: &mut Tx<'_>, job: &Job, places: Vec<Place>) -> Result<(), StoreError> {
    let now = tx.now();
    let name = service_name(job);
    let network = shared_network(tx, job, &name)?;
    let spec = service_spec(job, &name, network);
    let service = Service {
        id: ServiceId::random(),
        meta: Meta::default(),
        spec_hash: hash::spec_hash(&spec),
        spec,
        previous: None,
        update: None,
        virtual_ips: Vec::new(),
        mesh: None,
    };
    // What is written is what the orchestrator would find: it makes no second task for a rank.
    for (rank, Place { node, devices }) in places.iter().enumerate() {
        let slot = u32::try_from(rank).unwrap_or(u32::MAX).saturating_add(1);
        let mut task = new_task(&service, slot, Some(node.clone()), TaskId::random());
        task.desired = TaskState::Running;
        task.devices.clone_from(devices);
        let own = Arc::make_mut(&mut task.spec);
        own.checkpoint = job.spec.checkpoint.as_ref().map(|checkpoint| TaskCheckpoint {
            dir: checkpoint.dir.clone(),
            name: checkpoint_name(job, job.status.attempts + 1),
            restore: job.status.checkpoint.clone(),
        });
        let container = &mut own.container;
        container.env.extend(rank_env(job, rank, places.len(), &name));
        for network in &mut container.networks {
            network.aliases.push(format!("{name}.{slot}"));
        }
        tx.put(task)?;
    }
    let id = service.id.clone();
    tx.put(service)?;
    tx.modify::<Job>(&job.id, |job| {
        job.status.state = JobState::Running;
        job.status.reason = String::new();
        job.status.expected = None;
        job.status.started = Some(now);
        job.status.ended = None;
        job.status.exit_code = None;
        job.status.attempts += 1;
        job.status.service = Some(id);
        job.status.nodes = places.into_iter().map(|place| place.node).collect();
        job.status.warned = false;
        job.status.leaving = None;
        job.status.checkpoint = None;
        job.status.counted = 0;
        job.status.idle_since = None;
        job.status.idle_warned = None;
    })
}

/// What the checkpoint is called that an attempt makes.
pub(super) fn checkpoint_name(job: &Job, attempt: u32) -> String {
    format!("job-{}-{}-{attempt}", job.label().replace('_', "-"), job.id)
}

/// Every attempt has a name of its own: the last one's containers may still be there.
fn service_name(job: &Job) -> String {
    let attempt = job.status.attempts + 1;
    let label = job.label().replace('_', "-");
    if attempt > 1 { format!("job-{label}-try{attempt}") } else { format!("job-{label}") }
}

fn service_spec(job: &Job, name: &str, network: Option<(NetworkId, String)>) -> ServiceSpec {
    let tasks = job.spec.tasks.max(1);
    let mut container = job.spec.container.clone();
    let each = &job.spec.each;
    let resources = &mut container.resources;
    if each.nano_cpus > 0 {
        resources.nano_cpus = resources.nano_cpus.or(Some(each.nano_cpus));
        resources.reserved_nano_cpus = Some(each.nano_cpus);
    }
    if each.memory > 0 {
        resources.memory = resources.memory.or(Some(each.memory));
        resources.reserved_memory = Some(each.memory);
    }
    // The queue's picks name their requests by these places.
    resources.device_requests = each.all_requests();
    let mut networks = Vec::new();
    if let Some((id, network)) = network {
        container.networks.push(NetworkAttachment { network, ..NetworkAttachment::default() });
        networks.push(id);
    }
    let mut labels = job.spec.labels.clone();
    labels.insert(JOB.into(), job.id.to_string());
    labels.insert("hoist.job.number".into(), job.label());
    labels.insert("hoist.job.user".into(), job.user.clone());
    container.labels.extend(labels.clone());
    ServiceSpec {
        name: name.to_owned(),
        labels,
        mode: ServiceMode::ReplicatedJob { max_concurrent: 0, total_completions: tasks },
        lifecycle: Lifecycle::Running,
        task: TaskSpec {
            container,
            restart: Some(ServiceRestart { condition: RestartCondition::None, ..ServiceRestart::default() }),
            placement: Placement { constraints: job.spec.constraints.clone(), ..Placement::default() },
            networks,
            stop_timeout: job.spec.grace,
            ..TaskSpec::default()
        },
        ..ServiceSpec::default()
    }
}

/// Tasks of one job reach each other by name; a job of one task needs nobody.
fn shared_network(tx: &mut Tx<'_>, job: &Job, name: &str) -> Result<Option<(NetworkId, String)>, StoreError> {
    let container = &job.spec.container;
    let own = container.network_mode != NetworkMode::Networks || !container.networks.is_empty();
    if job.spec.tasks < 2 || own {
        return Ok(None);
    }
    let id = NetworkId::random();
    let labels = [(JOB.to_owned(), job.id.to_string())].into();
    let many = tx.cluster().is_some_and(|cluster| cluster.pki.is_some());
    let driver = if many { OVERLAY.to_owned() } else { String::new() };
    tx.put(ClusterNetwork {
        id: id.clone(),
        meta: Meta::default(),
        spec: NetworkSpec { name: name.to_owned(), driver, labels, attachable: true, ..NetworkSpec::default() },
        project: None,
        key: None,
        external: false,
        removing: false,
        allocation: None,
    })?;
    Ok(Some((id, name.to_owned())))
}

/// What `torchrun`, MPI launchers and scripts look for.
fn rank_env(job: &Job, rank: usize, world: usize, service: &str) -> Vec<String> {
    let mut env = vec![
        format!("HOIST_JOB_ID={}", job.label()),
        format!("HOIST_JOB_NAME={}", job.spec.name),
        format!("HOIST_JOB_USER={}", job.user),
        format!("HOIST_JOB_ATTEMPT={}", job.status.attempts + 1),
        format!("HOIST_JOB_TASKS={world}"),
        format!("RANK={rank}"),
        format!("WORLD_SIZE={world}"),
    ];
    if let Some(array) = &job.array {
        env.push(format!("HOIST_ARRAY_INDEX={}", array.index));
    }
    if world > 1 {
        env.push(format!("MASTER_ADDR={service}.1"));
        env.push(format!("MASTER_PORT={MASTER_PORT}"));
    }
    env
}
