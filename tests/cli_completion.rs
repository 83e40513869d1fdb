//! What shells offer: asked through bash as a person's Tab asks, and of the program itself.
#![allow(clippy::unwrap_used)] // what a helper cannot do fails the test

mod support;

use support::{HOIST, Host};

/// The candidates that bash would show for this line.
fn bash(host: &Host, line: &str) -> Vec<String> {
    let script = host.hoist(&["completion", "bash"]).ok();
    host.write("completion.bash", &script);
    // The program is asked by the name that was typed.
    let run = "source completion.bash; COMP_LINE=$1; COMP_POINT=${#1}; _hoist; printf '%s\n' \"${COMPREPLY[@]}\"";
    let line = line.replacen("hoist", HOIST, 1);
    let said = host.other("bash", &["--norc", "-c", run, "bash", &line]).ok();
    let mut found: Vec<String> = said.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
    found.sort();
    found
}

#[test]
fn bash_offers_commands_flags_and_names() {
    let host = Host::new();
    host.busybox();
    host.hoist(&["create", "--name", "web-1", "busybox"]).ok();
    host.hoist(&["run", "-d", "--name", "web-2", "busybox", "sleep", "1000"]).ok();
    host.hoist(&["network", "create", "backend"]).ok();
    host.hoist(&["volume", "create", "data"]).ok();
    host.hoist(&["tag", "busybox", "localhost:5000/team/app:1"]).ok();
    host.write("compose.yaml", "services:\n  front: {image: busybox}\n  back: {image: busybox}\n");
    assert_eq!(bash(&host, "hoist netw"), ["network"]);
    assert_eq!(bash(&host, "hoist network i"), ["inspect"]);
    assert_eq!(bash(&host, "hoist ps --no-t"), ["--no-trunc"]);
    assert_eq!(bash(&host, "hoist rm -f we"), ["web-1", "web-2"]);
    assert_eq!(bash(&host, "hoist exec -it w"), ["web-2"]);
    assert_eq!(bash(&host, "hoist start "), ["web-1"]);
    assert_eq!(bash(&host, "hoist network rm back"), ["backend"]);
    assert_eq!(bash(&host, "hoist run --network b"), ["backend", "bridge"]);
    assert_eq!(bash(&host, "hoist volume rm "), ["data"]);
    assert_eq!(bash(&host, "hoist run --rm busy"), ["busybox", "busybox:latest"]);
    // A colon ends what bash takes for a word.
    assert_eq!(bash(&host, "hoist rmi localhost:5000/te"), ["5000/team/app:1"]);
    assert_eq!(bash(&host, "hoist run --pull=al"), ["always"]);
    assert_eq!(bash(&host, "hoist compose logs "), ["back", "front"]);
    assert_eq!(bash(&host, "hoist up fr"), ["front"]);
    assert_eq!(bash(&host, "hoist load -i comp"), ["completion.bash", "compose.yaml"]);
    let elsewhere = format!("hoist --host unix://{}/none.sock rm ", host.path().display());
    assert!(bash(&host, &elsewhere).is_empty());
    host.hoist(&["rm", "-f", "web-2"]).ok();
}

#[test]
fn other_shells_ask_the_same() {
    let host = Host::new();
    host.busybox();
    host.hoist(&["create", "--name", "box", "busybox"]).ok();
    let said = host.hoist(&["__complete", "rm", ""]).ok();
    assert_eq!(said, "box\tbusybox, Created\n");
    for (shell, words) in [("zsh", "compdef _hoist hoist"), ("fish", "complete -c hoist -f")] {
        let script = host.hoist(&["completion", shell]).ok();
        assert!(script.contains(words) && script.contains("__complete"), "{script}");
    }
    assert!(host.hoist(&["completion", "elvish"]).ok().contains("hoist;network"));
    // Nothing is said where nothing can be offered, and no daemon is started.
    let asked = ["__complete", "--run-root", "/none", "--data-root", "/none", "rm", ""];
    let nobody = host.command(HOIST).env_remove("HOIST_HOST").args(asked).output().unwrap();
    assert_eq!((nobody.status.code(), nobody.stdout.len(), nobody.stderr.len()), (Some(0), 0, 0));
}
