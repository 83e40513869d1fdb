//! Containers on the real kernel, from create to remove.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests, which a harness of their own runs")]

mod care;
mod logs;
#[path = "../support/mod.rs"]
mod support;

use hoist_engine::*;
use hoist_proto::spec::*;
use support::*;

fn main() -> std::process::ExitCode {
    run_tests(&[
        ("a_command_runs_and_leaves_nothing", a_command_runs_and_leaves_nothing),
        ("what_cannot_start_says_why", what_cannot_start_says_why),
        ("input_reaches_the_command", input_reaches_the_command),
        ("a_terminal_is_a_terminal", a_terminal_is_a_terminal),
        ("execs_run_beside_the_command", execs_run_beside_the_command),
        ("stop_asks_and_then_kills", care::stop_asks_and_then_kills),
        ("users_and_names_are_the_containers_own", users_and_names_are_the_containers_own),
        ("volumes_are_filled_and_shared", volumes_are_filled_and_shared),
        ("secrets_and_configs_are_files", secrets_and_configs_are_files),
        ("policies_restart_what_fails", care::policies_restart_what_fails),
        ("health_is_found_out", care::health_is_found_out),
        ("pause_stops_everything", care::pause_stops_everything),
        ("logs_are_kept_and_followed", logs::logs_are_kept_and_followed),
        ("compressed_logs_are_read_and_followed", logs::compressed_logs_are_read_and_followed),
        ("lines_go_to_the_journal", logs::lines_go_to_the_journal),
        ("a_slow_reader_loses_nothing", logs::a_slow_reader_loses_nothing),
        ("files_go_in_and_out", files_go_in_and_out),
        ("limits_are_kept_and_changed", limits_are_kept_and_changed),
        ("files_keep_to_a_limit_of_size", files_keep_to_a_limit_of_size),
        ("networks_connect_by_name", networks_connect_by_name),
        ("hooks_run_at_their_moments", care::hooks_run_at_their_moments),
    ])
}

const EMPTY: &str = "containers [] run [] snapshots [] volumes [] netns [] secrets [] mounts 0 cgroups 0";
fn a_command_runs_and_leaves_nothing() {
    machine(|m| async move {
        let engine = m.engine().await;
        let before = m.traces();
        let mut spec = spec("echo out; echo err >&2; exit 7");
        spec.auto_remove = true;
        spec.network_mode = NetworkMode::Networks;
        spec.mounts = vec![Mount { target: "/anonymous".into(), ..Mount::default() }];
        let id = engine.create(spec).await.unwrap().id;
        let wants = AttachOptions { stdin: false, stdout: true, stderr: true };
        let mut attached = engine.attach(id.as_str(), wants).await.unwrap();
        let removed = {
            let (engine, id) = (engine.clone(), id.clone());
            tokio::spawn(async move { engine.wait(id.as_str(), WaitCondition::Removed).await })
        };
        engine.start(id.as_str()).await.unwrap();
        assert_eq!(read_all(&mut attached).await, ("out\n".into(), "err\n".into()));
        assert_eq!(removed.await.unwrap().unwrap().exit_code, 7);
        assert!(matches!(engine.inspect(id.as_str()).await, Err(EngineError::NoSuchContainer(_))));
        assert_eq!(m.traces(), before);
        assert!(before.starts_with(EMPTY.split(" netns").next().unwrap()), "{before}");
        engine.close().await;
    });
}

