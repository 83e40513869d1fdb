//! What goes wrong with builds: what is said of it, where it points, and that nothing is left.

mod support;

use std::{
    fs::File,
    os::unix::{fs::symlink, process::ExitStatusExt},
    path::Path,
    process::{Command, Stdio},
};

use support::{Done, Host, wait_until};

fn ready() -> Host {
    let host = Host::new();
    host.busybox();
    host
}

fn build(host: &Host, args: &[&str]) -> Done {
    build_shown(host, "plain", args)
}

fn build_shown(host: &Host, how: &str, args: &[&str]) -> Done {
    host.hoist(&[&["build", "--network", "none", "--progress", how], args, &["context"]].concat())
}

/// Dockerfiles that are wrong, and what is said of each.
const MISTAKES: [(&str, &[&str]); 24] = [
    // What was found, where, and what was expected.
    (
        "FROM busybox\nRNU true\n",
        &["Dockerfile:2:1: found unknown instruction \"RNU\", expected one of ADD", "did you mean RUN?"],
    ),
    (
        "FROM busybox\nCOPY --form=x a b\n",
        &["Dockerfile:2:6: found unknown flag --form of COPY, expected", "did you mean --from?"],
    ),
    (
        "FROM busybox\nRUN --mount=type=cach,target=/x true\n",
        &["Dockerfile:2:18: found mount type \"cach\"", "did you mean cache?"],
    ),
    (
        "FROM busybox\nRUN --mount=type=bind true\n",
        &["Dockerfile:2:5: found a bind mount without a target, expected target=PATH"],
    ),
    ("FROM busybox\nENV A=b c\n", &["Dockerfile:2:9: found \"c\" without = in ENV, expected NAME=VALUE"]),
    ("FROM busybox\nCOPY a\n", &["Dockerfile:2:6: found COPY a, expected at least one source and a destination"]),
    (
        "FROM busybox sa x\n",
        &["Dockerfile:1:14: found \"sa\" behind the image of FROM, expected AS NAME or nothing", "did you mean AS?"],
    ),
    (
        "FROM busybox\nHEALTHCHECK --interval=5 CMD true\n",
        &["Dockerfile:2:24: found --interval=5, expected 0 or at least 1ms"],
    ),
    ("FROM busybox\nSHELL sh -c\n", &["Dockerfile:2:7: found SHELL sh -c, expected a JSON array"]),
    ("FROM busybox\nENV A=${B\n", &["Dockerfile:2:7: ", "${B"]),
    ("FROM busybox\nRUN <<END\necho 1\n", &["Dockerfile:2:5: ", "END"]),
    ("FROM busybox\nEXPOSE eighty\n", &["Dockerfile:2: ", "\"eighty\" is no port"]),
    ("RUN true\n", &["Dockerfile:1:1: found RUN before the first FROM"]),
    ("# escape=x\nFROM busybox\n", &["Dockerfile:1:10: found \"x\" as the escape character, expected"]),
    ("# syntax=x/y\nimages: []\n", &["Dockerfile:1:10: found the syntax \"x/y\", expected docker/dockerfile"]),
    // Stages: those that nothing has, and circles.
    (
        "FROM busybox AS build\nFROM busybox\nCOPY --from=biuld /x /x\n",
        &["Dockerfile:3", "did you mean the stage \"build\"?"],
    ),
    ("FROM busybox\nCOPY --from=7 /x /x\n", &["Dockerfile:2:13: found stage 7, expected 0 to 0 or a name"]),
    (
        "FROM busybox AS a\nCOPY --from=b /x /x\nFROM busybox AS b\nCOPY --from=a /x /x\n",
        &["Dockerfile:4:13: found a cycle of stages: a (2:13) → b (4:13) → a"],
    ),
    // Files: names that are nearly right, links that lead out, places that are none.
    (
        "FROM busybox\nCOPY src/mian.c /\n",
        &["Dockerfile:2: COPY src/mian.c /: \"src/mian.c\" was not found; did you mean \"src/main.c\"?"],
    ),
    ("FROM busybox\nCOPY Src /\n", &["\"Src\" was not found; did you mean \"src\"?"]),
    (
        "FROM busybox\nCOPY out/passwd /\n",
        &["Dockerfile:2", "\"out\" is a link to \"/nowhere/etc\"", "never out of it"],
    ),
    (
        "FROM busybox\nRUN --mount=type=bind,source=out,target=/x true\n",
        &["Dockerfile:2", "\"out\" was not found in the context"],
    ),
    ("FROM busybox\nCOPY src/main.c run.sh /one\n", &["Dockerfile:2", "a / at its end"]),
    ("FROM busybox\nCOPY src /etc/passwd/x\n", &["Dockerfile:2", "/etc/passwd"]),
];

