//! What a client offers besides files: credentials, secrets, agents for ssh. Only what a build names is asked for.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use base64::Engine as _;
use hoist_build::dockerfile::{Dockerfile, Kind, MountKind, Origin, Plan};
use hoist_image::Reference;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
};
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};
use tonic::{Code, metadata::MetadataMap};

use super::{
    session::Session,
    words::{
        control::BytesMessage,
        session::{
            CheckAgentRequest, CheckAgentResponse, CredentialsRequest, CredentialsResponse, GetSecretRequest,
            GetSecretResponse,
        },
    },
};
use crate::api::error::ApiError;

const CREDENTIALS: &str = "/moby.filesync.v1.Auth/Credentials";
const SECRET: &str = "/moby.buildkit.secrets.v1.Secrets/GetSecret";
const CHECK_AGENT: &str = "/moby.sshforward.v1.SSH/CheckAgent";
const FORWARD_AGENT: &str = "/moby.sshforward.v1.SSH/ForwardAgent";

/// What a Dockerfile may ask for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Needs {
    pub secrets: BTreeSet<String>,
    pub agents: BTreeSet<String>,
    /// Images, as they are written.
    pub images: BTreeSet<String>,
}

impl Needs {
    /// Of the stages that are built. Names that are expanded are not known yet.
    pub fn of(file: &Dockerfile, plans: &[Plan]) -> Self {
        let mut needs = Self::default();
        for (plan, index) in plans.iter().flat_map(|plan| plan.order.iter().map(move |index| (plan, index))) {
            let stage = &plan.stages[*index];
            if let Origin::Image { reference, .. } = &stage.base {
                needs.images.insert(reference.clone());
            }
            for instruction in &file.instructions[stage.body.clone()] {
                match &instruction.kind {
                    Kind::Run(run) => {
                        for mount in &run.mounts {
                            match &mount.kind {
                                MountKind::Secret { id, .. } => {
                                    let named = id.as_ref().or(mount.target.as_ref()).map(|word| word.text.as_str());
                                    let name = named.unwrap_or_default();
                                    let name =
                                        if id.is_some() { name } else { name.rsplit('/').next().unwrap_or(name) };
                                    needs.secrets.insert(name.to_owned());
                                }
                                MountKind::Ssh { id, .. } => {
                                    let name = id.as_ref().map_or("default", |word| word.text.as_str());
                                    needs.agents.insert(name.to_owned());
                                }
                                MountKind::Bind { from: Some(from), .. } => {
                                    if let Ok(Origin::Image { reference, .. }) = plan.origin(from, *index) {
                                        needs.images.insert(reference);
                                    }
                                }
                                _ => {}
                            }
                        }
                    }
                    Kind::Copy(copy) => {
                        if let Some(from) = &copy.from
                            && let Ok(Origin::Image { reference, .. }) = plan.origin(from, *index)
                        {
                            needs.images.insert(reference);
                        }
                    }
                    _ => {}
                }
            }
        }
        needs
    }
}

/// Credentials for the registries of images, as orders have them.
///
/// # Errors
/// The client's, when it does not know what it has.
pub async fn credentials<'a>(
    session: &Session,
    images: impl IntoIterator<Item = &'a String>,
) -> Result<BTreeMap<String, String>, ApiError> {
    let mut found = BTreeMap::new();
    if !session.offers(CREDENTIALS) {
        return Ok(found);
    }
    let parsed = images.into_iter().filter_map(|image| Reference::parse(image).ok());
    let hosts: BTreeSet<String> = parsed.map(|reference| reference.domain().to_owned()).collect();
    for domain in hosts {
        // Clients know Docker's registry by its machine.
        let host = if domain == "docker.io" { "registry-1.docker.io".to_owned() } else { domain.clone() };
        let answer: CredentialsResponse = session
            .ask(CREDENTIALS, CredentialsRequest { host })
            .await
            .map_err(|status| ApiError::bad_request(format!("credentials for {domain}: {}", status.message())))?;
        if answer.secret.is_empty() {
            continue;
        }
        // Without a name it is a token.
        let config = match answer.username.is_empty() {
            true => json!({ "identitytoken": answer.secret }),
            false => json!({ "username": answer.username, "password": answer.secret }),
        };
        found.insert(domain, base64::prelude::BASE64_URL_SAFE.encode(config.to_string()));
    }
    Ok(found)
}

