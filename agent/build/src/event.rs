//! What happens during a build, for those who show it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::dockerfile::Span;

/// A step of one build; numbers are given in the order of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StepId(pub u32);

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// What there is to know about a step before it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepInfo {
    pub id: StepId,
    /// `[build 2/5] RUN make`, `exporting to image`, ….
    pub name: String,
    /// The stage, by name or number; `None` for what belongs to no stage.
    pub stage: Option<String>,
    /// The instruction's place in the Dockerfile.
    pub span: Option<Span>,
    /// The steps whose results it needs.
    pub inputs: Vec<StepId>,
}

/// Which of a command's streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    Stdout,
    Stderr,
}

/// Something that happened. A step is planned once, then perhaps started, then cached, done, failed or canceled once;
/// one that is not needed stays planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum BuildEvent {
    /// The step may come.
    Planned(StepInfo),
    /// It begins.
    Started { step: StepId },
    /// Its result was known already.
    Cached { step: StepId },
    /// Its command wrote a line, given without its end.
    Output { step: StepId, stream: Stream, line: String },
    /// How far a part of it is.
    Progress {
        step: StepId,
        /// `sha256:…`, `layer 2/3`, ….
        part: String,
        /// Bytes, or whatever is counted.
        current: u64,
        total: Option<u64>,
    },
    /// It is done.
    Done { step: StepId },
    /// It failed; the build's error tells more.
    Failed { step: StepId, message: String },
    /// It was stopped because another failed, or because the build was canceled.
    Canceled { step: StepId },
    /// Something that a person should know.
    Warning { message: String, span: Option<Span> },
}

/// Where events go. Sending never waits; output that nobody could read anyway is cut by the builder.
pub type Events = tokio::sync::mpsc::UnboundedSender<BuildEvent>;
