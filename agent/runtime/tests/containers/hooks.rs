//! Hooks: when they run, where, and what they are told.

use serde_json::{Value, json};

use crate::harness::Bundle;

fn hook(script: &str) -> Value {
    json!([{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"]}])
}

#[test]
fn all_kinds_run_in_their_order_with_the_state_on_their_input() {
    let mut bundle = Bundle::new("true");
    let log = bundle.dir.path().join("log");
    let note = |kind: &str| format!("echo {kind} $(cat | tr -d ' \\n') >> {}", log.display());
    // This one runs from the container's root, into a file that the host sees too.
    let inside = "echo startContainer $(cat | tr -d ' \\n') >> /etc/log; ln /etc/log /etc/log2";
    bundle.spec["hooks"] = json!({
        "prestart": hook(&note("prestart")),
        "createRuntime": hook(&note("createRuntime")),
        "createContainer": hook(&format!("{}; hostname >> {}", note("createContainer"), log.display())),
        "startContainer": hook(inside),
        "poststart": hook(&note("poststart")),
        "poststop": hook(&note("poststop")),
    });
    bundle.spec["annotations"] = json!({"a.b": "c"});
    assert_eq!(bundle.create(&[]), 0, "{}", bundle.file("err"));
    let pid = bundle.pid();
    let log = bundle.file("log");
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.len(), 4, "{log}");
    for (line, kind) in lines.iter().zip(["prestart", "createRuntime", "createContainer"]) {
        let (name, state) = line.split_once(' ').unwrap();
        assert_eq!(name, kind);
        let state: Value = serde_json::from_str(state).unwrap();
        assert_eq!((state["id"].as_str(), state["status"].as_str()), (Some(bundle.id.as_str()), Some("creating")));
        assert_eq!(state["annotations"]["a.b"], "c");
        // A hook in the container's namespaces hears the number that the container knows.
        assert_eq!(state["pid"], if kind == "createContainer" { 1 } else { pid });
    }
    assert_eq!(lines[3], "box");
    assert_eq!(bundle.oci(&["start", "{}"]).code, 0);
    assert!(bundle.file("rootfs/etc/log").starts_with("startContainer {"));
    assert!(bundle.file("log").contains("poststart {"));
    bundle.until("the end", || bundle.state()["status"] == "stopped");
    assert_eq!(bundle.oci(&["delete", "{}"]).code, 0);
    assert!(bundle.file("log").lines().last().unwrap().starts_with("poststop {"));
}

#[test]
fn a_hook_that_fails_ends_the_creation() {
    for kind in ["prestart", "createRuntime", "createContainer", "startContainer"] {
        let mut bundle = Bundle::new("echo ran");
        let stopped = bundle.dir.path().join("stopped");
        bundle.spec["hooks"] = json!({ kind: hook("echo because >&2; exit 3"), "poststop": hook(&format!("echo > {}", stopped.display())) });
        let done = bundle.run();
        assert_eq!((done.code, done.out.as_str()), (1, ""), "{kind}");
        assert!(done.err.contains(kind) && done.err.contains("because"), "{}", done.err);
        assert!(!bundle.has_cgroup());
        assert!(stopped.exists(), "{kind}: the container's end has hooks too");
        assert_eq!(bundle.oci(&["state", "{}"]).code, 1);
    }
}

#[test]
fn a_hook_that_takes_too_long_is_killed() {
    let mut bundle = Bundle::new("true");
    bundle.spec["hooks"] = json!({"createRuntime": [{"path": "/bin/sleep", "args": ["sleep", "1000"], "timeout": 1}]});
    let done = bundle.run();
    assert_eq!(done.code, 1);
    assert!(done.err.contains("still running after 1 s"), "{}", done.err);
}

#[test]
fn a_poststop_hook_that_fails_is_a_warning() {
    let mut bundle = Bundle::new("true");
    bundle.spec["hooks"] = json!({"poststop": hook("exit 1")});
    let done = bundle.run();
    assert_eq!(done.code, 0);
    assert!(done.err.contains("poststop"), "{}", done.err);
}

#[test]
fn hooks_are_checked() {
    for hooks in
        [json!({"prestart": [{"path": "relative"}]}), json!({"poststop": [{"path": "/bin/true", "timeout": 0}]})]
    {
        let mut bundle = Bundle::new("true");
        bundle.spec["hooks"] = hooks;
        assert!(bundle.run().err.contains("hooks."));
    }
}
