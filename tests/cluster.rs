//! Several machines become one cluster, and stay one: joined, led, cut, killed.
#![allow(clippy::unwrap_used)] // what a helper cannot do fails the test

mod support;

use support::cluster::{Cluster, address, until};

#[test]
fn a_worker_and_a_manager_join() {
    let cluster = Cluster::new(3);
    cluster.init(&[]);
    cluster.join(1, "worker");
    cluster.wait_for(0, 2, 1);
    cluster.join(2, "manager");
    cluster.wait_for(0, 3, 2);
    // The new manager has the whole state, and a worker has none.
    cluster.wait_for(2, 3, 2);
    let refusal = cluster.hosts[1].hoist(&["node", "ls"]).fails(1);
    assert!(refusal.contains("not a swarm manager"), "{refusal}");

    // A write at a manager that does not lead gets to the one that does.
    let worker = cluster.node_id(1);
    cluster.hosts[2].hoist(&["node", "update", "--label-add", "disk=ssd", &worker]).ok();
    let label = cluster.hosts[0].hoist(&["node", "inspect", "-f", "{{.Spec.Labels.disk}}", &worker]).ok();
    assert_eq!(label.trim(), "ssd");
    assert_eq!(cluster.leader(2), Some(0));
    assert!(until(|| cluster.hosts[1].hoist(&["info"]).stdout.contains(&address(0))));
}
