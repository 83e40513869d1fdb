//! Checks a tree against the Compose Specification's own JSON schema, which is
//! embedded as its owners publish it (see `schema/README.md`).
//!
//! Only the keywords that this schema uses are known. Where several forms are
//! allowed (`oneOf`), the one of the value's own type is meant, so that an
//! error says what is wrong inside it instead of that nothing fits.

use std::collections::HashMap;
use std::sync::OnceLock;

use regex::Regex;
use serde_json::Value as Json;

use super::node::{Directive, Node, Value};
use super::pattern::Path;
use super::report::Report;
use crate::diagnostic::nearest;

/// How much of the schema applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strictness {
    /// One file of several: what it leaves out another may give.
    Part,
    /// The whole, merged: only what must be there.
    Whole,
}

pub(super) fn check(node: &Node, strictness: Strictness, report: &mut Report) {
    let mut validator = Validator { strictness, path: Path::default(), report, wrong: Vec::new() };
    validator.check(schema(), node);
}

/// Checks one file, and takes away what is wrong in it, so that the stages
/// that follow can look for more errors in the rest.
pub(super) fn check_and_prune(node: &mut Node, report: &mut Report) {
    let mut validator = Validator { strictness: Strictness::Part, path: Path::default(), report, wrong: Vec::new() };
    validator.check(schema(), node);
    // From the last to the first, so that list indices stay right.
    for path in validator.wrong.into_iter().rev() {
        node.remove(path.steps());
    }
}

fn schema() -> &'static Json {
    static SCHEMA: OnceLock<Json> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let mut schema: Json =
            serde_json::from_str(include_str!("schema/compose-spec.json")).expect("the embedded schema is valid JSON");
        let additions: Json =
            serde_json::from_str(include_str!("schema/additions.json")).expect("the embedded additions are valid JSON");
        add(&mut schema, &additions);
        schema
    })
}

fn add(to: &mut Json, from: &Json) {
    match (to, from) {
        (Json::Object(to), Json::Object(from)) => {
            for (key, value) in from {
                match to.get_mut(key) {
                    Some(present) => add(present, value),
                    None => {
                        to.insert(key.clone(), value.clone());
                    }
                }
            }
        }
        (to, from) => *to = from.clone(),
    }
}

/// The patterns of the schema, compiled once.
fn pattern(text: &str) -> Option<&'static Regex> {
    static PATTERNS: OnceLock<HashMap<String, Regex>> = OnceLock::new();
    fn collect(schema: &Json, into: &mut HashMap<String, Regex>) {
        match schema {
            Json::Object(map) => {
                let patterns = map.get("patternProperties").and_then(Json::as_object);
                for text in patterns.into_iter().flat_map(|patterns| patterns.keys()) {
                    if let Ok(regex) = Regex::new(text) {
                        into.insert(text.clone(), regex);
                    }
                }
                map.values().for_each(|value| collect(value, into));
            }
            Json::Array(items) => items.iter().for_each(|item| collect(item, into)),
            _ => {}
        }
    }
    let patterns = PATTERNS.get_or_init(|| {
        let mut patterns = HashMap::new();
        collect(schema(), &mut patterns);
        patterns
    });
    patterns.get(text)
}

