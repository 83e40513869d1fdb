//! Clients that speak BuildKit's protocol: the one inside Docker's command line as Debian packages it, and calls of the
//! builder's services.

mod support;

use std::{path::PathBuf, process::Command};

use hyper_util::rt::TokioIo;
use support::{Done, Host, run};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};
use tonic::{Code, client::Grpc, codegen::http::uri::PathAndQuery, transport::Endpoint};
use tonic_prost::ProstCodec;

/// Newer ones have this client in a plugin of its own, which is not packaged.
const DOCKER: &str = "/usr/bin/docker";

fn put(host: &Host, name: &str, text: &str) -> PathBuf {
    let path = host.path().join("context").join(name);
    std::fs::create_dir_all(path.parent().expect("a path below the host")).expect("a directory");
    std::fs::write(&path, text).expect("a file");
    path
}

fn ready() -> Host {
    let host = Host::new();
    host.busybox();
    host
}

/// What has Docker's client speak the protocol with the host.
fn with_client<'c>(command: &'c mut Command, host: &Host) -> &'c mut Command {
    command.env("DOCKER_BUILDKIT", "1").env("BUILDKIT_PROGRESS", "plain").env("DOCKER_HOST", host.docker_host())
}

/// `docker build` of the `context` directory, without a network.
fn build(host: &Host, args: &[&str]) -> Done {
    let context = host.path().join("context").display().to_string();
    let args = [&["build", "--network", "none"], args, &[&context]].concat();
    run(with_client(host.command(DOCKER).args(args), host))
}

fn cat(host: &Host, image: &str, file: &str) -> String {
    host.hoist(&["run", "--rm", "--network", "none", image, "cat", file]).ok()
}

/// The lines of a build that tell of a step.
fn told<'t>(text: &'t str, step: &str) -> Vec<&'t str> {
    let number = text.lines().find(|line| line.ends_with(step)).and_then(|line| line.split(' ').next());
    let number = number.unwrap_or_else(|| panic!("nothing is said of {step}: {text}"));
    text.lines().filter(|line| line.split(' ').next() == Some(number)).collect()
}

#[test]
fn a_context_comes_over_the_session_and_what_changed_comes_again() {
    let host = ready();
    put(
        &host,
        "Dockerfile",
        "FROM busybox\nARG A\nCOPY . /c\nRUN echo \"$A\" > /a; ls -l /c/dir\nCOPY --from=busybox /bin/busybox /again\n",
    );
    put(&host, ".dockerignore", "# not this\n/skipped\n**/*.o\n!dir/kept.o\n");
    put(&host, "skipped/secret", "no");
    put(&host, "dir/gone.o", "no");
    put(&host, "dir/kept.o", "kept");
    put(&host, "large", &"0123456789".repeat(100_000));
    for number in 0..300 {
        put(&host, &format!("many/{number}"), &number.to_string());
    }
    std::os::unix::fs::symlink("dir/kept.o", host.path().join("context/link")).expect("a link");
    let done = build(&host, &["-t", "one", "--build-arg", "A=hello", "--label", "l=v"]);
    let text = done.stderr.clone();
    done.ok();
    assert!(told(&text, "[2/4] COPY . /c").iter().any(|line| line.contains("DONE")), "{text}");
    assert!(told(&text, "ls -l /c/dir").iter().any(|line| line.contains("kept.o")), "{text}");
    assert_eq!(cat(&host, "one", "/a"), "hello\n");
    assert_eq!(cat(&host, "one", "/c/link"), "kept");
    let listing = ["run", "--rm", "--network", "none", "one", "sh", "-c", "cd /c; echo *; ls dir; ls many | wc -l"];
    let listed = host.hoist(&listing).ok();
    assert!(listed.starts_with("Dockerfile dir large link many\nkept.o\n300\n"), "{listed}");
    assert_eq!(host.hoist(&["inspect", "-f", "{{.Config.Labels.l}}", "one"]).ok(), "v\n");
    // Nothing changed: all is known, and nothing is sent but the list.
    let again = build(&host, &["-t", "one", "--build-arg", "A=hello", "--label", "l=v"]);
    assert!(told(&again.stderr, "[2/4] COPY . /c").iter().any(|line| line.contains("CACHED")), "{}", again.stderr);
    again.ok();
    put(&host, "many/7", "seven");
    std::fs::remove_file(host.path().join("context/large")).expect("the file was there");
    build(&host, &["-t", "one", "--build-arg", "A=hello"]).ok();
    assert_eq!(cat(&host, "one", "/c/many/7"), "seven");
    assert_eq!(
        host.hoist(&["run", "--rm", "--network", "none", "one", "ls", "/c"]).ok(),
        "Dockerfile\ndir\nlink\nmany\n"
    );
    assert_eq!(host.leftovers(), [] as [String; 0]);
}

