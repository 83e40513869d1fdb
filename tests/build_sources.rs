//! Where a build's files come from besides a directory: repositories, web servers, archives; and where results go:
//! registries, with and without a login. Docker's API and docker-compose build, too.

mod support;

use std::{path::Path, process::Stdio};

use support::{Done, Host};

fn build(host: &Host, args: &[&str]) -> Done {
    let mut all = vec!["build", "--network", "none", "--progress", "plain"];
    all.extend_from_slice(args);
    host.hoist(&all)
}

fn ready() -> Host {
    let host = Host::new();
    host.busybox();
    host
}

fn read(host: &Host, image: &str, file: &str) -> String {
    host.hoist(&["run", "--rm", "--network", "none", image, "cat", file]).ok()
}

/// Something that serves until the test ends.
struct Server(std::process::Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a server in the host's namespace.
fn serve(host: &Host, program: &str, args: &[&str]) -> Server {
    let mut command = host.command(program);
    Server(command.args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the server starts"))
}

/// A repository with two commits, a branch, a tag and a submodule; returns the first commit.
fn repository(host: &Host) -> String {
    let script = "set -e; export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_DATE=2020-01-01T00:00:00Z \
        GIT_COMMITTER_DATE=2020-01-01T00:00:00Z GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t@t GIT_COMMITTER_NAME=t \
        GIT_COMMITTER_EMAIL=t@t\n\
        mkdir -p repos/app && cd repos/app && git init -q -b main . && mkdir sub && echo one > file && echo inner > sub/inner\n\
        printf 'FROM busybox\\nCOPY . /src\\n' > Dockerfile; cp Dockerfile sub/; chmod 755 file; git add -A; git commit -q -m 1\n\
        git rev-parse HEAD > ../../first; git tag -a -m tagged v1; git checkout -q -b next; echo two > file\n\
        git commit -q -a -m 2; git checkout -q main";
    host.other("sh", &["-c", script]).ok();
    std::fs::read_to_string(host.path().join("first")).expect("the commit").trim().to_owned()
}

fn git_daemon(host: &Host) -> Server {
    let base = host.path().join("repos").display().to_string();
    let server = serve(
        host,
        "git",
        &["daemon", "--export-all", "--reuseaddr", "--listen=127.0.0.1", &format!("--base-path={base}")],
    );
    let answers = || host.other("git", &["ls-remote", "git://127.0.0.1/app"]).code == 0;
    assert!(support::wait_until(answers));
    server
}

#[test]
fn repositories_are_added() {
    let host = ready();
    let first = repository(&host);
    let _server = git_daemon(&host);
    let url = "git://127.0.0.1/app";
    host.write(
        "context/Dockerfile",
        &format!(
            "FROM busybox\nADD {url} /main\nADD {url}#next /next/\nADD --checksum={} {url}#v1:sub /tag\nADD --keep-git-dir=true {url}#{first} /whole\n\
             RUN test -x /main/file && test -d /whole/.git && test ! -e /main/.git\n",
            &first[..7]
        ),
    );
    let id = build(&host, &["-q", "-t", "app", "context"]).ok();
    assert_eq!((read(&host, "app", "/main/file"), read(&host, "app", "/next/file")), ("one\n".into(), "two\n".into()));
    assert_eq!(
        (read(&host, "app", "/tag/inner"), read(&host, "app", "/whole/file")),
        ("inner\n".into(), "one\n".into())
    );
    // No file is younger than its commit, so that the same commit makes the same layer anywhere.
    let date = host.hoist(&["run", "--rm", "--network", "none", "app", "stat", "-c", "%Y", "/main/file"]).ok();
    assert_eq!(date, "1577836800\n");
    assert_eq!(build(&host, &["-q", "-t", "app", "context"]).ok(), id);
    // The same in queries, which can say more.
    host.write(
        "context/Dockerfile",
        &format!(
            "FROM busybox\nADD {url}?branch=next /next/\nADD {url}?tag=v1&subdir=sub&checksum={} /tag\n\
             ADD {url}?commit={first}&keep-git-dir /whole\nRUN test -d /whole/.git && test ! -e /tag/.git\n",
            &first[..9]
        ),
    );
    build(&host, &["-q", "-t", "queried", "context"]).ok();
    let files = ["/next/file", "/tag/inner", "/whole/file"].map(|file| read(&host, "queried", file));
    assert_eq!(files, ["two\n", "inner\n", "one\n"]);
    build(&host, &["-t", "queried", &format!("{url}?branch=next&subdir=sub")]).ok();
    assert_eq!(read(&host, "queried", "/src/inner"), "inner\n");
    // What moves is followed.
    let script = "cd repos/app && git checkout -q next && echo three > file && git -c user.name=t -c user.email=t@t commit -q -a -m 3 && git checkout -q main";
    host.other("sh", &["-c", script]).ok();
    build(&host, &["-q", "-t", "app", "context"]).ok();
    assert_eq!(read(&host, "app", "/next/file"), "three\n");
    for (add, words) in [
        (format!("ADD {url}#nxt /x"), "no branch or tag \"nxt\"; did you mean next?"),
        (format!("ADD --checksum=0123 {url} /x"), "--checksum says 0123"),
        (format!("ADD {url}?checksum=0123 /x"), "its address says 0123"),
        (format!("ADD {url}?subdr=sub /x"), "did you mean subdir?"),
        (format!("ADD {url}#main:nowhere /x"), "has no directory \"nowhere\""),
        ("ADD git://127.0.0.1/none /x".to_owned(), "cannot fetch git://127.0.0.1/none"),
        (format!("ADD {url}#--upload-pack=x /x"), "no address or reference"),
    ] {
        host.write("context/Dockerfile", &format!("FROM busybox\n{add}\n"));
        let text = build(&host, &["context"]).fails(1);
        assert!(text.contains(words) && text.contains("Dockerfile:2"), "{add}: {text}");
    }
}

#[test]
fn repositories_and_addresses_are_contexts() {
    let host = ready();
    repository(&host);
    let _git = git_daemon(&host);
    let url = "git://127.0.0.1/app";
    build(&host, &["-t", "app", &format!("{url}#next")]).ok();
    assert_eq!(read(&host, "app", "/src/file"), "two\n");
    build(&host, &["-t", "app", &format!("{url}#:sub")]).ok();
    assert_eq!(read(&host, "app", "/src/inner"), "inner\n");
    build(&host, &["-t", "app", "--build-arg", "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1", url]).ok();
    assert!(read(&host, "app", "/src/.git/HEAD").len() >= 40);
    host.write("context/Dockerfile", "FROM busybox\nCOPY --from=more /file /file\n");
    build(&host, &["-t", "app", "--build-context", &format!("more={url}"), "context"]).ok();
    assert_eq!(read(&host, "app", "/file"), "one\n");
    host.write(
        "compose.yaml",
        &format!("services:\n  app: {{image: composed, build: {{context: '{url}#v1', network: none}}}}\n"),
    );
    host.hoist(&["compose", "build"]).ok();
    assert_eq!(read(&host, "composed", "/src/file"), "one\n");
    let docker = |args: &[&str]| {
        let mut command = host.command("docker");
        command.args(args).env("DOCKER_BUILDKIT", "0").env("DOCKER_HOST", host.docker_host());
        support::run(&mut command)
    };
    // Archives of each kind from a web server, and a Dockerfile alone.
    let pack = "mkdir -p web && cd repos/app && for kind in gz xz bz2 zst; do tar -caf ../../web/c.tar.$kind Dockerfile file sub; done";
    host.other("sh", &["-c", pack]).ok();
    host.write("web/plain", "FROM busybox\nRUN echo alone > /alone\n");
    let root = host.path().join("web").display().to_string();
    let _web = serve(&host, "busybox", &["httpd", "-f", "-p", "127.0.0.1:8080", "-h", &root]);
    host.get("http://127.0.0.1:8080/plain");
    for kind in ["gz", "xz", "bz2", "zst"] {
        build(&host, &["-t", "app", &format!("http://127.0.0.1:8080/c.tar.{kind}")]).ok();
        assert_eq!(read(&host, "app", "/src/sub/inner"), "inner\n", "{kind}");
    }
    build(&host, &["-t", "app", "http://127.0.0.1:8080/plain"]).ok();
    assert_eq!(read(&host, "app", "/alone"), "alone\n");
    docker(&["build", "--network", "none", "-t", "classic", "http://127.0.0.1:8080/plain"]).ok();
    assert_eq!(read(&host, "classic", "/alone"), "alone\n");
    let text = build(&host, &["http://127.0.0.1:8080/none.tar"]).fails(1);
    assert!(text.contains("404"), "{text}");
    // Files of a web server.
    let digest = host.other("sh", &["-c", "sha256sum < web/c.tar.xz | cut -d' ' -f1"]).ok();
    let digest = digest.trim();
    host.write(
        "context/Dockerfile",
        &format!(
            "FROM busybox\nADD --chmod=600 http://127.0.0.1:8080/plain /a/\nADD --checksum=sha256:{digest} --unpack=true \
             http://127.0.0.1:8080/c.tar.xz /b/\nADD http://127.0.0.1:8080/c.tar.bz2 /c\n"
        ),
    );
    build(&host, &["-t", "app", "context"]).ok();
    assert!(read(&host, "app", "/a/plain").contains("alone"));
    assert_eq!(read(&host, "app", "/b/sub/inner"), "inner\n");
    host.write(
        "context/Dockerfile",
        &format!("FROM busybox\nADD --checksum=sha256:{} http://127.0.0.1:8080/plain /a\n", "0".repeat(64)),
    );
    let text = build(&host, &["context"]).fails(1);
    assert!(text.contains("has the digest sha256:") && text.contains("Dockerfile:2"), "{text}");
    // A server that wants to know who asks.
    let rules = host.write("httpd.conf", "/:someone:sesame\n");
    let _closed = serve(
        &host,
        "busybox",
        &["httpd", "-f", "-p", "127.0.0.1:8081", "-h", &root, "-c", &rules.display().to_string()],
    );
    assert!(support::wait_until(|| host.other("curl", &["-s", "http://127.0.0.1:8081/"]).code == 0));
    host.write("context/Dockerfile", "FROM busybox\nADD http://127.0.0.1:8081/plain /asked\n");
    let text = build(&host, &["context"]).fails(1);
    assert!(text.contains("401"), "{text}");
    let header = host.write("header", "Basic c29tZW9uZTpzZXNhbWU=\n");
    let file = header.display();
    for id in ["HTTP_AUTH_HEADER_127.0.0.1", "HTTP_AUTH_HEADER_127.0.0.1:8081"] {
        build(&host, &["--no-cache", "-t", "app", "--secret", &format!("id={id},src={file}"), "context"]).ok();
        assert!(read(&host, "app", "/asked").contains("alone"));
    }
    for id in ["HTTP_AUTH_HEADER_127.0.0.2", "HTTP_AUTH_TOKEN_127.0.0.1"] {
        let text = build(&host, &["--secret", &format!("id={id},src={file}"), "context"]).fails(1);
        assert!(text.contains("401"), "{id}: {text}");
    }
}

#[test]
fn archives_of_every_kind_are_unpacked() {
    let host = ready();
    let pack = "mkdir -p context/in && echo packed > context/in/file && cd context && \
        tar -cf plain.tar in && for kind in gz xz bz2 zst lzma; do tar -caf a.tar.$kind in; done; \
        head -c 100 a.tar.xz > short.xz; printf 'BZh9broken' > broken.bz2; rm -r in";
    host.other("sh", &["-c", pack]).ok();
    let adds = ["plain.tar", "a.tar.gz", "a.tar.xz", "a.tar.bz2", "a.tar.zst", "a.tar.lzma"];
    let lines: String = adds.iter().map(|name| format!("ADD {name} /{name}/\n")).collect();
    host.write("context/Dockerfile", &format!("FROM busybox\n{lines}ADD --unpack=false a.tar.xz /kept.xz\n"));
    build(&host, &["-t", "app", "context"]).ok();
    for name in adds {
        assert_eq!(read(&host, "app", &format!("/{name}/in/file")), "packed\n", "{name}");
    }
    host.hoist(&["run", "--rm", "--network", "none", "app", "test", "-f", "/kept.xz"]).ok();
    for name in ["short.xz", "broken.bz2"] {
        host.write("context/Dockerfile", &format!("FROM busybox\nADD {name} /x/\n"));
        let text = build(&host, &["context"]).fails(1);
        assert!(text.contains("cannot unpack") && text.contains("Dockerfile:2"), "{name}: {text}");
    }
    // A context may be such an archive.
    let done = host.other("sh", &["-c", &format!("printf 'FROM busybox\\nCOPY one /one\\n' > Dockerfile; echo 1 > one; tar -cJ Dockerfile one | {} build -q --network none -", support::HOIST)]);
    assert!(done.ok().starts_with("sha256:"));
}

#[test]
fn results_go_to_registries_and_bases_come_from_them() {
    let mut host = ready();
    let registry = host.registry_with_login("me", "secret");
    let name = format!("{registry}/app:1");
    host.write("context/Dockerfile", "FROM busybox\nRUN echo 1 > /version\n");
    let text = build(&host, &["-t", &name, "--push", "context"]).fails(1);
    assert!(text.to_lowercase().contains("auth") || text.contains("login"), "{text}");
    host.hoist(&["login", "-u", "me", "-p", "secret", &registry]).ok();
    let metadata = host.path().join("metadata.json").display().to_string();
    build(&host, &["-t", &name, "--push", "--metadata-file", &metadata, "context"]).ok();
    let known: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&metadata).unwrap()).unwrap();
    let remote = host
        .other(
            "skopeo",
            &[
                "inspect",
                "--creds",
                "me:secret",
                "--tls-verify=false",
                "--format",
                "{{.Digest}}",
                &format!("docker://{name}"),
            ],
        )
        .ok();
    assert_eq!(known["containerimage.digest"], remote.trim());
    // --pull asks the registry for what moved there; without it what is here counts.
    host.write("context/Dockerfile", &format!("FROM {name}\nRUN cat /version > /base\n"));
    host.write("other/Dockerfile", "FROM busybox\nRUN echo 2 > /version\n");
    build(&host, &["-t", "two", "other"]).ok();
    let copy = |from: &str| {
        let tar = host.path().join("two.tar").display().to_string();
        host.hoist(&["save", "-o", &tar, from]).ok();
        let target = format!("docker://{name}");
        host.other(
            "skopeo",
            &[
                "copy",
                "--dest-creds",
                "me:secret",
                "--dest-tls-verify=false",
                &format!("docker-archive:{tar}"),
                &target,
            ],
        )
        .ok();
    };
    copy("two");
    build(&host, &["-t", "on", "context"]).ok();
    assert_eq!(read(&host, "on", "/base"), "1\n");
    build(&host, &["-t", "on", "--pull", "context"]).ok();
    assert_eq!(read(&host, "on", "/base"), "2\n");
    // Docker's client sends what it knows in X-Registry-Config.
    host.hoist(&["rmi", "-f", &name, "on"]).ok();
    host.hoist(&["builder", "prune", "-af"]).ok();
    let mut command = host.command("docker");
    command
        .args(["build", "--network", "none", "--pull", "-t", "on", "context"])
        .env("DOCKER_BUILDKIT", "0")
        .env("DOCKER_HOST", host.docker_host());
    support::run(&mut command).ok();
    assert_eq!(read(&host, "on", "/base"), "2\n");
    let nobody = host.path().join("nobody").display().to_string();
    std::fs::create_dir(&nobody).unwrap();
    host.hoist(&["rmi", "-f", &name, "on"]).ok();
    let mut command = host.command("docker");
    command
        .args(["build", "--pull", "context"])
        .env("DOCKER_CONFIG", &nobody)
        .env("DOCKER_BUILDKIT", "0")
        .env("DOCKER_HOST", host.docker_host());
    assert_ne!(support::run(&mut command).code, 0);
}

