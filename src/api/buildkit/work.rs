//! One build: its files come over the session, and its results go back over it.

use std::sync::Arc;

use bytes::Bytes;
use hoist_build::{
    BuildResult,
    dockerfile::{Dockerfile, Kind, MountKind, Origin, Plan, Source, describe::Description, ignore_file_names},
};

use super::{
    attributes::{Files, Wish},
    offers::{self, Needs},
    receive::{self, Part},
    send,
    session::Session,
    status::{Board, Errand},
    words::control::StatusResponse,
};
use crate::api::{
    State,
    build::{self, ReadyContext, Run, Waiting},
    dto::build::{BuildOrder, ContextRef, OutputOrder},
    error::ApiError,
    hoist::build::{NOT_ALLOWED, called, checks},
};

/// Hears what happens.
pub type Tell = Arc<dyn Fn(StatusResponse) + Send + Sync>;

/// A build with those who have to do with it.
pub struct Work {
    pub state: State,
    /// Sets the steps of builds apart.
    pub id: String,
    /// None where all is in the order, or is fetched by the daemon.
    pub session: Option<Arc<Session>>,
    pub tell: Tell,
}

impl Work {
    /// Builds. Dropped, it is cancelled.
    ///
    /// # Errors
    /// What a person should read.
    pub async fn build(&self, wish: Wish) -> Result<BuildResult, String> {
        let gone = async {
            match &self.session {
                Some(session) => session.gone.cancelled().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            result = self.all(wish) => result,
            () = gone => Err("the client has closed its session".to_owned()),
        }
    }

    /// Answers what is asked about the Dockerfile.
    ///
    /// # Errors
    /// What a person should read.
    pub async fn describe(&self, wish: Wish) -> Result<Description, String> {
        let mut board = Board::new(&self.id);
        let Wish { mut order, files, .. } = wish;
        let mut sent = Sent { state: &self.state, ids: Vec::new() };
        self.definition(&mut board, &mut order, &files, &mut sent).await.map_err(|error| error.message)?;
        let (warnings, _) = checks(&self.state, &order).await.map_err(|failure| failure.message)?;
        called(&order, &warnings).map_err(|failure| failure.message)
    }

    async fn all(&self, wish: Wish) -> Result<BuildResult, String> {
        let mut board = Board::new(&self.id);
        let Wish { mut order, files, numbers } = wish;
        let builds = &self.state.builds;
        let mut sent = Sent { state: &self.state, ids: Vec::new() };
        // Their names count from the beginning; what is in them comes later.
        for (name, _) in files.named.iter().chain(&files.fetched) {
            order.contexts.insert(name.clone(), ContextRef::Sent(String::new()));
        }
        self.definition(&mut board, &mut order, &files, &mut sent).await.map_err(|error| error.message)?;
        let (warnings, fail) = checks(&self.state, &order).await.map_err(|failure| failure.message)?;
        for warning in &warnings {
            let message = format!("{}: {}", warning.rule, warning.message);
            let event = hoist_build::BuildEvent::Warning { message, span: Some(warning.span) };
            (self.tell)(board.event(event, self.state.now()));
        }
        if fail && !warnings.is_empty() {
            return Err(NOT_ALLOWED.to_owned());
        }
        let (file, plans) = build::plans(&order).map_err(|error| error.to_string())?;
        let agents = self.inputs(&mut board, &mut order, &files, (&file, &plans), &mut sent).await;
        let _agents = agents.map_err(|error| error.message)?;
        let ignore: Vec<String> = order.ignore.lines().map(str::to_owned).collect();
        let outputs = order.outputs.clone();
        let mut ordered = build::request(builds, order).map_err(|error| error.message)?;
        // Held by the order from here on.
        drop(sent);
        if let Some(context) = &mut ordered.request.context {
            context.ignore = ignore;
        }
        let (results, scratch) = (ordered.results.clone(), Arc::clone(&ordered.scratch));
        let mut run = Run::start(&self.state, builds, ordered);
        while let Some(event) = run.next().await {
            (self.tell)(board.event(event, self.state.now()));
        }
        // The last lines of a command are what the client shows by itself.
        let result = run.finish().await.map_err(|error| build::failure(&error).message)?;
        for (index, (output, path)) in outputs.iter().zip(&results).enumerate() {
            let (Some(path), Some(session)) = (path, &self.session) else { continue };
            let number = numbers.get(index).copied().unwrap_or(0);
            let local = *output == OutputOrder::Local;
            let name = if local { "exporting to client directory" } else { "sending tarball" };
            self.errand(&mut board, name, "copying files", async |_| match local {
                true => send::directory(session, number, path.clone()).await,
                false => send::file(session, number, path.clone()).await,
            })
            .await
            .map_err(|error| error.message)?;
        }
        drop(scratch);
        Ok(result)
    }

    /// Does something that the client sees as a step.
    async fn errand<T>(
        &self,
        board: &mut Board,
        name: &str,
        what: &'static str,
        work: impl AsyncFnOnce(&Errand) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let (errand, told) = board.errand(name, what, self.state.now());
        (self.tell)(told);
        let done = work(&errand).await;
        let error = done.as_ref().err().map(|error| error.message.as_str());
        (self.tell)(errand.end(error, self.state.now()));
        done
    }

    fn session(&self) -> Result<&Arc<Session>, ApiError> {
        self.session.as_ref().ok_or_else(|| ApiError::bad_request("the build has no session to take its files from"))
    }

    /// The Dockerfile and `.dockerignore`.
    async fn definition(
        &self,
        board: &mut Board,
        order: &mut BuildOrder,
        files: &Files,
        sent: &mut Sent<'_>,
    ) -> Result<(), ApiError> {
        let name = files.filename.clone();
        order.dockerfile_name = name.rsplit('/').next().unwrap_or("Dockerfile").to_owned();
        if let Some(id) = &order.context {
            // It was sent as a whole.
            let context = self.state.builds.context(id)?;
            sent.ids.push(id.clone());
            return from_context(&context, &name, order);
        }
        if let Some(url) = &files.remote {
            let keep = order.args.get("BUILDKIT_CONTEXT_KEEP_GIT_DIR").is_some_and(|value| value == "1");
            let label = format!("[internal] load remote build context {url}");
            let fetch = async |_: &Errand| match url.strip_prefix(receive::UPLOADS) {
                Some(path) => receive::archive(self.session()?, path, &self.state.builds).await,
                None => build::fetch_context(&self.state, url, keep).await,
            };
            let dir = self.errand(board, &label, "fetching", fetch).await?;
            let context = Arc::new(ReadyContext::Unpacked(dir));
            from_context(&context, &name, order)?;
            order.context = Some(sent.add(context));
            return Ok(());
        }
        let session = self.session()?;
        let label = format!("[internal] load build definition from {}", order.dockerfile_name);
        let [beside, general] = ignore_file_names(&name);
        let mut texts = self
            .errand(board, &label, "transferring dockerfile:", async |errand| {
                let wanted = [name.clone(), name.to_lowercase(), beside.clone()];
                let texts = receive::texts(session, &files.dockerfile, &wanted).await?;
                let bytes = texts.values().map(|text| text.len() as u64).sum();
                (self.tell)(errand.counted(bytes, true, self.state.now()));
                match texts.contains_key(&name) || (name == "Dockerfile" && texts.contains_key("dockerfile")) {
                    true => Ok(texts),
                    false => {
                        let message = format!("failed to read dockerfile: open {name}: no such file or directory");
                        Err(ApiError::bad_request(message))
                    }
                }
            })
            .await?;
        let found = texts.remove(&name).or_else(|| texts.remove("dockerfile")).unwrap_or_default();
        order.dockerfile = text(&order.dockerfile_name, &found)?;
        order.ignore = match texts.remove(&beside) {
            Some(found) => text(&beside, &found)?,
            None => {
                self.errand(board, "[internal] load .dockerignore", "transferring context:", async |errand| {
                    let texts = receive::texts(session, &files.context, std::slice::from_ref(&general)).await?;
                    let bytes = texts.values().map(|text| text.len() as u64).sum();
                    (self.tell)(errand.counted(bytes, true, self.state.now()));
                    texts.get(&general).map_or_else(|| Ok(String::new()), |found| text(&general, found))
                })
                .await?
            }
        };
        Ok(())
    }

    /// Everything else that the client has and the build needs.
    async fn inputs(
        &self,
        board: &mut Board,
        order: &mut BuildOrder,
        files: &Files,
        (file, plans): (&Dockerfile, &[Plan]),
        sent: &mut Sent<'_>,
    ) -> Result<Option<impl Sized + use<>>, ApiError> {
        let Some(session) = &self.session else { return Ok(None) };
        if order.context.is_none()
            && (plans.iter().any(|plan| uses_context(file, plan)) || self.may_be_triggered(plans).await)
        {
            let part = Part { name: &files.context, excluded: patterns(&order.ignore), only: Vec::new() };
            let context = self.directory(board, session, "[internal] load build context", &part).await?;
            order.context = Some(sent.add(context));
        }
        for (name, dir) in &files.named {
            let ignored = receive::texts(session, dir, &[".dockerignore".to_owned()]).await?;
            let ignored =
                ignored.get(".dockerignore").map_or(Ok(String::new()), |found| text(".dockerignore", found))?;
            let part = Part { name: dir, excluded: patterns(&ignored), only: Vec::new() };
            let context = self.directory(board, session, &format!("[context {name}] load from client"), &part).await?;
            order.contexts.insert(name.clone(), ContextRef::Sent(sent.add(context)));
        }
        for (name, url) in &files.fetched {
            let fetch = async |_: &Errand| build::fetch_context(&self.state, url, false).await;
            let dir = self.errand(board, &format!("[context {name}] load {url}"), "fetching", fetch).await?;
            let context = sent.add(Arc::new(ReadyContext::Unpacked(dir)));
            order.contexts.insert(name.clone(), ContextRef::Sent(context));
        }
        let needs = Needs::of(file, plans);
        let pushes = order.outputs.iter().any(OutputOrder::pushes);
        let caches: Vec<String> = order
            .cache_from
            .iter()
            .chain(&order.cache_to)
            .filter_map(|cache| cache.options.get("ref").cloned())
            .collect();
        let named: Vec<String> = order
            .contexts
            .values()
            .filter_map(|context| if let ContextRef::Image(image) = context { Some(image.clone()) } else { None })
            .collect();
        let pushed = order.names().filter(|_| pushes);
        let images = needs.images.iter().chain(&caches).chain(&named).chain(pushed);
        order.auth = offers::credentials(session, images).await?;
        order.secrets = offers::secrets(session, &needs.secrets).await?;
        let scratch = self.state.builds.scratch()?;
        let (sockets, agents) = offers::agents(session, &needs.agents, scratch.path()).await?;
        order.ssh = sockets;
        Ok(Some((agents, scratch)))
    }

    /// Whether an image below may have triggers, which may copy anything.
    async fn may_be_triggered(&self, plans: &[Plan]) -> bool {
        for plan in plans {
            for index in &plan.order {
                if let Origin::Image { reference, .. } = &plan.stages[*index].base {
                    match self.state.engine.images().get(reference).await {
                        Ok(image) if image.config.config.on_build.is_empty() => {}
                        _ => return true,
                    }
                }
            }
        }
        false
    }

    async fn directory(
        &self,
        board: &mut Board,
        session: &Session,
        label: &str,
        part: &Part<'_>,
    ) -> Result<Arc<ReadyContext>, ApiError> {
        let lease = self
            .errand(board, label, "transferring context:", async |errand| {
                let (mut total, mut told) = (0, 0);
                let count = |bytes: u64| {
                    total += bytes;
                    // As often as a person can read.
                    if total - told > 1 << 20 {
                        told = total;
                        (self.tell)(errand.counted(total, false, self.state.now()));
                    }
                };
                let lease = receive::directory(session, part, &self.state.builds.contexts, count).await?;
                (self.tell)(errand.counted(total, true, self.state.now()));
                Ok(lease)
            })
            .await?;
        Ok(Arc::new(ReadyContext::Leased(lease)))
    }
}

/// Contexts that wait for the order; they are dropped with this.
struct Sent<'s> {
    state: &'s State,
    ids: Vec<String>,
}

