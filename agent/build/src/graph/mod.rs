//! A Dockerfile's stages as a graph of steps. What only changes the configuration is no step: it costs nothing.

mod command;
mod lower;
mod show;
mod stage;

use serde::Serialize;

use crate::config::{History, ImageConfig};
use crate::dockerfile::{Sharing, Span};
use crate::{BaseImage, NetworkChoice};

pub(crate) use lower::{Bases, lower, references};

/// A step's number in its graph.
pub(crate) type NodeId = usize;

/// The steps of a build, each behind all that it needs, and what they make.
pub(crate) struct Graph {
    pub nodes: Vec<Node>,
    /// What the target is.
    pub target: Stage,
    /// Things that a person should know.
    pub warnings: Vec<(String, Span)>,
}

/// A finished stage: a file tree, and how to run it.
#[derive(Clone)]
pub(crate) struct Stage {
    /// `None` is the empty tree.
    pub tree: Option<NodeId>,
    pub config: ImageConfig,
    /// What was added to the base's history: a line, and the step that made its layer.
    pub history: Vec<(History, Option<NodeId>)>,
}

/// A step.
pub(crate) struct Node {
    /// `[build 2/5] RUN make`
    pub name: String,
    pub stage: String,
    pub span: Span,
    /// The instruction, as one line.
    pub instruction: String,
    /// The tree that it changes; `None` is the empty one.
    pub parent: Option<NodeId>,
    pub op: Op,
    /// Its result is not to be taken from the cache.
    pub fresh: bool,
}

/// What a step does.
pub(crate) enum Op {
    /// An image's tree.
    Image(BaseImage),
    Run(Box<Run>),
    Copy(Box<Copy>),
    /// Makes a directory if there is none.
    Workdir(String),
}

/// Where files are read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) enum Origin {
    /// A step's tree; `None` is the empty one.
    Tree(Option<NodeId>),
    /// A context: the main one has no name.
    Context(Option<String>),
}

/// Runs a command.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub args: Vec<String>,
    pub env: Vec<String>,
    /// Variables that the command sees and that change no key.
    pub hidden_env: Vec<String>,
    pub cwd: String,
    pub user: String,
    pub mounts: Vec<Mount>,
    pub network: NetworkChoice,
    pub insecure: bool,
    /// A script of its own: its name and content.
    pub script: Option<(String, String)>,
    /// Whole names of the devices that it is given.
    pub devices: Vec<String>,
    /// The platform of its programs, if it is not this machine's.
    pub foreign: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct Mount {
    pub target: String,
    pub kind: MountKind,
}

#[derive(Debug, Clone)]
pub(crate) enum MountKind {
    Bind {
        from: Origin,
        source: String,
        writable: bool,
    },
    Cache {
        id: String,
        from: Option<Origin>,
        source: String,
        sharing: Sharing,
        read_only: bool,
        mode: u32,
        uid: u32,
        gid: u32,
    },
    Tmpfs {
        size: Option<u64>,
    },
    /// A file, or a variable, or both.
    Secret {
        id: String,
        file: bool,
        env: Option<String>,
        mode: u32,
        uid: u32,
        gid: u32,
    },
    Ssh {
        id: String,
        mode: u32,
        uid: u32,
        gid: u32,
    },
}

/// Copies files.
#[derive(Debug, Clone)]
pub(crate) struct Copy {
    pub from: Origin,
    /// Paths and patterns in `from`.
    pub sources: Vec<String>,
    pub inline: Vec<Inline>,
    pub remote: Vec<Remote>,
    /// Absolute.
    pub destination: String,
    /// It was written with a slash at its end, or several sources were.
    pub directory: bool,
    pub chown: Option<String>,
    pub chmod: Option<String>,
    pub exclude: Vec<String>,
    pub parents: bool,
    pub link: bool,
    /// Local archives are unpacked.
    pub unpack: bool,
}

/// A heredoc.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Inline {
    pub name: String,
    pub content: String,
}

/// Something from the network.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Remote {
    pub url: String,
    pub git: bool,
    pub checksum: Option<String>,
    pub keep_git_dir: bool,
    pub unpack: bool,
}

impl Node {
    /// The steps whose trees it needs.
    pub(crate) fn inputs(&self) -> Vec<NodeId> {
        let tree = |origin: &Origin| match origin {
            Origin::Tree(node) => *node,
            Origin::Context(_) => None,
        };
        let mut inputs: Vec<NodeId> = self.parent.into_iter().collect();
        match &self.op {
            Op::Copy(copy) => inputs.extend(tree(&copy.from)),
            Op::Run(run) => inputs.extend(run.mounts.iter().filter_map(|mount| match &mount.kind {
                MountKind::Bind { from, .. } => tree(from),
                MountKind::Cache { from, .. } => from.as_ref().and_then(tree),
                _ => None,
            })),
            Op::Image(_) | Op::Workdir(_) => {}
        }
        inputs.dedup();
        inputs
    }
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
