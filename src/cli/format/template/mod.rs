//! The part of Go's text/template that people use with container tools.
//!
//! [`lex`] cuts text into actions and words, [`parse`] builds the tree, [`eval`] walks it over a
//! [`Value`], and [`functions`] are what can be called. Errors name the column.

mod eval;
mod functions;
mod lex;
mod parse;
mod printf;
#[cfg(test)]
mod tests;
mod value;

pub use value::Value;

use crate::cli::failure::Failure;

/// A template that cannot be read or carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("template column {column}: {message}")]
pub struct TemplateError {
    /// Counted from one.
    pub column: usize,
    pub message: String,
    pub hint: Option<String>,
}

impl TemplateError {
    fn new(at: usize, message: impl Into<String>) -> Self {
        Self { column: at + 1, message: message.into(), hint: None }
    }

    fn hint(mut self, hint: Option<String>) -> Self {
        self.hint = self.hint.or(hint);
        self
    }
}

impl From<TemplateError> for Failure {
    fn from(error: TemplateError) -> Self {
        let failure = Self::new(format!("--format: {error}"));
        match error.hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// A template that has been read.
#[derive(Debug, Clone)]
pub struct Template {
    nodes: Vec<parse::Node>,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// [`TemplateError`] at the first thing that is not understood.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        Ok(Self { nodes: parse::parse(text)? })
    }

    /// Carries it out on a value.
    ///
    /// # Errors
    /// [`TemplateError`] for a field that is not there or a function that does not fit.
    pub fn render(&self, data: &Value) -> Result<String, TemplateError> {
        eval::render(&self.nodes, data)
    }
}
