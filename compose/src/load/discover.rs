//! Which files make the project, and in which surroundings: `-f`,
//! `COMPOSE_FILE`, the default names, override files, `.env` and the
//! `COMPOSE_*` variables.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;

use super::dotenv;
use super::files::{Disk, Files};
use super::node::Mark;
use super::options::{ConfigFile, LoadOptions};
use super::paths::clean;
use super::report::Report;
use crate::diagnostic::LoadError;

/// The names that are looked for, best first.
const NAMES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"];
/// The names that are laid over the file that was found.
const OVERRIDES: [&str; 4] =
    ["compose.override.yaml", "compose.override.yml", "docker-compose.override.yaml", "docker-compose.override.yml"];

/// What was found before any compose file is read.
pub(super) struct Found {
    pub files: Vec<ConfigFile>,
    /// The project's directory, absolute.
    pub working_dir: PathBuf,
    /// The process's environment and that of the `.env` files.
    pub environment: IndexMap<String, String>,
    pub profiles: Vec<String>,
}

/// The compose file of a directory or of the nearest one above it, and its
/// override file if there is one. Empty when there is none.
pub fn find_files(start: &Path) -> Vec<PathBuf> {
    find(start, &Disk)
}

fn find(start: &Path, files: &dyn Files) -> Vec<PathBuf> {
    for directory in start.ancestors() {
        let first = |names: &[&str]| names.iter().map(|name| directory.join(name)).find(|path| files.is_file(path));
        if let Some(found) = first(&NAMES) {
            return std::iter::once(found).chain(first(&OVERRIDES)).collect();
        }
    }
    Vec::new()
}

pub(super) fn discover(options: &LoadOptions, files: &dyn Files, report: &mut Report) -> Result<Found, LoadError> {
    let absolute = |path: &Path| clean(&options.current_directory.join(path));
    let project_directory = options.project_directory.as_deref().map(absolute);
    // Variables may name the compose files, so `.env` of where we are is read first.
    let first = project_directory.clone().unwrap_or_else(|| match options.files.first().and_then(ConfigFile::path) {
        Some(path) => parent(&absolute(path)),
        None => options.current_directory.clone(),
    });
    let mut environment = surroundings(options, &first, files, report);
    for path in options.files.iter().filter_map(ConfigFile::path).filter(|path| is_remote(&path.to_string_lossy())) {
        report.plain_error(remote(&path.to_string_lossy()));
    }
    report.checkpoint()?;
    let mut found: Vec<ConfigFile> = options
        .files
        .iter()
        .map(|file| match file {
            ConfigFile::Path(path) => ConfigFile::Path(absolute(path)),
            text => text.clone(),
        })
        .collect();
    if found.is_empty()
        && let Some(named) = environment.get("COMPOSE_FILE").filter(|named| !named.is_empty())
    {
        let separator = environment.get("COMPOSE_PATH_SEPARATOR").filter(|s| !s.is_empty()).map_or(":", |s| s.as_str());
        found = named
            .split(separator)
            .filter(|p| !p.is_empty())
            .map(|p| ConfigFile::Path(absolute(Path::new(p))))
            .collect();
    }
    if found.is_empty() {
        found = find(&first, files).into_iter().map(ConfigFile::Path).collect();
    }
    if found.is_empty() {
        report.plain_error(format!(
            "no compose file: none of {} in {} or above it; name one with -f",
            NAMES.join(", "),
            first.display()
        ));
        return Err(report.fail());
    }
    let working_dir = project_directory.unwrap_or_else(|| match found[0].path() {
        Some(path) => parent(path),
        None => options.current_directory.clone(),
    });
    if working_dir != first {
        environment = surroundings(options, &working_dir, files, report);
    }
    report.checkpoint()?;
    let mut profiles = options.profiles.clone();
    if profiles.is_empty() {
        let named = environment.get("COMPOSE_PROFILES").map_or("", |p| p.as_str());
        profiles = named.split(',').map(str::trim).filter(|p| !p.is_empty()).map(str::to_owned).collect();
    }
    Ok(Found { files: found, working_dir, environment, profiles })
}

/// Whether a file is named that is not on this machine: a Git repository or an OCI artifact.
pub(super) fn is_remote(text: &str) -> bool {
    text.contains("://") || text.starts_with("git@")
}

/// The error for such a file.
pub(super) fn remote(text: &str) -> String {
    format!("compose files from elsewhere are not supported yet: {text}; fetch it and name the local file")
}

fn parent(path: &Path) -> PathBuf {
    path.parent().map(Path::to_owned).unwrap_or_else(|| PathBuf::from("/"))
}

/// The process's environment over that of the `.env` files.
fn surroundings(
    options: &LoadOptions,
    directory: &Path,
    files: &dyn Files,
    report: &mut Report,
) -> IndexMap<String, String> {
    let mut environment: IndexMap<String, String> = options.env.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    let disabled = options.env.get("COMPOSE_DISABLE_ENV_FILE").is_some_and(|v| matches!(v.as_str(), "1" | "true"));
    let mut named = options.env_files.clone();
    if named.is_empty()
        && let Some(list) = options.env.get("COMPOSE_ENV_FILES")
    {
        named = list.split(',').filter(|p| !p.is_empty()).map(PathBuf::from).collect();
    }
    if !named.is_empty() {
        for path in named {
            read_env(&clean(&options.current_directory.join(path)), files, &mut environment, report);
        }
    } else if !disabled {
        let path = directory.join(".env");
        if files.is_file(&path) {
            read_env(&path, files, &mut environment, report);
        }
    }
    environment.extend(options.env.iter().map(|(k, v)| (k.clone(), v.clone())));
    environment
}

/// Adds what a file of variables says. Later files win over earlier ones.
pub(super) fn read_env(
    path: &Path,
    files: &dyn Files,
    environment: &mut IndexMap<String, String>,
    report: &mut Report,
) {
    let text = match files.read(path) {
        Ok(text) => text,
        Err(error) => return report.plain_error(format!("cannot read the environment file: {error}")),
    };
    let lookup = |name: &str| environment.get(name).cloned();
    match dotenv::parse(&text, &lookup) {
        Ok(entries) => environment.extend(entries.into_iter().filter_map(|(name, value)| Some((name, value?)))),
        Err(error) => {
            let file = report.file(path.to_owned());
            report.error(Mark { file, line: error.line, column: error.column }, error.message);
        }
    }
}
