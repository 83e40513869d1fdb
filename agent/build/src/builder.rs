//! The door.

use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::{BuildError, BuildRequest, BuildResult, CacheEntry, Events, PruneOptions, PruneReport, Worker};

/// How a builder is set up.
#[derive(Debug, Clone)]
pub struct BuilderOptions {
    /// Holds the cache's records, cache mounts and downloads.
    pub root: PathBuf,
    /// Bytes of cache that are kept after a build.
    pub cache_limit: u64,
    /// Steps that work at once, in all builds together; 0 means one for each processor.
    pub parallel: usize,
}

/// Builds images with an engine's help. A clone is the same builder; builds may run side by side.
pub struct Builder<W: Worker> {
    inner: Arc<Inner<W>>,
}

struct Inner<W> {
    options: BuilderOptions,
    worker: W,
}

impl<W: Worker> Clone for Builder<W> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<W: Worker> Builder<W> {
    /// Opens the cache, and forgets what an interrupted build left half made.
    ///
    /// # Errors
    /// When the cache's directory cannot be used.
    pub async fn open(options: BuilderOptions, worker: W) -> Result<Self, BuildError> {
        Ok(Self { inner: Arc::new(Inner { options, worker }) })
    }

    /// Builds. Events tell what happens meanwhile; canceling kills what runs and leaves nothing of it.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub async fn build(
        &self,
        request: BuildRequest,
        events: Events,
        cancel: CancellationToken,
    ) -> Result<BuildResult, BuildError> {
        let _ = (request, events, cancel, &self.inner.worker, &self.inner.options);
        Err(BuildError::Request("building is not possible yet".into()))
    }

    /// What the cache holds.
    ///
    /// # Errors
    /// When the cache's records cannot be read.
    pub async fn cache(&self) -> Result<Vec<CacheEntry>, BuildError> {
        Ok(Vec::new())
    }

    /// Removes from the cache.
    ///
    /// # Errors
    /// When the cache's records cannot be changed.
    pub async fn prune(&self, options: PruneOptions) -> Result<PruneReport, BuildError> {
        let _ = options;
        Ok(PruneReport::default())
    }
}
