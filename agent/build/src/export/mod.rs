//! From finished trees to what was asked for.

mod config;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::{join_all, try_join_all};

use crate::attest;
use crate::dockerfile::Platform;
use crate::portable::{self, Target, Targets};
use crate::solve::{Solve, Tree, blocking};
use crate::tree::{Destination, Root, Selection, copy, subtree};
use crate::{
    BuildError, BuildEvent, BuildResult, Events, ImageOutput, IndexedImage, LayerDigest, LayerForm, NewImage, NewIndex,
    Output, Push, StepId, StepInfo, Worker,
};

/// One platform's build.
pub(crate) struct Part<W: Worker> {
    pub platform: Platform,
    pub solve: Arc<Solve<W>>,
}

/// Solves the targets, and exports them.
pub(crate) async fn run<W: Worker>(
    parts: &[Part<W>],
    (targets, begun): (&Targets, i64),
    next: &(dyn Fn() -> StepId + Sync),
) -> Result<BuildResult, BuildError> {
    let Some(first) = parts.first().map(|part| Arc::clone(&part.solve)) else { return Ok(BuildResult::default()) };
    let built = trees(parts).await?;
    let outputs = match first.request.outputs.as_slice() {
        [] => vec![Output::Image(ImageOutput::default())],
        outputs => outputs.to_vec(),
    };
    let name = match outputs.as_slice() {
        [Output::Image(_)] => "exporting to image",
        [Output::Cache] => "exporting nothing",
        [Output::Local(_) | Output::Tar(_)] => "exporting files",
        _ => "exporting",
    };
    let platforms = parts.iter().map(|part| part.platform.clone()).collect();
    let export = Export { first: &first, built, platforms, inline: targets.inline, begun, step: next() };
    let result = export.step(name, export.step, export.all(&outputs)).await?;
    for target in &targets.others {
        export.cache(target, next()).await?;
    }
    Ok(result)
}

/// All trees, made side by side; the first failure is the one that is told.
async fn trees<W: Worker>(parts: &[Part<W>]) -> Result<Vec<(Arc<Solve<W>>, Arc<Tree>)>, BuildError> {
    let making = parts.iter().map(|part| async {
        let tree = match part.solve.graph.target.tree {
            Some(id) => part.solve.finish(id).await?,
            None => Arc::default(),
        };
        Ok((Arc::clone(&part.solve), tree))
    });
    let (mut built, mut failure) = (Vec::new(), None);
    for made in join_all(making).await {
        match made {
            Ok(made) => built.push(made),
            // Who was stopped because of another's failure is not the cause.
            Err(error) if failure.is_none() || matches!(failure, Some(BuildError::Canceled)) => failure = Some(error),
            Err(_) => {}
        }
    }
    failure.map_or(Ok(built), Err)
}

struct Export<'a, W: Worker> {
    /// What all platforms' builds have in common is asked of this one.
    first: &'a Arc<Solve<W>>,
    built: Vec<(Arc<Solve<W>>, Arc<Tree>)>,
    platforms: Vec<Platform>,
    /// The images hold their own cache.
    inline: bool,
    /// When the build began, in seconds since 1970.
    begun: i64,
    step: StepId,
}

