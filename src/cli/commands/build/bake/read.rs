//! From blocks to targets: variables from the environment, matrices, names.

use std::path::Path;

use hcl::{Body, Expression, Structure, Template, expr::TemplateExpr};
use indexmap::IndexMap;
use serde_json::Value;

use super::{
    eval::{Function, Locals, Scope, Variable, items, shown, text, truth},
    target::Target,
};
use crate::cli::failure::Failure;

/// A block: its attributes, and the blocks in it.
#[derive(Debug, Clone, Default)]
pub struct Block {
    attributes: IndexMap<String, Expression>,
    inner: Vec<(String, Block)>,
}

/// What files say, before anything is evaluated. What a later file says of the same name is laid over the earlier.
#[derive(Debug, Default)]
pub struct Written {
    variables: IndexMap<String, Block>,
    functions: IndexMap<String, Block>,
    groups: IndexMap<String, Vec<Block>>,
    targets: IndexMap<String, Vec<Block>>,
    /// Attributes outside of all blocks: names for values.
    locals: IndexMap<String, Expression>,
    /// Targets that come evaluated (from Compose files), and their groups.
    ready: IndexMap<String, Target>,
    ready_groups: IndexMap<String, Vec<String>>,
}

/// What files define.
#[derive(Debug, Default)]
pub struct Definitions {
    pub groups: IndexMap<String, Vec<String>>,
    pub targets: IndexMap<String, Target>,
    pub variables: IndexMap<String, Value>,
}

impl Block {
    fn of(body: Body) -> Self {
        let mut block = Self::default();
        for structure in body {
            match structure {
                Structure::Attribute(attribute) => {
                    block.attributes.insert(attribute.key.to_string(), attribute.expr);
                }
                Structure::Block(inner) => block.inner.push((inner.identifier.to_string(), Self::of(inner.body))),
            }
        }
        block
    }

    /// JSON's form of a block; texts in it are templates.
    fn of_json(value: Value) -> Result<Self, String> {
        let Value::Object(map) = value else { return Err(format!("{} is no object", shown(&value))) };
        let attributes = map.into_iter().map(|(name, value)| (name, expression(value))).collect();
        Ok(Self { attributes, inner: Vec::new() })
    }
}

fn expression(value: Value) -> Expression {
    match value {
        Value::Null => Expression::Null,
        Value::Bool(value) => Expression::Bool(value),
        Value::Number(number) => match number.as_f64().and_then(hcl::Number::from_f64) {
            Some(number) => Expression::Number(number),
            None => Expression::Null,
        },
        Value::String(text) if text.contains("${") || text.contains("%{") => {
            Expression::TemplateExpr(Box::new(TemplateExpr::QuotedString(text)))
        }
        Value::String(text) => Expression::String(text),
        Value::Array(items) => Expression::Array(items.into_iter().map(expression).collect()),
        Value::Object(map) => Expression::Object(
            map.into_iter().map(|(key, value)| (hcl::expr::ObjectKey::from(key.as_str()), expression(value))).collect(),
        ),
    }
}

impl Written {
    /// Reads a file in HCL.
    ///
    /// # Errors
    /// With file, line and column.
    pub fn hcl(&mut self, path: &Path, source: &str) -> Result<(), Failure> {
        let wrong = |what: String| Failure::new(format!("{}: {what}", path.display()));
        let body: Body = hcl::parse(source).map_err(|error| wrong(error.to_string()))?;
        for structure in body {
            match structure {
                Structure::Attribute(attribute) => {
                    self.locals.insert(attribute.key.to_string(), attribute.expr);
                }
                Structure::Block(block) => {
                    let kind = block.identifier.to_string();
                    let [label] = block.labels.as_slice() else {
                        return Err(wrong(format!("a block {kind} has one name: {kind} \"name\" {{ … }}")));
                    };
                    self.add(&kind, label.as_str(), Block::of(block.body)).map_err(wrong)?;
                }
            }
        }
        Ok(())
    }

    /// Reads a file in JSON.
    ///
    /// # Errors
    /// With the file, and the place as far as it is known.
    pub fn json(&mut self, path: &Path, source: &str) -> Result<(), Failure> {
        let wrong = |what: String| Failure::new(format!("{}: {what}", path.display()));
        let whole: serde_json::Map<String, Value> =
            serde_json::from_str(source).map_err(|error| wrong(error.to_string()))?;
        for (kind, named) in whole {
            if !["variable", "function", "group", "target"].contains(&kind.as_str()) {
                self.locals.insert(kind, expression(named));
                continue;
            }
            let Value::Object(named) = named else { return Err(wrong(format!("{kind} is an object of names"))) };
            for (name, value) in named {
                let block = Block::of_json(value).map_err(|error| wrong(format!("{kind} {name:?}: {error}")))?;
                self.add(&kind, &name, block).map_err(wrong)?;
            }
        }
        Ok(())
    }