fn resolve(mut schema: &'static Json) -> &'static Json {
    while let Some(name) = schema.get("$ref").and_then(Json::as_str) {
        match self::schema().pointer(name.trim_start_matches('#')) {
            Some(target) => schema = target,
            None => break,
        }
    }
    schema
}

/// The types that a schema allows; empty: any.
fn types(schema: &'static Json) -> Vec<&'static str> {
    match schema.get("type") {
        Some(Json::String(one)) => vec![one],
        Some(Json::Array(many)) => many.iter().filter_map(Json::as_str).collect(),
        _ => match schema.get("oneOf").and_then(Json::as_array) {
            Some(forms) => {
                let mut all: Vec<_> = forms.iter().flat_map(|form| types(resolve(form))).collect();
                all.dedup();
                all
            }
            None => Vec::new(),
        },
    }
}

fn allows(schema: &'static Json, node: &Node) -> bool {
    let types = types(schema);
    types.is_empty() || types.iter().any(|name| is_a(node, name))
}

fn is_a(node: &Node, name: &str) -> bool {
    match (&node.value, name) {
        (Value::Null, "null") => true,
        (Value::Bool(_), "boolean") => true,
        (Value::Int(_), "integer" | "number") => true,
        (Value::Float(_), "number") => true,
        (Value::Float(f), "integer") => f.fract() == 0.0,
        (Value::String(_), "string") => true,
        (Value::String(text), "boolean") if node.interpolated => text.parse::<bool>().is_ok(),
        (Value::String(text), "integer") if node.interpolated => text.parse::<i64>().is_ok(),
        (Value::String(text), "number") if node.interpolated => text.parse::<f64>().is_ok(),
        (Value::Seq(_), "array") => true,
        (Value::Map(_), "object") => true,
        _ => false,
    }
}

struct Validator<'a> {
    strictness: Strictness,
    path: Path,
    report: &'a mut Report,
    /// Where something is wrong.
    wrong: Vec<Path>,
}

impl Validator<'_> {
    fn error(&mut self, node: &Node, message: impl std::fmt::Display) {
        self.report.error_at(node.mark, &self.path, message);
        self.wrong.push(self.path.clone());
    }

    fn check(&mut self, schema: &'static Json, node: &Node) {
        let schema = resolve(schema);
        if node.directive == Directive::Reset || node.waiting {
            return;
        }
        if let Some(forms) = schema.get("oneOf").and_then(Json::as_array) {
            return match forms.iter().map(resolve).find(|form| allows(form, node)) {
                Some(form) => self.check(form, node),
                None => self.wrong_type(schema, node),
            };
        }
        if !allows(schema, node) {
            return self.wrong_type(schema, node);
        }
        if self.strictness == Strictness::Part {
            self.check_scalar(schema, node);
        }
        match &node.value {
            Value::Map(_) => self.check_mapping(schema, node),
            Value::Seq(items) => self.check_list(schema, items),
            _ => {}
        }
    }

    fn wrong_type(&mut self, schema: &'static Json, node: &Node) {
        // The whole is in canonical form, whose types are the loader's own.
        if self.strictness == Strictness::Whole {
            return;
        }
        let mut types = types(schema);
        types.sort_by_key(|name| *name == "null");
        let names: Vec<&str> = types
            .into_iter()
            .map(|name| match name {
                "object" => "a mapping",
                "array" => "a list",
                "string" => "text",
                "boolean" => "a boolean",
                "integer" => "a whole number",
                "number" => "a number",
                "null" => "nothing",
                other => other,
            })
            .collect();
        let expected = match names.split_last() {
            Some((last, [])) => (*last).to_owned(),
            Some((last, before)) => format!("{} or {last}", before.join(", ")),
            None => "something else".to_owned(),
        };
        let quoting = match (&node.value, names.contains(&"text")) {
            (Value::Bool(_) | Value::Int(_) | Value::Float(_), true) => "; put it in quotes",
            _ => "",
        };
        self.error(node, format_args!("expected {expected}, found {}{quoting}", node.kind()));
    }

    /// Ranges and patterns are left to the table of scalars, which knows them
    /// better and says what is meant.
    fn check_scalar(&mut self, schema: &'static Json, node: &Node) {
        if let (Some(values), Some(text)) = (schema.get("enum").and_then(Json::as_array), node.text()) {
            let values: Vec<&str> = values.iter().filter_map(Json::as_str).collect();
            if !values.contains(&text.as_str()) {
                let hint = suggestion(&text, values.iter().copied());
                self.error(node, format_args!("expected one of {}, found \"{text}\"{hint}", values.join(", ")));
            }
        }
    }

    fn check_mapping(&mut self, schema: &'static Json, node: &Node) {
        let Some(map) = node.as_map() else { return };
        let known = schema.get("properties").and_then(Json::as_object);
        let patterns = schema.get("patternProperties").and_then(Json::as_object);
        let closed = schema.get("additionalProperties") == Some(&Json::Bool(false));
        for (key, value) in map {
            self.path.push(key.as_str());
            let by_name = known.and_then(|known| known.get(key));
            let by_pattern = || {
                patterns.and_then(|patterns| {
                    patterns.iter().find(|(p, _)| pattern(p).is_some_and(|p| p.is_match(key))).map(|(_, schema)| schema)
                })
            };
            match by_name.or_else(by_pattern) {
                Some(schema) => self.check(schema, value),
                None if closed && self.strictness == Strictness::Part => self.unknown_key(key, value, known, patterns),
                None => {}
            }
            self.path.pop();
        }
        if self.strictness == Strictness::Whole
            && let Some(required) = schema.get("required").and_then(Json::as_array)
        {
            for key in required.iter().filter_map(Json::as_str).filter(|key| !map.contains_key(*key)) {
                self.error(node, format_args!("the key \"{key}\" is missing"));
            }
        }
    }

    fn unknown_key(
        &mut self,
        key: &str,
        value: &Node,
        known: Option<&serde_json::Map<String, Json>>,
        patterns: Option<&serde_json::Map<String, Json>>,
    ) {
        self.path.pop();
        let names = known.into_iter().flat_map(|known| known.keys()).map(String::as_str);
        let free_names = patterns.is_some_and(|patterns| patterns.keys().any(|p| p != "^x-"));
        let message = if free_names && known.is_none() {
            format!("\"{key}\" is not a valid name")
        } else {
            format!("unknown key \"{key}\"{}", suggestion(key, names))
        };
        self.report.error_at(value.key, &self.path, message);
        self.path.push(key);
        self.wrong.push(self.path.clone());
    }

    fn check_list(&mut self, schema: &'static Json, items: &[Node]) {
        if let Some(schema) = schema.get("items") {
            for (index, item) in items.iter().enumerate() {
                self.path.push(index.to_string());
                self.check(schema, item);
                self.path.pop();
            }
        }
        if self.strictness == Strictness::Part && schema.get("uniqueItems") == Some(&Json::Bool(true)) {
            let mut seen: HashMap<String, u32> = HashMap::new();
            for item in items {
                let text = item.to_json().to_string();
                if let Some(line) = seen.get(&text) {
                    let line = *line;
                    self.error(item, format_args!("the item {text} is there twice; the first is on line {line}"));
                } else {
                    seen.insert(text, item.mark.line);
                }
            }
        }
    }
}

fn suggestion<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    match nearest(word, candidates) {
        Some(near) => format!(", did you mean \"{near}\"?"),
        None => String::new(),
    }
}
