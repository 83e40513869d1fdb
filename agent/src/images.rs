//! Images that other nodes have.

use std::{fmt, io, path::PathBuf};

use hoist_image::ImagePeer;
use hoist_proto::{id::NodeId, spec::Task, wire::FindImageRequest};

use crate::worker::Worker;

/// The ways to other nodes' images.
pub trait ImageNodes: fmt::Debug + Send + Sync {
    /// A socket behind which a node's images are served as a registry serves them.
    ///
    /// # Errors
    /// When no socket can be made.
    fn socket(&self, node: &NodeId, address: &str) -> io::Result<PathBuf>;
}

/// A node alone has no others.
#[derive(Debug, Clone, Copy)]
pub struct NoNodes;

impl ImageNodes for NoNodes {
    fn socket(&self, node: &NodeId, _: &str) -> io::Result<PathBuf> {
        Err(io::Error::other(format!("node {node} cannot be reached")))
    }
}

impl Worker {
    /// Nodes that have a task's image, as the manager says.
    pub(crate) async fn image_peers(&self, task: &Task) -> Vec<ImagePeer> {
        if self.data_path().is_none() {
            return Vec::new();
        }
        let Ok((mut client, session_id)) = self.inner.attachments.session() else { return Vec::new() };
        let request = FindImageRequest { session_id, task_id: task.id.to_string() };
        let nodes = match client.find_image(request).await {
            Ok(answer) => answer.into_inner().nodes,
            Err(error) => {
                tracing::debug!("no manager says who has the image: {}", error.message());
                return Vec::new();
            }
        };
        let mut peers = Vec::new();
        for node in nodes {
            let Ok(id) = node.node_id.parse::<NodeId>() else { continue };
            match self.inner.image_nodes.socket(&id, &node.address) {
                Ok(socket) => peers.push(ImagePeer { name: node.node_id, socket }),
                Err(error) => tracing::warn!(%error, node = node.node_id, "the node's images cannot be asked for"),
            }
        }
        peers
    }
}
