//! Images, networks, volumes and the system from the command line, against a real daemon.

mod support;

use support::{Host, run};

fn said(host: &Host, args: &[&str]) -> String {
    let done = host.hoist(args);
    format!("exit code: {}\n----- stdout -----\n{}\n----- stderr -----\n{}", done.code, done.stdout, done.stderr)
}

fn settings(host: &Host) -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(&host.path().display().to_string(), "[ROOT]");
    settings.add_filter(r"\b[0-9a-f]{64}\b", "[ID]");
    settings.add_filter(r"\b[0-9a-f]{12}\b", "[SHORT ID]");
    settings.add_filter(r"(About an? \w+|Less than a second|\d+ seconds?|\d+ minutes?) ago", "[AGE] ago");
    settings.add_filter(r"\d+(\.\d+)?[kM]B", "[SIZE]");
    settings.add_filter(r"[^\S\n]{2,}", "  ");
    settings
}

#[test]
fn images_are_imported_tagged_saved_loaded_and_removed() {
    let host = Host::new();
    host.busybox();
    host.hoist(&["tag", "busybox", "mine:1"]).ok();
    host.hoist(&["save", "-o", "all.tar", "mine:1"]).ok();
    settings(&host).bind(|| {
        insta::assert_snapshot!("images", said(&host, &["images", "mine"]));
        insta::assert_snapshot!("history", said(&host, &["history", "mine:1"]));
        insta::assert_snapshot!("rmi", said(&host, &["rmi", "mine:1"]));
        insta::assert_snapshot!("load", said(&host, &["load", "-i", "all.tar"]));
        insta::assert_snapshot!("no_such_image", said(&host, &["image", "inspect", "mina:1"]));
        insta::assert_snapshot!("load_damaged", {
            host.write("bad.tar", "this is no archive");
            said(&host, &["load", "-i", "bad.tar"])
        });
    });
    let format = "{{.Repository}}:{{.Tag}}";
    let names = host.hoist(&["images", "--format", format]).ok();
    assert!(names.contains("busybox:latest\n") && names.contains("mine:1\n"), "{names}");
    host.hoist(&["run", "--name", "one", "busybox", "touch", "/made"]).ok();
    host.hoist(&["commit", "-c", "CMD [\"ls\", \"/made\"]", "one", "changed"]).ok();
    assert_eq!(host.hoist(&["run", "--rm", "changed"]).ok(), "/made\n");
    let exported = host.hoist(&["export", "-o", "one.tar", "one"]);
    assert_eq!((exported.code, exported.stdout.as_str()), (0, ""));
    host.hoist(&["import", "-c", "CMD [\"ls\", \"/made\"]", "one.tar", "flat:1"]).ok();
    assert_eq!(host.hoist(&["run", "--rm", "flat:1"]).ok(), "/made\n");
}

#[test]
fn networks_and_volumes_are_made_used_and_removed() {
    let host = Host::new();
    host.busybox();
    host.hoist(&["network", "create", "--subnet", "10.77.0.0/24", "--label", "a=b", "back"]).ok();
    host.hoist(&["volume", "create", "--label", "a=b", "data"]).ok();
    host.hoist(&[
        "run",
        "-d",
        "--name",
        "db",
        "--network",
        "back",
        "--ip",
        "10.77.0.9",
        "-v",
        "data:/data",
        "busybox",
        "sleep",
        "1000",
    ])
    .ok();
    let ping = host.hoist(&["run", "--rm", "--network", "back", "busybox", "ping", "-c", "1", "db"]).ok();
    assert!(ping.contains("10.77.0.9"), "{ping}");
    settings(&host).bind(|| {
        insta::assert_snapshot!("network_ls", said(&host, &["network", "ls", "--filter", "label=a"]));
        insta::assert_snapshot!("network_in_use", said(&host, &["network", "rm", "back"]));
        insta::assert_snapshot!("network_unknown", said(&host, &["network", "inspect", "bakc"]));
        insta::assert_snapshot!(
            "network_overlap",
            said(&host, &["network", "create", "--subnet", "10.77.0.0/16", "other"])
        );
        insta::assert_snapshot!("volume_ls", said(&host, &["volume", "ls"]));
        insta::assert_snapshot!("volume_in_use", said(&host, &["volume", "rm", "data"]));
        insta::assert_snapshot!("volume_unknown", said(&host, &["volume", "inspect", "dato"]));
    });
    let format = "{{range .Containers}}{{.Name}} {{.IPv4Address}}{{end}}";
    assert_eq!(host.hoist(&["network", "inspect", "-f", format, "back"]).ok(), "db 10.77.0.9/24\n");
    // Off the network and on it again, under a further name.
    host.hoist(&["network", "disconnect", "back", "db"]).ok();
    let alone = host.hoist(&["run", "--rm", "--network", "back", "busybox", "ping", "-c", "1", "-W", "1", "db"]);
    assert_ne!(alone.code, 0, "{}", alone.stdout);
    host.hoist(&["network", "connect", "--alias", "store", "back", "db"]).ok();
    host.hoist(&["run", "--rm", "--network", "back", "busybox", "ping", "-c", "1", "store"]).ok();
    host.hoist(&["rm", "-f", "db"]).ok();
    assert_eq!(host.hoist(&["network", "rm", "back"]).ok(), "back\n");
    assert_eq!(host.hoist(&["volume", "prune", "-af"]).ok().lines().nth(1), Some("data"));
}

