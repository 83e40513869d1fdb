//! Other nodes' devices: a manager asks each of them.

use std::time::Duration;

use axum::{
    body::Body,
    extract::Request,
    http::{Method, StatusCode},
};
use futures_util::future::join_all;
use hoist_proto::{
    id::NodeId,
    spec::{Node, NodeState},
};

use super::Listed;
use crate::api::{State, error::ApiError, forward};

/// A node that does not answer in this time is told of instead.
const PATIENCE: Duration = Duration::from_secs(5);
/// No node's answer is longer.
const LARGEST: usize = 16 << 20;

fn name_of(node: &Node) -> String {
    node.spec.name.clone().unwrap_or_else(|| node.description.hostname.clone())
}

/// The node that a person calls so.
pub(super) fn named(state: &State, name: &str) -> Result<NodeId, ApiError> {
    Ok(state.control()?.node(name)?.id)
}

/// Adds what the other nodes have; those that do not answer are warned of.
pub(super) async fn add_others(state: &State, listed: &mut Listed) -> Result<(), ApiError> {
    let own = state.member.node();
    let nodes = state.control()?.nodes();
    let others: Vec<&Node> =
        nodes.iter().filter(|node| own.as_ref() != Some(&node.id) && !node.description.devices.is_empty()).collect();
    if let Some(node) = nodes.iter().find(|node| own.as_ref() == Some(&node.id)) {
        call(&mut listed.devices, node);
    }
    let answers = join_all(others.iter().map(|node| ask(state, node))).await;
    for (node, answer) in others.iter().zip(answers) {
        match answer {
            Ok(mut theirs) => {
                call(&mut theirs.devices, node);
                listed.devices.append(&mut theirs.devices);
                let name = name_of(node);
                listed.warnings.extend(theirs.warnings.into_iter().map(|warning| format!("{name}: {warning}")));
            }
            Err(why) => listed.warnings.push(format!("node {} does not tell of its devices: {why}", name_of(node))),
        }
    }
    Ok(())
}

/// By the name that the cluster has for their node.
fn call(devices: &mut [serde_json::Value], node: &Node) {
    for device in devices {
        (device["Node"], device["NodeID"]) = (name_of(node).into(), node.id.as_str().into());
    }
}

async fn ask(state: &State, node: &Node) -> Result<Listed, String> {
    if node.status.state != NodeState::Ready {
        return Err("it is not ready".into());
    }
    let request = Request::builder().method(Method::GET).uri("/hoist/v1/devices").body(Body::empty());
    let asked = async {
        let answer = forward::to_node(state, &node.id, request.map_err(|error| error.to_string())?).await;
        let answer = answer.map_err(|error| error.message)?;
        if answer.status() != StatusCode::OK {
            return Err(format!("it answers {}", answer.status()));
        }
        let body = axum::body::to_bytes(answer.into_body(), LARGEST).await.map_err(|error| error.to_string())?;
        serde_json::from_slice(&body).map_err(|error| error.to_string())
    };
    tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err("it does not answer".into()))
}
