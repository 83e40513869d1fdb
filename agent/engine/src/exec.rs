//! Further processes in running containers.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use hoist_proto::id::{ContainerId, ExecId};
use hoist_proto::spec::Security;
use hoist_runtime::supervisor::{Reply, Request, Size};
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

use crate::container::{Handle, signal_number};
use crate::inner::Inner;
use crate::io::Channel;
use crate::model::{ExecInfo, ExecSpec, Status, TerminalSize};
use crate::rootfs::{Union, resolve_user};
use crate::spec::{ProcessInput, capabilities, process, with_home};
use crate::streams::{Attached, StreamKind};
use crate::{EngineError, Result};

/// Results that nobody asks for are forgotten after so many further execs.
const REMEMBERED: usize = 512;

#[derive(Default)]
pub(crate) struct Execs {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    by_id: HashMap<ExecId, Arc<Exec>>,
    /// Oldest first.
    order: std::collections::VecDeque<ExecId>,
}

pub(crate) struct Exec {
    id: ExecId,
    container: ContainerId,
    spec: ExecSpec,
    live: Mutex<Live>,
    exit: watch::Sender<Option<i32>>,
}

#[derive(Default)]
struct Live {
    started: bool,
    pid: Option<i32>,
    channel: Option<Arc<Channel>>,
    terminal: Option<Arc<AsyncFd<OwnedFd>>>,
}

impl Execs {
    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, id: &str) -> Result<Arc<Exec>> {
        let known = self.lock();
        if let Some(exec) = known.by_id.get(id) {
            return Ok(exec.clone());
        }
        let mut matching = known.by_id.values().filter(|exec| !id.is_empty() && exec.id.as_str().starts_with(id));
        match (matching.next(), matching.next()) {
            (Some(exec), None) => Ok(exec.clone()),
            _ => Err(EngineError::NoSuchExec(id.to_owned())),
        }
    }

    fn insert(&self, exec: Arc<Exec>) {
        let mut known = self.lock();
        known.order.push_back(exec.id.clone());
        known.by_id.insert(exec.id.clone(), exec);
        while known.order.len() > REMEMBERED {
            let over = known.order.iter().position(|id| known.by_id.get(id).is_none_or(|exec| exec.is_over()));
            let Some(id) = over.and_then(|index| known.order.remove(index)) else { break };
            known.by_id.remove(&id);
        }
    }
}

impl Exec {
    fn live(&self) -> std::sync::MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.exit.borrow().is_some()
    }
}

impl Inner {
    pub(crate) fn exec_create(&self, name: &str, spec: ExecSpec) -> Result<ExecId> {
        let handle = self.registry.find(name)?;
        check_running(&handle, name)?;
        if spec.command.is_empty() {
            return Err(EngineError::InvalidParameter("no exec command specified".into()));
        }
        let id = ExecId::random();
        self.publish(&handle, &format!("exec_create: {}", spec.command.join(" ")), &[("execID", id.to_string())]);
        self.execs.insert(Arc::new(Exec {
            id: id.clone(),
            container: handle.id.clone(),
            spec,
            live: Mutex::default(),
            exit: watch::Sender::new(None),
        }));
        handle.cell().execs.push(id.clone());
        Ok(id)
    }

    pub(crate) async fn exec_start(self: &Arc<Self>, id: &str, size: Option<TerminalSize>) -> Result<Attached> {
        let exec = self.execs.find(id)?;
        let handle = self.registry.find(exec.container.as_str())?;
        check_running(&handle, exec.container.short())?;
        if std::mem::replace(&mut exec.live().started, true) {
            return Err(EngineError::Conflict(format!("exec {id} has already been started")));
        }
        let started = Run::start_with(self, &handle, &exec.spec, size).await;
        let run = match started {
            Ok(run) => run,
            Err(error) => {
                exec.exit.send_replace(Some(error.exit_code()));
                handle.cell().execs.retain(|other| *other != exec.id);
                return Err(error);
            }
        };
        {
            let mut live = exec.live();
            live.pid = Some(run.pid);
            live.channel = Some(run.channel.clone());
            live.terminal.clone_from(&run.terminal);
        }
        let attributes = [("execID", exec.id.to_string())];
        self.publish(&handle, &format!("exec_start: {}", exec.spec.command.join(" ")), &attributes);
        let engine = self.clone();
        let channel = run.channel.clone();
        self.tasks.spawn(async move {
            let code = tokio::select! {
                code = exit_code(&channel) => code,
                () = engine.closing.cancelled() => return,
            };
            let mut live = exec.live();
            (live.pid, live.channel, live.terminal) = (None, None, None);
            drop(live);
            handle.cell().execs.retain(|other| *other != exec.id);
            exec.exit.send_replace(Some(code));
            let attributes = [("execID", exec.id.to_string()), ("exitCode", code.to_string())];
            engine.publish(&handle, "exec_die", &attributes);
        });
        Ok(run.attached)
    }

