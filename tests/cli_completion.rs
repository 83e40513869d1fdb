//! What shells offer: asked through bash as a person's Tab asks, and of the program itself.
#![allow(clippy::unwrap_used)] // what a helper cannot do fails the test

mod support;

use std::process::Command;

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

/// A shell that finds the program by its name.
fn shell(host: &Host, name: &str) -> Command {
    let mut command = host.command(name);
    let beside = std::path::Path::new(HOIST).parent().unwrap();
    let path = format!("{}:{}", beside.display(), std::env::var("PATH").unwrap());
    command.env("PATH", path).env("TERM", "vt100");
    command
}

/// The same line through fish, with what stands behind each candidate.
fn fish(host: &Host, line: &str) -> Vec<String> {
    let run = "source completion.fish; complete -C $argv[1]";
    let said = shell(host, "fish").args(["--no-config", "-c", run, line]).output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    let mut found: Vec<String> = said.lines().map(|line| line.replace('\t', " -- ")).collect();
    found.sort();
    found
}

/// Types lines into an interactive zsh and answers all that it shows.
fn zsh(host: &Host, lines: &[&str]) -> String {
    let run = r#"
        zmodload zsh/zpty
        zpty -b typed zsh -f -i
        all=''
        say() {
            zpty -w typed "$1"
            zpty -w typed "print said-''$#all"
            zpty -r -m typed shown "*said-$#all*"
            all+="$shown"
        }
        say 'PS1= LISTMAX=1000; setopt no_auto_menu; autoload -Uz compinit; compinit -u -D; source ./completion.zsh'
        for line in "$@"; do say "${(g::)line}"; done
        print -r -- "$all"
    "#;
    let done = shell(host, "zsh").args(["-f", "-c", run, "zsh"]).args(lines).output().unwrap();
    String::from_utf8_lossy(&done.stdout).replace('\r', "")
}

#[test]
fn fish_and_zsh_offer_the_same() {
    let host = Host::new();
    host.busybox();
    for name in ["web-1", "web-2", "other"] {
        host.hoist(&["create", "--name", name, "busybox"]).ok();
    }
    host.hoist(&["network", "create", "backend"]).ok();
    host.write("compose.yaml", "services:\n  front: {image: busybox}\n  back: {image: busybox}\n");
    for shell in ["fish", "zsh"] {
        host.write(&format!("completion.{shell}"), &host.hoist(&["completion", shell]).ok());
    }
    assert_eq!(fish(&host, "hoist network insp"), ["inspect -- Show all that is known of networks"]);
    assert_eq!(fish(&host, "hoist rm -f we"), ["web-1 -- busybox, Created", "web-2 -- busybox, Created"]);
    assert_eq!(fish(&host, "hoist up "), ["back -- busybox", "front -- busybox"]);
    assert_eq!(fish(&host, "hoist load -i comp"), ["completion.fish", "completion.zsh", "compose.yaml"]);

    // One candidate is written out, several are shown, and the line runs as it stands then.
    let shown =
        zsh(&host, &["hoist network insp\\tback\\t--format '<{{.Name}}>'", "hoist rm web-\\t1", "hoist rm oth\\t"]);
    assert!(shown.contains("<backend>"), "{shown}");
    assert!(shown.contains("web-2") && shown.contains("busybox, Created"), "{shown}");
    assert_eq!(host.hoist(&["ps", "-a", "--format", "{{.Names}}"]).ok(), "web-2\n", "{shown}");
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
