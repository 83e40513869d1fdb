//! Keys: what a step does and what it reads, as one digest.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Solve;
use crate::graph::{Copy, MountKind, NodeId, Op, Origin, Run, hex};
use crate::{BuildError, Worker};

/// Changes when a step of the same description would be done differently.
const VERSION: u32 = 1;

fn digest(value: &Value) -> String {
    hex(&Sha256::digest(value.to_string().as_bytes()))
}

impl<W: Worker> Solve<W> {
    /// A step's key; what must be made to know it is made.
    pub(super) async fn key(self: &Arc<Self>, id: NodeId) -> Result<String, BuildError> {
        let key = self.key_if(id, true).await?;
        key.ok_or_else(|| BuildError::Engine("a step has no key".into()))
    }

    /// A step's key, found out once; without `make` only if nothing has to be made to know it.
    pub(super) fn key_if(
        self: &Arc<Self>,
        id: NodeId,
        make: bool,
    ) -> BoxFuture<'static, Result<Option<String>, BuildError>> {
        let this = Arc::clone(self);
        async move {
            if let Some(key) = this.keys[id].get() {
                return Ok(Some(key.clone()));
            }
            let key = this.find_key(id, make).await?;
            if let Some(key) = &key {
                // Who was quicker has found the same.
                let _ = this.keys[id].set(key.clone());
            }
            Ok(key)
        }
        .boxed()
    }

    /// The key of a tree; the empty one has none.
    async fn tree_key(self: &Arc<Self>, tree: Option<NodeId>, make: bool) -> Result<Option<String>, BuildError> {
        match tree {
            Some(id) => self.key_if(id, make).await,
            None => Ok(Some(String::new())),
        }
    }

    async fn find_key(self: &Arc<Self>, id: NodeId, make: bool) -> Result<Option<String>, BuildError> {
        let node = self.node(id);
        let Some(parent) = self.tree_key(node.parent, make).await? else { return Ok(None) };
        match &node.op {
            Op::Image(image) => Ok(Some(digest(&json!({ "image": image.diff_ids })))),
            Op::Workdir(path) => {
                let latest = self.request.source_date_epoch;
                Ok(Some(digest(&json!({ "workdir": path, "on": parent, "latest": latest, "version": VERSION }))))
            }
            Op::Run(run) => self.run_key(id, run, parent, make).await,
            Op::Copy(copy) => self.copy_key(id, copy, parent, make).await,
        }
    }

    async fn run_key(
        self: &Arc<Self>,
        id: NodeId,
        run: &Run,
        parent: String,
        make: bool,
    ) -> Result<Option<String>, BuildError> {
        let mut mounts = Vec::new();
        for mount in &run.mounts {
            let target = &mount.target;
            mounts.push(match &mount.kind {
                MountKind::Bind { from: Origin::Tree(tree), source, writable } => {
                    let Some(from) = self.tree_key(*tree, make).await? else { return Ok(None) };
                    json!(["bind", target, from, source, writable])
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
        let mut what = json!({
            "run": run.args, "on": parent, "env": run.env, "cwd": run.cwd, "user": run.user, "mounts": mounts,
            "network": format!("{:?}", run.network), "insecure": run.insecure, "script": run.script,
            "hosts": request.extra_hosts, "shm": request.shm_size, "limits": limits,
            "latest": request.source_date_epoch, "version": VERSION,
        });
        if let Some(hostname) = request.setting("BUILDKIT_SANDBOX_HOSTNAME") {
            what["hostname"] = json!(hostname);
        }
        if !run.devices.is_empty() {
            what["devices"] = json!(run.devices);
        }
        Ok(Some(digest(&what)))
    }

    /// What a definition led to before, here or elsewhere.
    fn alias(&self, definition: &str) -> Result<Option<String>, BuildError> {
        let key = self.shared.cache.alias(definition)?.or_else(|| self.imports.alias(definition));
        if let Some(key) = &key {
            self.met(definition, key);
        }
        Ok(key)
    }

    async fn copy_key(
        self: &Arc<Self>,
        id: NodeId,
        copy: &Copy,
        parent: String,
        make: bool,
    ) -> Result<Option<String>, BuildError> {
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
                let Some(from) = self.tree_key(*tree, make).await? else { return Ok(None) };
                let definition = digest(&json!([what, from, copy.sources, copy.exclude, copy.remote]));
                let again = tree.is_some_and(|tree| self.fresh[tree]);
                if !again && let Some(key) = self.alias(&definition)? {
                    return Ok(Some(key));
                }
                if !make {
                    return Ok(None);
                }
                Some(definition)
            }
            Origin::Context(_) => None,
        };
        let chosen = self.chosen(id, copy).await.map_err(|error| self.fail(id, error))?;
        let key = digest(&json!([what, chosen.digest]));
        if let Some(definition) = definition {
            self.met(&definition, &key);
            self.shared.cache.put_alias(&definition, &key);
        }
        Ok(Some(key))
    }
}
