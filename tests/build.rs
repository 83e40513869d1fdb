//! Builds from the command line, against a real daemon: contexts, outputs, what is said, and what is left.

mod support;

use std::{io::Write, path::PathBuf, process::Stdio};

use support::{Done, Host};

/// A file below the host's `context` directory.
fn put(host: &Host, name: &str, text: &str) -> PathBuf {
    let path = host.path().join("context").join(name);
    std::fs::create_dir_all(path.parent().expect("a path below the host")).expect("a directory");
    std::fs::write(&path, text).expect("a file");
    // Files count as settled a little after they were written.
    std::thread::sleep(std::time::Duration::from_millis(30));
    path
}

/// `hoist build` of the `context` directory, without a network.
fn build(host: &Host, args: &[&str]) -> Done {
    let context = host.path().join("context").display().to_string();
    let mut all = vec!["build", "--network", "none"];
    all.extend_from_slice(args);
    all.push(&context);
    host.hoist(&all)
}

fn ready() -> Host {
    let host = Host::new();
    host.busybox();
    host
}

#[test]
fn a_directory_becomes_an_image_and_what_changed_is_built_again() {
    let host = ready();
    put(
        &host,
        "Dockerfile",
        "FROM busybox AS base\nARG WHO=world\nCOPY a.txt /a.txt\nRUN echo \"hello $WHO\" > /greeting\nFROM base AS other\n\
         RUN exit 9\nFROM base\nCOPY <<EOF /b.txt\nfrom $WHO\nEOF\nENV X=1\nCMD [\"cat\", \"/greeting\", \"/a.txt\"]\n",
    );
    put(&host, "a.txt", "one\n");
    put(&host, "unused.txt", "1");
    let first = build(&host, &["-t", "app", "--build-arg", "WHO=you"]);
    assert!(first.stderr.contains("RUN echo \"hello $WHO\""), "{}", first.stderr);
    first.ok();
    assert_eq!(host.hoist(&["run", "--rm", "--network", "none", "app"]).ok(), "hello you\none\n");
    // The same again, and with a change that nothing reads: every step is known.
    let id = build(&host, &["-q", "-t", "app", "--build-arg", "WHO=you"]).ok();
    put(&host, "unused.txt", "2");
    let again = build(&host, &["-q", "-t", "app", "--build-arg", "WHO=you"]).ok();
    assert_eq!(id, again);
    // What is read counts.
    put(&host, "a.txt", "two\n");
    let changed = build(&host, &["-q", "-t", "app", "--build-arg", "WHO=you"]).ok();
    assert_ne!(id, changed);
    assert_eq!(host.hoist(&["run", "--rm", "--network", "none", "app", "cat", "/a.txt"]).ok(), "two\n");
    assert_eq!(host.leftovers(), [] as [String; 0]);
}

/// A large file is in the daemon's disk once, for the context that was sent and for the layers that have it as it is.
#[test]
fn large_files_are_shared_and_stay_as_they_were() {
    let host = ready();
    let file = "FROM busybox\nRUN ln -s /real /linked && mkdir /real && echo old > /real/big\nCOPY big /linked/\nCOPY . /all/\n\
                COPY --chmod=711 big /moded\nCOPY big /renamed\nRUN echo more >> /renamed\n";
    put(&host, "Dockerfile", file);
    let big = put(&host, "big", &"first ".repeat(300_000));
    let image = |tag: &str| {
        build(&host, &["-q", "-t", tag]).ok();
        let show =
            "for f in /real/big /all/big /moded /renamed; do stat -c '%a %s %Y' $f; head -c 5 $f; tail -c 5 $f; done";
        host.hoist(&["run", "--rm", "--network", "none", tag, "sh", "-c", show]).ok()
    };
    let first = image("one");
    let time = std::fs::metadata(&big).unwrap().modified().unwrap().duration_since(std::time::UNIX_EPOCH).unwrap();
    let time = time.as_secs();
    assert_eq!(
        first.lines().collect::<Vec<_>>()[..3],
        [
            format!("644 1800000 {time}"),
            format!("firstirst 644 1800000 {time}"),
            format!("firstirst 711 1800000 {time}")
        ]
    );
    assert!(first.ends_with("firstmore\n"), "{first}");
    let names = host.other("sh", &["-c", "find data/snapshots/l -name '*big' -size +1k -links +1 | wc -l"]).ok();
    assert_eq!(names.trim(), "2");
    // Neither a new mode nor new bytes reach what was made before.
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&big, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(30));
    let second = image("two");
    assert!(second.starts_with("600 ") && second.contains(" 711 "), "{second}");
    put(&host, "big", &"other ".repeat(300_000));
    assert!(image("three").contains("otherther"));
    let show = "stat -c %a /real/big; head -c 5 /all/big";
    assert_eq!(host.hoist(&["run", "--rm", "--network", "none", "one", "sh", "-c", show]).ok(), "644\nfirst");
}

