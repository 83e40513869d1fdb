//! Builds over Hoist's own API: what the command line asks for, and the lines that answer.

use std::collections::BTreeMap;

use hoist_build::{
    Attestations, BuildEvent, BuildResult, CacheLocation, ImageOutput,
    dockerfile::{
        Span,
        check::Warning,
        describe::{Description, Question},
    },
};
use hoist_proto::spec::{Resources, Ulimit};
use serde::{Deserialize, Serialize};

/// The body of `POST /hoist/v1/build`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildOrder {
    pub dockerfile: String,
    pub dockerfile_name: String,
    /// The id of a context that was sent before.
    pub context: Option<String>,
    pub contexts: BTreeMap<String, ContextRef>,
    pub target: Option<String>,
    pub args: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub index_annotations: BTreeMap<String, String>,
    pub platforms: Vec<String>,
    pub no_cache: bool,
    pub no_cache_filter: Vec<String>,
    pub pull: bool,
    /// `default`, `none`, `host` or a network's name.
    pub network: String,
    pub extra_hosts: Vec<(String, String)>,
    pub shm_size: Option<u64>,
    pub ulimits: Vec<Ulimit>,
    pub cgroup_parent: Option<String>,
    /// By id, base64.
    pub secrets: BTreeMap<String, String>,
    /// Sockets of agents on the daemon's machine, by id.
    pub ssh: BTreeMap<String, String>,
    /// `network.host`, `security.insecure`, `device`, `device=NAME`.
    pub allow: Vec<String>,
    pub outputs: Vec<OutputOrder>,
    pub tags: Vec<String>,
    /// By registry, as `X-Registry-Auth` has credentials.
    pub auth: BTreeMap<String, String>,
    pub source_date_epoch: Option<i64>,
    pub attestations: Attestations,
    /// Limits of `RUN` steps.
    pub resources: Resources,
    pub cache_from: Vec<CacheLocation>,
    pub cache_to: Vec<CacheLocation>,
    /// The `.dockerignore` that the client applied: for the check of files that it excludes.
    pub ignore: String,
    /// Only the checks: nothing is built.
    pub check: bool,
    /// Only an answer about the Dockerfile: nothing is built.
    pub call: Option<Question>,
}

impl BuildOrder {
    /// All names that the image gets.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.tags.iter().chain(self.outputs.iter().filter_map(OutputOrder::image).flat_map(|how| &how.names))
    }
}

/// A context beside the main one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContextRef {
    /// One that was sent before, by its id.
    Sent(String),
    Image(String),
}

/// Where a result goes; files are fetched from `/hoist/v1/build/{id}/outputs/{index}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum OutputOrder {
    Image(ImageOutput),
    /// Comes as a tar archive with one directory at its top.
    Local,
    Tar,
    Docker(ImageOutput),
    Oci(ImageOutput),
    Cacheonly,
}

/// The answer to `POST /hoist/v1/build/contexts`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ContextAnswer {
    pub id: String,
    /// Files to send, as indices of the manifest; the context is ready when there are none.
    pub missing: Vec<u32>,
}

/// One line of a build's answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BuildLine {
    /// Comes first: for what is fetched afterwards.
    Id(String),
    Event(BuildEvent),
    /// What was asked about the Dockerfile; nothing comes behind it.
    Called(Description),
    /// What the checks found.
    Checks {
        warnings: Vec<Warning>,
        fail: bool,
    },
    /// Comes last.
    Result(Box<BuildResult>),
    /// Comes last.
    Error(BuildFailure),
}

/// Why a build failed, in parts that a client can lay out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildFailure {
    pub message: String,
    /// The instruction that failed.
    pub span: Option<Span>,
    pub exit_code: Option<i32>,
    pub last_lines: Vec<String>,
}
