//! From files to one tree: each document is brought into canonical form, its
//! services are extended, its includes are taken in, and it is laid over what
//! came before it.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use indexmap::IndexMap;

use super::discover::{Found, is_remote, read_env, remote};
use super::files::Files;
use super::interpolate::{self, Mentioned};
use super::merge::{merge, merge_service, strip_resets};
use super::node::{Entries, Mark, Node, Value};
use super::options::{ConfigFile, LoadOptions};
use super::paths::{self, Base, clean};
use super::report::Report;
use super::{canonical, schema, yaml};
use crate::diagnostic::nearest;

/// Files within files: more than this is taken for a mistake.
const MAX_NESTING: usize = 50;
/// The sections that an included project brings along.
const SECTIONS: [&str; 6] = ["services", "networks", "volumes", "secrets", "configs", "models"];

/// One parsed file.
pub(super) struct Document {
    pub roots: Vec<Node>,
}

/// Where a file's relative paths start, and what its variables are.
#[derive(Clone)]
struct Surroundings {
    /// The directory, absolute.
    directory: PathBuf,
    /// What paths in the tree are resolved with; `None`: they stay as written.
    base: Option<Base>,
    environment: Rc<IndexMap<String, String>>,
}

pub(super) struct Layers<'a> {
    options: &'a LoadOptions,
    files: &'a dyn Files,
    pub report: &'a mut Report,
    pub mentioned: Mentioned,
    /// Files that are being included, outermost first.
    including: Vec<PathBuf>,
    /// Services whose circle of `extends` was told.
    circular: HashSet<String>,
    /// The services of files that others extend, by path.
    extended: HashMap<PathBuf, Option<Rc<(Entries, Surroundings)>>>,
}

impl<'a> Layers<'a> {
    pub fn new(options: &'a LoadOptions, files: &'a dyn Files, report: &'a mut Report) -> Self {
        Layers {
            options,
            files,
            report,
            mentioned: Mentioned::new(),
            including: Vec::new(),
            circular: HashSet::new(),
            extended: HashMap::new(),
        }
    }

    /// Parses the files of the project; those with errors are left out.
    pub fn parse_all(&mut self, files: &[ConfigFile]) -> Vec<Document> {
        files.iter().filter_map(|file| self.parse(file, None)).collect()
    }

    fn parse(&mut self, file: &ConfigFile, mentioned_at: Option<Mark>) -> Option<Document> {
        let (name, text) = match file {
            ConfigFile::Text { name, text } => (name.clone(), text.clone()),
            ConfigFile::Path(path) => match self.files.read(path) {
                Ok(text) => (path.clone(), text),
                Err(error) => {
                    let message = format!("cannot read the compose file: {error}");
                    match mentioned_at {
                        Some(mark) => self.report.error(mark, message),
                        None => self.report.plain_error(message),
                    }
                    return None;
                }
            },
        };
        let id = self.report.file(name);
        let roots = match yaml::parse(&text, id) {
            Ok(roots) => roots,
            Err(error) => {
                self.report.error(error.mark, error.message);
                return None;
            }
        };
        let mut maps = Vec::new();
        for root in roots {
            match &root.value {
                Value::Map(_) => maps.push(root),
                Value::Null => {}
                _ => self.report.error(root.mark, format!("a compose file is a mapping, found {}", root.kind())),
            }
        }
        if maps.is_empty() {
            self.report.error(Mark { file: id, line: 1, column: 1 }, "the file is empty");
            return None;
        }
        Some(Document { roots: maps })
    }

    /// The tree of the whole project.
    pub fn load_root(&mut self, documents: Vec<Document>, found: &Found) -> Node {
        let base = self
            .options
            .resolve_paths
            .then(|| Base { directory: found.working_dir.clone(), home: self.options.home() });
        let surroundings = Surroundings {
            directory: found.working_dir.clone(),
            base,
            environment: Rc::new(found.environment.clone()),
        };
        self.including = found.files.iter().filter_map(ConfigFile::path).map(Path::to_owned).collect();
        self.load(documents, &surroundings)
    }

