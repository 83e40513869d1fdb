//! The requests that change something: each writes in one transaction and then watches.

mod down;
mod lifecycle;
mod prepare;
mod up;

use hoist_proto::spec::ProjectEvent;
use tokio::sync::mpsc;

use super::{Control, ControlError, EventStream, watch::Failure, watch::Watcher};

/// Lines that may wait for a slow client before the request waits for it.
const LINES: usize = 256;

impl From<ControlError> for Failure {
    fn from(error: ControlError) -> Self {
        let mut text = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        Self(text)
    }
}

impl Control {
    /// Runs a request apart from whoever asked, and gives its lines.
    fn request<F, W>(&self, work: W) -> EventStream
    where
        W: FnOnce(Control, mpsc::Sender<ProjectEvent>) -> F,
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let (sender, receiver) = mpsc::channel(LINES);
        let work = work(self.clone(), sender.clone());
        self.inner.requests.spawn(async move {
            let last = match work.await {
                Ok(()) => ProjectEvent::Done,
                Err(Failure(message)) => ProjectEvent::Error { message, exit_code: 1 },
            };
            let _ = sender.send(last).await;
        });
        EventStream::new(receiver)
    }

    fn watcher(&self, events: &mpsc::Sender<ProjectEvent>) -> Watcher {
        Watcher::new(&self.inner.store, self.inner.progress.listen(), events.clone(), self.inner.cancel.clone())
    }
}
