//! Services: new, changed, scaled, stopped, or as they should be.

use std::collections::BTreeMap;

use hoist_proto::{
    id::{NetworkId, ServiceId, VolumeId},
    spec::{
        FileContent, Lifecycle, Meta, PlanAction, PullPolicy, ResourceKind, Service, ServiceMode, ServiceSpec, Task,
        TaskImage, TaskState, UpdateState, UpdateStatus,
    },
};

use super::Planner;
use crate::{
    control::{ControlError, convert::DesiredService},
    hash::spec_hash,
    orchestrator::container_name,
};

/// Plans every service, dependencies first.
pub(super) fn plan(
    planner: &mut Planner<'_>,
    networks: &BTreeMap<String, NetworkId>,
    volumes: &BTreeMap<String, VolumeId>,
    files: &BTreeMap<String, String>,
) -> Result<(), ControlError> {
    let mut hashes: BTreeMap<String, String> = BTreeMap::new();
    let mut renewed: Vec<String> = Vec::new();
    let desired = planner.desired;
    for wanted in &desired.services {
        let mut spec = wanted.spec.clone();
        scale(planner, wanted, &mut spec)?;
        spec.task.networks = wanted.networks.iter().filter_map(|key| networks.get(key).cloned()).collect();
        spec.task.volumes = wanted.volumes.iter().filter_map(|key| volumes.get(key).cloned()).collect();
        bind(planner, wanted, &mut spec, files, &hashes);
        let steps = planner.planned.plan.steps.len();
        let service = one(planner, wanted, spec);
        let mine = &mut planner.planned.plan.steps[steps..];
        if mine.iter().any(|step| step.action == PlanAction::Recreate) {
            renewed.push(service.spec.name.clone());
        }
        // The orchestrator sees to it; here it is only told.
        let with =
            |dependency: &&hoist_proto::spec::Dependency| dependency.restart && renewed.contains(&dependency.service);
        if let Some(dependency) = service.spec.depends_on.iter().find(with) {
            let kept = mine.iter_mut().filter(|step| step.action == PlanAction::Keep);
            for step in kept {
                step.action = PlanAction::Restart;
                step.cause = format!("{} is recreated", dependency.service);
            }
        }
        hashes.insert(wanted.key.clone(), service.spec_hash);
    }
    Ok(())
}

fn scale(planner: &Planner<'_>, wanted: &DesiredService, spec: &mut ServiceSpec) -> Result<(), ControlError> {
    let Some(&count) = planner.options.scale.get(&wanted.key) else { return Ok(()) };
    match &mut spec.mode {
        ServiceMode::Replicated { replicas } => *replicas = count,
        ServiceMode::ReplicatedJob { max_concurrent, total_completions } => {
            (*max_concurrent, *total_completions) = (count, count);
        }
        ServiceMode::Global | ServiceMode::GlobalJob => {
            return Err(ControlError::Conflict(format!(
                "service {:?} is global and cannot be scaled: it has one task on every node",
                wanted.key
            )));
        }
    }
    if count > 1 && spec.compose.as_ref().is_some_and(|origin| origin.container_name.is_some()) {
        return Err(ControlError::Conflict(format!(
            "service {:?} has a container_name and cannot be scaled beyond one container",
            wanted.key
        )));
    }
    Ok(())
}