#[test]
fn the_system_is_described() {
    let host = Host::new();
    host.busybox();
    assert_eq!(host.hoist(&["version", "-f", "{{.Server.Os}}"]).ok(), "linux\n");
    let info = host.hoist(&["info"]).ok();
    assert!(info.contains(" Containers: 0\n") && info.contains(" Images: "), "{info}");
    let df = host.hoist(&["system", "df"]).ok();
    assert_eq!(df.lines().count(), 5, "{df}");
    assert!(!df.lines().nth(1).unwrap().contains("  0B  "), "{df}");
    host.hoist(&["run", "--rm", "--name", "seen", "busybox", "true"]).ok();
    let events = host
        .hoist(&["events", "--since", "10m", "--until", "0s", "--format", "{{.Action}} {{.Actor.Attributes.name}}"])
        .ok();
    for action in ["create seen", "start seen", "die seen", "destroy seen"] {
        assert!(events.contains(action), "{action} in {events}");
    }
    let nobody = host.hoist(&["system", "prune"]).fails(1);
    assert!(nobody.contains("--force"), "{nobody}");
    host.hoist(&["create", "busybox"]).ok();
    let pruned = host.hoist(&["system", "prune", "-f"]).ok();
    assert!(pruned.contains("Deleted Containers:") && pruned.contains("Total reclaimed space: "), "{pruned}");
}

#[test]
fn a_pull_from_a_registry_shows_the_name_and_near_names_when_there_is_none() {
    let mut host = Host::new();
    host.busybox();
    let registry = host.registry();
    let name = format!("{registry}/team/busybox:1");
    host.hoist(&["tag", "busybox", &name]).ok();
    assert_eq!(host.hoist(&["push", &name]).ok(), format!("{name}\n"));
    host.hoist(&["rmi", &name]).ok();
    let pulled = host.hoist(&["pull", &name]);
    assert_eq!((pulled.code, pulled.stdout.as_str()), (0, format!("{name}\n").as_str()), "{}", pulled.stderr);
    assert!(pulled.stderr.contains("Digest: sha256:"), "{}", pulled.stderr);
    assert_eq!(host.hoist(&["pull", "-q", &name]).stderr, "");
    let missing = host.hoist(&["pull", &format!("{registry}/team/busybox:2")]);
    assert_eq!(missing.code, 1);
    assert!(missing.stderr.contains("busybox:2") && missing.stderr.contains("did you mean"), "{}", missing.stderr);
}

