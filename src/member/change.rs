//! Into a cluster, and out of it.

use std::time::Duration;

use hoist_link::{JoinToken, NodeKey, To, stranger};
use hoist_proto::{
    id::NodeId,
    protocol::Protocol,
    spec::{Availability, ClusterSpec, Role},
    wire::{Admission, JoinRequest, LeaveRequest, membership_client::MembershipClient},
};
use tonic::{Code, Status};

use super::{
    Member, MemberError, Supervisor, address,
    file::NodeFile,
    renew,
    running::{Beginning, dir, forget_all},
};

/// How long the other nodes may take to let this one in, or to hear that it leaves.
const PATIENCE: Duration = Duration::from_secs(20);

/// What `swarm init` asks for.
#[derive(Debug, Clone, Default)]
pub struct Init {
    pub listen: String,
    pub advertise: String,
    pub data_address: String,
    pub availability: Availability,
    /// What else is set on the cluster; `None` leaves it as it is.
    pub spec: Option<ClusterSpec>,
    pub task_history: Option<u32>,
    /// Make a cluster of what this manager knows, without the other managers.
    pub force: bool,
}

/// What `swarm join` asks for.
#[derive(Debug, Clone, Default)]
pub struct Join {
    pub listen: String,
    pub advertise: String,
    pub data_address: String,
    pub availability: Availability,
    pub managers: Vec<String>,
    pub token: String,
}

/// Makes the cluster of one a cluster that others can join.
pub(super) async fn init(supervisor: &mut Supervisor, init: Init) -> Result<NodeId, MemberError> {
    let member = supervisor.member.clone();
    if member.now().locked {
        return Err(MemberError::Locked);
    }
    if member.is_active() && init.force {
        return force(supervisor).await;
    }
    if member.is_active() {
        return Err(MemberError::Already);
    }
    let (Some(control), Some(node)) = (member.control(), member.node()) else {
        return Err(MemberError::Invalid(member.told().error));
    };
    let (listen, advertise) = address::of_first(&init.listen, &init.advertise).await?;
    let key = NodeKey::generate()?;
    let opened = control
        .open(&node, &key.request()?, &advertise.to_string(), |cluster, record| {
            if let Some(spec) = init.spec {
                cluster.spec = spec;
            }
            if let Some(history) = init.task_history {
                cluster.task_history_limit = history;
            }
            record.spec.availability = init.availability;
            record.data_address.clone_from(&init.data_address);
        })
        .await?;
    let dir = dir(&member);
    let file = NodeFile {
        listen: listen.to_string(),
        advertise: advertise.to_string(),
        data_address: init.data_address,
        raft_id: Some(1),
        managers: vec![super::file::Known { node: node.to_string(), raft_id: 1, address: advertise.to_string() }],
        ..NodeFile::default()
    };
    let prepared = renew::take(&member, key, &opened.certificate, &dir).and_then(|_| file.save(&dir));
    if let Err(error) = prepared {
        control.close().await?;
        return Err(error);
    }
    drop(control);
    supervisor.end().await;
    if let Err(error) = supervisor.begin().await {
        // The port was lost meanwhile, or the disk is full: back to where it was.
        back_alone(supervisor).await?;
        return Err(error);
    }
    Ok(node)
}

/// Makes a cluster of one of what this manager knows: the others are lost.
async fn force(supervisor: &mut Supervisor) -> Result<NodeId, MemberError> {
    let member = supervisor.member.clone();
    let now = member.now();
    let (Some(_), Some(node)) = (now.control, now.node) else {
        return Err(MemberError::Invalid("this node is no manager, and knows nothing of the cluster's state".into()));
    };
    supervisor.end().await;
    if let Err(error) = supervisor.begin_with(Beginning::Forced).await {
        supervisor.begin_again().await;
        return Err(error);
    }
    if let Some(control) = member.control() {
        control.drop_other_managers(&node).await?;
    }
    Ok(node)
}

/// Undoes the opening of a cluster: the log stays.
async fn back_alone(supervisor: &mut Supervisor) -> Result<(), MemberError> {
    for name in ["node.json", "node.key", "node.crt", "ca.crt"] {
        match fs_err::remove_file(dir(&supervisor.member).join(name)) {
            Err(err) if err.kind() != std::io::ErrorKind::NotFound => return Err(err.into()),
            _ => {}
        }
    }
    supervisor.begin().await?;
    if let Some(control) = supervisor.member.control() {
        control.close().await?;
    }
    Ok(())
}

