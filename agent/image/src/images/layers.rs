//! An image's layers become directories, several at once: each waits for nothing but its own bytes, and takes its place
//! in the records after the one below it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Images, blocking};
use crate::digest::Digest;
use crate::error::Error;
use crate::manifest::Descriptor;
use crate::pipeline::unpack_layer;
use crate::progress::{Phase, Progress, PullEvent};
use crate::registry::{Repository, Step, Tail, download};
use crate::store::{LayerRecord, NewLayer, Pin, chain_ids};
use crate::unpack::Unpacked;

/// A layer that an image needs.
#[derive(Clone)]
pub(super) struct Wanted {
    /// Its blob.
    pub blob: Descriptor,
    /// The digest of its uncompressed archive.
    pub diff_id: Digest,
}

/// Everything that one layer's task needs.
struct Task {
    images: Images,
    wanted: Wanted,
    chain: Digest,
    parent: Option<Digest>,
    repository: Option<Arc<Repository>>,
    progress: Arc<dyn Progress>,
    below: Option<watch::Receiver<bool>>,
    ready: watch::Sender<bool>,
}

/// Pins that keep layers and blobs from being collected until the image is recorded.
pub(super) struct Held {
    /// The layers' chain ids, oldest first.
    pub chain: Vec<Digest>,
    pub pins: Vec<Pin>,
}

impl Images {
    /// Makes sure that all layers are unpacked, getting blobs from `repository` where they are not here.
    pub(super) async fn ensure_layers(
        &self,
        wanted: &[Wanted],
        repository: Option<&Arc<Repository>>,
        progress: &Arc<dyn Progress>,
    ) -> Result<Held, Error> {
        let diff_ids: Vec<Digest> = wanted.iter().map(|w| w.diff_id.clone()).collect();
        let chain = chain_ids(&diff_ids);
        let pins = {
            let _no_collection = self.inner.collecting.read().await;
            chain.iter().chain(wanted.iter().map(|w| &w.blob.digest)).map(|d| self.inner.pins.pin(d)).collect()
        };
        let mut tasks = JoinSet::new();
        let mut below: Option<watch::Receiver<bool>> = None;
        for (at, layer) in wanted.iter().enumerate() {
            let (ready, next) = watch::channel(false);
            let task = Task {
                images: self.clone(),
                wanted: layer.clone(),
                chain: chain[at].clone(),
                parent: at.checked_sub(1).map(|below| chain[below].clone()),
                repository: repository.cloned(),
                progress: Arc::clone(progress),
                below: below.replace(next),
                ready,
            };
            tasks.spawn(task.run());
        }
        // The first error ends the others: dropping the set aborts them. Who gave up because of another's failure is not
        // the cause, even if heard first.
        let mut gave_up = false;
        while let Some(result) = tasks.join_next().await {
            match result {
                Ok(Ok(done)) => gave_up |= !done,
                Ok(Err(error)) => return Err(error),
                Err(e) => return Err(Error::invalid("a layer's task", e.to_string())),
            }
        }
        if gave_up {
            return Err(Error::invalid("a layer's task", "ended without a result"));
        }
        Ok(Held { chain, pins })
    }
}

impl Task {
    fn report(&self, phase: Phase, current: u64) {
        let id = self.wanted.blob.digest.short().to_owned();
        self.progress.report(PullEvent::Layer { id, phase, current, total: self.wanted.blob.size });
    }

    /// Returns false if the layer below failed.
    async fn run(mut self) -> Result<bool, Error> {
        if self.repository.is_some() {
            self.report(Phase::PullingFsLayer, 0);
        }
        let pin = self.images.inner.pins.pin(&self.chain);
        let _only_here = pin.work().await;
        if self.images.inner.state.view().layers.contains_key(&self.chain) {
            self.report(Phase::AlreadyExists, 0);
        } else {
            let (layer, unpacked) = self.fetch().await?;
            if let Some(below) = &mut self.below
                && below.wait_for(|ready| *ready).await.is_err()
            {
                return Ok(false);
            }
            self.record(layer, unpacked).await?;
            self.report(Phase::PullComplete, self.wanted.blob.size);
        }
        self.ready.send_replace(true);
        Ok(true)
    }

