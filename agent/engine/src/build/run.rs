//! A command of a build in a container of its own. It is in no list and no record: what the supervisor needs lies in a
//! run directory, and all of it goes when the command ends.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hoist_build::{RunRequest, Sink, Stream};
use hoist_image::BuildLayer;
use hoist_proto::id::ContainerId;
use hoist_proto::spec::{ContainerSpec, Resources, Security};
use hoist_runtime::supervisor::{Reply, Request, RootfsSpec, SPEC_FILE, StartRequest, Streams};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

use super::devices::{self, Turns};
use super::mounts::Mounts;
use super::{network, sweep};
use crate::container::{RECORD_VERSION, Record};
use crate::inner::Inner;
use crate::io::{Channel, supervisor};
use crate::model::Effective;
use crate::rootfs::{Union, resolve_user};
use crate::spec::{Input, NamespacePaths, all_host_devices, build, find_blocks};
use crate::streams::{Attached, StreamKind};
use crate::{EngineError, Result};

/// What commands of builds see as the machine's name: always the same, as it may end up in their results.
const HOSTNAME: &str = "buildkitsandbox";

/// The machine's name, as a command sees it.
pub(super) fn hostname(request: &RunRequest) -> &str {
    request.hostname.as_deref().unwrap_or(HOSTNAME)
}

/// One command's place.
pub(super) struct Place<'a> {
    pub engine: &'a Inner,
    pub id: ContainerId,
    pub run_dir: PathBuf,
    pub request: &'a RunRequest,
    turns: &'a Arc<Turns>,
}

/// Runs a command; returns its exit code. Nothing of it is left afterwards but what it wrote to its layer.
pub(super) async fn run(
    (engine, turns): (&Arc<Inner>, &Arc<Turns>),
    request: RunRequest,
    draft: &super::worker::Layer,
    output: Sink,
    cancel: CancellationToken,
) -> Result<i32> {
    let id = ContainerId::random();
    let run_dir = engine.options.run_root.join("build").join(id.as_str());
    fs_err::create_dir_all(run_dir.join("rootfs"))?;
    let cgroup = cgroup_of(engine, &request, &id);
    // For whoever finds it after this daemon was killed.
    fs_err::write(run_dir.join(sweep::CGROUP_FILE), &cgroup)?;
    let place = Place { engine, id, run_dir, request: &request, turns };
    let ended = place.go(&draft.0, &cgroup, output, cancel).await;
    if let Err(error) = engine.options.networks.release(place.id.as_str()).await {
        tracing::warn!(build = %place.id, %error, "cannot give the network back");
    }
    let _ = std::fs::remove_dir_all(engine.secrets.dir(&place.id));
    let run_dir = place.run_dir.clone();
    let swept = tokio::task::spawn_blocking(move || sweep::remove(&run_dir)).await;
    swept.map_err(|error| EngineError::Internal(error.to_string()))?;
    ended
}

fn cgroup_of(engine: &Inner, request: &RunRequest, id: &ContainerId) -> String {
    let parent = request.cgroup_parent.as_deref().filter(|parent| !parent.is_empty());
    format!("{}/{id}", parent.unwrap_or(&engine.options.cgroup_parent).trim_matches('/'))
}

