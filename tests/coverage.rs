//! What of Docker's API and command line is there: asked of the program itself, and kept in `docs/docker.md`.
//!
//! `tests/data/` lists every path and every flag. When the program has learnt something, this test fails until the
//! table says so: `HOIST_UPDATE=1 cargo test --test coverage` writes it anew.

#![allow(clippy::unwrap_used)] // what a helper cannot do fails the test

mod support;

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    io::{Read, Write},
    os::unix::net::UnixStream,
    process::Command,
    time::Duration,
};

use support::{HOIST, Host, run};

const API: &str = include_str!("data/docker-api.txt");
const CLI: &str = include_str!("data/docker-cli.txt");
const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/docker.md");

/// Flags that mean nothing on Linux, or nothing any more.
const NOT_APPLICABLE: &[&str] = &[
    "--cpu-count",
    "--cpu-percent",
    "--disable-content-trust",
    "--io-maxbandwidth",
    "--io-maxiops",
    "--isolation",
    "--kernel-memory",
    "--orchestrator",
    "--kubeconfig",
    "--compress",
];

/// One request, and what is answered until the daemon says no more for a while.
fn exchange(host: &Host, method: &str, target: &str, body: &[u8]) -> (u16, String) {
    let mut stream = UnixStream::connect(host.socket()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let length = body.len();
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    // A daemon that has seen enough of the head may close before the body is written.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    // Streams without an end stop at the timeout; what came is enough.
    let _ = stream.take(64 << 10).read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    (status, body)
}

/// Method, path with names that nothing has, and the names of parameters.
fn paths() -> impl Iterator<Item = (&'static str, &'static str, Vec<&'static str>)> {
    API.lines().map(|line| {
        let (endpoint, parameters) = line.split_once(':').unwrap();
        let (method, path) = endpoint.split_once(' ').unwrap();
        (method, path, parameters.split_whitespace().collect())
    })
}

fn target(path: &str) -> String {
    let mut out = String::new();
    for part in path.split('/').skip(1) {
        let _ = write!(out, "/{}", if part.starts_with('{') { "nothing-has-this-name" } else { part });
    }
    out
}

fn message(body: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(body.trim()).unwrap_or_default();
    value["message"].as_str().unwrap_or_default().trim_end_matches('.').to_owned()
}

fn api_table(host: &Host) -> String {
    let mut out = String::from("| endpoint | here |\n|---|---|\n");
    for (method, path, _) in paths() {
        let query = if path == "/events" { "?until=1" } else { "" };
        let (status, body) = exchange(host, method, &format!("{}{query}", target(path)), b"");
        assert_ne!(status, 0, "{method} {path}: no answer");
        let here = match status {
            404 if path.starts_with("/plugins/") => "says that there is no such plugin".to_owned(),
            404 if body.contains("page not found") => "not there".to_owned(),
            501 => format!("refused: {}", message(&body)),
            503 => "says that the node is no swarm manager".to_owned(),
            _ => "works".to_owned(),
        };
        let _ = writeln!(out, "| `{method} {path}` | {here} |");
    }
    out
}

/// Whether a command's own help says that it is there only to be refused.
fn is_refused(words: &[&str]) -> bool {
    let done = run(Command::new(HOIST).args(words).arg("--help").env("NO_COLOR", "1"));
    done.stdout.starts_with("Not supported")
}

/// The flags that a command's help lists; `None` where there is no such command.
fn flags(words: &[&str]) -> Option<BTreeSet<String>> {
    let done = run(Command::new(HOIST).args(words).arg("--help").env("NO_COLOR", "1"));
    if done.code != 0 || done.stderr.contains("is not a command") {
        return None;
    }
    let flag = |word: &str| {
        let end = word.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).unwrap_or(word.len());
        word.starts_with("--").then(|| word[..end].to_owned())
    };
    Some(done.stdout.split([' ', '\n', '[', ',', '(']).filter_map(flag).collect())
}

