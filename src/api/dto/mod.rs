//! The JSON shapes of the Docker Engine API, one file a resource.
//!
//! They are written by hand after the API's description: where Docker writes `null`, `[]` or leaves
//! a field out, so do they. Fields that only some versions have are options that a handler fills or empties.

pub mod build;
pub mod build_output;
pub mod config;
pub mod container;
pub mod endpoint;
pub mod exec;
pub mod file;
pub mod host_config;
pub mod image;
pub mod mount;
pub mod network;
pub mod service;
pub mod stats;
pub mod swarm;
pub mod system;
pub mod task;
pub mod volume;

use serde::{Deserialize, Deserializer, Serialize};

/// `{}`: the value of maps that are sets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// A list of words, or one word: both are written for `Cmd`, `Entrypoint` and `Shell`.
pub fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a string or a list of strings")]
    enum Words {
        One(String),
        Many(Vec<String>),
    }
    Ok(Option::<Words>::deserialize(deserializer)?.map(|words| match words {
        Words::One(word) => vec![word],
        Words::Many(words) => words,
    }))
}

/// Whether a flag is off, for fields left out when they are.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
pub fn is_false(flag: &bool) -> bool {
    !*flag
}

/// Whether a number is zero, for fields left out when it is.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
pub fn is_zero(number: &i64) -> bool {
    *number == 0
}