    /// Adds targets that need no evaluation.
    pub fn ready(&mut self, targets: IndexMap<String, Target>) {
        self.ready_groups.insert("default".into(), targets.keys().cloned().collect());
        for (name, target) in targets {
            let whole = match self.ready.get(&name) {
                Some(below) => below.under(&target),
                None => target,
            };
            self.ready.insert(name, whole);
        }
    }

    fn add(&mut self, kind: &str, name: &str, block: Block) -> Result<(), String> {
        let good = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
        match kind {
            "variable" => drop(self.variables.insert(name.to_owned(), block)),
            "function" => drop(self.functions.insert(name.to_owned(), block)),
            "group" | "target" if !good => {
                return Err(format!("{kind} {name:?}: a name has letters, digits, _, - and . only"));
            }
            "group" => self.groups.entry(name.to_owned()).or_default().push(block),
            "target" => self.targets.entry(name.to_owned()).or_default().push(block),
            other => {
                return Err(format!("there are no blocks {other:?}: expected variable, function, group or target"));
            }
        }
        Ok(())
    }

    pub fn has_variable(&self, name: &str) -> bool {
        self.variables.contains_key(name)
    }

    /// Evaluates all of it; `environment` gives variables other values.
    ///
    /// # Errors
    /// The first mistake, with the block that it is in.
    pub fn evaluate(self, environment: &dyn Fn(&str) -> Option<String>) -> Result<Definitions, Failure> {
        let wrong = |place: String| move |what: String| Failure::new(format!("{place}: {what}"));
        let mut scope = Scope::default();
        let platform = hoist_build::dockerfile::Platform::local().to_string();
        scope.variables.insert("BAKE_LOCAL_PLATFORM".into(), Variable::Known(platform.into()));
        scope.variables.insert("BAKE_CMD_CONTEXT".into(), Variable::Known("cwd://".into()));
        for (name, expression) in &self.locals {
            scope.variables.insert(name.clone(), Variable::Written(expression.clone()));
        }
        for (name, block) in &self.variables {
            let default = block.attributes.get("default").cloned().unwrap_or(Expression::Null);
            scope.variables.insert(name.clone(), Variable::Written(default));
        }
        for (name, block) in &self.functions {
            let function = function(block).map_err(wrong(format!("function {name:?}")))?;
            scope.functions.insert(name.clone(), function);
        }
        // Defaults tell of which kind a variable is.
        let mut given = Vec::new();
        for name in self.variables.keys() {
            let Some(value) = environment(name) else { continue };
            let default = scope.variable(name).map_err(wrong(format!("variable {name:?}")))?;
            let value = typed(&default, value).map_err(wrong(format!("variable {name:?}")))?;
            given.push((name.clone(), value));
        }
        let mut evaluated = Scope::new(scope.variables, scope.functions);
        for (name, value) in given {
            evaluated.variables.insert(name, Variable::Known(value));
        }
        let scope = evaluated;
        let mut found = Definitions { targets: self.ready, groups: self.ready_groups, ..Definitions::default() };
        for (name, block) in &self.variables {
            let value = scope.variable(name).map_err(wrong(format!("variable {name:?}")))?;
            check(&scope, block).map_err(wrong(format!("variable {name:?}")))?;
            found.variables.insert(name.clone(), value);
        }
        for (name, blocks) in &self.targets {
            targets(&scope, name, blocks, &mut found)
                .map_err(|failure| Failure { message: format!("target {name:?}: {}", failure.message), ..failure })?;
        }
        for (name, blocks) in &self.groups {
            let mut members: Vec<String> = Vec::new();
            for block in blocks {
                if let Some(other) =
                    block.attributes.keys().find(|key| !["targets", "description"].contains(&key.as_str()))
                {
                    return Err(wrong(format!("group {name:?}"))(format!("a group has no attribute {other:?}")));
                }
                let Some(expression) = block.attributes.get("targets") else { continue };
                let value = scope.value(expression, &Locals::new()).map_err(wrong(format!("group {name:?}")))?;
                let listed = items(&value)
                    .and_then(|items| items.iter().map(|(_, item)| text(item)).collect::<Result<Vec<_>, _>>());
                members.extend(listed.map_err(wrong(format!("group {name:?}")))?);
            }
            found.groups.insert(name.clone(), members);
        }
        Ok(found)
    }
}