impl Sent<'_> {
    fn add(&mut self, context: Arc<ReadyContext>) -> String {
        let id = self.state.builds.wait(Waiting::Ready(context));
        self.ids.push(id.clone());
        id
    }
}

impl Drop for Sent<'_> {
    fn drop(&mut self) {
        for id in &self.ids {
            drop(self.state.builds.take(id));
        }
    }
}

fn from_context(context: &ReadyContext, name: &str, order: &mut BuildOrder) -> Result<(), ApiError> {
    order.dockerfile = build::read_in(context.path(), name)?;
    let ignore = ignore_file_names(name).into_iter().find_map(|file| build::read_in(context.path(), &file).ok());
    order.ignore = ignore.unwrap_or_default();
    Ok(())
}

fn text(name: &str, bytes: &Bytes) -> Result<String, ApiError> {
    let text = String::from_utf8(bytes.to_vec());
    text.map_err(|_| ApiError::bad_request(format!("{name} holds bytes that are not UTF-8")))
}

/// Whether anything that is built reads the main context.
fn uses_context(file: &Dockerfile, plan: &Plan) -> bool {
    let reads = |sources: &[Source]| sources.iter().any(|source| matches!(source, Source::Path(_)));
    plan.order.iter().flat_map(|index| &file.instructions[plan.stages[*index].body.clone()]).any(|instruction| {
        match &instruction.kind {
            Kind::Copy(copy) => copy.from.is_none() && reads(&copy.transfer.sources),
            Kind::Add(add) => reads(&add.transfer.sources),
            Kind::Run(run) => run.mounts.iter().any(|mount| matches!(mount.kind, MountKind::Bind { from: None, .. })),
            _ => false,
        }
    })
}

/// The patterns of `.dockerignore`, as the client's matcher wants them.
fn patterns(text: &str) -> Vec<String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let one = |line: &str| {
        if line.starts_with('#') {
            return None;
        }
        let line = line.trim();
        let (not, path) = match line.strip_prefix('!') {
            Some(rest) => ("!", rest.trim()),
            None => ("", line),
        };
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        let path = parts.join("/");
        (!path.is_empty()).then(|| format!("{not}{path}"))
    };
    text.lines().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_as_the_client_wants_them() {
        assert_eq!(patterns("# no\n\n /a/b/ \n!./c\n**/*.o\n"), ["a/b", "!c", "**/*.o"]);
    }
}
