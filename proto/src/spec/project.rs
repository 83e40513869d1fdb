//! What clients ask of a compose project, and what they are told while it happens.
//!
//! These are the bodies and the event lines of `/hoist/v1/projects`. The project itself travels as
//! the canonical JSON of `hoist compose config`.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::{ClusterNetwork, ClusterVolume, Health, PublishedPort, PullPolicy, Service, Task, TaskState};
use crate::id::NodeId;

/// The body of `plan`, `up` and `create`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct UpRequest {
    /// The compose project, canonical JSON.
    pub project: serde_json::Value,
    #[serde(default)]
    pub options: UpOptions,
    /// What registries ask for, by the image that a service names: values of Docker's `X-Registry-Auth` header. Used
    /// for this request's pulls and kept nowhere.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub credentials: BTreeMap<String, String>,
    /// The manager that passed the request on, where what is to be built was built. Set by who receives it.
    #[serde(skip)]
    pub passed_by: Option<NodeId>,
}

/// How `up` goes about it. Every field has the meaning of Compose's flag of that name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UpOptions {
    /// Services to bring up, with what they depend on; empty is all.
    pub services: Vec<String>,
    pub no_deps: bool,
    pub force_recreate: bool,
    pub no_recreate: bool,
    pub always_recreate_deps: bool,
    pub renew_anon_volumes: bool,
    pub remove_orphans: bool,
    /// Number of tasks by service, over what the file says.
    pub scale: BTreeMap<String, u32>,
    /// Over every service's `pull_policy`.
    pub pull: Option<PullPolicy>,
    /// Ends only when every service is running and healthy (or has ended well).
    pub wait: bool,
    /// How long `wait` waits.
    #[serde(with = "seconds")]
    pub wait_timeout: Option<Duration>,
    /// Over every service's `stop_grace_period`, for containers that are stopped on the way.
    #[serde(with = "seconds")]
    pub timeout: Option<Duration>,
    /// Makes containers and starts none (`create`, `up --no-start`).
    pub no_start: bool,
    /// Nodes pull with the request's credentials, which are kept with the services.
    pub with_registry_auth: bool,
    /// For a plan: images that will have been built by then.
    pub to_be_built: Vec<String>,
}

/// The body of `down`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DownOptions {
    /// Only these services (their networks and volumes stay).
    pub services: Vec<String>,
    /// Named volumes of the project go too.
    pub volumes: bool,
    /// Services that run and that the file no longer names go too. Meaningful when `known` is given.
    pub remove_orphans: bool,
    /// The services that the file names; `None` when there was no file, and then all are the project's.
    pub known: Option<Vec<String>>,
    pub images: Option<ImageRemoval>,
    #[serde(with = "seconds")]
    pub timeout: Option<Duration>,
}

/// Which images `down --rmi` removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageRemoval {
    /// Every image that a service uses.
    All,
    /// Those without a name of their own (built here).
    Local,
}

/// The body of `stop`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StopOptions {
    /// Empty is all.
    pub services: Vec<String>,
    #[serde(with = "seconds")]
    pub timeout: Option<Duration>,
}

/// The body of `start`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StartOptions {
    /// Empty is all.
    pub services: Vec<String>,
    pub wait: bool,
    #[serde(with = "seconds")]
    pub wait_timeout: Option<Duration>,
}

/// The body of `scale`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScaleOptions {
    pub scale: BTreeMap<String, u32>,
}

/// The body of `rm`: removes stopped containers of services.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RmOptions {
    /// Empty is all.
    pub services: Vec<String>,
    /// Stops running ones first.
    pub stop: bool,
    /// Anonymous volumes go too.
    pub volumes: bool,
    #[serde(with = "seconds")]
    pub timeout: Option<Duration>,
}

/// What `up` would do, step by step, each with its cause.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Plan {
    pub project: String,
    pub steps: Vec<PlanStep>,
    pub warnings: Vec<String>,
}

/// One thing that is done to one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanStep {
    pub action: PlanAction,
    pub resource: ResourceKind,
    /// The object's own name: a container's, a network's, a volume's.
    pub name: String,
    /// The service it is done for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Why, for people.
    pub cause: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlanAction {
    Create,
    Recreate,
    /// Stopped and started again as it is.
    Restart,
    Start,
    Stop,
    Remove,
    Update,
    /// Nothing is done.
    Keep,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResourceKind {
    Container,
    Network,
    Volume,
    Secret,
    Config,
    Image,
    Service,
}

impl fmt::Display for PlanAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Create => "create",
            Self::Recreate => "recreate",
            Self::Restart => "restart",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Remove => "remove",
            Self::Update => "update",
            Self::Keep => "keep",
        })
    }
}

impl fmt::Display for ResourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Container => "container",
            Self::Network => "network",
            Self::Volume => "volume",
            Self::Secret => "secret",
            Self::Config => "config",
            Self::Image => "image",
            Self::Service => "service",
        })
    }
}

