//! What a monitor reads of the cluster. Docker's names where Swarm has them.

use hoist_manager::control::Census;
use hoist_proto::spec::{JobState, NodeState, TaskState};

use super::Page;
use crate::api::State;

/// This node's part in a cluster, and on a manager what is in it.
pub(super) fn write(page: &mut Page, state: &State) {
    let told = state.member.told();
    if told.state != "active" {
        return;
    }
    let manager = u8::from(told.manager);
    page.one("swarm_node_manager", "gauge", "Whether this node is a manager or not", manager);
    page.family("swarm_node_info", "gauge", "Information related to the swarm");
    let cluster = state.control().and_then(|control| Ok(control.cluster()?)).map(|cluster| cluster.id.to_string());
    let labels = [("node_id", told.node.as_str()), ("swarm_id", cluster.as_deref().unwrap_or_default())];
    page.labelled("swarm_node_info", &labels, 1);
    let (Some(control), Some(raft)) = (state.member.control(), state.member.raft()) else { return };
    let leads = u8::from(raft.leads);
    page.one("swarm_manager_leader", "gauge", "Indicates if this manager node is a leader", leads);
    page.one("hoist_raft_term", "gauge", "The term of the managers' log", raft.term);
    page.one("hoist_raft_applied_index", "gauge", "The last write of the log that this manager knows", control.index());
    let latency = "swarm_raft_transaction_latency_seconds";
    let commits = control.commits();
    page.family(latency, "summary", "Raft transaction latency");
    page.labelled(&format!("{latency}_sum"), &[], commits.seconds);
    page.labelled(&format!("{latency}_count"), &[], commits.writes);
    page.one(
        "hoist_store_transactions_total",
        "counter",
        "Changes of the cluster's state that this manager has committed; several may share a write of the log",
        commits.transactions,
    );
    census(page, &control.census());
}

fn census(page: &mut Page, census: &Census) {
    page.family("swarm_manager_nodes", "gauge", "The number of nodes in various states");
    for (state, word) in [
        (NodeState::Unknown, "unknown"),
        (NodeState::Down, "down"),
        (NodeState::Ready, "ready"),
        (NodeState::Disconnected, "disconnected"),
    ] {
        page.labelled("swarm_manager_nodes", &[("state", word)], census.nodes.get(&state).copied().unwrap_or_default());
    }
    page.family("swarm_manager_tasks_total", "gauge", "The number of tasks in the cluster object store");
    for state in TaskState::ALL {
        let word = state.to_string();
        let count = census.tasks.get(&state).copied().unwrap_or_default();
        page.labelled("swarm_manager_tasks_total", &[("state", &word)], count);
    }
    page.family("hoist_jobs", "gauge", "The number of jobs in various states");
    for (state, count) in &census.jobs {
        page.labelled("hoist_jobs", &[("state", &JobState::to_string(state))], count);
    }
    for (what, count) in [
        ("services", census.services),
        ("networks", census.networks),
        ("volumes", census.volumes),
        ("secrets", census.secrets),
        ("configs", census.configs),
    ] {
        let name = format!("swarm_manager_{what}_total");
        page.one(&name, "gauge", &format!("The number of {what} in the cluster object store"), count);
    }
}
