//! `hoist watch` and `up --watch`: what a service's `develop.watch` asks for when files change.
//!
//! Files are looked at twice a second, as a build's context is: this works on every file system, needs no limit
//! raised, and takes several changes at once for one.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use hoist_build::{
    context::{EntryKind, walk},
    dockerfile::IgnoreFile,
};
use hoist_compose::model::{Hook, Project, Watch, WatchAction};
use hoist_proto::spec::UpOptions;

use super::{
    args::ProjectArgs,
    args_up::{MakeArgs, WatchArgs},
    build,
    containers::{self, Container, Which},
    project, up,
};
use crate::cli::{
    Context, Exit, Outcome, args::container::ExecArgs, client::reader_body, commands::container, failure::Failure,
};

const PACE: Duration = Duration::from_millis(500);

/// What is known of a file: kind and size, time and mode.
type Seen = BTreeMap<String, (String, i64, u32)>;

/// One rule with what it saw last.
struct Rule<'p> {
    service: &'p str,
    rule: &'p Watch,
    root: PathBuf,
    /// The rule watches this one file of its directory.
    file: Option<String>,
    ignore: IgnoreFile,
    include: IgnoreFile,
    seen: Seen,
}

/// `hoist watch`: builds and starts, then watches until Ctrl-C.
pub async fn run(context: &Context, args: &ProjectArgs, flags: &WatchArgs) -> Outcome {
    let project = project::load_project(context, args)?;
    up::check_names(&project, &flags.services)?;
    let mut rules = rules(&project, &flags.services)?;
    if !flags.no_up {
        let make = MakeArgs { build: true, quiet_build: flags.quiet, ..MakeArgs::default() };
        build::before(context, args, &project, &flags.services, false, &make).await?;
        let options = UpOptions { services: flags.services.clone(), ..UpOptions::default() };
        up::apply(context, args, "up", &project, options).await?;
    }
    tokio::select! {
        failed = follow(context, args, &project, &mut rules, flags.quiet) => failed?,
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    Ok(Exit::OK)
}

/// Watches beside something else that says when to end.
pub async fn beside(context: &Context, args: &ProjectArgs, project: &Project, services: &[String]) -> Outcome {
    let mut rules = rules(project, services)?;
    follow(context, args, project, &mut rules, false).await?;
    Ok(Exit::OK)
}

/// Whether there is anything to watch.
pub fn check(project: &Project, services: &[String]) -> Result<(), Failure> {
    rules(project, services).map(|_| ())
}

fn rules<'p>(project: &'p Project, services: &[String]) -> Result<Vec<Rule<'p>>, Failure> {
    let mut found = Vec::new();
    for service in project.services.values().filter(|service| services.is_empty() || services.contains(&service.name)) {
        for rule in service.develop.iter().flat_map(|develop| &develop.watch) {
            let wrong =
                |what: &str| Failure::new(format!("service {}: develop.watch of {}: {what}", service.name, rule.path));
            let copies = matches!(rule.action, WatchAction::Sync | WatchAction::SyncRestart | WatchAction::SyncExec);
            if copies && rule.target.is_none() {
                return Err(wrong("a sync needs a target"));
            }
            if rule.action == WatchAction::SyncExec && rule.exec.as_ref().is_none_or(|hook| hook.command.is_none()) {
                return Err(wrong("sync+exec needs exec.command"));
            }
            if rule.action == WatchAction::Rebuild && service.build.is_none() {
                return Err(wrong("rebuild needs a build section"));
            }
            let path = project.working_dir.join(&rule.path);
            let is_file = fs_err::metadata(&path)?.is_file();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).filter(|_| is_file);
            let root = match (&name, path.parent()) {
                (Some(_), Some(parent)) => parent.to_owned(),
                _ => path.clone(),
            };
            let ignore = match &name {
                Some(name) => IgnoreFile::from_patterns(["*", &format!("!{name}")]),
                None => IgnoreFile::from_patterns(rule.ignore.iter().map(String::as_str)),
            };
            let include = IgnoreFile::from_patterns(rule.include.iter().map(String::as_str));
            let (ignore, include) = (ignore.map_err(|what| wrong(&what))?, include.map_err(|what| wrong(&what))?);
            let mut rule =
                Rule { service: &service.name, rule, root, file: name, ignore, include, seen: Seen::default() };
            if !rule.rule.initial_sync {
                rule.seen = look(&rule.root, &rule.ignore, &rule.include)?;
            }
            found.push(rule);
        }
    }
    if found.is_empty() {
        return Err(Failure::new("no service has develop.watch: there is nothing to watch"));
    }
    Ok(found)
}

fn look(root: &Path, ignore: &IgnoreFile, include: &IgnoreFile) -> Result<Seen, Failure> {
    let manifest = walk(root, ignore).map_err(|error| Failure::from_error(&error))?;
    let files = manifest.entries.into_iter().filter_map(|entry| {
        let kind = match entry.kind {
            EntryKind::Directory => return None,
            EntryKind::File { size, .. } => format!("file of {size}"),
            EntryKind::Link { target } => format!("link to {target}"),
        };
        let wanted = include.is_empty() || include.is_ignored(&entry.path);
        wanted.then_some((entry.path, (kind, entry.modified, entry.mode)))
    });
    Ok(files.collect())
}

/// Paths that are new or different, and those that are gone.
fn changes(before: &Seen, now: &Seen) -> (Vec<String>, Vec<String>) {
    let changed = now.iter().filter(|(path, what)| before.get(*path) != Some(what)).map(|(path, _)| path.clone());
    let gone = before.keys().filter(|path| !now.contains_key(*path)).cloned();
    (changed.collect(), gone.collect())
}

