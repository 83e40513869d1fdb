//! Containers go on from where a checkpoint was made. Where CRIU does not work with the kernel, what is tested is that
//! this is said and that nothing happens to the container.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests, which a harness of their own runs")]

mod support;

use std::path::Path;
use std::time::Duration;

use hoist_engine::{StopOptions, *};
use hoist_proto::spec::*;
use support::*;

fn main() -> std::process::ExitCode {
    run_tests(&[
        ("a_counter_goes_on_where_it_was", a_counter_goes_on_where_it_was),
        ("mounts_networks_and_limits_come_back", mounts_networks_and_limits_come_back),
        ("another_container_goes_on_with_the_files", another_container_goes_on_with_the_files),
        ("what_cannot_be_is_said_and_nothing_happens", what_cannot_be_is_said_and_nothing_happens),
    ])
}

/// Whether CRIU works here. The tests' own question, not the product's.
fn criu_works() -> bool {
    // CRIU tries a connection, and the machine of a test has its loopback down.
    let up = std::process::Command::new("ip").args(["link", "set", "lo", "up"]).status();
    assert!(up.unwrap().success());
    let works = match std::process::Command::new("criu").arg("check").output() {
        Ok(answer) if answer.status.success() => true,
        Ok(answer) => {
            println!("{}", String::from_utf8_lossy(&answer.stderr));
            false
        }
        Err(error) => {
            println!("criu: {error}");
            false
        }
    };
    println!("criu works here: {works}");
    works
}

/// Counts without end, and ends when it is told to.
const COUNTER: &str = "i=0; while true; do i=$((i+1)); echo $i; [ -e /ctl/stop ] && exit 7; sleep 0.05; done";

fn counter(m: &Machine, name: &str) -> ContainerSpec {
    ContainerSpec { name: name.into(), mounts: vec![control(m, name)], ..spec(COUNTER) }
}

/// A directory through which a test speaks with its container.
fn control(m: &Machine, name: &str) -> Mount {
    Mount {
        kind: MountKind::Bind,
        target: "/ctl".into(),
        source: Some(m.root().join("ctl").join(name).display().to_string()),
        create_host_path: true,
        ..Mount::default()
    }
}

async fn started(engine: &Engine, spec: ContainerSpec) -> String {
    let id = engine.create(spec).await.unwrap().id.to_string();
    engine.start(&id).await.unwrap();
    id
}

async fn lines(engine: &Engine, id: &str) -> Vec<String> {
    log(engine, id, LogOptions::default()).await
}