    /// Tells that a client left the streams of an exec that goes on.
    pub(crate) fn exec_detached(&self, id: &str) {
        if let Ok(exec) = self.execs.find(id)
            && let Ok(handle) = self.registry.find(exec.container.as_str())
        {
            self.publish(&handle, "exec_detach", &[("execID", exec.id.to_string())]);
        }
    }

    pub(crate) async fn exec_wait(&self, id: &str) -> Result<i32> {
        let exec = self.execs.find(id)?;
        let mut exit = exec.exit.subscribe();
        let code = exit.wait_for(Option::is_some).await.map(|code| *code);
        Ok(code.ok().flatten().unwrap_or(255))
    }

    pub(crate) fn exec_inspect(&self, id: &str) -> Result<ExecInfo> {
        let exec = self.execs.find(id)?;
        let live = exec.live();
        Ok(ExecInfo {
            id: exec.id.clone(),
            container: exec.container.clone(),
            spec: exec.spec.clone(),
            running: live.pid.is_some(),
            pid: live.pid,
            exit_code: *exec.exit.borrow(),
        })
    }

    pub(crate) fn exec_resize(&self, id: &str, size: TerminalSize) -> Result<()> {
        let exec = self.execs.find(id)?;
        let terminal = exec.live().terminal.clone();
        let terminal =
            terminal.ok_or_else(|| EngineError::Conflict(format!("exec {id} has no terminal or does not run")))?;
        let size = Size { rows: size.rows, columns: size.columns };
        Ok(rustix::termios::tcsetwinsize(&*terminal, size.into()).map_err(std::io::Error::from)?)
    }

    pub(crate) async fn exec_kill(&self, id: &str, signal: &str) -> Result<()> {
        let exec = self.execs.find(id)?;
        let channel = exec.live().channel.clone();
        let channel = channel.ok_or_else(|| EngineError::Conflict(format!("exec {id} is not running")))?;
        Ok(channel.say(&Request::Signal { signal: signal_number(signal)? }, &[]).await?)
    }

    pub(crate) fn forget_execs(&self, container: &ContainerId) {
        let mut known = self.execs.lock();
        known.by_id.retain(|_, exec| exec.container != *container || !exec.is_over());
        let Known { by_id, order } = &mut *known;
        order.retain(|id| by_id.contains_key(id));
    }
}

fn check_running(handle: &Handle, name: &str) -> Result<()> {
    match handle.status() {
        Status::Running => Ok(()),
        Status::Paused => {
            Err(EngineError::Conflict(format!("container {name} is paused, unpause the container before exec")))
        }
        _ => Err(EngineError::Conflict(format!("container {name} is not running"))),
    }
}

/// A process that was started in a container.
pub(crate) struct Run {
    channel: Arc<Channel>,
    pid: i32,
    attached: Attached,
    terminal: Option<Arc<AsyncFd<OwnedFd>>>,
}

impl Run {
    /// Starts one whose output is read and whose input is empty.
    pub(crate) async fn start(engine: &Inner, handle: &Handle, spec: &ExecSpec) -> Result<Self> {
        let mut spec = spec.clone();
        spec.attach.stdout = true;
        spec.attach.stderr = true;
        Self::start_with(engine, handle, &spec, None).await
    }

