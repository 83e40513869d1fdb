//! A run ends: what it had is given back, and the restart policy has its say.

use std::sync::Arc;
use std::time::Duration;

use hoist_proto::spec::RestartPolicy;
use hoist_runtime::supervisor::{Exit, Reply, read_exit};

use crate::Result;
use crate::container::{Cell, Handle};
use crate::inner::{Inner, actor};
use crate::io::Channel;
use crate::model::{RemoveOptions, State, Status};

/// The first pause before a restart; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A run of this length was a good one: the next pause is the first again.
const GOOD_RUN: Duration = Duration::from_secs(10);

impl Inner {
    /// Follows a running container to its end.
    pub(crate) fn look_after(self: &Arc<Self>, handle: &Arc<Handle>, channel: Channel) {
        self.check_health(handle);
        let (engine, handle) = (self.clone(), handle.clone());
        self.tasks.spawn(async move {
            let exit = engine.watch(&handle, &channel).await;
            if let Some(exit) = exit
                && let Err(error) = engine.ended(&handle, exit).await
            {
                tracing::error!(container = %handle.id, %error, "cannot work off the end of a container");
            }
        });
    }

    /// Waits for the end; `None` when the engine closes.
    async fn watch(&self, handle: &Handle, channel: &Channel) -> Option<Exit> {
        loop {
            let heard = tokio::select! {
                heard = channel.hear() => heard,
                () = self.closing.cancelled() => return None,
            };
            match heard {
                Ok(Some(received)) => match received.message {
                    Reply::Exited(exit) => return Some(exit),
                    Reply::Oom => self.publish(handle, "oom", &[]),
                    _ => {}
                },
                Ok(None) | Err(_) => return Some(self.exit_of(handle).await),
            }
        }
    }

    /// How a container ended whose supervisor is not there.
    pub(crate) async fn exit_of(&self, handle: &Handle) -> Exit {
        if let Ok(Some(exit)) = read_exit(&handle.run_dir) {
            return exit;
        }
        // The supervisor was killed, or the machine went down. What may still run has lost its streams.
        let path = self.cgroup_path(&handle.record());
        let killed = tokio::task::spawn_blocking(move || {
            let cgroup = hoist_runtime::cgroup::Cgroup::open(&hoist_runtime::cgroup::CgroupPath::new(path)?)?;
            cgroup.kill_all(libc::SIGKILL)
        });
        let _ = killed.await;
        let now = self.options.clock.now();
        let started_at = handle.cell().state.started_at.unwrap_or(now);
        Exit { code: 255, signal: None, oom_killed: false, started_at, finished_at: now }
    }

    /// Works off an end.
    pub(crate) async fn ended(self: &Arc<Self>, handle: &Arc<Handle>, exit: Exit) -> Result<()> {
        let record = handle.record();
        handle.cell().care.cancel();
        let parting = self.clean_up(handle, &record).await;
        let ran = exit.finished_at.duration_since(exit.started_at).as_secs().max(0);
        let died = actor(handle, &[("exitCode", exit.code.to_string()), ("execDuration", ran.to_string())]);
        let next = handle.change(false, |cell| {
            let next = after(cell, record.spec.restart, &exit);
            let state = &mut cell.state;
            state.pid = None;
            state.exit_code = Some(exit.code);
            state.oom_killed = exit.oom_killed;
            state.finished_at = Some(exit.finished_at);
            state.status = if next.is_some() { Status::Restarting } else { Status::Exited };
            state.restart_count += u32::from(next.is_some());
            cell.execs.clear();
            cell.exits += 1;
            if next.is_some() {
                cell.care = tokio_util::sync::CancellationToken::new();
            }
            // Before anybody who waits for the end can do something that is told too.
            self.events.publish("container", "die", died);
            for (kind, action, actor) in parting {
                self.events.publish(kind, action, actor);
            }
            next
        })?;
        // Between two runs of one container nobody else is given its devices.
        if next.is_none() {
            self.release_devices(handle);
        }
        match next {
            Some(pause) => self.restart_later(handle, pause),
            None if record.spec.auto_remove && !self.closing.is_cancelled() => {
                // Boxed because a removal may, far down, wait for another end.
                let options = RemoveOptions { force: false, volumes: true };
                Box::pin(self.remove_handle(handle, options)).await?;
            }
            None => {}
        }
        Ok(())
    }

    /// Starts it after a pause, unless somebody stops, starts or removes it first.
    pub(crate) fn restart_later(self: &Arc<Self>, handle: &Arc<Handle>, pause: Duration) {
        let (engine, handle) = (self.clone(), handle.clone());
        let care = handle.cell().care.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = care.cancelled() => return,
                () = engine.closing.cancelled() => return,
            }
            let _op = handle.op.lock().await;
            if care.is_cancelled() || handle.status() != Status::Restarting {
                return;
            }
            if let Err(error) = Box::pin(engine.start_locked(&handle)).await {
                tracing::warn!(container = %handle.id, error = %error.message(), "cannot restart a container");
                engine.retry(&handle);
            }
        });
    }

    /// A restart failed; the policy may want another.
    fn retry(self: &Arc<Self>, handle: &Arc<Handle>) {
        let policy = handle.record().spec.restart;
        let now = self.options.clock.now();
        let next = handle.change(false, |cell| {
            let exit = Exit { code: 125, signal: None, oom_killed: false, started_at: now, finished_at: now };
            let next = after(cell, policy, &exit);
            if next.is_some() {
                cell.state.status = Status::Restarting;
                cell.state.restart_count += 1;
                cell.care = tokio_util::sync::CancellationToken::new();
            }
            next
        });
        if let Ok(Some(pause)) = next {
            self.restart_later(handle, pause);
        }
    }
}

/// Whether the policy wants a restart, and after which pause.
fn after(cell: &mut Cell, policy: RestartPolicy, exit: &Exit) -> Option<Duration> {
    if cell.stopping || cell.removed || !wants_restart(policy, &cell.state, exit.code) {
        return None;
    }
    let ran = exit.finished_at.duration_since(exit.started_at);
    if ran.as_secs() >= GOOD_RUN.as_secs().cast_signed() {
        cell.quick_restarts = 0;
    }
    let pause = FIRST_PAUSE.saturating_mul(1 << cell.quick_restarts.min(16)).min(LONGEST_PAUSE);
    cell.quick_restarts += 1;
    Some(pause)
}

/// What the policy says about a container that ended with `code`.
pub(super) fn wants_restart(policy: RestartPolicy, state: &State, code: i32) -> bool {
    match policy {
        RestartPolicy::No => false,
        RestartPolicy::Always => true,
        RestartPolicy::UnlessStopped => !state.stopped_by_hand,
        RestartPolicy::OnFailure { max_retries } => {
            code != 0 && max_retries.is_none_or(|most| most == 0 || state.restart_count < most)
        }
    }
}
