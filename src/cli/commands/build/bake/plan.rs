//! Which targets are built, with everything that they inherit and that the command line changes, and in which order.

use std::collections::BTreeSet;

use hoist_build::dockerfile::IgnoreFile;
use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use super::{
    read::Definitions,
    target::{Kind, Target, attribute},
};
use crate::cli::{failure::Failure, suggest};

/// `--set TARGET.KEY=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// A target's name, or a pattern.
    pattern: String,
    key: String,
    /// For arguments and their like: which one.
    sub: Option<String>,
    value: String,
    /// `KEY+=VALUE`: to what is there.
    append: bool,
}

impl Override {
    /// Reads one.
    ///
    /// # Errors
    /// A form that is none.
    pub fn parse(entry: &str) -> Result<Self, Failure> {
        let wrong = || {
            Failure::usage(format!(
                "invalid value '{entry}' for '--set': expected TARGET.KEY=VALUE or TARGET.KEY.NAME=VALUE"
            ))
        };
        let (left, value) = entry.split_once('=').ok_or_else(wrong)?;
        let (left, append) = left.strip_suffix('+').map_or((left, false), |left| (left, true));
        let (pattern, key) =
            left.split_once('.').filter(|(pattern, key)| !pattern.is_empty() && !key.is_empty()).ok_or_else(wrong)?;
        let (key, sub) = match key.split_once('.') {
            Some((key, sub)) => (key, Some(sub.to_owned())),
            None => (key, None),
        };
        let (key, kind) = match key {
            // What is done with the result.
            "push" | "load" => (key, Kind::Flag),
            other => attribute(other)?,
        };
        if sub.is_some() != (kind == Kind::Map) {
            return Err(wrong().hint(if kind == Kind::Map {
                format!("{key} needs a name: {key}.NAME")
            } else {
                format!("{key} has no parts")
            }));
        }
        Ok(Self { pattern: pattern.to_owned(), key: key.to_owned(), sub, value: value.to_owned(), append })
    }

    /// One for all targets; a key that ends with + adds to what is there.
    pub fn all(key: &str, value: &str) -> Self {
        let (key, append) = key.strip_suffix('+').map_or((key, false), |key| (key, true));
        Self { pattern: "*".into(), key: key.into(), sub: None, value: value.into(), append }
    }

    fn fits(&self, name: &str) -> bool {
        self.pattern == name
            || (self.pattern.contains(['*', '?', '['])
                && IgnoreFile::from_patterns([self.pattern.as_str()]).is_ok_and(|p| p.is_ignored(name)))
    }
}

/// What will be built.
#[derive(Debug)]
pub struct Plan {
    /// By name, nothing inherited any more.
    pub targets: IndexMap<String, Target>,
    /// What was asked for; others are built because these build on them.
    pub wanted: BTreeSet<String>,
    /// Every target behind those that it builds on.
    pub order: Vec<String>,
    groups: IndexMap<String, Vec<String>>,
}

impl Plan {
    /// Decides.
    ///
    /// # Errors
    /// Names that nothing has, and circles.
    pub fn new(definitions: &Definitions, names: &[String], overrides: &[Override]) -> Result<Self, Failure> {
        let asked: Vec<String> = if names.is_empty() { vec!["default".into()] } else { names.to_vec() };
        let mut plan =
            Self { targets: IndexMap::new(), wanted: BTreeSet::new(), order: Vec::new(), groups: IndexMap::new() };
        let mut listed = Vec::new();
        for name in &asked {
            members(definitions, name, &mut Vec::new(), &mut listed)?;
        }
        plan.groups.insert("default".into(), listed.clone());
        for name in asked.iter().filter(|name| definitions.groups.contains_key(*name)) {
            let mut own = Vec::new();
            members(definitions, name, &mut Vec::new(), &mut own)?;
            plan.groups.insert(name.clone(), own);
        }
        for entry in overrides {
            if !definitions.targets.keys().any(|name| entry.fits(name)) {
                return Err(Failure::usage(format!("--set {}.{}: no target has that name", entry.pattern, entry.key)));
            }
        }
        for name in &listed {
            plan.wanted.insert(name.clone());
            plan.add(definitions, name, overrides, &mut Vec::new())?;
        }
        Ok(plan)
    }

    fn add(
        &mut self,
        definitions: &Definitions,
        name: &str,
        overrides: &[Override],
        path: &mut Vec<String>,
    ) -> Result<(), Failure> {
        if path.iter().any(|open| open == name) {
            return Err(Failure::new(format!(
                "targets build on each other in a circle: {} → {name}",
                path.join(" → ")
            )));
        }
        if self.targets.contains_key(name) {
            return Ok(());
        }
        let mut target = whole(definitions, name, &mut Vec::new())?;
        change(&mut target, name, overrides)?;
        path.push(name.to_owned());
        for other in target.bases() {
            self.add(definitions, &other, overrides, path)?;
        }
        path.pop();
        self.targets.insert(name.to_owned(), target);
        self.order.push(name.to_owned());
        Ok(())
    }

