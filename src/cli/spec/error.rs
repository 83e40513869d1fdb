//! A flag that cannot be.

use crate::cli::failure::Failure;

/// A flag that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    #[error("invalid value {value:?} for --{flag}: {reason}")]
    Value { flag: &'static str, value: String, reason: String },
    #[error("--{flag} is not supported: {reason}")]
    Unsupported { flag: &'static str, reason: &'static str },
    #[error("--{flag}: {reason}")]
    Conflict { flag: &'static str, reason: &'static str },
    #[error("--{flag}: {reason}")]
    File { flag: &'static str, reason: String },
}

impl SpecError {
    pub fn value(flag: &'static str, value: &str, reason: impl Into<String>) -> Self {
        Self::Value { flag, value: value.to_owned(), reason: reason.into() }
    }

    pub fn unsupported(flag: &'static str, reason: &'static str) -> Self {
        Self::Unsupported { flag, reason }
    }

    pub fn conflict(flag: &'static str, reason: &'static str) -> Self {
        Self::Conflict { flag, reason }
    }

    /// For commands whose mistakes Docker finds only when it carries them out, and ends with 1.
    pub fn found_late(self) -> Failure {
        Failure::from(self).code(1)
    }
}

impl From<SpecError> for Failure {
    fn from(error: SpecError) -> Self {
        Self::usage(error.to_string())
    }
}
