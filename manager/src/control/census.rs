//! How much of what there is.

use std::collections::BTreeMap;

use hoist_proto::spec::{JobState, NodeState, TaskState};
use hoist_store::Commits;

use super::Control;

/// Counts of the cluster's records.
#[derive(Debug, Clone, Default)]
pub struct Census {
    pub nodes: BTreeMap<NodeState, usize>,
    pub tasks: BTreeMap<TaskState, usize>,
    pub jobs: BTreeMap<JobState, usize>,
    pub services: usize,
    pub networks: usize,
    pub volumes: usize,
    pub secrets: usize,
    pub configs: usize,
}

impl Control {
    /// Counts all records.
    pub fn census(&self) -> Census {
        self.inner.store.view(|tables| {
            let mut census = Census {
                services: tables.services().len(),
                networks: tables.networks().len(),
                volumes: tables.volumes().len(),
                secrets: tables.secrets().len(),
                configs: tables.configs().len(),
                ..Census::default()
            };
            tables.nodes().iter().for_each(|node| *census.nodes.entry(node.status.state).or_default() += 1);
            tables.tasks().iter().for_each(|task| *census.tasks.entry(task.status.state).or_default() += 1);
            tables.jobs().iter().for_each(|job| *census.jobs.entry(job.status.state).or_default() += 1);
            census
        })
    }

    /// What this manager has committed since it started.
    pub fn commits(&self) -> Commits {
        self.inner.store.commits()
    }
}
