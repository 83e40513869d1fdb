//! Variables are put into the values of a file, before anything else is made
//! of them (12-interpolation.md). Keys stay as they are.

use std::collections::BTreeMap;

use indexmap::IndexMap;

use super::node::{Node, Value};
use super::pattern::Path;
use super::report::Report;
use super::template::{self, Variable, Variables};

/// The variables that files mention, by name, as they are first mentioned.
pub(super) type Mentioned = BTreeMap<String, Variable>;

struct Scope<'a> {
    environment: &'a IndexMap<String, String>,
    mentioned: &'a mut Mentioned,
    unset: Vec<String>,
}

impl Variables for Scope<'_> {
    fn get(&self, name: &str) -> Option<String> {
        self.environment.get(name).cloned()
    }

    fn unset(&mut self, name: &str) {
        self.unset.push(name.to_owned());
    }

    fn mentioned(&mut self, variable: Variable) {
        self.mentioned.entry(variable.name.clone()).or_insert(variable);
    }
}

/// Replaces the variables of every text in a tree.
pub(super) fn interpolate(
    node: &mut Node,
    environment: &IndexMap<String, String>,
    mentioned: &mut Mentioned,
    report: &mut Report,
) {
    let mut scope = Scope { environment, mentioned, unset: Vec::new() };
    walk(node, &mut Path::default(), &mut scope, report);
}

fn walk(node: &mut Node, path: &mut Path, scope: &mut Scope<'_>, report: &mut Report) {
    match &mut node.value {
        Value::String(text) if text.contains('$') => {
            match template::expand(text, scope) {
                Ok(expanded) => {
                    node.interpolated = expanded != *text;
                    *text = expanded;
                }
                Err(error) => report.error_at(node.mark, path, error),
            }
            for name in scope.unset.drain(..) {
                report.warn(None, format!("the variable {name} is not set; it is taken as empty"));
            }
        }
        Value::Map(map) => {
            for (key, value) in map.iter_mut() {
                path.push(key.as_str());
                walk(value, path, scope, report);
                path.pop();
            }
        }
        Value::Seq(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                path.push(index.to_string());
                walk(item, path, scope, report);
                path.pop();
            }
        }
        _ => {}
    }
}

/// Notes the variables of a tree, and which texts wait for them.
pub(super) fn mentions(node: &mut Node, mentioned: &mut Mentioned) {
    let environment = IndexMap::new();
    let mut scope = Scope { environment: &environment, mentioned, unset: Vec::new() };
    look(node, &mut scope);
}

fn look(node: &mut Node, scope: &mut Scope<'_>) {
    match &mut node.value {
        // What is missing or malformed is of no interest here.
        Value::String(text) if text.contains('$') => {
            let _ = template::expand(text, scope);
            node.waiting = true;
        }
        Value::Map(map) => map.values_mut().for_each(|value| look(value, scope)),
        Value::Seq(items) => items.iter_mut().for_each(|item| look(item, scope)),
        _ => {}
    }
}
