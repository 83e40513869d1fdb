//! Containers whose processes are written down, and go on from there another time.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hoist_runtime::checkpoint::{CheckpointError, Criu, Dump, dump, is_checkpoint};
use hoist_runtime::supervisor::{Reply, Request, RestoreFrom, SPEC_FILE};

use crate::container::{Handle, Record};
use crate::inner::Inner;
use crate::io::Channel;
use crate::model::{CheckpointOptions, Status};
use crate::{EngineError, Result};

/// In a container's directory.
const CHECKPOINTS: &str = "checkpoints";
/// The container's own files, as a layer of an image.
const FILES: &str = "files.tar";
/// CRIU's words, in a container's directory.
const WORDS: &str = "criu";

impl Inner {
    pub(crate) async fn checkpoint(
        self: &Arc<Self>,
        name: &str,
        options: CheckpointOptions,
        with_files: bool,
    ) -> Result<()> {
        let handle = self.registry.find(name)?;
        let _op = handle.take().await?;
        let record = handle.record();
        let images = place(&handle, &options.name, options.dir.as_deref())?;
        self.may_be_written(name, &handle, &record, &options)?;
        if fs_err::symlink_metadata(&images).is_ok() {
            return Err(EngineError::Conflict(format!(
                "checkpoint with name {} already exists for container {name}: {}",
                options.name,
                images.display()
            )));
        }
        let criu = find_criu().await?;
        let streams = match Channel::open(&handle.run_dir) {
            Ok(channel) => streams(&channel).await?,
            Err(_) => return Err(not_running(name)),
        };
        let spec = serde_json::from_slice(&fs_err::read(handle.run_dir.join(SPEC_FILE))?)
            .map_err(|error| EngineError::Internal(format!("reading the container's spec: {error}")))?;
        let Some(init) = handle.cell().state.pid else { return Err(not_running(name)) };
        // Its end, if it is to end, is none that a restart policy would mend.
        let ending = if options.leave_running { None } else { self.begin_ending(&handle)? };
        handle.cell().state.stopped_by_hand = ending.is_some();
        let (bundle, log) = (handle.run_dir.clone(), words(&handle, "dump"));
        let leave_running = options.leave_running;
        let written = tokio::task::spawn_blocking(move || {
            let part = Part::new(&images)?;
            let (spec, bundle, log) = (&spec, &bundle, &log);
            dump(&criu, &Dump { init, spec, bundle, streams, images: part.path(), log, leave_running })?;
            Ok::<_, EngineError>((part, images))
        });
        let written = match written.await.map_err(|error| EngineError::Internal(error.to_string()))? {
            Ok((part, images)) => self.complete(&handle, part, images, with_files && !leave_running).await,
            Err(error) => Err(error),
        };
        match (&written, ending) {
            (Ok(()), Some(run)) => handle.until(|cell| (cell.exits > run).then_some(())).await,
            (Err(_), _) => {
                let mut cell = handle.cell();
                cell.stopping = false;
                cell.state.stopped_by_hand = false;
            }
            (Ok(()), None) => {}
        }
        if written.is_ok() {
            self.publish(&handle, "checkpoint", &[]);
        }
        written
    }

    /// Adds the container's own files, which nobody changes any more, and gives the checkpoint its name.
    async fn complete(&self, handle: &Handle, part: Part, images: PathBuf, with_files: bool) -> Result<()> {
        if with_files {
            self.options.images.pack_snapshot(handle.id.as_str(), part.path().join(FILES)).await?;
        }
        let kept = tokio::task::spawn_blocking(move || part.keep(&images)).await;
        kept.map_err(|error| EngineError::Internal(error.to_string()))?
    }

    /// Whether a checkpoint of it makes sense.
    fn may_be_written(&self, name: &str, handle: &Handle, record: &Record, options: &CheckpointOptions) -> Result<()> {
        match handle.status() {
            Status::Running => {}
            Status::Paused => {
                return Err(EngineError::Conflict(format!(
                    "container {name} is paused: unpause it before a checkpoint is made"
                )));
            }
            _ => return Err(not_running(name)),
        }
        if self.other_runtime(record)?.is_some() {
            let runtime = record.spec.runtime.as_deref().unwrap_or_default();
            return Err(EngineError::InvalidParameter(format!(
                "checkpoints of containers of the runtime {runtime} are not supported: use Hoist's own"
            )));
        }
        if record.spec.auto_remove && !options.leave_running && options.dir.is_none() {
            return Err(EngineError::Conflict(format!(
                "container {name} is removed when it ends (--rm), and its checkpoint with it: \
                 use --checkpoint-dir or --leave-running"
            )));
        }
        Ok(())
    }

    pub(crate) fn checkpoints(&self, name: &str, dir: Option<&Path>) -> Result<Vec<String>> {
        let handle = self.registry.find(name)?;
        let dir = base(&handle, dir)?;
        let entries = std::fs::read_dir(&dir).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .filter(|entry| is_checkpoint(&entry.path()))
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            // What is being written is none yet.
            .filter(|name| check_name(name).is_ok())
            .collect();
        names.sort();
        Ok(names)
    }