fn what_cannot_start_says_why() {
    machine(|m| async move {
        let engine = m.engine().await;
        let mut names = engine.events().subscribe(None);
        for (command, code) in [("/no/such", 127), ("noprogram", 127), ("/bin/noexec", 126), ("/etc", 126)] {
            let created =
                engine.create(ContainerSpec { command: Some(vec![command.into()]), ..spec("") }).await.unwrap();
            let error = engine.start(created.id.as_str()).await.unwrap_err();
            assert_eq!(error.exit_code(), code, "{command}: {}", error.message());
            assert!(error.message().contains(command), "{}", error.message());
            let state = engine.inspect(created.id.as_str()).await.unwrap().state;
            assert_eq!((state.status, state.exit_code), (Status::Created, Some(code)));
            assert!(!state.error.is_empty());
            engine.remove(created.id.as_str(), RemoveOptions::default()).await.unwrap();
        }
        let bad = [
            ContainerSpec { image: "missing".into(), ..spec("") },
            ContainerSpec {
                mounts: vec![Mount {
                    kind: MountKind::Bind,
                    source: Some("/no/such".into()),
                    target: "/x".into(),
                    ..Mount::default()
                }],
                ..spec("")
            },
            ContainerSpec { user: Some("nobody-here".into()), ..spec("true") },
            ContainerSpec {
                networks: vec![NetworkAttachment { network: "nonet".into(), ..Default::default() }],
                network_mode: NetworkMode::Networks,
                ..spec("true")
            },
        ];
        for (spec, word) in bad.into_iter().zip(["missing", "/no/such", "nobody-here", "nonet"]) {
            let error = match engine.create(spec).await {
                Err(error) => error,
                Ok(created) => {
                    let error = engine.start(created.id.as_str()).await.unwrap_err();
                    engine.remove(created.id.as_str(), RemoveOptions { volumes: true, force: false }).await.unwrap();
                    error
                }
            };
            assert!(error.message().contains(word), "{}", error.message());
        }
        let taken = engine.create(ContainerSpec { name: "one".into(), ..spec("") }).await.unwrap();
        let error = engine.create(ContainerSpec { name: "one".into(), ..spec("") }).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        engine.remove(taken.id.short(), RemoveOptions::default()).await.unwrap();
        assert!(m.traces().starts_with(EMPTY.split(" netns").next().unwrap()), "{}", m.traces());
        let first = names.next().await.unwrap();
        assert_eq!((first.kind, first.action.as_str()), ("container", "create"));
        engine.close().await;
    });
}

fn input_reaches_the_command() {
    machine(|m| async move {
        let engine = m.engine().await;
        let spec = ContainerSpec { open_stdin: true, stdin_once: true, ..spec("cat; echo end") };
        let id = engine.create(spec).await.unwrap().id;
        let wants = AttachOptions { stdin: true, stdout: true, stderr: true };
        let Attached { mut output, mut input, .. } = engine.attach(id.as_str(), wants).await.unwrap();
        engine.start(id.as_str()).await.unwrap();
        let text = "0123456789abcde\n".repeat(40_000);
        let sent = text.clone();
        let feed = tokio::spawn(async move {
            input.write(sent.as_bytes()).await.unwrap();
            input.close().await.unwrap();
            input
        });
        let mut got = Vec::new();
        while let Some(chunk) = output.next().await.unwrap() {
            got.extend_from_slice(&chunk.data);
        }
        feed.await.unwrap();
        assert_eq!(String::from_utf8(got).unwrap(), text + "end\n");
        engine.remove(id.as_str(), RemoveOptions { force: true, volumes: true }).await.unwrap();
        engine.close().await;
    });
}

fn a_terminal_is_a_terminal() {
    machine(|m| async move {
        let engine = m.engine().await;
        let spec = ContainerSpec {
            tty: true,
            open_stdin: true,
            ..spec("test -t 0 && test -t 1 && stty size; read line; echo got $line; stty size")
        };
        let id = engine.create(spec).await.unwrap().id;
        engine.resize(id.as_str(), TerminalSize { rows: 30, columns: 100 }).await.unwrap();
        let wants = AttachOptions { stdin: true, stdout: true, stderr: true };
        let mut attached = engine.attach(id.as_str(), wants).await.unwrap();
        assert!(attached.tty);
        engine.start(id.as_str()).await.unwrap();
        let first = attached.output.next().await.unwrap().unwrap();
        assert_eq!(&first.data[..], b"30 100\r\n");
        engine.resize(id.as_str(), TerminalSize { rows: 20, columns: 50 }).await.unwrap();
        attached.input.write(b"hello\n").await.unwrap();
        let (out, _) = read_all(&mut attached).await;
        assert!(out.ends_with("got hello\r\n20 50\r\n"), "{out:?}");
        let spec = ContainerSpec { ..support::spec("sleep 100") };
        let id = engine.create(spec).await.unwrap().id;
        engine.start(id.as_str()).await.unwrap();
        let exec = ExecSpec {
            command: vec!["sh".into(), "-c".into(), "test -t 0 && stty size".into()],
            tty: true,
            ..ExecSpec::default()
        };
        let exec = engine.exec_create(id.as_str(), exec).await.unwrap();
        let mut attached = engine.exec_start(exec.as_str(), Some(TerminalSize { rows: 7, columns: 9 })).await.unwrap();
        assert_eq!(read_all(&mut attached).await.0, "7 9\r\n");
        engine.remove(id.as_str(), RemoveOptions { force: true, volumes: true }).await.unwrap();
        engine.close().await;
    });
}