/// Puts in what the service is bound to besides its own definition.
fn bind(
    planner: &Planner<'_>,
    wanted: &DesiredService,
    spec: &mut ServiceSpec,
    files: &BTreeMap<String, String>,
    hashes: &BTreeMap<String, String>,
) {
    let mut bound = Vec::new();
    for file in &mut spec.task.container.files {
        if let FileContent::Stored(reference) = &mut file.content
            && let Some(id) = files.get(reference)
        {
            reference.clone_from(id);
            bound.push(id.clone());
        }
    }
    for other in &wanted.bound_to {
        let there = || {
            let name = crate::control::convert::service_name(&planner.desired.project, other);
            planner.tables.services().named(&name).map(|service| service.spec_hash.clone())
        };
        bound.extend(hashes.get(other).cloned().or_else(there));
    }
    spec.task.bound_to = bound;
    // Other nodes get the very image that is here, whether a registry has it or not.
    let known = planner.known;
    let id = known.images.get(&spec.task.container.image).filter(|id| id.starts_with("sha256:"));
    let many = planner.tables.cluster().is_some_and(|cluster| cluster.pki.is_some());
    spec.task.image = id.zip(known.node.clone()).filter(|_| many).map(|(id, node)| TaskImage { id: id.clone(), node });
    let options = planner.options;
    spec.task.renew_anon_volumes = options.renew_anon_volumes;
    spec.start_alone = options.no_deps;
    spec.stop_timeout = options.timeout;
    if let Some(pull) = options.pull {
        spec.task.container.pull = pull;
    }
    if spec.task.container.pull == PullPolicy::Always {
        // It has been asked for before the plan was made; whoever has no image fetches it once.
        spec.task.container.pull = PullPolicy::Missing;
    }
}

fn one(planner: &mut Planner<'_>, wanted: &DesiredService, mut spec: ServiceSpec) -> Service {
    let there = planner.tables.services().named(&spec.name).cloned();
    let running = !planner.options.no_start;
    let Some(there) = there else {
        spec.lifecycle = if running { Lifecycle::Running } else { Lifecycle::Created };
        let service = Service {
            id: ServiceId::random(),
            meta: Meta::default(),
            spec_hash: spec_hash(&spec),
            spec,
            previous: None,
            update: None,
            virtual_ips: Vec::new(),
            mesh: None,
        };
        for slot in 1..=slots(service.spec.mode) {
            let name = container_name(&service, slot);
            planner.step(PlanAction::Create, ResourceKind::Container, &name, Some(&wanted.key), "the service is new");
        }
        planner.planned.services.push(service.id.clone());
        planner.planned.writes.services.push(service.clone());
        return service;
    };

    let mut service = (*there).clone();
    spec.task.force_update = there.spec.task.force_update;
    spec.lifecycle = match (running, there.spec.lifecycle) {
        (true, _) | (false, Lifecycle::Running) => Lifecycle::Running,
        (false, _) => Lifecycle::Created,
    };
    let tasks = current(planner, &there);
    let cause = recreate_cause(planner, wanted, &there, &mut spec, &tasks);
    if planner.options.no_recreate {
        keep_definition(&mut spec, &there.spec);
    }
    let hash = spec_hash(&spec);
    let changed = hash != there.spec_hash;
    if changed {
        service.previous = Some(Box::new(there.spec.clone()));
        service.update = Some(UpdateStatus {
            state: UpdateState::Updating,
            // The write's own moment is a little later, which is what counts.
            started: there.meta.updated,
            completed: None,
            message: cause.clone().unwrap_or_default(),
        });
    }
    service.spec_hash = hash;
    service.spec = spec;
    let cause = changed.then(|| cause.unwrap_or_else(|| "the definition changed".into()));
    containers(planner, wanted, &service, &tasks, cause.as_deref());
    planner.planned.services.push(service.id.clone());
    if service != *there {
        planner.planned.writes.services.push(service.clone());
    }
    service
}

/// Why the service's containers are made anew, when they are. May count `force_update` up.
fn recreate_cause(
    planner: &Planner<'_>,
    wanted: &DesiredService,
    there: &Service,
    spec: &mut ServiceSpec,
    tasks: &BTreeMap<u32, &Task>,
) -> Option<String> {
    let options = planner.options;
    if options.no_recreate {
        return None;
    }
    let forced = (options.force_recreate && wanted.chosen) || (options.always_recreate_deps && !wanted.chosen);
    if forced {
        spec.task.force_update += 1;
        return Some("recreation was asked for".into());
    }
    let now = &there.spec.task;
    let hash = |spec: &ServiceSpec| spec.compose.as_ref().map(|origin| origin.config_hash.clone());
    if hash(spec) != hash(&there.spec) {
        return Some("the configuration changed".into());
    }
    if spec.task.networks != now.networks {
        return Some("a network changed".into());
    }
    if spec.task.volumes != now.volumes {
        return Some("a volume changed".into());
    }
    if spec.task.bound_to != now.bound_to {
        return Some("a secret, a config or a service that it shares a namespace with changed".into());
    }
    let image = planner.known.images.get(&spec.task.container.image)?;
    let other = tasks.values().filter_map(|task| task.status.image_id.as_ref()).find(|id| *id != image)?;
    spec.task.force_update += 1;
    let short = |id: &str| id.trim_start_matches("sha256:").chars().take(12).collect::<String>();
    Some(format!("the image changed from {} to {}", short(other), short(image)))
}