#[test]
fn secrets_come_and_results_go_over_the_session() {
    let host = ready();
    put(
        &host,
        "Dockerfile",
        "# syntax=docker/dockerfile:1\nFROM busybox AS a\n\
         RUN --mount=type=secret,id=s,required=true --mount=type=secret,id=none tr a-z A-Z < /run/secrets/s > /out\n\
         FROM scratch\nCOPY --from=a /out /deep/out\nCOPY name /\n",
    );
    put(&host, "name", "ü");
    let secret = host.write("secret", "hush");
    let secret = format!("id=s,src={}", secret.display());
    let (dir, tar) = (host.path().join("dir"), host.path().join("tar"));
    build(&host, &["--secret", &secret, "--output", &format!("type=local,dest={}", dir.display())]).ok();
    assert_eq!(std::fs::read_to_string(dir.join("deep/out")).expect("the result"), "HUSH");
    assert_eq!(std::fs::read_to_string(dir.join("name")).expect("the result"), "ü");
    build(&host, &["--secret", &secret, "--output", &format!("type=tar,dest={}", tar.display())]).ok();
    let listed = run(Command::new("tar").arg("tf").arg(&tar)).ok();
    assert!(listed.contains("deep/out") && listed.contains("name"), "{listed}");
    let id = host.path().join("id");
    let quiet = build(&host, &["-q", "--secret", &secret, "--iidfile", &id.display().to_string(), "-t", "two"]).ok();
    assert_eq!(quiet.trim(), std::fs::read_to_string(&id).expect("the id"));
    assert_eq!(host.hoist(&["image", "inspect", "-f", "{{.Id}}", "two"]).ok(), quiet);
    let failed = build(&host, &["--no-cache"]);
    assert!(failed.stderr.contains("the secret \"s\" was not given"), "{}", failed.stderr);
    failed.fails(1);
    assert_eq!(host.leftovers(), [] as [String; 0]);
}

#[test]
fn credentials_come_over_the_session() {
    let mut host = ready();
    let registry = host.registry_with_login("me", "secret");
    let (base, app) = (format!("{registry}/base:1"), format!("{registry}/app:1"));
    host.hoist(&["login", "-u", "me", "-p", "secret", &registry]).ok();
    host.hoist(&["tag", "busybox", &base]).ok();
    host.hoist(&["push", &base]).ok();
    host.hoist(&["rmi", &base]).ok();
    put(&host, "Dockerfile", &format!("FROM {base}\nRUN echo mine > /mine\n"));
    build(&host, &["--output", &format!("type=image,name={app},push=true")]).ok();
    host.hoist(&["rmi", "-f", &app]).ok();
    host.hoist(&["pull", &app]).ok();
    assert_eq!(cat(&host, &app, "/mine"), "mine\n");
    host.hoist(&["logout", &registry]).ok();
    let done = build(&host, &["--pull"]);
    assert!(done.stderr.to_lowercase().contains("auth"), "{}", done.stderr);
    assert_ne!(done.code, 0);
    assert_eq!(host.leftovers(), [] as [String; 0]);
}

