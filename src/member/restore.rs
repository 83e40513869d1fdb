//! A cluster whose managers are lost begins again on this machine, with the state that was saved.

use hoist_link::{NodeKey, UnlockKey};
use hoist_manager::{Saved, ca};
use hoist_proto::{
    id::NodeId,
    spec::{Meta, Node, NodeDescription, NodeSpec, NodeStatus, RaftMember, Role},
};

use super::{
    MemberError, Supervisor, address,
    change::refuse_own_projects,
    file::{Known, NodeFile},
    renew,
    running::{Beginning, dir, forget_all, new_raft_id},
};

/// What `swarm snapshot restore` asks for.
pub struct Restore {
    pub listen: String,
    pub advertise: String,
    pub data_address: String,
    /// As it was saved.
    pub sealed: Vec<u8>,
    pub key: UnlockKey,
}

/// Makes this machine the only manager of the cluster that was saved. Workers that look for a manager at its address
/// find it; the others have to join again.
pub(super) async fn restore(supervisor: &mut Supervisor, restore: Restore) -> Result<NodeId, MemberError> {
    let member = supervisor.member.clone();
    if member.now().locked {
        return Err(MemberError::Locked);
    }
    if member.is_active() {
        return Err(MemberError::Already);
    }
    refuse_own_projects(&member)?;
    let saved = Saved::open(&restore.sealed, &restore.key, member.inner.parts.clock.clone())?;
    let (listen, advertise) = address::of_first(&restore.listen, &restore.advertise).await?;
    // Another id than any manager had: what is still sent to those is not meant for this one.
    let (node, raft_id, key) = (NodeId::random(), new_raft_id(), NodeKey::generate()?);
    let certificate = saved.issue(&node, &key.request()?)?;
    let record = Node {
        id: node.clone(),
        meta: Meta::default(),
        spec: NodeSpec { role: Role::Manager, ..NodeSpec::default() },
        description: NodeDescription { hostname: member.inner.parts.hostname.clone(), ..NodeDescription::default() },
        status: NodeStatus { address: ca::host(&advertise.to_string()), ..NodeStatus::default() },
        manager: true,
        address: advertise.to_string(),
        data_address: restore.data_address.clone(),
        raft: Some(RaftMember { id: raft_id, reachable: true }),
        mesh_address: None,
        mesh_address6: None,
    };
    let tables = saved.into_tables_of(record).await?;
    supervisor.end().await;
    let dir = dir(&member);
    let begun = async {
        forget_all(&member)?;
        renew::take(&member, key, &certificate, &dir)?;
        let file = NodeFile {
            listen: listen.to_string(),
            advertise: advertise.to_string(),
            data_address: restore.data_address,
            raft_id: Some(raft_id),
            managers: vec![Known { node: node.to_string(), raft_id, address: advertise.to_string() }],
            restoring: true,
            ..NodeFile::default()
        };
        file.save(&dir)?;
        supervisor.begin_with(Beginning::Restored(tables)).await?;
        NodeFile { restoring: false, ..NodeFile::load(&dir)?.unwrap_or(file) }.save(&dir)
    };
    if let Err(error) = begun.await {
        supervisor.end().await;
        let forgotten = forget_all(&member)
            .and_then(|()| Ok(hoist_agent::set_node_id(&member.inner.parts.data_root, &NodeId::random())?));
        if let Err(error) = forgotten {
            tracing::error!(%error, "what was restored in part cannot be taken back");
        }
        supervisor.begin_again().await;
        return Err(error);
    }
    Ok(node)
}
