//! Fills `environment` from `env_file` and from the surroundings, and `labels`
//! from `label_file`.

use std::path::Path as FsPath;

use indexmap::IndexMap;

use super::dotenv::{self, EnvEntries};
use super::files::Files;
use super::node::{Entries, Mark, Node, Value};
use super::report::Report;

pub(super) fn resolve(
    tree: &mut Node,
    environment: &IndexMap<String, String>,
    directory: &FsPath,
    files: &dyn Files,
    report: &mut Report,
) {
    let mut resolver = Resolver { environment, directory, files, report };
    let Some(services) = tree.as_map_mut().and_then(|map| map.get_mut("services")).and_then(Node::as_map_mut) else {
        return;
    };
    for (name, service) in services.iter_mut() {
        let Some(service) = service.as_map_mut() else { continue };
        resolver.environment_of(name, service);
        resolver.labels_of(name, service);
        if let Some(build) = service.get_mut("build").and_then(Node::as_map_mut)
            && let Some(args) = build.get_mut("args")
        {
            resolver.surroundings(args, true);
        }
        for hooks in ["pre_start", "post_start", "pre_stop"] {
            if let Some(Value::Seq(hooks)) = service.get_mut(hooks).map(|node| &mut node.value) {
                for hook in hooks.iter_mut().filter_map(Node::as_map_mut) {
                    if let Some(variables) = hook.get_mut("environment") {
                        resolver.surroundings(variables, false);
                    }
                }
            }
        }
    }
    for section in ["secrets", "configs"] {
        if let Some(resources) = tree.as_map_mut().and_then(|map| map.get_mut(section)).and_then(Node::as_map_mut) {
            for (name, resource) in resources.iter_mut() {
                resolver.content_of(section, name, resource);
            }
        }
    }
}

struct Resolver<'a> {
    environment: &'a IndexMap<String, String>,
    directory: &'a FsPath,
    files: &'a dyn Files,
    report: &'a mut Report,
}

impl Resolver<'_> {
    /// Values that are not given come from the surroundings; where they have
    /// none, the variable goes if `remove`, and else stays without a value,
    /// which means that the container shall not have it.
    fn surroundings(&self, variables: &mut Node, remove: bool) {
        let Some(map) = variables.as_map_mut() else { return };
        for (name, value) in map.iter_mut().filter(|(_, value)| value.is_null()) {
            if let Some(found) = self.environment.get(name) {
                value.value = Value::String(found.clone());
            }
        }
        if remove {
            map.retain(|_, value| !value.is_null());
        }
    }

    fn environment_of(&mut self, name: &str, service: &mut Entries) {
        let files = service.shift_remove("env_file");
        let mut variables = Entries::new();
        for entry in files.as_ref().and_then(Node::as_seq).unwrap_or_default() {
            for (key, value) in self.env_file(name, entry, &variables) {
                let value = match value.or_else(|| self.environment.get(&key).cloned()) {
                    Some(text) => Value::String(text),
                    None => continue,
                };
                variables.insert(key, Node::new(value, entry.mark));
            }
        }
        if variables.is_empty() && !service.contains_key("environment") {
            return;
        }
        let at = files.as_ref().map_or(Mark::default(), |node| node.mark);
        let mut own = service.shift_remove("environment").unwrap_or_else(|| Node::new(Value::Map(Entries::new()), at));
        // What `environment` names wins also when it ends up unset.
        if let Some(own) = own.as_map() {
            variables.extend(own.clone());
        }
        own.value = Value::Map(variables);
        self.surroundings(&mut own, false);
        service.insert("environment".to_owned(), own);
    }

    fn env_file(&mut self, service: &str, entry: &Node, before: &Entries) -> EnvEntries {
        let Some(path) = entry.get("path").and_then(Node::as_str) else { return EnvEntries::new() };
        let mark = entry.get("path").map_or(entry.mark, |node| node.mark);
        let path = self.directory.join(path);
        let required = entry.get("required").and_then(Node::text).is_none_or(|text| text != "false");
        if !required && !self.files.is_file(&path) {
            return EnvEntries::new();
        }
        let text = match self.files.read(&path) {
            Ok(text) => text,
            Err(error) => {
                self.report.error(mark, format!("service \"{service}\": env_file: cannot read it: {error}"));
                return EnvEntries::new();
            }
        };
        let environment = self.environment;
        let lookup = |name: &str| environment.get(name).cloned().or_else(|| before.get(name).and_then(Node::text));
        let parsed = match entry.get("format").and_then(Node::as_str) {
            None => dotenv::parse(&text, &lookup),
            Some("raw") => dotenv::parse_raw(&text),
            Some(other) => {
                let mark = entry.get("format").map_or(mark, |node| node.mark);
                self.report.error(
                    mark,
                    format!("service \"{service}\": env_file: unknown format \"{other}\"; \"raw\" is the only one"),
                );
                return EnvEntries::new();
            }
        };
        parsed.unwrap_or_else(|error| {
            let file = self.report.file(path);
            self.report.error(Mark { file, line: error.line, column: error.column }, error.message);
            EnvEntries::new()
        })
    }

    fn labels_of(&mut self, name: &str, service: &mut Entries) {
        let Some(files) = service.shift_remove("label_file") else { return };
        let mut labels = Entries::new();
        for entry in files.as_seq().unwrap_or_default() {
            let Some(path) = entry.as_str() else { continue };
            let path = self.directory.join(path);
            let environment = self.environment;
            let parsed = match self.files.read(&path) {
                Ok(text) => dotenv::parse(&text, &|name| environment.get(name).cloned()),
                Err(error) => {
                    self.report.error(entry.mark, format!("service \"{name}\": label_file: cannot read it: {error}"));
                    continue;
                }
            };
            match parsed {
                Ok(entries) => labels.extend(
                    entries
                        .into_iter()
                        .map(|(key, value)| (key, Node::new(Value::String(value.unwrap_or_default()), entry.mark))),
                ),
                Err(error) => {
                    let file = self.report.file(path);
                    self.report.error(Mark { file, line: error.line, column: error.column }, error.message);
                }
            }
        }
        if let Some(own) = service.get("labels").and_then(Node::as_map) {
            labels.extend(own.clone());
        }
        service.insert("labels".to_owned(), Node::new(Value::Map(labels), files.mark));
    }

    /// The value of a secret or config that names a variable.
    fn content_of(&mut self, section: &str, name: &str, resource: &mut Node) {
        let Some(variable) = resource.get("environment").and_then(Node::as_str).map(str::to_owned) else { return };
        let mark = resource.get("environment").map_or(resource.mark, |node| node.mark);
        match self.environment.get(&variable) {
            Some(value) => {
                let content = Node::new(Value::String(value.clone()), mark);
                if let Some(map) = resource.as_map_mut() {
                    map.insert("content".to_owned(), content);
                }
            }
            None => {
                let kind = section.trim_end_matches('s');
                self.report.warn(Some(mark), format!("{kind} \"{name}\": the variable {variable} is not set"));
            }
        }
    }
}
