//! From a finished tree to what was asked for.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::try_join_all;

use crate::config::{History, ImageConfig};
use crate::solve::{Solve, Tree, blocking};
use crate::tree::{Destination, Root, Selection, copy, subtree};
use crate::{BuildError, BuildEvent, BuildResult, LayerDigest, NewImage, Output, StepId, StepInfo, Worker};

/// Solves the target, and exports it.
pub(crate) async fn run<W: Worker>(solve: &Arc<Solve<W>>) -> Result<BuildResult, BuildError> {
    let tree = match solve.graph.target.tree {
        Some(id) => solve.finish(id).await?,
        None => Arc::default(),
    };
    let outputs = match solve.request.outputs.as_slice() {
        [] => vec![Output::Image { oci: false, push: false }],
        outputs => outputs.to_vec(),
    };
    let step = StepId(solve.first + u32::try_from(solve.graph.nodes.len()).unwrap_or(u32::MAX));
    let name = match outputs.as_slice() {
        [Output::Image { .. }] => "exporting to image",
        [Output::Cache] => "exporting nothing",
        [Output::Local(_) | Output::Tar(_)] => "exporting files",
        _ => "exporting",
    };
    let tell = |event| drop(solve.events.send(event));
    tell(BuildEvent::Planned(StepInfo { id: step, name: name.into(), stage: None, span: None, inputs: Vec::new() }));
    tell(BuildEvent::Started { step });
    let export = Export { solve, tree, step };
    let done = tokio::select! {
        done = export.all(&outputs) => done,
        () = solve.cancel.cancelled() => Err(BuildError::Canceled),
    };
    tell(match &done {
        Ok(_) => BuildEvent::Done { step },
        Err(BuildError::Canceled) => BuildEvent::Canceled { step },
        Err(error) => BuildEvent::Failed { step, message: error.message() },
    });
    done
}

struct Export<'a, W: Worker> {
    solve: &'a Arc<Solve<W>>,
    tree: Arc<Tree>,
    step: StepId,
}

