//! Health checks: a command that is run from time to time and says whether all is well.

use std::sync::Arc;
use std::time::Duration;

use hoist_proto::spec::Healthcheck;
use tokio::time::Instant;

use crate::container::Handle;
use crate::exec::Run;
use crate::inner::Inner;
use crate::model::{ExecSpec, Health, HealthResult, HealthStatus, Status};

const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(30);
const START_INTERVAL: Duration = Duration::from_secs(5);
const RETRIES: u32 = 3;
/// How much of the output is kept.
const OUTPUT: usize = 4096;
/// How many results are kept.
const KEPT: usize = 5;

impl Inner {
    /// Begins to check a container that has just been started or found, if it wants that.
    pub(crate) fn check_health(self: &Arc<Self>, handle: &Arc<Handle>) {
        let record = handle.record();
        let Some(check) = record.effective.healthcheck.clone() else { return };
        let (engine, handle) = (self.clone(), handle.clone());
        let care = handle.cell().care.clone();
        // A container that was found running is as old as it is.
        let ran = handle.cell().state.started_at.map(|at| self.options.clock.now().duration_since(at));
        let ran = ran.and_then(|age| Duration::try_from(age).ok()).unwrap_or_default();
        let begin = Instant::now().checked_sub(ran).unwrap_or_else(Instant::now);
        self.tasks.spawn(async move {
            loop {
                let pause = pause(&check, begin.elapsed(), handle.cell().state.health.as_ref());
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = care.cancelled() => return,
                    () = engine.closing.cancelled() => return,
                }
                if handle.status() != Status::Running {
                    continue;
                }
                let result = tokio::select! {
                    result = probe(&engine, &handle, &check, &record.effective.shell) => result,
                    () = care.cancelled() => return,
                    () = engine.closing.cancelled() => return,
                };
                engine.metrics.checked(result.exit_code == 0);
                if !care.is_cancelled() {
                    engine.note_health(&handle, &check, result, begin.elapsed()).await;
                }
            }
        });
    }

    async fn note_health(self: &Arc<Self>, handle: &Handle, check: &Healthcheck, result: HealthResult, age: Duration) {
        let noted = handle.change(false, |cell| {
            let health = cell.state.health.get_or_insert_default();
            let before = health.status;
            judge(health, check, result, age);
            (before != health.status).then_some(health.status)
        });
        match noted {
            Ok(Some(status)) => {
                self.publish(handle, &format!("health_status: {}", status.as_str()), &[]);
                self.tell_health(handle, status != HealthStatus::Unhealthy).await;
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(container = %handle.id, %error, "cannot write a container's health"),
        }
    }
}

/// How long to wait before the next check.
fn pause(check: &Healthcheck, age: Duration, health: Option<&Health>) -> Duration {
    let starting = health.is_none_or(|health| health.status == HealthStatus::Starting);
    let period = check.start_period.unwrap_or_default();
    let interval = check.interval.filter(|interval| !interval.is_zero()).unwrap_or(INTERVAL);
    if starting && age < period {
        check.start_interval.filter(|interval| !interval.is_zero()).unwrap_or(START_INTERVAL).min(interval)
    } else {
        interval
    }
}

/// What a result means: a success is health at once, failures count after the start period.
fn judge(health: &mut Health, check: &Healthcheck, result: HealthResult, age: Duration) {
    if result.exit_code == 0 {
        health.failing_streak = 0;
        health.status = HealthStatus::Healthy;
    } else {
        let spared = health.status == HealthStatus::Starting && age < check.start_period.unwrap_or_default();
        if !spared {
            health.failing_streak += 1;
            if health.failing_streak >= check.retries.filter(|retries| *retries > 0).unwrap_or(RETRIES) {
                health.status = HealthStatus::Unhealthy;
            }
        }
    }
    health.log.push(result);
    if health.log.len() > KEPT {
        health.log.remove(0);
    }
}

async fn probe(engine: &Arc<Inner>, handle: &Arc<Handle>, check: &Healthcheck, shell: &[String]) -> HealthResult {
    let start = engine.options.clock.now();
    let limit = check.timeout.filter(|timeout| !timeout.is_zero()).unwrap_or(TIMEOUT);
    let command = match check.test.split_first() {
        Some((kind, rest)) if kind == "CMD-SHELL" => {
            let shell = if shell.is_empty() { vec!["/bin/sh".to_owned(), "-c".to_owned()] } else { shell.to_vec() };
            shell.into_iter().chain([rest.join(" ")]).collect()
        }
        Some((_, rest)) => rest.to_vec(),
        None => Vec::new(),
    };
    let spec = ExecSpec { command, ..ExecSpec::default() };
    let (exit_code, output) = match Run::start(engine, handle, &spec).await {
        Err(error) => (-1, error.message()),
        Ok(mut run) => match tokio::time::timeout(limit, run.finish(OUTPUT)).await {
            Ok(Ok(finished)) => finished,
            Ok(Err(error)) => (-1, error.message()),
            Err(_) => {
                run.kill().await;
                (-1, format!("Health check exceeded timeout ({})", hoist_proto::unit::format_duration(limit)))
            }
        },
    };
    HealthResult { start, end: engine.options.clock.now(), exit_code, output }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_count_after_the_start_period_only() {
        let check =
            Healthcheck { start_period: Some(Duration::from_secs(10)), retries: Some(2), ..Healthcheck::default() };
        let mut health = Health::default();
        let mut after = |seconds, code| {
            let now = "2026-01-01T00:00:00Z".parse().unwrap();
            let result = HealthResult { start: now, end: now, exit_code: code, output: String::new() };
            judge(&mut health, &check, result, Duration::from_secs(seconds));
            (health.status, health.failing_streak, health.log.len())
        };
        assert_eq!(after(1, 1), (HealthStatus::Starting, 0, 1));
        assert_eq!(after(11, 1), (HealthStatus::Starting, 1, 2));
        assert_eq!(after(12, 1), (HealthStatus::Unhealthy, 2, 3));
        assert_eq!(after(13, 0), (HealthStatus::Healthy, 0, 4));
        // Once healthy, the start period is over.
        assert_eq!(after(5, 1), (HealthStatus::Healthy, 1, 5));
        assert_eq!(after(5, -1), (HealthStatus::Unhealthy, 2, 5));
    }

    #[test]
    fn checks_come_faster_at_the_beginning() {
        let seconds = Duration::from_secs;
        let check =
            Healthcheck { start_period: Some(seconds(10)), start_interval: Some(seconds(1)), ..Default::default() };
        assert_eq!(pause(&check, seconds(5), Some(&Health::default())), seconds(1));
        assert_eq!(pause(&check, seconds(15), Some(&Health::default())), INTERVAL);
        let well = Health { status: HealthStatus::Healthy, ..Health::default() };
        assert_eq!(pause(&check, seconds(5), Some(&well)), INTERVAL);
    }
}
