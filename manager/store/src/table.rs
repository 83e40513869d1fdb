//! One table a kind, and the ways to find a record in it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use hoist_proto::{
    id::{NodeId, ServiceId},
    protocol::Protocol,
    spec::{
        Attachment, Cluster, ClusterNetwork, ClusterVolume, Config, Job, Node, Queue, Secret, Service, Task, TaskSpec,
    },
};

use crate::{Change, Event, Index, Kind, Object, Record};

/// All records of one kind, by id and by what else they are found by.
#[derive(Debug, Clone)]
pub struct Table<T: Record> {
    rows: BTreeMap<T::Id, Arc<T>>,
    index: BTreeMap<Index, BTreeMap<String, BTreeSet<T::Id>>>,
}

impl<T: Record> Default for Table<T> {
    fn default() -> Self {
        Self { rows: BTreeMap::new(), index: BTreeMap::new() }
    }
}

impl<T: Record> Table<T> {
    pub fn get(&self, id: &T::Id) -> Option<&Arc<T>> {
        self.rows.get(id)
    }

    /// All records, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<T>> {
        self.rows.values()
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The records that have `key` in `index`.
    pub fn by(&self, index: Index, key: &str) -> impl Iterator<Item = &Arc<T>> {
        let ids = self.index.get(&index).and_then(|keys| keys.get(key));
        ids.into_iter().flatten().filter_map(|id| self.rows.get(id))
    }

    /// The first record of that name; the only one where names are unique.
    pub fn named(&self, name: &str) -> Option<&Arc<T>> {
        self.by(Index::Name, name).next()
    }

    /// Puts a record in, and gives back the one that was there.
    pub(crate) fn insert(&mut self, record: Arc<T>) -> Option<Arc<T>> {
        let before = self.remove(record.id());
        for (index, key) in record.keys() {
            let ids = self.index.entry(index).or_default().entry(key.to_owned()).or_default();
            ids.insert(record.id().clone());
        }
        self.rows.insert(record.id().clone(), record);
        before
    }

    pub(crate) fn remove(&mut self, id: &T::Id) -> Option<Arc<T>> {
        let record = self.rows.remove(id)?;
        for (index, key) in record.keys() {
            if let Some(keys) = self.index.get_mut(&index)
                && let Some(ids) = keys.get_mut(key)
            {
                ids.remove(id);
                if ids.is_empty() {
                    keys.remove(key);
                }
            }
        }
        Some(record)
    }
}

/// Every table.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    pub(crate) clusters: Table<Cluster>,
    pub(crate) nodes: Table<Node>,
    pub(crate) services: Table<Service>,
    pub(crate) tasks: Table<Task>,
    pub(crate) networks: Table<ClusterNetwork>,
    pub(crate) volumes: Table<ClusterVolume>,
    pub(crate) secrets: Table<Secret>,
    pub(crate) configs: Table<Config>,
    pub(crate) jobs: Table<Job>,
    pub(crate) queues: Table<Queue>,
    pub(crate) attachments: Table<Attachment>,
    /// The definition that a service's last new task has: the next one's is most likely the same.
    specs: HashMap<ServiceId, Arc<TaskSpec>>,
}

/// Runs `$body` with `$table` bound to the table of a kind that is known only at run time.
macro_rules! with_kind {
    ($kind:expr, $type:ident => $body:expr) => {
        match $kind {
            $crate::Kind::Cluster => {
                type $type = hoist_proto::spec::Cluster;
                $body
            }
            $crate::Kind::Node => {
                type $type = hoist_proto::spec::Node;
                $body
            }
            $crate::Kind::Service => {
                type $type = hoist_proto::spec::Service;
                $body
            }
            $crate::Kind::Task => {
                type $type = hoist_proto::spec::Task;
                $body
            }
            $crate::Kind::Network => {
                type $type = hoist_proto::spec::ClusterNetwork;
                $body
            }
            $crate::Kind::Volume => {
                type $type = hoist_proto::spec::ClusterVolume;
                $body
            }
            $crate::Kind::Secret => {
                type $type = hoist_proto::spec::Secret;
                $body
            }
            $crate::Kind::Config => {
                type $type = hoist_proto::spec::Config;
                $body
            }
            $crate::Kind::Job => {
                type $type = hoist_proto::spec::Job;
                $body
            }
            $crate::Kind::Queue => {
                type $type = hoist_proto::spec::Queue;
                $body
            }
            $crate::Kind::Attachment => {
                type $type = hoist_proto::spec::Attachment;
                $body
            }
        }
    };
}

impl Tables {
    /// The table of a kind that is known at compile time: `tables.of::<Task>()`.
    pub fn of<T: Record>(&self) -> &Table<T> {
        T::table(self)
    }

    pub fn get<T: Record>(&self, id: &T::Id) -> Option<&Arc<T>> {
        T::table(self).get(id)
    }

    pub fn services(&self) -> &Table<Service> {
        &self.services
    }

    pub fn tasks(&self) -> &Table<Task> {
        &self.tasks
    }

    pub fn nodes(&self) -> &Table<Node> {
        &self.nodes
    }

    pub fn networks(&self) -> &Table<ClusterNetwork> {
        &self.networks
    }

    pub fn volumes(&self) -> &Table<ClusterVolume> {
        &self.volumes
    }

    pub fn secrets(&self) -> &Table<Secret> {
        &self.secrets
    }

    pub fn configs(&self) -> &Table<Config> {
        &self.configs
    }

    pub fn jobs(&self) -> &Table<Job> {
        &self.jobs
    }

    pub fn attachments(&self) -> &Table<Attachment> {
        &self.attachments
    }