#[test]
fn contexts_come_in_other_ways_and_mistakes_are_told() {
    let host = ready();
    put(&host, "Dockerfile", "FROM busybox\nCOPY file /\n");
    put(&host, "file", "sent\n");
    let whole = host.path().join("whole.tar");
    run(Command::new("tar").arg("cf").arg(&whole).arg("-C").arg(host.path().join("context")).arg(".")).ok();
    let piped = |image: &str, file: &std::path::Path| {
        let shell = format!("exec {DOCKER} build --network none -t {image} - < {}", file.display());
        run(with_client(host.command("sh").args(["-c", &shell]), &host))
    };
    piped("three", &whole).ok();
    assert_eq!(cat(&host, "three", "/file"), "sent\n");
    let text = host.write("text", "FROM busybox\nRUN echo alone > /file\n");
    piped("four", &text).ok();
    assert_eq!(cat(&host, "four", "/file"), "alone\n");
    for (file, flags, words) in [
        ("FROM busybox\nRUNN x\n", [].as_slice(), "Dockerfile:2:1: found unknown instruction \"RUNN\""),
        ("FROM busybox\nRUN echo so; exit 7\n", &[], "the command ended with exit code 7"),
        ("FROM busybox\nCOPY fil /\n", &[], "file"),
        ("FROM busybox\n", &["-f", "Nope"], "failed to read dockerfile"),
        ("FROM busybox AS one\n", &["--target", "on"], "one"),
        ("FROM busybox\n", &["--output", "type=gcs"], "\"gcs\" is not supported"),
    ] {
        put(&host, "Dockerfile", file);
        let done = build(&host, flags);
        assert!(done.stderr.contains(words), "{file:?} {flags:?}: {}", done.stderr);
        assert_ne!(done.code, 0);
    }
    assert_eq!(host.leftovers(), [] as [String; 0]);
}

/// The words of the services, as far as they are used here.
#[derive(Clone, PartialEq, prost::Message)]
struct Nothing {}

#[derive(Clone, PartialEq, prost::Message)]
struct Workers {
    #[prost(message, repeated, tag = "1")]
    record: Vec<Worker>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Worker {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(message, repeated, tag = "3")]
    platforms: Vec<WorkerPlatform>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WorkerPlatform {
    #[prost(string, tag = "1")]
    architecture: String,
    #[prost(string, tag = "2")]
    os: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Solve {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    definition: Option<Graph>,
    #[prost(string, tag = "5")]
    session: String,
    #[prost(string, tag = "6")]
    frontend: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Graph {
    #[prost(bytes = "vec", repeated, tag = "1")]
    def: Vec<Vec<u8>>,
}

/// Asks on a connection of its own.
async fn ask<A: prost::Message + Default + 'static>(
    host: &Host,
    method: &'static str,
    question: impl prost::Message + 'static,
) -> Result<A, tonic::Status> {
    let mut stream = UnixStream::connect(host.socket()).await.expect("the daemon listens");
    let request = b"POST /grpc HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    stream.write_all(request).await.expect("it is read");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("an answer"));
    }
    let head = String::from_utf8(head).expect("a head");
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    let stream = std::sync::Mutex::new(Some(stream));
    let connector = tower::service_fn(move |_: tonic::codegen::http::Uri| {
        let stream = stream.lock().expect("nobody panics").take();
        async move { stream.map(TokioIo::new).ok_or_else(|| std::io::Error::other("once")) }
    });
    let channel = Endpoint::from_static("http://d").connect_with_connector(connector).await.expect("a connection");
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.expect("it is ready");
    let path = PathAndQuery::from_static(method);
    let codec = ProstCodec::default();
    Ok(grpc.unary(tonic::Request::new(question), path, codec).await?.into_inner())
}

#[tokio::test]
async fn the_services_answer_and_refuse_by_name() {
    let host = Host::new();
    let workers: Workers = ask(&host, "/moby.buildkit.v1.Control/ListWorkers", Nothing {}).await.expect("an answer");
    let [worker] = workers.record.as_slice() else { panic!("{workers:?}") };
    assert!(!worker.id.is_empty());
    assert_eq!(worker.platforms[0].os, "linux");
    let solve = async |solve: Solve| {
        ask::<Nothing>(&host, "/moby.buildkit.v1.Control/Solve", solve).await.expect_err("it is refused")
    };
    let graph = Some(Graph { def: vec![vec![1]] });
    let refused = solve(Solve { name: "a".into(), definition: graph, ..Solve::default() }).await;
    assert_eq!((refused.code(), refused.message().contains("LLB")), (Code::Unimplemented, true), "{refused:?}");
    let refused = solve(Solve { name: "b".into(), frontend: "gateway.v0".into(), ..Solve::default() }).await;
    assert_eq!(refused.code(), Code::Unimplemented);
    assert!(refused.message().contains("\"gateway.v0\" is not supported"), "{refused:?}");
    let refused = solve(Solve { name: "c".into(), frontend: "dockerfile.v0".into(), ..Solve::default() }).await;
    assert!(refused.message().contains("no session"), "{refused:?}");
    assert_eq!(host.leftovers(), [] as [String; 0]);
}