#[test]
fn what_happens_is_told_once_and_as_it_was() {
    let host = Host::new();
    host.busybox();
    host.hoist(&["run", "-d", "--name", "web", "busybox", "sleep", "1000"]).ok();
    host.hoist(&["network", "create", "back"]).ok();
    host.hoist(&["network", "connect", "back", "web"]).ok();
    host.hoist(&["network", "disconnect", "back", "web"]).ok();
    let asked = ["events", "--since", "5m", "--until", "0s", "--filter", "network=back", "--format", "{{.Action}}"];
    assert_eq!(host.hoist(&asked).ok(), "create\nconnect\ndisconnect\n");
    // The history has the command that ran, not the one that the image gets.
    host.hoist(&["commit", "-c", "CMD [\"ls\"]", "web", "made"]).ok();
    let history = host.hoist(&["history", "--no-trunc", "--format", "{{.CreatedBy}}", "made"]).ok();
    assert_eq!(history.lines().next(), Some("sleep 1000"), "{history}");
    assert_eq!(host.hoist(&["inspect", "-f", "{{json .Config.Cmd}}", "made"]).ok(), "[\"ls\"]\n");
    // What the container was told is the image's from then on.
    let flags = ["-e", "A=b", "-w", "/tmp", "--label", "x=y", "--entrypoint", "sleep", "--name", "told"];
    host.hoist(&[&["run", "-d"], &flags[..], &["busybox", "1000"]].concat()).ok();
    host.other("docker", &["commit", "told", "kept"]).ok();
    let form =
        "{{json .Config.Entrypoint}} {{json .Config.Cmd}} {{.Config.WorkingDir}} {{.Config.Labels.x}} {{.Config.Env}}";
    let config = host.hoist(&["inspect", "--type", "image", "-f", form, "kept"]).ok();
    assert!(config.starts_with("[\"sleep\"] [\"1000\"] /tmp y ") && config.contains("A=b"), "{config}");
    assert!(!config.contains("HOSTNAME"), "{config}");
    host.hoist(&["rm", "-f", "told"]).ok();
    // One filter for all kinds of things, also for those that have no labels.
    host.hoist(&["volume", "create", "kept"]).ok();
    let pruned = host.other("docker", &["system", "prune", "-af", "--volumes", "--filter", "label=nobody"]).ok();
    assert!(pruned.contains("Total reclaimed space: 0B"), "{pruned}");
    assert_eq!(host.hoist(&["volume", "ls", "-q"]).ok(), "kept\n");
    host.hoist(&["rm", "-f", "web"]).ok();
}

#[test]
fn templates_see_what_docker_s_client_shows_them() {
    let host = Host::new();
    host.busybox();
    host.hoist(&["network", "create", "--label", "a=b", "back"]).ok();
    host.hoist(&["volume", "create", "data"]).ok();
    let ports = ["-p", "8080:80", "-p", "9000-9001:9000-9001/udp", "--expose", "70-71"];
    host.hoist(&[&["run", "-d", "--name", "web", "-v", "data:/x"], &ports[..], &["busybox", "sleep", "1000"]].concat())
        .ok();
    let commands: &[&[&str]] = &[
        &["ps", "-a", "--format", "{{.ID}} {{.Names}} {{.Command}} {{.Ports}} {{.Mounts}} {{.Size}}"],
        &["network", "ls", "--format", "{{.Name}} {{.CreatedAt}} {{.IPv6}} {{.Internal}} {{.Label \"a\"}}"],
        &["volume", "ls", "--format", "table {{.Name}}\t{{.Driver}}\t{{.Scope}}\t{{.Links}}\t{{.Size}}"],
        &["history", "-H=false", "busybox"],
        &["history", "--format", "{{.ID}} {{.CreatedAt}} {{.Comment}}", "busybox"],
        &["top", "web", "-o", "pid,comm"],
        &["system", "df", "-v", "--format", "{{range .Containers}}{{.ID}} {{.Names}} {{.Size}}{{end}}"],
        &["system", "df", "-v", "--format", "{{range .Volumes}}{{.Name}} {{.Links}}{{end}} {{len .Images}}"],
        &["version", "--format", "{{.Server.Version}} {{.Server.Experimental}} {{.Client.Os}}"],
        &["info", "--format", "{{.ClientInfo.Context}} {{.ClientInfo.Debug}} {{.Containers}}"],
        &["inspect", "-f", "{{.Config.AttachStdout}} {{.HostConfig.ContainerIDFile}}", "web"],
    ];
    for command in commands {
        let theirs = host.other("docker", command).ok();
        assert_eq!(host.hoist(command).ok().trim_end(), theirs.trim_end(), "{command:?}");
    }
    // Everything that a list tells of a row can be a column.
    for list in
        [&["ps", "-a"][..], &["images"], &["network", "ls"], &["volume", "ls"], &["system", "df"], &["context", "ls"]]
    {
        let rows = host.hoist(&[list, &["--format", "json"]].concat()).ok();
        let row: serde_json::Value = serde_json::from_str(rows.lines().next().unwrap()).unwrap();
        for field in row.as_object().unwrap().keys() {
            host.hoist(&[list, &["--format", &format!("table {{{{.{field}}}}}")]].concat()).ok();
        }
    }
    let quiet = host.hoist(&["ps", "-aq", "--format", "{{.Names}}"]);
    assert!(quiet.stderr.contains("--format is ignored"), "{}", quiet.stderr);
    assert_eq!(quiet.ok(), host.hoist(&["ps", "-aq"]).ok());
    host.hoist(&["inspect", "-f", "{{", "web"]).fails(64);
}

