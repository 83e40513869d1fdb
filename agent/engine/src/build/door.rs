//! The engine's calls for builds.

use std::sync::Arc;

use hoist_build::{BuildRequest, BuildResult, Builder, BuilderOptions, CacheEntry, Events, PruneOptions, PruneReport};
use tokio_util::sync::CancellationToken;

use super::BuildWorker;
use crate::Result;
use crate::engine::Engine;
use crate::events::Actor;
use crate::inner::Inner;

/// Opens the builder of an engine.
pub(crate) async fn open(engine: &Arc<Inner>) -> Result<Builder<BuildWorker>> {
    let options = BuilderOptions {
        root: engine.options.data_root.join("build"),
        cache_limit: engine.options.build_cache_limit,
        parallel: 0,
    };
    Ok(Builder::open(options, BuildWorker::new(engine)).await?)
}

impl Engine {
    /// Builds an image, or whatever the request's outputs say. Events tell what happens meanwhile; canceling kills what
    /// runs, and nothing of the build stays but the steps that were done.
    ///
    /// # Errors
    /// See [`hoist_build::BuildError`].
    pub async fn build(&self, request: BuildRequest, events: Events, cancel: CancellationToken) -> Result<BuildResult> {
        let result = self.builder.build(request, events, cancel).await?;
        if let Some(image) = &result.image {
            self.inner.image_made(image);
            for name in &result.names {
                let attributes = [("name".to_owned(), name.clone())].into();
                self.inner.events.publish("image", "tag", Actor { id: image.clone(), attributes });
            }
        }
        Ok(result)
    }

    /// What the build cache holds.
    ///
    /// # Errors
    /// When its records cannot be read.
    pub async fn build_cache(&self) -> Result<Vec<CacheEntry>> {
        Ok(self.builder.cache().await?)
    }

    /// Removes from the build cache.
    ///
    /// # Errors
    /// When its records cannot be changed.
    pub async fn prune_build_cache(&self, options: PruneOptions) -> Result<PruneReport> {
        let report = self.builder.prune(options).await?;
        let attributes = [("reclaimed".to_owned(), report.reclaimed.to_string())].into();
        self.inner.events.publish("builder", "prune", Actor { id: String::new(), attributes });
        Ok(report)
    }
}