/// Secrets by id, base64 as orders have them; one that the client has not is left out.
///
/// # Errors
/// The client's: a file that cannot be read.
pub async fn secrets(session: &Session, ids: &BTreeSet<String>) -> Result<BTreeMap<String, String>, ApiError> {
    let mut found = BTreeMap::new();
    for id in ids.iter().filter(|_| session.offers(SECRET)) {
        match session.ask::<_, GetSecretResponse>(SECRET, GetSecretRequest { id: id.clone() }).await {
            Ok(answer) => drop(found.insert(id.clone(), base64::prelude::BASE64_STANDARD.encode(answer.data))),
            Err(status) if status.code() == Code::NotFound => {}
            Err(status) => return Err(ApiError::bad_request(format!("the secret {id:?}: {}", status.message()))),
        }
    }
    Ok(found)
}

/// Sockets in `dir` that lead to the client's agents, by id; they are closed when the tasks are dropped.
///
/// # Errors
/// A socket that cannot be made.
pub async fn agents(
    session: &Arc<Session>,
    ids: &BTreeSet<String>,
    dir: &Path,
) -> Result<(BTreeMap<String, String>, Vec<AbortOnDropHandle<()>>), ApiError> {
    let (mut sockets, mut tasks) = (BTreeMap::new(), Vec::new());
    for (index, id) in ids.iter().enumerate().filter(|_| session.offers(FORWARD_AGENT)) {
        let check = session.ask::<_, CheckAgentResponse>(CHECK_AGENT, CheckAgentRequest { id: id.clone() });
        if check.await.is_err() {
            // The step says that it is missing, if it needs it.
            continue;
        }
        let path = dir.join(format!("ssh{index}"));
        let listener = UnixListener::bind(&path)
            .map_err(|error| ApiError::internal(format!("cannot make {}: {error}", path.display())))?;
        sockets.insert(id.clone(), path.to_string_lossy().into_owned());
        let (session, id) = (Arc::clone(session), id.clone());
        tasks.push(AbortOnDropHandle::new(tokio::spawn(async move {
            let (open, stop) = (TaskTracker::new(), CancellationToken::new());
            let _stop = stop.clone().drop_guard();
            while let Ok((stream, _)) = listener.accept().await {
                let (session, id) = (Arc::clone(&session), id.clone());
                open.spawn(stop.clone().run_until_cancelled_owned(async move { forward(&session, &id, stream).await }));
            }
        })));
    }
    Ok((sockets, tasks))
}

/// One connection to an agent.
async fn forward(session: &Session, id: &str, stream: UnixStream) {
    let mut metadata = MetadataMap::new();
    let Ok(value) = id.parse() else { return };
    metadata.insert("buildkit.ssh.id", value);
    let (mut reader, mut writer) = stream.into_split();
    let (said, hears) = tokio::sync::mpsc::channel(8);
    let there = async move {
        let mut buffer = vec![0; 32 << 10];
        while let Ok(read @ 1..) = reader.read(&mut buffer).await {
            if said.send(BytesMessage { data: buffer[..read].to_vec() }).await.is_err() {
                break;
            }
        }
    };
    let back = async move {
        let mut answers = session.converse::<_, BytesMessage>(FORWARD_AGENT, metadata, hears).await?;
        while let Some(message) = answers.message().await? {
            if writer.write_all(&message.data).await.is_err() {
                break;
            }
        }
        Ok::<_, tonic::Status>(())
    };
    if let (_, Err(status)) = tokio::join!(there, back) {
        tracing::debug!(%status, id, "forwarding an agent ended");
    }
}

#[cfg(test)]
mod tests {
    use hoist_build::dockerfile::{GlobalScope, Platform, parse};

    use super::*;

    #[test]
    fn only_what_is_built_needs_something() {
        let text = "FROM a AS unused\nRUN --mount=type=secret,id=no true\nFROM r.io/b AS one\n\
            RUN --mount=type=secret,id=s --mount=type=ssh true\nFROM scratch\nCOPY --from=one / /\n\
            COPY --from=r2.io/c / /\nRUN --mount=type=secret,target=/run/t --mount=type=ssh,id=k true\n";
        let file = parse("Dockerfile", text.as_bytes()).unwrap();
        let local = Platform::local();
        let global = GlobalScope::new(&file, &BTreeMap::new(), &local, &local).unwrap();
        let plan = Plan::new(&file, &global, [], None).unwrap();
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(
            Needs::of(&file, &[plan]),
            Needs { secrets: set(&["s", "t"]), agents: set(&["default", "k"]), images: set(&["r.io/b", "r2.io/c"]) }
        );
    }
}
