//! `RUN`: the command, what it sees, and what is mounted for it.

use super::lower::Lower;
use super::stage::{Lowering, SHELL, config_dir, join};
use super::{Mount, MountKind, Op, Origin, Run};
use crate::config::ImageConfig;
use crate::dockerfile::{self, Instruction, Platform, Script, SecurityMode, Word};
use crate::{BuildError, Entitlement, NetworkChoice};

/// The platform of an image that is made for other machines than this one.
fn foreign(config: &ImageConfig) -> Option<String> {
    let local = Platform::local();
    let other =
        !config.architecture.is_empty() && (&config.os, &config.architecture) != (&local.os, &local.architecture);
    let platform = || Platform {
        os: config.os.clone(),
        architecture: config.architecture.clone(),
        variant: config.variant.clone(),
    };
    other.then(|| platform().to_string())
}

impl Lowering {
    pub(super) async fn run(
        &mut self,
        lower: &mut Lower<'_>,
        instruction: &Instruction,
        run: &dockerfile::Run,
    ) -> Result<(), BuildError> {
        let config = &self.stage.config.config;
        let shell: Vec<String> =
            if config.shell.is_empty() { SHELL.map(str::to_owned).to_vec() } else { config.shell.clone() };
        let mut script = None;
        let args = match run.script() {
            Script::Shell(text) => shell.into_iter().chain([text]).collect(),
            Script::Exec(words) => words,
            Script::File { name, content } => {
                let path = format!("/dev/pipes/{}", name.replace('/', "_"));
                script = Some((path.clone(), content));
                vec![path]
            }
        };
        let mut env = config.env.clone();
        let declared: Vec<String> = self.scope.args().map(|(name, value)| format!("{name}={value}")).collect();
        env.extend(declared.iter().cloned());
        let has = |env: &[String], name: &str| {
            env.iter().any(|entry| entry.strip_prefix(name).is_some_and(|rest| rest.starts_with('=')))
        };
        let mut hidden_env: Vec<String> = lower
            .global
            .proxies()
            .filter(|(name, _)| !has(&env, name))
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let insecure = matches!(run.security, Some((SecurityMode::Insecure, _)));
        let network = match run.network {
            Some((mode, _)) => {
                let choice = NetworkChoice::from(mode);
                if choice == NetworkChoice::Host
                    && lower.request.network != NetworkChoice::Host
                    && !lower.request.entitlements.contains(&Entitlement::NetworkHost)
                {
                    return Err(
                        lower.wrong(instruction, "network.host is not allowed: build with --allow network.host")
                    );
                }
                if choice == NetworkChoice::Default { lower.request.network.clone() } else { choice }
            }
            None => lower.request.network.clone(),
        };
        if insecure && !lower.request.entitlements.contains(&Entitlement::SecurityInsecure) {
            let why = "security.insecure is not allowed: build with --allow security.insecure";
            return Err(lower.wrong(instruction, why));
        }
        let devices = self.devices(lower, instruction, run).await?;
        let mut mounts = Vec::new();
        for mount in &run.mounts {
            mounts.extend(self.mount(lower, instruction, mount).await?);
        }
        if let Some(first) = mounts.iter().find(|mount| matches!(mount.kind, MountKind::Ssh { .. })) {
            hidden_env.push(format!("SSH_AUTH_SOCK={}", first.target));
        }
        let shown = args.join(" ");
        let said = if declared.is_empty() {
            format!("RUN {shown}")
        } else {
            format!("RUN |{} {} {shown}", declared.len(), declared.join(" "))
        };
        let step = Run {
            args,
            env,
            hidden_env,
            cwd: config_dir(&self.stage),
            user: self.stage.config.config.user.clone(),
            mounts,
            network,
            insecure,
            script,
            devices,
            foreign: foreign(&self.stage.config),
        };
        let node = self.push(lower, instruction, instruction.source.clone(), Op::Run(Box::new(step)));
        self.history(said, Some(node));
        Ok(())
    }

    /// The devices that a command asks for, of those that are here.
    async fn devices(
        &self,
        lower: &mut Lower<'_>,
        instruction: &Instruction,
        run: &dockerfile::Run,
    ) -> Result<Vec<String>, BuildError> {
        let mut all: Vec<String> = Vec::new();
        for device in &run.devices {
            let pattern = self.expand(lower, &device.name)?;
            let found = match lower.bases.devices(pattern.clone()).await {
                Ok(found) => found,
                Err(BuildError::NotFound(why)) if device.required => {
                    return Err(lower.wrong(instruction, format!("--device={pattern}: {why}")));
                }
                Err(BuildError::NotFound(why)) => {
                    lower.warnings.push((format!("--device={pattern}: {why}"), instruction.span));
                    continue;
                }
                Err(other) => return Err(lower.wrong(instruction, other.message())),
            };
            let permits = |name: &String| {
                let said = |permitted: &Option<String>| match permitted {
                    None => true,
                    Some(permitted) => {
                        let kind = name.split('=').next().unwrap_or_default();
                        [pattern.as_str(), name, kind].contains(&permitted.trim_end_matches("=*"))
                    }
                };
                let mut entitlements = lower.request.entitlements.iter();
                entitlements.any(|one| matches!(one, Entitlement::Device(permitted) if said(permitted)))
            };
            if !found.allowed && !found.names.iter().all(permits) {
                let why = format!("the device {pattern} is not allowed: build with --allow device={pattern}");
                return Err(lower.wrong(instruction, why));
            }
            for name in found.names {
                if !all.contains(&name) {
                    all.push(name);
                }
            }
        }
        Ok(all)
    }

