//! Creating and starting.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{ContainerState, Hooks, Spec};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::record::{Record, START, Status, put};
use super::{Error, Runtime, cgroup_path, check_id, foreground, io_error};
use crate::launch::parent::{self, Extra};
use crate::launch::plan::Plan;
use crate::launch::wire::{FromChild, Wire};
use crate::launch::{Launch, LaunchError, Launched, Rootfs, Stdio};
use crate::mounts::root::Enter;

/// How a container is created.
#[derive(Debug, Default)]
pub(crate) struct CreateOptions {
    pub bundle: PathBuf,
    /// Where the master of the terminal is sent.
    pub console_socket: Option<PathBuf>,
    pub pid_file: Option<PathBuf>,
    pub no_pivot: bool,
    pub no_new_keyring: bool,
    /// Descriptors for the command, as 3, 4, ….
    pub preserved: Vec<OwnedFd>,
    /// The terminal is handed to the caller instead of a socket.
    pub keep_terminal: bool,
}

/// A directory that is removed unless the creation succeeds.
struct NewDirectory(Option<PathBuf>);

impl Drop for NewDirectory {
    fn drop(&mut self) {
        if let Some(dir) = self.0.take() {
            let _ = std::fs::remove_dir_all(dir);
        }
    }
}

impl Runtime {
    /// Makes a container whose command waits to be started.
    pub(crate) fn create(&self, id: &str, options: CreateOptions) -> Result<Record, Error> {
        let (record, _) = self.make(id, options, true)?;
        Ok(record)
    }

    /// Makes a container and starts its command at once.
    pub(crate) fn run(&self, id: &str, options: CreateOptions) -> Result<(Record, Launched), Error> {
        self.make(id, options, false)
    }

    fn make(&self, id: &str, options: CreateOptions, hold: bool) -> Result<(Record, Launched), Error> {
        check_id(id)?;
        let bundle = std::fs::canonicalize(&options.bundle)
            .map_err(io_error(format!("open the bundle {}", options.bundle.display())))?;
        let spec = super::load_spec(&bundle.join("config.json"))?;
        let root = spec.root().as_ref().ok_or_else(|| Error::Usage("the configuration has no root".into()))?;
        let rootfs = bundle.join(root.path());
        let rootfs = std::fs::canonicalize(&rootfs)
            .map_err(io_error(format!("open the root file system {}", rootfs.display())))?;
        let plan = Plan::new(&spec, &bundle)?;
        let terminal = plan.process.as_ref().is_some_and(|process| process.terminal);
        check_console(terminal, &options)?;
        let cgroup = cgroup_path(&spec, id)?;
        let dir = self.directory(id)?;
        std::fs::create_dir_all(&self.root).map_err(io_error(format!("make {}", self.root.display())))?;
        match rustix::fs::mkdirat(CWD, &dir, Mode::from_raw_mode(0o711)) {
            Err(rustix::io::Errno::EXIST) => return Err(Error::Exists(id.to_owned())),
            other => other.map_err(|error| io_error(format!("make {}", dir.display()))(error.into()))?,
        }
        let mut new = NewDirectory(Some(dir.clone()));
        let extra = Extra {
            hold: if hold {
                Some(listen(&dir).map_err(io_error(format!("listen in {}", dir.display())))?)
            } else {
                None
            },
            keyring: !options.no_new_keyring,
            enter: if options.no_pivot { Enter::Move } else { Enter::Pivot },
        };
        let launch = Launch {
            id,
            spec: &spec,
            bundle: &bundle,
            rootfs: Rootfs::Path(rootfs.clone()),
            stdio: if terminal { Stdio::Terminal { size: None } } else { Stdio::Inherit },
            cgroup: cgroup.clone(),
            init: false,
            mounts: Vec::new(),
            pass_fds: options.preserved,
        };
        let mut launched = match parent::start_plan(launch, &plan, extra) {
            Ok(launched) => launched,
            Err(error) => {
                if matches!(error, LaunchError::Hook(_)) {
                    // The lifecycle goes on with the container's end (runtime.md, "Lifecycle", step 13).
                    let state = parent::state(&plan, id, &bundle, 0, ContainerState::Stopped);
                    let _ = crate::hooks::run("poststop", plan.hooks.poststop().as_deref().unwrap_or_default(), &state);
                }
                return Err(error.into());
            }
        };
        let record = Record::new(id, &spec, &bundle, &rootfs, &cgroup, launched.pid);
        let result =
            self.settle(&record, &spec, &dir, &mut launched, options.console_socket.as_deref()).and_then(|()| {
                options.pid_file.as_ref().map_or(Ok(()), |file| put(file, launched.pid.to_string().as_bytes()))
            });
        if let Err(error) = result {
            let _ = crate::sys::pidfd_send_signal(launched.pidfd.as_fd(), libc::SIGKILL);
            let _ = crate::sys::waitpid(launched.pid);
            if let Ok(cgroup) = record.cgroup() {
                let _ = cgroup.kill_all(libc::SIGKILL);
                let _ = cgroup.delete();
            }
            return Err(error);
        }
        new.0 = None;
        let record = Record { directory: dir, ..record };
        if !hold {
            self.poststart(&record, &plan.hooks)?;
        }
        Ok((record, launched))
    }

