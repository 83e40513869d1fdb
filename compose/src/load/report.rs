//! Collects what is found wrong, so that all of it is said at once.

use std::path::{Path as FsPath, PathBuf};

use super::node::Mark;
use super::pattern::Path;
use crate::diagnostic::{Diagnostic, LoadError, Place};

/// Errors in a single load that are still told.
const MAX_ERRORS: usize = 100;

#[derive(Debug, Default)]
pub(super) struct Report {
    /// The directory that a person is in; files below it are called by their short names.
    directory: PathBuf,
    /// The table that marks point into.
    files: Vec<PathBuf>,
    errors: Vec<(Option<Mark>, Diagnostic)>,
    warnings: Vec<Diagnostic>,
}

impl Report {
    pub fn new(directory: PathBuf) -> Report {
        Report { directory, ..Report::default() }
    }

    /// What a file is called in messages.
    pub fn display_name(&self, path: &FsPath) -> PathBuf {
        path.strip_prefix(&self.directory).unwrap_or(path).to_owned()
    }

    /// The index of a file for marks.
    pub fn file(&mut self, path: PathBuf) -> u32 {
        let index = self.files.iter().position(|known| *known == path).unwrap_or_else(|| {
            self.files.push(path);
            self.files.len() - 1
        });
        u32::try_from(index).unwrap_or(u32::MAX)
    }

    pub fn place(&self, mark: Mark) -> Option<Place> {
        let file = self.display_name(self.files.get(mark.file as usize)?);
        (mark.line > 0).then_some(Place { file, line: mark.line as usize, column: mark.column as usize })
    }

    /// Every file that was read.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    pub fn error(&mut self, mark: Mark, message: impl Into<String>) {
        let diagnostic = Diagnostic { place: self.place(mark), message: message.into() };
        self.push(Some(mark), diagnostic);
    }

    pub fn error_at(&mut self, mark: Mark, path: &Path, message: impl std::fmt::Display) {
        let subject = path.subject();
        self.error(mark, if subject.is_empty() { message.to_string() } else { format!("{subject}: {message}") });
    }

    pub fn plain_error(&mut self, message: impl Into<String>) {
        self.push(None, Diagnostic { place: None, message: message.into() });
    }

    fn push(&mut self, mark: Option<Mark>, diagnostic: Diagnostic) {
        let known = self.errors.iter().any(|(_, told)| *told == diagnostic);
        if !known && self.errors.len() < MAX_ERRORS {
            self.errors.push((mark, diagnostic));
        }
    }

    pub fn warn(&mut self, mark: Option<Mark>, message: impl Into<String>) {
        let diagnostic = Diagnostic { place: mark.and_then(|m| self.place(m)), message: message.into() };
        if !self.warnings.contains(&diagnostic) && self.warnings.len() < MAX_ERRORS {
            self.warnings.push(diagnostic);
        }
    }

    pub fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    pub fn take_warnings(&mut self) -> Vec<Diagnostic> {
        std::mem::take(&mut self.warnings)
    }

    /// The error of a load that ends here, in the order of files and lines.
    pub fn fail(&mut self) -> LoadError {
        let mut errors = std::mem::take(&mut self.errors);
        errors.sort_by_key(|(mark, _)| mark.map(|m| (m.file, m.line, m.column)));
        LoadError { errors: errors.into_iter().map(|(_, d)| d).collect(), warnings: self.take_warnings() }
    }

    /// Ends the load if anything is wrong so far.
    pub fn checkpoint(&mut self) -> Result<(), LoadError> {
        if self.has_errors() { Err(self.fail()) } else { Ok(()) }
    }
}