    fn load(&mut self, documents: Vec<Document>, surroundings: &Surroundings) -> Node {
        let mut tree: Option<Node> = None;
        for mut root in documents.into_iter().flat_map(|document| document.roots) {
            self.prepare(&mut root, surroundings);
            self.extend_services(&mut root, surroundings, tree.as_ref());
            self.include(&mut root, surroundings);
            tree = Some(match tree {
                None => root,
                Some(base) => merge(base, root, self.report),
            });
        }
        tree.unwrap_or_else(|| Node::new(Value::Map(Entries::new()), Mark::default()))
    }

    /// One document to canonical form. What is wrong is reported and taken
    /// out, and the load goes on with the rest to find more.
    fn prepare(&mut self, root: &mut Node, surroundings: &Surroundings) {
        if self.options.interpolate {
            interpolate::interpolate(root, &surroundings.environment, &mut self.mentioned, self.report);
        } else {
            interpolate::mentions(root, &mut self.mentioned);
        }
        schema::check_and_prune(root, self.report);
        canonical::canonical(root, !self.options.interpolate, self.report);
        if let Some(base) = &surroundings.base {
            paths::resolve(root, base);
        }
    }

    fn extend_services(&mut self, root: &mut Node, surroundings: &Surroundings, earlier: Option<&Node>) {
        let Some(services) = root.get("services").and_then(Node::as_map).cloned() else { return };
        let earlier = earlier.and_then(|tree| tree.get("services")).and_then(Node::as_map);
        let mut extended = Vec::new();
        for (name, service) in &services {
            if service.get("extends").is_some() {
                let scope = Scope { services: &services, earlier, surroundings, file: None };
                if let Some(node) = self.extend(name, service, &scope, &mut Vec::new()) {
                    extended.push((name.clone(), node));
                }
            }
        }
        if let Some(services) = root.as_map_mut().and_then(|map| map.get_mut("services")).and_then(Node::as_map_mut) {
            services.extend(extended);
        }
    }

    /// A service laid over what it extends, and that over what that extends.
    fn extend(&mut self, name: &str, service: &Node, scope: &Scope<'_>, chain: &mut Vec<String>) -> Option<Node> {
        let mut service = service.clone();
        let Some(extends) = service.as_map_mut().and_then(|map| map.shift_remove("extends")) else {
            return Some(service);
        };
        let link = match scope.file {
            Some(file) => format!("{name} ({})", self.report.display_name(file).display()),
            None => name.to_owned(),
        };
        let circle = chain.contains(&link);
        chain.push(link);
        if circle || chain.len() > MAX_NESTING {
            if !chain.iter().any(|link| self.circular.contains(link)) {
                let path = chain.join(" -> ");
                self.report.error(extends.mark, format!("service \"{name}\": extends goes in a circle: {path}"));
            }
            self.circular.extend(chain.iter().cloned());
            return None;
        }
        let Some(target) = extends.get("service").and_then(Node::as_str).map(str::to_owned) else {
            self.report.error(extends.mark, format!("service \"{name}\": extends: the key \"service\" is missing"));
            return None;
        };
        let target_mark = extends.get("service").map_or(extends.mark, |node| node.mark);
        let mut base = match extends.get("file").and_then(|file| Some((file.as_str()?, file.mark))) {
            None => {
                let found =
                    scope.services.get(&target).or_else(|| scope.earlier.and_then(|services| services.get(&target)));
                let Some(found) = found else {
                    return self.no_such_service(name, &target, target_mark, scope.services, scope.file);
                };
                self.extend(&target, found, scope, chain)?
            }
            Some((file, mark)) if is_remote(file) => {
                self.report.error(mark, format!("service \"{name}\": extends: {}", remote(file)));
                return None;
            }
            Some((file, mark)) => {
                let path = clean(&scope.surroundings.directory.join(file));
                let loaded = self.extended_file(&path, mark, scope.surroundings)?;
                let (services, surroundings) = &*loaded;
                let Some(found) = services.get(&target) else {
                    return self.no_such_service(name, &target, target_mark, services, Some(&path));
                };
                let scope = Scope { services, earlier: None, surroundings, file: Some(&path) };
                self.extend(&target, found, &scope, chain)?
            }
        };
        strip_resets(&mut base);
        chain.pop();
        Some(merge_service(name, base, service, self.report))
    }

