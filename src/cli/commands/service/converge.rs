//! Waits until a service is as asked for, and tells how it goes.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use serde_json::json;

use super::{ls, only};
use crate::{
    api::dto::{service as dto, task::Task},
    cli::{
        Context, Exit, Outcome,
        failure::Failure,
        progress::{Board, Mode, Step},
    },
};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);
/// How long a task that has ended may have no successor before that is the end of it.
const GRACE: Duration = Duration::from_secs(2);
/// What tasks are watched for when the service does not say.
const MONITOR: Duration = Duration::from_secs(5);

/// What one look has shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Look {
    /// How far each place is: its name, what is said of it, and whether it is there.
    places: BTreeMap<String, (String, bool)>,
    wanted: usize,
    there: usize,
    /// Tasks of an older definition that still run.
    old: usize,
    /// Why a place will never be there.
    dead: Option<String>,
}

/// Waits until all tasks run for as long as the service says, or have completed.
///
/// # Errors
/// When the update was paused or rolled back, or a task ended for good.
pub async fn wait(cx: &Context, id: &str, quiet: bool) -> Outcome {
    let mut board = Board::new(cx.printer, if quiet { Mode::Quiet } else { Mode::Auto }, "Converging");
    let rolling_back = |service: &dto::Service| state(service).starts_with("rollback");
    let mut asked_back = None;
    let (mut steady_since, mut dead_since) = (None::<Instant>, None::<Instant>);
    loop {
        let Some(service) = ls::list(cx, Some(only("id", id))).await?.into_iter().next() else {
            board.finish();
            return Err(Failure::new("the service was removed meanwhile"));
        };
        let asked_back = *asked_back.get_or_insert_with(|| rolling_back(&service));
        let job = service.spec.mode.replicated_job.is_some() || service.spec.mode.global_job.is_some();
        let look = look(cx, &service, job).await?;
        show(&mut board, &look);
        let message = service.update_status.as_ref().map(|update| update.message.clone()).unwrap_or_default();
        let name = &service.spec.name;
        let ended = match state(&service) {
            "paused" => Some(format!("the update of {name} is paused: {message}")),
            "rollback_paused" => Some(format!("the rollback of {name} is paused: {message}")),
            "rollback_completed" if !asked_back => Some(format!("the update of {name} failed and was rolled back")),
            _ => None,
        };
        if let Some(why) = ended {
            board.finish();
            return Err(Failure::new(why).hint(format!("see hoist service ps --no-trunc {name}")));
        }
        let updating = matches!(state(&service), "updating" | "rollback_started");
        let steady = look.there >= look.wanted && look.old == 0 && !updating;
        let monitor = service.spec.update_config.as_ref().map(|config| config.monitor).filter(|monitor| *monitor > 0);
        let monitor = monitor.map_or(MONITOR, |nanos| Duration::from_nanos(nanos.unsigned_abs()));
        if !steady {
            steady_since = None;
        } else if job || steady_since.get_or_insert_with(Instant::now).elapsed() >= monitor {
            board.finish();
            if !quiet {
                cx.printer.say(match job {
                    true => format!("job complete: {name}"),
                    false => format!("verify: Service {name} converged"),
                });
            }
            return Ok(Exit::OK);
        }
        match &look.dead {
            Some(why) if !updating && dead_since.get_or_insert_with(Instant::now).elapsed() >= GRACE => {
                board.finish();
                return Err(Failure::new(why.clone()).hint(format!("see hoist service ps --no-trunc {name}")));
            }
            Some(_) => {}
            None => dead_since = None,
        }
        board.tick();
        tokio::time::sleep(PAUSE).await;
    }
}

fn state(service: &dto::Service) -> &str {
    service.update_status.as_ref().map_or("", |update| &update.state)
}

