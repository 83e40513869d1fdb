//! What runs for a place in the cluster: started as the files say, and stopped in order.

use std::{path::PathBuf, sync::Arc};

use hoist_agent::{Agent, AgentConfig, Dispatchers, ImageNodes, NoNodes, One};
use hoist_link::{Credentials, Link, Listener};
use hoist_manager::{Manager, ManagerConfig, ManagerError, Membership};
use hoist_proto::{id::NodeId, spec::Role};
use hoist_raft::Begin;
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::service::Routes;

use super::{
    Member, MemberError, Now, Place, Wish, file::NodeFile, images::Sockets, remotes::Remotes, renew, serve, tunnel,
};

/// A manager, an agent, a port.
pub struct Running {
    manager: Option<Manager>,
    agent: Agent,
    tasks: TaskTracker,
    cancel: CancellationToken,
}

/// Where the cluster's files lie.
pub fn dir(member: &Member) -> PathBuf {
    member.inner.parts.data_root.join("cluster")
}

/// The log and its key.
const LOG: [&str; 2] = ["log.redb", "key"];

/// Forgets the log: another cluster's is to come, or none.
pub fn forget_log(member: &Member) -> Result<(), MemberError> {
    remove(&dir(member), &LOG)
}

/// Forgets everything about the cluster.
pub fn forget_all(member: &Member) -> Result<(), MemberError> {
    let dir = dir(member);
    // Without this file the node is in no cluster, whatever else is left.
    remove(&dir, &["node.json", "node.key", "node.crt", "ca.crt"])?;
    remove(&dir, &LOG)?;
    // The next cluster's keys are not this one's to lock.
    member.inner.lock.learn(None);
    Ok(hoist_agent::forget_cluster(&member.inner.parts.data_root)?)
}

fn remove(dir: &std::path::Path, names: &[&str]) -> Result<(), MemberError> {
    for name in names {
        match fs_err::remove_file(dir.join(name)) {
            Err(err) if err.kind() != std::io::ErrorKind::NotFound => return Err(err.into()),
            _ => {}
        }
    }
    match fs_err::File::open(dir) {
        Ok(dir) => Ok(dir.sync_all()?),
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(err) => Err(err.into()),
    }
}

/// With what a manager begins.
pub enum Beginning {
    /// With its log, or what the leader sends it.
    Log,
    /// With its log, and without the other managers.
    Forced,
    /// With tables that were saved.
    Restored(Vec<u8>),
}

impl Running {
    /// Starts what this node is by its files.
    pub async fn start(
        member: &Member,
        wishes: mpsc::Sender<Wish>,
        with: Beginning,
    ) -> Result<(Self, Now), MemberError> {
        match NodeFile::load(&dir(member))? {
            Some(file) if file.restoring && !matches!(with, Beginning::Restored(_)) => {
                tracing::warn!("a swarm was being restored here when the daemon ended: restore it again");
                forget_all(member)?;
                Self::alone(member).await
            }
            None => Self::alone(member).await,
            Some(file) => Self::among_others(member, file, wishes, with).await,
        }
    }

    fn manager_config(
        member: &Member,
        node: &NodeId,
        cluster: Option<Membership>,
        log_key: Option<[u8; 32]>,
        restore: Option<Vec<u8>>,
    ) -> ManagerConfig {
        let parts = &member.inner.parts;
        ManagerConfig {
            dir: dir(member),
            node: node.clone(),
            hostname: parts.hostname.clone(),
            log_key,
            restore,
            clock: parts.clock.clone(),
            protocol: parts.protocol,
            images: parts.images.clone(),
            cluster,
        }
    }

    async fn agent(
        member: &Member,
        node: &NodeId,
        dispatchers: Arc<dyn Dispatchers>,
        images: Arc<dyn ImageNodes>,
    ) -> Agent {
        let parts = &member.inner.parts;
        Agent::start(AgentConfig {
            engine: parts.engine.clone(),
            node: node.clone(),
            data_root: parts.data_root.clone(),
            clock: parts.clock.clone(),
            protocol: parts.protocol,
            dispatchers,
            images,
        })
        .await
    }