/// A variable's value from the environment, of the kind that its default has.
fn typed(default: &Value, value: String) -> Result<Value, String> {
    Ok(match default {
        Value::Null | Value::String(_) => Value::String(value),
        Value::Bool(_) => match value.to_ascii_lowercase().as_str() {
            "true" | "1" | "t" => Value::Bool(true),
            "false" | "0" | "f" | "" => Value::Bool(false),
            _ => return Err(format!("the environment's {value:?} is neither true nor false")),
        },
        Value::Number(_) => value
            .parse()
            .map(super::functions::number)
            .map_err(|_| format!("the environment's {value:?} is no number"))?,
        Value::Array(_) | Value::Object(_) => serde_json::from_str(&value)
            .ok()
            .filter(|value: &Value| value.is_array() == default.is_array())
            .ok_or_else(|| format!("the environment's {value:?} is not JSON of the same kind as the default"))?,
    })
}

/// `validation` blocks of a variable.
fn check(scope: &Scope, block: &Block) -> Result<(), String> {
    for (kind, inner) in &block.inner {
        if kind != "validation" {
            return Err(format!("a variable has no block {kind:?}"));
        }
        let Some(condition) = inner.attributes.get("condition") else { continue };
        if !truth(&scope.value(condition, &Locals::new())?)? {
            let message = inner.attributes.get("error_message").map(|message| scope.value(message, &Locals::new()));
            return Err(match message {
                Some(message) => text(&message?)?,
                None => "its value does not fulfil its condition".to_owned(),
            });
        }
    }
    Ok(())
}

fn function(block: &Block) -> Result<Function, String> {
    let name = |expression: &Expression| match expression {
        Expression::Variable(name) => Ok(name.as_str().to_owned()),
        Expression::String(name) => Ok(name.clone()),
        other => Err(format!("{other} is no name of a parameter")),
    };
    let params = match block.attributes.get("params") {
        Some(Expression::Array(items)) => items.iter().map(name).collect::<Result<_, _>>()?,
        None => Vec::new(),
        Some(_) => return Err("params is a list of names".into()),
    };
    let variadic = block.attributes.get("variadic_params").or(block.attributes.get("variadic_param"));
    let variadic = variadic.map(name).transpose()?;
    let result = block.attributes.get("result").cloned().ok_or("it has no result")?;
    // In JSON a result is written as a template.
    let result = match result {
        Expression::String(text) => match text.parse::<Template>() {
            Ok(template) => Expression::TemplateExpr(Box::new(TemplateExpr::from(template.to_string()))),
            Err(_) => Expression::String(text),
        },
        other => other,
    };
    Ok(Function { params, variadic, result })
}

/// The targets of a name: one, or one for each combination of its matrix.
fn targets(scope: &Scope, name: &str, blocks: &[Block], found: &mut Definitions) -> Result<(), Failure> {
    let (mut matrix, mut pattern) = (None, None);
    for block in blocks {
        matrix = block.attributes.get("matrix").or(matrix);
        pattern = block.attributes.get("name").or(pattern);
    }
    let combinations = match matrix {
        None => vec![Locals::new()],
        Some(matrix) => {
            combinations(&scope.value(matrix, &Locals::new()).map_err(Failure::new)?).map_err(Failure::new)?
        }
    };
    if matrix.is_some() != pattern.is_some() {
        let what = if matrix.is_some() { "a matrix needs a name for each target" } else { "a name needs a matrix" };
        return Err(Failure::new(what));
    }
    let mut members = Vec::new();
    for locals in combinations {
        let own = match pattern {
            None => name.to_owned(),
            Some(pattern) => text(&scope.value(pattern, &locals).map_err(Failure::new)?).map_err(Failure::new)?,
        };
        let mut target = Target::default();
        for block in blocks {
            let mut over = Target::default();
            for (attribute, expression) in &block.attributes {
                if ["matrix", "name"].contains(&attribute.as_str()) {
                    continue;
                }
                let value = scope.value(expression, &locals);
                over.set(attribute, value.map_err(|error| Failure::new(format!("{attribute}: {error}")))?)?;
            }
            target = target.under(&over);
        }
        let whole = match found.targets.get(&own) {
            Some(below) if pattern.is_none() => below.under(&target),
            Some(_) => return Err(Failure::new(format!("two targets of its matrix are called {own:?}"))),
            None => target,
        };
        found.targets.insert(own.clone(), whole);
        members.push(own);
    }
    if pattern.is_some() {
        found.groups.insert(name.to_owned(), members);
    }
    Ok(())
}

