//! Log drivers that send: a server gets each line once, and `logs` reads them all the same.

#![allow(clippy::unwrap_used)] // what a helper cannot do fails the test

mod support;

use std::{
    os::unix::net::{UnixDatagram, UnixListener},
    process::Stdio,
    time::Duration,
};

use support::{Host, wait_until};

#[test]
fn lines_are_sent_to_syslog_and_kept() {
    let mut host = Host::new();
    host.busybox();
    let path = host.path().join("log.sock");
    let server = UnixDatagram::bind(&path).unwrap();
    server.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let address = format!("syslog-address=unixgram://{}", path.display());
    let options = [
        "--log-driver",
        "syslog",
        "--log-opt",
        &address,
        "--log-opt",
        "syslog-facility=local2",
        "--log-opt",
        "tag={{.Name}}",
    ];
    let script = "echo first; while [ ! -e /end ]; do sleep 0.05; done; echo last >&2";
    host.hoist(&[&["run", "-d", "--name", "box"], &options[..], &["busybox", "sh", "-c", script]].concat()).ok();
    let receive = || {
        let mut buffer = [0; 4096];
        let count = server.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    };
    let first = receive();
    // local2 and informational; the daemon's end changes nothing.
    assert!(first.starts_with("<150>") && first.contains(" box[") && first.ends_with("]: first\n"), "{first:?}");
    host.kill_daemon();
    let pid = pid_of(&host);
    std::fs::write(format!("/proc/{pid}/root/end"), "").unwrap();
    let last = receive();
    assert!(last.starts_with("<147>") && last.ends_with("]: last\n"), "{last:?}");
    host.start_daemon();
    let done = host.hoist(&["logs", "box"]);
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("first\n", "last\n"));
    assert_eq!(host.hoist(&["logs", "--details", "--tail", "1", "box"]).stderr, "tag=box last\n");
    // Without its cache nothing can be read back.
    let more = ["--log-opt", "cache-disabled=true"];
    host.hoist(&[&["run", "--name", "blind"], &options[..], &more[..], &["busybox", "echo", "seen"]].concat()).ok();
    assert!(receive().ends_with("]: seen\n"));
    let said = host.hoist(&["logs", "blind"]).fails(1);
    assert!(said.contains("keeps no logs"), "{said}");
}

/// The container's first process, found without the daemon.
fn pid_of(host: &Host) -> String {
    let root = host.path().display().to_string();
    let supervisor = |pid: &str| std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(&root));
    let all = || std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let children = |parent: &str| {
        let text = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
        text.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let name = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let found = all().filter(|pid| supervisor(pid)).flat_map(|pid| children(&pid)).find(|pid| name(pid).trim() == "sh");
    found.expect("the container runs")
}

#[test]
fn servers_over_the_network_and_those_that_do_not_listen() {
    let host = Host::new();
    host.busybox();
    let server = "import socket, sys\n\
        s = socket.socket(type=socket.SOCK_DGRAM if sys.argv[1] == 'udp' else socket.SOCK_STREAM)\n\
        s.bind(('127.0.0.1', 6514))\n\
        if sys.argv[1] == 'tcp':\n    s.listen(); s = s.accept()[0]\n\
        while data := s.recv(65536):\n    sys.stdout.buffer.write(data); sys.stdout.flush()\n";
    for scheme in ["tcp", "udp"] {
        let file = host.write(&format!("{scheme}.txt"), "");
        let mut server = host
            .command("python3")
            .args(["-c", server, scheme])
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(&file).unwrap())
            .spawn()
            .unwrap();
        let address = format!("syslog-address={scheme}://127.0.0.1:6514");
        let args =
            ["run", "--rm", "--log-driver", "syslog", "--log-opt", &address, "--log-opt", "syslog-format=rfc5424micro"];
        let sent = wait_until(|| {
            host.hoist(&[&args[..], &["busybox", "sh", "-c", "echo one; echo two"]].concat());
            std::fs::read_to_string(&file).unwrap().contains(" - two\n")
        });
        let _ = server.kill();
        let _ = server.wait();
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(sent && text.contains(" - one\n") && text.contains("<30>1 20"), "{scheme}: {text:?}");
    }
    let args = ["run", "--rm", "--log-driver", "syslog", "--log-opt", "syslog-address=tcp://127.0.0.1:9"];
    let said = host.hoist(&[&args[..], &["busybox", "true"]].concat()).fails(125);
    assert!(said.contains("cannot reach syslog at 127.0.0.1:9"), "{said}");
    assert_eq!(host.hoist(&["ps", "-aq"]).ok(), "");
}

