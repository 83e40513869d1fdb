//! Jobs whose processes are written down when they have to wait again, and go on from there.
//!
//! The agent does it when the task stops, and says what came of it in the task's status. A checkpoint is gone back to by
//! the next attempt and by no later one: what the job does with its files meanwhile would not fit to it.

use std::sync::Arc;

use hoist_proto::spec::{CheckpointOutcome, Job, Task};
use hoist_store::{StoreError, Tables, Tx};

use super::begin::checkpoint_name;

/// What is known of it when an attempt is over.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// The checkpoint's name, if there is one.
    pub name: Option<String>,
    /// What came of it, for people; empty for a job that asks for none.
    pub words: String,
}

fn tasks(tables: &Tables, job: &Job) -> Vec<Arc<Task>> {
    job.status.service.iter().flat_map(|service| tables.tasks_of(service)).cloned().collect()
}

/// Has the tasks written down when they stop.
pub(super) fn ask(tx: &mut Tx<'_>, job: &Job) -> Result<(), StoreError> {
    for task in tasks(tx, job).iter().filter(|task| !task.status.state.is_final()) {
        tx.modify::<Task>(&task.id, |task| task.checkpoint_on_stop = true)?;
    }
    Ok(())
}

/// What came of that.
pub(super) fn made(tables: &Tables, job: &Job) -> Kept {
    if job.spec.checkpoint.is_none() {
        return Kept::default();
    }
    let task = tasks(tables, job).into_iter().next();
    match task.and_then(|task| task.status.checkpoint.clone()) {
        Some(CheckpointOutcome::Made) => Kept {
            name: Some(checkpoint_name(job, job.status.attempts)),
            words: format!("made when attempt {} ended", job.status.attempts),
        },
        Some(CheckpointOutcome::NotMade(why)) => {
            Kept { name: None, words: format!("not made, so that it begins again: {why}") }
        }
        _ => Kept { name: None, words: "not made, so that it begins again".into() },
    }
}

/// Says of a job that runs whether it went on or began again.
pub(super) fn tell(tx: &mut Tx<'_>, job: &Job) -> Result<(), StoreError> {
    if job.spec.checkpoint.is_none() {
        return Ok(());
    }
    let words = match tasks(tx, job).first().and_then(|task| task.status.checkpoint.clone()) {
        Some(CheckpointOutcome::Restored) => "it went on from one".to_owned(),
        Some(CheckpointOutcome::NotRestored(why)) => format!("of no use, so that it began again: {why}"),
        _ => return Ok(()),
    };
    if job.status.checkpoint_said == words {
        return Ok(());
    }
    tx.modify::<Job>(&job.id, |job| job.status.checkpoint_said = words)
}