    /// The plan as `--print` shows it: a file that says the same without inheritance, variables and matrices.
    pub fn shown(&self) -> Value {
        let groups: Map<String, Value> =
            self.groups.iter().map(|(name, members)| (name.clone(), json!({ "targets": members }))).collect();
        let mut targets = Map::new();
        for name in &self.order {
            let mut shown = Map::new();
            let target = &self.targets[name];
            shown.insert("context".into(), json!(target.text("context").unwrap_or_else(|| ".".into())));
            if !target.attributes.contains_key("dockerfile-inline") {
                shown.insert(
                    "dockerfile".into(),
                    json!(target.text("dockerfile").unwrap_or_else(|| "Dockerfile".into())),
                );
            }
            for (key, value) in
                target.attributes.iter().filter(|(key, _)| !["context", "dockerfile"].contains(&key.as_str()))
            {
                shown.insert(key.clone(), value.clone());
            }
            targets.insert(name.clone(), Value::Object(shown));
        }
        json!({ "group": groups, "target": targets })
    }
}

fn unknown(definitions: &Definitions, name: &str) -> Failure {
    let names = definitions.groups.keys().chain(definitions.targets.keys()).map(String::as_str);
    let near = suggest::nearest(name, names.clone());
    let hint = match near.first() {
        Some(near) => format!("did you mean {near}?"),
        None => format!("there are {}", names.collect::<Vec<_>>().join(", ")),
    };
    Failure::usage(format!("there is no target or group {name:?}")).hint(hint)
}

/// The targets that a name means.
fn members(
    definitions: &Definitions,
    name: &str,
    path: &mut Vec<String>,
    out: &mut Vec<String>,
) -> Result<(), Failure> {
    match definitions.groups.get(name) {
        // A group may have a member of its own name, which is a target then.
        Some(listed) if !path.iter().any(|open| open == name) => {
            path.push(name.to_owned());
            for member in listed {
                members(definitions, member, path, out)?;
            }
            path.pop();
        }
        _ if definitions.targets.contains_key(name) => {
            if !out.iter().any(|known| known == name) {
                out.push(name.to_owned());
            }
        }
        Some(_) => {
            return Err(Failure::new(format!("groups hold each other in a circle: {} → {name}", path.join(" → "))));
        }
        None => return Err(unknown(definitions, name)),
    }
    Ok(())
}

/// A target laid over all that it inherits.
fn whole(definitions: &Definitions, name: &str, path: &mut Vec<String>) -> Result<Target, Failure> {
    if path.iter().any(|open| open == name) {
        return Err(Failure::new(format!(
            "targets inherit from each other in a circle: {} → {name}",
            path.join(" → ")
        )));
    }
    let own = definitions.targets.get(name).ok_or_else(|| unknown(definitions, name))?;
    path.push(name.to_owned());
    let mut below = Target::default();
    for parent in own.list("inherits") {
        below = below.under(&whole(definitions, &parent, path)?);
    }
    path.pop();
    let mut whole = below.under(own);
    whole.attributes.shift_remove("inherits");
    if let (Some(own), None) = (own.attributes.get("description"), whole.attributes.get("description")) {
        whole.attributes.insert("description".into(), own.clone());
    }
    Ok(whole)
}

