//! Debian's `docker-compose` 1.29 drives the socket: a client of 2021 with the API of its time.

mod support;

use support::{Done, Host, run, wait_until};

const FILE: &str = include_str!("clients/compose1.yml");

fn compose(host: &Host, args: &[&str]) -> Done {
    let mut command = host.command("docker-compose");
    command.args(["--no-ansi", "-p", "old", "-f", "compose1.yml"]).args(args).env("DOCKER_HOST", host.docker_host());
    run(&mut command)
}

#[test]
fn a_project_lives_its_whole_life() {
    let host = Host::new();
    host.busybox();
    host.write("compose1.yml", FILE);
    compose(&host, &["up", "-d"]).ok();
    let table = compose(&host, &["ps"]).ok();
    for name in ["old_db_1", "old_web_1", "old_worker_1", "0.0.0.0:8080->80/tcp"] {
        assert!(table.contains(name), "{name} is missing in:\n{table}");
    }
    assert_eq!(host.get("http://127.0.0.1:8080/"), "served\n");
    assert!(wait_until(|| {
        let logs = compose(&host, &["logs", "--no-color"]).ok();
        ["db_1      | db is up", "web_1     | web is up", "worker_1  | worker is up"]
            .iter()
            .all(|line| logs.contains(line))
    }));
    assert_eq!(compose(&host, &["exec", "-T", "worker", "wget", "-qO-", "http://web"]).ok(), "served\n");
    compose(&host, &["exec", "-T", "db", "sh", "-c", "exit 4"]).fails(4);
    assert_eq!(compose(&host, &["port", "web", "80"]).ok(), "0.0.0.0:8080\n");

    compose(&host, &["up", "-d", "--scale", "worker=3"]).ok();
    assert_eq!(compose(&host, &["ps", "-q", "worker"]).ok().lines().count(), 3);
    compose(&host, &["scale", "worker=1"]).ok();
    assert_eq!(compose(&host, &["ps", "-q", "worker"]).ok().lines().count(), 1);

    assert_eq!(compose(&host, &["run", "--rm", "-T", "db", "sh", "-c", "echo $ROLE"]).ok(), "database\n");
    compose(&host, &["run", "--rm", "-T", "db", "sh", "-c", "exit 3"]).fails(3);

    // A container that is made again keeps the volumes of the one before it.
    compose(&host, &["exec", "-T", "db", "sh", "-c", "echo kept > /data/file"]).ok();
    let before = compose(&host, &["ps", "-q", "db"]).ok();
    compose(&host, &["up", "-d", "--force-recreate"]).ok();
    assert_ne!(compose(&host, &["ps", "-q", "db"]).ok(), before);
    assert_eq!(compose(&host, &["exec", "-T", "db", "cat", "/data/file"]).ok(), "kept\n");

    for words in [
        &["pause", "db"][..],
        &["unpause", "db"],
        &["restart", "-t", "1", "worker"],
        &["stop", "-t", "1"],
        &["start"],
        &["top"],
        &["images"],
        &["config", "-q"],
        &["kill", "worker"],
        &["rm", "-f", "worker"],
    ] {
        compose(&host, words).ok();
    }
    compose(&host, &["down", "-v", "-t", "1"]).ok();
    assert_eq!(host.hoist(&["ps", "-aq"]).ok(), "");
    assert_eq!(host.hoist(&["volume", "ls", "-q"]).ok(), "");
    let networks = host.hoist(&["network", "ls", "--format", "{{.Name}}"]).ok();
    assert!(!networks.contains("old_"), "{networks}");
}