#[test]
fn limits_and_entitlements() {
    let host = ready();
    let see = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null | head -n1 > /limit; \
        cat /sys/fs/cgroup/cpu/cpu.shares /sys/fs/cgroup/cpu.weight 2>/dev/null | head -n1 > /shares; nproc > /cpus";
    host.write("context/Dockerfile", &format!("FROM busybox\nRUN {see}\n"));
    build(
        &host,
        &["-t", "app", "-m", "64m", "--memory-swap", "128m", "--cpu-shares", "512", "--cpuset-cpus", "0", "context"],
    )
    .ok();
    assert_eq!((read(&host, "app", "/limit"), read(&host, "app", "/cpus")), ("67108864\n".into(), "1\n".into()));
    let text = build(&host, &["-m", "64m", "--memory-swap", "32m", "context"]).fails(1);
    assert!(text.contains("--memory-swap is memory and swap together"), "{text}");
    for (flag, words) in [
        ("--squash", "COPY --from makes one layer"),
        ("--rm=false", "containers of steps are never kept"),
        ("--security-opt=seccomp=unconfined", "RUN --security=insecure"),
    ] {
        let text = build(&host, &[flag, "context"]).fails(125);
        assert!(text.contains(words), "{flag}: {text}");
    }
    // What a Dockerfile may not do by itself.
    host.write(
        "context/Dockerfile",
        "FROM busybox\nRUN --security=insecure grep CapEff /proc/self/status > /caps\nRUN --network=host true\n",
    );
    let text = build(&host, &["context"]).fails(1);
    assert!(text.contains("Dockerfile:2") && text.contains("--allow security.insecure"), "{text}");
    let text = build(&host, &["--allow", "security.insecure", "context"]).fails(1);
    assert!(text.contains("Dockerfile:3") && text.contains("--allow network.host"), "{text}");
    build(&host, &["-t", "app", "--allow", "security.insecure,network.host", "context"]).ok();
    host.write("context/Dockerfile", "FROM busybox\nRUN grep CapEff /proc/self/status > /caps\n");
    build(&host, &["-t", "plain", "context"]).ok();
    assert_ne!(read(&host, "app", "/caps"), read(&host, "plain", "/caps"));
    let text = build(&host, &["--allow", "everything", "context"]).fails(1);
    assert!(text.contains("unknown entitlement \"everything\""), "{text}");
}