/// Does what the command line says.
fn change(target: &mut Target, name: &str, overrides: &[Override]) -> Result<(), Failure> {
    let mut replaced: BTreeSet<&str> = BTreeSet::new();
    for entry in overrides.iter().filter(|entry| entry.fits(name)) {
        let Override { key, sub, value, append, .. } = entry;
        if key == "push" || key == "load" {
            let output = if key == "push" { "type=registry" } else { "type=docker" };
            if super::eval::truth(&Value::from(value.as_str())).map_err(Failure::usage)? {
                target.attributes.insert("output".into(), json!([output]));
            }
            continue;
        }
        let (key, kind) = attribute(key)?;
        let new = Value::from(value.as_str());
        match kind {
            Kind::Text => drop(target.attributes.insert(key.into(), new)),
            Kind::Flag => {
                let on =
                    super::eval::truth(&new).map_err(|error| Failure::usage(format!("--set {name}.{key}: {error}")))?;
                target.attributes.insert(key.into(), Value::Bool(on));
            }
            Kind::Map => {
                let map = target.attributes.entry(key.into()).or_insert_with(|| Value::Object(Map::new()));
                if let (Value::Object(map), Some(sub)) = (map, sub) {
                    map.insert(sub.clone(), new);
                }
            }
            Kind::List | Kind::Growing => {
                // The first of several takes the file's place, unless it is to be added.
                let keep = *append || !replaced.insert(key);
                let list = target.attributes.entry(key.into()).or_insert_with(|| Value::Array(Vec::new()));
                if let Value::Array(list) = list {
                    if !keep {
                        list.clear();
                    }
                    let several = key == "platforms" || key == "no-cache-filter";
                    match several {
                        true => list.extend(value.split(',').map(Value::from)),
                        false => list.push(new),
                    }
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definitions() -> Definitions {
        let mut written = super::super::read::Written::default();
        let source = r#"
            group "default" { targets = ["all"] }
            group "all" { targets = ["app", "docs"] }
            target "_common" {
              args = { A = "1", B = "1" }
              cache-from = ["x"]
              platforms = ["linux/amd64"]
            }
            target "base" {
              inherits = ["_common"]
              dockerfile = "base.Dockerfile"
            }
            target "app" {
              inherits = ["_common"]
              args = { B = "2" }
              cache-from = ["y"]
              tags = ["app"]
              contexts = { base = "target:base" }
            }
            target "docs" { tags = ["docs"] }
            target "one" { inherits = ["two"] }
            target "two" { inherits = ["one"] }
            target "left" { contexts = { r = "target:right" } }
            target "right" { contexts = { l = "target:left" } }
        "#;
        written.hcl(std::path::Path::new("f"), source).unwrap();
        written.evaluate(&|_| None).unwrap()
    }

    fn plan(names: &[&str], set: &[&str]) -> Result<Plan, String> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let set = set.iter().map(|entry| Override::parse(entry)).collect::<Result<Vec<_>, _>>();
        set.and_then(|set| Plan::new(&definitions(), &names, &set)).map_err(|failure| failure.message)
    }

    #[test]
    fn what_is_inherited_is_laid_under() {
        let plan = plan(&[], &[]).unwrap();
        assert_eq!(plan.order, ["base", "app", "docs"]);
        assert_eq!(plan.wanted.iter().collect::<Vec<_>>(), ["app", "docs"]);
        let app = &plan.targets["app"];
        assert_eq!(app.pairs("args"), [("A".into(), Some("1".into())), ("B".into(), Some("2".into()))]);
        assert_eq!(
            (app.list("cache-from"), app.list("platforms")),
            (vec!["x".into(), "y".into()], vec!["linux/amd64".into()])
        );
        let shown = plan.shown();
        assert_eq!(shown["target"]["base"]["dockerfile"], "base.Dockerfile");
        assert_eq!(shown["target"]["docs"], json!({ "context": ".", "dockerfile": "Dockerfile", "tags": ["docs"] }));
        assert_eq!(shown["group"]["default"]["targets"], json!(["app", "docs"]));
    }

    #[test]
    fn the_command_line_changes_targets() {
        let set = [
            "*.args.A=9",
            "app.tags=a",
            "app.tags=b",
            "d*.tags+=more",
            "app.platform=linux/arm64,linux/amd64",
            "docs.no-cache=true",
        ];
        let plan = plan(&["app", "docs"], &set).unwrap();
        let (app, docs) = (&plan.targets["app"], &plan.targets["docs"]);
        assert_eq!(app.pairs("args")[0], ("A".into(), Some("9".into())));
        assert_eq!(
            (app.list("tags"), docs.list("tags")),
            (vec!["a".into(), "b".into()], vec!["docs".into(), "more".into()])
        );
        assert_eq!((app.list("platforms").len(), docs.flag("no-cache")), (2, true));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |names: &[&str], set: &[&str]| plan(names, set).unwrap_err();
        assert!(wrong(&["ap"], &[]).contains("no target or group \"ap\""));
        assert!(wrong(&["one"], &[]).contains("inherit from each other in a circle: one → two → one"));
        assert!(wrong(&["left"], &[]).contains("build on each other in a circle: left → right → left"));
        assert!(wrong(&[], &["nobody.tags=x"]).contains("no target has that name"));
        assert!(wrong(&[], &["app.tagz=x"]).contains("no attribute \"tagz\""));
        assert!(wrong(&[], &["app.args=x"]).contains("invalid value 'app.args=x'"));
        assert!(wrong(&[], &["app"]).contains("expected TARGET.KEY=VALUE"));
        assert!(wrong(&[], &["docs.no-cache=perhaps"]).contains("neither true nor false"));
    }
}