#[test]
fn results_go_where_they_are_wanted() {
    let host = ready();
    put(
        &host,
        "Dockerfile",
        "FROM busybox AS make\nRUN mkdir /out && echo built > /out/file\nFROM scratch\nCOPY --from=make /out /\n",
    );
    let out = host.path().join("out");
    build(&host, &["-o", &out.display().to_string()]).ok();
    assert_eq!(std::fs::read_to_string(out.join("file")).unwrap(), "built\n");
    for (kind, entry) in [("tar", "file"), ("oci", "oci-layout"), ("docker", "manifest.json")] {
        let file = host.path().join(kind);
        build(&host, &["-t", "x:1", "--output", &format!("type={kind},dest={}", file.display())]).ok();
        let listed = host.other("tar", &["tf", &file.display().to_string()]).ok();
        assert!(listed.lines().any(|line| line.trim_start_matches("./") == entry), "{kind}: {listed}");
    }
    let (iid, metadata) = (host.path().join("iid"), host.path().join("metadata.json"));
    let files = ["--iidfile", &iid.display().to_string(), "--metadata-file", &metadata.display().to_string()];
    let id = build(&host, &[&["-q", "-t", "y:2"], files.as_slice()].concat()).ok();
    assert_eq!(std::fs::read_to_string(&iid).unwrap(), id.trim());
    assert!(std::fs::read_to_string(&metadata).unwrap().contains(id.trim()));
}

#[test]
fn mistakes_are_told_with_their_lines() {
    let host = ready();
    put(&host, "Dockerfile", "FROM busybox\nRUN echo before; echo it broke >&2; exit 3\n");
    let text = build(&host, &["--progress", "plain"]).fails(1);
    assert!(text.contains("it broke") && text.contains("   2 | >>> RUN echo before"), "{text}");
    assert!(text.contains("exit code 3") && text.contains("Dockerfile:2"), "{text}");
    put(&host, "Dockerfile", "FROM busybox\nRNU true\n");
    let text = build(&host, &[]).fails(1);
    assert!(
        text.contains("Dockerfile:2:1: found unknown instruction \"RNU\"") && text.contains("did you mean RUN?"),
        "{text}"
    );
    put(&host, "Dockerfile", "FROM busybox AS build\nCOPY nothere /x\n");
    let text = build(&host, &[]).fails(1);
    assert!(text.contains("Dockerfile:2") && text.contains("nothere"), "{text}");
    let text = build(&host, &["--target", "biuld"]).fails(1);
    assert!(text.contains("did you mean build?"), "{text}");
    let text = host.hoist(&["build", "/nowhere/at/all"]).fails(1);
    assert!(text.contains("/nowhere/at/all"), "{text}");
    assert_eq!(host.leftovers(), [] as [String; 0]);
}

#[test]
fn the_checks_find_and_fail() {
    let host = ready();
    put(&host, "Dockerfile", "FROM busybox as base\nENTRYPOINT true\n");
    let text = build(&host, &["--check"]).fails(1);
    assert!(text.contains("FromAsCasing") && text.contains("JSONArgsRecommended"), "{text}");
    assert!(text.contains("2 warnings have been found"), "{text}");
    put(&host, "Dockerfile", "# check=error=true\nFROM busybox as base\n");
    let text = build(&host, &[]).fails(1);
    assert!(text.contains("does not allow") && text.contains("FromAsCasing: 'as' and 'FROM'"), "{text}");
    assert!(text.contains("(Dockerfile:2:14)"), "{text}");
    put(&host, "Dockerfile", "# check=skip=all\nFROM busybox as base\n");
    let done = build(&host, &["--check"]);
    assert!(done.stderr.contains("no warnings found"), "{}", done.stderr);
    done.ok();
}

#[test]
fn a_dockerfile_is_asked_and_nothing_is_built() {
    let host = ready();
    let text = "# WHO is greeted\nARG WHO=you\nFROM busybox as base\nARG WHO\nFROM base AS last\nRUN exit 9\n";
    put(&host, "Dockerfile", text);
    let outline = build(&host, &["--call=outline"]).ok();
    assert!(
        outline.starts_with("TARGET:   last\n\nBUILD ARG   VALUE   DESCRIPTION\nWHO         you     is greeted\n"),
        "{outline}"
    );
    let targets = build(&host, &["--call", "targets,format=json"]).ok();
    let targets: serde_json::Value = serde_json::from_str(&targets).unwrap();
    assert_eq!((&targets["targets"][0]["name"], &targets["targets"][1]["base"]), (&"base".into(), &"base".into()));
    let lint = build(&host, &["--call=check,format=json"]);
    let found: serde_json::Value = serde_json::from_str(&lint.stdout).unwrap();
    assert_eq!((&found["warnings"][0]["ruleName"], lint.code), (&"FromAsCasing".into(), 1));
    let text = build(&host, &["--call=all"]).fails(125);
    assert!(text.contains("check, outline and targets can"), "{text}");
}

