//! One container in memory.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hoist_proto::id::{ContainerId, ExecId};
use hoist_runtime::supervisor::{Size, Streams};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::persist::{settle, write_json};
use super::record::Record;
use crate::events::Actor;
use crate::model::{ContainerPaths, State, Status};
use crate::{EngineError, Result};

/// One container. Operations that change it take `op` first, so that they follow one another; what they change is in
/// `cell`, whose lock is never held across an await.
pub(crate) struct Handle {
    pub id: ContainerId,
    /// Below the data root.
    pub dir: PathBuf,
    /// Below the run root; made by each start.
    pub run_dir: PathBuf,
    pub op: tokio::sync::Mutex<()>,
    cell: Mutex<Cell>,
    /// Held from a change to the end of its writing, so that what is on the disk is the last state.
    disk: Mutex<()>,
    /// The record of a new container on its way to the disk.
    settling: tokio::sync::Mutex<Option<JoinHandle<io::Result<()>>>>,
    changed: watch::Sender<u64>,
}

pub(crate) struct Cell {
    pub record: Arc<Record>,
    pub state: State,
    /// How many runs have ended.
    pub exits: u64,
    /// Its removal has begun.
    pub removed: bool,
    /// Its removal is complete: nothing of it is left and nobody finds it.
    pub gone: bool,
    /// Somebody is ending it, so its end is no failure.
    pub stopping: bool,
    /// Clients that wait for the start.
    pub attached: Vec<(OwnedFd, Streams)>,
    /// Size of the terminal, kept for the next start.
    pub size: Option<Size>,
    /// Ends what looks after the present run: health checks, a pending restart.
    pub care: CancellationToken,
    /// Restarts since it last ran well, for the length of the pause.
    pub quick_restarts: u32,
    pub execs: Vec<ExecId>,
    /// The networks that it is on while it runs, as events name them.
    pub connected: Vec<Actor>,
}

impl Handle {
    pub(crate) fn new(dir: PathBuf, run_dir: PathBuf, record: Record, state: State) -> Self {
        Self {
            id: record.id.clone(),
            dir,
            run_dir,
            op: tokio::sync::Mutex::new(()),
            cell: Mutex::new(Cell {
                record: Arc::new(record),
                state,
                exits: 0,
                removed: false,
                gone: false,
                stopping: false,
                attached: Vec::new(),
                size: None,
                care: CancellationToken::new(),
                quick_restarts: 0,
                execs: Vec::new(),
                connected: Vec::new(),
            }),
            disk: Mutex::new(()),
            settling: tokio::sync::Mutex::new(None),
            changed: watch::Sender::new(0),
        }
    }

    /// Takes `op`, unless the container was removed while somebody waited for it.
    pub(crate) async fn take(&self) -> Result<tokio::sync::MutexGuard<'_, ()>> {
        let op = self.op.lock().await;
        if self.cell().removed { Err(EngineError::NoSuchContainer(self.id.to_string())) } else { Ok(op) }
    }

    pub(crate) fn cell(&self) -> MutexGuard<'_, Cell> {
        self.cell.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn record(&self) -> Arc<Record> {
        self.cell().record.clone()
    }

    pub(crate) fn status(&self) -> Status {
        self.cell().state.status
    }

    /// Changes the state, writes it down and tells who waits.
    pub(crate) fn change<T>(&self, durable: bool, change: impl FnOnce(&mut Cell) -> T) -> Result<T> {
        let _disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        let (result, state) = {
            let mut cell = self.cell();
            // Nothing is written any more where somebody removes.
            let removed = cell.removed;
            let result = change(&mut cell);
            (result, (!removed).then(|| cell.state.clone()))
        };
        let written = state.map_or(Ok(()), |state| write_json(&self.state_path(), &state, durable));
        self.tell();
        written?;
        Ok(result)
    }

    /// Wakes who waits for a change.
    pub(crate) fn tell(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// Waits until `test` says something about the container.
    pub(crate) async fn until<T>(&self, mut test: impl FnMut(&Cell) -> Option<T>) -> T {
        let mut changes = self.changed.subscribe();
        loop {
            changes.borrow_and_update();
            if let Some(found) = test(&self.cell()) {
                return found;
            }
            // The sender lives as long as `self`.
            let _ = changes.changed().await;
        }
    }

    /// Replaces the record, on the disk first.
    pub(crate) fn rewrite(&self, record: Record) -> Result<()> {
        write_json(&self.record_path(), &record, true)?;
        self.cell().record = Arc::new(record);
        self.tell();
        Ok(())
    }

    /// Begins to bring the record of a new container, which is written already, to the disk for good.
    pub(crate) async fn begin_settling(&self) {
        let path = self.record_path();
        *self.settling.lock().await = Some(tokio::task::spawn_blocking(move || settle(&path)));
    }

    /// Waits for what [`begin_settling`](Self::begin_settling) has begun.
    pub(crate) async fn settled(&self) -> Result<()> {
        let mut settling = self.settling.lock().await;
        match settling.as_mut() {
            Some(task) => {
                let result = task.await;
                *settling = None;
                Ok(result.map_err(|error| EngineError::Internal(error.to_string()))??)
            }
            None => Ok(()),
        }
    }

    pub(crate) fn record_path(&self) -> PathBuf {
        self.dir.join("container.json")
    }

    pub(crate) fn state_path(&self) -> PathBuf {
        self.dir.join("state.json")
    }

    pub(crate) fn paths(&self) -> ContainerPaths {
        let log = match self.record().spec.logging.driver.as_deref() {
            Some("none") => PathBuf::new(),
            Some("syslog" | "journald") if !crate::logging::caches(&self.record().spec.logging) => PathBuf::new(),
            _ => self.dir.join(format!("{}-json.log", self.id)),
        };
        ContainerPaths {
            log,
            hostname: self.dir.join("hostname"),
            hosts: self.dir.join("hosts"),
            resolv_conf: self.dir.join("resolv.conf"),
        }
    }
}
