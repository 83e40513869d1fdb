//! Further processes in a container.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use oci_spec::runtime::{Capability, LinuxCapabilities, Process, Spec, User};

use super::record::{Status, put};
use super::{Error, Runtime, foreground, io_error};
use crate::cgroup::CgroupPath;
use crate::launch::{ExecInto, Launched, Stdio, exec_into};

/// How a process is started in a container.
#[derive(Debug, Default)]
pub(crate) struct ExecOptions {
    /// The whole process, or else the container's own with the changes below.
    pub process: Option<PathBuf>,
    pub args: Vec<String>,
    pub cwd: Option<PathBuf>,
    pub env: Vec<String>,
    pub tty: bool,
    /// `uid[:gid]`.
    pub user: Option<String>,
    pub additional_gids: Vec<u32>,
    pub caps: Vec<String>,
    pub no_new_privs: bool,
    pub apparmor: Option<String>,
    pub label: Option<String>,
    /// Below the container's cgroup.
    pub cgroup: Option<String>,
    pub ignore_paused: bool,
    pub console_socket: Option<PathBuf>,
    pub pid_file: Option<PathBuf>,
    pub preserved: Vec<OwnedFd>,
    pub keep_terminal: bool,
}

impl Runtime {
    /// Starts a process in a running container.
    pub(crate) fn exec(&self, id: &str, options: ExecOptions) -> Result<Launched, Error> {
        let record = self.record(id)?;
        match record.status() {
            Status::Paused if options.ignore_paused => {}
            Status::Running | Status::Created => {}
            status => return Err(Error::Status { operation: "exec in", id: id.to_owned(), status }),
        }
        let spec = self.spec(&record)?;
        let process = process(&spec, &options)?;
        let terminal = process.terminal().unwrap_or(false);
        match (terminal, &options.console_socket) {
            (true, None) if !options.keep_terminal => {
                return Err(Error::Usage("the process has a terminal, so --console-socket is needed".into()));
            }
            (false, Some(_)) => {
                return Err(Error::Usage("--console-socket is given, but the process has no terminal".into()));
            }
            _ => {}
        }
        let mut cgroup = record.cgroup_path()?;
        if let Some(below) = options.cgroup.as_deref().filter(|below| *below != "/") {
            cgroup = CgroupPath::new(format!("{}/{}", cgroup.as_str(), below.trim_start_matches('/')))?;
        }
        let mut launched = exec_into(ExecInto {
            init: record.pid,
            process: &process,
            spec: &spec,
            stdio: if terminal { Stdio::Terminal { size: None } } else { Stdio::Inherit },
            cgroup,
            pass_fds: options.preserved,
        })?;
        let sent = match (&options.console_socket, launched.terminal.take_if(|_| options.console_socket.is_some())) {
            (Some(socket), Some(master)) => foreground::send_terminal(socket, &master)
                .map_err(io_error(format!("send the terminal to {}", socket.display()))),
            _ => Ok(()),
        };
        let result = sent.and_then(|()| {
            options.pid_file.as_ref().map_or(Ok(()), |file| put(file, launched.pid.to_string().as_bytes()))
        });
        if let Err(error) = result {
            let _ = crate::sys::pidfd_send_signal(launched.pidfd.as_fd(), libc::SIGKILL);
            let _ = crate::sys::waitpid(launched.pid);
            return Err(error);
        }
        Ok(launched)
    }
}

/// The process that the options describe.
fn process(spec: &Spec, options: &ExecOptions) -> Result<Process, Error> {
    if let Some(file) = &options.process {
        let text = std::fs::read(file).map_err(io_error(format!("read {}", file.display())))?;
        return serde_json::from_slice(&text)
            .map_err(|source| Error::Config { path: file.display().to_string(), source });
    }
    let mut process =
        spec.process().clone().ok_or_else(|| Error::Usage("the container has no process to take after".into()))?;
    if options.args.is_empty() {
        return Err(Error::Usage("no command is given".into()));
    }
    process.set_args(Some(options.args.clone()));
    process.set_terminal(Some(options.tty));
    if let Some(cwd) = &options.cwd {
        process.set_cwd(cwd.clone());
    }
    let mut env = process.env().clone().unwrap_or_default();
    env.extend(options.env.iter().cloned());
    process.set_env(Some(env));
    if options.no_new_privs {
        process.set_no_new_privileges(Some(true));
    }
    if let Some(profile) = &options.apparmor {
        process.set_apparmor_profile(Some(profile.clone()));
    }
    if let Some(label) = &options.label {
        process.set_selinux_label(Some(label.clone()));
    }
    if options.user.is_some() || !options.additional_gids.is_empty() {
        process.set_user(user(process.user().clone(), options)?);
    }
    if !options.caps.is_empty() {
        let caps = with_caps(process.capabilities().clone().unwrap_or_default(), &options.caps)?;
        process.set_capabilities(Some(caps));
    }
    Ok(process)
}

fn user(mut user: User, options: &ExecOptions) -> Result<User, Error> {
    if let Some(text) = &options.user {
        let (uid, gid) = text.split_once(':').map_or((text.as_str(), None), |(uid, gid)| (uid, Some(gid)));
        let number = |part: &str| {
            part.parse::<u32>()
                .map_err(|_| Error::Usage(format!("--user {text:?} is not of the form uid[:gid], in numbers")))
        };
        user.set_uid(number(uid)?);
        if let Some(gid) = gid {
            user.set_gid(number(gid)?);
        }
    }
    let mut groups = user.additional_gids().clone().unwrap_or_default();
    groups.extend(&options.additional_gids);
    user.set_additional_gids(Some(groups));
    Ok(user)
}

/// Adds capabilities to all sets but the ambient one, which would survive a change of user.
fn with_caps(mut caps: LinuxCapabilities, names: &[String]) -> Result<LinuxCapabilities, Error> {
    for name in names {
        let cap: Capability = serde_json::from_value(serde_json::Value::String(name.clone()))
            .map_err(|_| Error::Usage(format!("--cap {name:?} is no capability")))?;
        let add = |set: &Option<std::collections::HashSet<Capability>>| {
            let mut set = set.clone().unwrap_or_default();
            set.insert(cap);
            Some(set)
        };
        let sets = (add(caps.bounding()), add(caps.effective()), add(caps.permitted()), add(caps.inheritable()));
        caps.set_bounding(sets.0);
        caps.set_effective(sets.1);
        caps.set_permitted(sets.2);
        caps.set_inheritable(sets.3);
    }
    Ok(caps)
}