fn execs_run_beside_the_command() {
    machine(|m| async move {
        let engine = m.engine().await;
        let id = engine.create(ContainerSpec { env: vec!["A=1".into()], ..spec("sleep 100") }).await.unwrap().id;
        engine.start(id.as_str()).await.unwrap();
        assert_eq!(exec(&engine, id.as_str(), "echo $A; exit 3").await, (3, "1\n".into()));
        let spec = ExecSpec { command: vec!["no-such".into()], ..ExecSpec::default() };
        let exec_id = engine.exec_create(id.as_str(), spec).await.unwrap();
        let error = engine.exec_start(exec_id.as_str(), None).await.unwrap_err();
        assert_eq!(error.exit_code(), 127, "{}", error.message());
        let spec = ExecSpec {
            command: vec!["id".into()],
            user: Some("web".into()),
            attach: AttachOptions { stdout: true, ..Default::default() },
            ..ExecSpec::default()
        };
        let exec_id = engine.exec_create(id.as_str(), spec).await.unwrap();
        let mut attached = engine.exec_start(exec_id.as_str(), None).await.unwrap();
        assert!(read_all(&mut attached).await.0.starts_with("uid=33(web) gid=34(web) groups=4(log),34(web)"));
        let spec = ExecSpec { command: vec!["sleep".into(), "100".into()], ..ExecSpec::default() };
        let long = engine.exec_create(id.as_str(), spec).await.unwrap();
        let _attached = engine.exec_start(long.as_str(), None).await.unwrap();
        assert!(engine.exec_inspect(long.as_str()).await.unwrap().running);
        engine.exec_kill(long.as_str(), "TERM").await.unwrap();
        assert_eq!(engine.exec_wait(long.as_str()).await.unwrap(), 143);
        let top = engine.top(id.as_str(), "").await.unwrap();
        assert_eq!(top.processes.len(), 1, "{top:?}");
        engine.remove(id.as_str(), RemoveOptions { force: true, volumes: true }).await.unwrap();
        engine.close().await;
    });
}

fn users_and_names_are_the_containers_own() {
    machine(|m| async move {
        let engine = m.engine().await;
        let mut spec = spec("id; hostname; cat /etc/hostname; env; cat /etc/hosts");
        spec.user = Some("web".into());
        spec.hostname = Some("box".into());
        spec.extra_hosts = vec![("other".into(), "10.1.2.3".into())];
        spec.command = Some(
            ["sh", "-c", "id > /dev/stdout; hostname; cat /etc/hostname; env; cat /etc/hosts"]
                .map(str::to_owned)
                .into(),
        );
        let (code, out, err) = run(&engine, spec).await;
        assert_eq!(code, 0, "{err}");
        assert!(out.starts_with("uid=33(web) gid=34(web) groups=4(log),34(web)\nbox\nbox\n"), "{out}");
        assert!(
            out.contains("HOME=/srv\n") && out.contains("HOSTNAME=box\n") && out.contains("10.1.2.3\tother\n"),
            "{out}"
        );
        let status = ["grep", "SigIgn", "/proc/self/status"].map(str::to_owned);
        let (_, ignored, _) = run(&engine, ContainerSpec { command: Some(status.into()), ..support::spec("") }).await;
        assert_eq!(ignored, "SigIgn:\t0000000000000000\n");
        engine.prune(PruneOptions::default()).await.unwrap();
        engine.close().await;
    });
}

