//! A task's container, and the few things that are done to it.

use std::sync::{Arc, PoisonError};

use hoist_engine::{EngineError, ErrorKind, RemoveOptions, StopOptions, Timeout};
use hoist_proto::spec::Task;
use tokio::sync::Notify;

use super::labels::SERVICE;
use crate::{resources::chain, worker::Worker};

/// A container that a task holds. Events about it wake `news`.
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) news: Arc<Notify>,
    worker: Worker,
}

impl Drop for Container {
    fn drop(&mut self) {
        let mut watched = self.worker.inner.watched.lock().unwrap_or_else(PoisonError::into_inner);
        // A later task of the slot may watch the same container by now.
        if watched.get(&self.id).is_some_and(|news| Arc::ptr_eq(news, &self.news)) {
            watched.remove(&self.id);
        }
    }
}

impl Container {
    /// Watches a container from now on.
    pub(crate) fn new(worker: &Worker, id: String) -> Self {
        let news = Arc::new(Notify::new());
        worker.inner.watched.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), news.clone());
        Self { id, news, worker: worker.clone() }
    }

    /// The task's container: the one it is known to have, else the one of its name and service.
    pub(crate) async fn find(worker: &Worker, task: &Task, id: Option<&str>) -> Option<Self> {
        let engine = &worker.inner.engine;
        if let Some(id) = id
            && let Ok(found) = engine.inspect(id).await
        {
            return Some(Self::new(worker, found.id.to_string()));
        }
        let found = engine.inspect(&task.name).await.ok()?;
        let ours = found.effective.labels.get(SERVICE).is_some_and(|service| *service == task.service.as_str());
        ours.then(|| Self::new(worker, found.id.to_string()))
    }

    pub(crate) async fn inspect(&self, worker: &Worker) -> Option<hoist_engine::Container> {
        worker.inner.engine.inspect(&self.id).await.ok()
    }

    /// Starts it; one that runs already is well.
    pub(crate) async fn start(&self, worker: &Worker) -> Result<(), (String, Option<i32>)> {
        match worker.inner.engine.start(&self.id).await {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotModified => Ok(()),
            Err(EngineError::Start { message, exit_code }) => Err((message, Some(exit_code))),
            Err(error) => Err((chain(&error), None)),
        }
    }

    /// Stops it; one that does not run is well.
    pub(crate) async fn stop(&self, worker: &Worker, task: &Task) -> Result<(), String> {
        let options = StopOptions { signal: None, timeout: task.spec.stop_timeout.map(Timeout::After) };
        match worker.inner.engine.stop(&self.id, options).await {
            Ok(()) => Ok(()),
            Err(error) if matches!(error.kind(), ErrorKind::NotModified | ErrorKind::NotFound) => Ok(()),
            Err(error) => Err(chain(&error)),
        }
    }

    /// Sends a signal to its first process.
    pub(crate) async fn signal(&self, worker: &Worker, signal: &str) -> Result<(), String> {
        worker.inner.engine.kill(&self.id, Some(signal)).await.map_err(|error| chain(&error))
    }

    /// Removes it, and remembers its anonymous volumes for its successor.
    pub(crate) async fn remove(&self, worker: &Worker, task: &Task) -> Result<(), String> {
        let volumes = task.spec.remove_volumes;
        if !volumes && let Some(found) = self.inspect(worker).await {
            worker.leave_volumes(task, anonymous(&found));
        }
        match worker.inner.engine.remove(&self.id, RemoveOptions { force: true, volumes }).await {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(chain(&error)),
        }
    }
}

/// The anonymous volumes of a container: where they are mounted, and their names.
pub(super) fn anonymous(container: &hoist_engine::Container) -> Vec<(String, String)> {
    let mounts = container.mounts.iter().filter(|mount| mount.anonymous);
    mounts.filter_map(|mount| Some((mount.target.clone(), mount.name.clone()?))).collect()
}
