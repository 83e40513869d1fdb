//! `hoist compose events`: what happens to the project's containers, as it happens.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    args::{EventsArgs, ProjectArgs},
    containers::{Container, PRE_START_OF, PROJECT, SERVICE},
    project,
};
use crate::cli::{Context, Exit, Outcome, client::JsonLines, failure::Failure, format::time};

/// One of the engine's events.
#[derive(Debug, Clone, Deserialize)]
pub struct EngineEvent {
    #[serde(rename = "Type")]
    pub kind: String,
    #[serde(rename = "Action")]
    pub action: String,
    #[serde(rename = "Actor")]
    pub actor: Actor,
    #[serde(rename = "timeNano", default)]
    pub time_nano: i64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Actor {
    #[serde(rename = "ID")]
    pub id: String,
    #[serde(rename = "Attributes", default)]
    pub attributes: BTreeMap<String, String>,
}

impl EngineEvent {
    pub fn service(&self) -> &str {
        self.actor.attributes.get(SERVICE).map_or("", String::as_str)
    }

    /// Whether it is of a step of `pre_start`, which is to end.
    pub fn is_preparation(&self) -> bool {
        self.actor.attributes.contains_key(PRE_START_OF)
    }

    pub fn exit_code(&self) -> Option<i64> {
        self.actor.attributes.get("exitCode").and_then(|text| text.parse().ok())
    }

    pub fn time(&self) -> Timestamp {
        Timestamp::from_nanosecond(i128::from(self.time_nano)).unwrap_or_default()
    }

    /// When it happened, as the API takes it back.
    pub fn moment(&self) -> String {
        stamp(self.time())
    }

    /// The container it is about, as far as the event tells.
    pub fn container(&self) -> Container {
        Container {
            id: self.actor.id.clone(),
            names: self.actor.attributes.get("name").cloned().into_iter().collect(),
            image: self.actor.attributes.get("image").cloned().unwrap_or_default(),
            image_id: String::new(),
            command: String::new(),
            created: 0,
            state: String::new(),
            status: String::new(),
            labels: self.actor.attributes.clone(),
            ports: Vec::new(),
            mounts: Vec::new(),
        }
    }
}

/// A moment as the API takes it: seconds since the epoch with nine decimals.
pub fn stamp(moment: Timestamp) -> String {
    format!("{}.{:09}", moment.as_second(), moment.subsec_nanosecond())
}

/// The stream of events of a project's containers; without bounds it begins now and has no end.
pub async fn subscribe(
    context: &Context,
    project: &str,
    since: Option<String>,
    until: Option<String>,
) -> Result<JsonLines, Failure> {
    let filters = serde_json::json!({ "type": ["container"], "label": [format!("{PROJECT}={project}")] }).to_string();
    Ok(context
        .client
        .get("/events")
        .query("filters", filters)
        .query_opt("since", since)
        .query_opt("until", until)
        .lines()
        .await?)
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    #[serde(rename = "type")]
    kind: &'a str,
    action: &'a str,
    id: &'a str,
    service: &'a str,
    attributes: BTreeMap<&'a str, &'a str>,
}

pub async fn run(context: &Context, args: &ProjectArgs, flags: &EventsArgs) -> Outcome {
    let known = project::known(context, args)?;
    known.check_services(context, &flags.services).await?;
    let bound = |flag, text: &Option<String>| text.as_deref().map(|text| time::parse(flag, text)).transpose();
    let mut lines =
        subscribe(context, &known.name, bound("since", &flags.since)?, bound("until", &flags.until)?).await?;
    while let Some(event) = lines.next::<EngineEvent>().await? {
        if !flags.services.is_empty() && !flags.services.iter().any(|service| service == event.service()) {
            continue;
        }
        let attributes = event
            .actor
            .attributes
            .iter()
            .filter(|(key, _)| !key.starts_with("com.docker.compose."))
            .map(|(key, value)| (key.as_str(), value.as_str()));
        if flags.json {
            let line = Line {
                time: event.time().to_string(),
                kind: &event.kind,
                action: &event.action,
                id: &event.actor.id,
                service: event.service(),
                attributes: attributes.collect(),
            };
            context.printer.line(serde_json::to_string(&line)?)?;
        } else {
            let attributes: Vec<String> = attributes.map(|(key, value)| format!("{key}={value}")).collect();
            context.printer.line(format!(
                "{} {} {} {} ({})",
                event.time().strftime("%Y-%m-%d %H:%M:%S%.6f"),
                event.kind,
                event.action,
                event.actor.id,
                attributes.join(", "),
            ))?;
        }
    }
    Ok(Exit::OK)
}
