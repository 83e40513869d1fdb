//! A task's container is reached from any manager, wherever it runs: what is asked of it goes to its node.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use axum::{
    body::{Body, Bytes},
    extract::{Request, State as With},
    middleware::Next,
    response::{IntoResponse, Response},
};
use hoist_proto::{id::NodeId, spec::Task};
use serde_json::Value;

use super::{State, error::ApiError, forward};

/// What can be asked of a container elsewhere. It is started, stopped and removed by its service only.
const VERBS: &[&str] =
    &["archive", "attach", "changes", "exec", "export", "json", "logs", "resize", "stats", "top", "wait"];
/// No body of a request that names a container inside is longer.
const BODY: usize = 1 << 20;
/// So many processes in containers elsewhere are remembered.
const REMEMBERED: usize = 4096;

/// On which nodes the processes are that were made through this one.
#[derive(Debug, Default)]
pub struct Elsewhere(Mutex<HashMap<String, NodeId>>);

impl Elsewhere {
    fn remember(&self, exec: String, node: NodeId) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            // Most of them have ended long ago; who comes late is told that there is no such process.
            known.clear();
        }
        known.insert(exec, node);
    }

    fn node(&self, exec: &str) -> Option<NodeId> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(exec).cloned()
    }
}

/// Passes on what is about a container elsewhere; all else is answered here.
pub async fn reach(With(state): With<State>, request: Request, next: Next) -> Response {
    if !state.member.is_active() || forward::was_passed(&request) {
        return next.run(request).await;
    }
    match pass(&state, request).await {
        Ok(Passed::Answer(response)) => response,
        Ok(Passed::Here(request)) => next.run(*request).await,
        Err(error) => error.into_response(),
    }
}

enum Passed {
    Answer(Response),
    Here(Box<Request>),
}

async fn pass(state: &State, request: Request) -> Result<Passed, ApiError> {
    let path = request.uri().path().to_owned();
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    match parts.as_slice() {
        ["containers", name, verb, ..] if VERBS.contains(verb) => {
            let Some((node, container)) = find(state, name).await else { return Ok(Passed::Here(Box::new(request))) };
            let rest = parts[2..].join("/");
            let response = ask(state, &node, request, &format!("/containers/{container}/{rest}")).await?;
            if *verb != "exec" {
                return Ok(Passed::Answer(response));
            }
            let (head, body) = response.into_parts();
            let bytes = read(body).await?;
            let id =
                serde_json::from_slice::<Value>(&bytes).ok().and_then(|made| Some(made["Id"].as_str()?.to_owned()));
            if let Some(id) = id {
                state.elsewhere.remember(id, node);
            }
            Ok(Passed::Answer(Response::from_parts(head, Body::from(bytes))))
        }
        ["exec", id, ..] => match state.elsewhere.node(id) {
            Some(node) => Ok(Passed::Answer(ask(state, &node, request, &path).await?)),
            None => Ok(Passed::Here(Box::new(request))),
        },
        ["hoist", "v1", "containers", name, "connect"] => {
            let Some((node, container)) = find(state, name).await else { return Ok(Passed::Here(Box::new(request))) };
            let path = format!("/hoist/v1/containers/{container}/connect");
            Ok(Passed::Answer(ask(state, &node, request, &path).await?))
        }
        ["hoist", "v1", "exec"] => {
            let (head, body) = request.into_parts();
            let mut bytes = read(body).await?;
            let asked = serde_json::from_slice::<Value>(&bytes).ok();
            let name = asked.as_ref().and_then(|asked| asked["container"].as_str());
            let found = match name {
                Some(name) => find(state, name).await,
                None => None,
            };
            let Some(((node, container), mut asked)) = found.zip(asked) else {
                return Ok(Passed::Here(Box::new(Request::from_parts(head, Body::from(bytes)))));
            };
            asked["container"] = container.into();
            bytes = serde_json::to_vec(&asked).map_err(|error| ApiError::internal(error.to_string()))?.into();
            let mut request = Request::from_parts(head, Body::from(bytes.clone()));
            request.headers_mut().insert(axum::http::header::CONTENT_LENGTH, bytes.len().into());
            Ok(Passed::Answer(ask(state, &node, request, &path).await?))
        }
        _ => Ok(Passed::Here(Box::new(request))),
    }
}

async fn read(body: Body) -> Result<Bytes, ApiError> {
    axum::body::to_bytes(body, BODY)
        .await
        .map_err(|error| ApiError::bad_request(format!("the request's body could not be read: {error}")))
}

/// Asks a node, under another path and with the same query.
async fn ask(state: &State, node: &NodeId, mut request: Request, path: &str) -> Result<Response, ApiError> {
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    *request.uri_mut() =
        format!("{path}{query}").parse().map_err(|error| ApiError::bad_request(format!("invalid path: {error}")))?;
    forward::to_node(state, node, request).await
}

/// The node and the id of a task's container that is not on this node: by the task's id or the beginning of it, by
/// the container's, or by its name.
async fn find(state: &State, name: &str) -> Option<(NodeId, String)> {
    if name.is_empty() || state.engine.inspect(name).await.is_ok() {
        return None;
    }
    let (control, own) = (state.member.control()?, state.member.node());
    let mut found = None;
    for task in control.tasks() {
        let (Some(node), Some(container)) = (&task.node, &task.status.container_id) else { continue };
        if own.as_ref() == Some(node) || !is_named(&task, container, name) {
            continue;
        }
        let here = (node.clone(), container.clone());
        if task.id.as_str() == name || container == name {
            return Some(here);
        }
        if found.is_some() {
            // More than one begins so, or an old task has the same name: only the whole id tells.
            return None;
        }
        found = Some(here);
    }
    found
}

fn is_named(task: &Task, container: &str, name: &str) -> bool {
    let container_name = task.name.as_str();
    name == container_name || (name.len() >= 4 && (task.id.as_str().starts_with(name) || container.starts_with(name)))
}
