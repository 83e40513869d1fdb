//! Other nodes' images: a socket for each node, behind which its store answers as a registry does.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use hoist_agent::ImageNodes;
use hoist_image::ImagePeer;
use hoist_link::{Link, To};
use hoist_proto::{id::NodeId, spec::Node, wire::tunnel_client::TunnelClient};
use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use super::{
    Member, MemberError,
    tunnel::{self, MAX_MESSAGE},
};

/// A manager that is there answers within this time.
const PATIENCE: Duration = Duration::from_secs(5);

/// The sockets of one daemon, below `<run_root>/peers`.
#[derive(Debug)]
pub struct Sockets {
    dir: PathBuf,
    link: Link,
    cancel: CancellationToken,
    open: Mutex<HashMap<(NodeId, String), PathBuf>>,
}

impl Sockets {
    pub fn new(run_root: &Path, link: Link, cancel: CancellationToken) -> Self {
        Self { dir: run_root.join("peers"), link, cancel, open: Mutex::default() }
    }
}

impl ImageNodes for Sockets {
    fn socket(&self, node: &NodeId, address: &str) -> io::Result<PathBuf> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (node.clone(), address.to_owned());
        if let Some(path) = open.get(&key) {
            return Ok(path.clone());
        }
        fs_err::create_dir_all(&self.dir)?;
        let path = self.dir.join(format!("{node}.sock"));
        match fs_err::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        open.retain(|(other, _), _| other != node);
        open.insert(key, path.clone());
        let (link, cancel, node, address) = (self.link.clone(), self.cancel.clone(), node.clone(), address.to_owned());
        tokio::spawn(async move {
            let channel = link.channel(&address, To::Node(node.clone()));
            loop {
                let accepted = tokio::select! {
                    () = cancel.cancelled() => return,
                    accepted = listener.accept() => accepted,
                };
                let Ok((stream, _)) = accepted else { return };
                let client = TunnelClient::new(channel.clone()).max_decoding_message_size(MAX_MESSAGE);
                tokio::spawn(pass(stream, client, node.clone()));
            }
        });
        Ok(path)
    }
}

/// One connection, there and back.
async fn pass(stream: UnixStream, mut client: TunnelClient<tonic::transport::Channel>, node: NodeId) {
    let (reader, writer) = stream.into_split();
    match client.images(tunnel::outgoing(reader)).await {
        Ok(incoming) => tunnel::pour(incoming.into_inner(), writer).await,
        Err(status) => tracing::info!(%node, "the node's images cannot be reached: {}", status.message()),
    }
}

/// An image that another manager has.
pub struct FoundImage {
    pub id: String,
    pub peer: ImagePeer,
}

impl Member {
    /// The managers beside this one, where this node is a manager.
    pub fn other_managers(&self) -> Vec<Node> {
        let now = self.now();
        let (Some(control), Some(own)) = (now.control, now.node) else { return Vec::new() };
        let others = control.nodes().into_iter().filter(|node| node.manager && node.id != own);
        others.filter(|node| !node.address.is_empty()).map(|node| Node::clone(&node)).collect()
    }

    /// Which image a name stands for on another manager.
    ///
    /// # Errors
    /// When it has none of that name, or cannot be reached.
    pub async fn find_image(&self, node: &Node, name: &str) -> Result<FoundImage, MemberError> {
        let place = self.now().place.ok_or(MemberError::NotPart)?;
        let socket = place.images.socket(&node.id, &node.address)?;
        let stream = UnixStream::connect(&socket).await?;
        let refused = |error: String| MemberError::Refused(format!("node {}: {error}", node.id));
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| refused(error.to_string()))?;
        tokio::spawn(connection);
        let name: String = url_encoded(name);
        let request = axum::http::Request::get(format!("/images?name={name}"))
            .header("host", "peer")
            .body(axum::body::Body::empty())
            .map_err(|error| refused(error.to_string()))?;
        let answer = tokio::time::timeout(PATIENCE, sender.send_request(request))
            .await
            .map_err(|_| refused("no answer in time".into()))?
            .map_err(|error| refused(error.to_string()))?;
        let status = answer.status();
        let body = axum::body::to_bytes(axum::body::Body::new(answer.into_body()), 64 << 10)
            .await
            .map_err(|error| refused(error.to_string()))?;
        if !status.is_success() {
            return Err(refused(String::from_utf8_lossy(&body).into_owned()));
        }
        let found: crate::api::peers::Found =
            serde_json::from_slice(&body).map_err(|error| refused(error.to_string()))?;
        Ok(FoundImage { id: found.id, peer: ImagePeer { name: node.id.to_string(), socket } })
    }
}

/// Percent-encoding of all but letters, digits and a few marks.
fn url_encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b'/');
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