impl<W: Worker> Export<'_, W> {
    async fn all(&self, outputs: &[Output]) -> Result<BuildResult, BuildError> {
        let mut result = BuildResult::default();
        for output in outputs {
            match output {
                Output::Cache => {}
                Output::Image { oci, push } => {
                    let names = self.solve.request.tags.clone();
                    if *push && names.is_empty() {
                        return Err(BuildError::Request("a push needs a name: build with -t".into()));
                    }
                    let (image, mut manifest) = self.image(*oci, names.clone()).await?;
                    if *push {
                        for name in &names {
                            manifest = self.push(name).await?;
                        }
                    }
                    result.image = Some(image.clone());
                    result.manifest = Some(manifest.clone());
                    result.names.clone_from(&names);
                    let mut put = |key: &str, value: String| {
                        result.metadata.insert(key.into(), value.into());
                    };
                    put("containerimage.config.digest", image);
                    put("containerimage.digest", manifest);
                    if !names.is_empty() {
                        put("image.name", names.join(","));
                    }
                }
                Output::Docker(path) | Output::Oci(path) => {
                    let oci = matches!(output, Output::Oci(_));
                    let (image, manifest) = self.image(oci, Vec::new()).await?;
                    let names = self.solve.request.tags.clone();
                    let saved = self.solve.shared.worker.save(image.clone(), names, oci, path.clone()).await;
                    // It was recorded for the archive only, unless it has a name.
                    if !outputs.iter().any(|other| matches!(other, Output::Image { .. })) {
                        self.solve.shared.worker.forget(image.clone()).await;
                    }
                    saved?;
                    result.metadata.insert("containerimage.config.digest".into(), image.into());
                    result.metadata.insert("containerimage.digest".into(), manifest.into());
                }
                Output::Local(path) => self.local(path).await?,
                Output::Tar(path) => {
                    let root = self.root().await?;
                    self.solve.shared.worker.archive(root.into_fd(), path.clone()).await?;
                }
            }
        }
        Ok(result)
    }

    /// The finished tree, to be read.
    async fn root(&self) -> Result<Root, BuildError> {
        let dirs = self.solve.dirs(&self.tree);
        if dirs.is_empty() {
            return Err(BuildError::Request("the target has no files at all".into()));
        }
        Ok(Root::new(self.solve.shared.worker.mount(dirs, None).await?))
    }

    async fn local(&self, path: &Path) -> Result<(), BuildError> {
        let (from, path): (Root, PathBuf) = (self.root().await?, path.to_owned());
        let cancel = self.solve.cancel.clone();
        blocking(move || {
            fs_err::create_dir_all(&path).map_err(|error| BuildError::io("create", &path, error))?;
            let to = Root::at(&path).map_err(|error| BuildError::io("open", &path, error))?;
            let items = subtree(&from, Path::new(""), None)?;
            let selection = Selection { items, sources: 1, single_file: false };
            let destination = Destination {
                path: PathBuf::from("/"),
                directory: true,
                owner: None,
                mode: None,
                xattrs: true,
                latest: None,
            };
            copy(&from, &selection, &to, &destination, &|| cancel.is_cancelled())
        })
        .await
    }

    async fn push(&self, name: &str) -> Result<String, BuildError> {
        let (events, step) = (self.solve.events.clone(), self.step);
        let report = Arc::new(move |part: String, current, total| {
            let _ = events.send(BuildEvent::Progress { step, part, current, total });
        });
        self.solve.shared.worker.push(name.to_owned(), self.solve.request.auth.clone(), report).await
    }

    /// Records an image; returns its id and its manifest's digest.
    async fn image(&self, oci: bool, names: Vec<String>) -> Result<(String, String), BuildError> {
        let layers = try_join_all(self.tree.layers().into_iter().map(|layer| self.describe(layer))).await?;
        let config = self.config(&layers)?;
        let new = NewImage {
            config,
            base: self.tree.base.clone(),
            layers,
            names,
            oci,
            annotations: self.solve.request.annotations.clone(),
        };
        self.solve.shared.worker.store(new).await
    }

    /// What a layer's archive is, computed once in its life.
    async fn describe(&self, layer: String) -> Result<(String, LayerDigest), BuildError> {
        if let Some(known) = self.solve.shared.cache.layer(&layer)? {
            return Ok((layer, known));
        }
        let digest = self.solve.shared.worker.describe(&layer).await?;
        let (shared, name, known) = (Arc::clone(&self.solve.shared), layer.clone(), digest.clone());
        blocking(move || shared.cache.put_layer(&name, &known)).await?;
        Ok((layer, digest))
    }

    /// The configuration blob. It holds no time but those of its steps, so that a build whose results were all known
    /// makes the image that it made before.
    fn config(&self, layers: &[(String, LayerDigest)]) -> Result<Vec<u8>, BuildError> {
        let target = &self.solve.graph.target;
        let mut config: ImageConfig = target.config.clone();
        config.rootfs.diff_ids = self.tree.base.iter().flat_map(|base| base.diff_ids.iter().cloned()).collect();
        config.rootfs.diff_ids.extend(layers.iter().map(|(_, digest)| digest.diff_id.clone()));
        config.config.labels.extend(self.solve.request.labels.clone());
        let links: HashMap<&str, _> = self.tree.chain.iter().map(|link| (link.key.as_str(), link)).collect();
        let asked = self.solve.keys_of_nodes();
        let mut created = self.solve.request.source_date_epoch.and_then(moment).or_else(|| config.created.clone());
        for (line, node) in &target.history {
            let link = node.and_then(|node| asked.get(&node)).and_then(|key| links.get(key.as_str()));
            if let Some(link) = link {
                created = moment(link.created_at);
            }
            let empty_layer = link.is_none_or(|link| link.own.is_none());
            config.history.push(History { created: created.clone(), empty_layer, ..line.clone() });
        }
        config.created = created;
        let known: BTreeMap<&str, ()> =
            ["id", "parent", "container", "container_config", "docker_version"].map(|key| (key, ())).into();
        // What the base image says of its own making is not true of this one.
        config.extra.retain(|key, _| !known.contains_key(key.as_str()));
        serde_json::to_vec(&config)
            .map_err(|error| BuildError::Engine(format!("the image's configuration cannot be written: {error}")))
    }
}

/// RFC 3339.
fn moment(seconds: i64) -> Option<String> {
    let system = hoist_proto::clock::Timestamp::from_second(seconds).ok()?;
    Some(system.to_string())
}
