//! The daemon's settings file, reloading, contexts, and daemons over mutual TLS.

#![allow(clippy::unwrap_used)] // what a helper cannot do fails the test

mod support;

use std::{os::unix::fs::PermissionsExt, process::Command};

use support::{HOIST, Host, run, wait_until};

#[test]
fn a_settings_file_is_checked_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("daemon.json");
    let validate = |text: &str, flags: &[&str]| {
        std::fs::write(&path, text).unwrap();
        run(Command::new(HOIST).args(["daemon", "--validate", "--config-file"]).arg(&path).args(flags))
    };
    assert_eq!(validate(r#"{"mtu": 1400, "log-driver": "local"}"#, &[]).ok(), "configuration OK\n");
    for (text, flags, words) in [
        (r#"{"mtuu": 1400}"#, &[][..], "there is no setting mtuu (did you mean mtu?)"),
        (r#"{"userns-remap": "default"}"#, &[], "userns-remap is not supported"),
        (r#"{"iptables": false}"#, &[], "iptables can only be true here"),
        (r#"{"bip": "many"}"#, &[], "bip"),
        (
            r#"{"labels": ["a=b"]}"#,
            &["--label", "c=d"],
            "specified both as a flag and in the configuration file: labels",
        ),
        (r#"{"hosts": ["tcp://127.0.0.1:2376"]}"#, &[], "mutual TLS"),
        ("{", &[], "EOF"),
    ] {
        let said = validate(text, flags).fails(1);
        assert!(said.contains(words), "{text}: {said}");
    }
    let gone = run(Command::new(HOIST).args(["daemon", "--validate", "--config-file", "/none/daemon.json"])).fails(1);
    assert!(gone.contains("/none/daemon.json"), "{gone}");
}

#[test]
fn defaults_for_containers_and_a_reload() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("daemon.json");
    let settings = |label: &str| {
        format!(
            r#"{{"labels": ["{label}"], "default-ulimits": {{"nofile": {{"Name": "nofile", "Soft": 77, "Hard": 88}}}},
                "log-driver": "local", "log-opts": {{"max-size": "1m"}}, "default-shm-size": "8m"}}"#
        )
    };
    std::fs::write(&path, settings("a=1")).unwrap();
    let host = Host::with_flags(&["--config-file", path.to_str().unwrap()]);
    host.busybox();
    assert_eq!(host.hoist(&["run", "--rm", "busybox", "sh", "-c", "ulimit -n"]).ok(), "77\n");
    assert_eq!(host.hoist(&["run", "--rm", "--ulimit", "nofile=66", "busybox", "sh", "-c", "ulimit -n"]).ok(), "66\n");
    host.hoist(&["create", "--name", "box", "busybox"]).ok();
    let form =
        "{{.HostConfig.LogConfig.Type}} {{index .HostConfig.LogConfig.Config \"max-size\"}} {{.HostConfig.ShmSize}}";
    assert_eq!(host.hoist(&["inspect", "-f", form, "box"]).ok(), "local 1m 8388608\n");
    assert_eq!(host.hoist(&["info", "-f", "{{.LoggingDriver}} {{.Labels}}"]).ok(), "local [a=1]\n");

    let hangup = || run(Command::new("kill").args(["-HUP", &host.daemon_pid().to_string()])).ok();
    let labels = || host.hoist(&["info", "-f", "{{.Labels}}"]).ok();
    std::fs::write(&path, settings("b=2")).unwrap();
    hangup();
    assert!(wait_until(|| labels() == "[b=2]\n"), "{}", labels());
    // What cannot be understood changes nothing.
    std::fs::write(&path, "{").unwrap();
    hangup();
    assert!(wait_until(|| host.daemon_log().contains("the settings stay as they are")));
    assert_eq!(labels(), "[b=2]\n");
    let events = host.hoist(&["events", "--since", "1h", "--until", "0s", "--filter", "type=daemon"]).ok();
    assert_eq!(events.lines().filter(|line| line.contains("daemon reload")).count(), 1, "{events}");
}

#[test]
fn log_details_and_the_first_size_of_a_terminal() {
    let host = Host::new();
    host.busybox();
    let options = ["--log-opt", "labels=who", "--log-opt", "env=WHERE", "--label", "who=me", "-e", "WHERE=here, there"];
    host.hoist(&[&["run", "--name", "box"], &options[..], &["busybox", "echo", "line"]].concat()).ok();
    assert_eq!(host.hoist(&["logs", "--details", "box"]).ok(), "WHERE=here%2C%20there,who=me line\n");
    assert_eq!(host.hoist(&["logs", "box"]).ok(), "line\n");

    let body = r#"{"Image":"busybox","Tty":true,"Cmd":["stty","size"],"HostConfig":{"ConsoleSize":[33,44]}}"#;
    let socket = host.socket().display().to_string();
    let json = ["-H", "Content-Type: application/json", "-d", body, "http://x/containers/create?name=term"];
    host.other("curl", &[&["-sS", "--fail", "--unix-socket", &socket], &json[..]].concat()).ok();
    host.hoist(&["start", "term"]).ok();
    assert!(wait_until(|| host.hoist(&["logs", "term"]).ok() == "33 44\r\n"), "{}", host.hoist(&["logs", "term"]).ok());
}

#[test]
fn the_socket_is_its_group_s() {
    let host = Host::with_flags(&["--group", "adm"]);
    let mode = std::fs::metadata(host.socket()).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o660);
    let group = run(Command::new("getent").args(["group", "adm"])).ok();
    let number = std::os::unix::fs::MetadataExt::gid(&mode).to_string();
    assert_eq!(group.split(':').nth(2), Some(number.as_str()));
}

/// An authority, and a certificate of it for the daemon and one for clients.
fn certificates(host: &Host) {
    let script = r#"
set -e
mkdir -p tls other && cd tls
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca-key.pem -out ca.pem -subj /CN=authority -days 2
for who in server client; do
  openssl req -newkey rsa:2048 -nodes -keyout $who-key.pem -out $who.csr -subj /CN=$who
  printf 'subjectAltName=IP:127.0.0.1\n' > $who.ext
  openssl x509 -req -in $who.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -out $who.pem -days 2 -extfile $who.ext
done
cp client.pem cert.pem && cp client-key.pem key.pem
cd ../other && openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -subj /CN=stranger -days 2
cp ../tls/ca.pem ca.pem
"#;
    host.other("sh", &["-c", script]).ok();
}

#[test]
fn a_daemon_over_mutual_tls_and_contexts() {
    let mut host = Host::new();
    certificates(&host);
    let root = host.path().to_owned();
    let at = |name: &str| root.join(name).display().to_string();
    let flags: Vec<String> = ["-H", "tcp://127.0.0.1:2376", "-H", &host.docker_host(), "--tlsverify"]
        .into_iter()
        .map(str::to_owned)
        .chain(["--tlscacert".into(), at("tls/ca.pem"), "--tlscert".into(), at("tls/server.pem")])
        .chain(["--tlskey".into(), at("tls/server-key.pem")])
        .collect();
    host.restart_with(&flags.iter().map(String::as_str).collect::<Vec<_>>());
    host.busybox();
    let far = |program: &str, certs: &str, args: &[&str]| {
        let mut command = host.command(program);
        command.env_remove("HOIST_HOST").env("DOCKER_HOST", "tcp://127.0.0.1:2376");
        run(command.env("DOCKER_TLS_VERIFY", "1").env("DOCKER_CERT_PATH", host.path().join(certs)).args(args))
    };
    for program in [HOIST, "docker"] {
        assert_eq!(far(program, "tls", &["run", "--rm", "busybox", "echo", "far"]).ok(), "far\n", "{program}");
        assert_ne!(far(program, "other", &["ps"]).code, 0, "{program}: a stranger gets no answer");
    }
    assert_ne!(host.other("curl", &["-sS", "-k", "https://127.0.0.1:2376/_ping"]).code, 0);
    assert_ne!(host.other("curl", &["-sS", "http://127.0.0.1:2376/_ping"]).code, 0);

    // The same daemon by a name; both programs know the name.
    let local = |program: &str, args: &[&str]| {
        run(host.command(program).env_remove("HOIST_HOST").env_remove("DOCKER_HOST").args(args))
    };
    let docker = format!(
        "host=tcp://127.0.0.1:2376,ca={},cert={},key={}",
        at("tls/ca.pem"),
        at("tls/cert.pem"),
        at("tls/key.pem")
    );
    local(HOIST, &["context", "create", "far", "--description", "over there", "--docker", &docker]).ok();
    for program in [HOIST, "docker"] {
        assert_eq!(
            local(program, &["--context", "far", "run", "--rm", "busybox", "echo", "by name"]).ok(),
            "by name\n"
        );
        let table = local(program, &["context", "ls"]).ok();
        assert!(table.contains("far") && table.contains("tcp://127.0.0.1:2376"), "{program}: {table}");
    }
    local("docker", &["context", "create", "near", "--docker", &format!("host={}", host.docker_host())]).ok();
    assert_eq!(local(HOIST, &["--context", "near", "run", "--rm", "busybox", "echo", "near"]).ok(), "near\n");
    assert_eq!(local(HOIST, &["context", "show"]).ok(), "default\n");
    local(HOIST, &["context", "use", "far"]).ok();
    assert_eq!(local(HOIST, &["context", "show"]).ok(), "far\n");
    assert_eq!(local(HOIST, &["run", "--rm", "busybox", "echo", "current"]).ok(), "current\n");
    assert!(local(HOIST, &["context", "rm", "far"]).fails(1).contains("in use"));
    local(HOIST, &["context", "export", "far", "far.tar"]).ok();
    local(HOIST, &["context", "rm", "-f", "far"]).ok();
    assert_eq!(local(HOIST, &["context", "show"]).ok(), "default\n");
    local("docker", &["context", "import", "again", "far.tar"]).ok();
    assert_eq!(local(HOIST, &["-c", "again", "run", "--rm", "busybox", "echo", "again"]).ok(), "again\n");
    let host_of = local(HOIST, &["context", "inspect", "-f", "{{.Endpoints.docker.Host}}", "again"]).ok();
    assert_eq!(host_of, "tcp://127.0.0.1:2376\n");
    assert!(local(HOIST, &["--context", "nowhere", "ps"]).fails(1).contains("\"nowhere\" does not exist"));
}

#[test]
fn a_socket_from_the_service_manager() {
    // What systemd does, in Python: a listening socket as descriptor 3, and two variables that say so.
    let script = r#"
import os, socket, sys
path, args = sys.argv[1], sys.argv[2:]
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen(16)
os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(args[0], args)
"#;
    let mut host = Host::new();
    host.kill_daemon();
    let socket = host.path().join("activated.sock");
    let mut command = host.command("/usr/bin/python3");
    command.args(["-c", script]).arg(&socket).args([HOIST, "daemon", "--data-root"]).arg(host.data_root());
    let mut daemon = command.arg("--run-root").arg(host.run_root()).args(["-H", "fd://"]).spawn().unwrap();
    let ping = || {
        let done = host.other("curl", &["-s", "--unix-socket", &socket.display().to_string(), "http://x/_ping"]);
        done.stdout == "OK"
    };
    let answered = wait_until(ping);
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    assert!(answered);
}

#[test]
fn metrics_the_default_network_and_namespaces() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("daemon.json");
    let settings = r#"{"metrics-addr": "127.0.0.1:9323", "bip": "10.91.0.1/16", "fixed-cidr": "10.91.7.0/24",
        "default-gateway": "10.91.9.9", "default-ipc-mode": "shareable", "default-cgroupns-mode": "host",
        "host-gateway-ips": ["192.0.2.7", "2001:db8::7"], "icc": false, "log-format": "json", "seccomp-profile": "unconfined",
        "default-network-opts": {"bridge": {"com.docker.network.driver.mtu": "1333"}}, "max-concurrent-uploads": 2}"#;
    std::fs::write(&path, settings).unwrap();
    let host = Host::with_flags(&["--config-file", path.to_str().unwrap()]);
    host.busybox();
    let script =
        "cat /etc/hosts; ip addr show eth0; ip route; grep Seccomp: /proc/self/status; readlink /proc/self/ns/cgroup";
    let said = host.hoist(&["run", "--rm", "--add-host", "me:host-gateway", "busybox", "sh", "-c", script]).ok();
    for words in ["192.0.2.7\tme", "2001:db8::7\tme", "10.91.7.0/16", "default via 10.91.9.9", "Seccomp:\t0"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let own = std::fs::read_link("/proc/self/ns/cgroup").unwrap();
    assert!(said.contains(own.to_str().unwrap()), "{said}");
    host.hoist(&["create", "--name", "box", "busybox"]).ok();
    let form = "{{.HostConfig.IpcMode}} {{.HostConfig.CgroupnsMode}}";
    assert_eq!(host.hoist(&["inspect", "-f", form, "box"]).ok(), "shareable host\n");
    host.hoist(&["network", "create", "made"]).ok();
    assert!(host.hoist(&["network", "inspect", "made"]).ok().contains("\"com.docker.network.driver.mtu\": \"1333\""));
    // A monitor reads.
    let page = host.get("http://127.0.0.1:9323/metrics");
    for line in [
        "# TYPE engine_daemon_container_actions_seconds histogram",
        "engine_daemon_container_actions_seconds_count{action=\"create\"} 2",
        "engine_daemon_container_actions_seconds_count{action=\"start\"} 1",
        "engine_daemon_container_states_containers{state=\"stopped\"} 1",
        "engine_daemon_engine_info{architecture=",
        "process_open_fds ",
        "hoist_build_cache_bytes 0",
    ] {
        assert!(page.contains(line), "{line}: {page}");
    }
    // The log is objects.
    let log = host.daemon_log();
    let line = log.lines().find(|line| line.contains("the daemon is ready")).unwrap();
    let object: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!((object["level"].as_str(), object["msg"].as_str()), (Some("info"), Some("the daemon is ready")));
}

#[test]
fn networks_on_a_wire_and_from_a_configuration() {
    let host = Host::new();
    host.busybox();
    host.other("ip", &["link", "add", "wire", "type", "veth", "peer", "name", "far"]).ok();
    for end in ["wire", "far"] {
        host.other("ip", &["link", "set", end, "up"]).ok();
    }
    let net = ["network", "create", "-d", "macvlan", "--subnet", "192.0.2.0/24", "-o", "parent=wire", "lan"];
    host.hoist(&net).ok();
    host.hoist(&["run", "-d", "--name", "wired", "--network", "lan", "busybox", "sleep", "1000"]).ok();
    let shown =
        host.hoist(&["run", "--rm", "--network", "lan", "busybox", "sh", "-c", "ping -c1 wired && ip route"]).ok();
    assert!(shown.contains("1 packets received") && shown.contains("default via 192.0.2.1"), "{shown}");
    let form = "{{.Driver}} {{.Options.parent}} {{(index .IPAM.Config 0).Gateway}}";
    assert_eq!(host.hoist(&["network", "inspect", "-f", form, "lan"]).ok(), "macvlan wire 192.0.2.1\n");
    let text = host.hoist(&["run", "--rm", "--network", "lan", "-p", "80", "busybox", "true"]).fails(125);
    assert!(text.contains("no bridge network"), "{text}");
    let text = host.hoist(&["network", "create", "-d", "macvlan", "-o", "parent=none0", "x"]).fails(1);
    assert!(text.contains("there is no such interface"), "{text}");
    // With Docker's own command line.
    let docker = |args: &[&str]| host.other("docker", &[&["-H", &host.docker_host()], args].concat());
    docker(&["network", "create", "--config-only", "--subnet", "10.99.0.0/24", "config"]).ok();
    docker(&["network", "create", "--config-from", "config", "made"]).ok();
    let form = "{{.ConfigFrom.Network}} {{.ConfigOnly}} {{(index .IPAM.Config 0).Subnet}}";
    assert_eq!(docker(&["network", "inspect", "-f", form, "made"]).ok(), "config false 10.99.0.0/24\n");
    assert_eq!(docker(&["network", "inspect", "-f", "{{.ConfigOnly}} {{.Driver}}", "config"]).ok(), "true null\n");
    assert!(docker(&["network", "rm", "config"]).fails(1).contains("in use by network made"));
    let text = docker(&["run", "--rm", "--network", "config", "busybox", "true"]).fails(125);
    assert!(text.contains("no container can be on network config"), "{text}");
    docker(&["network", "rm", "made", "config"]).ok();
    host.hoist(&["rm", "-f", "wired"]).ok();
}

#[test]
fn the_clients_own_file_says_what_is_left_open() {
    let host = Host::new();
    host.busybox();
    let config = r#"{"psFormat": "{{.Names}}!", "networksFormat": "table {{.Name}}", "pluginsFormat": "{{.Name}}",
        "pruneFilters": ["label!=keep"], "HttpHeaders": {"X-Meta": "yes"},
        "proxies": {"default": {"httpProxy": "http://proxy.example:3128", "noProxy": "localhost"}}}"#;
    host.write(".docker/config.json", config);
    host.hoist(&["create", "--name", "kept", "--label", "keep", "busybox"]).ok();
    host.hoist(&["create", "--name", "gone", "busybox"]).ok();
    assert_eq!(host.hoist(&["ps", "-a", "--filter", "name=kept"]).ok(), "kept!\n");
    assert_eq!(host.hoist(&["ps", "-a", "--filter", "name=kept", "--format", "{{.Names}}"]).ok(), "kept\n");
    assert_eq!(host.hoist(&["network", "ls"]).ok().lines().next(), Some("NAME"));
    let env = host.hoist(&["run", "--rm", "-e", "no_proxy=mine", "busybox", "env"]).ok();
    for line in ["HTTP_PROXY=http://proxy.example:3128", "http_proxy=http://proxy.example:3128", "no_proxy=mine"] {
        assert!(env.lines().any(|own| own == line), "{line}: {env}");
    }
    host.write("context/Dockerfile", "FROM busybox\nRUN env > /env\n");
    host.hoist(&["build", "--network", "none", "-t", "built", "context"]).ok();
    let env = host.hoist(&["run", "--rm", "built", "cat", "/env"]).ok();
    assert!(env.contains("HTTP_PROXY=http://proxy.example:3128"), "{env}");
    host.hoist(&["container", "prune", "-f"]).ok();
    assert_eq!(host.hoist(&["ps", "-a"]).ok(), "kept!\n");
    // Docker's own gives the same variables from the same file.
    let docker = ["-H", &host.docker_host(), "run", "--rm", "busybox", "sh", "-c", "echo $HTTP_PROXY $no_proxy"];
    assert_eq!(host.other("docker", &docker).ok(), "http://proxy.example:3128 localhost\n");
    host.write(".docker/config.json", r#"{"psFormat": 7}"#);
    assert!(host.hoist(&["ps"]).fails(1).contains("config.json"));
}

/// Keys, headers and proxies of the client's own file, as they arrive.
#[test]
fn the_clients_own_file_is_kept_to_in_terminals_requests_and_projects() {
    use std::io::{Read as _, Write as _};
    let host = Host::new();
    host.busybox();
    let config = r#"{"detachKeys": "ctrl-x,x", "HttpHeaders": {"X-Meta": "yes"},
        "proxies": {"default": {"httpProxy": "http://proxy.example:3128"}}}"#;
    host.write(".docker/config.json", config);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/detach.py");
    for (program, name) in [(HOIST, "one"), ("docker", "two")] {
        // The keys that count without the file go to the command.
        let typed = [script, "ready", "\\x10\\x11\\x18x", program, "run", "-it", "--name", name, "busybox", "sh", "-c"];
        let done = host.other("python3", &[&typed[..], &["echo ready; sleep 1000"]].concat()).ok();
        assert!(done.contains("ended with 0"), "{program}: {done}");
        assert_eq!(host.hoist(&["inspect", "-f", "{{.State.Status}}", name]).ok(), "running\n", "{program}");
    }
    let socket = host.path().join("listening.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let heard = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut text = Vec::new();
        let mut byte = [0];
        while !text.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
            text.extend(byte);
        }
        stream.write_all(b"HTTP/1.1 500 no\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
        String::from_utf8(text).unwrap().to_lowercase()
    });
    let address = format!("unix://{}", socket.display());
    let done = host.command(HOIST).env("HOIST_HOST", &address).args(["volume", "ls"]).output().unwrap();
    assert!(!done.status.success());
    let heard = heard.join().unwrap();
    assert!(heard.contains("\r\nx-meta: yes\r\n"), "{heard}");

    host.write("build/Dockerfile", "FROM busybox\nRUN env > /env\n");
    let compose = "services:\n  web:\n    build: {context: build, network: none}\n    command: sleep 1000\n    stop_grace_period: 0s\n    \
                   environment: {http_proxy: mine}\n";
    host.write("compose.yaml", compose);
    host.hoist(&["up", "-d"]).ok();
    let said = host.hoist(&["compose", "exec", "-T", "web", "sh", "-c", "echo $HTTP_PROXY $http_proxy; cat /env"]).ok();
    assert!(said.starts_with("http://proxy.example:3128 mine\n"), "{said}");
    assert!(said.contains("HTTP_PROXY=http://proxy.example:3128"), "{said}");
    let said = host.hoist(&["compose", "run", "--rm", "-T", "web", "env"]).ok();
    assert!(said.contains("HTTP_PROXY=http://proxy.example:3128"), "{said}");
    assert!(!host.hoist(&["compose", "config"]).ok().contains("proxy.example"), "the file itself says nothing of it");
    host.hoist(&["down"]).ok();
    host.hoist(&["rm", "-f", "one", "two"]).ok();
}

