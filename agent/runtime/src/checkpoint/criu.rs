//! The program `criu`.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{CheckpointError, io_error};

/// Where programs are when the environment does not say.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What is read of a log: the reason is the first error in it.
const LOG_MAX: u64 = 4 << 20;

/// The program, and where it looks for those that it runs itself (`tar`).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Criu {
    /// Its absolute path.
    program: PathBuf,
    path: String,
}

impl Criu {
    /// Finds it on the PATH, and asks it whether it gets on with this kernel.
    ///
    /// # Errors
    /// `Missing`, `Unfit`.
    pub fn find() -> Result<Self, CheckpointError> {
        let path = std::env::var("PATH").ok().filter(|path| !path.is_empty()).unwrap_or_else(|| PATH.to_owned());
        let program = find_in("criu", &path).ok_or(CheckpointError::Missing)?;
        let criu = Self { program, path };
        criu.check()?;
        Ok(criu)
    }

    fn check(&self) -> Result<(), CheckpointError> {
        let mut command = self.command("check");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let answer = command.output().map_err(io_error(format!("run {}", self.program.display())))?;
        if answer.status.success() {
            return Ok(());
        }
        let words = [answer.stderr, answer.stdout].concat();
        let words = String::from_utf8_lossy(&words);
        Err(CheckpointError::Unfit(
            reason(&words).unwrap_or_else(|| format!("criu check ended with {}", answer.status)),
        ))
    }

    /// Another program from where this one came.
    pub(super) fn beside(&self, name: &str) -> Option<PathBuf> {
        find_in(name, &self.path)
    }

    /// A command without streams.
    pub(super) fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(verb).env_clear().env("PATH", &self.path).current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Runs a command that writes its words to `log`.
    pub(super) fn run(&self, verb: &'static str, mut command: Command, log: &Path) -> Result<(), CheckpointError> {
        let _ = std::fs::remove_file(log);
        command.arg("--log-file").arg(log);
        let status = command
            .spawn()
            .and_then(|mut child| {
                // Descriptors that are for the child alone would keep pipes open.
                drop(command);
                child.wait()
            })
            .map_err(io_error(format!("run {} {verb}", self.program.display())))?;
        if status.success() {
            return Ok(());
        }
        let mut words = String::new();
        let read = File::open(log).and_then(|file| file.take(LOG_MAX).read_to_string(&mut words));
        let reason = read.ok().and_then(|_| reason(&words)).unwrap_or_else(|| format!("it ended with {status}"));
        Err(CheckpointError::Failed { verb, reason, log: log.to_owned() })
    }
}

/// The first program of that name in the directories of `path`.
fn find_in(name: &str, path: &str) -> Option<PathBuf> {
    std::env::split_paths(OsStr::new(path)).map(|dir| dir.join(name)).find(|file| {
        file.is_absolute() && file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    })
}

/// The first error of a log: what comes after it follows from it. `(00.012)   1: Error (criu/file.c:123): words`
fn reason(log: &str) -> Option<String> {
    let errors = || log.lines().filter_map(|line| Some(line.split_once("Error (")?.1.split_once("): ")?.1.trim()));
    errors().find(|words| !words.contains("FAILED")).or(errors().next()).map(str::to_owned)
}

/// A directory for the files that a run leaves and nobody reads.
pub(super) fn work_dir(dir: &Path) -> io::Result<()> {
    match std::fs::create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_is_the_reason() {
        let log = "(00.000124) Version: 3.17.1\n\
                   (00.003) Warn  (criu/kerndat.c:1): nothing\n\
                   (00.012345) Error (criu/sk-inet.c:191): inet: Connected TCP socket, consider using --tcp-established option.\n\
                   (00.012346) Error (criu/cr-dump.c:1781): Dump files (pid: 7) failed with -1\n\
                   (00.0124) Error (criu/cr-dump.c:2098): Dumping FAILED.\n";
        assert_eq!(
            reason(log).as_deref(),
            Some("inet: Connected TCP socket, consider using --tcp-established option.")
        );
        assert_eq!(reason("  1: Error (criu/x.c:1): Restoring FAILED.").as_deref(), Some("Restoring FAILED."));
        assert_eq!(reason("nothing"), None);
    }

    #[test]
    fn programs_are_looked_for_on_the_path() {
        let dir = tempfile::tempdir().unwrap();
        let path = format!("/nowhere:{}", dir.path().display());
        let program = dir.path().join("criu");
        std::fs::write(&program, "").unwrap();
        assert_eq!(find_in("criu", &path), None);
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(find_in("criu", &path), Some(program));
    }
}
