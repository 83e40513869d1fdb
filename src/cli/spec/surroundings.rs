//! What surrounds a command line: variables, files, the working directory.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// What surrounds a command line.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    env: Option<BTreeMap<String, String>>,
    directory: Option<PathBuf>,
}

impl Surroundings {
    /// This process's own.
    pub fn real() -> Self {
        Self::default()
    }

    /// For tests: these variables and this directory.
    #[cfg(test)]
    pub fn of(env: &[(&str, &str)], directory: &str) -> Self {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { env: Some(env), directory: Some(directory.into()) }
    }

    /// A variable's value.
    pub fn var(&self, name: &str) -> Option<String> {
        match &self.env {
            Some(env) => env.get(name).cloned(),
            None => std::env::var(name).ok(),
        }
    }

    /// A path made absolute, without looking at the file system.
    pub fn absolute(&self, path: &Path) -> PathBuf {
        let mut whole = match &self.directory {
            Some(directory) => directory.clone(),
            None => std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
        };
        if path.is_absolute() {
            whole = PathBuf::from("/");
        }
        for part in path.components() {
            match part {
                std::path::Component::ParentDir => {
                    whole.pop();
                }
                std::path::Component::Normal(name) => whole.push(name),
                _ => {}
            }
        }
        whole
    }

    /// A file's text.
    pub fn read(&self, path: &Path) -> std::io::Result<String> {
        if path == Path::new("-") {
            return std::io::read_to_string(std::io::stdin());
        }
        fs_err::read_to_string(path)
    }
}