/// Waits until so many lines are there more.
async fn more_lines(engine: &Engine, id: &str) -> Vec<String> {
    let before = lines(engine, id).await.len();
    loop {
        let now = lines(engine, id).await;
        if now.len() >= before + 3 {
            return now;
        }
        assert!(engine.inspect(id).await.unwrap().state.status == Status::Running, "it has ended: {now:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn status(engine: &Engine, id: &str) -> Status {
    engine.inspect(id).await.unwrap().state.status
}

fn options(name: &str) -> CheckpointOptions {
    CheckpointOptions { name: name.into(), ..CheckpointOptions::default() }
}

/// No number is missing and none is there twice, whatever happened between them.
fn counts(lines: &[String]) {
    for (index, line) in lines.iter().enumerate() {
        assert_eq!(*line, (index + 1).to_string(), "{lines:?}");
    }
}

fn a_counter_goes_on_where_it_was() {
    machine(|m| async move {
        let works = criu_works();
        let engine = m.engine().await;
        let id =
            started(&engine, ContainerSpec { restart: RestartPolicy::UnlessStopped, ..counter(&m, "counter") }).await;
        more_lines(&engine, &id).await;
        let made = engine.checkpoint(&id, options("one")).await;
        if !works {
            let error = made.unwrap_err().message();
            assert!(error.contains("criu does not work with this kernel: ") || error.contains("install it"), "{error}");
            counts(&more_lines(&engine, &id).await);
            assert!(engine.checkpoints(&id, None).await.unwrap().is_empty());
            engine.remove(&id, RemoveOptions { force: true, volumes: true }).await.unwrap();
            return engine.close().await;
        }
        made.unwrap();
        assert_eq!(status(&engine, &id).await, Status::Exited, "the restart policy leaves it");
        assert_eq!(engine.checkpoints(&id, None).await.unwrap(), ["one"]);
        let at = lines(&engine, &id).await.len();
        // Another daemon knows of it too.
        engine.close().await;
        drop(engine);
        let engine = m.engine().await;
        engine.restore(&id, "one", None).await.unwrap();
        let now = more_lines(&engine, &id).await;
        assert!(now.len() > at, "{now:?}");
        counts(&now);
        // And another one finds the restored container.
        engine.close().await;
        drop(engine);
        let engine = m.engine().await;
        assert_eq!(status(&engine, &id).await, Status::Running);
        assert_eq!(exec(&engine, &id, "echo inside").await, (0, "inside\n".into()));
        // One that goes on, and is gone back to.
        let dir = m.root().join("kept");
        let kept = CheckpointOptions { dir: Some(dir.clone()), leave_running: true, ..options("two") };
        engine.checkpoint(&id, kept.clone()).await.unwrap();
        let error = engine.checkpoint(&id, kept).await.unwrap_err().message();
        assert!(error.contains("checkpoint with name two already exists"), "{error}");
        let at_two = more_lines(&engine, &id).await.len();
        engine
            .stop(&id, StopOptions { timeout: Some(Timeout::After(Duration::ZERO)), ..StopOptions::default() })
            .await
            .unwrap();
        let before = lines(&engine, &id).await.len();
        engine.restore(&id, "two", Some(&dir)).await.unwrap();
        let now = more_lines(&engine, &id).await;
        let first: usize = now[before].parse().unwrap();
        assert!(first > at && first <= at_two, "{first} of {at} to {at_two}");
        engine
            .update(&id, UpdateOptions { restart: Some(RestartPolicy::No), ..UpdateOptions::default() })
            .await
            .unwrap();
        std::fs::write(m.root().join("ctl/counter/stop"), "").unwrap();
        assert_eq!(engine.wait(&id, WaitCondition::NotRunning).await.unwrap().exit_code, 7);
        // What is gone is gone.
        engine.remove_checkpoint(&id, "two", Some(&dir)).await.unwrap();
        let error = engine.restore(&id, "two", Some(&dir)).await.unwrap_err();
        assert!(matches!(error, EngineError::NoSuchCheckpoint { .. }), "{error}");
        engine.remove(&id, RemoveOptions { force: true, volumes: true }).await.unwrap();
        clean(&m);
        engine.close().await;
    });
}

fn clean(m: &Machine) {
    let traces = m.traces();
    assert!(traces.starts_with("containers [] run [] snapshots []") && traces.ends_with("cgroups 0"), "{traces}");
}

fn mounts_networks_and_limits_come_back() {
    machine(|m| async move {
        if !criu_works() {
            return;
        }
        let engine = m.engine().await;
        let volume =
            Mount { kind: MountKind::Volume, target: "/vol".into(), source: Some("notes".into()), ..Mount::default() };
        let tmpfs = Mount { kind: MountKind::Tmpfs, target: "/fast".into(), ..Mount::default() };
        let spec = ContainerSpec {
            name: "full".into(),
            network_mode: NetworkMode::Networks,
            mounts: vec![control(&m, "full"), volume, tmpfs],
            read_only: true,
            hostname: Some("counting".into()),
            ..spec(
                "echo in memory >/dev/shm/note; echo of the tmpfs >/fast/note; exec 5>/vol/count; \
                 i=0; (while true; do sleep 1; done) & \
                 while true; do i=$((i+1)); echo $i >&5; echo $i; sleep 0.05; done",
            )
        };
        let id = started(&engine, spec).await;
        more_lines(&engine, &id).await;
        engine.checkpoint(&id, options("one")).await.unwrap();
        engine.restore(&id, "one", None).await.unwrap();
        counts(&more_lines(&engine, &id).await);
        let (code, out) =
            exec(&engine, &id, "cat /dev/shm/note /fast/note /proc/sys/kernel/hostname; ls /sys/class/net").await;
        assert_eq!((code, out.as_str()), (0, "in memory\nof the tmpfs\ncounting\neth0\nlo\n"));
        let (_, wrote) =
            exec(&engine, &id, "cat /vol/count | wc -l; touch /new 2>/dev/null || echo read-only; ls /sys/fs/cgroup")
                .await;
        assert!(wrote.contains("read-only") && wrote.contains("cgroup.procs"), "{wrote}");
        let stats = engine.inspect(&id).await.unwrap().state.pid.unwrap();
        let cgroup = std::fs::read_to_string(format!("/proc/{stats}/cgroup")).unwrap();
        assert!(cgroup.contains(&id), "{cgroup}");
        // A second time, of what was restored.
        engine.checkpoint(&id, options("two")).await.unwrap();
        engine.restore(&id, "two", None).await.unwrap();
        counts(&more_lines(&engine, &id).await);
        engine.remove(&id, RemoveOptions { force: true, volumes: true }).await.unwrap();
        clean(&m);
        engine.close().await;
    });
}

fn another_container_goes_on_with_the_files() {
    machine(|m| async move {
        if !criu_works() {
            return;
        }
        let engine = m.engine().await;
        let own = "rm /data/seed; exec 5>/own; i=0; while true; do i=$((i+1)); echo $i >&5; echo $i; sleep 0.05; done";
        let first = ContainerSpec { mounts: vec![control(&m, "both")], ..spec(own) };
        let second = first.clone();
        let first = started(&engine, first).await;
        let last = more_lines(&engine, &first).await.len();
        let dir = m.root().join("shared");
        let kept = CheckpointOptions { dir: Some(dir.clone()), ..options("job") };
        engine.checkpoint_with_files(&first, kept).await.unwrap();
        engine.remove(&first, RemoveOptions { force: true, volumes: true }).await.unwrap();
        let second = engine.create(second).await.unwrap().id.to_string();
        engine.restore(&second, "job", Some(&dir)).await.unwrap();
        let lines = more_lines(&engine, &second).await;
        assert!(lines[0].parse::<usize>().unwrap() > last.min(2), "{lines:?}");
        let (code, files) = exec(&engine, &second, "test -e /data/seed || echo removed; head -n 1 /own").await;
        assert_eq!((code, files.as_str()), (0, "removed\n1\n"));
        engine.remove(&second, RemoveOptions { force: true, volumes: true }).await.unwrap();
        clean(&m);
        engine.close().await;
    });
}

fn what_cannot_be_is_said_and_nothing_happens() {
    machine(|m| async move {
        let works = criu_works();
        let engine = m.engine().await;
        let refused = async |id: &str, options: CheckpointOptions, words: &str| {
            let error = engine.checkpoint(id, options).await.unwrap_err().message();
            assert!(error.contains(words), "{error:?} has no {words:?}");
        };
        let id = engine.create(counter(&m, "counter")).await.unwrap().id.to_string();
        refused(&id, options("one"), "is not running").await;
        engine.start(&id).await.unwrap();
        refused(&id, options("../one"), "invalid checkpoint name").await;
        refused(&id, CheckpointOptions { dir: Some("here".into()), ..options("one") }, "not an absolute path").await;
        engine.pause(&id).await.unwrap();
        refused(&id, options("one"), "is paused").await;
        engine.unpause(&id).await.unwrap();
        let error = engine.restore(&id, "none", None).await.unwrap_err();
        assert!(matches!(error, EngineError::NoSuchCheckpoint { .. }), "{error}");
        let short = ContainerSpec { auto_remove: true, ..counter(&m, "short") };
        let short = started(&engine, short).await;
        refused(&short, options("one"), "--checkpoint-dir").await;
        if works {
            let terminal = ContainerSpec { tty: true, ..counter(&m, "terminal") };
            let terminal = started(&engine, terminal).await;
            refused(&terminal, options("one"), "has a terminal").await;
            assert_eq!(status(&engine, &terminal).await, Status::Running);
            // CRIU itself refuses: a file that was removed, and is larger than what comes along.
            let large = spec(
                "exec 5<>/tmp/large; rm /tmp/large; dd if=/dev/zero bs=1M count=1 seek=300 >&5 2>/dev/null; \
                 i=0; while true; do i=$((i+1)); echo $i; sleep 0.05; done",
            );
            let large = started(&engine, ContainerSpec { restart: RestartPolicy::Always, ..large }).await;
            more_lines(&engine, &large).await;
            refused(&large, options("one"), "criu dump: ").await;
            counts(&more_lines(&engine, &large).await);
            assert!(engine.checkpoints(&large, None).await.unwrap().is_empty());
            // A checkpoint that is damaged: the container stays stopped, and can be started.
            engine.checkpoint(&id, options("bad")).await.unwrap();
            let images = m.data().join("containers").join(&id).join("checkpoints/bad");
            damage(&images);
            let error = engine.restore(&id, "bad", None).await.unwrap_err().message();
            assert!(error.contains("criu restore: "), "{error}");
            assert_eq!(status(&engine, &id).await, Status::Exited);
            assert_eq!(engine.inspect(&id).await.unwrap().state.error, error);
            engine.start(&id).await.unwrap();
        }
        for container in engine.list(ListOptions { all: true, labels: Vec::new() }).await.unwrap() {
            engine.remove(container.id.as_str(), RemoveOptions { force: true, volumes: true }).await.unwrap();
        }
        clean(&m);
        engine.close().await;
    });
}

/// Takes the registers of the first process away.
fn damage(images: &Path) {
    let cores = std::fs::read_dir(images).unwrap().flatten().map(|entry| entry.path());
    let core = cores.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("core-")).min().unwrap();
    std::fs::remove_file(core).unwrap();
}
