//! Every short syntax becomes its long one, and every list that may also be a
//! mapping becomes the mapping, so that the later stages know one form only.
//!
//! It runs on each file before merging ("merges apply to the expanded form",
//! 03-compose-file.md), after the schema said that the types are right.

use std::sync::LazyLock;

mod forms;
mod lists;

use super::merge;
use super::node::{Mark, Node, Value};
use super::pattern::{Path, Table};
use super::report::Report;
use forms::*;
use lists::*;

type Rule = fn(&mut Node, &mut Context<'_>) -> Result<(), String>;

/// Applied to a value before its children are looked at.
static RULES: LazyLock<Table<Rule>> = LazyLock::new(|| {
    Table::new(&[
        ("include.*", include),
        ("services.*.annotations", text_mapping),
        ("services.*.blkio_config.*.*.rate", text),
        ("services.*.build", build),
        ("services.*.build.additional_contexts", text_mapping),
        ("services.*.build.args", optional_mapping),
        ("services.*.build.extra_hosts", hosts),
        ("services.*.build.labels", text_mapping),
        ("services.*.build.provenance", text),
        ("services.*.build.sbom", text),
        ("services.*.build.secrets.*", file_mount),
        ("services.*.build.ssh", ssh),
        ("services.*.command", command),
        ("services.*.configs.*", file_mount),
        ("services.*.depends_on", depends_on),
        ("services.*.deploy.labels", text_mapping),
        ("services.*.deploy.resources.reservations.devices.*", device_request),
        ("services.*.deploy.resources.reservations.devices.*.options", text_mapping),
        ("services.*.develop.watch.*.exec.command", command),
        ("services.*.develop.watch.*.exec.environment", optional_mapping),
        ("services.*.develop.watch.*.ignore", list),
        ("services.*.develop.watch.*.include", list),
        ("services.*.devices.*", device),
        ("services.*.dns", list),
        ("services.*.dns_search", list),
        ("services.*.entrypoint", command),
        ("services.*.env_file", env_files),
        ("services.*.environment", optional_mapping),
        ("services.*.expose.*", text),
        ("services.*.extends", extends),
        ("services.*.extra_hosts", hosts),
        ("services.*.gpus", gpus),
        ("services.*.gpus.*.options", text_mapping),
        ("services.*.group_add.*", text),
        ("services.*.healthcheck.test", test),
        ("services.*.label_file", list),
        ("services.*.labels", text_mapping),
        ("services.*.logging.options", text_mapping),
        ("services.*.models", model_names),
        ("services.*.networks", names),
        ("services.*.networks.*.driver_opts", text_mapping),
        ("services.*.ports", ports),
        ("services.*.post_start.*.command", command),
        ("services.*.post_start.*.environment", optional_mapping),
        ("services.*.pre_start.*.command", command),
        ("services.*.pre_start.*.environment", optional_mapping),
        ("services.*.pre_stop.*.command", command),
        ("services.*.pre_stop.*.environment", optional_mapping),
        ("services.*.secrets.*", file_mount),
        ("services.*.storage_opt", text_mapping),
        ("services.*.sysctls", text_mapping),
        ("services.*.tmpfs", list),
        ("services.*.volumes.*", mount),
        ("services.*.volumes.*.volume.labels", text_mapping),
        ("networks.*", resource),
        ("networks.*.driver_opts", text_mapping),
        ("networks.*.labels", text_mapping),
        ("volumes.*", resource),
        ("volumes.*.driver_opts", text_mapping),
        ("volumes.*.labels", text_mapping),
        ("secrets.*", resource),
        ("secrets.*.driver_opts", text_mapping),
        ("secrets.*.labels", text_mapping),
        ("configs.*", resource),
        ("configs.*.labels", text_mapping),
    ])
});

/// What a rule may ask and tell.
struct Context<'a> {
    report: &'a mut Report,
    /// Where the value is of which a rule is applied.
    path: Path,
    /// Ports that ranges were expanded to.
    ports: usize,
    /// Without interpolation, a short syntax with a variable in it stays as it is.
    keep_variables: bool,
}

/// Brings one file's tree into canonical form.
pub(super) fn canonical(node: &mut Node, keep_variables: bool, report: &mut Report) {
    let mut context = Context { report, path: Path::default(), ports: 0, keep_variables };
    walk(node, &mut context);
}

fn walk(node: &mut Node, context: &mut Context<'_>) {
    if let Some(rule) = RULES.get(&context.path)
        && let Err(message) = rule(node, context)
    {
        context.report.error_at(node.mark, &context.path, message);
        return;
    }
    match &mut node.value {
        Value::Map(map) => {
            for (key, value) in map.iter_mut() {
                if context.path.is_extension(key) {
                    continue;
                }
                context.path.push(key.as_str());
                walk(value, context);
                context.path.pop();
            }
        }
        Value::Seq(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                context.path.push(index.to_string());
                walk(item, context);
                context.path.pop();
            }
            // Two mounts at one place are looked at later, where they are an error.
            if !context.path.matches("services.*.volumes") {
                *items = merge::without_duplicates(std::mem::take(items), &context.path);
            }
        }
        _ => {}
    }
}

/// Whether a text must wait until its variables are known.
fn waits(text: &str, context: &Context<'_>) -> bool {
    context.keep_variables && text.contains('$')
}

fn entry(key: Mark, node: Node) -> Node {
    Node { key, ..node }
}

/// A mapping with the given keys, at the place of `at`.
fn mapping<const N: usize>(at: &Node, entries: [(&str, Value); N]) -> Value {
    Value::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), Node::new(value, at.mark))).collect())
}

fn set_default(node: &mut Node, key: &str, value: Value) {
    let mark = node.mark;
    if let Some(map) = node.as_map_mut()
        && map.get(key).is_none_or(Node::is_null)
    {
        map.insert(key.to_owned(), Node::new(value, mark));
    }
}

fn string(text: &str) -> Value {
    Value::String(text.to_owned())
}