#[test]
fn there_are_no_plugins() {
    let host = Host::new();
    assert_eq!(host.hoist(&["plugin", "ls"]).ok(), "ID        NAME      DESCRIPTION   ENABLED\n");
    assert_eq!(host.hoist(&["plugin", "ls", "-q"]).ok(), "");
    for (args, words) in [
        (&["plugin", "inspect", "vieux/sshfs"][..], "plugin \"vieux/sshfs\" not found"),
        (&["plugin", "rm", "x"], "plugin \"x\" not found"),
        (&["plugin", "enable", "x"], "plugin \"x\" not found"),
        (&["plugin", "install", "--grant-all-permissions", "x"], "plugin install is not supported"),
    ] {
        let said = host.hoist(args).fails(1);
        assert!(said.contains(words), "{args:?}: {said}");
    }
    let said = host.other("docker", &["-H", &host.docker_host(), "plugin", "inspect", "x"]).fails(1);
    assert!(said.contains("not found"), "{said}");
}

#[test]
fn the_daemon_is_spared_advertised_and_carries_only_if_it_may() {
    let mut host = Host::new();
    host.busybox();
    host.restart_with(&["--oom-score-adjust", "50", "--userland-proxy=false", "--swarm-default-advertise-addr", "lo"]);
    let score = std::fs::read_to_string(format!("/proc/{}/oom_score_adj", host.daemon_pid())).unwrap();
    assert_eq!(score.trim(), "50");
    host.hoist(&["run", "-d", "--name", "web", "-p", "8080:80", "busybox", "httpd", "-f", "-p", "80"]).ok();
    assert_eq!(host.hoist(&["port", "web"]).ok(), "80/tcp -> 0.0.0.0:8080\n");
    let said = host.hoist(&["run", "--rm", "-p", "[::1]:8081:80", "busybox", "true"]).fails(125);
    assert!(said.contains("cannot be published on ::1"), "{said}");
    host.hoist(&["swarm", "init"]).ok();
    assert_eq!(host.hoist(&["info", "-f", "{{.Swarm.NodeAddr}}"]).ok(), "127.0.0.1\n");
    host.hoist(&["swarm", "leave", "--force"]).ok();
    host.restart_with(&[]);
    host.hoist(&["restart", "-t", "0", "web"]).ok();
    let ports = host.hoist(&["port", "web"]).ok();
    assert_eq!(ports, "80/tcp -> 0.0.0.0:8080\n80/tcp -> [::]:8080\n");
    let answer = host.other("curl", &["-s", "-o", "/dev/null", "-w", "%{http_code}", "http://[::1]:8080/"]).ok();
    assert_eq!(answer, "404");
    host.hoist(&["rm", "-f", "web"]).ok();
    let done = host.hoist(&["daemon", "--validate", "--oom-score-adjust", "5000"]);
    assert!(done.code != 0 && done.stderr.contains("-1000 to 1000"), "{}", done.stderr);
}
