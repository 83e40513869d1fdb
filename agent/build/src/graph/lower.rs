//! Stages become steps: the target's and those that it needs, each after what it needs itself.

use std::collections::{BTreeMap, HashMap};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::stage::Lowering;
use super::{Graph, Node, NodeId, Op, Origin, Stage};
use crate::config::ImageConfig;
use crate::dockerfile::{self, Dockerfile, GlobalScope, Kind, Plan, Platform, Span};
use crate::{BaseImage, BuildError, BuildRequest, NamedContext, NamedDevices};

/// Finds what is not in the Dockerfile and its contexts: base images, each asked for once, and devices.
pub(crate) trait Bases: Send + Sync {
    fn image(&self, reference: String, platform: Option<String>) -> BoxFuture<'_, Result<BaseImage, BuildError>>;

    fn devices(&self, pattern: String) -> BoxFuture<'_, Result<NamedDevices, BuildError>>;
}

/// Everything that lowering looks at, and the graph that grows.
pub(crate) struct Lower<'a> {
    pub file: &'a Dockerfile,
    pub plan: &'a Plan,
    pub global: &'a GlobalScope,
    pub request: &'a BuildRequest,
    pub bases: &'a dyn Bases,
    pub platform: &'a Platform,
    pub nodes: Vec<Node>,
    pub warnings: Vec<(String, Span)>,
    /// The stages that are done.
    pub(super) done: BTreeMap<usize, Lowering>,
    /// Those that wait for one that they need.
    open: Vec<usize>,
    images: HashMap<(String, Option<String>), NodeId>,
}

/// Makes the graph of a target. Runs nothing; asks for base images, whose configuration instructions build on.
///
/// # Errors
/// Mistakes that show only now: variables that cannot be expanded, images that are nowhere, secrets that were not
/// given, what is not allowed or not supported.
pub(crate) async fn lower(
    file: &Dockerfile,
    plan: &Plan,
    global: &GlobalScope,
    request: &BuildRequest,
    bases: &dyn Bases,
    (platform, several): (&Platform, bool),
) -> Result<Graph, BuildError> {
    let mut lower = Lower {
        file,
        plan,
        global,
        request,
        bases,
        platform,
        nodes: Vec::new(),
        warnings: Vec::new(),
        done: BTreeMap::new(),
        open: Vec::new(),
        images: HashMap::new(),
    };
    for index in &plan.order {
        let from = &file.instructions[plan.stages[*index].from];
        lower.stage(*index, from).await?;
    }
    let target: Stage = match lower.done.remove(&plan.target) {
        Some(lowering) => lowering.stage,
        None => return Err(BuildError::Request("the Dockerfile has no stage to build".into())),
    };
    let mut graph = Graph { nodes: lower.nodes, target, warnings: lower.warnings };
    number(&mut graph.nodes, several.then_some(platform));
    Ok(graph)
}

/// Names say where in its stage a step is, and for which of several platforms.
fn number(nodes: &mut [Node], platform: Option<&Platform>) {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for node in nodes.iter() {
        *counts.entry(node.stage.clone()).or_default() += 1;
    }
    let several = counts.len() > 1;
    let mut seen: HashMap<String, usize> = HashMap::new();
    for node in nodes {
        let at = seen.entry(node.stage.clone()).or_default();
        *at += 1;
        let place = format!("{at}/{}", counts[&node.stage]);
        let label = if several { format!("{} {place}", node.stage) } else { place };
        let platform = platform.map(|platform| format!("{platform} ")).unwrap_or_default();
        node.name = format!("[{platform}{label}] {}", node.name);
    }
}