fn volumes_are_filled_and_shared() {
    machine(|m| async move {
        let engine = m.engine().await;
        let named = |target: &str| Mount { source: Some("store".into()), target: target.into(), ..Mount::default() };
        let (code, out, err) = run(
            &engine,
            ContainerSpec {
                name: "first".into(),
                mounts: vec![named("/data")],
                ..spec("stat -c '%a' /data/seed; echo more >> /data/seed")
            },
        )
        .await;
        assert_eq!((code, out.as_str()), (0, "640\n"), "{err}");
        let (_, out, _) = run(
            &engine,
            ContainerSpec {
                volumes_from: vec!["first:ro".into()],
                ..spec("cat /data/seed; touch /data/x 2>/dev/null || echo refused")
            },
        )
        .await;
        assert_eq!(out, "from the image\nmore\nrefused\n");
        let (_, out, _) = run(
            &engine,
            ContainerSpec {
                mounts: vec![Mount {
                    source: Some("empty".into()),
                    target: "/data".into(),
                    no_copy: true,
                    ..Mount::default()
                }],
                ..spec("ls /data")
            },
        )
        .await;
        assert_eq!(out, "");
        let tmpfs =
            Mount { kind: MountKind::Tmpfs, target: "/mem".into(), tmpfs_size: Some(65536), ..Mount::default() };
        let bind = Mount {
            kind: MountKind::Bind,
            source: Some(m.root().join("made/here").display().to_string()),
            target: "/bound".into(),
            create_host_path: true,
            ..Mount::default()
        };
        let (_, out, err) = run(
            &engine,
            ContainerSpec {
                mounts: vec![tmpfs, bind],
                ..spec("grep -c ' /mem tmpfs.*size=64k' /proc/mounts; echo x > /bound/file")
            },
        )
        .await;
        assert_eq!(out, "1\n", "{err}");
        assert_eq!(std::fs::read_to_string(m.root().join("made/here/file")).unwrap(), "x\n");
        assert!(engine.volumes().remove("store").is_err());
        engine.prune(PruneOptions::default()).await.unwrap();
        engine.volumes().remove("store").unwrap();
        engine.close().await;
    });
}

fn secrets_and_configs_are_files() {
    machine(|m| async move {
        let engine = m.engine().await;
        let file = |secret, target: &str, content: &[u8]| FileMount {
            source: "key".into(),
            target: target.into(),
            uid: 33,
            gid: 34,
            mode: Some(0o440),
            secret,
            content: FileContent::Inline(content.to_vec()),
        };
        let spec = ContainerSpec {
            files: vec![file(true, "", b"hidden-word"), file(false, "/etc/app.conf", b"plain")],
            ..spec(
                "cat /run/secrets/key /etc/app.conf; stat -c ' %u %g %a' /run/secrets/key; grep /run/secrets/key /proc/self/mountinfo | grep -c tmpfs",
            )
        };
        let (code, out, err) = run(&engine, spec).await;
        assert_eq!((code, out.as_str()), (0, "hidden-wordplain 33 34 440\n1\n"), "{err}");
        let on_disk = std::process::Command::new("grep")
            .args(["-rl", "--exclude=*.log", "hidden-word"])
            .arg(m.data().join("containers"))
            .output()
            .unwrap();
        assert!(on_disk.stdout.is_empty(), "{}", String::from_utf8_lossy(&on_disk.stdout));
        engine.prune(PruneOptions::default()).await.unwrap();
        engine.close().await;
        assert!(
            m.traces().ends_with("secrets [] mounts 0 cgroups 0") || m.traces().contains("secrets []"),
            "{}",
            m.traces()
        );
    });
}

