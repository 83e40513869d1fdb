//! The one port over real sockets: who gets in, and as whom.
#![allow(clippy::unwrap_used)]

use std::{io, time::Duration};

use futures_util::StreamExt;
use hoist_link::{Authority, Credentials, Link, Listener, NodeKey, Peer, Subject, To, stranger};
use hoist_proto::{
    clock::{Clock, SystemClock, Timestamp},
    id::{ClusterId, NodeId},
    spec::Role,
};
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

const LIFE: Duration = Duration::from_secs(300);

struct Cluster {
    id: ClusterId,
    root: Authority,
}

impl Cluster {
    fn new() -> Self {
        Self { id: ClusterId::random(), root: Authority::generate(SystemClock.now()).unwrap() }
    }

    fn node_at(&self, role: Role, now: Timestamp, life: Duration) -> Credentials {
        let key = NodeKey::generate().unwrap();
        let subject = Subject { node: NodeId::random(), cluster: self.id.clone(), role };
        let chain = self.root.issue(&key.request().unwrap(), &subject, now, life).unwrap();
        Credentials::new(key, &chain, self.root.trust().pem()).unwrap()
    }

    fn node(&self, role: Role) -> Credentials {
        self.node_at(role, SystemClock.now(), LIFE)
    }
}

/// A manager's port that tells who has come.
async fn manager(cluster: &Cluster) -> (String, Link, tokio::sync::mpsc::Receiver<Peer>, CancellationToken) {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let link = Link::new(cluster.node(Role::Manager));
    let (listener, stop) = (Listener::bind(&free).await.unwrap(), CancellationToken::new());
    let (sender, receiver) = tokio::sync::mpsc::channel(4);
    let incoming = listener.incoming(link.clone(), stop.clone());
    tokio::spawn(async move {
        let mut incoming = std::pin::pin!(incoming);
        while let Some(Ok(mut connection)) = incoming.next().await {
            let _ = sender.send(connection.connect_info()).await;
            let _ = connection.write_all(b"hello").await;
            let _ = connection.shutdown().await;
        }
    });
    (free, link, receiver, stop)
}

