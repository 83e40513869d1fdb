//! Connections to other nodes, and the credentials that they are made with.

use std::{io, sync::Arc, time::Duration};

use hoist_proto::id::NodeId;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{net::TcpStream, sync::watch};
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};

use crate::{Credentials, tls::HANDSHAKE};

/// A node that is there answers a connection within this time.
const CONNECT: Duration = Duration::from_secs(3);
/// A connection on which nothing is heard is asked whether it lives, this often.
const ALIVE_EVERY: Duration = Duration::from_secs(2);
const ALIVE_WITHIN: Duration = Duration::from_secs(4);

/// Whom a connection must reach; anybody else is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum To {
    /// Any manager of the cluster.
    Manager,
    /// One node.
    Node(NodeId),
}

impl To {
    fn name(&self) -> ServerName<'static> {
        let name = match self {
            Self::Manager => "swarm-manager".to_owned(),
            Self::Node(id) => id.to_string(),
        };
        ServerName::try_from(name).expect("ids and roles are letters, digits and hyphens")
    }
}

/// The node's credentials, which can change while connections are made of them. Clones are the same.
#[derive(Debug, Clone)]
pub struct Link {
    credentials: watch::Sender<Arc<Credentials>>,
}

impl Link {
    /// A node with these credentials.
    pub fn new(credentials: Credentials) -> Self {
        Self { credentials: watch::Sender::new(Arc::new(credentials)) }
    }

    /// What new connections are made with now.
    pub fn credentials(&self) -> Arc<Credentials> {
        self.credentials.borrow().clone()
    }

    /// Takes other credentials for all connections from now on.
    pub fn replace(&self, credentials: Credentials) {
        self.credentials.send_replace(Arc::new(credentials));
    }

    /// Tells of other credentials.
    pub fn changes(&self) -> watch::Receiver<Arc<Credentials>> {
        self.credentials.subscribe()
    }

    /// A channel to `address` (`host:port`) that is connected when it is used, and again when it breaks.
    pub fn channel(&self, address: &str, to: To) -> Channel {
        let (link, name) = (self.clone(), to.name());
        dial(address, name, move || link.credentials().client.clone())
    }
}

impl To {
    /// A channel with TLS settings of its own, for one who is no member yet.
    pub fn channel(&self, address: &str, config: Arc<ClientConfig>) -> Channel {
        dial(address, self.name(), move || config.clone())
    }
}

fn dial(
    address: &str,
    name: ServerName<'static>,
    config: impl Fn() -> Arc<ClientConfig> + Send + Clone + 'static,
) -> Channel {
    let address = address.to_owned();
    let connector = tower::service_fn(move |_| {
        let (address, name, config) = (address.clone(), name.clone(), config());
        async move {
            let late = |what: &str| io::Error::new(io::ErrorKind::TimedOut, format!("{address}: no {what} in time"));
            let stream = tokio::time::timeout(CONNECT, TcpStream::connect(&address))
                .await
                .map_err(|_| late("connection"))?
                .map_err(|err| io::Error::new(err.kind(), format!("{address}: {err}")))?;
            stream.set_nodelay(true)?;
            let stream = tokio::time::timeout(HANDSHAKE, TlsConnector::from(config).connect(name, stream))
                .await
                .map_err(|_| late("handshake"))?
                .map_err(|err| io::Error::new(err.kind(), format!("{address}: {err}")))?;
            Ok::<_, io::Error>(TokioIo::new(stream))
        }
    });
    // The address is for the eye: the connector has its own.
    Endpoint::from_static("http://node.hoist")
        .http2_keep_alive_interval(ALIVE_EVERY)
        .keep_alive_timeout(ALIVE_WITHIN)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .connect_with_connector_lazy(connector)
}
