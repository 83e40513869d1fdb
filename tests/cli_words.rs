//! What the command line says before it speaks to any daemon: help, mistakes, refusals.

use std::process::Command;

/// Exit code, standard output and standard error of one command line.
fn hoist(args: &[&str]) -> String {
    let home = tempfile::tempdir().expect("a temporary directory");
    let output = Command::new(env!("CARGO_BIN_EXE_hoist"))
        .args(args)
        .env_clear()
        .env("HOME", home.path())
        .env("HOIST_HOST", "unix:///nowhere/hoist.sock")
        .output()
        .expect("the program runs");
    format!(
        "exit code: {}\n----- stdout -----\n{}\n----- stderr -----\n{}",
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn help_teaches() {
    insta::assert_snapshot!("help", hoist(&["--help"]));
    insta::assert_snapshot!("help_ps", hoist(&["ps", "--help"]));
    insta::assert_snapshot!("help_run", hoist(&["run", "--help"]));
    insta::assert_snapshot!("help_network", hoist(&["network", "--help"]));
    assert_eq!(hoist(&["help"]), hoist(&["--help"]));
    assert_eq!(hoist(&["help", "network", "create"]), hoist(&["network", "create", "--help"]));
}

#[test]
fn every_command_has_help_with_an_example() {
    let listed = |args: &[&str]| -> Vec<String> {
        let text = hoist(args);
        let commands =
            text.split("Usage: ").nth(1).and_then(|rest| rest.split("Options:\n").next()).unwrap_or_default();
        // A description that goes on in the next line is indented further.
        let names = commands.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        names.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
    };
    let mut without = Vec::new();
    for command in listed(&["--help"]) {
        let nouns = [
            "builder",
            "checkpoint",
            "config",
            "container",
            "context",
            "device",
            "image",
            "job",
            "lab",
            "manifest",
            "network",
            "node",
            "secret",
            "service",
            "stack",
            "swarm",
            "system",
            "volume",
        ];
        if nouns.contains(&command.as_str()) {
            for verb in listed(&[&command, "--help"]) {
                let text = hoist(&[&command, &verb, "--help"]);
                if !text.contains("exit code: 0") || !text.contains("Example") {
                    without.push(format!("{command} {verb}"));
                }
            }
        } else if !["compose", "oci", "daemon", "up", "down", "watch"].contains(&command.as_str()) {
            let text = hoist(&[&command, "--help"]);
            if !text.contains("exit code: 0") || !text.contains("Example") {
                without.push(command);
            }
        }
    }
    assert_eq!(without, [] as [String; 0]);
}

#[test]
fn what_is_mistyped_is_named_and_something_near_is_offered() {
    let cases: [&[&str]; 16] = [
        &["psuh"],
        &["frobnicate"],
        &["container", "lst"],
        &["builder", "prun"],
        &["build", "--gpus", "all", "."],
        &["build", "--nocache", "."],
        &["ps", "--al"],
        &["run", "--memmory", "5m", "busybox"],
        &["run"],
        &["rm"],
        &["pull", "--progress", "fancy", "x"],
        &["stop", "--timeout", "soon", "x"],
        &["inspect", "--type", "contaner", "x"],
        &["exec", "web"],
        &["logs", "--since", "yesterday", "x"],
        &["volume"],
    ];
    let said: Vec<String> = cases.iter().map(|args| format!("$ hoist {}\n{}\n", args.join(" "), hoist(args))).collect();
    insta::assert_snapshot!("mistyped", said.join("\n"));
}

#[test]
fn what_cannot_be_is_refused_with_125_before_anything_happens() {
    let cases: [&[&str]; 15] = [
        &["run", "--memory", "lots", "x"],
        &["run", "--cpus", "many", "x"],
        &["run", "-p", "99999:80", "x"],
        &["run", "-p", "80:80/icmp", "x"],
        &["run", "-v", "data", "x"],
        &["run", "--mount", "type=bind,dst=/x", "x"],
        &["run", "--ulimit", "nofiles=1", "x"],
        &["run", "--restart", "sometimes", "x"],
        &["run", "--rm", "--restart", "always", "x"],
        &["run", "--network", "host", "--ip", "10.0.0.1", "x"],
        &["run", "--env-file", "/nowhere/env", "x"],
        &["run", "--isolation", "hyperv", "x"],
        &["run", "--use-api-socket", "x"],
        &["run", "--detach-keys", "ctrl-!", "x"],
        &["ps", "--filter", "running"],
    ];
    let said: Vec<String> = cases.iter().map(|args| format!("$ hoist {}\n{}\n", args.join(" "), hoist(args))).collect();
    assert!(said.iter().all(|text| text.contains("exit code: 125")), "{}", said.join("\n"));
    insta::assert_snapshot!("refused", said.join("\n"));
}

#[test]
fn a_daemon_that_cannot_be_reached_is_named() {
    let cases: [&[&str]; 4] =
        [&["ps"], &["-H", "ssh://host", "ps"], &["-H", "tcp://127.0.0.1:1", "ps"], &["run", "busybox"]];
    let said: Vec<String> = cases.iter().map(|args| format!("$ hoist {}\n{}\n", args.join(" "), hoist(args))).collect();
    insta::assert_snapshot!("unreachable", said.join("\n"));
}

#[test]
fn completion_scripts_are_made_for_each_shell() {
    for (shell, mark) in [("bash", "complete -F _hoist"), ("zsh", "#compdef hoist"), ("fish", "complete -c hoist")] {
        let script = hoist(&["completion", shell]);
        assert!(script.starts_with("exit code: 0") && script.contains(mark), "{shell}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error_message() {
    let output = Command::new("bash")
        .args(["-c", "set -o pipefail; \"$0\" completion bash | head -c 10 >/dev/null", env!("CARGO_BIN_EXE_hoist")])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
