//! A target: attributes by name, checked when they are read.

use indexmap::IndexMap;
use serde_json::Value;

use crate::cli::{failure::Failure, suggest};

/// How an attribute is laid over another's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Flag,
    /// Takes the other's place.
    List,
    /// Comes behind the other's.
    Growing,
    /// Key by key.
    Map,
}

/// The attributes that there are.
const ATTRIBUTES: [(&str, Kind); 28] = [
    ("description", Kind::Text),
    ("inherits", Kind::List),
    ("context", Kind::Text),
    ("contexts", Kind::Map),
    ("dockerfile", Kind::Text),
    ("dockerfile-inline", Kind::Text),
    ("args", Kind::Map),
    ("labels", Kind::Map),
    ("annotations", Kind::Growing),
    ("tags", Kind::List),
    ("target", Kind::Text),
    ("platforms", Kind::List),
    ("cache-from", Kind::Growing),
    ("cache-to", Kind::List),
    ("output", Kind::List),
    ("secret", Kind::Growing),
    ("ssh", Kind::Growing),
    ("attest", Kind::Growing),
    ("entitlements", Kind::Growing),
    ("no-cache", Kind::Flag),
    ("no-cache-filter", Kind::List),
    ("pull", Kind::Flag),
    ("network", Kind::Text),
    ("shm-size", Kind::Text),
    ("ulimits", Kind::List),
    ("extra-hosts", Kind::Map),
    ("call", Kind::Text),
    ("cgroup-parent", Kind::Text),
];

/// Other spellings.
const ALIASES: [(&str, &str); 9] = [
    ("platform", "platforms"),
    ("tag", "tags"),
    ("outputs", "output"),
    ("secrets", "secret"),
    ("no_cache", "no-cache"),
    ("cache_from", "cache-from"),
    ("cache_to", "cache-to"),
    ("dockerfile_inline", "dockerfile-inline"),
    ("build-arg", "args"),
];

/// A target's attributes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Target {
    pub attributes: IndexMap<String, Value>,
}

/// The name that an attribute goes by, and its kind.
///
/// # Errors
/// One that there is not.
pub fn attribute(name: &str) -> Result<(&'static str, Kind), Failure> {
    let plain = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, plain)| plain);
    ATTRIBUTES.iter().find(|(known, _)| *known == plain).copied().ok_or_else(|| {
        let near = suggest::nearest(name, ATTRIBUTES.iter().map(|(known, _)| *known));
        let hint = near.first().map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        Failure::usage(format!("a target has no attribute {name:?}{hint}"))
    })
}

impl Target {
    /// Sets an attribute of the file.
    ///
    /// # Errors
    /// An unknown one, and a value of another kind.
    pub fn set(&mut self, name: &str, value: Value) -> Result<(), Failure> {
        let (name, kind) = attribute(name)?;
        if value.is_null() {
            return Ok(());
        }
        let fits = matches!(
            (kind, &value),
            (Kind::Text, Value::String(_) | Value::Number(_) | Value::Bool(_))
                | (Kind::Flag, Value::Bool(_))
                | (Kind::List | Kind::Growing, Value::Array(_))
                | (Kind::Map, Value::Object(_))
        );
        if !fits {
            let wanted = match kind {
                Kind::Text => "text",
                Kind::Flag => "true or false",
                Kind::List | Kind::Growing => "a list",
                Kind::Map => "an object",
            };
            return Err(Failure::usage(format!("{name} is {wanted}, not {}", super::eval::shown(&value))));
        }
        self.attributes.insert(name.to_owned(), value);
        Ok(())
    }

    /// This one with another laid over it.
    pub fn under(&self, over: &Target) -> Target {
        let mut whole = self.clone();
        for (name, value) in &over.attributes {
            let kind = attribute(name).map_or(Kind::List, |(_, kind)| kind);
            match (kind, whole.attributes.get_mut(name), value) {
                (Kind::Map, Some(Value::Object(below)), Value::Object(above)) => below.extend(above.clone()),
                (Kind::Growing, Some(Value::Array(below)), Value::Array(above)) => {
                    let new: Vec<Value> = above.iter().filter(|item| !below.contains(item)).cloned().collect();
                    below.extend(new);
                }
                _ => drop(whole.attributes.insert(name.clone(), value.clone())),
            }
        }
        whole
    }

    /// A list of texts.
    pub fn list(&self, name: &str) -> Vec<String> {
        let items = self.attributes.get(name).and_then(Value::as_array);
        items.into_iter().flatten().filter_map(entry).collect()
    }

    pub fn text(&self, name: &str) -> Option<String> {
        self.attributes.get(name).and_then(|value| super::eval::text(value).ok())
    }

    /// The targets that it builds on.
    pub fn bases(&self) -> Vec<String> {
        let places = self.pairs("contexts").into_iter().filter_map(|(_, place)| place);
        places.filter_map(|place| place.strip_prefix("target:").map(str::to_owned)).collect()
    }

    pub fn flag(&self, name: &str) -> bool {
        self.attributes.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    /// An object's pairs; `None` for a value that is null.
    pub fn pairs(&self, name: &str) -> Vec<(String, Option<String>)> {
        let map = self.attributes.get(name).and_then(Value::as_object);
        map.into_iter().flatten().map(|(key, value)| (key.clone(), super::eval::text(value).ok())).collect()
    }
}

/// `key=value,…` may be written as an object.
fn entry(value: &Value) -> Option<String> {
    match value {
        Value::Object(map) => {
            let parts = map.iter().filter_map(|(key, value)| Some(format!("{key}={}", super::eval::text(value).ok()?)));
            Some(parts.collect::<Vec<_>>().join(","))
        }
        other => super::eval::text(other).ok().filter(|text| !text.is_empty()),
    }
}