fn cli_table() -> String {
    let mut out = String::from("| command | understood | refused by name | not applicable |\n|---|---|---|---|\n");
    for line in CLI.lines() {
        let (command, wanted) = line.split_once(':').unwrap();
        let words: Vec<&str> = command.split(' ').collect();
        let Some(known) = flags(&words) else {
            let _ = writeln!(out, "| `{command}` | not there | | |");
            continue;
        };
        if is_refused(&words) {
            let _ = writeln!(
                out,
                "| `{command}` | refused | {} | |",
                wanted.split_whitespace().map(|flag| format!("`{flag}`")).collect::<Vec<_>>().join(" ")
            );
            continue;
        }
        let (mut works, mut refused, mut moot) = (Vec::new(), Vec::new(), Vec::new());
        for flag in wanted.split_whitespace() {
            let list = match known.contains(flag) {
                true => &mut works,
                false if NOT_APPLICABLE.contains(&flag) => &mut moot,
                false => &mut refused,
            };
            list.push(format!("`{flag}`"));
        }
        let works = if works.is_empty() { "works".to_owned() } else { works.join(" ") };
        let _ = writeln!(out, "| `{command}` | {works} | {} | {} |", refused.join(" "), moot.join(" "));
    }
    out
}

/// Flags that are known and whose value can be refused: what is said then.
fn values_table(host: &Host) -> String {
    let mut out = String::from("| asked for | answer |\n|---|---|\n");
    for flag in [
        "--runtime runc",
        "--runtime crun",
        "--userns host",
        "--userns private",
        "--log-driver journald",
        "--log-driver syslog",
        "--log-driver fluentd",
        "--log-opt compress=true",
        "--log-opt mode=non-blocking",
        "--log-opt tag=x",
        "--volume-driver other",
        "--isolation hyperv",
        "--platform linux/s390x",
        "--security-opt apparmor=x",
        "--cgroupns host",
    ] {
        let words: Vec<&str> = flag.split(' ').collect();
        let done = host.hoist(&[&["create", "--pull", "never"], &words[..], &["busybox", "true"]].concat());
        let said = done.stderr.lines().next().unwrap_or_default().trim_start_matches("hoist: ").replace('|', "\\|");
        let _ = writeln!(out, "| `{flag}` | {} |", if done.code == 0 { "works" } else { said.as_str() });
    }
    // What these answer depends on the machine; tests of their own look at both answers.
    out.push_str(
        "| `--storage-opt size=10m` | works on ext4 and xfs that are mounted with prjquota, refused elsewhere |\n",
    );
    out.push_str("| `network create -d ipvlan` | works where the kernel has ipvlan, refused elsewhere |\n");
    for flags in ["-d macvlan", "-d overlay", "--config-only", "--config-from bridge"] {
        let words: Vec<&str> = flags.split(' ').collect();
        let done = host.hoist(&[&["network", "create"], &words[..], &["net"]].concat());
        let said = done.stderr.lines().next().unwrap_or_default().trim_start_matches("hoist: ").to_owned();
        let _ =
            writeln!(out, "| `network create {flags}` | {} |", if done.code == 0 { "works" } else { said.as_str() });
        host.hoist(&["network", "rm", "net"]);
    }
    out
}

#[test]
fn the_table_is_current() {
    let host = Host::new();
    host.busybox();
    let table = format!(
        "# Docker's interfaces, and what of them is here\n\n\
         Written by `tests/coverage.rs`, which asks the program itself and fails when this page is not current.\n\n\
         ## The Engine API\n\n{}\n## The command line\n\n\
         A flag that is refused ends the command with code 125 and the flag's name. Of some that are understood, not all \
         values are: see below.\n\n{}\n\
         ## Values\n\nSome flags are there and not all of their values; `hoist create` says of them:\n\n{}",
        api_table(&host),
        cli_table(),
        values_table(&host)
    );
    if std::env::var_os("HOIST_UPDATE").is_some() {
        std::fs::create_dir_all(std::path::Path::new(TABLE).parent().unwrap()).unwrap();
        std::fs::write(TABLE, &table).unwrap();
    }
    let kept = std::fs::read_to_string(TABLE).unwrap_or_default();
    let differ: Vec<String> = table
        .lines()
        .filter(|line| !kept.lines().any(|other| other == *line))
        .map(|line| format!("now:  {line}"))
        .chain(
            kept.lines().filter(|line| !table.lines().any(|other| other == *line)).map(|line| format!("kept: {line}")),
        )
        .collect();
    assert!(differ.is_empty(), "docs/docker.md: HOIST_UPDATE=1 writes it anew\n{}", differ.join("\n"));
}