#[test]
fn an_archive_is_imported_from_an_address_and_names_are_checked() {
    let host = Host::new();
    host.busybox();
    let mut server = host.command("python3");
    server.args(["-m", "http.server", "--bind", "127.0.0.1", "8000"]);
    server.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut server = server.spawn().unwrap();
    let come = support::wait_until(|| {
        host.other("python3", &["-c", "import socket as s; s.create_connection(('127.0.0.1', 8000))"]).code == 0
    });
    let imported =
        host.hoist(&["import", "-c", "CMD [\"echo\", \"here\"]", "http://127.0.0.1:8000/busybox.tar", "flat:1"]);
    let missing = host.hoist(&["import", "http://127.0.0.1:8000/nothing.tar"]);
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(come);
    imported.ok();
    assert_eq!(host.hoist(&["run", "--rm", "flat:1"]).ok(), "here\n");
    let comment = host.hoist(&["history", "--format", "{{.Comment}}", "flat:1"]).ok();
    assert_eq!(comment, "Imported from http://127.0.0.1:8000/busybox.tar\n");
    assert!(missing.fails(1).contains("404"));
    assert!(host.hoist(&["import", "ftp://127.0.0.1/a.tar"]).code != 0);
    host.hoist(&["create", "--name", "box", "busybox"]).ok();
    assert!(host.hoist(&["commit", "box", "some:Name:x"]).fails(1).contains("some:Name:x"));
}

#[test]
fn commands_end_with_docker_s_codes() {
    let host = Host::new();
    host.busybox();
    host.hoist(&["create", "--name", "web", "busybox"]).ok();
    // Too few or too many words, and what the daemon refuses; `run` has codes of its own.
    host.hoist(&["run"]).fails(1);
    host.hoist(&["ps", "web"]).fails(1);
    host.hoist(&["ps", "--nope"]).fails(125);
    host.hoist(&["create", "--name", "web", "busybox"]).fails(1);
    host.hoist(&["run", "--name", "web", "busybox"]).fails(125);
    // The same mistakes made with Docker's own client.
    let mut differ = Vec::new();
    for line in include_str!("data/mistakes.txt").lines().filter(|line| !line.starts_with('#')) {
        let code = |program: &str| run(host.command("sh").args(["-c", &format!("{program} {line} </dev/null")])).code;
        let (ours, theirs) = (code(env!("CARGO_BIN_EXE_hoist")), code("docker"));
        if ours != theirs {
            differ.push(format!("{line}: {ours}, not {theirs}"));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    assert_eq!(host.hoist(&["run", "--rm=true", "-i=false", "-t=0", "busybox", "echo", "-a=true"]).ok(), "-a=true\n");
}

#[test]
fn what_a_cluster_has_is_inspected_by_name_alone() {
    let host = Host::new();
    host.busybox();
    host.hoist(&["inspect", "--type", "service", "web"]).fails(1);
    host.hoist(&["inspect", "web"]).fails(1);
    host.hoist(&["swarm", "init", "--advertise-addr", "127.0.0.1"]).ok();
    host.write("word", "secret");
    host.hoist(&["secret", "create", "key", "word"]).ok();
    host.hoist(&["config", "create", "conf", "word"]).ok();
    host.hoist(&["service", "create", "-d", "--replicas", "0", "--name", "web", "busybox"]).ok();
    for (kind, name) in [("secret", "key"), ("config", "conf"), ("service", "web")] {
        assert_eq!(host.hoist(&["inspect", "-f", "{{.Spec.Name}}", name]).ok(), format!("{name}\n"));
        host.hoist(&["inspect", "--type", kind, name]).ok();
    }
    assert_eq!(host.hoist(&["inspect", "--type", "node", "-f", "{{.Spec.Role}}", "self"]).ok(), "manager\n");
    host.hoist(&["service", "rm", "web"]).ok();
}