/// A call that cannot succeed, for nobody speaks HTTP there: the connection is what counts.
async fn call(channel: tonic::transport::Channel) -> String {
    use tonic::codegen::Service;
    let mut channel = channel;
    let ready = std::future::poll_fn(|cx| channel.poll_ready(cx)).await;
    let error: Box<dyn std::error::Error> = match ready {
        Err(error) => error.into(),
        Ok(()) => {
            let request = tonic::codegen::http::Request::new(tonic::body::Body::empty());
            match channel.call(request).await {
                Ok(_) => return String::new(),
                Err(error) => error.into(),
            }
        }
    };
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

async fn came(receiver: &mut tokio::sync::mpsc::Receiver<Peer>) -> io::Result<Peer> {
    tokio::time::timeout(Duration::from_secs(20), receiver.recv())
        .await
        .ok()
        .flatten()
        .ok_or_else(|| io::Error::other("nobody came"))
}

#[tokio::test]
async fn a_node_is_known_by_its_certificate() {
    let cluster = Cluster::new();
    let (address, _, mut peers, stop) = manager(&cluster).await;
    let worker = Link::new(cluster.node(Role::Worker));
    call(worker.channel(&address, To::Manager)).await;
    let identity = came(&mut peers).await.unwrap().identity.unwrap();
    assert_eq!(identity.subject, worker.credentials().identity().subject);

    // A stranger with the right fingerprint gets in, as nobody.
    let config = stranger(&cluster.root.trust().fingerprint()).unwrap();
    call(To::Manager.channel(&address, config)).await;
    assert!(came(&mut peers).await.unwrap().identity.is_none());
    stop.cancel();
}

#[tokio::test]
async fn forged_and_expired_certificates_are_refused() {
    let cluster = Cluster::new();
    let (address, _, mut peers, stop) = manager(&cluster).await;

    // Issued by another root that has the same name.
    let forger = Cluster { id: cluster.id.clone(), root: Authority::generate(SystemClock.now()).unwrap() };
    let key = NodeKey::generate().unwrap();
    let subject = Subject { node: NodeId::random(), cluster: cluster.id.clone(), role: Role::Manager };
    let chain = forger.root.issue(&key.request().unwrap(), &subject, SystemClock.now(), LIFE).unwrap();
    let forged = Link::new(Credentials::new(key, &chain, cluster.root.trust().pem()).unwrap());
    call(forged.channel(&address, To::Manager)).await;

    // Good until an hour ago.
    let past = SystemClock.now() - Duration::from_secs(3600) - LIFE;
    let expired = Link::new(cluster.node_at(Role::Manager, past, LIFE));
    call(expired.channel(&address, To::Manager)).await;

    // Another cluster's, although its root is believed.
    let other = Cluster { id: ClusterId::random(), root: Authority::generate(SystemClock.now()).unwrap() };
    let subject = Subject { node: NodeId::random(), cluster: other.id, role: Role::Manager };
    let key = NodeKey::generate().unwrap();
    let chain = cluster.root.issue(&key.request().unwrap(), &subject, SystemClock.now(), LIFE).unwrap();
    let foreign = Link::new(Credentials::new(key, &chain, cluster.root.trust().pem()).unwrap());
    call(foreign.channel(&address, To::Manager)).await;

    // Of all these nobody came in: the next one is the next one.
    let good = Link::new(cluster.node(Role::Manager));
    call(good.channel(&address, To::Manager)).await;
    let identity = came(&mut peers).await.unwrap().identity.unwrap();
    assert_eq!(identity.subject, good.credentials().identity().subject);
    stop.cancel();
}

#[tokio::test]
async fn nobody_is_taken_for_another() {
    let cluster = Cluster::new();
    let (address, link, mut peers, stop) = manager(&cluster).await;
    let worker = Link::new(cluster.node(Role::Worker));
    let wrong = call(worker.channel(&address, To::Node(NodeId::random()))).await;
    assert!(wrong.contains("certificate"), "{wrong}");
    let wrong = call(To::Manager.channel(&address, stranger(&"0".repeat(50)).unwrap())).await;
    assert!(wrong.contains("UnknownIssuer"), "{wrong}");
    let right = link.credentials().identity().subject.node.clone();
    call(worker.channel(&address, To::Node(right))).await;
    assert!(came(&mut peers).await.unwrap().identity.is_some());
    stop.cancel();
}

#[tokio::test]
async fn the_next_root_is_believed_by_those_who_know_only_the_one_before() {
    let now = SystemClock.now();
    let (before, next) = (Cluster::new(), Authority::generate(now).unwrap());
    let vouched = before.root.vouch_for(&next, now).unwrap();
    let key = NodeKey::generate().unwrap();
    let subject = Subject { node: NodeId::random(), cluster: before.id.clone(), role: Role::Worker };
    let chain = next.issue(&key.request().unwrap(), &subject, now, LIFE).unwrap();
    let renewed = Link::new(Credentials::new(key, &format!("{chain}{vouched}"), before.root.trust().pem()).unwrap());
    let (address, _, mut peers, stop) = manager(&before).await;
    call(renewed.channel(&address, To::Manager)).await;
    assert_eq!(came(&mut peers).await.unwrap().identity.unwrap().subject, subject);
    assert_eq!(renewed.credentials().identity().issuer_key, next.trust().key_id());
    stop.cancel();
}

#[test]
fn a_request_is_heard_for_its_key_only() {
    let cluster = Cluster::new();
    let subject = Subject { node: NodeId::random(), cluster: cluster.id.clone(), role: Role::Worker };
    for malformed in [&b""[..], b"x", &[0x30; 40], &[0; 20_000]] {
        assert!(cluster.root.issue(malformed, &subject, SystemClock.now(), LIFE).is_err());
    }
    let node = cluster.node(Role::Worker);
    assert_eq!(node.identity().subject.role, Role::Worker);
    assert_eq!(node.identity().issuer_key, cluster.root.trust().key_id());
}

#[test]
fn credentials_come_back_from_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let node = Cluster::new().node(Role::Manager);
    node.save(dir.path(), |key| key).unwrap();
    let loaded = Credentials::load(dir.path(), Ok).unwrap().unwrap();
    assert_eq!(loaded.identity(), node.identity());
    let path = dir.path().join("node.key");
    fs_err::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    assert!(Credentials::load(dir.path(), Ok).unwrap_err().to_string().contains("mode"));
}