impl Lower<'_> {
    /// An instruction's mistake, with its place.
    pub(super) fn wrong(&self, instruction: &dockerfile::Instruction, message: impl Into<String>) -> BuildError {
        BuildError::Step {
            file: self.file.name.clone(),
            line: instruction.span.start.line,
            span: instruction.span,
            instruction: instruction.source.clone(),
            message: message.into(),
        }
    }

    pub(super) fn in_file(&self, error: dockerfile::Error) -> BuildError {
        BuildError::Dockerfile(if error.file.is_empty() { error.in_file(&self.file.name) } else { error })
    }

    /// Makes a stage's steps, and first those of the stages that it needs. `user` is the instruction that needs it.
    pub(super) fn stage<'s>(
        &'s mut self,
        index: usize,
        user: &'s dockerfile::Instruction,
    ) -> BoxFuture<'s, Result<(), BuildError>> {
        async move {
            if self.done.contains_key(&index) {
                return Ok(());
            }
            if self.open.contains(&index) {
                let names: Vec<String> =
                    self.open.iter().chain([&index]).map(|stage| self.plan.label(*stage)).collect();
                return Err(self.wrong(user, format!("found a cycle of stages: {}", names.join(" → "))));
            }
            self.open.push(index);
            let plan = self.plan;
            for (need, _) in &plan.stages[index].needs {
                self.stage(*need, user).await?;
            }
            let made = self.steps(index).await?;
            self.open.pop();
            self.done.insert(index, made);
            Ok(())
        }
        .boxed()
    }

    async fn steps(&mut self, index: usize) -> Result<Lowering, BuildError> {
        let stage = &self.plan.stages[index];
        let label = self.plan.label(index);
        let from = &self.file.instructions[stage.from];
        let mut lowering = match &stage.base {
            dockerfile::Origin::Stage(base) => {
                let base = self.done.get(base).ok_or_else(|| self.wrong(from, "its base stage was not planned"))?;
                Lowering::over(base, index, label)
            }
            dockerfile::Origin::Scratch => {
                let own = stage.platform.as_deref().and_then(|text| Platform::parse(text, &Platform::local()));
                let config = ImageConfig::scratch(own.as_ref().unwrap_or(self.platform));
                Lowering::new(Stage { tree: None, config, history: Vec::new() }, index, label)
            }
            origin => {
                let platform = stage.platform.clone();
                match self.origin(origin, platform, &label, from).await? {
                    Origin::Tree(node) => {
                        let config = match node.map(|node| &self.nodes[node].op) {
                            Some(Op::Image(image)) => serde_json::from_slice(&image.config).map_err(|error| {
                                self.wrong(from, format!("the configuration of {} is damaged: {error}", image.name))
                            })?,
                            _ => ImageConfig::scratch(self.platform),
                        };
                        Lowering::new(Stage { tree: node, config, history: Vec::new() }, index, label)
                    }
                    context @ Origin::Context(_) => {
                        let config = ImageConfig::scratch(self.platform);
                        let stage = Stage { tree: None, config, history: Vec::new() };
                        let mut lowering = Lowering::new(stage, index, label);
                        lowering.copy_all(self, from, context);
                        lowering
                    }
                }
            }
        };
        lowering.triggers(self, from).await?;
        for instruction in &self.file.instructions[stage.body.clone()] {
            lowering.instruction(self, instruction).await?;
        }
        Ok(lowering)
    }

    /// Where an instruction's files come from: a step's tree, or a context.
    pub(super) async fn origin(
        &mut self,
        origin: &dockerfile::Origin,
        platform: Option<String>,
        label: &str,
        instruction: &dockerfile::Instruction,
    ) -> Result<Origin, BuildError> {
        let (reference, near) = match origin {
            dockerfile::Origin::Scratch => return Ok(Origin::Tree(None)),
            dockerfile::Origin::Stage(_) => {
                return Err(self.wrong(instruction, "a stage is looked up where it is used"));
            }
            dockerfile::Origin::Context(name) => match named(self.request, name) {
                Some((key, NamedContext::Directory(_))) => return Ok(Origin::Context(Some(key.clone()))),
                Some((_, NamedContext::Image(reference))) => (reference.clone(), None),
                None => return Err(self.wrong(instruction, format!("there is no context {name:?}"))),
            },
            dockerfile::Origin::Image { reference, near } => (reference.clone(), near.clone()),
        };
        let platform = platform.or_else(|| (*self.platform != Platform::local()).then(|| self.platform.to_string()));
        let wanted = (reference.clone(), platform.clone());
        if let Some(node) = self.images.get(&wanted) {
            return Ok(Origin::Tree(Some(*node)));
        }
        let image = self.bases.image(reference, platform).await.map_err(|error| {
            let hint = near.map(|name| format!("; did you mean the stage {name:?}?")).unwrap_or_default();
            self.wrong(instruction, format!("{}{hint}", error.message()))
        })?;
        self.nodes.push(Node {
            name: format!("FROM {}", image.name),
            stage: label.to_owned(),
            span: instruction.span,
            instruction: instruction.source.clone(),
            parent: None,
            op: Op::Image(image),
            fresh: false,
        });
        self.images.insert(wanted, self.nodes.len() - 1);
        Ok(Origin::Tree(Some(self.nodes.len() - 1)))
    }
}

/// A context by its name, spelled as people do.
fn named<'r>(request: &'r BuildRequest, name: &str) -> Option<(&'r String, &'r NamedContext)> {
    let plain = |name: &str| {
        let name = name.strip_prefix("docker.io/library/").or_else(|| name.strip_prefix("docker.io/")).unwrap_or(name);
        name.strip_suffix(":latest").unwrap_or(name).to_owned()
    };
    request.contexts.get_key_value(name).or_else(|| request.contexts.iter().find(|(key, _)| plain(key) == plain(name)))
}

/// The references of all images that a plan needs, as far as they are known before anything was asked for.
pub(crate) fn references(file: &Dockerfile, plan: &Plan, request: &BuildRequest) -> Vec<(String, Option<String>)> {
    let mut found = Vec::new();
    let mut add = |origin: &dockerfile::Origin, platform: Option<String>| {
        let reference = match origin {
            dockerfile::Origin::Image { reference, .. } => reference.clone(),
            dockerfile::Origin::Context(name) => match named(request, name) {
                Some((_, NamedContext::Image(reference))) => reference.clone(),
                _ => return,
            },
            _ => return,
        };
        let wanted = (reference, platform);
        if !found.contains(&wanted) {
            found.push(wanted);
        }
    };
    for index in &plan.order {
        let stage = &plan.stages[*index];
        add(&stage.base, stage.platform.clone());
        for instruction in &file.instructions[stage.body.clone()] {
            if let Kind::Copy(_) | Kind::Run(_) = instruction.kind {
                for (origin, _) in plan.origins(instruction, *index).unwrap_or_default() {
                    add(&origin, None);
                }
            }
        }
    }
    found
}