    /// Writes down what was made, and sends the terminal to whom it belongs.
    fn settle(
        &self,
        record: &Record,
        spec: &Spec,
        dir: &Path,
        launched: &mut Launched,
        console: Option<&Path>,
    ) -> Result<(), Error> {
        if let (Some(socket), Some(master)) = (console, launched.terminal.take_if(|_| console.is_some())) {
            foreground::send_terminal(socket, &master)
                .map_err(io_error(format!("send the terminal to {}", socket.display())))?;
        }
        record.write(dir, spec)
    }

    /// Executes the command of a created container.
    pub fn start(&self, id: &str) -> Result<(), Error> {
        let record = self.record(id)?;
        let status = record.status();
        if status != Status::Created {
            return Err(Error::Status { operation: "start", id: id.to_owned(), status });
        }
        let spec = self.spec(&record)?;
        if spec.process().is_none() {
            return Err(Error::Usage("the configuration has no process to start".into()));
        }
        let socket = connect(&record.directory).map_err(io_error(format!("reach container {id}")))?;
        let wire = Wire::from(socket);
        let plan = Plan::new(&spec, &record.bundle)?;
        loop {
            match wire.hear().map_err(io_error(format!("hear from container {id}")))? {
                None => break,
                Some(FromChild::Failed(error)) => {
                    let _ = std::fs::remove_file(record.directory.join(START));
                    return Err(LaunchError::from(error).into());
                }
                Some(FromChild::Seccomp(listener)) => {
                    parent::send_listener(&plan, id, &record.bundle, record.pid, listener)?;
                }
                Some(_) => {}
            }
        }
        let socket = record.directory.join(START);
        std::fs::remove_file(&socket).map_err(io_error(format!("remove {}", socket.display())))?;
        self.poststart(&record, &plan.hooks)
    }

    /// Hooks after the start; if one fails, the container ends.
    fn poststart(&self, record: &Record, hooks: &Hooks) -> Result<(), Error> {
        let list = hooks.poststart().as_deref().unwrap_or_default();
        let state = record.oci_state(ContainerState::Running);
        if let Err(error) = crate::hooks::run("poststart", list, &state) {
            let _ = self.delete(&record.id, true);
            return Err(LaunchError::Hook(error.to_string()).into());
        }
        Ok(())
    }
}

fn check_console(terminal: bool, options: &CreateOptions) -> Result<(), Error> {
    match (terminal, &options.console_socket) {
        (true, None) if !options.keep_terminal => {
            Err(Error::Usage("the process has a terminal, so --console-socket is needed".into()))
        }
        (false, Some(_)) => Err(Error::Usage("--console-socket is given, but the process has no terminal".into())),
        _ => Ok(()),
    }
}

/// A path to a socket in `dir` that is short enough for a socket's address, however long that of `dir` is.
fn short_address(dir: &Path) -> io::Result<(OwnedFd, SocketAddrUnix)> {
    use std::os::fd::AsRawFd;
    let dir = rustix::fs::openat(CWD, dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let address = SocketAddrUnix::new(format!("/proc/self/fd/{}/{START}", dir.as_raw_fd()))?;
    Ok((dir, address))
}

/// The socket at which the command waits.
fn listen(dir: &Path) -> io::Result<OwnedFd> {
    let (_dir, address) = short_address(dir)?;
    let socket = socket()?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, 1)?;
    Ok(socket)
}

fn connect(dir: &Path) -> io::Result<OwnedFd> {
    let (_dir, address) = short_address(dir)?;
    let socket = socket()?;
    rustix::net::connect(&socket, &address)?;
    Ok(socket)
}

fn socket() -> io::Result<OwnedFd> {
    Ok(rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}