impl fmt::Display for Plan {
    /// One line a step: `recreate  container demo-web-1  (configuration changed)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.steps.iter().map(|step| step.name.len()).max().unwrap_or(0);
        for step in &self.steps {
            writeln!(f, "{:<8} {:<9} {:<width$}  ({})", step.action, step.resource, step.name, step.cause)?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        Ok(())
    }
}

impl Plan {
    /// Whether carrying it out would change nothing.
    pub fn is_empty(&self) -> bool {
        self.steps.iter().all(|step| step.action == PlanAction::Keep)
    }
}

/// One line of the stream that `up`, `down`, `stop`, `start`, `scale`, `rm` and `create` answer with.
///
/// The last line is always `done` or `error`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum ProjectEvent {
    /// What will be done.
    Plan {
        steps: Vec<PlanStep>,
    },
    Warning {
        message: String,
    },
    /// An image is fetched; `layer` is `None` for the image as a whole.
    Pull {
        image: String,
        #[serde(default)]
        layer: Option<String>,
        phase: String,
        #[serde(default)]
        current: u64,
        #[serde(default)]
        total: Option<u64>,
    },
    /// A network or volume changed: `resource` is `Network demo_default`, `state` is one of
    /// `Creating`, `Created`, `Removing`, `Removed`, `Kept`, `Error`.
    Resource {
        resource: String,
        state: String,
        #[serde(default)]
        error: Option<String>,
    },
    /// A task changed.
    Task {
        service: String,
        /// The container's name.
        name: String,
        task: String,
        state: TaskState,
        health: Health,
        message: String,
        #[serde(default)]
        error: Option<String>,
        #[serde(default)]
        exit_code: Option<i32>,
        /// What the manager wants of it: tells `stopping` from `running`.
        desired: TaskState,
        #[serde(default)]
        container_id: Option<String>,
        /// What became of the container, in Compose's words: `Creating`, `Created`, `Starting`,
        /// `Started`, `Running`, `Waiting`, `Healthy`, `Restarting`, `Exited`, `Stopping`, `Stopped`,
        /// `Removing`, `Removed`, `Recreate`, `Error`.
        label: String,
    },
    /// Everything asked for is up; where it can be reached.
    Ready {
        services: Vec<ServiceReady>,
    },
    Done,
    Error {
        message: String,
        exit_code: i32,
    },
}

/// Where a service that came up can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceReady {
    pub name: String,
    pub tasks: u32,
    pub ports: Vec<PublishedPort>,
}

/// A line of `GET /hoist/v1/projects`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProjectSummary {
    pub name: String,
    /// How many tasks are in each state, in Docker's words: `running`, `exited`, `created`.
    pub states: BTreeMap<String, u32>,
    pub working_dir: String,
    pub config_files: Vec<String>,
}

impl ProjectSummary {
    /// The status as `compose ls` shows it: `exited(1), running(2)`.
    pub fn status(&self) -> String {
        let parts: Vec<String> = self.states.iter().map(|(state, count)| format!("{state}({count})")).collect();
        parts.join(", ")
    }
}

/// The answer of `GET /hoist/v1/projects/{name}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProjectDetail {
    pub summary: ProjectSummary,
    pub services: Vec<Service>,
    pub tasks: Vec<Task>,
    pub networks: Vec<ClusterNetwork>,
    pub volumes: Vec<ClusterVolume>,
}

/// Whole and fractional seconds as a JSON number; `null` is not given.
mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(value: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(duration) => serializer.serialize_f64(duration.as_secs_f64()),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        let seconds = Option::<f64>::deserialize(deserializer)?;
        seconds.map(|s| Duration::try_from_secs_f64(s).map_err(D::Error::custom)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_prints_a_line_for_each_step() {
        let plan = Plan {
            project: "demo".into(),
            steps: vec![
                PlanStep {
                    action: PlanAction::Create,
                    resource: ResourceKind::Network,
                    name: "demo_default".into(),
                    service: None,
                    cause: "missing".into(),
                },
                PlanStep {
                    action: PlanAction::Recreate,
                    resource: ResourceKind::Container,
                    name: "demo-web-1".into(),
                    service: Some("web".into()),
                    cause: "configuration changed".into(),
                },
            ],
            warnings: vec!["found orphans".into()],
        };
        assert_eq!(
            plan.to_string(),
            "create   network   demo_default  (missing)\n\
             recreate container demo-web-1    (configuration changed)\n\
             warning: found orphans\n"
        );
    }

    #[test]
    fn options_have_defaults_and_seconds() {
        let options: UpOptions = serde_json::from_str(r#"{"timeout": 1.5, "scale": {"web": 3}}"#).unwrap();
        assert_eq!(options.timeout, Some(Duration::from_millis(1500)));
        assert_eq!(options.scale["web"], 3);
        assert_eq!(options.wait_timeout, None);
        let event = serde_json::to_string(&ProjectEvent::Done).unwrap();
        assert_eq!(event, r#"{"kind":"done"}"#);
    }
}
