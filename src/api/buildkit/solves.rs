//! Builds that a client steers over several calls, and contexts that come in a request of their own.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use hoist_build::BuildResult;
use tokio::sync::watch;

use super::words::control::{SolveRequest, StatusResponse};
use crate::api::build::ReadyContext;

/// Calls that belong together may come in any order.
const PATIENCE: Duration = Duration::from_secs(5);
/// A build that has ended can be asked about for so long.
const KEPT: Duration = Duration::from_secs(30);
/// A context for a build that does not come is kept for so long.
const UPLOADS_KEPT: Duration = Duration::from_secs(15 * 60);
/// So many bytes of what a step prints are told; a build has a thousand steps, and this is kept for each.
const STEP_LOG: usize = 2 << 20;

/// One build.
pub struct Solve {
    pub request: SolveRequest,
    told: watch::Sender<Told>,
    outcome: Mutex<Option<BuildResult>>,
    /// What the client says of it at its end.
    returned: watch::Sender<Option<Result<(), String>>>,
}

/// Everything that was said, for those who come late.
#[derive(Default)]
struct Told {
    all: Vec<Arc<StatusResponse>>,
    /// How much each step has printed.
    printed: HashMap<String, usize>,
    ended: Option<Instant>,
}

impl Told {
    /// Leaves out what a step prints beyond its measure, and says so once.
    fn cut(&mut self, status: &mut StatusResponse) {
        status.logs.retain_mut(|log| {
            let printed = self.printed.entry(log.vertex.clone()).or_default();
            if *printed > STEP_LOG {
                return false;
            }
            *printed += log.msg.len();
            if *printed > STEP_LOG {
                log.msg = format!("[the rest is left out: a step shows {} MiB at most]\n", STEP_LOG >> 20).into();
            }
            true
        });
    }
}

impl Solve {
    pub fn tell(&self, mut status: StatusResponse) {
        self.told.send_modify(|told| {
            told.cut(&mut status);
            if status != StatusResponse::default() {
                told.all.push(Arc::new(status));
            }
        });
    }

    /// Nothing more is told.
    fn end(&self) {
        self.told.send_modify(|told| told.ended = Some(Instant::now()));
    }

    /// What is told from the beginning to the end.
    pub fn listen(&self) -> impl futures_util::Stream<Item = StatusResponse> + Send + use<> {
        let mut told = self.told.subscribe();
        async_stream::stream! {
            let mut next = 0;
            loop {
                let (news, ended) = {
                    let told = told.borrow_and_update();
                    (told.all[next..].to_vec(), told.ended.is_some())
                };
                next += news.len();
                for status in news {
                    yield (*status).clone();
                }
                if ended || told.changed().await.is_err() {
                    break;
                }
            }
        }
    }

    pub fn finish(&self, result: BuildResult) {
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
    }

    pub fn outcome(&self) -> Option<BuildResult> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The client has done with it.
    pub fn give_back(&self, result: Result<(), String>) {
        self.returned.send_replace(Some(result));
    }

    /// What the client made of it.
    pub async fn returned(&self) -> Result<(), String> {
        let mut returned = self.returned.subscribe();
        match returned.wait_for(Option::is_some).await {
            Ok(value) => value.clone().unwrap_or(Ok(())),
            Err(_) => Err("the build was given up".to_owned()),
        }
    }
}

/// All of them; a clone is the same.
#[derive(Clone, Default)]
pub struct Solves {
    solves: Arc<Mutex<HashMap<String, Arc<Solve>>>>,
    uploads: Arc<Mutex<HashMap<String, Arc<ReadyContext>>>>,
    news: Arc<tokio::sync::Notify>,
}

impl Solves {
    fn solves(&self) -> MutexGuard<'_, HashMap<String, Arc<Solve>>> {
        self.solves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a build; `None` if there is one of that name.
    pub fn begin(&self, request: SolveRequest) -> Option<Arc<Solve>> {
        let mut solves = self.solves();
        if solves.contains_key(&request.r#ref) {
            return None;
        }
        let name = request.r#ref.clone();
        let (told, returned) = (watch::Sender::default(), watch::Sender::default());
        let solve = Arc::new(Solve { request, told, outcome: Mutex::default(), returned });
        solves.insert(name, Arc::clone(&solve));
        drop(solves);
        self.news.notify_waiters();
        Some(solve)
    }

    /// A build that is there or is about to come.
    pub async fn find(&self, name: &str) -> Option<Arc<Solve>> {
        self.wait(|| self.solves().get(name).cloned()).await
    }

    /// Keeps a context that came for a build.
    pub fn upload(&self, build: &str, context: Arc<ReadyContext>) {
        let uploads = || self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        uploads().insert(build.to_owned(), Arc::clone(&context));
        self.news.notify_waiters();
        let (solves, build, context) = (self.clone(), build.to_owned(), Arc::downgrade(&context));
        tokio::spawn(async move {
            tokio::time::sleep(UPLOADS_KEPT).await;
            let mut uploads = solves.uploads.lock().unwrap_or_else(PoisonError::into_inner);
            if uploads.get(&build).is_some_and(|there| std::ptr::eq(Arc::as_ptr(there), context.as_ptr())) {
                uploads.remove(&build);
            }
        });
    }

    /// Nothing more is told of a build; it is forgotten a little later.
    pub fn end(&self, solve: &Arc<Solve>) {
        solve.end();
        let (solves, name) = (self.clone(), solve.request.r#ref.clone());
        tokio::spawn(async move {
            tokio::time::sleep(KEPT).await;
            let ended = |solve: &Arc<Solve>| solve.told.borrow().ended.is_some_and(|ended| ended.elapsed() >= KEPT);
            let mut all = solves.solves();
            if all.get(&name).is_some_and(ended) {
                all.remove(&name);
            }
        });
    }

    /// The context that comes for a build; large ones take their time.
    pub async fn uploaded(&self, build: &str) -> Arc<ReadyContext> {
        loop {
            let take = || self.uploads.lock().unwrap_or_else(PoisonError::into_inner).remove(build);
            if let Some(context) = self.wait(take).await {
                return context;
            }
        }
    }

    async fn wait<T>(&self, look: impl Fn() -> Option<T>) -> Option<T> {
        let found = async {
            loop {
                let mut news = std::pin::pin!(self.news.notified());
                news.as_mut().enable();
                if let Some(found) = look() {
                    return found;
                }
                news.await;
            }
        };
        tokio::time::timeout(PATIENCE, found).await.ok()
    }
}