    async fn start_with(engine: &Inner, handle: &Handle, spec: &ExecSpec, size: Option<TerminalSize>) -> Result<Self> {
        let record = handle.record();
        let root = {
            let snapshot = engine.options.images.snapshot(handle.id.as_str()).await?;
            Union::new(std::iter::once(snapshot.upper).chain(snapshot.lower).collect())
        };
        let user_text = spec.user.as_deref().filter(|user| !user.is_empty()).unwrap_or(&record.effective.user);
        let user = resolve_user(&root, user_text, &record.spec.group_add)?;
        let privileged = spec.privileged || record.spec.security.privileged;
        let security = Security { privileged, ..record.spec.security.clone() };
        let mut env = record.effective.env.clone();
        for variable in &spec.env {
            let key = variable.split_once('=').map_or(variable.as_str(), |(key, _)| key);
            env.retain(|other| other.split_once('=').map_or(other.as_str(), |(k, _)| k) != key);
            if variable.contains('=') {
                env.push(variable.clone());
            }
        }
        if spec.tty && !env.iter().any(|variable| variable.starts_with("TERM=")) {
            env.push("TERM=xterm".into());
        }
        let cwd = spec.working_dir.as_deref().filter(|dir| !dir.is_empty()).unwrap_or(&record.effective.working_dir);
        let process = process(&ProcessInput {
            args: spec.command.clone(),
            env: with_home(&env, &user),
            cwd,
            tty: spec.tty,
            user: &user,
            caps: &capabilities(&security)?,
            privileged,
            spec: &record.spec,
        })?;
        let process = serde_json::from_value(process)
            .map_err(|error| EngineError::Internal(format!("the process's OCI spec is malformed: {error}")))?;
        let channel = Channel::open(&handle.run_dir)?;
        let size = size.map(|size| Size { rows: size.rows, columns: size.columns });
        let request = Request::Exec { process: Box::new(process), tty: spec.tty, size };
        if spec.tty {
            channel.say(&request, &[]).await?;
            let (pid, mut fds) = heard(&channel).await?;
            let master = fds.pop().ok_or_else(|| EngineError::Internal("the terminal is missing".into()))?;
            rustix::io::ioctl_fionbio(&master, true).map_err(std::io::Error::from)?;
            let terminal = Arc::new(crate::io::watched(master)?);
            let attached = Attached::terminal(terminal.clone());
            return Ok(Self { channel: Arc::new(channel), pid, attached, terminal: Some(terminal) });
        }
        let mut ours = [None, None, None];
        let mut theirs = Vec::new();
        for (index, wanted) in [spec.attach.stdin, spec.attach.stdout, spec.attach.stderr].into_iter().enumerate() {
            if !wanted {
                theirs.push(fs_err::OpenOptions::new().read(true).write(true).open("/dev/null")?.into_parts().0.into());
                continue;
            }
            let (read, write) = std::io::pipe()?;
            let (keep, give): (OwnedFd, OwnedFd) =
                if index == 0 { (write.into(), read.into()) } else { (read.into(), write.into()) };
            rustix::io::ioctl_fionbio(&keep, true).map_err(std::io::Error::from)?;
            ours[index] = Some(keep);
            theirs.push(give);
        }
        let fds: Vec<_> = theirs.iter().map(AsFd::as_fd).collect();
        channel.say(&request, &fds).await?;
        drop(theirs);
        let (pid, _) = heard(&channel).await?;
        let [stdin, stdout, stderr] = ours;
        let attached = Attached::pipes(stdin, stdout, stderr)?;
        Ok(Self { channel: Arc::new(channel), pid, attached, terminal: None })
    }

    /// Waits for the end; answers the exit code and the beginning of the output.
    pub(crate) async fn finish(&mut self, limit: usize) -> Result<(i32, String)> {
        let mut output = Vec::new();
        let read = async {
            while let Some(chunk) = self.attached.output.next().await? {
                debug_assert!(matches!(chunk.stream, StreamKind::Stdout | StreamKind::Stderr));
                let room = limit.saturating_sub(output.len()).min(chunk.data.len());
                output.extend_from_slice(&chunk.data[..room]);
            }
            Ok::<_, EngineError>(())
        };
        // A command that leaves a child behind with its streams is over when it is over.
        let code = {
            let exit = exit_code(&self.channel);
            tokio::pin!(read, exit);
            tokio::select! {
                code = &mut exit => {
                    let _ = tokio::time::timeout(std::time::Duration::from_millis(100), read).await;
                    code
                }
                result = &mut read => { result?; exit.await }
            }
        };
        Ok((code, String::from_utf8_lossy(&output).into_owned()))
    }

    pub(crate) async fn kill(&self) {
        let _ = self.channel.say(&Request::Signal { signal: libc::SIGKILL }, &[]).await;
    }
}

async fn heard(channel: &Channel) -> Result<(i32, Vec<OwnedFd>)> {
    match channel.hear().await? {
        Some(received) => match received.message {
            Reply::Started { pid, .. } => Ok((pid, received.fds)),
            Reply::Failed { message, exit_code } => Err(EngineError::Start { message, exit_code }),
            _ => Err(EngineError::Internal("the supervisor gave an answer that makes no sense".into())),
        },
        None => Err(EngineError::Conflict("the container has just ended".into())),
    }
}

async fn exit_code(channel: &Channel) -> i32 {
    loop {
        match channel.hear().await {
            Ok(Some(received)) => {
                if let Reply::Exited(exit) = received.message {
                    return exit.code;
                }
            }
            // With its container, by SIGKILL.
            Ok(None) | Err(_) => return 137,
        }
    }
}