impl Place<'_> {
    async fn go(&self, draft: &BuildLayer, cgroup: &str, output: Sink, cancel: CancellationToken) -> Result<i32> {
        let record = self.record();
        let network = network::attach(self, &record.spec).await?;
        let mut lower = self.request.lower.clone();
        let asked = (&self.id, self.request.devices.as_slice(), self.request.env.as_slice());
        let held = devices::take(self.engine, self.turns, asked, &Union::new(lower.clone()), &cancel).await?;
        let edits = held.as_ref().map(|held| held.edits.clone()).unwrap_or_default();
        let mounts = Mounts::ready(self).await?;
        let points = mounts.points(self, &edits).await?;
        lower.extend(points.iter().map(BuildLayer::path));
        // The places for mounts are the topmost of the layers below.
        lower.rotate_right(usize::from(points.is_some()));
        let root = Union::new(lower.clone());
        let user = resolve_user(&root, &self.request.user, &[])?;
        let oci = build(&Input {
            record: &record,
            user: &user,
            mounts: mounts.list.clone(),
            files: network.files.clone(),
            namespaces: NamespacePaths { network: network.namespace.clone(), ..NamespacePaths::default() },
            devices: if self.request.insecure { all_host_devices() } else { Vec::new() },
            edits: &edits,
            blocks: find_blocks(&record.spec.resources),
            cgroup,
            shm: None,
        })?;
        fs_err::write(self.run_dir.join(SPEC_FILE), serde_json::to_vec(&oci).map_err(std::io::Error::from)?)?;
        let rootfs = if lower.is_empty() {
            RootfsSpec::Path(draft.path())
        } else {
            // What a daemon that comes after finds of it is not believed, so nothing has to wait for the disk.
            RootfsSpec::Overlay { lower, upper: draft.path(), work: draft.work().to_owned(), volatile: true }
        };
        let wants = Streams { stdin: false, stdout: true, stderr: true };
        let start = StartRequest {
            restore: None,
            id: self.id.to_string(),
            run_dir: self.run_dir.clone(),
            bundle: self.run_dir.join("rootfs"),
            rootfs,
            cgroup: cgroup.to_owned(),
            // What a command leaves behind is reaped, and its own signals are the usual ones.
            init: true,
            tty: false,
            size: None,
            open_stdin: false,
            stdin_once: false,
            log: None,
            send: None,
            attach: vec![wants],
            runtime: None,
        };
        if cancel.is_cancelled() {
            return Err(hoist_build::BuildError::Canceled.into());
        }
        let ended = self.supervise(start, output, &cancel).await;
        drop((mounts, points, held));
        if cancel.is_cancelled() {
            return Err(hoist_build::BuildError::Canceled.into());
        }
        ended
    }

    /// The step as if it were a container: all that the spec is made of.
    fn record(&self) -> Record {
        let request = self.request;
        let spec = ContainerSpec {
            network_mode: network::mode(request),
            extra_hosts: Vec::new(),
            shm_size: request.shm_size,
            ulimits: request.ulimits.clone(),
            security: Security { privileged: request.insecure, ..Security::default() },
            resources: Resources { cgroup_parent: request.cgroup_parent.clone(), ..request.resources.clone() },
            ..ContainerSpec::default()
        };
        let effective = Effective {
            command: request.args.clone(),
            env: request.env.clone(),
            working_dir: request.cwd.clone(),
            user: request.user.clone(),
            hostname: hostname(request).to_owned(),
            ..Effective::default()
        };
        Record {
            version: RECORD_VERSION,
            id: self.id.clone(),
            name: format!("build-{}", self.id.short()),
            created: self.engine.options.clock.now(),
            spec,
            image_id: String::new(),
            platform: "linux".into(),
            effective,
            mounts: Vec::new(),
        }
    }

    async fn supervise(&self, start: StartRequest, output: Sink, cancel: &CancellationToken) -> Result<i32> {
        let (channel, theirs) = Channel::pair()?;
        let (ours, stream) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut attached = Attached::over(UnixStream::from_std(ours)?, false, false);
        self.engine.starter.start(&start, &[theirs.as_fd(), stream.as_fd()]).await?;
        drop((theirs, stream));
        match channel.hear().await?.map(|received| received.message) {
            Some(Reply::Started { .. }) => {}
            Some(Reply::Failed { message, exit_code }) => return Err(EngineError::Start { message, exit_code }),
            _ => {
                let message = "the supervisor has gone without a word".into();
                return Err(EngineError::Start { message, exit_code: 125 });
            }
        }
        let reading = async {
            while let Some(chunk) = attached.output.next().await? {
                let stream = match chunk.stream {
                    StreamKind::Stdout => Stream::Stdout,
                    StreamKind::Stderr => Stream::Stderr,
                };
                output(stream, &chunk.data);
            }
            Ok::<_, EngineError>(())
        };
        let ending = async {
            let mut killed = false;
            loop {
                let heard = tokio::select! {
                    heard = channel.hear() => heard?,
                    () = cancel.cancelled(), if !killed => {
                        killed = true;
                        let kill = Request::Signal { signal: nix::libc::SIGKILL };
                        // It may have ended just now.
                        let _ = supervisor(&self.run_dir, &kill, &[]).await;
                        continue;
                    }
                };
                match heard.map(|received| received.message) {
                    Some(Reply::Exited(exit)) => return Ok(exit.code),
                    Some(_) => {}
                    None => return Err(EngineError::Internal("the command's supervisor has gone".into())),
                }
            }
        };
        let (read, ended) = tokio::join!(reading, ending);
        let code = ended?;
        read?;
        Ok(code)
    }
}

/// A path in a container, from its root.
pub(super) fn inside(path: &str) -> &Path {
    Path::new(path.trim_start_matches('/'))
}
