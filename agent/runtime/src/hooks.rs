//! Hooks: programs of the caller's that run at points of a container's life, with its state on their input.

use std::io::{self, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use oci_spec::runtime::{Hook, Hooks, State};

use crate::launch::LaunchError;

/// Why a hook did not do its work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum HookError {
    #[error("{kind} hook {path}: {source}")]
    Start { kind: &'static str, path: String, source: io::Error },
    #[error("{kind} hook {path}: {status}{output}")]
    Failed { kind: &'static str, path: String, status: ExitStatus, output: String },
    #[error("{kind} hook {path}: still running after {seconds} s, killed")]
    Timeout { kind: &'static str, path: String, seconds: u64 },
}

/// Checks what the specification demands of hooks.
pub(crate) fn check(hooks: &Hooks) -> Result<(), LaunchError> {
    let kinds = [
        ("prestart", hooks.prestart_hooks()),
        ("createRuntime", hooks.create_runtime()),
        ("createContainer", hooks.create_container()),
        ("startContainer", hooks.start_container()),
        ("poststart", hooks.poststart()),
        ("poststop", hooks.poststop()),
    ];
    for (kind, list) in kinds {
        for hook in list.iter().flatten() {
            let path = hook.path();
            if !path.is_absolute() {
                return Err(LaunchError::Invalid(format!("hooks.{kind}: {path:?} is not an absolute path")));
            }
            if hook.timeout().is_some_and(|timeout| timeout <= 0) {
                return Err(LaunchError::Invalid(format!("hooks.{kind}: the timeout of {path:?} is not above zero")));
            }
            let words = hook.args().iter().flatten().chain(hook.env().iter().flatten());
            if words.into_iter().any(|word| word.contains('\0')) {
                return Err(LaunchError::Invalid(format!(
                    "hooks.{kind}: an argument of {path:?} has a zero byte in it"
                )));
            }
        }
    }
    Ok(())
}

/// Lets the deprecated getter be called in one place only.
trait Prestart {
    fn prestart_hooks(&self) -> &Option<Vec<Hook>>;
}

impl Prestart for Hooks {
    #[allow(deprecated)]
    fn prestart_hooks(&self) -> &Option<Vec<Hook>> {
        self.prestart()
    }
}

/// The prestart hooks; the kind is deprecated and still in use.
pub(crate) fn prestart(hooks: &Hooks) -> &[Hook] {
    hooks.prestart_hooks().as_deref().unwrap_or_default()
}

/// Runs hooks in their order; the first failure ends it.
pub(crate) fn run(kind: &'static str, hooks: &[Hook], state: &State) -> Result<(), HookError> {
    if hooks.is_empty() {
        return Ok(());
    }
    let state = serde_json::to_vec(state).expect("the state is plain data");
    hooks.iter().try_for_each(|hook| run_one(kind, hook, &state))
}

fn run_one(kind: &'static str, hook: &Hook, state: &[u8]) -> Result<(), HookError> {
    let path = hook.path().display().to_string();
    let start = |source| HookError::Start { kind, path: path.clone(), source };
    let mut command = Command::new(hook.path());
    if let Some((name, args)) = hook.args().as_deref().and_then(<[String]>::split_first) {
        command.arg0(name).args(args);
    }
    command.env_clear();
    for variable in hook.env().iter().flatten() {
        if let Some((key, value)) = variable.split_once('=')
            && !key.is_empty()
        {
            command.env(key, value);
        }
    }
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(start)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A hook that does not read its input closes it early; that is its right.
        let _ = stdin.write_all(state);
    }
    let deadline = hook.timeout().and_then(|seconds| u64::try_from(seconds).ok());
    let status = wait(&mut child, deadline.map(Duration::from_secs)).map_err(start)?;
    let Some(status) = status else {
        return Err(HookError::Timeout { kind, path, seconds: deadline.unwrap_or(0) });
    };
    if status.success() {
        return Ok(());
    }
    Err(HookError::Failed { kind, path, status, output: said(&mut child) })
}

/// What the hook wrote to its standard error, shortened. Read without waiting: a grandchild may hold it open.
fn said(child: &mut Child) -> String {
    let Some(stderr) = child.stderr.take() else {
        return String::new();
    };
    if rustix::fs::fcntl_setfl(&stderr, rustix::fs::OFlags::NONBLOCK).is_err() {
        return String::new();
    }
    let mut buffer = [0; 1024];
    let length = rustix::io::read(&stderr, &mut buffer).unwrap_or(0);
    match String::from_utf8_lossy(&buffer[..length]).trim() {
        "" => String::new(),
        text => format!(": {text}"),
    }
}

/// Waits for the hook to end, or kills it after `limit`. A process that the hook left behind may still hold
/// its output, so this waits for the process itself.
fn wait(child: &mut Child, limit: Option<Duration>) -> io::Result<Option<ExitStatus>> {
    let Some(limit) = limit else {
        return child.wait().map(Some);
    };
    let pid = i32::try_from(child.id()).expect("process numbers are positive and fit");
    let pidfd = crate::sys::pidfd_open(pid)?;
    let end = Instant::now() + limit;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let time = rustix::time::Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        let mut fds = [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)];
        match rustix::event::poll(&mut fds, Some(&time)) {
            Ok(0) => {
                child.kill()?;
                child.wait()?;
                return Ok(None);
            }
            Ok(_) => return child.wait().map(Some),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The exit code of a process from its wait status, as shells have it.
pub(crate) fn exit_code(status: i32) -> i32 {
    let status = ExitStatus::from_raw(status);
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}
