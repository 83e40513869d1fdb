//! Containers are looked after: restarts, health, hooks, pauses and stops.

use std::time::Duration;

use hoist_engine::StopOptions;
use hoist_engine::*;
use hoist_proto::spec::*;

use crate::EMPTY;
use crate::support::*;

pub(super) fn policies_restart_what_fails() {
    machine(|m| async move {
        let engine = m.engine().await;
        let spec =
            ContainerSpec { restart: RestartPolicy::OnFailure { max_retries: Some(2) }, ..spec("echo run; exit 4") };
        let id = engine.create(spec).await.unwrap().id;
        engine.start(id.as_str()).await.unwrap();
        // The end of a run is told, whether or not another follows.
        assert_eq!(engine.wait(id.as_str(), WaitCondition::NotRunning).await.unwrap().exit_code, 4);
        while engine.inspect(id.as_str()).await.unwrap().state.status != Status::Exited {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(engine.inspect(id.as_str()).await.unwrap().state.restart_count, 2);
        assert_eq!(log(&engine, id.as_str(), LogOptions::default()).await, ["run", "run", "run"]);
        let spec = ContainerSpec { restart: RestartPolicy::Always, ..crate::support::spec("exit 0") };
        let id = engine.create(spec).await.unwrap().id;
        engine.start(id.as_str()).await.unwrap();
        while engine.inspect(id.as_str()).await.unwrap().state.restart_count < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(engine.remove(id.as_str(), RemoveOptions::default()).await.is_err(), "it restarts again and again");
        while engine.stop(id.as_str(), StopOptions::default()).await.is_err() {}
        assert_eq!(engine.inspect(id.as_str()).await.unwrap().state.status, Status::Exited);
        engine.prune(PruneOptions::default()).await.unwrap();
        engine.close().await;
    });
}

pub(super) fn health_is_found_out() {
    machine(|m| async move {
        let engine = m.engine().await;
        let mut events = engine.events().subscribe(None);
        let millis = |n| Some(Duration::from_millis(n));
        let healthcheck = Healthcheck {
            test: vec!["CMD-SHELL".into(), "echo looked; test -e /well".into()],
            interval: millis(30),
            retries: Some(2),
            ..Healthcheck::default()
        };
        let id = engine.create(ContainerSpec { healthcheck: Some(healthcheck), ..spec("sleep 100") }).await.unwrap().id;
        engine.start(id.as_str()).await.unwrap();
        let mut until = async |action: &str| while events.next().await.unwrap().action != action {};
        until("health_status: unhealthy").await;
        exec(&engine, id.as_str(), "touch /well").await;
        until("health_status: healthy").await;
        let health = engine.inspect(id.as_str()).await.unwrap().state.health.unwrap();
        assert_eq!((health.status, health.failing_streak), (HealthStatus::Healthy, 0));
        assert!(health.log.len() <= 5 && health.log.last().unwrap().output == "looked\n", "{health:?}");
        engine.remove(id.as_str(), RemoveOptions { force: true, volumes: true }).await.unwrap();
        let slow = Healthcheck {
            test: vec!["CMD".into(), "sleep".into(), "50".into()],
            interval: millis(20),
            timeout: millis(50),
            retries: Some(1),
            ..Healthcheck::default()
        };
        let id = engine.create(ContainerSpec { healthcheck: Some(slow), ..spec("sleep 100") }).await.unwrap().id;
        engine.start(id.as_str()).await.unwrap();
        until("health_status: unhealthy").await;
        engine.remove(id.as_str(), RemoveOptions { force: true, volumes: true }).await.unwrap();
        engine.close().await;
    });
}

pub(super) fn hooks_run_at_their_moments() {
    machine(|m| async move {
        let engine = m.engine().await;
        let hook =
            |command: &str| vec![Hook { command: vec!["sh".into(), "-c".into(), command.into()], ..Hook::default() }];
        let volume = Mount { source: Some("marks".into()), target: "/marks".into(), ..Mount::default() };
        let spec = ContainerSpec {
            name: "hooked".into(),
            post_start: hook("echo started > /marks/a"),
            pre_stop: hook("echo stopping > /marks/b"),
            mounts: vec![volume],
            stop_grace_period: Some(Duration::ZERO),
            ..spec("sleep 100")
        };
        engine.create(spec).await.unwrap();
        engine.start("hooked").await.unwrap();
        assert_eq!(exec(&engine, "hooked", "cat /marks/a").await.1, "started\n");
        engine.stop("hooked", StopOptions::default()).await.unwrap();
        let marks = engine.volumes().inspect("marks").unwrap().mountpoint;
        assert_eq!(std::fs::read_to_string(marks.join("b")).unwrap(), "stopping\n");
        engine.prune(PruneOptions::default()).await.unwrap();
        engine.close().await;
    });
}

pub(super) fn pause_stops_everything() {
    machine(|m| async move {
        let engine = m.engine().await;
        let id = engine.create(spec("sleep 100")).await.unwrap().id;
        engine.start(id.as_str()).await.unwrap();
        engine.pause(id.as_str()).await.unwrap();
        assert_eq!(engine.inspect(id.as_str()).await.unwrap().state.status, Status::Paused);
        assert_eq!(
            engine
                .exec_create(id.as_str(), ExecSpec { command: vec!["true".into()], ..Default::default() })
                .await
                .unwrap_err()
                .kind(),
            ErrorKind::Conflict
        );
        engine.unpause(id.as_str()).await.unwrap();
        assert_eq!(exec(&engine, id.as_str(), "true").await.0, 0);
        engine.pause(id.as_str()).await.unwrap();
        engine.remove(id.as_str(), RemoveOptions { force: true, volumes: true }).await.unwrap();
        assert!(m.traces().starts_with(EMPTY.split(" netns").next().unwrap()), "{}", m.traces());
        engine.close().await;
    });
}

pub(super) fn stop_asks_and_then_kills() {
    machine(|m| async move {
        let engine = m.engine().await;
        let polite = engine
            .create(ContainerSpec {
                stop_signal: Some("USR1".into()),
                ..spec("trap 'exit 5' USR1; while :; do sleep 0.01; done")
            })
            .await
            .unwrap()
            .id;
        let stubborn = engine
            .create(ContainerSpec {
                stop_grace_period: Some(Duration::from_millis(50)),
                ..spec("trap '' TERM; while :; do sleep 1; done")
            })
            .await
            .unwrap()
            .id;
        for (id, code) in [(&polite, 5), (&stubborn, 137)] {
            engine.start(id.as_str()).await.unwrap();
            assert!(matches!(engine.start(id.as_str()).await, Err(EngineError::NotModified(_))));
            while exec(&engine, id.as_str(), "grep -q '^Sig\\(Cgt\\|Ign\\):.*[1-9a-f]' /proc/1/status").await.0 != 0 {}
            engine.stop(id.as_str(), StopOptions::default()).await.unwrap();
            let state = engine.inspect(id.as_str()).await.unwrap().state;
            assert_eq!((state.status, state.exit_code), (Status::Exited, Some(code)));
            assert!(matches!(engine.stop(id.as_str(), StopOptions::default()).await, Err(EngineError::NotModified(_))));
        }
        engine.restart(polite.as_str(), StopOptions::default()).await.unwrap();
        engine.kill(polite.as_str(), None).await.unwrap();
        assert_eq!(engine.wait(polite.as_str(), WaitCondition::NotRunning).await.unwrap().exit_code, 137);
        assert_eq!(engine.prune(PruneOptions::default()).await.unwrap().removed.len(), 2);
        assert!(m.traces().starts_with(EMPTY.split(" netns").next().unwrap()), "{}", m.traces());
        engine.close().await;
    });
}