/// Every choice of one value for each of a matrix's names.
fn combinations(matrix: &Value) -> Result<Vec<Locals>, String> {
    let Value::Object(matrix) = matrix else { return Err("a matrix is an object of lists".into()) };
    let mut all = vec![Locals::new()];
    for (name, values) in matrix {
        let Value::Array(values) = values else { return Err(format!("{name} in the matrix is no list")) };
        let with = |locals: &Locals| {
            let add = |value: &Value| {
                let mut locals = locals.clone();
                locals.insert(name.clone(), value.clone());
                locals
            };
            values.iter().map(add).collect::<Vec<_>>()
        };
        all = all.iter().flat_map(with).collect();
        if all.len() > 10_000 {
            return Err("the matrix has more than 10,000 combinations".into());
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(source: &str, environment: &[(&str, &str)]) -> Result<Definitions, String> {
        let mut written = Written::default();
        written.hcl(Path::new("bake.hcl"), source).map_err(|failure| failure.message)?;
        let get = |name: &str| environment.iter().find(|(known, _)| *known == name).map(|(_, v)| (*v).to_owned());
        written.evaluate(&get).map_err(|failure| failure.message)
    }

    #[test]
    fn variables_functions_and_matrices() {
        let source = r#"
            variable "TAG" { default = "dev" }
            variable "RELEASE" { default = false }
            variable "NAMES" { default = ["a", "b"] }
            base = "registry/${TAG}"
            function "tag" {
              params = [name]
              variadic_params = more
              result = concat(["${base}/${name}:${TAG}"], [for m in more : upper(m)])
            }
            function "count" {
              params = [n]
              result = n <= 0 ? 0 : 1 + count(n - 1)
            }
            group "default" { targets = ["app", "lib"] }
            target "app" {
              name = "app-${tgt}-${replace(v, ".", "-")}"
              matrix = { tgt = ["x", "y"], v = ["1.0", "2.0"] }
              tags = tag(tgt, v, "more")
              args = { V = v, N = count(3), ON = RELEASE && v == "1.0", T = <<-EOT
                %{ for n in NAMES ~}
                ${n}
                %{ endfor ~}
                EOT
              }
            }
            target "lib" { context = RELEASE ? "./rel" : "./dev" }
        "#;
        let found = read(source, &[("TAG", "v9"), ("RELEASE", "true")]).unwrap();
        assert_eq!(found.groups["app"], ["app-x-1-0", "app-x-2-0", "app-y-1-0", "app-y-2-0"]);
        let app = &found.targets["app-y-1-0"];
        assert_eq!(app.list("tags"), ["registry/v9/y:v9", "1.0", "MORE"]);
        let args = app.pairs("args");
        let value = |name: &str| args.iter().find(|(key, _)| key == name).unwrap().1.clone().unwrap();
        assert_eq!((value("V"), value("N"), value("ON")), ("1.0".into(), "3".into(), "true".into()));
        assert_eq!(value("T").split_whitespace().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(found.targets["lib"].text("context").unwrap(), "./rel");
    }

    #[test]
    fn mistakes_say_where_they_are() {
        let wrong = |source: &str| read(source, &[("N", "many")]).unwrap_err();
        assert!(wrong("target \"a\" {").contains("bake.hcl"));
        assert!(
            wrong("target \"a\" { tagz = [] }")
                .contains("target \"a\": a target has no attribute \"tagz\"; did you mean tags?")
        );
        assert!(wrong("target \"a\" { tags = \"x\" }").contains("tags is a list"));
        assert!(wrong("target \"a\" { tags = [TAGG] }\nvariable \"TAG\" {}").contains("did you mean TAG?"));
        assert!(wrong("variable \"a\" { default = b }\nvariable \"b\" { default = a }").contains("depends on itself"));
        assert!(wrong("variable \"N\" { default = 1 }").contains("\"many\" is no number"));
        assert!(
            wrong("function \"f\" {\n params = []\n result = f()\n}\nx = f()\ntarget \"a\" { context = x }")
                .contains("without end")
        );
        assert!(wrong("target \"a\" { context = nofunc(1) }").contains("there is no function \"nofunc\""));
        assert!(wrong("target \"a\" { matrix = { x = [1] } }").contains("a matrix needs a name"));
        assert!(wrong("thing \"a\" {}").contains("there are no blocks \"thing\""));
        let validated = "variable \"V\" {\n default = \"1\"\n validation {\n condition = V != \"1\"\n error_message = \"not 1\"\n }\n}";
        assert!(wrong(validated).contains("variable \"V\": not 1"));
    }

    #[test]
    fn json_says_the_same() {
        let mut written = Written::default();
        let source = r#"{"variable":{"TAG":{"default":"x"}},"group":{"default":{"targets":["a"]}},
            "target":{"a":{"tags":["app:${TAG}"],"args":{"N":3,"P":"plain"},"no-cache":true}}}"#;
        written.json(Path::new("bake.json"), source).unwrap();
        let found = written.evaluate(&|_| None).unwrap();
        let target = &found.targets["a"];
        assert_eq!((target.list("tags"), target.flag("no-cache")), (vec!["app:x".to_owned()], true));
        assert_eq!(target.pairs("args"), [("N".into(), Some("3".into())), ("P".into(), Some("plain".into()))]);
    }
}
