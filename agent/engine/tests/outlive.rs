//! Containers outlive whoever started them: the host process is killed, nothing is lost.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests, which a harness of their own runs")]

mod support;

use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hoist_engine::*;
use hoist_proto::spec::*;
use support::*;

fn main() -> std::process::ExitCode {
    run_tests(&[
        ("nothing_is_lost_when_the_daemon_is_killed", nothing_is_lost_when_the_daemon_is_killed),
        ("after_a_power_cut_all_is_clean", after_a_power_cut_all_is_clean),
    ])
}

/// `examples/host`, which is built together with this program.
fn host(machine: &Machine) -> Child {
    let own = std::env::current_exe().unwrap();
    let program: PathBuf = own.ancestors().nth(2).unwrap().join("examples/host");
    Command::new(program)
        .arg(machine.root())
        .arg(machine.cgroup_parent())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn nothing_is_lost_when_the_daemon_is_killed() {
    machine(|m| async move {
        // The image has to be there before the host opens the store.
        m.engine().await.close().await;
        let mut host = host(&m);
        let mut input = host.stdin.take().unwrap();
        let mut specs = Vec::new();
        for number in 0..4 {
            specs.push(ContainerSpec {
                name: format!("writer{number}"),
                ..spec("i=0; while [ ! -e /ctl/stop ]; do i=$((i+1)); echo $i; sleep 0.002; done; echo last $i; exit 9")
            });
            specs.push(ContainerSpec {
                name: format!("ender{number}"),
                ..spec(&format!("while [ ! -e /ctl/stop ]; do sleep 0.02; done; exit {}", 10 + number))
            });
        }
        let again = ContainerSpec {
            name: "again".into(),
            restart: RestartPolicy::Always,
            ..spec(
                "while [ ! -e /ctl/stop ]; do sleep 0.02; done; test -e /ctl/rest && sleep 1000; touch /ctl/rest; exit 1",
            )
        };
        specs.push(again);
        for spec in &mut specs {
            // Through a mount, as changes below a mounted overlay are not seen.
            let source = m.root().join("ctl").join(&spec.name).display().to_string();
            let (kind, target) = (MountKind::Bind, "/ctl".into());
            spec.mounts =
                vec![Mount { kind, target, source: Some(source), create_host_path: true, ..Mount::default() }];
        }
        let count = specs.len();
        for spec in &specs {
            writeln!(input, "{}", serde_json::to_string(spec).unwrap()).unwrap();
        }
        let started = || {
            std::fs::read_dir(m.root())
                .unwrap()
                .flatten()
                .filter(|e| e.path().extension().is_some_and(|x| x == "started"))
                .count()
        };
        while started() < count {
            assert!(host.try_wait().unwrap().is_none(), "the host has ended");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        host.kill().unwrap();
        host.wait().unwrap();
        // Some end while nobody is there to see it.
        let stop = |name: &str| std::fs::write(m.root().join("ctl").join(name).join("stop"), "").unwrap();
        for number in 0..4 {
            stop(&format!("ender{number}"));
        }
        stop("writer0");
        stop("again");
        tokio::time::sleep(Duration::from_millis(500)).await;

        let engine = m.engine().await;
        for number in 0..4 {
            let end = engine.wait(&format!("ender{number}"), WaitCondition::NotRunning).await.unwrap();
            assert_eq!(end.exit_code, 10 + number);
        }
        assert_eq!(engine.wait("writer0", WaitCondition::NotRunning).await.unwrap().exit_code, 9);
        while engine.inspect("again").await.unwrap().state.restart_count == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for number in 1..4 {
            let name = format!("writer{number}");
            assert_eq!(engine.inspect(&name).await.unwrap().state.status, Status::Running);
            assert_eq!(exec(&engine, &name, "touch /ctl/stop").await.0, 0);
            assert_eq!(engine.wait(&name, WaitCondition::NotRunning).await.unwrap().exit_code, 9);
        }
        for number in 0..4 {
            let lines = log(&engine, &format!("writer{number}"), LogOptions::default()).await;
            let last = lines.len() - 1;
            for (index, line) in lines[..last].iter().enumerate() {
                assert_eq!(*line, (index + 1).to_string());
            }
            assert_eq!(lines[last], format!("last {last}"));
        }
        for container in engine.list(ListOptions { all: true, labels: Vec::new() }).await.unwrap() {
            engine.remove(container.id.as_str(), RemoveOptions { force: true, volumes: true }).await.unwrap();
        }
        let traces = m.traces();
        assert!(
            traces.starts_with("containers [] run [] snapshots [] volumes []") && traces.ends_with("cgroups 0"),
            "{traces}"
        );
        engine.close().await;
    });
}

fn after_a_power_cut_all_is_clean() {
    machine(|m| async move {
        m.engine().await.close().await;
        let mut host = host(&m);
        let mut input = host.stdin.take().unwrap();
        let kept = ContainerSpec { name: "kept".into(), ..spec("sleep 1000") };
        let gone = ContainerSpec { name: "gone".into(), auto_remove: true, ..spec("sleep 1000") };
        for spec in [&kept, &gone] {
            writeln!(input, "{}", serde_json::to_string(spec).unwrap()).unwrap();
        }
        let started = || {
            std::fs::read_dir(m.root())
                .unwrap()
                .flatten()
                .filter(|e| e.path().extension().is_some_and(|x| x == "started"))
                .count()
        };
        while started() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        host.kill().unwrap();
        host.wait().unwrap();
        // Everything that runs dies, what is in memory is gone, and writes that were not synced are half there.
        m.kill_all();
        // Supervisors, which see their containers die, write a last word and end.
        while let Err(error) = std::fs::remove_dir_all(m.run().join("containers")) {
            assert_eq!(error.kind(), std::io::ErrorKind::DirectoryNotEmpty, "{error}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for dir in std::fs::read_dir(m.data().join("containers")).unwrap().flatten() {
            let state = dir.path().join("state.json");
            let text = std::fs::read(&state).unwrap();
            std::fs::write(&state, &text[..text.len() / 2]).unwrap();
        }
        std::fs::create_dir_all(m.data().join("containers").join("ab".repeat(32))).unwrap();
        std::fs::write(m.data().join("containers").join("ab".repeat(32)).join("container.json"), "{\"version\":1,")
            .unwrap();
        let engine = m.engine().await;
        let names: Vec<String> = engine
            .list(ListOptions { all: true, labels: Vec::new() })
            .await
            .unwrap()
            .into_iter()
            .map(|c| c.name)
            .collect();
        assert!(names.contains(&"kept".to_owned()) && names.len() <= 2, "{names:?}");
        engine.start("kept").await.unwrap();
        for name in names {
            engine.remove(&name, RemoveOptions { force: true, volumes: true }).await.unwrap();
        }
        let traces = m.traces();
        assert!(
            traces.starts_with("containers [] run [] snapshots [] volumes []") && traces.ends_with("cgroups 0"),
            "{traces}"
        );
        engine.close().await;
    });
}
