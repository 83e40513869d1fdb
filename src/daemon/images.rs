//! The images of this machine, as the control plane asks for them.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, OnceLock},
};

use hoist_engine::{Engine, ListOptions};
use hoist_image::{Phase, PullEvent, PullOptions, Reference, RemoveOptions};
use hoist_manager::control::{ImageSource, Wanted};
use hoist_proto::{
    id::NodeId,
    spec::{ProjectEvent, PullPolicy},
};
use tokio::sync::mpsc::Sender;

use crate::api::{auth, error::ApiError, stream::progress::Board, used_by};
use crate::member::Member;

/// Pulls for the control plane, and removes for `down --rmi`.
pub struct LocalImages {
    pub engine: Engine,
    /// Known once the daemon has its place in the cluster.
    pub member: Arc<OnceLock<Member>>,
}

impl LocalImages {
    /// Gets an image from a manager that has it: what was built there has no registry.
    async fn pull_from_managers(&self, name: &str, only: Option<&NodeId>) -> Option<String> {
        let member = self.member.get()?;
        let reference = Reference::parse(name).ok()?.with_default_tag();
        for node in member.other_managers().into_iter().filter(|node| only.is_none_or(|only| node.id == *only)) {
            let found = match member.find_image(&node, name).await {
                Ok(found) => found,
                Err(error) => {
                    tracing::debug!(node = %node.id, "image {name}: {error}");
                    continue;
                }
            };
            let Ok(id) = found.id.parse() else { continue };
            let options = PullOptions { id: Some(id), peers: vec![found.peer], ..PullOptions::default() };
            match self.engine.images().pull(&reference, options, Arc::new(())).await {
                Ok(image) if image.id.to_string() == found.id => return Some(found.id),
                Ok(_) => {}
                Err(error) => tracing::warn!(node = %node.id, "image {name} cannot be fetched: {error}"),
            }
        }
        None
    }

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
        let auth = credentials.map(auth::decode).transpose()?.flatten();
        let options = PullOptions { platform, auth, policy, ..PullOptions::default() };
        let mut pulling = Box::pin(self.engine.images().pull(&reference, options, board.clone()));
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
        Box::pin(async move {
            match self.pull(wanted, events).await {
                Ok(id) => Ok(id),
                Err(error) => self.pull_from_managers(wanted.image, None).await.ok_or(error.message),
            }
        })
    }

    fn find<'a>(&'a self, image: &'a str) -> Pin<Box<dyn Future<Output = Option<String>> + Send + 'a>> {
        Box::pin(async move { self.engine.images().get(image).await.ok().map(|image| image.id.to_string()) })
    }

    fn find_built<'a>(
        &'a self,
        image: &'a str,
        at: Option<&'a NodeId>,
    ) -> Pin<Box<dyn Future<Output = Option<String>> + Send + 'a>> {
        Box::pin(async move {
            // What was built there just now goes over what was built here once.
            let there = match at {
                Some(at) => self.pull_from_managers(image, Some(at)).await,
                None => None,
            };
            match there.or(self.find(image).await) {
                Some(id) => Some(id),
                None => self.pull_from_managers(image, None).await,
            }
        })
    }

    fn remove<'a>(&'a self, image: &'a str) -> Pin<Box<dyn Future<Output = Result<bool, String>> + Send + 'a>> {
        Box::pin(async move {
            let containers = self.engine.list(ListOptions { all: true, ..ListOptions::default() }).await;
            let used_by = used_by(containers.map_err(|err| err.message())?);
            let options = RemoveOptions { used_by, ..RemoveOptions::default() };
            match self.engine.images().remove(image, options).await {
                Ok(removed) => Ok(!removed.is_empty()),
                Err(hoist_image::Error::NotFound(_) | hoist_image::Error::InUse(_)) => Ok(false),
                Err(err) => Err(ApiError::from(err).message),
            }
        })
    }
}
