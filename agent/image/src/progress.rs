//! What a pull, push or load tells while it goes on, in Docker's words.

use std::fmt;
use std::sync::Arc;

/// Where one layer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// It is known that the layer is needed.
    PullingFsLayer,
    /// It waits for a free download slot.
    Waiting,
    /// Bytes arrive: `current` of `total`.
    Downloading,
    /// All bytes are here; the digest is compared.
    VerifyingChecksum,
    /// The blob is whole.
    DownloadComplete,
    /// It is being unpacked: `current` of `total` compressed bytes.
    Extracting,
    /// The layer is ready for use.
    PullComplete,
    /// The layer was here before.
    AlreadyExists,
    /// The connection broke and another try follows.
    Retrying,
    /// Push: the layer is being looked for at the registry.
    Preparing,
    /// Push: bytes leave.
    Pushing,
    /// Push: the registry has it now.
    Pushed,
    /// Push: the registry had it already.
    LayerAlreadyExists,
    /// Push: the registry took it from another of its repositories.
    Mounted,
    /// Load: the layer is read from an archive.
    LoadingLayer,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::PullingFsLayer => "Pulling fs layer",
            Phase::Waiting => "Waiting",
            Phase::Downloading => "Downloading",
            Phase::VerifyingChecksum => "Verifying Checksum",
            Phase::DownloadComplete => "Download complete",
            Phase::Extracting => "Extracting",
            Phase::PullComplete => "Pull complete",
            Phase::AlreadyExists => "Already exists",
            Phase::Retrying => "Retrying",
            Phase::Preparing => "Preparing",
            Phase::Pushing => "Pushing",
            Phase::Pushed => "Pushed",
            Phase::LayerAlreadyExists => "Layer already exists",
            Phase::Mounted => "Mounted",
            Phase::LoadingLayer => "Loading layer",
        })
    }
}

/// One step of a pull, push or load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullEvent {
    /// A line about the whole, such as `Pulling from library/busybox`; `id` is what Docker puts before it (the tag).
    Status {
        /// Docker's `id` field.
        id: Option<String>,
        /// The line.
        message: String,
    },
    /// A layer moved on.
    Layer {
        /// The layer's short id (twelve digits of its blob's digest).
        id: String,
        /// Where it is.
        phase: Phase,
        /// Bytes done.
        current: u64,
        /// Bytes in all; 0 when unknown.
        total: u64,
    },
}

impl PullEvent {
    pub(crate) fn line(message: impl Into<String>) -> PullEvent {
        PullEvent::Status { id: None, message: message.into() }
    }
}

/// Who listens. Called from several threads; must not block for long.
pub trait Progress: Send + Sync {
    /// Takes one event.
    fn report(&self, event: PullEvent);
}

impl Progress for () {
    fn report(&self, _event: PullEvent) {}
}

impl<F: Fn(PullEvent) + Send + Sync> Progress for F {
    fn report(&self, event: PullEvent) {
        self(event);
    }
}

impl Progress for tokio::sync::mpsc::UnboundedSender<PullEvent> {
    fn report(&self, event: PullEvent) {
        // A listener that went away no longer cares.
        let _ = self.send(event);
    }
}

/// Nobody listens.
pub fn silent() -> Arc<dyn Progress> {
    Arc::new(())
}
