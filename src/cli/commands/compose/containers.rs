//! The containers of a project, found by the labels that Compose gives them.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::cli::{Context, failure::Failure};

pub const PROJECT: &str = "com.docker.compose.project";
pub const SERVICE: &str = "com.docker.compose.service";
/// On the containers of `pre_start`: the service that they prepare.
pub const PRE_START_OF: &str = "hoist.pre_start.of";
pub const NUMBER: &str = "com.docker.compose.container-number";
pub const ONE_OFF: &str = "com.docker.compose.oneoff";

/// A line of the engine's list of containers.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Container {
    pub id: String,
    #[serde(default)]
    pub names: Vec<String>,
    #[serde(default)]
    pub image: String,
    #[serde(rename = "ImageID", default)]
    pub image_id: String,
    #[serde(default)]
    pub command: String,
    /// Seconds since the epoch.
    #[serde(default)]
    pub created: i64,
    #[serde(default)]
    pub state: String,
    #[serde(default)]
    pub status: String,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    pub ports: Vec<Port>,
    #[serde(default)]
    pub mounts: Vec<MountPoint>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Port {
    #[serde(rename = "IP", default)]
    pub ip: Option<String>,
    pub private_port: u16,
    #[serde(default)]
    pub public_port: Option<u16>,
    #[serde(rename = "Type", default)]
    pub protocol: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct MountPoint {
    #[serde(default)]
    pub name: Option<String>,
}

impl Container {
    /// Without the slash that the API puts before it.
    pub fn name(&self) -> &str {
        self.names.first().map_or(self.id.as_str(), |name| name.trim_start_matches('/'))
    }

    pub fn service(&self) -> &str {
        self.labels.get(SERVICE).map_or("", String::as_str)
    }

    /// 1 upward within the service.
    pub fn number(&self) -> u32 {
        self.labels.get(NUMBER).and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    pub fn is_one_off(&self) -> bool {
        self.labels.get(ONE_OFF).is_some_and(|text| text.eq_ignore_ascii_case("true"))
    }

    pub fn is_running(&self) -> bool {
        matches!(self.state.as_str(), "running" | "paused" | "restarting")
    }

    /// The code of a container that has ended, out of `Exited (3) 2 minutes ago`.
    pub fn exit_code(&self) -> Option<i64> {
        self.status.strip_prefix("Exited (")?.split(')').next()?.parse().ok()
    }

    /// The name as logs show it: without the project.
    pub fn log_name(&self, project: &str) -> String {
        let name = self.name();
        name.strip_prefix(project).and_then(|rest| rest.strip_prefix('-')).unwrap_or(name).to_owned()
    }
}

/// Which of a project's containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Those that run, without one-off ones.
    Running,
    /// All without one-off ones.
    All,
    /// Those of `run` as well.
    WithOneOff,
}

/// The project's containers, in the order of services and numbers. No service names all of them.
pub async fn list(
    context: &Context,
    project: &str,
    services: &[String],
    which: Which,
) -> Result<Vec<Container>, Failure> {
    let filters = serde_json::json!({ "label": [format!("{PROJECT}={project}")] }).to_string();
    let mut found: Vec<Container> = context
        .client
        .get("/containers/json")
        .flag("all", which != Which::Running)
        .query("filters", filters)
        .read()
        .await?;
    found.retain(|container| {
        (services.is_empty() || services.iter().any(|service| service == container.service()))
            && (which == Which::WithOneOff || !container.is_one_off())
    });
    found.sort_by(|a, b| (a.service(), a.number(), a.name()).cmp(&(b.service(), b.number(), b.name())));
    Ok(found)
}

/// The running container of a service that `exec` and its like mean.
///
/// # Errors
/// When the service has none, or none of that number.
pub async fn one(
    context: &Context,
    project: &str,
    service: &str,
    index: Option<u32>,
    which: Which,
) -> Result<Container, Failure> {
    let services = [service.to_owned()];
    let found = list(context, project, &services, which).await?;
    let wanted = |container: &&Container| index.is_none_or(|index| index == 0 || container.number() == index);
    if let Some(container) = found.iter().find(wanted) {
        return Ok(container.clone());
    }
    let state = if which == Which::Running { "is not running" } else { "has no container" };
    Err(match index.filter(|_| !found.is_empty()) {
        Some(index) => {
            let numbers: Vec<String> = found.iter().map(|container| container.number().to_string()).collect();
            Failure::new(format!("service {service:?} {state} #{index}")).hint(format!("it has {}", numbers.join(", ")))
        }
        None => Failure::new(format!("service {service:?} {state}"))
            .hint(format!("start it with: hoist compose up -d {service}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(json: serde_json::Value) -> Container {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn labels_tell_service_and_number() {
        let web = container(serde_json::json!({
            "Id": "abc", "Names": ["/demo-web-2"], "State": "exited", "Status": "Exited (3) 2 minutes ago",
            "Labels": {SERVICE: "web", NUMBER: "2", ONE_OFF: "False"},
        }));
        assert_eq!((web.name(), web.service(), web.number()), ("demo-web-2", "web", 2));
        assert_eq!(web.exit_code(), Some(3));
        assert_eq!(web.log_name("demo"), "web-2");
        assert!(!web.is_one_off() && !web.is_running());
    }
}
