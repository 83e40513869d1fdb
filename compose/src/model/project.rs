use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::print;
use super::{Config, Extensions, Map, Model, Network, Secret, Service, Volume};

/// A compose file's worth of services and what they use, loaded and checked.
///
/// Serde writes and reads all of it: what `config` prints and also the fields
/// that only a deployer needs. [`Project::to_yaml`] and [`Project::to_json`]
/// give the canonical form alone, without the values of secrets.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Project {
    /// The project's name; resources are named after it.
    pub name: String,
    /// The services that are enabled.
    #[serde(default, deserialize_with = "named")]
    pub services: Map<Service>,
    /// Networks that services join; the implicit `default` among them.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub networks: Map<Network>,
    /// Named volumes.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub volumes: Map<Volume>,
    /// Secrets.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub secrets: Map<Secret>,
    /// Configs.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub configs: Map<Config>,
    /// AI models.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub models: Map<Model>,
    /// The directory that relative paths start from, absolute.
    #[serde(default, skip_serializing_if = "is_empty_path")]
    pub working_dir: PathBuf,
    /// The files that were named or found, in order, absolute.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub compose_files: Vec<PathBuf>,
    /// The variables that interpolation and `environment` resolve from. It
    /// stays with whoever loaded the project: it may hold anything.
    #[serde(skip)]
    pub environment: Map<String>,
    /// The profiles that are active.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub active_profiles: Vec<String>,
    /// Services that no active profile enables.
    #[serde(default, deserialize_with = "named", skip_serializing_if = "Map::is_empty")]
    pub disabled_services: Map<Service>,
    /// Keys that begin with `x-`.
    #[serde(flatten)]
    pub extensions: Extensions,
}

fn is_empty_path(path: &PathBuf) -> bool {
    *path == PathBuf::new()
}

fn named<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Map<Service>, D::Error> {
    let mut services = Map::<Service>::deserialize(deserializer)?;
    for (name, service) in &mut services {
        service.name.clone_from(name);
    }
    Ok(services)
}

impl Project {
    /// The canonical form as YAML, as `config` prints it: dollar signs are
    /// doubled, so that it loads as what it was printed from.
    pub fn to_yaml(&self) -> String {
        print::to_yaml(&self.canonical(false))
    }

    /// The canonical form as indented JSON, as `config --format json` prints
    /// it; dollar signs as in [`Project::to_yaml`].
    pub fn to_json(&self) -> String {
        let mut text = format!("{:#}", self.canonical(true));
        text.push('\n');
        text
    }

    /// The canonical form. In JSON, Compose prints the top-level keys by name,
    /// and a few keys also where they are unset.
    fn canonical(&self, json: bool) -> Value {
        let mut printed = self.clone();
        printed.working_dir = PathBuf::new();
        printed.compose_files.clear();
        printed.active_profiles.clear();
        printed.disabled_services.clear();
        for secret in printed.secrets.values_mut() {
            secret.content = None;
        }
        for config in printed.configs.values_mut().filter(|c| c.environment.is_some()) {
            config.content = None;
        }
        let mut value = serde_json::to_value(&printed).expect("the model has only string keys");
        if json {
            for service in members(&mut value, "services") {
                service.entry("command").or_insert(Value::Null);
                service.entry("entrypoint").or_insert(Value::Null);
                if let Some(Value::Object(deploy)) = service.get_mut("deploy") {
                    deploy.entry("resources").or_insert_with(|| Value::Object(Default::default()));
                    deploy.entry("placement").or_insert_with(|| Value::Object(Default::default()));
                }
            }
            for network in members(&mut value, "networks") {
                network.entry("ipam").or_insert_with(|| Value::Object(Default::default()));
            }
            if let Value::Object(top) = &mut value {
                top.sort_keys();
            }
        }
        double_dollars(&mut value);
        value
    }

    /// A stable SHA-256, in hexadecimal, of what a service's containers are
    /// made of. Two services of equal hash need no new containers; how many
    /// there are, when they start and how the image comes are not part of it.
    pub fn config_hash(&self, service: &Service) -> String {
        let mut hashed = service.clone();
        hashed.build = None;
        hashed.pull_policy = None;
        hashed.pull_refresh_after = None;
        hashed.scale = None;
        hashed.depends_on.clear();
        hashed.profiles.clear();
        hashed.develop = None;
        if let Some(deploy) = &mut hashed.deploy {
            deploy.replicas = None;
        }
        if hashed.deploy.as_ref().is_some_and(|d| *d == Default::default()) {
            hashed.deploy = None;
        }
        let text = serde_json::to_vec(&hashed).expect("the model has only string keys");
        Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The image that a service runs: its own, or the name given to what it builds.
    pub fn image_of(&self, service: &Service) -> String {
        match &service.image {
            Some(image) => image.clone(),
            None => format!("{}-{}", self.name, service.name),
        }
    }

    /// The name of a service's container of that number (from 1).
    pub fn container_name(&self, service: &Service, number: u64) -> String {
        match &service.container_name {
            Some(name) => name.clone(),
            None => format!("{}-{}-{number}", self.name, service.name),
        }
    }
}

/// Doubles the dollar signs of every text; keys are never interpolated.
fn double_dollars(value: &mut Value) {
    match value {
        Value::String(text) if text.contains('$') => *text = text.replace('$', "$$"),
        Value::Array(items) => items.iter_mut().for_each(double_dollars),
        Value::Object(map) => map.values_mut().for_each(double_dollars),
        _ => {}
    }
}

/// The mappings of a section.
fn members<'a>(
    value: &'a mut Value,
    section: &str,
) -> impl Iterator<Item = &'a mut serde_json::Map<String, Value>> + use<'a> {
    let section = value.get_mut(section).and_then(Value::as_object_mut);
    section.into_iter().flat_map(|members| members.values_mut()).filter_map(Value::as_object_mut)
}
