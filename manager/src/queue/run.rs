//! The loop: whenever jobs, their tasks or nodes change, and when a job's time is up.

use std::{sync::Arc, time::Duration};

use hoist_proto::{
    clock::Timestamp,
    spec::{Job, JobState, Node, Queue, Task},
};
use hoist_queue::{Plan, plan};
use hoist_store::{Commit, Store, StoreError, Tables, Tx, Wake};
use tokio_util::sync::CancellationToken;

use super::{begin, begin::Place, recur, settle, uses::Uses, view::View};

/// The queue is looked at so often at least: waiting adds priority, and use fades.
const PERIOD: Duration = Duration::from_secs(60);

/// Runs until cancelled; an error is the store's.
pub(crate) async fn run(store: Store, uses: Uses, cancel: CancellationToken) -> Result<(), StoreError> {
    let ((), mut watch) = store.watch(|_| ());
    loop {
        let Some(wake) = crate::patience::wait_for_log(pass(&store, &uses).await, "queue").await? else { continue };
        let now = store.clock().now();
        let wait = wake.map_or(PERIOD, |at| Duration::try_from(at.duration_since(now)).unwrap_or_default().min(PERIOD));
        let idle = store.view(is_idle);
        let timer = async {
            if idle {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(wait).await;
        };
        tokio::pin!(timer);
        loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => return Ok(()),
                () = &mut timer => break,
                wake = watch.next() => match wake {
                    Wake::Commits(commits) => if commits.iter().any(|commit| concerns(&store, commit)) { break },
                    Wake::Resync => break,
                    Wake::Closed => return Ok(()),
                },
            }
        }
    }
}

/// Nothing waits, runs or comes again.
fn is_idle(tables: &Tables) -> bool {
    tables.jobs().is_empty() && tables.queue().is_none_or(|queue| queue.crons.is_empty())
}

/// Whether the queue has anything to think about.
fn concerns(store: &Store, commit: &Commit) -> bool {
    if store.view(is_idle) {
        return false;
    }
    commit.events.iter().any(|event| {
        event.of::<Job>().is_some()
            || event.of::<Queue>().is_some()
            || event.of::<Node>().is_some()
            || event.of::<Task>().is_some_and(|(before, after)| {
                let state = |task: Option<&Arc<Task>>| {
                    let status = |task: &Arc<Task>| {
                        let status = &task.status;
                        (status.state.is_final(), task.desired, status.error.is_some(), status.checkpoint.clone())
                    };
                    task.map(status)
                };
                state(before) != state(after)
            })
    })
}

/// One look at the whole queue; gives the next moment at which a job's time is up.
pub(crate) async fn pass(store: &Store, uses: &Uses) -> Result<Option<Timestamp>, StoreError> {
    if store.view(is_idle) {
        return Ok(None);
    }
    let now = store.clock().now();
    store
        .update(|tx| {
            let due = recur::make_due(tx, now)?;
            let wake = settle::settle(tx, now, uses)?.into_iter().chain(due).min();
            let view = View::of(tx, now, None);
            let plan = plan(&view.input());
            carry_out(tx, &view, plan)?;
            Ok::<_, StoreError>(wake)
        })
        .await
}

fn carry_out(tx: &mut Tx<'_>, view: &View, plan: Plan<String>) -> Result<(), StoreError> {
    let job = |tx: &Tx<'_>, label: &String| view.jobs.get(label).and_then(|id| tx.get::<Job>(id)).cloned();
    for start in &plan.starts {
        let Some(job) = job(tx, &start.id) else { continue };
        let of = |placement| {
            let devices = view.assigned(placement).into_iter();
            devices.map(|devices| Place { node: view.nodes[placement.node].id.clone(), devices })
        };
        let places = start.on.iter().flat_map(of).collect();
        tracing::debug!(job = start.id, backfilled = start.backfilled, "a job starts");
        begin::start(tx, &job, places)?;
    }
    for (gone, comes) in &plan.preempt {
        let Some(job) = job(tx, gone) else { continue };
        settle::end(tx, &job, JobState::Pending, format!("gave way to job {comes}"))?;
    }
    for stay in &plan.stays {
        let Some(job) = job(tx, &stay.id) else { continue };
        let reason = stay.reason.to_string();
        let expected = stay.expected.and_then(|at| Timestamp::from_millisecond(i64::try_from(at).ok()?).ok());
        if job.status.reason != reason || job.status.expected != expected {
            tx.modify::<Job>(&job.id, |job| {
                job.status.reason = reason;
                job.status.expected = expected;
            })?;
        }
    }
    Ok(())
}
