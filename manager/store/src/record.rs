//! What the tables hold.

use std::{fmt, hash::Hash, sync::Arc};

use hoist_proto::{
    id::{AttachmentId, ClusterId, ConfigId, JobId, NetworkId, NodeId, SecretId, ServiceId, TaskId, VolumeId},
    spec::{Attachment, Cluster, ClusterNetwork, ClusterVolume, Config, Job, Meta, Node, Queue, Secret, Service, Task},
};
use serde::{Deserialize, Serialize};

use crate::{Table, Tables};

/// A kind of record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Cluster,
    Node,
    Service,
    Task,
    Network,
    Volume,
    Secret,
    Config,
    Job,
    Queue,
    Attachment,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cluster => "cluster",
            Self::Node => "node",
            Self::Service => "service",
            Self::Task => "task",
            Self::Network => "network",
            Self::Volume => "volume",
            Self::Secret => "secret",
            Self::Config => "config",
            Self::Job => "job",
            Self::Queue => "queue",
            Self::Attachment => "attachment",
        })
    }
}

/// By what records are found besides their id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Index {
    Name,
    Project,
    Service,
    Node,
    /// Of records that were given addresses on it.
    Network,
}

/// A type that the store keeps a table of.
pub trait Record: Clone + fmt::Debug + Send + Sync + Sized + 'static {
    /// Its identifier.
    type Id: Clone + Ord + Hash + fmt::Debug + fmt::Display + Send + Sync + 'static;
    /// Its kind.
    const KIND: Kind;
    /// Whether two records may have the same [`Index::Name`].
    const UNIQUE_NAME: bool;

    fn id(&self) -> &Self::Id;
    fn meta(&self) -> &Meta;
    fn meta_mut(&mut self) -> &mut Meta;
    /// The keys under which the record is found.
    fn keys(&self) -> Vec<(Index, &str)>;
    /// The record as one of all kinds.
    fn wrap(this: Arc<Self>) -> Object;
    /// The record out of one of all kinds, when it is of this kind.
    fn unwrap(object: &Object) -> Option<&Arc<Self>>;
    fn table(tables: &Tables) -> &Table<Self>;
    fn table_mut(tables: &mut Tables) -> &mut Table<Self>;
}

macro_rules! records {
    ($($variant:ident($type:ty, $id:ty, $field:ident, unique: $unique:literal, |$this:ident| $keys:expr)),* $(,)?) => {
        /// A record of any kind.
        #[derive(Debug, Clone, Serialize, Deserialize)]
        #[serde(tag = "kind", content = "record", rename_all = "lowercase")]
        pub enum Object {
            $($variant(Arc<$type>),)*
        }

        impl Object {
            /// Its kind.
            pub fn kind(&self) -> Kind {
                match self { $(Self::$variant(_) => Kind::$variant,)* }
            }

            /// Its id, as text.
            pub fn id(&self) -> &str {
                match self { $(Self::$variant(record) => record.id.as_str(),)* }
            }
        }

        $(impl Record for $type {
            type Id = $id;
            const KIND: Kind = Kind::$variant;
            const UNIQUE_NAME: bool = $unique;
            fn id(&self) -> &$id { &self.id }
            fn meta(&self) -> &Meta { &self.meta }
            fn meta_mut(&mut self) -> &mut Meta { &mut self.meta }
            fn keys(&self) -> Vec<(Index, &str)> { let $this = self; $keys }
            fn wrap(this: Arc<Self>) -> Object { Object::$variant(this) }
            fn unwrap(object: &Object) -> Option<&Arc<Self>> {
                match object { Object::$variant(record) => Some(record), _ => None }
            }
            fn table(tables: &Tables) -> &Table<Self> { &tables.$field }
            fn table_mut(tables: &mut Tables) -> &mut Table<Self> { &mut tables.$field }
        })*
    };
}

fn named<'a>(name: &'a str, project: Option<&'a str>) -> Vec<(Index, &'a str)> {
    let mut keys = vec![(Index::Name, name)];
    keys.extend(project.map(|project| (Index::Project, project)));
    keys
}

records! {
    Cluster(Cluster, ClusterId, clusters, unique: true, |this| named(&this.name, None)),
    Node(Node, NodeId, nodes, unique: false, |this| named(&this.description.hostname, None)),
    Service(Service, ServiceId, services, unique: true,
        |this| {
            let mut keys = named(&this.spec.name, this.spec.compose.as_ref().map(|origin| origin.project.as_str()));
            keys.extend(this.virtual_ips.iter().map(|given| (Index::Network, given.network.as_str())));
            keys.extend(this.mesh.iter().map(|mesh| (Index::Network, mesh.network.as_str())));
            keys
        }),
    Task(Task, TaskId, tasks, unique: false, |this| {
        let mut keys = vec![(Index::Service, this.service.as_str())];
        keys.extend(this.node.as_ref().map(|node| (Index::Node, node.as_str())));
        keys.extend(this.project.as_deref().map(|project| (Index::Project, project)));
        keys.extend(this.addresses.iter().map(|given| (Index::Network, given.network.as_str())));
        keys
    }),
    Network(ClusterNetwork, NetworkId, networks, unique: true,
        |this| named(&this.spec.name, this.project.as_deref())),
    Volume(ClusterVolume, VolumeId, volumes, unique: true,
        |this| named(&this.spec.name, this.project.as_deref())),
    Secret(Secret, SecretId, secrets, unique: true, |this| named(&this.name, None)),
    Config(Config, ConfigId, configs, unique: true, |this| named(&this.name, None)),
    Job(Job, JobId, jobs, unique: false, |this| named(&this.spec.name, None)),
    Queue(Queue, ClusterId, queues, unique: false, |_this| Vec::new()),
    Attachment(Attachment, AttachmentId, attachments, unique: false,
        |this| vec![(Index::Network, this.network.as_str()), (Index::Node, this.node.as_str())]),
}