    async fn mount(
        &mut self,
        lower: &mut Lower<'_>,
        instruction: &Instruction,
        mount: &dockerfile::Mount,
    ) -> Result<Option<Mount>, BuildError> {
        let cwd = config_dir(&self.stage);
        let target = mount.target.as_ref().map(|word| self.expand(lower, word)).transpose()?;
        let target = target.map(|target| join(&cwd, &target));
        let text = |word: &Option<Word>| word.as_ref().map(|word| self.expand(lower, word)).transpose();
        let wrong = |why: String| lower.wrong(instruction, why);
        let number = |word: &Option<Word>, default: u32| -> Result<u32, BuildError> {
            match text(word)? {
                Some(text) => text.parse().map_err(|_| wrong(format!("{text:?} is no number of a user or group"))),
                None => Ok(default),
            }
        };
        let octal = |word: &Option<Word>, default: u32| -> Result<u32, BuildError> {
            match text(word)? {
                Some(text) => u32::from_str_radix(&text, 8)
                    .ok()
                    .filter(|mode| *mode <= 0o7777)
                    .ok_or_else(|| wrong(format!("mode={text}: expected octal digits"))),
                None => Ok(default),
            }
        };
        let needs = || wrong("a mount needs target=…".into());
        Ok(Some(match &mount.kind {
            dockerfile::MountKind::Bind { from, source, writable } => {
                let (target, source) = (target.ok_or_else(needs)?, text(source)?.unwrap_or_default());
                let from = match from {
                    Some(word) => self.origin(lower, instruction, word).await?,
                    None => Origin::Context(None),
                };
                Mount { target, kind: MountKind::Bind { from, source, writable: *writable } }
            }
            dockerfile::MountKind::Cache { id, from, source, sharing, read_only, mode, uid, gid } => {
                let target = target.ok_or_else(needs)?;
                let (id, source) = (text(id)?.unwrap_or_else(|| target.clone()), text(source)?.unwrap_or_default());
                let id = match lower.request.setting("BUILDKIT_CACHE_MOUNT_NS") {
                    Some(space) => format!("{space}/{id}"),
                    None => id,
                };
                let (mode, uid, gid) = (octal(mode, 0o755)?, number(uid, 0)?, number(gid, 0)?);
                let from = match from {
                    Some(word) => Some(self.origin(lower, instruction, word).await?),
                    None => None,
                };
                let kind =
                    MountKind::Cache { id, from, source, sharing: *sharing, read_only: *read_only, mode, uid, gid };
                Mount { target, kind }
            }
            dockerfile::MountKind::Tmpfs { size } => {
                let size = text(size)?
                    .map(|text| {
                        hoist_proto::unit::parse_bytes(&text).map_err(|_| wrong(format!("size={text}: no size")))
                    })
                    .transpose()?;
                Mount { target: target.ok_or_else(needs)?, kind: MountKind::Tmpfs { size } }
            }
            dockerfile::MountKind::Secret { id, env, required, mode, uid, gid } => {
                let (id, env) = (text(id)?, text(env)?);
                let last = || target.as_deref().and_then(|target| target.rsplit('/').next()).map(str::to_owned);
                let id = id.or_else(last).ok_or_else(|| wrong("a secret needs id=… or target=…".into()))?;
                if !lower.request.secrets.contains_key(&id) {
                    if *required {
                        return Err(wrong(format!(
                            "the secret {id:?} was not given: build with --secret id={id},src=…"
                        )));
                    }
                    return Ok(None);
                }
                let file = target.is_some() || env.is_none();
                let target = target.unwrap_or_else(|| format!("/run/secrets/{id}"));
                let (mode, uid, gid) = (octal(mode, 0o400)?, number(uid, 0)?, number(gid, 0)?);
                Mount { target, kind: MountKind::Secret { id, file, env, mode, uid, gid } }
            }
            dockerfile::MountKind::Ssh { id, required, mode, uid, gid } => {
                let id = text(id)?.unwrap_or_else(|| "default".into());
                if !lower.request.ssh.contains_key(&id) {
                    if *required {
                        return Err(wrong(format!("the SSH agent {id:?} was not given: build with --ssh {id}")));
                    }
                    return Ok(None);
                }
                let (mode, uid, gid) = (octal(mode, 0o600)?, number(uid, 0)?, number(gid, 0)?);
                let number = self.agents;
                self.agents += 1;
                let target = target.unwrap_or_else(|| format!("/run/buildkit/ssh_agent.{number}"));
                Mount { target, kind: MountKind::Ssh { id, mode, uid, gid } }
            }
        }))
    }
}