#[test]
fn mistakes_are_told_with_their_places_and_what_was_expected() {
    let host = ready();
    host.write("context/src/main.c", "");
    host.write("context/run.sh", "");
    symlink("/nowhere/etc", host.path().join("context/out")).unwrap();
    symlink("../..", host.path().join("context/up")).unwrap();
    for (file, words) in MISTAKES {
        host.write("context/Dockerfile", file);
        let text = build(&host, &[]).fails(1);
        for word in words {
            assert!(text.contains(word), "{file}: {word:?} is not in\n{text}");
        }
    }
    // What is copied of a link that leads out is the link.
    host.write(
        "context/Dockerfile",
        "FROM busybox\nCOPY . /all\nRUN test $(readlink /all/up)$(readlink /all/out) = ../../nowhere/etc\n",
    );
    build(&host, &[]).ok();
    // A failing command: its code, its last lines, its place.
    host.write("context/Dockerfile", "FROM busybox\n\nRUN seq 1 40 && \\\n    echo last >&2 && exit 42\n");
    let text = build(&host, &[]).fails(1);
    assert!(text.contains("hoist: Dockerfile:3: RUN seq 1 40") && text.contains("ended with exit code 42"), "{text}");
    assert!(text.contains("   3 | >>> RUN seq 1 40 && \\\n   4 | >>>     echo last"), "{text}");
    let tail = text.split("------\n > [2/2] RUN seq").nth(1).unwrap_or_default();
    assert!(tail.contains(" 40\n") && tail.contains(" last\n") && !tail.contains(" 10\n"), "{text}");
    // A target that is no stage is a mistake of the flag's.
    host.write("context/Dockerfile", "FROM busybox AS build\nFROM build AS test\n");
    let text = build(&host, &["--target", "tset"]).fails(1);
    let said = "hoist: --target tset: Dockerfile has no such stage, expected one of build, test; did you mean test?";
    assert!(text.contains(said) && !text.contains(">>>"), "{text}");
    let mut docker = host.command("docker");
    docker
        .args(["build", "--target", "tset", "context"])
        .env("DOCKER_BUILDKIT", "0")
        .env("DOCKER_HOST", host.docker_host());
    let done = support::run(&mut docker);
    assert!(done.code != 0 && done.stderr.contains("--target tset: Dockerfile has no such stage"), "{}", done.stderr);
    assert_eq!(host.leftovers(), [] as [String; 0]);
}

#[test]
fn a_huge_context_is_told_with_what_is_large() {
    let host = ready();
    host.write("context/Dockerfile", "FROM busybox\nRUN true\n");
    host.write("context/small", "x");
    for (name, megabytes) in [("disk.img", 150), ("logs/old.log", 60)] {
        host.write(&format!("context/{name}"), "");
        // It takes no place on the disk here.
        File::options()
            .write(true)
            .open(host.path().join("context").join(name))
            .unwrap()
            .set_len(megabytes << 20)
            .unwrap();
    }
    let done = build(&host, &[]);
    let told = done.stderr.lines().find(|line| line.contains("of context")).unwrap_or_default().to_owned();
    done.ok();
    for words in ["sending 220", "the largest: disk.img (157", "logs (62", ".dockerignore"] {
        assert!(told.contains(words), "{words}: {told}");
    }
    host.write("context/.dockerignore", "*.img\nlogs\n");
    let done = build(&host, &[]);
    assert!(!done.stderr.contains("the largest"), "{}", done.stderr);
}

/// The files below a directory that hold a text.
fn holding(text: &str, dir: &Path) -> String {
    let found = Command::new("grep").args(["-raslF", text]).arg(dir).output().expect("grep runs");
    String::from_utf8_lossy(&found.stdout).into_owned()
}

