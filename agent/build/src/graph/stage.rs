//! One stage's instructions, one after another: its variables, its configuration, its steps.

use serde_json::{Map, Value};

use super::lower::Lower;
use super::{Copy, Inline, Node, NodeId, Op, Origin, Remote, Stage};
use crate::config::{DEFAULT_PATH, Healthcheck, History};
use crate::dockerfile::{
    self, Command, Instruction, Kind, Lexer, StageScope, Transfer, Word, expand_pairs, parse_trigger,
};
use crate::{BuildError, GitSource};

/// A stage while it is read.
pub(super) struct Lowering {
    pub stage: Stage,
    pub(super) scope: StageScope,
    index: usize,
    pub(super) label: String,
    /// `CMD` was said in this stage, not by what it is based on.
    command_is_own: bool,
    /// How many agents were mounted.
    pub(super) agents: usize,
}

pub(super) const SHELL: [&str; 2] = ["/bin/sh", "-c"];

impl Lowering {
    pub(super) fn new(mut stage: Stage, index: usize, label: String) -> Self {
        let config = &mut stage.config;
        if config.os != "windows" && !config.config.env.iter().any(|entry| entry.starts_with("PATH=")) {
            config.config.env.push(format!("PATH={DEFAULT_PATH}"));
        }
        let scope = StageScope::on_image(&stage.config.config.env);
        Self { stage, scope, index, label, command_is_own: false, agents: 0 }
    }

    /// A stage that begins where another ends.
    pub(super) fn over(base: &Self, index: usize, label: String) -> Self {
        let mut lowering = Self::new(base.stage.clone(), index, label);
        // Arguments are inherited as variables are.
        lowering.scope = base.scope.clone();
        lowering
    }

    /// The base's `ONBUILD` instructions come first.
    pub(super) async fn triggers(&mut self, lower: &mut Lower<'_>, from: &Instruction) -> Result<(), BuildError> {
        for (at, trigger) in std::mem::take(&mut self.stage.config.config.on_build).iter().enumerate() {
            let name = format!("{}:{} (ONBUILD trigger {} of its base)", lower.file.name, from.span.start.line, at + 1);
            let mut instruction = parse_trigger(&name, trigger)?;
            // Events point to the line that brought the trigger in.
            instruction.span = from.span;
            instruction.source = format!("ONBUILD {}", instruction.source);
            self.instruction(lower, &instruction).await?;
        }
        Ok(())
    }