    /// A cluster of one: manager and agent meet in this process.
    async fn alone(member: &Member) -> Result<(Self, Now), MemberError> {
        let node = hoist_agent::node_id(&member.inner.parts.data_root)?;
        let manager = Manager::start(Self::manager_config(member, &node, None, None, None)).await?;
        let (cancel, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (channel, connections) = hoist_agent::local::pipe();
        let server = tonic::transport::Server::builder().add_service(manager.dispatcher().server());
        let end = cancel.clone();
        tasks.spawn(async move {
            let served = server.serve_with_incoming_shutdown(connections, end.clone().cancelled_owned());
            serve::until(served, end).await;
        });
        let agent = Self::agent(member, &node, Arc::new(One(channel)), Arc::new(NoNodes)).await;
        let now = Now {
            node: Some(node),
            control: Some(manager.control().clone()),
            leadership: Some(manager.leadership().clone()),
            ..Now::default()
        };
        Ok((Self { manager: Some(manager), agent, tasks, cancel }, now))
    }

    /// One node among others, as worker or as manager.
    async fn among_others(
        member: &Member,
        mut file: NodeFile,
        wishes: mpsc::Sender<Wish>,
        with: Beginning,
    ) -> Result<(Self, Now), MemberError> {
        let dir = dir(member);
        let lock = &member.inner.lock;
        lock.check()?;
        let credentials = Credentials::load(&dir, |bytes| lock.open_node(bytes))?.ok_or_else(|| MemberError::File {
            path: dir.join("node.key"),
            reason: "the node's key is missing; the node must leave the cluster and join it again".into(),
        })?;
        let subject = credentials.identity().subject.clone();
        let node = subject.node.clone();
        hoist_agent::set_node_id(&member.inner.parts.data_root, &node)?;
        let link = Link::new(credentials);
        let listener = Listener::bind(&file.listen).await?;
        let (cancel, tasks) = (CancellationToken::new(), TaskTracker::new());
        let mut manager = None;
        if subject.role == Role::Manager {
            let raft_id = match file.raft_id {
                Some(id) => id,
                None => {
                    // A log that is left from an earlier time as a manager is of no use: its place is taken away.
                    forget_log(member)?;
                    let id = new_raft_id();
                    file.raft_id = Some(id);
                    file.save(&dir)?;
                    id
                }
            };
            let membership = Membership {
                link: link.clone(),
                begin: match &with {
                    Beginning::Log | Beginning::Restored(_) => Begin::Joining(raft_id),
                    Beginning::Forced => Begin::Forced,
                },
                managers: file.managers.iter().cloned().map(Into::into).collect(),
            };
            let restore = match with {
                Beginning::Restored(tables) => Some(tables),
                Beginning::Log | Beginning::Forced => None,
            };
            let config = Self::manager_config(member, &node, Some(membership), lock.log_key()?, restore);
            manager = Some(Manager::start(config).await?);
        } else {
            // A worker's key opens nothing but itself.
            lock.change(None)?;
        }
        if subject.role != Role::Manager && file.raft_id.take().is_some() {
            file.save(&dir)?;
            forget_log(member)?;
        }
        let routes = manager.as_ref().map_or_else(Routes::default, Manager::routes);
        let routes = routes.add_service(tunnel::Service::new(member.clone(), cancel.clone()).server());
        tasks.spawn(serve::port(listener, link.clone(), routes, cancel.clone()));
        if let Some(control) = manager.as_ref().map(|manager| manager.control().clone()) {
            let (member, end) = (member.clone(), cancel.clone());
            tasks.spawn(async move { member.inner.lock.follow(control, end).await });
        }
        let remotes = Arc::new(Remotes::new(link.clone(), dir.clone(), file.clone(), member.clone()));
        let images = Arc::new(Sockets::new(&member.inner.parts.run_root, link.clone(), cancel.clone()));
        let agent = Self::agent(member, &node, remotes.clone(), images.clone()).await;
        let clock = member.inner.parts.clock.clone();
        tasks.spawn(renew::run(member.clone(), link.clone(), remotes.clone(), dir, clock, wishes, cancel.clone()));
        if let Some(raft_id) = file.raft_id {
            tasks.spawn(renew::enlist(remotes.clone(), raft_id, file.advertise.clone(), cancel.clone()));
        }
        let now = Now {
            node: Some(node),
            control: manager.as_ref().map(|manager| manager.control().clone()),
            leadership: manager.as_ref().map(|manager| manager.leadership().clone()),
            place: Some(Place { link, role: subject.role, address: file.advertise.clone(), remotes, images }),
            ..Now::default()
        };
        Ok((Self { manager, agent, tasks, cancel }, now))
    }

    /// Waits for the control plane to fail for good.
    pub async fn failed(&mut self) -> ManagerError {
        match &mut self.manager {
            Some(manager) => manager.failed().await,
            None => std::future::pending().await,
        }
    }

    /// Ends it all; containers go on.
    pub async fn stop(self) {
        self.agent.stop().await;
        if let Some(manager) = self.manager {
            manager.stop().await;
        }
        self.cancel.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// A number that no other manager has, and never 1, which is that of a cluster's first.
pub fn new_raft_id() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    // The standard library's hash keys are random, and this needs no more.
    std::collections::hash_map::RandomState::new().build_hasher().finish().max(2)
}