    fn no_such_service(
        &mut self,
        name: &str,
        target: &str,
        mark: Mark,
        services: &Entries,
        file: Option<&Path>,
    ) -> Option<Node> {
        let place = file.map(|file| format!(" in {}", self.report.display_name(file).display())).unwrap_or_default();
        let hint = match nearest(target, services.keys().map(String::as_str)) {
            Some(near) => format!(", did you mean \"{near}\"?"),
            None => String::new(),
        };
        self.report.error(mark, format!("service \"{name}\": extends: there is no service \"{target}\"{place}{hint}"));
        None
    }

    /// The services of a file that is extended, in canonical form.
    fn extended_file(&mut self, path: &Path, mark: Mark, from: &Surroundings) -> Option<Rc<(Entries, Surroundings)>> {
        if let Some(known) = self.extended.get(path) {
            return known.clone();
        }
        let surroundings = self.within(path.parent().unwrap_or(Path::new("/")), from, from.environment.clone());
        let loaded = self.parse(&ConfigFile::Path(path.to_owned()), Some(mark)).map(|document| {
            let mut services = Entries::new();
            for mut root in document.roots {
                // Only services can be extended; what else the file says, its includes too, stays with it.
                self.prepare(&mut root, &surroundings);
                let section = root.as_map_mut().and_then(|map| map.shift_remove("services"));
                if let Some(Value::Map(found)) = section.map(|node| node.value) {
                    services.extend(found);
                }
            }
            Rc::new((services, surroundings))
        });
        self.extended.insert(path.to_owned(), loaded.clone());
        loaded
    }

    /// The surroundings of a file in another directory.
    fn within(&self, directory: &Path, from: &Surroundings, environment: Rc<IndexMap<String, String>>) -> Surroundings {
        let base_directory = match &from.base {
            Some(base) if base.directory.is_absolute() => directory.to_owned(),
            // Paths stay relative to the project, so they go through this directory.
            _ => relative(directory, &self.root_directory(from)),
        };
        let same = base_directory == Path::new(".") || base_directory.as_os_str().is_empty();
        let base =
            (from.base.is_some() || !same).then(|| Base { directory: base_directory, home: self.options.home() });
        Surroundings { directory: directory.to_owned(), base, environment }
    }

    /// The directory that relative results are relative to.
    fn root_directory(&self, from: &Surroundings) -> PathBuf {
        match &from.base {
            Some(base) if base.directory.is_relative() => {
                let mut root = from.directory.clone();
                for _ in base.directory.components() {
                    root.pop();
                }
                root
            }
            _ => from.directory.clone(),
        }
    }

    fn include(&mut self, root: &mut Node, surroundings: &Surroundings) {
        let Some(include) = root.as_map_mut().and_then(|map| map.shift_remove("include")) else { return };
        for entry in include.as_seq().unwrap_or_default() {
            let Some(included) = self.included(entry, surroundings) else { continue };
            self.import(root, included, entry.mark);
        }
    }