fn files_go_in_and_out() {
    use tokio::io::AsyncReadExt;
    machine(|m| async move {
        let engine = m.engine().await;
        let id = engine.create(spec("sleep 100")).await.unwrap().id;
        for running in [false, true] {
            if running {
                engine.start(id.as_str()).await.unwrap();
            }
            let stat = engine.stat_path(id.as_str(), "/data/seed").await.unwrap();
            assert_eq!((stat.name.as_str(), stat.size), ("seed", 15));
            assert!(matches!(engine.stat_path(id.as_str(), "/none").await, Err(EngineError::NoSuchPath { .. })));
            let (_, mut tar) = engine.copy_from(id.as_str(), "/data").await.unwrap();
            let mut bytes = Vec::new();
            tar.read_to_end(&mut bytes).await.unwrap();
            let names: Vec<String> = tar::Archive::new(&bytes[..])
                .entries()
                .unwrap()
                .map(|e| e.unwrap().path().unwrap().display().to_string())
                .collect();
            assert!(names.iter().any(|name| name == "data/seed"), "{names:?}");
            let mut builder = tar::Builder::new(Vec::new());
            let mut header = tar::Header::new_ustar();
            header.set_size(3);
            header.set_mode(0o600);
            builder.append_data(&mut header, format!("new{running}"), &b"abc"[..]).unwrap();
            let archive = builder.into_inner().unwrap();
            engine
                .copy_to(id.as_str(), "/tmp", Box::new(std::io::Cursor::new(archive)), CopyOptions::default())
                .await
                .unwrap();
            assert_eq!(engine.stat_path(id.as_str(), &format!("/tmp/new{running}")).await.unwrap().size, 3);
        }
        assert_eq!(exec(&engine, id.as_str(), "cat /tmp/newfalse /tmp/newtrue").await.1, "abcabc");
        let changes = engine.changes(id.as_str()).await.unwrap();
        assert!(changes.iter().any(|change| change.path == "/tmp/newtrue"), "{changes:?}");
        let image = engine
            .commit(
                id.as_str(),
                hoist_image::CommitOptions { reference: Some("kept".parse().unwrap()), ..Default::default() },
                true,
            )
            .await
            .unwrap();
        engine.remove(id.as_str(), RemoveOptions { force: true, volumes: true }).await.unwrap();
        let spec = ContainerSpec {
            image: image.id.to_string(),
            entrypoint: Some(vec!["cat".into(), "/tmp/newtrue".into()]),
            ..support::spec("")
        };
        let (_, out, _) = run(&engine, ContainerSpec { command: None, ..spec }).await;
        assert_eq!(out, "abc");
        engine.prune(PruneOptions::default()).await.unwrap();
        engine.close().await;
    });
}

fn limits_are_kept_and_changed() {
    machine(|m| async move {
        let engine = m.engine().await;
        let resources = Resources { memory: Some(32 << 20), pids: Some(20), ..Resources::default() };
        let id = engine.create(ContainerSpec { resources, ..spec("sleep 100") }).await.unwrap().id;
        engine.start(id.as_str()).await.unwrap();
        let stats = engine.stats(id.as_str()).await.unwrap().unwrap();
        assert_eq!((stats.cgroup.memory.limit, stats.cgroup.pids.limit), (Some(32 << 20), Some(20)));
        assert!(stats.cgroup.pids.current >= 1);
        let update = UpdateOptions {
            resources: Resources { memory: Some(64 << 20), memory_swap: Some(-1), ..Resources::default() },
            restart: None,
        };
        engine.update(id.as_str(), update).await.unwrap();
        assert_eq!(engine.stats(id.as_str()).await.unwrap().unwrap().cgroup.memory.limit, Some(64 << 20));
        engine.remove(id.as_str(), RemoveOptions { force: true, volumes: true }).await.unwrap();
        let mut events = engine.events().subscribe(None);
        let resources = Resources { memory: Some(16 << 20), memory_swap: Some(16 << 20), ..Resources::default() };
        let (code, ..) = run(
            &engine,
            ContainerSpec {
                name: "hungry".into(),
                resources,
                ..spec("exec dd if=/dev/zero of=/dev/null bs=64M count=1")
            },
        )
        .await;
        assert_eq!(code, 137);
        assert!(engine.inspect("hungry").await.unwrap().state.oom_killed);
        while events.next().await.unwrap().action != "die" {}
        engine.prune(PruneOptions::default()).await.unwrap();
        engine.close().await;
    });
}

