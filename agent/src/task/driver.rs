//! The loop of one task.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hoist_proto::spec::{Health, Task, TaskState, TaskStatus};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::{container::Container, status};
use crate::worker::Worker;

/// Before a removal that failed is tried again; doubled each time.
const RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// Drives one task.
pub(crate) struct Driver {
    pub(super) worker: Worker,
    pub(super) desired: watch::Receiver<Task>,
    pub(super) status: TaskStatus,
    pub(super) container: Option<Container>,
    retry: Duration,
    /// The manager's signal was passed on.
    signalled: bool,
    /// Whoever wanted the task cannot say any more that it is to go: its container stays as it is.
    left_alone: Arc<AtomicBool>,
}

/// From the word that a task is to stop, which all nodes hear with its own, to its container's stop.
const DRAIN: Duration = Duration::from_millis(200);

/// What a step leads to.
enum Next {
    /// Look again at once.
    Again,
    /// Nothing to do until the manager or the engine says something.
    Wait,
    /// Nothing to do for so long.
    Pause(Duration),
}

impl Driver {
    pub(crate) fn new(worker: Worker, desired: watch::Receiver<Task>, left_alone: Arc<AtomicBool>) -> Self {
        let status = desired.borrow().status.clone();
        Self { worker, desired, status, container: None, retry: RETRY, signalled: false, left_alone }
    }

    /// Runs until the manager wants to hear no more of the task.
    pub(crate) async fn run(mut self, forget: CancellationToken) {
        self.reattach().await;
        loop {
            if forget.is_cancelled() {
                break;
            }
            let task = self.desired.borrow_and_update().clone();
            let cancel = self.worker.inner.cancel.clone();
            let next = tokio::select! {
                next = self.step(&task) => next,
                // The daemon ends: what a step has begun is found by the next one.
                () = cancel.cancelled() => break,
            };
            let news =
                self.container.as_ref().map_or_else(|| Arc::new(Notify::new()), |container| container.news.clone());
            let pause = match next {
                Next::Again => continue,
                Next::Wait => None,
                Next::Pause(pause) => Some(pause),
            };
            tokio::select! {
                () = forget.cancelled() => break,
                changed = self.desired.changed() => if changed.is_err() { break },
                () = news.notified() => {}
                () = sleep(pause) => {}
            }
        }
        self.clear_away().await;
    }

    /// What the manager does not know any more must not run: its container goes.
    async fn clear_away(&mut self) {
        if self.left_alone.load(Ordering::SeqCst) {
            return;
        }
        let cancel = self.worker.inner.cancel.clone();
        let task = self.desired.borrow().clone();
        while !cancel.is_cancelled() && self.status.state != TaskState::Remove {
            let pause = match self.remove(&task).await {
                Next::Pause(pause) => Some(pause),
                Next::Again | Next::Wait => continue,
            };
            tokio::select! {
                () = cancel.cancelled() => return,
                () = sleep(pause) => {}
            }
        }
        if !cancel.is_cancelled() {
            self.worker.reports().forget(&task.id);
        }
    }

    /// Finds the container that an earlier agent made for the task.
    async fn reattach(&mut self) {
        let task = self.desired.borrow().clone();
        if self.status.state < TaskState::Ready && self.status.container_id.is_none() {
            return;
        }
        self.container = Container::find(&self.worker, &task, self.status.container_id.as_deref()).await;
    }

    async fn step(&mut self, task: &Task) -> Next {
        let state = self.status.state;
        match task.desired {
            TaskState::Remove => return self.remove(task).await,
            desired if desired > TaskState::Running => {
                return if state.is_final() { Next::Wait } else { self.shut_down(task).await };
            }
            _ => {}
        }
        match state {
            state if state < TaskState::Accepted => {
                self.report(TaskState::Accepted, "accepted by the node");
                Next::Again
            }
            TaskState::Accepted | TaskState::Preparing => {
                self.report(TaskState::Preparing, "being prepared");
                match self.prepare(task).await {
                    Ok(()) => self.report(TaskState::Ready, "waits for the word to start"),
                    // What is wanted has changed meanwhile; the next step sees to it.
                    Err(None) => {}
                    Err(Some(error)) => self.fail(TaskState::Rejected, "cannot be prepared", error),
                }
                Next::Again
            }
            TaskState::Ready if task.desired < TaskState::Running => Next::Wait,
            TaskState::Ready | TaskState::Starting => self.start(task).await,
            TaskState::Running => self.look(task).await,
            // Ended; perhaps somebody starts the container again by hand.
            _ => self.look_again(task).await,
        }
    }

    async fn start(&mut self, task: &Task) -> Next {
        self.report(TaskState::Starting, "being started");
        if self.go_on(task).await {
            return self.look(task).await;
        }
        let Some(container) = &self.container else {
            self.fail(TaskState::Failed, "cannot be started", "its container is gone".into());
            return Next::Again;
        };
        match container.start(&self.worker).await {
            Ok(()) => self.look(task).await,
            Err((error, exit_code)) => {
                self.status.exit_code = exit_code;
                self.fail(TaskState::Rejected, "cannot be started", error);
                Next::Again
            }
        }
    }