    /// The queue's record, once something was set or submitted.
    pub fn queue(&self) -> Option<&Arc<Queue>> {
        self.queues.iter().next()
    }

    /// The cluster's own record, once it has been made.
    pub fn cluster(&self) -> Option<&Arc<Cluster>> {
        self.clusters.iter().next()
    }

    /// The version of the cluster's protocol that all managers speak.
    pub fn protocol(&self) -> Protocol {
        self.cluster().map(|cluster| cluster.protocol).unwrap_or_default()
    }

    /// The tasks of a service, in the order of their ids.
    pub fn tasks_of(&self, service: &ServiceId) -> impl Iterator<Item = &Arc<Task>> {
        self.tasks.by(Index::Service, service.as_str())
    }

    /// The tasks bound to a node.
    pub fn tasks_on(&self, node: &NodeId) -> impl Iterator<Item = &Arc<Task>> {
        self.tasks.by(Index::Node, node.as_str())
    }

    /// Every record of every kind.
    pub fn objects(&self) -> impl Iterator<Item = Object> {
        let clusters = self.clusters.iter().cloned().map(Object::Cluster);
        let nodes = self.nodes.iter().cloned().map(Object::Node);
        let services = self.services.iter().cloned().map(Object::Service);
        let tasks = self.tasks.iter().cloned().map(Object::Task);
        let networks = self.networks.iter().cloned().map(Object::Network);
        let volumes = self.volumes.iter().cloned().map(Object::Volume);
        let secrets = self.secrets.iter().cloned().map(Object::Secret);
        let configs = self.configs.iter().cloned().map(Object::Config);
        let jobs = self.jobs.iter().cloned().map(Object::Job);
        let queues = self.queues.iter().cloned().map(Object::Queue);
        let attachments = self.attachments.iter().cloned().map(Object::Attachment);
        let rest = jobs.chain(queues).chain(attachments);
        clusters
            .chain(nodes)
            .chain(services)
            .chain(tasks)
            .chain(networks)
            .chain(volumes)
            .chain(secrets)
            .chain(configs)
            .chain(rest)
    }

    /// A record that comes from the log or a snapshot: tasks of one definition share it.
    pub(crate) fn share(&mut self, object: Object) -> Object {
        let Object::Task(mut task) = object else { return object };
        let known = self.specs.entry(task.service.clone()).or_insert_with(|| task.spec.clone());
        if !Arc::ptr_eq(known, &task.spec) {
            if *known == task.spec {
                Arc::make_mut(&mut task).spec = known.clone();
            } else {
                known.clone_from(&task.spec);
            }
        }
        Object::Task(task)
    }

    /// Puts a record in as it is.
    pub(crate) fn insert(&mut self, object: Object) -> Option<Object> {
        with_kind!(object.kind(), T => {
            let record = T::unwrap(&object).expect("the object is of its own kind").clone();
            T::table_mut(self).insert(record).map(T::wrap)
        })
    }

    pub(crate) fn remove(&mut self, kind: Kind, id: &str) -> Option<Object> {
        with_kind!(kind, T => {
            let id = id.parse::<<T as Record>::Id>().ok()?;
            T::table_mut(self).remove(&id).map(T::wrap)
        })
    }

    /// Applies one committed change, and says what it did; `None` when it did nothing.
    pub(crate) fn apply(&mut self, index: u64, change: Change) -> Option<Event> {
        match change {
            Change::Put { object } => {
                let object = self.share(stamp(object, index));
                let before = self.insert(object.clone());
                Some(Event { before, after: Some(object) })
            }
            Change::Move { mut task } => {
                let before = self.tasks.get(&task.id)?.clone();
                let moved = Arc::make_mut(&mut task);
                moved.spec = before.spec.clone();
                moved.meta.version = index;
                self.tasks.insert(task.clone());
                Some(Event { before: Some(Object::Task(before)), after: Some(Object::Task(task)) })
            }
            Change::Status { task, updated, status } => {
                let before = self.tasks.get(&task)?.clone();
                let mut after = Task { status: *status, ..Task::clone(&before) };
                (after.meta.version, after.meta.updated) = (index, updated);
                let after = Arc::new(after);
                self.tasks.insert(after.clone());
                Some(Event { before: Some(Object::Task(before)), after: Some(Object::Task(after)) })
            }
            Change::Remove { kind, id } => {
                if let Some(service) = id.parse::<ServiceId>().ok().filter(|_| kind == Kind::Service) {
                    self.specs.remove(&service);
                }
                self.remove(kind, &id).map(|before| Event { before: Some(before), after: None })
            }
        }
    }

    /// The version of a record that is there.
    pub(crate) fn version(&self, kind: Kind, id: &str) -> Option<u64> {
        with_kind!(kind, T => {
            let id = id.parse::<<T as Record>::Id>().ok()?;
            T::table(self).get(&id).map(|record| record.meta().version)
        })
    }

    /// Makes one record the same as in `other`.
    pub(crate) fn copy_from(&mut self, other: &Tables, kind: Kind, id: &str) {
        with_kind!(kind, T => {
            let Ok(id) = id.parse::<<T as Record>::Id>() else { return };
            match T::table(other).get(&id) {
                Some(record) => drop(T::table_mut(self).insert(record.clone())),
                None => drop(T::table_mut(self).remove(&id)),
            }
        });
    }
}

fn stamp(object: Object, index: u64) -> Object {
    with_kind!(object.kind(), T => {
        let mut record = T::unwrap(&object).expect("the object is of its own kind").clone();
        drop(object);
        // The proposal's own copy is gone by now, so that this seldom clones.
        Arc::make_mut(&mut record).meta_mut().version = index;
        T::wrap(record)
    })
}