#[test]
fn a_client_s_mistake_is_never_the_daemon_s() {
    let host = Host::new();
    host.busybox();
    host.hoist(&["run", "-d", "--name", "box", "--stop-signal", "KILL", "busybox", "sleep", "1000"]).ok();
    let bodies: [&[u8]; 12] = [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\"text\"",
        b"{\"a\":",
        b"\xff\xfe\x00",
        br#"{"Image":3,"HostConfig":[],"Cmd":{},"Name":[],"Container":{},"Names":1}"#,
        br#"{"Image":"busybox","HostConfig":{"Memory":-1e300,"Binds":"x","PortBindings":[1]}}"#,
        br#"{"Name":"../../x","Driver":"../x","IPAM":{"Config":[{"Subnet":"nowhere"}]},"Image":"../.."}"#,
        br#"{"Image":"busybox","Healthcheck":{"Interval":-1},"StopTimeout":-99999999999}"#,
        br#"{"Cmd":[""],"User":"\u0000","Env":["=","\u0000"],"WorkingDir":"\u0000","Tty":"maybe"}"#,
    ];
    let values = [
        "",
        "%00",
        "%FF%FE",
        "-1",
        "99999999999999999999",
        "..%2F..%2Fetc",
        "{",
        "%7B%22x%22%3A1%7D",
        "%7B%22label%22%3A%5B1%5D%7D",
        "a%20b",
    ];
    let mut seen = 0;
    let mut check = |method: &str, target: &str, body: &[u8]| {
        let (status, said) = exchange(&host, method, target, body);
        seen += 1;
        let body = String::from_utf8_lossy(body);
        let unreachable = said.contains("cannot reach registry");
        assert!(
            (100..500).contains(&status) || matches!(status, 501 | 503) || unreachable,
            "{method} {target} with {body:?}: {status} {said}"
        );
        if (400..500).contains(&status) && method != "HEAD" {
            assert!(!message(&said).is_empty(), "{method} {target} with {body:?}: {status} without a word: {said:?}");
        }
    };
    for (method, path, parameters) in paths().filter(|(_, path, _)| *path != "/events") {
        for name in ["box", "busybox", "%00", "..%2Fx", "sha256:zz", "a%2520b"] {
            let target: String = path
                .split('/')
                .skip(1)
                .map(|part| format!("/{}", if part.starts_with('{') { name } else { part }))
                .collect();
            // The container is needed to the end, and what follows a log or a wait does not end.
            let ends = !["/wait", "/attach", "/stats", "/attach/ws"].iter().any(|verb| path.ends_with(verb));
            let harmless = !(name == "box" && (method == "DELETE" || !ends));
            if harmless {
                check(method, &target, if path.contains("{") { b"{" } else { b"[]" });
            }
            if !path.contains('{') {
                break;
            }
        }
        let nobody = target(path);
        if matches!(method, "POST" | "PUT") {
            for body in bodies {
                check(method, &nobody, body);
            }
        }
        for parameter in parameters {
            for value in values {
                check(method, &format!("{nobody}?{parameter}={value}"), b"");
            }
        }
    }
    assert!(seen > 2000, "{seen} requests");
    // Sent while nothing waits: the daemon is well, and nothing was made on the way.
    assert_eq!(exchange(&host, "GET", "/_ping", b"").1.trim_end_matches(['\r', '\n', '0']), "OK");
    assert!(!host.daemon_log().contains("panicked"), "a panic is in the daemon's log");
}
