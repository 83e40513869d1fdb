//! The images of this machine, as the control plane asks for them.

use std::{future::Future, pin::Pin, sync::Arc};

use hoist_engine::{Engine, ListOptions};
use hoist_image::{Phase, PullEvent, PullOptions, Reference, RemoveOptions};
use hoist_manager::control::{ImageSource, Wanted};
use hoist_proto::spec::{ProjectEvent, PullPolicy};
use tokio::sync::mpsc::Sender;

use crate::api::{auth, error::ApiError, stream::progress::Board, used_by};

/// Pulls for the control plane, and removes for `down --rmi`.
pub struct LocalImages(pub Engine);

impl LocalImages {
    async fn pull(&self, wanted: Wanted<'_>, events: &Sender<ProjectEvent>) -> Result<String, ApiError> {
        let Wanted { image: name, platform, policy, credentials } = wanted;
        let reference = Reference::parse(name)?.with_default_tag();
        let platform =
            platform.map(str::parse).transpose().map_err(|err| ApiError::bad_request(format!("{name}: {err}")))?;
        let policy = match policy {
            PullPolicy::Missing => hoist_image::PullPolicy::Missing,
            PullPolicy::Always => hoist_image::PullPolicy::Always,
            PullPolicy::Never => hoist_image::PullPolicy::Never,
        };
        let board = Arc::new(Board::default());
        let options = PullOptions { platform, auth: credentials.map(auth::decode).transpose()?.flatten(), policy };
        let mut pulling = Box::pin(self.0.images().pull(&reference, options, board.clone()));
        loop {
            tokio::select! {
                biased;
                result = &mut pulling => return Ok(result?.id.to_string()),
                news = board.news() => for event in news {
                    // A watcher that is gone does not end the pull.
                    let _ = events.send(told(name, event)).await;
                },
            }
        }
    }
}

fn told(image: &str, event: PullEvent) -> ProjectEvent {
    match event {
        PullEvent::Status { message, .. } => {
            ProjectEvent::Pull { image: image.to_owned(), layer: None, phase: message, current: 0, total: None }
        }
        PullEvent::Layer { id, phase, current, total } => ProjectEvent::Pull {
            image: image.to_owned(),
            layer: Some(id),
            phase: phase.to_string(),
            current: if matches!(phase, Phase::Downloading | Phase::Extracting) { current } else { 0 },
            total: Some(total).filter(|total| *total > 0),
        },
    }
}

impl ImageSource for LocalImages {
    fn ensure<'a>(
        &'a self,
        wanted: Wanted<'a>,
        events: &'a Sender<ProjectEvent>,
    ) -> Pin<Box<dyn Future<Output = Result<String, String>> + Send + 'a>> {
        Box::pin(async move { self.pull(wanted, events).await.map_err(|err| err.message) })
    }

    fn find<'a>(&'a self, image: &'a str) -> Pin<Box<dyn Future<Output = Option<String>> + Send + 'a>> {
        Box::pin(async move { self.0.images().get(image).await.ok().map(|image| image.id.to_string()) })
    }

    fn remove<'a>(&'a self, image: &'a str) -> Pin<Box<dyn Future<Output = Result<bool, String>> + Send + 'a>> {
        Box::pin(async move {
            let containers = self.0.list(ListOptions { all: true, ..ListOptions::default() }).await;
            let used_by = used_by(containers.map_err(|err| err.message())?);
            let options = RemoveOptions { used_by, ..RemoveOptions::default() };
            match self.0.images().remove(image, options).await {
                Ok(removed) => Ok(!removed.is_empty()),
                Err(hoist_image::Error::NotFound(_) | hoist_image::Error::InUse(_)) => Ok(false),
                Err(err) => Err(ApiError::from(err).message),
            }
        })
    }
}