    pub(crate) async fn remove_checkpoint(&self, name: &str, checkpoint: &str, dir: Option<&Path>) -> Result<()> {
        let handle = self.registry.find(name)?;
        let images = existing(&handle, name, checkpoint, dir)?;
        let removed = tokio::task::spawn_blocking(move || fs_err::remove_dir_all(images));
        Ok(removed.await.map_err(|error| EngineError::Internal(error.to_string()))??)
    }

    pub(crate) async fn restore(self: &Arc<Self>, name: &str, checkpoint: &str, dir: Option<&Path>) -> Result<()> {
        let handle = self.registry.find(name)?;
        let images = existing(&handle, name, checkpoint, dir)?;
        let record = handle.record();
        if self.other_runtime(&record)?.is_some() {
            return Err(EngineError::InvalidParameter("only Hoist's own runtime can restore a checkpoint".into()));
        }
        let criu = find_criu().await?;
        let files = images.join(FILES);
        if handle.status() == Status::Created && files.exists() {
            self.options.images.unpack_snapshot(handle.id.as_str(), files).await?;
        }
        let from = RestoreFrom { criu, images, log: words(&handle, "restore") };
        self.start_handle(&handle, Some(from)).await
    }
}

async fn find_criu() -> Result<Criu> {
    let found = tokio::task::spawn_blocking(Criu::find).await;
    Ok(found.map_err(|error| EngineError::Internal(error.to_string()))??)
}

async fn streams(channel: &Channel) -> Result<[Option<u64>; 3]> {
    channel.say(&Request::Streams, &[]).await?;
    match channel.hear().await?.map(|received| received.message) {
        Some(Reply::Streams { inodes }) => Ok(inodes),
        // It closes a connection on which it is asked what it does not know.
        _ => Err(CheckpointError::Unsupported(
            "the container was started by an earlier version of Hoist: restart it once to have checkpoints".into(),
        )
        .into()),
    }
}

fn not_running(name: &str) -> EngineError {
    EngineError::Conflict(format!("container {name} is not running"))
}

fn check_name(name: &str) -> Result<()> {
    let mut bytes = name.bytes();
    let good = bytes.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
        && name.len() <= 255;
    if good {
        return Ok(());
    }
    Err(EngineError::InvalidParameter(format!(
        "invalid checkpoint name {name:?}: only [a-zA-Z0-9][a-zA-Z0-9_.-]* is allowed"
    )))
}

fn base(handle: &Handle, dir: Option<&Path>) -> Result<PathBuf> {
    match dir {
        None => Ok(handle.dir.join(CHECKPOINTS)),
        Some(dir) if dir.is_absolute() => Ok(dir.to_owned()),
        Some(dir) => Err(EngineError::InvalidParameter(format!(
            "the checkpoint directory {} is not an absolute path",
            dir.display()
        ))),
    }
}

/// Where a checkpoint is, or would be.
fn place(handle: &Handle, checkpoint: &str, dir: Option<&Path>) -> Result<PathBuf> {
    check_name(checkpoint)?;
    Ok(base(handle, dir)?.join(checkpoint))
}

fn existing(handle: &Handle, container: &str, checkpoint: &str, dir: Option<&Path>) -> Result<PathBuf> {
    let images = place(handle, checkpoint, dir)?;
    if is_checkpoint(&images) {
        return Ok(images);
    }
    Err(EngineError::NoSuchCheckpoint { container: container.to_owned(), checkpoint: checkpoint.to_owned() })
}

fn words(handle: &Handle, verb: &str) -> PathBuf {
    handle.dir.join(WORDS).join(format!("{verb}.log"))
}

/// A checkpoint that is being written; it is removed unless it is complete.
struct Part(Option<PathBuf>);

impl Part {
    fn new(images: &Path) -> Result<Self> {
        let name = images.file_name().unwrap_or_default().to_string_lossy();
        let part = images.with_file_name(format!(".{name}.part"));
        let _ = std::fs::remove_dir_all(&part);
        if let Some(dir) = images.parent() {
            fs_err::create_dir_all(dir)?;
        }
        // The memory of processes is for nobody else to read.
        rustix::fs::mkdir(&part, rustix::fs::Mode::RWXU).map_err(|error| {
            std::io::Error::new(std::io::Error::from(error).kind(), format!("make {}: {error}", part.display()))
        })?;
        Ok(Self(Some(part)))
    }

    fn path(&self) -> &Path {
        self.0.as_deref().unwrap_or(Path::new(""))
    }

    /// Gives it its name, with all of it on the disk.
    fn keep(mut self, images: &Path) -> Result<()> {
        for entry in fs_err::read_dir(self.path())? {
            fs_err::File::open(entry?.path())?.sync_all()?;
        }
        fs_err::File::open(self.path())?.sync_all()?;
        fs_err::rename(self.path(), images)?;
        self.0 = None;
        Ok(images.parent().map_or(Ok(()), |dir| fs_err::File::open(dir)?.sync_all())?)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if let Some(part) = self.0.take() {
            let _ = std::fs::remove_dir_all(part);
        }
    }
}
