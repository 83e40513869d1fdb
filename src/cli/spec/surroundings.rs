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
    person: Option<Person>,
}

/// Who types.
#[derive(Debug, Clone, Default)]
pub struct Person {
    pub uid: u32,
    pub gid: u32,
    /// Those beside `gid`.
    pub groups: Vec<u32>,
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
        Self { env: Some(env), directory: Some(directory.into()), person: None }
    }

    /// For tests: typed by this person.
    #[cfg(test)]
    pub fn by(self, person: Person) -> Self {
        Self { person: Some(person), ..self }
    }

    /// A variable's value.
    pub fn var(&self, name: &str) -> Option<String> {
        match &self.env {
            Some(env) => env.get(name).cloned(),
            None => std::env::var(name).ok(),
        }
    }

    /// Who types: whom the daemon sees at the other end of its socket.
    pub fn person(&self) -> Person {
        self.person.clone().unwrap_or_else(|| {
            let gid = rustix::process::getgid().as_raw();
            let groups = rustix::process::getgroups().unwrap_or_default();
            Person {
                uid: rustix::process::getuid().as_raw(),
                gid,
                groups: groups.into_iter().map(rustix::process::Gid::as_raw).filter(|group| *group != gid).collect(),
            }
        })
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
