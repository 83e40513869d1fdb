//! What is asked and not changed: inspect, list, wait, stats, top.

use std::collections::BTreeMap;

use hoist_proto::spec::NetworkMode;
use hoist_runtime::cgroup::{Cgroup, CgroupPath};

use crate::container::Handle;
use crate::inner::Inner;
use crate::lifecycle::mounts;
use crate::model::{Container, ListOptions, Stats, Status, Top, WaitCondition, WaitResult};
use crate::{EngineError, Result, observe};

/// `key` or `key=value`.
pub(crate) fn has_label(labels: &BTreeMap<String, String>, wanted: &str) -> bool {
    match wanted.split_once('=') {
        Some((key, value)) => labels.get(key).is_some_and(|v| v == value),
        None => labels.contains_key(wanted),
    }
}

impl Inner {
    pub(crate) async fn inspect(&self, handle: &Handle) -> Container {
        let (record, state, execs) = {
            let cell = handle.cell();
            (cell.record.clone(), cell.state.clone(), cell.execs.clone())
        };
        let id = handle.id.as_str();
        let up = state.status.is_up();
        let (endpoints, ports) = if up {
            (self.options.networks.endpoints_of(id).await, self.options.networks.published(id).await)
        } else {
            (Vec::new(), Vec::new())
        };
        let sandbox = if up && !endpoints.is_empty() {
            self.options.networks.sandbox(id).await.ok().map(|sandbox| sandbox.path)
        } else {
            None
        };
        Container {
            id: handle.id.clone(),
            name: record.name.clone(),
            created: record.created,
            spec: record.spec.clone(),
            image_id: record.image_id.clone(),
            effective: record.effective.clone(),
            state,
            mounts: mounts::points(self, &record),
            endpoints,
            ports,
            sandbox,
            paths: handle.paths(),
            execs,
            platform: record.platform.clone(),
        }
    }

    pub(crate) async fn list(&self, options: &ListOptions) -> Vec<Container> {
        let mut found = Vec::new();
        for handle in self.registry.all() {
            let fits = {
                let cell = handle.cell();
                let shown = options.all || cell.state.status.is_up() || cell.state.status == Status::Restarting;
                shown && options.labels.iter().all(|label| has_label(&cell.record.effective.labels, label))
            };
            if fits {
                found.push(self.inspect(&handle).await);
            }
        }
        found.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id)));
        found
    }

    pub(crate) async fn wait(&self, name: &str, condition: WaitCondition) -> Result<WaitResult> {
        let handle = self.registry.find(name)?;
        let exits = handle.cell().exits;
        let found = handle.until(|cell| {
            let done = match condition {
                // Also the end of a run that another follows, as for Docker.
                WaitCondition::NotRunning => {
                    !cell.state.status.is_up() && cell.state.status != Status::Restarting || cell.exits > exits
                }
                WaitCondition::NextExit => cell.exits > exits || cell.removed,
                WaitCondition::Removed => cell.gone,
            };
            // Whoever waits for its removal is told of what keeps it there, not of what kept it from starting.
            let error = if condition == WaitCondition::Removed { String::new() } else { cell.state.error.clone() };
            // Gone in the middle of a wait for something else.
            (done || cell.gone).then(|| WaitResult { exit_code: cell.state.exit_code.unwrap_or(0), error })
        });
        Ok(found.await)
    }

    pub(crate) async fn stats(&self, name: &str) -> Result<Option<Stats>> {
        let handle = self.registry.find(name)?;
        let (pid, record) = {
            let cell = handle.cell();
            (cell.state.pid, cell.record.clone())
        };
        let Some(pid) = pid else { return Ok(None) };
        let path = self.cgroup_path(&record);
        let own_network = matches!(record.spec.network_mode, NetworkMode::Networks | NetworkMode::None);
        let now = self.options.clock.now();
        let read = move || observe::stats(&Cgroup::open(&CgroupPath::new(path)?)?, pid, own_network, now);
        let stats =
            tokio::task::spawn_blocking(read).await.map_err(|error| EngineError::Internal(error.to_string()))?;
        // It may have ended while it was measured.
        if handle.cell().state.pid != Some(pid) { Ok(None) } else { stats.map(Some) }
    }

    pub(crate) async fn top(&self, name: &str, columns: &str) -> Result<Top> {
        let handle = self.registry.find(name)?;
        if !handle.status().is_up() {
            return Err(EngineError::Conflict(format!("container {name} is not running")));
        }
        let path = self.cgroup_path(&handle.record());
        let pids = tokio::task::spawn_blocking(move || Cgroup::open(&CgroupPath::new(path)?)?.procs());
        let pids = pids.await.map_err(|error| EngineError::Internal(error.to_string()))??;
        let top = observe::top(&pids, columns, self.options.clock.now())?;
        self.publish(&handle, "top", &[]);
        Ok(top)
    }
}
