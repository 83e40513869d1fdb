//! An engine opens: what an earlier one left is found, worked off or removed.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use hoist_proto::id::ContainerId;
use hoist_proto::spec::{MountKind, RestartPolicy};
use hoist_runtime::supervisor::{Reply, Request};

use super::end::wants_restart;
use super::start::{remove_cgroup, remove_run_dir};
use crate::Result;
use crate::container::{Handle, RECORD_VERSION, Record, read_json};
use crate::inner::Inner;
use crate::io::Channel;
use crate::model::{Health, RemoveOptions, State, Status};

/// Brings all containers back. Errors of one container are told in the log and stop no other.
pub(crate) async fn recover(engine: &Arc<Inner>) -> Result<()> {
    let root = engine.options.data_root.join("containers");
    fs_err::create_dir_all(&root)?;
    let running = engine.options.run_root.join("containers");
    fs_err::create_dir_all(&running)?;
    for dir in [&root, &running] {
        hoist_image::keep_apart(dir);
    }
    let mut ids = HashSet::new();
    for entry in fs_err::read_dir(&root)? {
        let entry = entry?;
        let Ok(id) = entry.file_name().to_string_lossy().parse::<ContainerId>() else { continue };
        match load(engine, &id) {
            Some(handle) => {
                ids.insert(id);
                engine.registry.insert(Arc::new(handle));
            }
            None => {
                tracing::info!(container = %id, "removing a container that was not made or removed to the end");
                let _ = engine.options.images.remove_snapshot(id.as_str()).await;
                let _ = std::fs::remove_dir_all(engine.secrets.dir(&id));
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }
    let handles = engine.registry.all();
    let mut alive = Vec::new();
    for handle in &handles {
        if let Some(channel) = adopt(engine, handle).await {
            engine.restore_devices(handle).await;
            engine.remember_connected(handle).await;
            alive.push((handle.clone(), channel));
        }
    }
    let live: Vec<String> = alive.iter().map(|(handle, _)| handle.id.to_string()).collect();
    if let Err(error) = engine.options.networks.reconcile(&live).await {
        tracing::warn!(%error, "cannot put the networks in order");
    }
    for snapshot in engine.options.images.snapshots().await.unwrap_or_default() {
        if snapshot.parse::<ContainerId>().is_ok_and(|id| !ids.contains(&id)) {
            let _ = engine.options.images.remove_snapshot(&snapshot).await;
        }
    }
    let live: HashSet<String> = live.into_iter().collect();
    leftovers(engine, &ids, &live);
    for (handle, channel) in alive {
        engine.look_after(&handle, channel);
    }
    for handle in handles.iter().filter(|handle| !live.contains(handle.id.as_str())) {
        if let Err(error) = settle(engine, handle).await {
            tracing::error!(container = %handle.id, error = %error.message(), "cannot bring a container back");
        }
    }
    Ok(())
}

/// A container's record; `None` when there is no whole one.
fn load(engine: &Inner, id: &ContainerId) -> Option<Handle> {
    let dir = engine.container_dir(id);
    let record: Record = read_json(&dir.join("container.json"))?;
    if record.version != RECORD_VERSION || record.id != *id {
        return None;
    }
    // One that has never been started has no state to write down.
    let fresh = || State { health: record.effective.healthcheck.is_some().then(Health::default), ..State::default() };
    let state: State = read_json(&dir.join("state.json")).unwrap_or_else(fresh);
    if let Err(error) = engine.registry.reserve(&record.name, id) {
        tracing::error!(container = %id, %error, "two containers of one name");
        return None;
    }
    for planned in record.mounts.iter().filter(|planned| planned.mount.kind == MountKind::Volume) {
        let name = planned.mount.source.as_deref().unwrap_or_default();
        if let Err(error) = engine.options.volumes.acquire(name, id.as_str()) {
            tracing::warn!(container = %id, %error, "a volume of a container is missing");
        }
    }
    Some(Handle::new(dir, engine.run_dir(id), record, state))
}

/// Finds the supervisor of a container; `None` when there is none, so that it does not run.
async fn adopt(engine: &Inner, handle: &Handle) -> Option<Channel> {
    let channel = Channel::open(&handle.run_dir).ok()?;
    channel.say(&Request::Watch, &[]).await.ok()?;
    let Reply::Started { pid, at } = channel.hear().await.ok()??.message else { return None };
    let record = handle.record();
    for planned in record.mounts.iter().filter(|planned| planned.mount.kind == MountKind::Volume) {
        let name = planned.mount.source.as_deref().unwrap_or_default();
        let _ = engine.options.volumes.mount(name, handle.id.as_str());
    }
    let changed = handle.change(false, |cell| {
        // A start that its engine did not live to see the end of counts as one.
        if !cell.state.status.is_up() {
            cell.state.status = Status::Running;
        }
        cell.state.pid = Some(pid);
        cell.state.started_at = Some(at);
    });
    if let Err(error) = changed {
        tracing::warn!(container = %handle.id, %error, "cannot write a container's state");
    }
    Some(channel)
}

/// A container that does not run: an end that nobody saw is worked off, and the restart policy has its say.
async fn settle(engine: &Arc<Inner>, handle: &Arc<Handle>) -> Result<()> {
    let record = handle.record();
    match handle.status() {
        Status::Running | Status::Paused => {
            let exit = engine.exit_of(handle).await;
            return engine.ended(handle, exit).await;
        }
        Status::Removing | Status::Dead => {
            return engine.remove_handle(handle, RemoveOptions { force: true, volumes: false }).await;
        }
        Status::Created | Status::Exited | Status::Restarting => {}
    }
    engine.clean_up(handle, &record).await;
    if record.spec.auto_remove && handle.status() != Status::Created {
        return engine.remove_handle(handle, RemoveOptions { force: false, volumes: true }).await;
    }
    let restarting = handle.status() == Status::Restarting;
    let again = match record.spec.restart {
        RestartPolicy::Always | RestartPolicy::UnlessStopped => {
            let state = handle.cell().state.clone();
            state.started_at.is_some() && wants_restart(record.spec.restart, &state, 0)
        }
        _ => restarting,
    };
    if again {
        handle.change(false, |cell| cell.state.status = Status::Restarting)?;
        engine.restart_later(handle, Duration::ZERO);
    } else if restarting {
        handle.change(false, |cell| cell.state.status = Status::Exited)?;
    }
    Ok(())
}

/// Removes what belongs to no container: run directories, secrets, cgroups.
fn leftovers(engine: &Inner, known: &HashSet<ContainerId>, live: &HashSet<String>) {
    let names = |dir: &std::path::Path| -> Vec<ContainerId> {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_string_lossy().parse().ok()).collect()
    };
    let run = engine.options.run_root.join("containers");
    for id in names(&run) {
        if !known.contains(&id) && !live.contains(id.as_str()) {
            let path = format!("{}/{id}", engine.options.cgroup_parent.trim_matches('/'));
            if let Err(error) = remove_cgroup(&path) {
                tracing::warn!(container = %id, %error, "cannot remove a leftover cgroup");
            }
            let _ = nix::mount::umount2(&run.join(id.as_str()).join("shm"), nix::mount::MntFlags::MNT_DETACH);
            remove_run_dir(&run.join(id.as_str()));
        }
    }
    for id in names(engine.secrets.root()) {
        if !known.contains(&id) {
            let _ = std::fs::remove_dir_all(engine.secrets.dir(&id));
        }
    }
}
