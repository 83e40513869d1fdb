//! Images in a cluster: what is built or loaded on one node runs on every other, with no registry.
#![allow(clippy::unwrap_used)] // what a helper cannot do fails the test

mod support;

use support::cluster::{Cluster, until};

#[test]
fn what_is_built_on_one_machine_runs_on_all() {
    let cluster = Cluster::new(3);
    cluster.init(&[]);
    cluster.join(1, "manager");
    cluster.join(2, "worker");
    cluster.wait_for(0, 3, 2);
    // Only the second manager, which does not lead, has the base.
    let second = &cluster.hosts[1];
    second.busybox();
    second.write(
        "app/Dockerfile",
        "FROM busybox\nRUN echo made here > /made && dd if=/dev/urandom of=/large bs=1M count=8\n",
    );
    second.write(
        "app/compose.yaml",
        "
name: shop
services:
  web:
    build: .
    command: [sleep, '600']
    stop_grace_period: 0s
    deploy: { mode: global }
",
    );
    second.hoist(&["compose", "-f", "app/compose.yaml", "up", "-d", "--build"]).ok();
    let id = |host: &support::Host| host.hoist(&["image", "inspect", "-f", "{{.Id}}", "shop-web"]).stdout;
    let built = id(second);
    assert!(built.starts_with("sha256:"), "{built}");
    for host in &cluster.hosts {
        let container = || host.hoist(&["ps", "-q", "-f", "label=com.docker.compose.service=web"]).ok();
        assert!(until(|| container().lines().count() == 1), "{}", second.hoist(&["service", "ps", "shop_web"]).stdout);
        assert_eq!(host.hoist(&["exec", container().trim(), "cat", "/made"]).ok(), "made here\n");
        assert_eq!(id(host), built, "the very image");
    }
    // The layer came in parts, and is whole.
    let large = |host: &support::Host| {
        let container = host.hoist(&["ps", "-q", "-f", "label=com.docker.compose.service=web"]).ok();
        host.hoist(&["exec", container.trim(), "sha256sum", "/large"]).ok()
    };
    assert_eq!(large(&cluster.hosts[2]), large(second));

    // What is built anew there goes over what all have by now.
    second.write("app/Dockerfile", "FROM busybox\nRUN echo made anew > /made\n");
    second.hoist(&["compose", "-f", "app/compose.yaml", "up", "-d", "--build"]).ok();
    for host in &cluster.hosts {
        let made = || {
            let container = host.hoist(&["ps", "-q", "-f", "label=com.docker.compose.service=web"]).ok();
            host.hoist(&["exec", container.trim(), "cat", "/made"]).stdout
        };
        assert!(until(|| made() == "made anew\n"), "{}", made());
    }
    second.hoist(&["compose", "-f", "app/compose.yaml", "down"]).ok();
}

#[test]
fn a_service_takes_the_image_that_its_manager_has() {
    let cluster = Cluster::new(2);
    cluster.init(&[]);
    cluster.join(1, "worker");
    cluster.wait_for(0, 2, 1);
    cluster.hosts[0].busybox();
    let create =
        ["service", "create", "--name", "far", "--constraint", "node.role==worker", "--stop-grace-period", "0s"];
    cluster.hosts[0].hoist(&[&create[..], &["busybox", "sleep", "600"]].concat()).ok();
    assert!(until(|| cluster.hosts[1].hoist(&["ps", "-q"]).ok().lines().count() == 1));
    // What nobody has is told as before.
    let missing =
        ["service", "create", "-d", "--name", "none", "--restart-condition", "none", "nowhere.invalid/none:1"];
    cluster.hosts[0].hoist(&missing).ok();
    let why = || cluster.hosts[0].hoist(&["service", "ps", "--no-trunc", "--format", "{{.Error}}", "none"]).stdout;
    assert!(until(|| why().contains("nowhere.invalid")), "{}", why());
}
