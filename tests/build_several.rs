//! Several builds at once, of a bake file's targets and of Compose's services: side by side, and what they have in common
//! once.

mod support;

use std::collections::BTreeSet;

use serde_json::Value;
use support::{Host, run, wait_until};

fn ready() -> Host {
    let host = Host::new();
    host.busybox();
    host
}

fn read(host: &Host, image: &str, file: &str) -> String {
    host.hoist(&["run", "--rm", "--network", "none", image, "cat", file]).ok()
}

/// A stage that counts how often it is run, and one for each of two that ends only when the other runs, too.
const MEETING: &str = "\
FROM busybox AS base
RUN --mount=type=cache,id=count,target=/count echo run >> /count/runs; sleep 0.3; cp /count/runs /runs
FROM base AS meet
ARG ME OTHER
RUN --mount=type=cache,id=meet,target=/meet set -e; touch /meet/$ME; i=0; \\
    while [ ! -e /meet/$OTHER ] && [ $i -lt 600 ]; do i=$((i + 1)); sleep 0.1; done; test -e /meet/$OTHER; echo $ME > /me
";

const BAKE: &str = r#"
group "default" { targets = ["both", "after"] }
group "both" { targets = ["one", "two"] }
target "meet" {
  context = "context"
  target  = "meet"
  network = "none"
}
target "one" {
  inherits = ["meet"]
  args     = { ME = "one", OTHER = "two" }
  tags     = ["one:baked"]
}
target "two" {
  inherits = ["meet"]
  args     = { ME = "two", OTHER = "one" }
  tags     = ["two:baked"]
}
target "after" {
  context           = "more"
  dockerfile-inline = "FROM one\nCOPY --from=two /me /other\n"
  contexts          = { one = "target:one", two = "target:two" }
  network           = "none"
  tags              = ["after:baked"]
}
"#;

#[test]
fn targets_are_built_side_by_side_and_share_steps() {
    let host = ready();
    host.write("context/Dockerfile", MEETING);
    host.write("more/nothing", "");
    host.write("docker-bake.hcl", BAKE);
    let done = host.hoist(&["bake", "--progress", "plain", "--metadata-file", "metadata.json"]);
    assert!(
        done.stderr.contains("[one meet 1/1] RUN") && done.stderr.contains("[two meet 1/1] RUN"),
        "{}",
        done.stderr
    );
    let (built, begun) = (done.stderr.find("Target one  Built"), done.stderr.find("Target after  Building"));
    assert!(built.is_some() && built < begun, "{}", done.stderr);
    done.ok();
    assert_eq!((read(&host, "one:baked", "/me"), read(&host, "two:baked", "/me")), ("one\n".into(), "two\n".into()));
    assert_eq!(host.hoist(&["run", "--rm", "after:baked", "cat", "/me", "/other"]).ok(), "one\ntwo\n");
    // The stage below both was run once.
    assert_eq!(
        (read(&host, "one:baked", "/runs"), read(&host, "two:baked", "/runs")),
        ("run\n".into(), "run\n".into())
    );
    let text = std::fs::read_to_string(host.path().join("metadata.json")).unwrap();
    let metadata: Value = serde_json::from_str(&text).unwrap();
    let names: BTreeSet<&str> = metadata.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["after", "one", "two"].into());
    // What one target writes can be loaded, whatever the file says; a failure names its target.
    host.hoist(&["rmi", "-f", "one:baked"]).ok();
    let set = ["--set", "one.output=type=tar,dest=one.tar"];
    host.hoist(&[&["bake", "one"][..], &set].concat()).ok();
    assert!(host.path().join("one.tar").exists());
    host.hoist(&["image", "inspect", "one:baked"]).fails(1);
    host.hoist(&[&["bake", "--load", "one"][..], &set].concat()).ok();
    assert_eq!(read(&host, "one:baked", "/me"), "one\n");
    let text = host.hoist(&["bake", "--no-cache", "both", "--set", "two.args.ME=no/where"]).fails(1);
    assert!(text.contains("hoist: target two: Dockerfile:5"), "{text}");
    let raw = host.hoist(&["bake", "--progress", "rawjson", "both"]);
    let events: Vec<Value> = raw.stderr.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let builds: BTreeSet<&str> = events.iter().filter_map(|event| event["build"].as_str()).collect();
    assert_eq!(builds, ["one", "two"].into(), "{}", raw.stderr);
}

#[test]
fn services_that_share_a_stage_run_it_once() {
    let host = ready();
    host.write(
        "context/Dockerfile",
        &format!("{MEETING}FROM base AS third\nARG V\nCOPY --from=second /me /second\nRUN echo third-$V > /me\n"),
    );
    host.write(
        "compose.yaml",
        "name: demo
x-run: &run {command: sleep 300, init: true, network_mode: none}
services:
  first:
    <<: *run
    build: {context: context, target: meet, network: none, args: {ME: one, OTHER: two}}
  second:
    <<: *run
    build: {context: context, target: meet, network: none, args: {ME: two, OTHER: one}}
  third:
    <<: *run
    build: {context: context, network: none, args: {V: 3}, additional_contexts: {second: 'service:second'}}
",
    );
    let done = host.hoist(&["up", "-d", "--build"]);
    for service in ["first", "second", "third"] {
        assert!(done.stderr.contains(&format!("Service {service}  Built")), "{}", done.stderr);
    }
    done.ok();
    let read = |service: &str, file: &str| host.hoist(&["compose", "exec", "-T", service, "cat", file]).ok();
    assert_eq!((read("first", "/me"), read("second", "/me")), ("one\n".into(), "two\n".into()));
    assert_eq!((read("third", "/me"), read("third", "/second")), ("third-3\n".into(), "two\n".into()));
    for service in ["first", "second", "third"] {
        assert_eq!(read(service, "/runs"), "run\n");
    }
    host.hoist(&["down", "-t", "1"]).ok();
}