async fn follow(
    context: &Context,
    args: &ProjectArgs,
    project: &Project,
    rules: &mut [Rule<'_>],
    quiet: bool,
) -> Result<(), Failure> {
    context.printer.say(" Watching  enabled");
    loop {
        for rule in rules.iter_mut() {
            let (root, ignore, include) = (rule.root.clone(), rule.ignore.clone(), rule.include.clone());
            let looked = tokio::task::spawn_blocking(move || look(&root, &ignore, &include)).await;
            // A file that vanishes while it is looked at is seen the next time.
            let Ok(Ok(now)) = looked else { continue };
            let (changed, gone) = changes(&rule.seen, &now);
            rule.seen = now;
            if changed.is_empty() && gone.is_empty() {
                continue;
            }
            if let Err(failure) = act(context, args, project, rule, &changed, &gone, quiet).await {
                // A mistake in a source file is no reason to stop: the next change mends it.
                context.printer.failure(&failure);
            }
        }
        tokio::time::sleep(PACE).await;
    }
}

async fn act(
    context: &Context,
    args: &ProjectArgs,
    project: &Project,
    rule: &Rule<'_>,
    changed: &[String],
    gone: &[String],
    quiet: bool,
) -> Result<(), Failure> {
    let services = [rule.service.to_owned()];
    let count = changed.len() + gone.len();
    let what = if count == 1 { "1 file".to_owned() } else { format!("{count} files") };
    let action = rule.rule.action;
    if action == WatchAction::Rebuild {
        context.printer.say(format!(" Watching  {what} of service {} changed: rebuilding", rule.service));
        let make = MakeArgs { build: true, quiet_build: quiet, ..MakeArgs::default() };
        build::before(context, args, project, &services, true, &make).await?;
        let options = UpOptions { services: services.to_vec(), no_deps: true, ..UpOptions::default() };
        up::apply(context, args, "up", project, options).await?;
        return Ok(());
    }
    let running = containers::list(context, &project.name, &services, Which::Running).await?;
    if action != WatchAction::Restart {
        for found in &running {
            sync(context, found, rule, changed, gone).await?;
        }
        context.printer.say(format!(" Watching  {what} synced to service {}", rule.service));
    }
    if matches!(action, WatchAction::Restart | WatchAction::SyncRestart) {
        for found in &running {
            context.client.post(format!("/containers/{}/restart", found.id)).done().await?;
        }
        context.printer.say(format!(" Watching  service {} restarted", rule.service));
    }
    if let (WatchAction::SyncExec, Some(hook)) = (action, &rule.rule.exec) {
        for found in &running {
            exec(context, found, hook, hook.command.clone().unwrap_or_default()).await?;
        }
    }
    Ok(())
}

/// Copies files into a container, and removes there what is gone here.
async fn sync(
    context: &Context,
    to: &Container,
    rule: &Rule<'_>,
    changed: &[String],
    gone: &[String],
) -> Result<(), Failure> {
    let target = rule.rule.target.as_deref().unwrap_or_default().trim_end_matches('/');
    let place = |path: &String| if rule.file.is_some() { target.to_owned() } else { format!("{target}/{path}") };
    if !changed.is_empty() {
        let mut archive = tar::Builder::new(Vec::new());
        archive.follow_symlinks(false);
        for path in changed {
            archive.append_path_with_name(rule.root.join(path), place(path).trim_start_matches('/'))?;
        }
        let body = reader_body(std::io::Cursor::new(archive.into_inner()?));
        let request = context.client.put(format!("/containers/{}/archive", to.id)).query("path", "/");
        request.stream(body, "application/x-tar").done().await?;
    }
    if !gone.is_empty() {
        let mut command = vec!["rm".to_owned(), "-f".to_owned(), "--".to_owned()];
        command.extend(gone.iter().map(place));
        exec(context, to, &Hook { user: Some("0".to_owned()), ..Hook::default() }, command).await?;
    }
    Ok(())
}

async fn exec(context: &Context, to: &Container, hook: &Hook, command: Vec<String>) -> Result<(), Failure> {
    let variable = |(name, value): (&String, &Option<String>)| match value {
        Some(value) => format!("{name}={value}"),
        None => name.clone(),
    };
    let said = command.join(" ");
    let exit = container::exec::run(
        context,
        ExecArgs {
            detach: false,
            detach_keys: None,
            env: hook.environment.iter().map(variable).collect(),
            env_files: Vec::new(),
            interactive: false,
            privileged: hook.privileged,
            tty: false,
            user: hook.user.clone(),
            workdir: hook.working_dir.clone(),
            words: std::iter::once(to.id.clone()).chain(command).collect(),
        },
    )
    .await?;
    match exit {
        Exit::OK => Ok(()),
        Exit(code) => Err(Failure::new(format!("{}: {said}: exit code {code}", to.name()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_see_their_files_only() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.js", "b.css", "node_modules/x.js"] {
            let path = dir.path().join(name);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, "1").unwrap();
        }
        let ignore = IgnoreFile::from_patterns(["node_modules/"]).unwrap();
        let include = IgnoreFile::from_patterns(["**/*.js"]).unwrap();
        let before = look(dir.path(), &ignore, &include).unwrap();
        assert_eq!(before.keys().collect::<Vec<_>>(), ["a.js"]);
        fs_err::write(dir.path().join("a.js"), "22").unwrap();
        fs_err::write(dir.path().join("c.js"), "3").unwrap();
        let now = look(dir.path(), &ignore, &include).unwrap();
        assert_eq!(changes(&before, &now), (vec!["a.js".into(), "c.js".into()], vec![]));
        fs_err::remove_file(dir.path().join("c.js")).unwrap();
        let later = look(dir.path(), &ignore, &include).unwrap();
        assert_eq!(changes(&now, &later), (vec![], vec!["c.js".into()]));
    }
}