/// `--no-recreate`: what makes tasks new stays as it is.
fn keep_definition(spec: &mut ServiceSpec, there: &ServiceSpec) {
    spec.task = there.task.clone();
    spec.compose.clone_from(&there.compose);
}

/// The newest task of each slot that is not on its way out.
fn current<'a>(planner: &Planner<'a>, service: &Service) -> BTreeMap<u32, &'a Task> {
    let mut newest: BTreeMap<u32, &Task> = BTreeMap::new();
    for task in planner.tables.tasks_of(&service.id).filter(|task| task.desired != TaskState::Remove) {
        let key = |task: &Task| (task.desired <= TaskState::Running, task.meta.created, task.meta.version);
        let slot = newest.entry(task.slot.max(1)).or_insert(task);
        if key(task) > key(slot) {
            *slot = task;
        }
    }
    newest
}

fn slots(mode: ServiceMode) -> u32 {
    match mode {
        ServiceMode::Replicated { replicas } => replicas,
        ServiceMode::ReplicatedJob { total_completions, .. } => total_completions,
        // As many as there are nodes; a plan for people names the one that every node has.
        ServiceMode::Global | ServiceMode::GlobalJob => 1,
    }
}

/// A step for each container.
fn containers(
    planner: &mut Planner<'_>,
    wanted: &DesiredService,
    service: &Service,
    tasks: &BTreeMap<u32, &Task>,
    recreate: Option<&str>,
) {
    let count = slots(service.spec.mode);
    let key = Some(wanted.key.as_str());
    let running = service.spec.lifecycle == Lifecycle::Running;
    // A job's slot that has completed is done, unless everything is to run anew.
    let job = matches!(service.spec.mode, ServiceMode::ReplicatedJob { .. } | ServiceMode::GlobalJob);
    for slot in 1..=count {
        let name = container_name(service, slot);
        let Some(task) = tasks.get(&slot) else {
            let cause = if tasks.is_empty() { "it does not exist".to_owned() } else { format!("scaled to {count}") };
            planner.step(PlanAction::Create, ResourceKind::Container, &name, key, &cause);
            continue;
        };
        let state = task.status.state;
        if let Some(cause) = recreate {
            planner.step(PlanAction::Recreate, ResourceKind::Container, &name, key, cause);
        } else if running && job && state == TaskState::Complete {
            planner.step(PlanAction::Keep, ResourceKind::Container, &name, key, "it has completed");
        } else if running && state.is_final() {
            let cause = match task.status.exit_code {
                Some(code) if state != TaskState::Shutdown => format!("it exited ({code})"),
                _ => "it is stopped".to_owned(),
            };
            planner.step(PlanAction::Start, ResourceKind::Container, &name, key, &cause);
            if task.desired <= TaskState::Running {
                planner.planned.writes.end.push(task.id.clone());
            }
        } else if running && task.desired < TaskState::Running {
            planner.step(PlanAction::Start, ResourceKind::Container, &name, key, "it is created and not started");
        } else {
            planner.step(PlanAction::Keep, ResourceKind::Container, &name, key, "it is up to date");
        }
    }
    let surplus: Vec<String> =
        tasks.iter().filter(|(slot, _)| **slot > count).map(|(_, task)| task.name.clone()).collect();
    for name in surplus {
        planner.step(PlanAction::Remove, ResourceKind::Container, &name, key, &format!("scaled to {count}"));
    }
}