/// Where the kernel has project quotas (that of the virtual machine does) they are kept; elsewhere they are refused.
fn files_keep_to_a_limit_of_size() {
    machine(|m| async move {
        let limited = |command: &str| {
            let storage_options = [("size".to_owned(), "8M".to_owned())].into();
            ContainerSpec { storage_options, ..spec(command) }
        };
        for (option, value, why) in
            [("colour", "red", "there is only \"size\""), ("size", "many", "invalid size"), ("size", "0", "above zero")]
        {
            let storage_options = [(option.to_owned(), value.to_owned())].into();
            let engine = m.engine().await;
            let error = engine.create(ContainerSpec { storage_options, ..spec("true") }).await.unwrap_err();
            assert!(error.message().contains(why), "{}", error.message());
            engine.close().await;
        }
        let engine = m.engine().await;
        let before = m.traces();
        let refused = engine.create(limited("true")).await.unwrap_err();
        assert!(refused.message().contains("prjquota"), "{}", refused.message());
        assert_eq!(refused.kind(), ErrorKind::InvalidParameter);
        assert_eq!(m.traces(), before);
        engine.close().await;

        let disk = m.root().join("disk");
        std::fs::File::create(&disk).unwrap().set_len(128 << 20).unwrap();
        let run = |program: &str, arguments: &[&str]| {
            let done = std::process::Command::new(program).args(arguments).output().unwrap();
            let said = String::from_utf8_lossy(&done.stderr).into_owned();
            if done.status.success() { Ok(()) } else { Err(said) }
        };
        let (image, place) = (disk.display().to_string(), m.data().display().to_string());
        run("mkfs.ext4", &["-q", "-O", "quota,project", "-E", "quotatype=prjquota", &image]).unwrap();
        if let Err(why) = run("mount", &["-t", "ext4", "-o", "loop,prjquota", &image, &place]) {
            println!("not tried: a kernel with project quotas is needed: {}", why.trim());
            return;
        }
        let engine = m.engine().await;
        let fill = "dd if=/dev/zero of=/full bs=64k count=256 2>&1; stat -c %s /full; df -k / | grep -o ' 8192 '";
        for _ in 0..2 {
            let (_, out, err) = support::run(&engine, limited(fill)).await;
            assert!(out.contains("No space left") || out.contains("quota exceeded"), "{out} {err}");
            let size: u64 = out.lines().find_map(|line| line.parse().ok()).unwrap();
            assert!((4 << 20..=8 << 20).contains(&size), "{out}");
        }
        // Another without a limit has room, and what is removed gives its number back.
        let (_, out, _) = support::run(&engine, spec("dd if=/dev/zero of=/full bs=64k count=256 2>&1")).await;
        assert!(!out.contains("No space left"), "{out}");
        engine.prune(PruneOptions::default()).await.unwrap();
        let (_, out, _) = support::run(&engine, limited("dd if=/dev/zero of=/half bs=64k count=64 2>&1")).await;
        assert!(!out.contains("No space left") && !out.contains("quota"), "{out}");
        engine.prune(PruneOptions::default()).await.unwrap();
        engine.close().await;
        drop(engine);
        run("umount", &[&place]).unwrap();
    });
}

fn networks_connect_by_name() {
    machine(|m| async move {
        let engine = m.engine().await;
        let network = hoist_network::NetworkSpec { name: "net".into(), ..Default::default() };
        engine.networks().create(network).await.unwrap();
        let on = |spec: ContainerSpec| ContainerSpec {
            network_mode: NetworkMode::Networks,
            networks: vec![NetworkAttachment {
                network: "net".into(),
                aliases: vec!["web".into()],
                ..Default::default()
            }],
            ..spec
        };
        let server = engine.create(ContainerSpec { name: "server".into(), ..on(spec("sleep 100")) }).await.unwrap().id;
        engine.start(server.as_str()).await.unwrap();
        let seen = engine.inspect("server").await.unwrap();
        let address = seen.endpoints[0].ipv4.unwrap().0.to_string();
        let (_, out, err) = run(&engine, on(spec("nslookup server; nslookup web; cat /etc/hosts"))).await;
        assert!(out.matches(&address).count() >= 2, "{address}: {out} {err}");
        let shared = ContainerSpec { network_mode: NetworkMode::Container("server".into()), ..spec("cat /etc/hosts") };
        let (_, out, _) = run(&engine, shared).await;
        assert!(out.contains(&address), "{out}");
        engine.remove("server", RemoveOptions { force: true, volumes: true }).await.unwrap();
        engine.prune(PruneOptions::default()).await.unwrap();
        engine.networks().remove("net").await.unwrap();
        engine.close().await;
    });
}
