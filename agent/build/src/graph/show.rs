//! A graph as text: for tests, and for a person who wants to know what a build would do.

use std::fmt;

use super::{Graph, MountKind, Node, Op, Origin};

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (id, node) in self.nodes.iter().enumerate() {
            write!(f, "{id}")?;
            if let Some(parent) = node.parent {
                write!(f, " on {parent}")?;
            }
            writeln!(f, ": {}", Step(node))?;
        }
        match self.target.tree {
            Some(tree) => writeln!(f, "result: {tree}"),
            None => writeln!(f, "result: nothing"),
        }
    }
}

struct Step<'a>(&'a Node);

impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = |origin: &Origin| match origin {
            Origin::Tree(Some(node)) => format!("step {node}"),
            Origin::Tree(None) => "nothing".to_owned(),
            Origin::Context(None) => "the context".to_owned(),
            Origin::Context(Some(name)) => format!("context {name}"),
        };
        match &self.0.op {
            Op::Image(image) => write!(f, "image {}", image.name),
            Op::Workdir(path) => write!(f, "directory {path}"),
            Op::Run(run) => {
                write!(f, "run {:?} in {}", run.args, run.cwd)?;
                for mount in &run.mounts {
                    match &mount.kind {
                        MountKind::Bind { from, source, .. } => write!(f, ", bind {source} of {}", origin(from))?,
                        MountKind::Cache { id, .. } => write!(f, ", cache {id}")?,
                        MountKind::Tmpfs { .. } => write!(f, ", tmpfs")?,
                        MountKind::Secret { id, .. } => write!(f, ", secret {id}")?,
                        MountKind::Ssh { id, .. } => write!(f, ", ssh {id}")?,
                    }
                    write!(f, " at {}", mount.target)?;
                }
                Ok(())
            }
            Op::Copy(copy) => {
                let inline = copy.inline.iter().map(|inline| format!("<<{}", inline.name));
                let remote = copy.remote.iter().map(|remote| remote.url.clone());
                let all: Vec<String> = copy.sources.iter().cloned().chain(inline).chain(remote).collect();
                write!(f, "copy {} of {} to {}", all.join(" "), origin(&copy.from), copy.destination)
            }
        }
    }
}