impl<W: Worker> Export<'_, W> {
    fn events(&self) -> &Events {
        &self.first.events
    }

    /// Tells of something that is done outside of all stages.
    async fn step<T>(
        &self,
        name: &str,
        step: StepId,
        work: impl Future<Output = Result<T, BuildError>>,
    ) -> Result<T, BuildError> {
        let tell = |event| drop(self.events().send(event));
        tell(BuildEvent::Planned(StepInfo {
            id: step,
            name: name.into(),
            stage: None,
            span: None,
            inputs: Vec::new(),
        }));
        tell(BuildEvent::Started { step });
        let done = tokio::select! {
            done = work => done,
            () = self.first.cancel.cancelled() => Err(BuildError::Canceled),
        };
        tell(match &done {
            Ok(_) => BuildEvent::Done { step },
            Err(BuildError::Canceled) => BuildEvent::Canceled { step },
            Err(error) => BuildEvent::Failed { step, message: error.message() },
        });
        done
    }

    /// Writes a cache.
    async fn cache(&self, target: &Target, step: StepId) -> Result<(), BuildError> {
        let name = format!("exporting cache to {}", target.name);
        let work = portable::carry_out(&self.built, target, step);
        match self.step(&name, step, work).await {
            Err(BuildError::Canceled) => Err(BuildError::Canceled),
            Err(error) if target.optional => {
                let message = format!("the cache {} was not written: {}", target.name, error.message());
                drop(self.events().send(BuildEvent::Warning { message, span: None }));
                Ok(())
            }
            Err(error) => {
                Err(BuildError::Engine(format!("cannot write the cache {}: {}", target.name, error.message())))
            }
            Ok(()) => Ok(()),
        }
    }

    async fn all(&self, outputs: &[Output]) -> Result<BuildResult, BuildError> {
        let mut result = BuildResult::default();
        let mut named: Vec<String> = Vec::new();
        for output in outputs {
            match output {
                Output::Cache => {}
                Output::Image(how) => {
                    let names = self.names(how);
                    if how.push.is_some() && names.is_empty() {
                        return Err(BuildError::Request("a push needs a name: build with -t".into()));
                    }
                    let (image, mut manifest) = self.image(how, names.clone()).await?;
                    if let Some(push) = how.push {
                        for name in &names {
                            manifest = self.push(name, (how.layers, push)).await?;
                        }
                    }
                    result.image = Some(image.clone());
                    result.manifest = Some(manifest.clone());
                    result.names.extend(names.into_iter().filter(|name| !named.contains(name)));
                    named.clone_from(&result.names);
                    let mut put = |key: &str, value: String| {
                        result.metadata.insert(key.into(), value.into());
                    };
                    put("containerimage.config.digest", image);
                    put("containerimage.digest", manifest);
                    if !named.is_empty() {
                        put("image.name", named.join(","));
                    }
                }
                Output::Docker(path, how) | Output::Oci(path, how) => {
                    let how = ImageOutput { oci: matches!(output, Output::Oci(..)), ..how.clone() };
                    let (image, manifest) = self.save(&how, path).await?;
                    result.metadata.insert("containerimage.config.digest".into(), image.into());
                    result.metadata.insert("containerimage.digest".into(), manifest.into());
                }
                Output::Local(path) => self.local(path).await?,
                Output::Tar(path) => self.tar(path).await?,
            }
        }
        Ok(result)
    }

    /// The directory of a platform's files in an output that holds several.
    fn place(&self, number: usize) -> String {
        if self.built.len() == 1 { String::new() } else { self.platforms[number].to_string().replace('/', "_") }
    }

    async fn local(&self, path: &Path) -> Result<(), BuildError> {
        for (number, (solve, tree)) in self.built.iter().enumerate() {
            let (from, path): (Root, PathBuf) = (root(solve, tree).await?, path.join(self.place(number)));
            let cancel = solve.cancel.clone();
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
                    share: false,
                };
                copy(&from, &selection, &to, &destination, &|| cancel.is_cancelled())
            })
            .await?;
        }
        Ok(())
    }

    async fn tar(&self, path: &Path) -> Result<(), BuildError> {
        let worker = &self.first.shared.worker;
        if let [(solve, tree)] = self.built.as_slice() {
            return worker.archive(root(solve, tree).await?.into_fd(), path.to_owned()).await;
        }
        let tmp = self.first.shared.options.root.join("tmp");
        let all = tempfile::Builder::new()
            .prefix("platforms-")
            .tempdir_in(&tmp)
            .map_err(|error| BuildError::io("create a directory in", &tmp, error))?;
        self.local(all.path()).await?;
        let whole = Root::at(all.path()).map_err(|error| BuildError::io("open", all.path(), error))?;
        worker.archive(whole.into_fd(), path.to_owned()).await
    }

    /// What an output calls the image.
    fn names(&self, how: &ImageOutput) -> Vec<String> {
        let tags = &self.first.request.tags;
        tags.iter().chain(how.names.iter().filter(|name| !tags.contains(name))).cloned().collect()
    }

    async fn push(&self, name: &str, how: (LayerForm, Push)) -> Result<String, BuildError> {
        let (events, step) = (self.events().clone(), self.step);
        let report = Arc::new(move |part: String, current, total| {
            let _ = events.send(BuildEvent::Progress { step, part, current, total });
        });
        self.first.shared.worker.push(name.to_owned(), self.first.request.auth.clone(), how, report).await
    }

    /// Records the image, or the index of images; returns the image's id and the digest of what the names stand for.
    async fn image(&self, how: &ImageOutput, names: Vec<String>) -> Result<(String, String), BuildError> {
        let worker = &self.first.shared.worker;
        let mut images = self.images(how).await?;
        match images.as_mut_slice() {
            [] => Err(BuildError::Engine("there is nothing to make an image of".into())),
            [one] if !self.needs_index(std::slice::from_ref(one), how)? => {
                one.image.names = names;
                worker.store(one.image.clone()).await
            }
            _ => worker.store_index(self.index(images, names, how)).await,
        }
    }

    /// Whether images are put into an index: several are, and one of which more is said than it says itself.
    fn needs_index(&self, images: &[IndexedImage], how: &ImageOutput) -> Result<bool, BuildError> {
        let asked = self.first.request.switch("BUILDKIT_MULTI_PLATFORM")?;
        let needed = asked || images.len() > 1 || images.iter().any(|image| !image.attestations.is_empty());
        let annotated = !how.index_annotations.is_empty() || !self.first.request.index_annotations.is_empty();
        if annotated && !needed {
            return Err(BuildError::Request(
                "there is no index to annotate: an image for one platform has none, unless BUILDKIT_MULTI_PLATFORM=1 or \
                 attestations ask for it"
                    .into(),
            ));
        }
        Ok(needed)
    }

    fn index(&self, images: Vec<IndexedImage>, names: Vec<String>, how: &ImageOutput) -> NewIndex {
        let mut annotations = self.first.request.index_annotations.clone();
        annotations.extend(how.index_annotations.clone());
        NewIndex { images, names, oci: how.oci, layers: how.layers, annotations }
    }

    /// Writes an archive of the image or of the index; returns the same as [`Export::image`].
    async fn save(&self, how: &ImageOutput, path: &Path) -> Result<(String, String), BuildError> {
        let worker = &self.first.shared.worker;
        let (mut images, names) = (self.images(how).await?, self.names(how));
        if self.needs_index(&images, how)? {
            return worker.save_index(self.index(images, names, how), path.to_owned()).await;
        }
        let Some(IndexedImage { image, .. }) = images.pop() else {
            return Err(BuildError::Engine("there is nothing to make an image of".into()));
        };
        let (image, manifest) = worker.store(image).await?;
        let saved = worker.save(image.clone(), names, (how.oci, how.layers), path.to_owned()).await;
        // It was recorded for the archive only, unless it has a name.
        worker.forget(image.clone()).await;
        saved?;
        Ok((image, manifest))
    }

    /// One image for each platform, without names.
    async fn images(&self, how: &ImageOutput) -> Result<Vec<IndexedImage>, BuildError> {
        let oci = how.oci;
        let making = self.built.iter().zip(&self.platforms).map(|((solve, tree), platform)| async move {
            let layers = tree
                .layers()
                .into_iter()
                .map(|layer| async move { Ok::<_, BuildError>((layer.clone(), solve.describe(layer).await?)) });
            let layers: Vec<(String, LayerDigest)> = try_join_all(layers).await?;
            let config = self.config(solve, tree, &layers)?;
            let mut annotations = solve.request.annotations.clone();
            annotations.extend(how.annotations.clone());
            let base = tree.base.clone();
            let image = NewImage { config, base, layers, names: Vec::new(), oci, annotations };
            let attestations = attest::make(solve, tree, platform, self.begun).await?;
            Ok::<_, BuildError>(IndexedImage { platform: platform.to_string(), image, attestations })
        });
        try_join_all(making).await
    }
}

/// A finished tree, to be read.
async fn root<W: Worker>(solve: &Solve<W>, tree: &Tree) -> Result<Root, BuildError> {
    let dirs = solve.dirs(tree);
    if dirs.is_empty() {
        return Err(BuildError::Request("the target has no files at all".into()));
    }
    Ok(Root::new(solve.shared.worker.mount(dirs, None).await?))
}

impl<W: Worker> Solve<W> {
    /// What a layer's archive is, computed once in its life.
    pub(crate) async fn describe(self: &Arc<Self>, layer: String) -> Result<LayerDigest, BuildError> {
        if let Some(known) = self.shared.cache.layer(&layer)? {
            return Ok(known);
        }
        let digest = self.shared.worker.describe(&layer).await?;
        let (shared, name, known) = (Arc::clone(&self.shared), layer, digest.clone());
        blocking(move || shared.cache.put_layer(&name, &known)).await?;
        Ok(digest)
    }
}
