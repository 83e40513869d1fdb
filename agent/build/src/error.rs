//! Why a build fails.

use crate::dockerfile::{self, Span};

/// A build that failed. Each says what was tried and on which line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The Dockerfile is wrong.
    #[error(transparent)]
    Dockerfile(#[from] dockerfile::Error),
    /// A command ended with another code than 0.
    #[error("{file}:{line}: {instruction}: the command ended with exit code {exit_code}{}", output_words(last_lines))]
    Command {
        /// The Dockerfile's name.
        file: String,
        /// Where the instruction begins.
        line: u32,
        /// The instruction's place.
        span: Span,
        /// As one line.
        instruction: String,
        /// 137 for a command that was killed, as shells have it.
        exit_code: i32,
        /// The last lines that it wrote.
        last_lines: Vec<String>,
    },
    /// A step could not be done.
    #[error("{file}:{line}: {instruction}: {message}")]
    Step {
        /// The Dockerfile's name.
        file: String,
        /// Where the instruction begins.
        line: u32,
        /// The instruction's place.
        span: Span,
        /// As one line.
        instruction: String,
        /// What is wrong, and what to do.
        message: String,
    },
    /// A request that makes no sense, or asks for what is not supported.
    #[error("{0}")]
    Request(String),
    /// Something that is not here.
    #[error("{0}")]
    NotFound(String),
    /// The build was canceled.
    #[error("the build was canceled")]
    Canceled,
    /// A file.
    #[error("cannot {action} {path}")]
    Io {
        /// The verb.
        action: &'static str,
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The cache's database.
    #[error("the build cache {path}: {message}")]
    Cache {
        /// The file.
        path: String,
        /// Why.
        message: String,
    },
    /// What the engine said.
    #[error("{0}")]
    Engine(String),
}

fn output_words(lines: &[String]) -> String {
    if lines.is_empty() { String::new() } else { format!("; its last lines:\n{}", lines.join("\n")) }
}

impl BuildError {
    /// A file operation that failed.
    pub fn io(action: &'static str, path: impl AsRef<std::path::Path>, source: impl Into<std::io::Error>) -> Self {
        Self::Io { action, path: path.as_ref().display().to_string(), source: source.into() }
    }

    /// The text with all its causes, each once.
    pub fn message(&self) -> String {
        use std::error::Error;
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let words = error.to_string();
            if !text.contains(&words) {
                text.push_str(": ");
                text.push_str(&words);
            }
            cause = error.source();
        }
        text
    }
}
