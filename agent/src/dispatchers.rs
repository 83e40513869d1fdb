//! The way to the dispatcher that leads.

use std::{future::Future, pin::Pin};

use hoist_proto::{spec::NodeTls, wire::SessionMessage};
use tonic::{Status, transport::Channel};

/// Knows the managers, and which of them may lead.
pub trait Dispatchers: Send + Sync + 'static {
    /// A channel to the one to try next; connected when it is used.
    fn next(&self) -> Channel;

    /// A session ended. True when there is another one to be tried at once.
    fn ended(&self, why: &Status) -> bool;

    /// What the dispatcher tells of the cluster.
    fn heard(&self, news: SessionMessage);

    /// What the node tells of its certificate.
    fn tls(&self) -> Option<NodeTls>;

    /// Ends when the node has to introduce itself anew: when [`Self::tls`] has changed since this call.
    fn changed(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// One dispatcher, for ever: that of a cluster of one.
#[derive(Debug, Clone)]
pub struct One(pub Channel);

impl Dispatchers for One {
    fn next(&self) -> Channel {
        self.0.clone()
    }

    fn ended(&self, _: &Status) -> bool {
        false
    }

    fn heard(&self, _: SessionMessage) {}

    fn tls(&self) -> Option<NodeTls> {
        None
    }

    fn changed(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::pending())
    }
}