/// Joins a cluster that runs.
pub(super) async fn join(supervisor: &mut Supervisor, join: Join) -> Result<(), MemberError> {
    let member = supervisor.member.clone();
    if member.now().locked {
        return Err(MemberError::Locked);
    }
    if member.is_active() {
        return Err(MemberError::Already);
    }
    refuse_own_projects(&member)?;
    let token: JoinToken =
        join.token.parse().map_err(|err: hoist_link::LinkError| MemberError::Invalid(err.to_string()))?;
    let managers: Vec<String> = join.managers.iter().map(|text| address::remote(text)).collect::<Result<_, _>>()?;
    if managers.is_empty() {
        return Err(MemberError::Invalid("at least one address of a manager is needed to join a cluster".into()));
    }
    let listen = address::listen(&join.listen)?;
    let advertise = address::advertise(&join.advertise, listen)?;
    drop(hoist_link::Listener::bind(&listen.to_string()).await?);
    let key = NodeKey::generate()?;
    let request = JoinRequest {
        protocol: Protocol::OLDEST.number(),
        newest: member.inner.parts.protocol.number(),
        secret: token.secret.clone(),
        request: key.request()?,
        // The manager knows the host that the call comes from.
        address: advertise.map_or_else(|| format!(":{}", listen.port()), |address| address.to_string()),
        data_address: join.data_address.clone(),
        availability: word(join.availability).to_owned(),
        hostname: member.inner.parts.hostname.clone(),
    };
    let admission = knock(&managers, &token, request).await?;
    let certificate =
        admission.certificate.as_ref().ok_or_else(|| MemberError::Refused("the manager gave no certificate".into()))?;

    supervisor.end().await;
    let dir = dir(&member);
    let settled = async {
        forget_all(&member)?;
        renew::take(&member, key, certificate, &dir)?;
        let file = NodeFile {
            listen: listen.to_string(),
            advertise: admission.address.clone(),
            data_address: join.data_address,
            managers: admission.managers.into_iter().map(Into::into).collect(),
            ..NodeFile::default()
        };
        file.save(&dir)?;
        supervisor.begin().await
    };
    if let Err(error) = settled.await {
        forget_all(&member)?;
        supervisor.begin_again().await;
        return Err(error);
    }
    Ok(())
}

/// What a machine runs as a cluster of one does not come along into another.
pub(super) fn refuse_own_projects(member: &Member) -> Result<(), MemberError> {
    let projects: Vec<String> = member
        .control()
        .map(|control| control.projects().into_iter().map(|project| project.name).collect())
        .unwrap_or_default();
    if projects.is_empty() {
        return Ok(());
    }
    Err(MemberError::Invalid(format!(
        "this machine runs {} of its own: take it down first (hoist compose -p NAME down), and bring it up on the cluster",
        projects.join(", ")
    )))
}

fn word(availability: Availability) -> &'static str {
    match availability {
        Availability::Active => "active",
        Availability::Pause => "pause",
        Availability::Drain => "drain",
    }
}

/// Asks the managers one after the other, and the leader where one of them names it.
async fn knock(managers: &[String], token: &JoinToken, request: JoinRequest) -> Result<Admission, MemberError> {
    let config = stranger(&token.fingerprint)?;
    let until = tokio::time::Instant::now() + PATIENCE;
    let mut last = String::new();
    let mut round = managers.to_vec();
    loop {
        let mut next = Vec::new();
        for address in &round {
            let mut client = MembershipClient::new(To::Manager.channel(address, config.clone()));
            let status = match tokio::time::timeout_at(until, client.join(request.clone())).await {
                Ok(Ok(admission)) => return Ok(admission.into_inner()),
                Ok(Err(status)) => status,
                Err(_) => Status::deadline_exceeded("no answer in time"),
            };
            let leader = status.metadata().get(hoist_manager::LEADER_ADDRESS).and_then(|value| value.to_str().ok());
            if let Some(leader) = leader {
                next.push(leader.to_owned());
            } else if matches!(status.code(), Code::PermissionDenied | Code::InvalidArgument | Code::FailedPrecondition)
            {
                return Err(MemberError::Refused(status.message().to_owned()));
            }
            last = format!("{address}: {}", reason(&status));
        }
        let named = !next.is_empty();
        round = if named { next } else { managers.to_vec() };
        let pause = Duration::from_millis(if named { 50 } else { 500 });
        if tokio::time::Instant::now() + pause >= until {
            return Err(MemberError::Refused(format!("no manager has let this node in ({last})")));
        }
        // A certificate that does not fit the token will not fit it later.
        if last.contains("UnknownIssuer") {
            return Err(MemberError::Refused(format!(
                "the manager's certificate is not of the cluster that the join token is for ({last})"
            )));
        }
        tokio::time::sleep(pause).await;
    }
}