#[test]
fn secrets_are_nowhere() {
    let mut host = ready();
    let registry = host.registry();
    let (value, dir) = ("v3ry-s3cret-value-of-n0body", tempfile::tempdir().unwrap());
    let file = dir.path().join("token");
    std::fs::write(&file, value).unwrap();
    let mount = "RUN --mount=type=secret,id=t --mount=type=secret,id=t,env=T test \"$T\" = \"$(cat /run/secrets/t)\"";
    host.write("context/Dockerfile", &format!("FROM busybox\n{mount} && env | wc -l > /out\n{mount} && false\n"));
    let secret = format!("id=t,src={}", file.display());
    let name = format!("{registry}/app:1");
    let flags =
        ["--secret", &secret, "-t", &name, "--provenance=mode=max", "--sbom", "--metadata-file", "metadata.json"];
    let failed = build(&host, &flags);
    assert!(failed.code == 1 && failed.stderr.contains("Dockerfile:3"), "{}", failed.stderr);
    host.write(
        "context/Dockerfile",
        &format!("FROM busybox\n{mount} && env | wc -l > /out\nRUN ls -a /run 2> /dev/null > /left || true\n"),
    );
    let cache = ["--cache-to", "type=local,dest=cache,mode=max", "--push"];
    let done = build(&host, &[&flags[..], &cache].concat());
    let history = host.hoist(&["history", "--no-trunc", &name]);
    let raw = build_shown(&host, "rawjson", &[&flags[..], &["--no-cache"]].concat());
    for done in [&failed, &done, &history, &raw] {
        assert!(!done.stdout.contains(value) && !done.stderr.contains(value), "{} {}", done.stdout, done.stderr);
    }
    for done in [done, raw] {
        done.ok();
    }
    assert!(history.ok().contains("test \"$T\" = "));
    assert_eq!(host.hoist(&["run", "--rm", "--network", "none", &name, "cat", "/left"]).ok(), "");
    // Layers, cache, records, the daemon's log, what was written for others and the registry: all are below this.
    assert!(host.daemon_log().contains("/hoist/v1/build"));
    assert_eq!(holding("containerimage.digest", &host.path().join("metadata.json")).lines().count(), 1);
    assert_eq!(holding(value, host.path()), "");
    // Nor in memory that others could read: the daemon's arguments and variables.
    let daemon = host.daemon_pid();
    assert_eq!(holding(value, Path::new(&format!("/proc/{daemon}/environ"))), "");
    // Bytes that were compressed are looked at as well.
    let unpacked = "cat $(find registry/docker/registry/v2/blobs cache/blobs -type f) > all; for file in $(find registry/docker/registry/v2/blobs cache/blobs -type f); do gzip -dc $file 2>/dev/null; done >> all; grep -c busybox all";
    host.other("sh", &["-c", unpacked]).ok();
    assert_eq!(holding(value, host.path()), "");
}

#[test]
fn an_interrupted_build_leaves_nothing() {
    let host = ready();
    host.write(
        "context/Dockerfile",
        "FROM busybox AS a\nRUN echo done > /first\nRUN --mount=type=tmpfs,target=/t --mount=type=bind,from=busybox,target=/b,rw touch /half /b/x; echo running; sleep 7341\n\
         FROM busybox\nRUN echo running; sleep 7341\nCOPY --from=a /half /half\n",
    );
    let layers = || std::fs::read_dir(host.data_root().join("snapshots/l")).unwrap().count();
    let before = layers();
    let log = File::create(host.path().join("build.log")).unwrap();
    let args = ["build", "--network", "none", "--progress", "plain", "-t", "never", "context"];
    let mut building = host.command(support::HOIST).args(args).stdout(Stdio::null()).stderr(log).spawn().unwrap();
    let said = || std::fs::read_to_string(host.path().join("build.log")).unwrap();
    let running = || said().lines().filter(|line| line.ends_with(" running")).count() == 2;
    assert!(wait_until(running), "{}", said());
    assert!(!host.hoist(&["ps", "-aq"]).ok().contains("build"));
    host.other("kill", &["-INT", &building.id().to_string()]).ok();
    assert_eq!(building.wait().unwrap().signal(), Some(2), "{}", said());
    assert_eq!(host.leftovers(), [] as [String; 0]);
    // The one step that was done is kept.
    assert!(wait_until(|| layers() == before + 1), "{before} {}", layers());
    for place in ["data/snapshots/work", "run/build", "data/build/tmp"] {
        let left = || std::fs::read_dir(host.path().join(place)).map_or(0, Iterator::count);
        assert!(wait_until(|| left() == 0), "{place}");
    }
    assert_eq!(host.hoist(&["images", "-q", "never"]).ok(), "");
    let processes = host.other("sh", &["-c", "ps -eo args | grep -c '[s]leep 7341' || true"]).ok();
    assert_eq!(processes.trim(), "0");
}