    pub(super) async fn instruction(
        &mut self,
        lower: &mut Lower<'_>,
        instruction: &Instruction,
    ) -> Result<(), BuildError> {
        let lexer = lower.global.lexer();
        let config = &mut self.stage.config.config;
        let mut said = instruction.source.clone();
        match &instruction.kind {
            Kind::From(_) => return Ok(()),
            Kind::Arg(args) => {
                let mut words = Vec::new();
                for arg in args {
                    self.scope.declare(arg, lower.global).map_err(|error| lower.in_file(error))?;
                    let value = self.scope.args().find(|(name, _)| *name == arg.name.text).map(|(_, value)| value);
                    words.push(match value {
                        Some(value) => format!("{}={value}", arg.name.text),
                        None => arg.name.text.clone(),
                    });
                }
                said = format!("ARG {}", words.join(" "));
            }
            Kind::Env(pairs) => {
                let set = self.scope.set_env(pairs, lower.global).map_err(|error| lower.in_file(error))?;
                config.env = self.scope.env().iter().map(|(name, value)| format!("{name}={value}")).collect();
                let words: Vec<String> = set.iter().map(|(name, value)| format!("{name}={value}")).collect();
                said = format!("ENV {}", words.join(" "));
            }
            Kind::Label(pairs) => {
                let set = expand_pairs(pairs, lexer, &|name| self.scope.lookup(name));
                let set = set.map_err(|error| lower.in_file(error))?;
                let words: Vec<String> = set.iter().map(|(name, value)| format!("{name}={value}")).collect();
                config.labels.extend(set);
                said = format!("LABEL {}", words.join(" "));
            }
            Kind::Run(run) => return self.run(lower, instruction, run).await,
            Kind::Copy(copy) => {
                let from = match &copy.from {
                    Some(word) => self.origin(lower, instruction, word).await?,
                    None => Origin::Context(None),
                };
                let mut step = self.transfer(lower, instruction, &copy.transfer, from, false)?;
                step.parents = copy.parents.on;
                step.directory |= step.parents;
                return self.copy(lower, instruction, step);
            }
            Kind::Add(add) => {
                let mut step = self.transfer(lower, instruction, &add.transfer, Origin::Context(None), true)?;
                step.unpack = add.unpack.is_none_or(|flag| flag.on);
                let checksum = add.checksum.as_ref().map(|word| self.expand(lower, word)).transpose()?;
                if checksum.is_some() && (step.remote.len() != 1 || !step.sources.is_empty()) {
                    return Err(lower.wrong(instruction, "--checksum is for one remote source"));
                }
                for remote in &mut step.remote {
                    remote.checksum.clone_from(&checksum);
                    remote.keep_git_dir = add.keep_git_dir.on;
                    remote.unpack = add.unpack.is_some_and(|flag| flag.on);
                }
                return self.copy(lower, instruction, step);
            }
            Kind::Cmd(command) => {
                config.cmd = Some(full(command, &config.shell));
                self.command_is_own = true;
                said = format!("CMD {}", as_json(config.cmd.as_deref().unwrap_or_default()));
            }
            Kind::Entrypoint(command) => {
                config.entrypoint = Some(full(command, &config.shell));
                // The base's command makes no sense for another program.
                if !self.command_is_own {
                    config.cmd = None;
                }
                said = format!("ENTRYPOINT {}", as_json(config.entrypoint.as_deref().unwrap_or_default()));
            }
            Kind::Shell(words) => config.shell = words.iter().map(|word| word.text.clone()).collect(),
            Kind::Healthcheck(check) => config.healthcheck = Some(healthcheck(check)),
            Kind::Expose(words) => {
                for word in words {
                    let ports = lexer
                        .expand_fields(&word.text, &|name| self.scope.lookup(name))
                        .map_err(|error| lower.wrong(instruction, error.to_string()))?;
                    for port in ports {
                        let ports = expose(&port).ok_or_else(|| {
                            lower.wrong(
                                instruction,
                                format!("{port:?} is no port: expected 80, 80/udp or 8000-8010/tcp"),
                            )
                        })?;
                        config.exposed_ports.extend(ports.into_iter().map(|port| (port, Value::Object(Map::new()))));
                    }
                }
            }
            Kind::Volume(words) => {
                for word in words {
                    let path = self.expand(lower, word)?;
                    if path.is_empty() {
                        return Err(lower.wrong(instruction, "the path of a volume is empty"));
                    }
                    self.stage.config.config.volumes.insert(path, Value::Object(Map::new()));
                }
            }
            Kind::User(word) => self.stage.config.config.user = self.expand(lower, word)?,
            Kind::Workdir(word) => {
                let path = self.expand(lower, word)?;
                let path = join(&config_dir(&self.stage), &path);
                self.stage.config.config.working_dir.clone_from(&path);
                let node = if path == "/" {
                    None
                } else {
                    Some(self.push(lower, instruction, format!("WORKDIR {path}"), Op::Workdir(path.clone())))
                };
                self.history(format!("WORKDIR {path}"), node);
                return Ok(());
            }
            Kind::Stopsignal(word) => {
                let signal = self.expand(lower, word)?;
                if signal.is_empty() || !signal.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-')) {
                    return Err(lower.wrong(instruction, format!("{signal:?} is no signal")));
                }
                self.stage.config.config.stop_signal = Some(signal);
            }
            Kind::Maintainer(word) => self.stage.config.author = word.text.clone(),
            Kind::Onbuild(trigger) => config.on_build.push(trigger.source.clone()),
        }
        self.history(said, None);
        Ok(())
    }

    pub(super) fn history(&mut self, created_by: String, node: Option<NodeId>) {
        let line = History { created_by, comment: "hoist".into(), empty_layer: node.is_none(), ..History::default() };
        self.stage.history.push((line, node));
    }

    /// Adds a step to the stage.
    pub(super) fn push(&mut self, lower: &mut Lower<'_>, instruction: &Instruction, name: String, op: Op) -> NodeId {
        let filter = &lower.request.no_cache_filter;
        let fresh = lower.request.no_cache || filter.contains(&self.label) || filter.contains(&self.index.to_string());
        lower.nodes.push(Node {
            name,
            stage: self.label.clone(),
            span: instruction.span,
            instruction: instruction.source.clone(),
            parent: self.stage.tree,
            op,
            fresh,
        });
        let id = lower.nodes.len() - 1;
        self.stage.tree = Some(id);
        id
    }

    pub(super) fn expand(&self, lower: &Lower<'_>, word: &Word) -> Result<String, BuildError> {
        word.expand(lower.global.lexer(), &|name| self.scope.lookup(name)).map_err(|error| lower.in_file(error))
    }

    pub(super) async fn origin(
        &self,
        lower: &mut Lower<'_>,
        instruction: &Instruction,
        word: &Word,
    ) -> Result<Origin, BuildError> {
        let origin = lower.plan.origin(word, self.index).map_err(|error| lower.in_file(error))?;
        match origin {
            dockerfile::Origin::Stage(stage) => {
                // Only a trigger of the base image names a stage that nobody knew to be needed.
                lower.stage(stage, instruction).await?;
                Ok(Origin::Tree(lower.done.get(&stage).and_then(|done| done.stage.tree)))
            }
            other => lower.origin(&other, None, &self.label, instruction).await,
        }
    }

    /// A stage on a context: all of it.
    pub(super) fn copy_all(&mut self, lower: &mut Lower<'_>, from: &Instruction, origin: Origin) {
        let copy = Copy {
            from: origin,
            sources: vec![".".into()],
            inline: Vec::new(),
            remote: Vec::new(),
            destination: "/".into(),
            directory: true,
            chown: None,
            chmod: None,
            exclude: Vec::new(),
            parents: false,
            link: false,
            unpack: false,
        };
        let node = self.push(lower, from, from.source.clone(), Op::Copy(Box::new(copy)));
        self.history(from.source.clone(), Some(node));
    }

    fn transfer(
        &self,
        lower: &Lower<'_>,
        instruction: &Instruction,
        transfer: &Transfer,
        from: Origin,
        add: bool,
    ) -> Result<Copy, BuildError> {
        let (mut sources, mut inline, mut remote) = (Vec::new(), Vec::new(), Vec::new());
        for source in &transfer.sources {
            match source {
                dockerfile::Source::Heredoc(heredoc) => {
                    let content = if heredoc.expand {
                        Lexer::heredoc()
                            .expand(&heredoc.content, &|name| self.scope.lookup(name))
                            .map_err(|error| lower.wrong(instruction, error.to_string()))?
                    } else {
                        heredoc.content.clone()
                    };
                    inline.push(Inline { name: heredoc.name.clone(), content });
                }
                dockerfile::Source::Path(word) => {
                    let path = self.expand(lower, word)?;
                    let wrong = |error: BuildError| lower.wrong(instruction, error.message());
                    let git = add && GitSource::parse(&path).map_err(wrong)?.is_some();
                    if git || (add && (path.starts_with("http://") || path.starts_with("https://"))) {
                        remote.push(Remote { url: path, git, checksum: None, keep_git_dir: false, unpack: false });
                    } else {
                        sources.push(path);
                    }
                }
            }
        }
        let written = self.expand(lower, &transfer.destination)?;
        let several = sources.len() + inline.len() + remote.len() > 1;
        let directory = written.ends_with('/') || written == "." || written.ends_with("/.") || written.is_empty();
        if several && !directory {
            return Err(lower.wrong(
                instruction,
                format!("several sources need a directory as their destination: write {written:?} with a / at its end"),
            ));
        }
        let expand = |word: &Option<Word>| word.as_ref().map(|word| self.expand(lower, word)).transpose();
        let exclude = transfer.exclude.iter().map(|word| self.expand(lower, word)).collect::<Result<_, _>>()?;
        let chmod = expand(&transfer.chmod)?;
        if let Some(text) = &chmod
            && crate::tree::ModeChange::parse(text).is_none()
        {
            return Err(
                lower.wrong(instruction, format!("--chmod={text}: expected octal digits or such as u=rwX,go=rX"))
            );
        }
        Ok(Copy {
            from,
            sources,
            inline,
            remote,
            destination: join(&config_dir(&self.stage), &written),
            directory,
            chown: expand(&transfer.chown)?,
            chmod,
            exclude,
            parents: false,
            link: transfer.link.on,
            unpack: false,
        })
    }

    fn copy(&mut self, lower: &mut Lower<'_>, instruction: &Instruction, copy: Copy) -> Result<(), BuildError> {
        if lower.request.context.is_none() && copy.from == Origin::Context(None) && !copy.sources.is_empty() {
            return Err(lower.wrong(instruction, "this build has no context to copy from"));
        }
        let node = self.push(lower, instruction, instruction.source.clone(), Op::Copy(Box::new(copy)));
        self.history(instruction.source.clone(), Some(node));
        Ok(())
    }
}