/// What a call failed with, causes and all.
fn reason(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut source = std::error::Error::source(status);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// Leaves the cluster.
pub(super) async fn leave(supervisor: &mut Supervisor, force: bool) -> Result<(), MemberError> {
    let member = supervisor.member.clone();
    let now = member.now();
    let Some(place) = now.place.clone() else {
        // What could not be started is left by forgetting it: also when its key is lost.
        match (now.locked || !now.error.is_empty(), force) {
            (true, true) => {}
            (true, false) if now.locked => return Err(MemberError::Locked),
            _ => return Err(MemberError::NotPart),
        }
        forget_all(&member)?;
        supervisor.begin_again().await;
        return Ok(());
    };
    let mut last = false;
    if place.role == Role::Manager {
        let managers = now
            .control
            .as_ref()
            .map(|control| control.nodes().into_iter().filter(|node| node.spec.role == Role::Manager).count());
        last = managers.is_some_and(|count| count <= 1);
        if !force {
            return Err(MemberError::NeedsForce(refusal(&member, managers.unwrap_or_default())));
        }
    }
    if place.role == Role::Manager && !last {
        // The vote is given back while this manager still answers; afterwards its silence could cost the majority.
        give_back(&member).await;
    } else if place.role == Role::Worker {
        let told = renew::leader(&place.remotes, Duration::from_secs(5), |mut client| async move {
            client.leave(LeaveRequest { force }).await
        });
        if let Err(status) = told.await {
            tracing::warn!("the managers did not hear that this node leaves: {}", status.message());
        }
    }
    supervisor.end().await;
    forget_all(&member)?;
    hoist_agent::set_node_id(&member.inner.parts.data_root, &NodeId::random())?;
    supervisor.begin_again().await;
    Ok(())
}

/// Gives the vote back, and waits until the others have taken it.
async fn give_back(member: &Member) {
    let Some(place) = member.now().place else { return };
    let told = renew::leader(&place.remotes, Duration::from_secs(5), |mut client| async move {
        client.leave(LeaveRequest { force: true }).await
    });
    if let Err(status) = told.await {
        tracing::warn!("the managers did not hear that this node leaves: {}", status.message());
        return;
    }
    let mut record = place.remotes.record.subscribe();
    let gone = record.wait_for(|record| record.as_ref().is_some_and(|record| record.raft.is_none()));
    let _ = tokio::time::timeout(Duration::from_secs(5), gone).await;
}

/// Why a manager is not let go at once, in Docker's words.
fn refusal(member: &Member, managers: usize) -> String {
    let mut text = "You are attempting to leave the swarm on a node that is participating as a manager. ".to_owned();
    if managers <= 1 {
        text.push_str(
            "Removing the last manager erases all current state of the swarm. Use `--force` to ignore this message. ",
        );
    } else {
        let reachable = member.control().map_or(0, |control| {
            control.nodes().iter().filter(|node| node.raft.as_ref().is_some_and(|raft| raft.reachable)).count()
        });
        if (reachable.saturating_sub(1)) * 2 <= managers.saturating_sub(1) {
            text.push_str(&format!(
                "Removing this node leaves {} managers out of {managers}. Without a Raft quorum your swarm will be inaccessible. ",
                reachable.saturating_sub(1)
            ));
        }
        text.push_str("The only way to restore a swarm that has lost consensus is to reinitialize it with `--force-new-cluster`. Use `--force` to suppress this message.");
    }
    text
}