async fn look(cx: &Context, service: &dto::Service, job: bool) -> Result<Look, Failure> {
    let tasks = |filter: serde_json::Value| cx.client.get("/tasks").query("filters", filter.to_string());
    let all: Vec<Task> = tasks(json!({ "service": [service.id] })).read().await?;
    let current: Vec<Task> = tasks(json!({ "service": [service.id], "_up-to-date": ["true"] })).read().await?;
    let current: BTreeSet<String> = current.into_iter().map(|task| task.id).collect();
    Ok(judge(service, &all, &current, job))
}

fn judge(service: &dto::Service, all: &[Task], current: &BTreeSet<String>, job: bool) -> Look {
    let wanted_now =
        |task: &&Task| matches!(task.desired_state.as_str(), "ready" | "accepted" | "running" | "complete");
    let status = service.service_status.clone().unwrap_or_default();
    let mut look = Look::default();
    let mut newest: BTreeMap<(u32, &str), &Task> = BTreeMap::new();
    for task in all.iter().filter(|task| current.contains(&task.id)).filter(wanted_now) {
        let place = newest.entry((task.slot, if task.slot == 0 { &task.node_id } else { "" })).or_insert(task);
        if task.created_at > place.created_at {
            *place = task;
        }
    }
    look.wanted = match &service.spec.mode {
        dto::Mode { replicated: Some(replicated), .. } => replicated.replicas.unwrap_or(1) as usize,
        dto::Mode { replicated_job: Some(job), .. } => job.total_completions.unwrap_or(1) as usize,
        dto::Mode { global: Some(_), .. } => (status.desired_tasks as usize).max(1),
        _ => (status.desired_tasks + status.completed_tasks).max(1) as usize,
    };
    look.old = all
        .iter()
        .filter(|task| !current.contains(&task.id) && task.status.state == "running")
        .filter(|_| !job)
        .count();
    for ((slot, node), task) in newest {
        let name = if slot == 0 { node.chars().take(12).collect() } else { slot.to_string() };
        let state = task.status.state.as_str();
        let there = if job { state == "complete" } else { state == "running" };
        look.there += usize::from(there);
        let said = match task.status.err.as_str() {
            "" => state.to_owned(),
            err => format!("{state}: {err}"),
        };
        if matches!(state, "failed" | "rejected" | "shutdown" | "orphaned") || (state == "complete" && !job) {
            let name = format!("{}.{name}", service.spec.name);
            look.dead = Some(format!("{name} has ended and is not restarted: {said}"));
        }
        look.places.insert(format!("{}.{name}", service.spec.name), (said, there));
    }
    look
}

fn show(board: &mut Board, look: &Look) {
    let done = look.there.min(look.wanted);
    let step = if done == look.wanted { Step::Done } else { Step::Working };
    board.set("", "overall progress", &format!("{done} out of {} tasks", look.wanted), step, None);
    // Of many, how many is enough.
    if look.places.len() <= 20 {
        for (name, (said, there)) in &look.places {
            board.set(name, name, said, if *there { Step::Done } else { Step::Working }, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(id: &str, slot: u32, state: &str, desired: &str) -> Task {
        let mut task = Task { id: id.into(), slot, desired_state: desired.into(), ..Task::default() };
        task.status.state = state.into();
        task
    }

    #[test]
    fn old_tasks_and_dead_ones_are_seen() {
        let mut service = dto::Service::default();
        service.spec.name = "web".into();
        service.spec.mode.replicated = Some(dto::Replicated { replicas: Some(2) });
        let all = [
            task("a", 1, "running", "running"),
            task("b", 2, "running", "running"),
            task("c", 2, "shutdown", "shutdown"),
        ];
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<BTreeSet<_>>();
        let look = judge(&service, &all, &ids(&["a", "b"]), false);
        assert_eq!((look.wanted, look.there, look.old, look.dead), (2, 2, 0, None));
        let look = judge(&service, &all, &ids(&["a"]), false);
        assert_eq!((look.there, look.old), (1, 1));
        let all = [task("a", 1, "running", "running"), task("b", 2, "failed", "running")];
        let look = judge(&service, &all, &ids(&["a", "b"]), false);
        assert!(look.dead.unwrap().starts_with("web.2 has ended"));
    }
}
