//! `hoist lab`: machines that are made, cut off, slowed down, killed and taken away, as the kernel sees it.
#![allow(clippy::print_stderr)]

mod support;

use support::{lab::Lab, wait_until};

/// Whether a machine gets an answer from an address: a refusal is one.
fn reaches(lab: &Lab, from: &str, to: &str) -> bool {
    let words = format!("exec 3<>/dev/tcp/{to}/9");
    let done = lab.lab(&["exec", from, "--", "timeout", "1", "bash", "-c", &words]);
    done.stderr.contains("refused")
}

/// An answer comes; on a busy machine perhaps not at once.
fn is_reached(lab: &Lab, from: &str, to: &str) -> bool {
    wait_until(|| reaches(lab, from, to))
}

#[test]
fn machines_are_made_cut_off_and_taken_away() {
    let lab = Lab::up(&["--managers", "2", "--workers", "1", "--no-swarm"]);
    let (m1, m2, w1) = ("10.213.0.1", "10.213.0.2", "10.213.0.3");
    let states = lab.lab(&["ls", "--format", "{{.Name}} {{.Role}} {{.Address}} {{.State}}"]).ok();
    assert_eq!(states, "m1 manager 10.213.0.1 running\nm2 manager 10.213.0.2 running\nw1 worker 10.213.0.3 running\n");
    assert!(is_reached(&lab, "m2", m1) && is_reached(&lab, "m1", w1));

    // One machine on one side, the others on the other.
    lab.lab(&["cut", "m1"]).ok();
    assert!(!reaches(&lab, "m2", m1) && !reaches(&lab, "m1", w1) && is_reached(&lab, "w1", m2));
    lab.lab(&["heal", "m1"]).ok();
    assert!(is_reached(&lab, "m2", m1));

    // One direction of one wire: the answer does not come, and the question does not arrive.
    lab.lab(&["cut", "m1", "--from", "m2", "--hears"]).ok();
    assert!(!reaches(&lab, "m2", m1) && !reaches(&lab, "m1", m2) && is_reached(&lab, "m1", w1));
    let faults = lab.lab(&["ls", "--format", "{{.Name}}:{{.Faults}}"]).ok();
    assert_eq!(faults, "m1:not heard by m2\nm2:does not hear m1\nw1:\n");
    lab.lab(&["heal"]).ok();
    assert!(is_reached(&lab, "m1", m2));

    lab.lab(&["cut", "m1", "--from", "m1"]).fails(125);
    assert!(lab.lab(&["cut", "x9"]).fails(1).contains("it has m1, m2, w1"));
    lab.lab(&["up"]).fails(1);

    lab.lab(&["down"]).ok();
    assert_eq!(lab.leftovers(), Vec::<String>::new());
    assert!(lab.lab(&["ls"]).fails(1).contains("there is no lab \"lab\""));
    assert!(!lab.hoist(&["context", "ls", "-q"]).ok().contains("lab-m1"));
}

#[test]
fn a_machine_without_power_loses_its_containers_and_one_without_daemon_does_not() {
    let lab = Lab::up(&["--managers", "1", "--workers", "0", "--no-swarm"]);
    let status = |lab: &Lab| lab.on("m1", &["ps", "-a", "--format", "{{.State}}"]).ok();
    lab.on("m1", &["run", "-d", "hoist/hello"]).ok();

    lab.lab(&["kill", "--daemon", "m1"]).ok();
    assert_eq!(lab.lab(&["ls", "--format", "{{.State}}"]).ok(), "down\n");
    lab.lab(&["start", "m1"]).ok();
    assert_eq!(status(&lab), "running\n");

    lab.lab(&["kill", "m1"]).ok();
    lab.lab(&["start", "m1"]).ok();
    assert_eq!(status(&lab), "exited\n");

    lab.on("m1", &["run", "-d", "hoist/hello"]).ok();
    lab.lab(&["stop", "m1"]).ok();
    lab.lab(&["down"]).ok();
    assert_eq!(lab.leftovers(), Vec::<String>::new());
}

#[test]
fn a_line_is_slowed_down() {
    let lab = Lab::up(&["--managers", "2", "--workers", "0", "--no-swarm"]);
    let queue = |lab: &Lab| lab.lab(&["exec", "m1", "--", "tc", "qdisc", "show", "dev", "eth0"]).ok();
    lab.lab(&["slow", "m1", "--rate", "1m"]).ok();
    assert!(queue(&lab).contains("tbf") && queue(&lab).contains("rate 8388Kbit"), "{}", queue(&lab));
    assert_eq!(lab.lab(&["ls", "--format", "{{.Faults}}"]).ok(), "slow (rate 1m)\n\n");
    lab.lab(&["heal"]).ok();
    assert!(!queue(&lab).contains("tbf"));
    // Not every kernel can delay; then it is said.
    let delayed = lab.lab(&["slow", "m1", "--delay", "30ms", "--loss", "1"]);
    if delayed.code == 0 {
        assert!(queue(&lab).contains("netem") && queue(&lab).contains("delay 30ms"), "{}", queue(&lab));
    } else {
        assert!(delayed.stderr.contains("no netem"), "{}", delayed.stderr);
    }
    lab.lab(&["slow", "m1"]).fails(125);
}

/// The nodes as a machine's daemon shows them: hostnames are the same on one machine, so ids and states.
fn nodes(lab: &Lab, at: &str) -> Vec<String> {
    let done = lab.on(at, &["node", "ls", "--format", "{{.ID}} {{.Status}} {{.ManagerStatus}}"]);
    done.stdout.lines().map(|line| line.trim().to_owned()).collect()
}

fn count(nodes: &[String], word: &str) -> usize {
    nodes.iter().filter(|line| line.split(' ').any(|other| other == word)).count()
}

/// What a leader acknowledged is there after its power was cut, on those that go on and, when it returns, on itself;
/// a machine that is cut off from the others is no part of what they decide, and hears of it when the cut is healed.
#[test]
fn a_cluster_outlives_its_leader_and_a_partition() {
    let lab = Lab::up(&["--managers", "3", "--workers", "1"]);
    assert!(wait_until(|| count(&nodes(&lab, "m1"), "Ready") == 4), "{:?}", nodes(&lab, "m1"));
    let id = nodes(&lab, "m1")[0].split(' ').next().unwrap_or_default().to_owned();
    let labels = |at: &str| lab.on(at, &["node", "inspect", &id, "--format", "{{json .Spec.Labels}}"]).stdout;
    let write = |at: &str, name: &str| {
        let label = format!("{name}=1");
        wait_until(|| lab.on(at, &["node", "update", "--label-add", &label, &id]).code == 0)
    };
    assert!(write("m2", "before"));

    lab.lab(&["kill", "m1"]).ok();
    assert!(wait_until(|| count(&nodes(&lab, "m2"), "Leader") == 1), "{:?}", nodes(&lab, "m2"));
    assert!(write("m3", "meanwhile"));
    lab.lab(&["start", "m1"]).ok();
    assert!(wait_until(|| labels("m1").contains("meanwhile") && labels("m1").contains("before")), "{}", labels("m1"));

    lab.lab(&["cut", "m3"]).ok();
    assert!(write("m1", "apart"));
    lab.lab(&["heal"]).ok();
    assert!(wait_until(|| labels("m3").contains("apart")), "{}", labels("m3"));

    lab.lab(&["down"]).ok();
    assert_eq!(lab.leftovers(), Vec::<String>::new());
}