    /// The tree of one entry of `include`.
    fn included(&mut self, entry: &Node, surroundings: &Surroundings) -> Option<Node> {
        let texts = |key: &str| -> Vec<(PathBuf, Mark)> {
            let items = entry.get(key).and_then(Node::as_seq).unwrap_or_default();
            items.iter().filter_map(|item| Some((PathBuf::from(item.as_str()?), item.mark))).collect()
        };
        let mut local = true;
        for (path, mark) in texts("path").iter().filter(|(path, _)| is_remote(&path.to_string_lossy())) {
            self.report.error(*mark, format!("include: {}", remote(&path.to_string_lossy())));
            local = false;
        }
        if !local {
            return None;
        }
        let resolve = |path: &Path| clean(&surroundings.directory.join(path));
        let paths: Vec<(PathBuf, Mark)> =
            texts("path").into_iter().map(|(path, mark)| (resolve(&path), mark)).collect();
        let Some((first, _)) = paths.first() else {
            self.report.error(entry.mark, "include: the key \"path\" is missing");
            return None;
        };
        let directory = match entry.get("project_directory").and_then(Node::as_str) {
            Some(directory) => resolve(Path::new(directory)),
            None => first.parent().map(Path::to_owned).unwrap_or_default(),
        };
        for (path, mark) in &paths {
            if self.including.contains(path) || self.including.len() > MAX_NESTING {
                let circle: Vec<String> = self
                    .including
                    .iter()
                    .chain([path])
                    .map(|p| self.report.display_name(p).display().to_string())
                    .collect();
                self.report.error(*mark, format!("include goes in a circle: {}", circle.join(" -> ")));
                return None;
            }
        }
        let environment = self.included_environment(&texts("env_file"), &directory, surroundings);
        let inner = self.within(&directory, surroundings, Rc::new(environment));
        let depth = self.including.len();
        self.including.extend(paths.iter().map(|(path, _)| path.clone()));
        let documents: Vec<Document> =
            paths.iter().filter_map(|(path, mark)| self.parse(&ConfigFile::Path(path.clone()), Some(*mark))).collect();
        let mut tree = self.load(documents, &inner);
        strip_resets(&mut tree);
        self.including.truncate(depth);
        Some(tree)
    }

    /// The variables of an included project: its own files', and above them
    /// those of the project that includes it.
    fn included_environment(
        &mut self,
        env_files: &[(PathBuf, Mark)],
        directory: &Path,
        surroundings: &Surroundings,
    ) -> IndexMap<String, String> {
        let mut environment = (*surroundings.environment).clone();
        if env_files.is_empty() {
            let path = directory.join(".env");
            if self.files.is_file(&path) {
                read_env(&path, self.files, &mut environment, self.report);
            }
        }
        for (path, mark) in env_files {
            let path = clean(&surroundings.directory.join(path));
            if self.files.is_file(&path) {
                read_env(&path, self.files, &mut environment, self.report);
            } else {
                self.report.error(*mark, format!("include: there is no environment file {}", path.display()));
            }
        }
        environment.extend(surroundings.environment.iter().map(|(k, v)| (k.clone(), v.clone())));
        environment
    }

    /// Copies an included project's resources. Nothing is merged: a name that
    /// is there twice with different content is an error (14-include.md).
    fn import(&mut self, root: &mut Node, mut included: Node, at: Mark) {
        for section in SECTIONS {
            let Some(Value::Map(resources)) =
                included.as_map_mut().and_then(|map| map.shift_remove(section)).map(|node| node.value)
            else {
                continue;
            };
            let Some(map) = root.as_map_mut() else { return };
            let target = map.entry(section.to_owned()).or_insert_with(|| Node::new(Value::Map(Entries::new()), at));
            if target.is_null() {
                target.value = Value::Map(Entries::new());
            }
            let Some(target) = target.as_map_mut() else { return };
            for (name, resource) in resources {
                match target.get(&name) {
                    Some(present) if *present != resource => {
                        let kind = section.trim_end_matches('s');
                        let place = self.report.place(resource.key).map(|p| p.to_string()).unwrap_or_default();
                        self.report.error(
                            present.key,
                            format!("{kind} \"{name}\" conflicts with the one that is included from {place}"),
                        );
                    }
                    Some(_) => {}
                    None => {
                        target.insert(name, resource);
                    }
                }
            }
        }
    }
}

/// Where a service that is extended is looked for.
struct Scope<'a> {
    services: &'a Entries,
    /// The services of the files before this one.
    earlier: Option<&'a Entries>,
    surroundings: &'a Surroundings,
    /// The file, unless it is one of the project's own.
    file: Option<&'a Path>,
}

/// `path` as it is reached from `from`; both absolute.
fn relative(path: &Path, from: &Path) -> PathBuf {
    let mut here = from.components().peekable();
    let mut there = path.components().peekable();
    while here.peek().is_some() && here.peek() == there.peek() {
        here.next();
        there.next();
    }
    let up = here.map(|_| Path::new("..").to_owned());
    let mut relative: PathBuf = up.collect();
    relative.extend(there);
    relative
}