const KEYS: &str = "\
name: keys
services:
  all:
    image: keys:1
    build:
      context: context
      dockerfile: sub/Other
      target: wanted
      args: {A: 1, FROM_ENV: }
      labels: {made: 'by keys'}
      tags: ['keys:2', 'other/keys:3']
      network: none
      shm_size: 8m
      ulimits: {nofile: {soft: 77, hard: 88}}
      extra_hosts: ['somewhere=10.1.2.3']
      entitlements: [network.host]
      platforms: [linux/amd64]
      additional_contexts: {more: more, base: 'docker-image://busybox'}
      secrets: [token, {source: token, target: second}]
      cache_to: ['type=local,dest=cache']
      cache_from: ['type=local,src=cache']
      provenance: false
      sbom: false
      pull: false
      no_cache: false
  inline:
    build:
      network: none
      no_cache: true
      dockerfile_inline: |
        FROM busybox
        RUN cat /proc/sys/kernel/random/uuid > /id
secrets:
  token: {environment: TOKEN}
";

#[test]
fn each_key_of_a_build_section_is_heeded() {
    let host = ready();
    let machine = std::env::consts::ARCH.replace("x86_64", "amd64").replace("aarch64", "arm64");
    host.write("compose.yaml", &KEYS.replace("linux/amd64", &format!("linux/{machine}")));
    host.write("more/file", "more");
    host.write(
        "context/sub/Other",
        "FROM base AS wanted
ARG A FROM_ENV
COPY --from=more file /more
RUN --mount=type=secret,id=token --mount=type=secret,id=second cmp /run/secrets/token /run/secrets/second && \\
    echo \"$A $FROM_ENV $(ulimit -Sn) $(ulimit -Hn) $(df -k /dev/shm | tail -n 1 | awk '{print $2}')\" > /said && \\
    grep somewhere /etc/hosts >> /said && wc -c < /run/secrets/token >> /said
RUN --network=host true
FROM wanted
RUN false
",
    );
    let compose = |args: &[&str]| {
        let mut command = host.command(support::HOIST);
        run(command.arg("compose").args(args).env("TOKEN", "12345").env("FROM_ENV", "env"))
    };
    compose(&["build"]).ok();
    for name in ["keys:1", "keys:2", "other/keys:3"] {
        assert_eq!(read(&host, name, "/more"), "more");
    }
    assert_eq!(read(&host, "keys:1", "/said"), "1 env 77 88 8192\n10.1.2.3\tsomewhere\n5\n");
    assert_eq!(host.hoist(&["image", "inspect", "-f", "{{.Config.Labels.made}}", "keys:1"]).ok(), "by keys\n");
    assert!(host.path().join("cache/index.json").exists());
    // Another daemon's cache is filled from what was written; a build without a cache is always new.
    let first = read(&host, "keys-inline", "/id");
    host.hoist(&["builder", "prune", "-af"]).ok();
    let again = compose(&["--progress", "plain", "build"]);
    assert!(again.stderr.contains("CACHED") && !again.stderr.contains("Service all  Failed"), "{}", again.stderr);
    assert_ne!(read(&host, "keys-inline", "/id"), first);
    for (key, words) in [
        ("privileged: true", "service x: build.privileged is not supported"),
        ("isolation: hyperv", "service x: build.isolation is not supported"),
        ("ssh: [default]", "SSH_AUTH_SOCK"),
        ("secrets: [nothing]", "nothing"),
        ("entitlements: [everything]", "unknown entitlement \"everything\""),
        ("contxt: .", "contxt"),
        ("additional_contexts: {a: 'service:nobody'}", "nobody"),
        ("platforms: [no/such/plat/form]", "no/such/plat/form"),
        ("target: nothing", "nothing"),
        ("cache_to: ['type=gha']", "gha"),
    ] {
        host.write(
            "broken.yaml",
            &format!("name: b\nservices:\n  x:\n    build:\n      context: more\n      dockerfile_inline: \"FROM busybox\\nRUN true\\n\"\n      {key}\n"),
        );
        let mut command = host.command(support::HOIST);
        let done = run(command.args(["compose", "-f", "broken.yaml", "build"]).env_remove("SSH_AUTH_SOCK"));
        assert!(done.code != 0 && done.stderr.contains(words), "{key}: {} {}", done.code, done.stderr);
    }
}

#[test]
fn up_watches_what_it_started() {
    let host = ready();
    host.write("context/Dockerfile", "FROM busybox\nCOPY src /src\n");
    host.write("context/src/a", "1");
    host.write(
        "compose.yaml",
        "name: w\nservices:\n  app:\n    build: {context: context, network: none}\n    command: sleep 300\n    init: true\n    \
         network_mode: none\n    develop:\n      watch:\n        - {path: context/src, action: sync, target: /src}\n",
    );
    let log = std::fs::File::create(host.path().join("up.log")).unwrap();
    let mut up = host.command(support::HOIST);
    let mut up = up.args(["up", "--watch"]).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
    let said = |what: &str| std::fs::read_to_string(host.path().join("up.log")).unwrap().contains(what);
    assert!(
        wait_until(|| said("Watching  enabled")),
        "{}",
        std::fs::read_to_string(host.path().join("up.log")).unwrap()
    );
    host.write("context/src/a", "two");
    let read = || host.hoist(&["compose", "exec", "-T", "app", "cat", "/src/a"]).stdout;
    assert!(wait_until(|| read() == "two"));
    host.other("kill", &["-INT", &up.id().to_string()]).ok();
    assert!(up.wait().is_ok());
    host.hoist(&["down", "-t", "1"]).ok();
}