#[test]
fn docker_compose_builds() {
    let host = ready();
    if !Path::new("/usr/bin/docker-compose").exists() {
        return;
    }
    host.write("context/Dockerfile", "FROM busybox AS one\nARG A\nRUN echo $A > /a\nFROM one\nRUN false\n");
    host.write(
        "docker-compose.yml",
        "version: '3.4'\nservices:\n  app:\n    image: composed:1\n    build:\n      context: context\n      target: one\n      \
         network: none\n      args: {A: hello}\n      labels: {x: y}\n      cache_from: ['composed:1']\n",
    );
    let compose = |args: &[&str]| {
        let mut command = host.command("docker-compose");
        command
            .args(args)
            .env("DOCKER_HOST", host.docker_host())
            .env("COMPOSE_DOCKER_CLI_BUILD", "0")
            .env("DOCKER_BUILDKIT", "0");
        support::run(&mut command)
    };
    compose(&["build"]).ok();
    assert_eq!(read(&host, "composed:1", "/a"), "hello\n");
    let again = compose(&["build"]);
    assert!(again.stdout.contains("Using cache"), "{} {}", again.stdout, again.stderr);
    assert_eq!(
        host.hoist(&["inspect", "--type", "image", "-f", "{{index .Config.Labels \"x\"}}", "composed:1"]).ok(),
        "y\n"
    );
}
