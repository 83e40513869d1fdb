//! What a pass decides to do.

use std::{fmt, sync::Arc};

use hoist_proto::{
    clock::Timestamp,
    id::{ConfigId, NetworkId, SecretId, ServiceId, TaskId, VolumeId},
    spec::{ClusterNetwork, ClusterVolume, Config, Secret, Service, Task, TaskState},
};
use hoist_store::{StoreError, Tx};

/// One write, with its cause.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    Create { task: Box<Task>, cause: String },
    Desire { task: TaskId, name: String, desired: TaskState, cause: String },
    Start { task: TaskId, name: String, with: std::collections::BTreeMap<String, String> },
    Forget { task: TaskId, name: String, cause: String },
    Service { service: Box<Service>, cause: String },
    RemoveService { service: ServiceId, name: String },
    RemoveNetwork { network: NetworkId, name: String },
    RemoveVolume { volume: VolumeId, name: String },
    RemoveSecret { secret: SecretId, name: String },
    RemoveConfig { config: ConfigId, name: String },
}

/// All that a pass decides, and when to look again though nothing may have happened.
#[derive(Debug, Default)]
pub(crate) struct Decision {
    pub(crate) steps: Vec<Step>,
    pub(crate) wake: Option<Timestamp>,
}

impl Decision {
    pub(crate) fn wake_at(&mut self, at: Timestamp) {
        self.wake = Some(self.wake.map_or(at, |earlier| earlier.min(at)));
    }

    pub(crate) fn desire(&mut self, task: &Task, desired: TaskState, cause: impl Into<String>) {
        self.steps.push(Step::Desire { task: task.id.clone(), name: name(task), desired, cause: cause.into() });
    }

    pub(crate) fn forget(&mut self, task: &Task, cause: impl Into<String>) {
        self.steps.push(Step::Forget { task: task.id.clone(), name: name(task), cause: cause.into() });
    }
}

/// A task as people call it.
pub(crate) fn name(task: &Task) -> String {
    format!("{}.{}", task.service_name, task.slot)
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create { task, cause } => {
                write!(f, "create {} desired {} ({cause})", name(task), task.desired)?;
                if let Some(at) = task.start_after {
                    write!(f, " not before {at}")?;
                }
                Ok(())
            }
            Self::Desire { name, desired, cause, .. } => write!(f, "{name} is to be {desired} ({cause})"),
            Self::Start { name, .. } => write!(f, "{name} is to be running (nothing to wait for)"),
            Self::Forget { name, cause, .. } => write!(f, "forget {name} ({cause})"),
            Self::Service { service, cause } => write!(f, "write service {} ({cause})", service.spec.name),
            Self::RemoveService { name, .. } => write!(f, "remove service {name}"),
            Self::RemoveNetwork { name, .. } => write!(f, "remove network {name}"),
            Self::RemoveVolume { name, .. } => write!(f, "remove volume {name}"),
            Self::RemoveSecret { name, .. } => write!(f, "remove secret {name}"),
            Self::RemoveConfig { name, .. } => write!(f, "remove config {name}"),
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            writeln!(f, "{step}")?;
        }
        match self.wake {
            Some(at) => writeln!(f, "look again at {at}"),
            None => Ok(()),
        }
    }
}

impl Step {
    /// Carries it out.
    pub(crate) fn write(self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        match self {
            Self::Create { task, .. } => tx.put(*task),
            Self::Desire { task, desired, .. } => {
                let Some(service) = tx.get::<Task>(&task).map(|task| task.service.clone()) else { return Ok(()) };
                let wish = tx.get::<Service>(&service).map(|s| (s.spec.stop_timeout, s.spec.remove_volumes));
                tx.modify::<Task>(&task, |task| {
                    task.desired = desired;
                    if let Some((timeout, volumes)) = wish
                        && (task.spec.stop_timeout, task.spec.remove_volumes) != (timeout, volumes)
                    {
                        let spec = Arc::make_mut(&mut task.spec);
                        spec.stop_timeout = timeout;
                        spec.remove_volumes = volumes;
                    }
                })
            }
            Self::Start { task, with, .. } => tx.modify::<Task>(&task, |task| {
                task.desired = TaskState::Running;
                task.started_with = with;
            }),
            Self::Forget { task, .. } => tx.remove::<Task>(&task),
            Self::Service { service, .. } => tx.put(*service),
            Self::RemoveService { service, .. } => tx.remove::<Service>(&service),
            Self::RemoveNetwork { network, .. } => tx.remove::<ClusterNetwork>(&network),
            Self::RemoveVolume { volume, .. } => tx.remove::<ClusterVolume>(&volume),
            Self::RemoveSecret { secret, .. } => tx.remove::<Secret>(&secret),
            Self::RemoveConfig { config, .. } => tx.remove::<Config>(&config),
        }
    }
}
