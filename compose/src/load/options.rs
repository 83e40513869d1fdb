use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One file to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigFile {
    /// A file on disk.
    Path(PathBuf),
    /// Text from elsewhere, such as standard input (named `-`).
    Text {
        /// What errors call it.
        name: PathBuf,
        /// What it says.
        text: String,
    },
}

impl ConfigFile {
    /// The path, for a file on disk.
    pub fn path(&self) -> Option<&Path> {
        match self {
            ConfigFile::Path(path) => Some(path),
            ConfigFile::Text { .. } => None,
        }
    }
}

/// What to load and how. [`LoadOptions::new`] has what `config` does without flags.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// The files, in order (`-f`); empty: `COMPOSE_FILE`, or else those found
    /// in the current directory and above.
    pub files: Vec<ConfigFile>,
    /// Where relative paths start from (`--project-directory`); else the first
    /// file's directory.
    pub project_directory: Option<PathBuf>,
    /// The directory that a person is in, absolute.
    pub current_directory: PathBuf,
    /// The project's name (`-p`).
    pub project_name: Option<String>,
    /// Profiles to activate (`--profile`); empty: `COMPOSE_PROFILES`.
    pub profiles: Vec<String>,
    /// Services that a command names: their profiles are activated.
    pub services: Vec<String>,
    /// The process's environment. It wins over all files.
    pub env: BTreeMap<String, String>,
    /// Files of variables (`--env-file`); empty: `COMPOSE_ENV_FILES`, or else
    /// `.env` in the project's directory if it is there.
    pub env_files: Vec<PathBuf>,
    /// Whether variables are replaced (`--no-interpolate`).
    pub interpolate: bool,
    /// Whether paths are made absolute (`--no-path-resolution`).
    pub resolve_paths: bool,
    /// Whether defaults are filled in (`--no-normalize`).
    pub normalize: bool,
    /// Whether references and combinations are checked (`--no-consistency`).
    pub check_consistency: bool,
    /// Whether `environment` is filled from `env_file` and the surroundings
    /// (`--no-env-resolution`).
    pub resolve_environment: bool,
}

impl LoadOptions {
    /// Everything on, nothing named.
    pub fn new(current_directory: impl Into<PathBuf>) -> LoadOptions {
        LoadOptions {
            files: Vec::new(),
            project_directory: None,
            current_directory: current_directory.into(),
            project_name: None,
            profiles: Vec::new(),
            services: Vec::new(),
            env: BTreeMap::new(),
            env_files: Vec::new(),
            interpolate: true,
            resolve_paths: true,
            normalize: true,
            check_consistency: true,
            resolve_environment: true,
        }
    }

    /// The home directory, for `~`.
    pub(super) fn home(&self) -> Option<PathBuf> {
        self.env.get("HOME").filter(|home| !home.is_empty()).map(PathBuf::from)
    }
}