    /// Looks at a container that should run.
    async fn look(&mut self, task: &Task) -> Next {
        let found = match &self.container {
            Some(container) => container.inspect(&self.worker).await,
            None => None,
        };
        let Some(found) = found else {
            self.container = None;
            self.fail(TaskState::Failed, "has ended", "its container was removed".into());
            return Next::Again;
        };
        let mut now = status::of(&found, &self.status);
        if now.state == TaskState::Running && now.health == Health::Unhealthy && status::is_replaced(task) {
            // Told at once; that it has ended is told when the container is gone, so that the next
            // task does not find it.
            let why = status::unhealthy(&found);
            now.error = Some(why.clone());
            now.message = "unhealthy, being replaced".into();
            self.set(now);
            self.stop_and_remove(task).await;
            self.status.health = Health::Unhealthy;
            self.fail(TaskState::Failed, "unhealthy", why);
            return Next::Again;
        }
        self.set(now);
        self.pass_signal_on(task).await;
        Next::Wait
    }

    /// Gives a running container the signal that the manager asks for. An agent that comes after does it again: better
    /// twice than never.
    async fn pass_signal_on(&mut self, task: &Task) {
        let Some(signal) = task.signal.as_ref().filter(|_| !self.signalled) else { return };
        let Some(container) = self.container.as_ref().filter(|_| self.status.state == TaskState::Running) else {
            return;
        };
        self.signalled = true;
        if let Err(error) = container.signal(&self.worker, signal).await {
            tracing::warn!(task = %task.id, signal, error, "the signal did not get to the task's container");
        }
    }

    async fn look_again(&mut self, task: &Task) -> Next {
        let Some(container) = &self.container else { return Next::Wait };
        if let Some(found) = container.inspect(&self.worker).await
            && found.state.status.is_up()
            && task.desired == TaskState::Running
        {
            let now = status::of(&found, &self.status);
            self.set(now);
        }
        Next::Wait
    }

    async fn shut_down(&mut self, task: &Task) -> Next {
        if self.container.is_none() {
            self.container = Container::find(&self.worker, task, self.status.container_id.as_deref()).await;
        }
        self.drain(task).await;
        self.write_down(task).await;
        if let Some(container) = &self.container
            && let Err(error) = container.stop(&self.worker, task).await
        {
            return self.try_later("cannot be stopped", error);
        }
        if let Some(container) = &self.container
            && let Some(found) = container.inspect(&self.worker).await
        {
            self.status.exit_code = found.state.exit_code.or(self.status.exit_code);
        }
        self.status.pid = None;
        self.status.error = None;
        self.report(TaskState::Shutdown, "stopped");
        Next::Again
    }

    async fn remove(&mut self, task: &Task) -> Next {
        if self.status.state == TaskState::Remove {
            return Next::Wait;
        }
        if self.container.is_none() {
            self.container = Container::find(&self.worker, task, self.status.container_id.as_deref()).await;
        }
        self.drain(task).await;
        if let Some(container) = &self.container {
            if let Err(error) = container.stop(&self.worker, task).await {
                return self.try_later("cannot be stopped", error);
            }
            if !self.status.state.is_final() {
                self.status.pid = None;
                self.report(TaskState::Shutdown, "stopped");
            }
            if let Some(container) = &self.container
                && let Err(error) = container.remove(&self.worker, task).await
            {
                return self.try_later("cannot be removed", error);
            }
        }
        self.container = None;
        self.status.container_id = None;
        self.status.error = None;
        self.report(TaskState::Remove, "removed");
        Next::Again
    }

    /// All nodes have heard by then that no new connections come here; those that there are may end meanwhile.
    async fn drain(&self, task: &Task) {
        if self.status.state == TaskState::Running && self.container.is_some() && self.worker.is_called(task) {
            tokio::time::sleep(DRAIN).await;
        }
    }

    async fn stop_and_remove(&mut self, task: &Task) {
        self.drain(task).await;
        let Some(container) = self.container.take() else { return };
        let ended = match container.stop(&self.worker, task).await {
            Ok(()) => container.remove(&self.worker, task).await,
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            tracing::warn!(task = %task.id, %error, "an unhealthy container cannot be removed");
        }
    }

    fn try_later(&mut self, message: &str, error: String) -> Next {
        let pause = self.retry;
        self.retry = (self.retry * 2).min(LONGEST_RETRY);
        let mut status = self.status.clone();
        status.message = message.to_owned();
        status.error = Some(error);
        self.set(status);
        Next::Pause(pause)
    }

    /// Reports another state.
    pub(super) fn report(&mut self, state: TaskState, message: &str) {
        let mut status = self.status.clone();
        status.state = state;
        status.message = message.to_owned();
        self.set(status);
    }

    fn fail(&mut self, state: TaskState, message: &str, error: String) {
        self.status.pid = None;
        let mut status = self.status.clone();
        status.state = state;
        status.message = message.to_owned();
        status.error = Some(error);
        self.set(status);
    }

    /// Tells a status that is news.
    pub(super) fn set(&mut self, mut status: TaskStatus) {
        if status.state != self.status.state {
            status.at = self.worker.inner.clock.now();
            if status.state == TaskState::Running {
                status.running_since = Some(status.at);
            }
        }
        if let Some(container) = &self.container {
            status.container_id = Some(container.id.clone());
        }
        if status == self.status {
            return;
        }
        self.status = status;
        let id = self.desired.borrow().id.clone();
        self.worker.reports().set(&id, self.status.clone());
        if self.status.state >= TaskState::Ready {
            self.worker.note_change();
        }
    }
}

async fn sleep(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}
