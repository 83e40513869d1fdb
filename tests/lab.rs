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
