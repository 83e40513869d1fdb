//! Base images, each asked for once in a build, with events of their own.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use tokio::sync::OnceCell;

use crate::dockerfile::Platform;
use crate::graph::Bases;
use crate::{
    BaseImage, BuildError, BuildEvent, BuildRequest, Events, ImageRequest, NamedDevices, StepId, StepInfo, Worker,
};

type Wanted = (String, Option<String>);

pub(crate) struct Resolver<'a, W> {
    worker: &'a W,
    request: &'a BuildRequest,
    events: Events,
    steps: AtomicU32,
    found: Mutex<HashMap<Wanted, Arc<OnceCell<BaseImage>>>>,
}

impl<'a, W: Worker> Resolver<'a, W> {
    pub(crate) fn new(worker: &'a W, request: &'a BuildRequest, events: Events) -> Self {
        Self { worker, request, events, steps: AtomicU32::new(1), found: Mutex::default() }
    }

    /// The first of so many numbers for steps.
    pub(crate) fn take(&self, count: usize) -> u32 {
        self.steps.fetch_add(u32::try_from(count).unwrap_or(u32::MAX), Ordering::Relaxed)
    }

    /// Asks for images side by side before anybody needs them. Who needs one that failed hears of it.
    pub(crate) async fn ahead(&self, wanted: &[Wanted], platform: &Platform) {
        let foreign = (*platform != Platform::local()).then(|| platform.to_string());
        let asked =
            wanted.iter().map(|(reference, own)| self.get(reference.clone(), own.clone().or_else(|| foreign.clone())));
        join_all(asked).await;
    }

    async fn get(&self, reference: String, platform: Option<String>) -> Result<BaseImage, BuildError> {
        let cell = {
            let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(found.entry((reference.clone(), platform.clone())).or_default())
        };
        cell.get_or_try_init(|| self.find(reference, platform)).await.cloned()
    }

    async fn find(&self, reference: String, platform: Option<String>) -> Result<BaseImage, BuildError> {
        let step = StepId(self.take(1));
        let tell = |event| drop(self.events.send(event));
        let name = format!("load image {reference}");
        tell(BuildEvent::Planned(StepInfo { id: step, name, stage: None, span: None, inputs: Vec::new() }));
        tell(BuildEvent::Started { step });
        let events = self.events.clone();
        let report = Arc::new(move |part: String, current, total| {
            let _ = events.send(BuildEvent::Progress { step, part, current, total });
        });
        let wanted = ImageRequest { reference, platform, pull: self.request.pull, auth: self.request.auth.clone() };
        let image = self.worker.image(wanted, report).await;
        tell(match &image {
            Ok(_) => BuildEvent::Done { step },
            Err(error) => BuildEvent::Failed { step, message: error.message() },
        });
        image
    }
}

impl<W: Worker> Bases for Resolver<'_, W> {
    fn image(&self, reference: String, platform: Option<String>) -> BoxFuture<'_, Result<BaseImage, BuildError>> {
        self.get(reference, platform).boxed()
    }

    fn devices(&self, pattern: String) -> BoxFuture<'_, Result<NamedDevices, BuildError>> {
        self.worker.devices(pattern).boxed()
    }
}
