//! Questions and wishes about nodes.

use hoist_proto::{
    id::NodeId,
    spec::{Attachment, Node, NodeSpec, NodeState, Role, Task},
};
use hoist_store::{Index, Tables};

use super::{Control, ControlError};
use crate::{agreement, dispatcher::orphans::give_up};

impl Control {
    /// All nodes.
    pub fn nodes(&self) -> Vec<Node> {
        self.inner.store.view(|tables| tables.nodes().iter().map(|node| (**node).clone()).collect())
    }

    /// One node, by its id, its name, or the beginning of its id.
    ///
    /// # Errors
    /// When there is none, or several.
    pub fn node(&self, name: &str) -> Result<Node, ControlError> {
        self.inner.store.view(|tables| find(tables, name))
    }

    /// The tasks of a node.
    pub fn tasks_on(&self, node: &NodeId) -> Vec<Task> {
        self.inner.store.view(|tables| tables.tasks_on(node).map(|task| (**task).clone()).collect())
    }

    /// Sets what people set on a node. `version` is the one that the caller has seen.
    ///
    /// # Errors
    /// When somebody else was faster, or the cluster would lose its last manager.
    pub async fn update_node(&self, name: &str, version: Option<u64>, spec: NodeSpec) -> Result<(), ControlError> {
        self.inner
            .store
            .update(|tx| {
                let mut node = find(tx, name)?;
                if version.is_some_and(|version| version != node.meta.version) {
                    return Err(ControlError::Conflict("update out of sequence".into()));
                }
                if node.spec.role == Role::Manager && spec.role == Role::Worker {
                    may_demote(tx, &node)?;
                }
                if node.spec.role == Role::Worker && spec.role == Role::Manager {
                    let cluster = tx
                        .cluster()
                        .ok_or_else(|| ControlError::Precondition("the cluster's record is not here yet".into()))?;
                    agreement::may_manage(cluster, &node).map_err(ControlError::Precondition)?;
                }
                node.spec = spec;
                tx.put(node)?;
                Ok(())
            })
            .await
    }

    /// Removes a node's record.
    ///
    /// # Errors
    /// When it is a manager, or is there and `force` is not set.
    pub async fn remove_node(&self, name: &str, force: bool) -> Result<(), ControlError> {
        self.inner
            .store
            .update(|tx| {
                let node = find(tx, name)?;
                let id = &node.id;
                if node.raft.is_some() || node.spec.role == Role::Manager {
                    return Err(ControlError::Precondition(format!(
                        "node {id} is a cluster manager and is a member of the raft cluster. It must be demoted to worker before removal"
                    )));
                }
                if node.status.state == NodeState::Ready && !force {
                    return Err(ControlError::Precondition(format!("node {id} is not down and can't be removed")));
                }
                give_up(tx, id, "its node was removed")?;
                let by_hand = tx.attachments().by(Index::Node, id.as_str()).map(|one| one.id.clone());
                for attachment in by_hand.collect::<Vec<_>>() {
                    tx.remove::<Attachment>(&attachment)?;
                }
                tx.remove::<Node>(id)?;
                Ok(())
            })
            .await
    }
}

fn find(tables: &Tables, name: &str) -> Result<Node, ControlError> {
    let missing = || ControlError::NoSuchNode(name.to_owned());
    if let Some(node) = name.parse().ok().and_then(|id: NodeId| tables.nodes().get(&id).cloned()) {
        return Ok((*node).clone());
    }
    let mut named = tables.nodes().by(Index::Name, name);
    match (named.next(), named.next()) {
        (Some(node), None) => return Ok((**node).clone()),
        (Some(_), Some(_)) => return Err(ControlError::Conflict(format!("several nodes are named {name}"))),
        (None, _) => {}
    }
    if name.is_empty() {
        return Err(missing());
    }
    let mut begin = tables.nodes().iter().filter(|node| node.id.as_str().starts_with(name));
    match (begin.next(), begin.next()) {
        (Some(node), None) => Ok((**node).clone()),
        (Some(_), Some(_)) => Err(ControlError::Conflict(format!("several nodes' ids begin with {name}"))),
        (None, _) => Err(missing()),
    }
}

/// The managers must keep their majority.
fn may_demote(tables: &Tables, node: &Node) -> Result<(), ControlError> {
    let managers: Vec<_> = tables.nodes().iter().filter(|other| other.spec.role == Role::Manager).collect();
    if managers.len() == 1 {
        return Err(ControlError::Precondition("attempting to demote the last manager of the swarm".into()));
    }
    let rest = managers.iter().filter(|other| other.id != node.id);
    let reachable = rest.clone().filter(|other| other.raft.as_ref().is_some_and(|raft| raft.reachable)).count();
    if reachable * 2 <= rest.count() {
        return Err(ControlError::Precondition(
            "can't remove member from the raft: this would result in a loss of quorum".into(),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hoist_store::StoreError;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{Progress, control::NoImages, testing::World};

    #[tokio::test]
    async fn tasks_of_a_node_that_is_removed_are_made_elsewhere() {
        let world = World::new(2).await;
        world.up("services: { web: { image: busybox, deploy: { replicas: 4 } } }").await;
        world.settle().await;
        let lost = world.store.view(|tables| tables.nodes().iter().find(|node| !node.manager).unwrap().id.clone());
        let down = world.store.update(|tx| {
            tx.modify::<Node>(&lost, |node| node.status.state = NodeState::Down)?;
            Ok::<_, StoreError>(())
        });
        down.await.unwrap();
        let cancel = CancellationToken::new();
        let control =
            Control::new(world.store.clone(), Progress::default(), NodeId::random(), Arc::new(NoImages), cancel);
        control.remove_node(lost.as_str(), false).await.unwrap();
        world.store.view(|tables| {
            let states: Vec<_> = tables.tasks_on(&lost).map(|task| task.status.state).collect();
            assert!(!states.is_empty() && states.iter().all(|state| state.is_final()), "{states:?}");
        });
        world.settle().await;
        world.clock.advance(std::time::Duration::from_secs(10));
        world.settle().await;
        let wanted = world.store.view(|tables| {
            let wanted =
                |task: &&Arc<Task>| task.desired <= hoist_proto::spec::TaskState::Running && task.node.is_some();
            tables.tasks().iter().filter(wanted).filter(|task| task.node.as_ref() != Some(&lost)).count()
        });
        assert_eq!(wanted, 4);
    }
}
