//! Removal: nothing of the container stays.

use std::sync::Arc;

use super::mounts;
use super::start::remove_run_dir;
use crate::container::Handle;
use crate::events::Actor;
use crate::inner::Inner;
use crate::model::{PruneOptions, PruneReport, RemoveOptions, Status};
use crate::{EngineError, Result};

impl Inner {
    pub(crate) async fn remove(self: &Arc<Self>, name: &str, options: RemoveOptions) -> Result<()> {
        let handle = self.registry.find(name)?;
        let status = handle.status();
        if (status.is_up() || status == Status::Restarting) && !options.force {
            let state = status.as_str();
            return Err(EngineError::Conflict(format!(
                "cannot remove container {name:?}: container is {state}: stop the container before removing or force remove"
            )));
        }
        self.remove_handle(&handle, options).await
    }

    pub(crate) async fn remove_handle(self: &Arc<Self>, handle: &Arc<Handle>, options: RemoveOptions) -> Result<()> {
        let _op = handle.op.lock().await;
        if handle.cell().removed {
            return Ok(());
        }
        if handle.status().is_up() {
            if !options.force {
                return Err(EngineError::Conflict(format!("container {} has been started meanwhile", handle.id)));
            }
            self.kill_for_removal(handle).await?;
        }
        handle.change(false, |cell| {
            cell.care.cancel();
            cell.removed = true;
            cell.state.status = Status::Removing;
            cell.attached.clear();
        })?;
        let record = handle.record();
        self.release_devices(handle);
        let result = self.remove_files(handle).await;
        mounts::release(self, &handle.id, &record.mounts, options.volumes);
        self.registry.remove(handle);
        self.forget_execs(&handle.id);
        self.publish(handle, "destroy", &[]);
        handle.cell().gone = true;
        handle.tell();
        result
    }

    async fn kill_for_removal(self: &Arc<Self>, handle: &Arc<Handle>) -> Result<()> {
        let Some(run) = self.begin_ending(handle)? else { return Ok(()) };
        let frozen = handle.status() == Status::Paused;
        self.signal(handle, libc::SIGKILL).await?;
        if frozen {
            self.set_frozen(handle, false).await?;
        }
        handle.until(|cell| (cell.exits > run).then_some(())).await;
        Ok(())
    }

    async fn remove_files(&self, handle: &Handle) -> Result<()> {
        let secrets = self.secrets.dir(&handle.id);
        if secrets.exists() {
            let _ = std::fs::remove_dir_all(&secrets);
        }
        // The record goes first: without it the rest is known to be a leftover.
        let _ = std::fs::remove_file(handle.record_path());
        let snapshot = self.options.images.remove_snapshot(handle.id.as_str()).await;
        remove_run_dir(&handle.run_dir);
        fs_err::remove_dir_all(&handle.dir)?;
        Ok(snapshot?)
    }

    pub(crate) async fn prune(self: &Arc<Self>, options: &PruneOptions) -> Result<PruneReport> {
        let mut report = PruneReport::default();
        for handle in self.registry.all() {
            let record = handle.record();
            let has = |label: &String| crate::query::has_label(&record.effective.labels, label);
            let fits = options.until.is_none_or(|until| record.created < until)
                && options.labels.iter().all(has)
                && !options.without_labels.iter().any(has);
            if !fits || !matches!(handle.status(), Status::Created | Status::Exited | Status::Dead) {
                continue;
            }
            let size = self.options.images.snapshot_size(handle.id.as_str()).await.map_or(0, |(own, _)| own);
            match self.remove_handle(&handle, RemoveOptions::default()).await {
                Ok(()) => {
                    report.removed.push(handle.id.clone());
                    report.reclaimed += size;
                }
                // Started meanwhile.
                Err(EngineError::Conflict(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let attributes = [("reclaimed".to_owned(), report.reclaimed.to_string())].into();
        self.events.publish("container", "prune", Actor { id: String::new(), attributes });
        Ok(report)
    }
}
