//! `RUN`.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::mounts::Locked;
use super::output::Lines;
use super::{Solve, Tree, blocking};
use crate::graph::{MountKind, NodeId, Origin, Run};
use crate::tree::{Destination, Root, Selection, cleaned, copy, subtree};
use crate::{BuildError, Draft, MountSource, RunMount, RunRequest, Worker};

/// The mounts of one command, and what must live as long as it runs.
struct Mounted<D> {
    mounts: Vec<RunMount>,
    env: Vec<String>,
    _drafts: Vec<D>,
    _script: Option<tempfile::TempPath>,
}

impl<W: Worker> Solve<W> {
    pub(super) async fn run(
        self: &Arc<Self>,
        id: NodeId,
        run: &Run,
        parent: &Tree,
        inputs: &HashMap<NodeId, Arc<Tree>>,
        caches: Vec<Locked>,
    ) -> Result<Option<W::Draft>, BuildError> {
        if let Some(platform) = &run.foreign
            && let Some(why) = self.shared.worker.cannot_run(platform)
        {
            return Err(BuildError::Request(why));
        }
        let mounted = self.mounted(run, inputs, &caches).await?;
        let lower = self.dirs(parent);
        let draft = self.shared.worker.draft(&lower).await?;
        let lines = Arc::new(Lines::new(self.step(id), self.events.clone()));
        let request = RunRequest {
            args: run.args.clone(),
            env: run.env.iter().chain(&run.hidden_env).chain(&mounted.env).cloned().collect(),
            user: run.user.clone(),
            cwd: run.cwd.clone(),
            lower,
            mounts: mounted.mounts.clone(),
            network: run.network.clone(),
            insecure: run.insecure,
            hostname: self.request.setting("BUILDKIT_SANDBOX_HOSTNAME").map(str::to_owned),
            extra_hosts: self.request.extra_hosts.clone(),
            shm_size: self.request.shm_size,
            ulimits: self.request.ulimits.clone(),
            cgroup_parent: self.request.cgroup_parent.clone(),
            resources: self.request.resources.clone(),
            devices: run.devices.clone(),
        };
        let heard = Arc::clone(&lines);
        let sink = Arc::new(move |stream, bytes: &[u8]| heard.write(stream, bytes));
        let ended = self.shared.worker.run(request, &draft, sink, self.cancel.clone()).await;
        let last_lines = lines.finish();
        drop((mounted, caches));
        let exit_code = ended?;
        if self.cancel.is_cancelled() {
            return Err(BuildError::Canceled);
        }
        if exit_code != 0 {
            let node = self.node(id);
            return Err(BuildError::Command {
                file: self.file.clone(),
                line: node.span.start.line,
                span: node.span,
                instruction: node.instruction.clone(),
                exit_code,
                last_lines,
            });
        }
        Ok(Some(draft))
    }

    async fn mounted(
        self: &Arc<Self>,
        run: &Run,
        inputs: &HashMap<NodeId, Arc<Tree>>,
        caches: &[Locked],
    ) -> Result<Mounted<W::Draft>, BuildError> {
        let mut mounted = Mounted { mounts: Vec::new(), env: Vec::new(), _drafts: Vec::new(), _script: None };
        let mut caches = caches.iter();
        for mount in &run.mounts {
            let (read_only, source) = match &mount.kind {
                MountKind::Bind { from: Origin::Tree(tree), source, writable } => {
                    let tree = tree.and_then(|tree| inputs.get(&tree));
                    let lower = tree.map(|tree| self.dirs(tree)).unwrap_or_default();
                    (!writable, MountSource::Tree { lower, subpath: source.clone() })
                }
                MountKind::Bind { from: Origin::Context(name), source, writable } => {
                    let (dir, subpath) = self.shown(name.as_deref(), source, &mut mounted._drafts).await?;
                    if *writable {
                        (false, MountSource::Tree { lower: vec![dir], subpath })
                    } else {
                        let root = Root::at(&dir).map_err(|error| BuildError::io("open", &dir, error))?;
                        let real = root
                            .resolve(Path::new(&subpath))
                            .map_err(|_| BuildError::NotFound(format!("{source:?} was not found in the context")))?;
                        (true, MountSource::Path(dir.join(cleaned(&real))))
                    }
                }
                MountKind::Cache { read_only, .. } => {
                    let cache =
                        caches.next().ok_or_else(|| BuildError::Engine("a cache mount was not locked".into()))?;
                    (*read_only, MountSource::Path(cache.path.clone()))
                }
                MountKind::Tmpfs { size } => (false, MountSource::Tmpfs { size: *size }),
                MountKind::Secret { id, file, env, mode, uid, gid } => {
                    let Some(bytes) = self.request.secrets.get(id).cloned() else { continue };
                    if let Some(name) = env {
                        let text = String::from_utf8(bytes.0.clone())
                            .ok()
                            .filter(|text| !text.contains('\0'))
                            .ok_or_else(|| {
                                BuildError::Request(format!("the secret {id:?} is no text, so it cannot be a variable"))
                            })?;
                        mounted.env.push(format!("{name}={text}"));
                    }
                    if !file {
                        continue;
                    }
                    (true, MountSource::Secret { bytes, uid: *uid, gid: *gid, mode: *mode })
                }
                MountKind::Ssh { id, mode, uid, gid } => {
                    let Some(agent) = self.request.ssh.get(id).cloned() else { continue };
                    (false, MountSource::Ssh { agent, uid: *uid, gid: *gid, mode: *mode })
                }
            };
            mounted.mounts.push(RunMount { target: mount.target.clone(), read_only, source });
        }
        if let Some((target, content)) = &run.script {
            let dir = self.shared.options.root.join("tmp");
            let fail = |error| BuildError::io("write a script in", &dir, error);
            let mut file = tempfile::Builder::new().prefix("script-").tempfile_in(&dir).map_err(fail)?;
            std::io::Write::write_all(&mut file, content.as_bytes()).map_err(fail)?;
            let file = file.into_temp_path();
            fs_err::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).map_err(fail)?;
            let source = MountSource::Path(file.to_path_buf());
            mounted.mounts.push(RunMount { target: target.clone(), read_only: true, source });
            mounted._script = Some(file);
        }
        Ok(mounted)
    }

    /// A directory that shows a context as mounts see it, without what is excluded.
    async fn shown(
        self: &Arc<Self>,
        name: Option<&str>,
        source: &str,
        drafts: &mut Vec<W::Draft>,
    ) -> Result<(PathBuf, String), BuildError> {
        let context = self.contexts.get(name)?.clone();
        if context.ignore.is_none() {
            return Ok((context.root, source.to_owned()));
        }
        let draft = self.shared.worker.draft(&[]).await?;
        let (path, source, cancel) = (draft.path(), source.to_owned(), self.cancel.clone());
        blocking(move || {
            let root = context.open()?;
            let items = subtree(&root, &cleaned(Path::new(&source)), context.ignore.as_ref())?;
            let single_file = items.first().is_some_and(|item| !item.target.as_os_str().is_empty());
            let selection = Selection { items, sources: 1, single_file };
            let to = Destination {
                path: PathBuf::from("/").join(cleaned(Path::new(&source))),
                directory: false,
                owner: None,
                mode: None,
                xattrs: false,
                latest: None,
                share: false,
            };
            let tree = Root::at(&path).map_err(|error| BuildError::io("open", &path, error))?;
            copy(&root, &selection, &tree, &to, &|| cancel.is_cancelled()).map(|_| (path.clone(), source.clone()))
        })
        .await
        .inspect(|_| drafts.push(draft))
    }
}
