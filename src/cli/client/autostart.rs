//! Starting the daemon when a command finds none.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read},
    os::fd::{AsRawFd, OwnedFd},
    path::PathBuf,
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
};

use super::ClientError;

/// How the daemon is started that a command found missing.
#[derive(Debug, Clone)]
pub struct Autostart {
    pub data_root: PathBuf,
    pub run_root: PathBuf,
    /// Its settings, when they are not in the usual place.
    pub config_file: Option<PathBuf>,
}

impl Autostart {
    /// Starts a daemon of its own session and returns once it answers. Blocks meanwhile.
    ///
    /// # Errors
    /// [`ClientError::StartNeedsRoot`], or [`ClientError::Start`] with the daemon's own words.
    pub fn start(&self) -> Result<(), ClientError> {
        if !rustix::process::geteuid().is_root() {
            return Err(ClientError::StartNeedsRoot);
        }
        let log_path = self.run_root.join("daemon.log");
        let fail = |reason: String| ClientError::Start { reason, log: log_path.clone() };
        let (mut reader, child) = self.spawn(&log_path).map_err(|err| fail(err.to_string()))?;
        let mut answer = String::new();
        reader.read_to_string(&mut answer).map_err(|err| fail(err.to_string()))?;
        // The daemon is not this process's business any more: whoever adopts it reaps it.
        drop(child);
        match answer.trim() {
            "ready" | "already" => Ok(()),
            "" => Err(fail("it ended without a word".to_owned())),
            reason => Err(fail(reason.to_owned())),
        }
    }

    fn spawn(&self, log_path: &std::path::Path) -> io::Result<(File, std::process::Child)> {
        fs_err::create_dir_all(&self.run_root)?;
        // The daemon inherits the pipe's writing end, and no other may, nor may another start take it away: one at a time.
        static STARTING: Mutex<()> = Mutex::new(());
        let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever waits for the end of a pipe of this command's must not wait for the daemon's.
        hoist_runtime::inherit::pass_nothing_on()?;
        let log = fs_err::OpenOptions::new().create(true).append(true).open(log_path)?.into_file();
        let (reader, writer): (OwnedFd, OwnedFd) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::empty())?;
        rustix::io::fcntl_setfd(&reader, rustix::io::FdFlags::CLOEXEC)?;
        let program = std::env::current_exe()?;
        let child = Command::new(program)
            .arg("daemon")
            .arg("--ready-fd")
            .arg(writer.as_raw_fd().to_string())
            .arg("--data-root")
            .arg(&self.data_root)
            .arg("--run-root")
            .arg(&self.run_root)
            .args(self.config_file.iter().flat_map(|file| [OsStr::new("--config-file"), file.as_os_str()]))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        // The only writing end left is the daemon's: its end of file is the daemon's end.
        drop(writer);
        Ok((File::from(reader), child))
    }
}