#[test]
fn a_server_over_tls_that_shows_who_it_is() {
    let host = Host::new();
    host.busybox();
    let script = "set -e\n\
        openssl req -x509 -newkey rsa:2048 -nodes -keyout ca-key.pem -out ca.pem -subj /CN=authority -days 2\n\
        for who in server client; do\n\
        openssl req -newkey rsa:2048 -nodes -keyout $who-key.pem -out $who.csr -subj /CN=$who\n\
        printf 'subjectAltName=IP:127.0.0.1\\n' > $who.ext\n\
        openssl x509 -req -in $who.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -out $who.pem -days 2 -extfile $who.ext\n\
        done\n";
    host.other("sh", &["-c", script]).ok();
    let server = "import socket, ssl, sys\n\
        c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n\
        c.load_cert_chain('server.pem', 'server-key.pem'); c.load_verify_locations('ca.pem')\n\
        c.verify_mode = ssl.CERT_REQUIRED\n\
        s = socket.socket(); s.bind(('127.0.0.1', 6514)); s.listen()\n\
        while True:\n    try:\n        t = c.wrap_socket(s.accept()[0], server_side=True)\n\
        \x20       while data := t.recv(65536):\n            sys.stdout.buffer.write(data); sys.stdout.flush()\n\
        \x20   except OSError: pass\n";
    let file = host.write("sent.txt", "");
    let mut server = host
        .command("python3")
        .args(["-c", server])
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(&file).unwrap())
        .spawn()
        .unwrap();
    let option = |name: &str, file: &str| format!("syslog-tls-{name}={}", host.path().join(file).display());
    let (ca, cert, key) = (option("ca-cert", "ca.pem"), option("cert", "client.pem"), option("key", "client-key.pem"));
    let run = |options: &[&str]| {
        let mut args =
            vec!["run", "--rm", "--log-driver", "syslog", "--log-opt", "syslog-address=tcp+tls://127.0.0.1:6514"];
        args.extend(options.iter().flat_map(|option| ["--log-opt", option]));
        args.extend(["busybox", "sh", "-c", "echo one; echo two"]);
        host.hoist(&args)
    };
    let sent = wait_until(|| {
        run(&[&ca, &cert, &key]);
        std::fs::read_to_string(&file).unwrap().contains("]: two\n")
    });
    // Its authority is none of this machine's; and it wants to be shown a certificate.
    let stranger = run(&[&cert, &key]).fails(125);
    let missing = run(&[&option("ca-cert", "nothing.pem")]).fails(125);
    let half = run(&[&cert]).fails(125);
    let _ = server.kill();
    let _ = server.wait();
    assert!(sent, "{}", std::fs::read_to_string(&file).unwrap());
    assert!(stranger.contains("over TLS") && stranger.contains("certificate"), "{stranger}");
    assert!(missing.contains("nothing.pem"), "{missing}");
    assert!(half.contains("syslog-tls-key"), "{half}");
}

#[test]
fn a_server_that_reads_nothing_holds_up_only_who_wants_it() {
    let host = Host::new();
    host.busybox();
    let path = host.path().join("log.sock");
    // Connections wait to be accepted for ever, and what they hold is soon full.
    let _server = UnixListener::bind(&path).unwrap();
    let address = format!("syslog-address=unix://{}", path.display());
    let args = ["run", "-d", "--log-driver", "syslog", "--log-opt", &address];
    let script = "head -c 4000000 /dev/zero | tr '\\0' '\\n'; touch /done; sleep 1000";
    let start = |name: &str, more: &[&str]| {
        host.hoist(&[&args[..], &["--name", name], more, &["busybox", "sh", "-c", script]].concat()).ok();
    };
    start("waits", &[]);
    start("sheds", &["--log-opt", "mode=non-blocking", "--log-opt", "max-buffer-size=64k"]);
    let done = |name: &str| host.hoist(&["exec", name, "test", "-e", "/done"]).code == 0;
    assert!(wait_until(|| done("sheds")));
    assert!(!done("waits"));
    // One that waits can still be ended.
    host.hoist(&["rm", "-f", "waits", "sheds"]).ok();
}
