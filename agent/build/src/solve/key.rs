//! Keys: what a step does and what it reads, as one digest.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Solve, blocking};
use crate::graph::{Copy, MountKind, NodeId, Op, Origin, Run, hex};
use crate::{BuildError, Worker};

/// Changes when a step of the same description would be done differently.
const VERSION: u32 = 1;

fn digest(value: &Value) -> String {
    hex(&Sha256::digest(value.to_string().as_bytes()))
}

impl<W: Worker> Solve<W> {
    /// A step's key, found out once.
    pub(super) fn key(self: &Arc<Self>, id: NodeId) -> BoxFuture<'static, Result<String, BuildError>> {
        let this = Arc::clone(self);
        async move { this.keys[id].get_or_try_init(|| this.find_key(id)).await.cloned() }.boxed()
    }

    /// The key of a tree; the empty one has none.
    async fn tree_key(self: &Arc<Self>, tree: Option<NodeId>) -> Result<String, BuildError> {
        match tree {
            Some(id) => self.key(id).await,
            None => Ok(String::new()),
        }
    }

    async fn find_key(self: &Arc<Self>, id: NodeId) -> Result<String, BuildError> {
        let node = self.node(id);
        let parent = self.tree_key(node.parent).await?;
        match &node.op {
            Op::Image(image) => Ok(digest(&json!({ "image": image.diff_ids }))),
            Op::Workdir(path) => Ok(digest(&json!({
                "workdir": path, "on": parent, "latest": self.request.source_date_epoch, "version": VERSION,
            }))),
            Op::Run(run) => self.run_key(id, run, parent).await,
            Op::Copy(copy) => self.copy_key(id, copy, parent).await,
        }
    }

    async fn run_key(self: &Arc<Self>, id: NodeId, run: &Run, parent: String) -> Result<String, BuildError> {
        let mut mounts = Vec::new();
        for mount in &run.mounts {
            let target = &mount.target;
            mounts.push(match &mount.kind {
                MountKind::Bind { from: Origin::Tree(tree), source, writable } => {
                    json!(["bind", target, self.tree_key(*tree).await?, source, writable])
                }
                MountKind::Bind { from: Origin::Context(name), source, writable } => {
                    let content = self.context_digest(name.clone(), source.clone()).await;
                    let content = content.map_err(|error| self.at(id, error))?;
                    json!(["bind", target, content, writable])
                }
                // What a cache holds must not matter.
                MountKind::Cache { id, read_only, .. } => json!(["cache", target, id, read_only]),
                MountKind::Tmpfs { size } => json!(["tmpfs", target, size]),
                // Nor what a secret says.
                MountKind::Secret { id, file, env, mode, uid, gid } => {
                    json!(["secret", target, id, file, env, mode, uid, gid])
                }
                MountKind::Ssh { id, mode, uid, gid } => json!(["ssh", target, id, mode, uid, gid]),
            });
        }
        let request = &self.request;
        let limits: Vec<_> = request.ulimits.iter().map(|limit| (&limit.name, limit.soft, limit.hard)).collect();
        Ok(digest(&json!({
            "run": run.args, "on": parent, "env": run.env, "cwd": run.cwd, "user": run.user, "mounts": mounts,
            "network": format!("{:?}", run.network), "insecure": run.insecure, "script": run.script,
            "hosts": request.extra_hosts, "shm": request.shm_size, "limits": limits,
            "latest": request.source_date_epoch, "version": VERSION,
        })))
    }

    async fn copy_key(self: &Arc<Self>, id: NodeId, copy: &Copy, parent: String) -> Result<String, BuildError> {
        let named_owner = copy.chown.as_ref().is_some_and(|owner| owner.bytes().any(|byte| byte.is_ascii_alphabetic()));
        // A linked layer is the same whatever is below, unless names are looked up there.
        let on = if copy.link && !named_owner { String::new() } else { parent };
        let what = json!({
            "copy": copy.destination, "on": on, "directory": copy.directory, "chown": copy.chown, "chmod": copy.chmod,
            "parents": copy.parents, "link": copy.link, "unpack": copy.unpack, "inline": copy.inline,
            "latest": self.request.source_date_epoch, "version": VERSION,
        });
        let definition = match &copy.from {
            Origin::Tree(tree) => {
                let from = self.tree_key(*tree).await?;
                let definition = digest(&json!([what, from, copy.sources, copy.exclude, copy.remote]));
                let again = tree.is_some_and(|tree| self.fresh[tree]);
                if !again && let Some(key) = self.shared.cache.alias(&definition)? {
                    return Ok(key);
                }
                Some(definition)
            }
            Origin::Context(_) => None,
        };
        let chosen = self.chosen(id, copy).await.map_err(|error| self.fail(id, error))?;
        let key = digest(&json!([what, chosen.digest]));
        if let Some(definition) = definition {
            let (shared, key) = (Arc::clone(&self.shared), key.clone());
            blocking(move || shared.cache.put_alias(&definition, &key)).await?;
        }
        Ok(key)
    }
}
