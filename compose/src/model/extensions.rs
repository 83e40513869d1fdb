use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::Map;

/// The keys that begin with `x-`, kept as they are written (11-extension.md).
/// Reading any other key into it is an error, so that a model that comes as
/// JSON cannot carry keys that nobody looks at.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Extensions(pub Map<Value>);

impl Extensions {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The extension of that name, with its `x-`.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }
}

impl<'de> Deserialize<'de> for Extensions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = Map::<Value>::deserialize(deserializer)?;
        match map.keys().find(|key| !key.starts_with("x-")) {
            Some(key) => Err(serde::de::Error::custom(format_args!("unknown key \"{key}\""))),
            None => Ok(Extensions(map)),
        }
    }
}