pub(super) fn config_dir(stage: &Stage) -> String {
    let dir = &stage.config.config.working_dir;
    if dir.is_empty() { "/".into() } else { dir.clone() }
}

/// An absolute path without `.`, `..` and double slashes.
pub(super) fn join(base: &str, path: &str) -> String {
    let whole = if path.starts_with('/') { path.to_owned() } else { format!("{base}/{path}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// The exec form as it is, the shell form with the shell in front.
fn full(command: &Command, shell: &[String]) -> Vec<String> {
    match command {
        Command::Exec(words) => words.iter().map(|word| word.text.clone()).collect(),
        Command::Shell(text) if shell.is_empty() => {
            SHELL.iter().map(|w| (*w).to_owned()).chain([text.text.clone()]).collect()
        }
        Command::Shell(text) => shell.iter().cloned().chain([text.text.clone()]).collect(),
    }
}

fn as_json(words: &[String]) -> String {
    serde_json::to_string(words).unwrap_or_default()
}

fn healthcheck(check: &dockerfile::Healthcheck) -> Healthcheck {
    match check {
        dockerfile::Healthcheck::None => Healthcheck { test: vec!["NONE".into()], ..Healthcheck::default() },
        dockerfile::Healthcheck::Cmd {
            command,
            interval_ns,
            timeout_ns,
            start_period_ns,
            start_interval_ns,
            retries,
        } => {
            let test = match command {
                Command::Exec(words) => {
                    std::iter::once("CMD".to_owned()).chain(words.iter().map(|word| word.text.clone())).collect()
                }
                Command::Shell(text) => vec!["CMD-SHELL".into(), text.text.clone()],
            };
            Healthcheck {
                test,
                interval: *interval_ns,
                timeout: *timeout_ns,
                start_period: *start_period_ns,
                start_interval: *start_interval_ns,
                retries: u64::from(*retries),
            }
        }
    }
}

/// `80`, `80/udp`, `8000-8010/tcp`: one line for each port. What stands before it as in `-p`, an address and a port of
/// the host, the checks warn of, and it means nothing.
fn expose(text: &str) -> Option<Vec<String>> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (before, ports) = ports.rsplit_once(':').unwrap_or(("", ports));
    let (address, outside) = before.rsplit_once(':').unwrap_or(("", before));
    let address = address.trim_start_matches('[').trim_end_matches(']');
    let is_port = |text: &str| text.parse::<u16>().is_ok();
    let meant = outside.split('-').all(|port| port.is_empty() || is_port(port))
        && (address.is_empty() || address.parse::<std::net::IpAddr>().is_ok());
    if !meant {
        return None;
    }
    let protocol = protocol.to_ascii_lowercase();
    let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    let (first, last) = match ports.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(ports)?, number(ports)?),
    };
    let good = first <= last && matches!(protocol.as_str(), "tcp" | "udp" | "sctp");
    good.then(|| (first..=last).map(|port| format!("{port}/{protocol}")).collect())
}
