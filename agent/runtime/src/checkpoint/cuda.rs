//! Processes with a context on an NVIDIA GPU, whose state the driver's program `cuda-checkpoint` moves to their memory
//! and back. Where CRIU has its own plugin for that, nothing is done here.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::criu::Criu;
use super::{CheckpointError, io_error};

const PROGRAM: &str = "cuda-checkpoint";
const PLUGINS: [&str; 4] = ["/usr/lib/criu", "/usr/lib64/criu", "/usr/local/lib/criu", "/usr/libexec/criu"];

/// Processes whose state on the GPU is in their memory.
#[derive(Debug, Default)]
pub(super) struct Suspended {
    program: PathBuf,
    pids: Vec<i32>,
}

/// Moves the state of those processes of the container of `init` that have one.
pub(super) fn suspend(criu: &Criu, init: i32) -> Result<Suspended, CheckpointError> {
    let mut suspended = Suspended::default();
    let Some(program) = program(criu) else { return Ok(suspended) };
    suspended.program = program;
    for pid in with_devices(init) {
        match toggle(&suspended.program, pid) {
            Ok(()) => suspended.pids.push(pid),
            Err(error) => {
                suspended.resume()?;
                return Err(error);
            }
        }
    }
    Ok(suspended)
}

/// Moves the state back in a container that was restored.
pub(super) fn resume_all(criu: &Criu, init: i32) -> Result<(), CheckpointError> {
    let Some(program) = program(criu) else { return Ok(()) };
    let pids = processes(init).into_iter().filter(|pid| state(&program, *pid).as_deref() == Some("checkpointed"));
    Suspended { pids: pids.collect(), program }.resume()
}

impl Suspended {
    /// Moves it back.
    pub(super) fn resume(&self) -> Result<(), CheckpointError> {
        self.pids.iter().try_for_each(|pid| toggle(&self.program, *pid))
    }
}

fn program(criu: &Criu) -> Option<PathBuf> {
    let has_plugin = PLUGINS.iter().any(|dir| Path::new(dir).join("cuda_plugin.so").exists());
    if has_plugin { None } else { criu.beside(PROGRAM) }
}

/// The processes of the container that have one of the driver's devices open and a context on it.
fn with_devices(init: i32) -> Vec<i32> {
    let open = |pid: &i32| {
        let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        fds.filter_map(|fd| std::fs::read_link(fd.path()).ok()).any(|file| file.starts_with("/dev/nvidiactl"))
    };
    processes(init).into_iter().filter(open).collect()
}

/// The first process and all below it.
fn processes(init: i32) -> Vec<i32> {
    let mut found = vec![init];
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        next += 1;
        let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        for thread in threads {
            let children = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
        }
    }
    found
}

fn command(program: &Path, pid: i32) -> Command {
    let mut command = Command::new(program);
    command.arg("--pid").arg(pid.to_string()).stdin(Stdio::null());
    command
}

fn state(program: &Path, pid: i32) -> Option<String> {
    let answer = command(program, pid).arg("--get-state").output().ok()?;
    answer.status.success().then(|| String::from_utf8_lossy(&answer.stdout).trim().to_owned())
}

fn toggle(program: &Path, pid: i32) -> Result<(), CheckpointError> {
    let answer =
        command(program, pid).arg("--toggle").output().map_err(io_error(format!("run {}", program.display())))?;
    if answer.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&answer.stderr).trim().to_owned();
    Err(CheckpointError::Unsupported(format!("{PROGRAM} --toggle --pid {pid}: {words}")))
}
