//! The tasks' statuses on their way to the dispatcher: while one batch is under way the next one
//! gathers, and of each task only the newest counts.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use hoist_proto::{
    id::TaskId,
    spec::TaskStatus,
    wire::{TaskStatusUpdate, UpdateTaskStatusRequest, dispatcher_client::DispatcherClient},
};
use tokio::sync::Notify;
use tonic::{Status, transport::Channel};

/// What is known of tasks and what has not been told yet. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reports {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    news: Notify,
}

#[derive(Debug, Default)]
struct State {
    known: BTreeMap<TaskId, TaskStatus>,
    untold: BTreeMap<TaskId, TaskStatus>,
}

impl Reports {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a task's status; it is told as soon as possible.
    pub(crate) fn set(&self, task: &TaskId, status: TaskStatus) {
        let mut state = self.state();
        state.known.insert(task.clone(), status.clone());
        state.untold.insert(task.clone(), status);
        drop(state);
        self.inner.news.notify_one();
    }

    pub(crate) fn forget(&self, task: &TaskId) {
        let mut state = self.state();
        state.known.remove(task);
        state.untold.remove(task);
    }

    pub(crate) fn get(&self, task: &TaskId) -> Option<TaskStatus> {
        self.state().known.get(task).cloned()
    }

    /// Sends batches until one cannot be sent. A new session begins with everything.
    pub(crate) async fn send(&self, mut client: DispatcherClient<Channel>, session: &str) -> Status {
        {
            let mut state = self.state();
            state.untold = state.known.clone();
        }
        loop {
            let batch = std::mem::take(&mut self.state().untold);
            if batch.is_empty() {
                self.inner.news.notified().await;
                continue;
            }
            let updates = batch
                .iter()
                .map(|(task, status)| TaskStatusUpdate {
                    task_id: task.to_string(),
                    status: serde_json::to_vec(status).expect("a status has string keys and memory takes the bytes"),
                })
                .collect();
            let request = UpdateTaskStatusRequest { session_id: session.to_owned(), updates };
            if let Err(error) = client.update_task_status(request).await {
                let mut state = self.state();
                for (task, status) in batch {
                    // What came meanwhile is newer.
                    state.untold.entry(task).or_insert(status);
                }
                return error;
            }
        }
    }
}
