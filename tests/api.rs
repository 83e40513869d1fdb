//! The socket as clients see it: raw HTTP, the upgrades in both forms, and the real `docker` command.

#![allow(clippy::unwrap_used)] // what a helper cannot do fails the test

mod support;

use std::{
    io::{Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    time::Duration,
};

use support::{HOIST, Host, run, wait_until};

/// Sends one request and reads all that comes until the daemon closes the connection.
fn exchange(host: &Host, request: &str) -> String {
    let mut stream = connect(host);
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn connect(host: &Host) -> UnixStream {
    let stream = UnixStream::connect(host.socket()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

fn request(method: &str, path: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: hoist\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// Reads a head and answers it; what follows stays in the stream.
fn head(stream: &mut UnixStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// Reads frames until the connection closes.
fn frames(stream: &mut UnixStream) -> Vec<(u8, String)> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    let mut rest = &all[..];
    let mut frames = Vec::new();
    while let Some((header, tail)) = rest.split_first_chunk::<8>() {
        let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize;
        let (payload, tail) = tail.split_at(length);
        frames.push((header[0], String::from_utf8(payload.to_vec()).unwrap()));
        rest = tail;
    }
    assert!(rest.is_empty(), "half a frame: {rest:?}");
    frames
}

#[test]
fn versions_errors_and_bad_input() {
    let host = Host::new();
    let ping = exchange(&host, &request("GET", "/_ping", ""));
    assert!(ping.starts_with("HTTP/1.1 200 OK"), "{ping}");
    assert!(ping.contains("api-version: 1.56") && ping.ends_with("OK"), "{ping}");
    for (method, path, body, status, message) in [
        ("GET", "/v1.23/info", "", 400, "client version 1.23 is too old"),
        ("GET", "/v1.99/info", "", 400, "client version 1.99 is too new"),
        ("GET", "/nothing", "", 404, "page not found"),
        ("PATCH", "/containers/json", "", 404, "page not found"),
        ("GET", "/v1.41/containers/none/json", "", 404, "No such container: none"),
        ("GET", "/containers/json?filters=%7B%22x%22%3A%5B%22y%22%5D%7D", "", 400, "invalid filter 'x'"),
        ("GET", "/containers/json?limit=many", "", 400, "invalid value \\\"many\\\" of limit"),
        ("POST", "/containers/create", "", 400, "got EOF while reading request body"),
        ("POST", "/containers/create", "{", 400, "invalid JSON"),
        ("POST", "/containers/create", "{\"Image\":\"a\",\"HostConfig\":{\"Memory\":\"b\"}}", 400, "HostConfig.Memory"),
        ("POST", "/containers/create", "{\"Image\":\"none\"}", 404, "No such image: none"),
        ("POST", "/containers/create?name=a%20b", "{\"Image\":\"a\"}", 400, "Invalid container name (a b)"),
        ("GET", "/containers/none/logs", "", 400, "you must choose at least one stream"),
        ("GET", "/swarm", "", 503, "not a swarm manager"),
        ("POST", "/hoist/v1/run", "{}", 400, "upgrade"),
        ("GET", "/hoist/v1/projects/none", "", 404, "no such project: none"),
    ] {
        let answer = exchange(&host, &request(method, path, body));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{method} {path}: {answer}");
        assert!(answer.contains("{\"message\":") && answer.contains(message), "{method} {path}: {answer}");
    }
}

#[test]
fn a_second_daemon_on_the_same_roots_is_refused_by_name() {
    let host = Host::new();
    let mut command = host.command(HOIST);
    command.args(["daemon", "--data-root"]).arg(host.data_root()).arg("--run-root").arg(host.run_root());
    let words = run(&mut command).fails(1);
    assert!(words.contains(&format!("pid {}", host.daemon_pid())) && words.contains("is using"), "{words}");
}

/// Attaches by what `upgrade` says, starts the container, and feeds it a line.
fn talk(host: &Host, name: &str, upgrade: &str) -> (String, Vec<(u8, String)>) {
    let body = r#"{"Image":"busybox","Cmd":["sh","-c","cat; echo done >&2"],"OpenStdin":true,"StdinOnce":true}"#;
    let made = exchange(host, &request("POST", &format!("/containers/create?name={name}"), body));
    assert!(made.starts_with("HTTP/1.1 201 "), "{made}");
    let mut stream = connect(host);
    let path = format!("/v1.41/containers/{name}/attach?stream=1&stdin=1&stdout=1&stderr=1");
    write!(stream, "POST {path} HTTP/1.1\r\nHost: x\r\n{upgrade}Content-Length: 0\r\n\r\n").unwrap();
    let head = head(&mut stream);
    let started = exchange(host, &request("POST", &format!("/containers/{name}/start"), ""));
    assert!(started.starts_with("HTTP/1.1 204 "), "{started}");
    stream.write_all(b"hello\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    (head, frames(&mut stream))
}

#[test]
fn attach_takes_the_connection_in_both_forms() {
    let host = Host::new();
    host.busybox();
    let expected = [(1, "hello\n".to_owned()), (2, "done\n".to_owned())];
    let (head, got) = talk(&host, "newer", "Connection: Upgrade\r\nUpgrade: tcp\r\n");
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("upgrade: tcp"), "{head}");
    assert_eq!(got, expected);
    let (head, got) = talk(&host, "older", "");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(!head.to_lowercase().contains("transfer-encoding"), "{head}");
    assert_eq!(got, expected);
}

#[test]
fn run_and_exec_on_one_connection() {
    let host = Host::new();
    host.busybox();
    let ask = |path: &str, body: &str, input: &[u8]| {
        let mut stream = connect(&host);
        let length = body.len();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: hoist-frames\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let head = head(&mut stream);
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        stream.write_all(input).unwrap();
        frames(&mut stream)
    };
    let events = |frames: &[(u8, String)]| -> Vec<String> {
        let json = frames.iter().filter(|(kind, _)| *kind == 4).map(|(_, text)| text);
        json.map(|text| text.split('"').nth(3).unwrap_or_default().to_owned()).collect()
    };
    let output = |frames: &[(u8, String)]| -> String {
        frames.iter().filter(|(kind, _)| *kind == 1).map(|(_, text)| text.as_str()).collect()
    };

    let body = r#"{"create":{"Image":"busybox","Cmd":["sh","-c","cat; exit 7"],"OpenStdin":true,"StdinOnce":true,
        "HostConfig":{"AutoRemove":true}},"attach":{"stdin":true,"stdout":true,"stderr":true}}"#;
    // A frame of input, and one that ends it.
    let got = ask("/hoist/v1/run", body, b"\0\0\0\0\0\0\0\x03hi\n\0\0\0\0\0\0\0\0");
    assert_eq!(events(&got), ["created", "started", "exit"]);
    assert_eq!(output(&got), "hi\n");
    assert_eq!(got.last().unwrap().1, r#"{"event":"exit","code":7}"#);
    assert_eq!(host.hoist(&["ps", "-aq"]).ok(), "", "it was to be removed");

    let body = r#"{"create":{"Image":"busybox","Cmd":["/none"],"HostConfig":{"AutoRemove":true}}}"#;
    let got = ask("/hoist/v1/run", body, b"");
    assert_eq!(events(&got).last().unwrap(), "error");
    assert!(got.last().unwrap().1.contains("\"exit_code\":127"), "{got:?}");
    assert_eq!(host.hoist(&["ps", "-aq"]).ok(), "", "what cannot begin was to be removed");

    host.hoist(&["run", "-d", "--name", "box", "busybox", "sleep", "100"]).ok();
    let body = r#"{"container":"box","exec":{"Cmd":["sh","-c","echo in; exit 3"],"AttachStdout":true}}"#;
    let got = ask("/hoist/v1/exec", body, b"");
    assert_eq!(output(&got), "in\n");
    assert_eq!(got.last().unwrap().1, r#"{"event":"exit","code":3}"#);
}

#[test]
fn the_docker_command_works_here() {
    let host = Host::new();
    host.busybox();
    let docker = |args: &[&str]| run(host.command("docker").args(args).env("DOCKER_HOST", host.docker_host()));
    assert_eq!(docker(&["run", "--rm", "busybox", "echo", "hello"]).ok(), "hello\n");
    docker(&["run", "--rm", "busybox", "sh", "-c", "exit 9"]).fails(9);
    docker(&["run", "--rm", "busybox", "/none"]).fails(127);
    docker(&["run", "--rm", "busybox", "/etc"]).fails(126);
    assert_eq!(docker(&["ps", "-aq"]).ok(), "", "nothing stays");

    docker(&["run", "-d", "--name", "box", "--label", "a=b", "busybox", "sh", "-c", "echo one; sleep 100"]).ok();
    assert!(wait_until(|| docker(&["logs", "box"]).ok() == "one\n"));
    docker(&["exec", "box", "sh", "-c", "exit 4"]).fails(4);
    assert_eq!(docker(&["inspect", "-f", "{{.State.Status}} {{.Config.Labels.a}}", "box"]).ok(), "running b\n");
    assert_eq!(docker(&["ps", "--filter", "label=a=b", "--format", "{{.Names}}"]).ok(), "box\n");
    host.write("file", "contents\n");
    docker(&["cp", "file", "box:/tmp/file"]).ok();
    assert_eq!(docker(&["exec", "box", "cat", "/tmp/file"]).ok(), "contents\n");
    docker(&["cp", "box:/tmp/file", "back"]).ok();
    assert_eq!(std::fs::read_to_string(host.path().join("back")).unwrap(), "contents\n");
    docker(&["rename", "box", "case"]).ok();
    docker(&["stop", "-t", "0", "case"]).ok();
    docker(&["rm", "case"]).ok();
    let words = docker(&["rm", "case"]).fails(1);
    assert!(words.to_lowercase().contains("no such container: case"), "{words}");
    docker(&["network", "create", "net"]).ok();
    docker(&["volume", "create", "vol"]).ok();
    docker(&["run", "--rm", "--network", "net", "-v", "vol:/v", "busybox", "touch", "/v/x"]).ok();
    docker(&["network", "rm", "net"]).ok();
    docker(&["volume", "rm", "vol"]).ok();
    docker(&["info"]).ok();
    docker(&["system", "df"]).ok();
}