#[test]
fn standard_input_secrets_and_ignored_files() {
    let host = ready();
    let mut child = host
        .command(support::HOIST)
        .args(["build", "--network", "none", "-q", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"FROM busybox\nRUN true\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("sha256:"));
    put(&host, "Dockerfile", "FROM busybox\nCOPY . /all\nRUN --mount=type=secret,id=t grep -q s3cr /run/secrets/t\n");
    put(&host, ".dockerignore", "*.log\n!keep.log\nDockerfile\n");
    put(&host, "drop.log", "");
    put(&host, "keep.log", "");
    let token = host.write("token", "s3cr");
    build(&host, &["-t", "s", "--secret", &format!("id=t,src={}", token.display())]).ok();
    let listed = host.hoist(&["run", "--rm", "--network", "none", "s", "ls", "-a", "/all"]).ok();
    assert_eq!(listed, ".\n..\n.dockerignore\nkeep.log\n");
    build(&host, &["-t", "s", "--no-cache"]).fails(1);
    assert_eq!(host.leftovers(), [] as [String; 0]);
}

#[test]
fn dockers_own_client_builds() {
    let host = ready();
    put(&host, "Dockerfile", "FROM busybox\nARG A\nENV B=$A\nRUN echo $B > /b\nLABEL x=y\n");
    let context = host.path().join("context").display().to_string();
    let args = ["build", "--network", "none", "-t", "classic:1", "--build-arg", "A=hello", &context];
    let docker = |args: &[&str]| {
        let mut command = host.command("docker");
        command.args(args).env("DOCKER_BUILDKIT", "0").env("DOCKER_HOST", host.docker_host());
        support::run(&mut command)
    };
    let text = docker(&args).ok();
    assert!(text.contains("Step 4/5 : RUN echo $B > /b"), "{text}");
    assert!(text.contains("Successfully built ") && text.contains("Successfully tagged classic:1"), "{text}");
    assert_eq!(host.hoist(&["run", "--rm", "--network", "none", "classic:1", "cat", "/b"]).ok(), "hello\n");
    let text = docker(&args).ok();
    assert!(text.contains(" ---> Using cache"), "{text}");
    // A Dockerfile from elsewhere is put into the archive, whose end Docker's client then leaves out.
    let other = host.write("other.Dockerfile", "FROM busybox\nRUN echo other > /b\n").display().to_string();
    docker(&["build", "--network", "none", "-t", "classic:2", "-f", &other, &context]).ok();
    assert_eq!(host.hoist(&["run", "--rm", "--network", "none", "classic:2", "cat", "/b"]).ok(), "other\n");
    // Who sends an archive to a container that is not there hears that, and not that nobody listens.
    let text = docker(&["cp", &other, "nobody:/x"]).fails(1);
    assert!(text.contains("No such container"), "{text}");
    put(&host, "Dockerfile", "FROM busybox\nRUN exit 4\n");
    let done = docker(&["build", "--network", "none", &context]);
    assert!(done.stderr.contains("The command '/bin/sh -c exit 4' returned a non-zero code: 4"), "{}", done.stderr);
    assert_ne!(done.code, 0);
    let cached = || {
        let lines = docker(&["system", "df", "--format", "{{.Type}}: {{.TotalCount}}"]).ok();
        let line = lines.lines().find_map(|line| line.strip_prefix("Build Cache: ")).map(str::to_owned);
        line.expect("there is a line for the cache").parse::<u32>().expect("a number")
    };
    assert!(cached() > 0);
    let ours = host.hoist(&["system", "df", "-v"]).ok();
    assert!(ours.contains("CACHE ID") && ours.contains("regular"), "{ours}");
    let text = docker(&["builder", "prune", "-af"]).ok();
    assert!(text.contains("Total"), "{text}");
    assert_eq!(cached(), 0);
}

#[test]
fn up_builds_services_that_share_a_stage() {
    let host = ready();
    put(
        &host,
        "Dockerfile",
        "FROM busybox AS base\nRUN echo shared > /shared\nFROM base AS one\nRUN echo one > /me\nFROM base AS two\n\
         ARG V=0\nCOPY --from=extra /me /other\nRUN echo two-$V > /me\n",
    );
    host.write(
        "compose.yaml",
        "name: demo\nservices:\n  one: &service\n    build: {context: context, target: one, network: none}\n    command: sleep \
         300\n    init: true\n    network_mode: none\n  two:\n    <<: *service\n    build:\n      context: context\n      \
         target: two\n      network: none\n      args: {V: 7}\n      additional_contexts: {extra: 'service:one'}\n  \
         three:\n    <<: *service\n    image: three:1\n    build:\n      context: context\n      network: none\n      dockerfile_inline: |\n        \
         FROM busybox\n        RUN --mount=type=secret,id=s cat /run/secrets/s > /me\n      secrets: [s]\nsecrets:\n  s: {file: \
         ./secret}\n",
    );
    host.write("secret", "three");
    let text = host.hoist(&["up", "-d"]);
    assert!(text.stderr.contains("Service two  Built"), "{}", text.stderr);
    text.ok();
    let read = |service: &str, file: &str| host.hoist(&["compose", "exec", "-T", service, "cat", file]).ok();
    assert_eq!(
        (read("one", "/me"), read("two", "/me"), read("two", "/other")),
        ("one\n".into(), "two-7\n".into(), "one\n".into())
    );
    assert_eq!((read("three", "/me"), read("two", "/shared")), ("three".into(), "shared\n".into()));
    let ids = || {
        host.hoist(&["ps", "-q", "--no-trunc"])
            .ok()
            .split_whitespace()
            .map(str::to_owned)
            .collect::<std::collections::BTreeSet<_>>()
    };
    let before = ids();
    // The same again changes nothing; what changed is built and its service alone replaced.
    host.hoist(&["up", "-d", "--build"]).ok();
    assert_eq!(ids(), before);
    let text = std::fs::read_to_string(host.path().join("context/Dockerfile")).unwrap();
    put(&host, "Dockerfile", &text.replace("two-$V", "new-$V"));
    host.hoist(&["up", "-d", "--build"]).ok();
    assert_eq!(read("two", "/me"), "new-7\n");
    assert_eq!(ids().intersection(&before).count(), 2);
    host.hoist(&["compose", "build", "--check", "one"]).ok();
    host.hoist(&["down", "-t", "1"]).ok();
    let text = host.hoist(&["compose", "build", "onne"]).fails(1);
    assert!(text.contains("onne"), "{text}");
}

#[test]
fn watch_does_what_each_rule_says() {
    let host = ready();
    put(&host, "Dockerfile", "FROM busybox\nRUN echo 1 > /version && mkdir /src /conf /again\n");
    for dir in ["src", "conf", "again", "only"] {
        put(&host, &format!("{dir}/a"), "1");
    }
    host.write(
        "compose.yaml",
        "name: w\nservices:\n  app:\n    build: {context: context, network: none}\n    command: sleep 300\n    init: true\n    \
         network_mode: none\n    develop:\n      watch:\n        - {path: context/src, action: sync, target: /src, ignore: \
         ['*.tmp']}\n        - {path: context/conf, action: sync+exec, target: /conf, exec: {command: [cp, /conf/a, \
         /copied]}}\n        - {path: context/again, action: sync+restart, target: /again}\n        - {path: context/only, \
         action: restart}\n        - {path: context/Dockerfile, action: rebuild}\n",
    );
    let log = std::fs::File::create(host.path().join("watch.log")).unwrap();
    let mut watch = host.command(support::HOIST).args(["watch"]).stderr(log).spawn().unwrap();
    let said = |what: &str| std::fs::read_to_string(host.path().join("watch.log")).unwrap().contains(what);
    assert!(support::wait_until(|| said("Watching  enabled")));
    let read = |file: &str| host.hoist(&["compose", "exec", "-T", "app", "cat", file]).stdout;
    let started = || host.hoist(&["inspect", "-f", "{{.State.StartedAt}}", "w-app-1"]).stdout;
    let first = started();
    put(&host, "src/drop.tmp", "x");
    put(&host, "src/new/b", "fresh");
    assert!(support::wait_until(|| read("/src/new/b") == "fresh"));
    assert_eq!(read("/src/drop.tmp"), "");
    std::fs::remove_file(host.path().join("context/src/new/b")).unwrap();
    assert!(support::wait_until(|| read("/src/new/b").is_empty()));
    put(&host, "conf/a", "22");
    assert!(support::wait_until(|| read("/copied") == "22"));
    assert_eq!(started(), first);
    put(&host, "again/a", "333");
    assert!(support::wait_until(|| said("service app restarted") && started() != first));
    assert_eq!(read("/again/a"), "333");
    let second = started();
    put(&host, "only/a", "4444");
    assert!(support::wait_until(|| started() != second));
    put(&host, "Dockerfile", "FROM busybox\nRUN echo second > /version\n");
    assert!(support::wait_until(|| read("/version") == "second\n"));
    host.other("kill", &["-INT", &watch.id().to_string()]).ok();
    assert!(watch.wait().unwrap().success());
    host.hoist(&["down", "-t", "1"]).ok();
}
