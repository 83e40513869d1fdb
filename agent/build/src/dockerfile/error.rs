//! What is wrong with a Dockerfile, and where.

use super::{Pos, Span};

/// A mistake in a Dockerfile: `Dockerfile:LINE:COLUMN: what was found, what was expected; did you mean …`. Or one of what
/// was asked of the file, which has no place in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}{}: {message}{}", place(.at), hint(.suggestion))]
pub struct Error {
    /// What the file is called in messages; what was asked, as a flag, where the mistake is there.
    pub file: String,
    /// Where the mistake starts.
    pub at: Pos,
    /// The words that are wrong.
    pub span: Span,
    pub message: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

fn place(at: &Pos) -> String {
    if at.line == 0 { String::new() } else { format!(":{at}") }
}

fn hint(suggestion: &Option<String>) -> String {
    suggestion.as_ref().map(|word| format!("; did you mean {word}?")).unwrap_or_default()
}

impl Error {
    /// A mistake at a word, without the file's name: [`Error::in_file`] adds it.
    pub fn at(span: Span, message: impl Into<String>) -> Self {
        Self { file: String::new(), at: span.start, span, message: message.into(), suggestion: None }
    }

    pub fn suggest(mut self, suggestion: Option<impl Into<String>>) -> Self {
        self.suggestion = suggestion.map(Into::into);
        self
    }

    /// The same mistake with the name of the file that holds it.
    pub fn in_file(mut self, file: &str) -> Self {
        self.file = file.to_owned();
        self
    }
}