    /// Gets the blob and unpacks it, both at once.
    async fn fetch(&self) -> Result<(NewLayer, Unpacked), Error> {
        let inner = &self.images.inner;
        let blob = &self.wanted.blob;
        let pin = inner.transfers.pin(&blob.digest);
        // An uncompressed first layer's blob has the digest of its chain, which this task holds already.
        let only_here = if blob.digest == self.chain { None } else { Some(pin.work().await) };
        if let Some(size) = inner.blobs.size(&blob.digest) {
            // Another layer of the same content, or an archive, brought it.
            drop(only_here);
            return self.unpack(Tail::whole(size), false).await;
        }
        let Some(repository) = &self.repository else {
            return Err(Error::invalid(format!("blob {}", blob.digest), "is not here"));
        };
        let permit = match inner.downloads.try_acquire() {
            Ok(permit) => permit,
            Err(_) => {
                self.report(Phase::Waiting, 0);
                inner.downloads.acquire().await.map_err(|e| Error::invalid("the queue of downloads", e.to_string()))?
            }
        };
        let tail = Tail::new();
        // The reader opens the file by name: it must be there before.
        let partial = inner.blobs.partial(&blob.digest);
        let expected = blob.size;
        partial.create()?;
        let report = |step: Step| match step {
            Step::Bytes(n) => self.report(Phase::Downloading, n),
            Step::Verifying => self.report(Phase::VerifyingChecksum, expected),
            Step::Retrying => self.report(Phase::Retrying, 0),
        };
        let fetching = async {
            let result = download(repository, &inner.blobs, blob, &tail, &report).await;
            drop(permit);
            if result.is_ok() {
                self.report(Phase::DownloadComplete, expected);
                // Of a small blob all may have been read before, and reading says no more.
                self.report(Phase::Extracting, 0);
            }
            result
        };
        let (fetched, unpacked) = tokio::join!(fetching, self.unpack(tail.clone(), true));
        // A bad blob is the cause of whatever unpacking says.
        fetched?;
        match unpacked {
            Err(Error::Unpack { .. } | Error::Corrupt { .. }) if tail.restarted() => {
                // The first bytes came from an earlier transfer and were wrong; now the whole blob is verified.
                self.unpack(Tail::whole(expected), false).await
            }
            other => other,
        }
    }

    /// Unpacks the blob, as a whole or while it still arrives.
    async fn unpack(&self, tail: Tail, arriving: bool) -> Result<(NewLayer, Unpacked), Error> {
        let inner = &self.images.inner;
        let permit = Arc::clone(&inner.unpacks)
            .acquire_owned()
            .await
            .map_err(|e| Error::invalid("the queue of layers", e.to_string()))?;
        let path = if arriving {
            inner.blobs.partial(&self.wanted.blob.digest).path().to_owned()
        } else {
            inner.blobs.path(&self.wanted.blob.digest)
        };
        let (dirs, wanted, progress) = (Arc::clone(&inner.dirs), self.wanted.clone(), Arc::clone(&self.progress));
        let final_path = inner.blobs.path(&self.wanted.blob.digest);
        blocking(move || {
            let _permit = permit;
            let id = wanted.blob.digest.short().to_owned();
            let seen = report_reading(id.clone(), wanted.blob.size, progress, tail.clone());
            let source = tail.reader(&path, Box::new(seen));
            // A small blob may have become whole, under its final name, before this thread came to open it.
            let seen_again = |e: std::io::Error| {
                if e.kind() == std::io::ErrorKind::NotFound {
                    tail.reader(&final_path, Box::new(|_| ()))
                } else {
                    Err(e)
                }
            };
            let source = source.or_else(seen_again).map_err(|e| Error::io("open blob", &path, e))?;
            let layer = dirs.create()?;
            let (diff_id, unpacked) =
                unpack_layer(source, &layer.path()).map_err(|e| Error::unpack(&id, &layer.path(), e))?;
            if diff_id != wanted.diff_id {
                return Err(Error::Corrupt {
                    what: format!("unpacked layer {id}"),
                    expected: wanted.diff_id,
                    actual: diff_id,
                });
            }
            Ok((layer, unpacked))
        })
        .await
    }

    /// Records the layer; the one below it is recorded.
    async fn record(&self, layer: NewLayer, unpacked: Unpacked) -> Result<(), Error> {
        let inner = &self.images.inner;
        if !unpacked.implicit_dirs.is_empty()
            && let Some(parent) = &self.parent
        {
            let state = inner.state.view();
            let below = state
                .lineage(parent)
                .unwrap_or_default()
                .into_iter()
                .map(|(_, l)| inner.dirs.layer(&l.dir))
                .collect::<Vec<_>>();
            let (dirs, path) = (Arc::clone(&inner.dirs), layer.path());
            blocking(move || dirs.mend_implicit(&path, &unpacked.implicit_dirs, &below)).await?;
        }
        let record = LayerRecord {
            dir: layer.name().to_owned(),
            diff_id: self.wanted.diff_id.clone(),
            parent: self.parent.clone(),
            size: unpacked.size,
            blob: Descriptor::new(&self.wanted.blob.media_type, self.wanted.blob.digest.clone(), self.wanted.blob.size),
            unsynced: Some(inner.epoch.clone()),
        };
        inner.state.update_later(|state| drop(state.layers.insert(self.chain.clone(), record))).await;
        layer.keep();
        Ok(())
    }
}

/// Tells how far unpacking is, at most ten times a second. While the blob arrives, the download's own figures are the
/// news: unpacking keeps up with it.
fn report_reading(id: String, total: u64, progress: Arc<dyn Progress>, blob: Tail) -> impl FnMut(u64) + Send {
    let mut last: Option<Instant> = None;
    let told = AtomicU64::new(0);
    move |current| {
        let end = current >= total && told.load(Ordering::Relaxed) < total;
        let due = end || last.is_none_or(|l| l.elapsed() >= Duration::from_millis(100));
        if due && blob.is_complete() {
            last = Some(Instant::now());
            told.store(current, Ordering::Relaxed);
            progress.report(PullEvent::Layer { id: id.clone(), phase: Phase::Extracting, current, total });
        }
    }
}
