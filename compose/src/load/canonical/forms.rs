//! The short forms of a service's parts and of resources.

use super::lists::{list, names};
use super::{Context, entry, mapping, set_default, string, waits};
use crate::load::node::{Entries, Node, Value};
use crate::load::{short, words};

/// Ports in one file, ranges written out: more cannot be published anyway.
const MAX_PORTS: usize = 65_535;

pub(super) fn command(node: &mut Node, context: &mut Context<'_>) -> Result<(), String> {
    let Some(text) = node.as_str() else { return Ok(()) };
    if waits(text, context) {
        return Ok(());
    }
    let words = words::split(text)?;
    node.value = Value::Seq(words.into_iter().map(|word| node.string(word)).collect());
    Ok(())
}

pub(super) fn test(node: &mut Node, _: &mut Context<'_>) -> Result<(), String> {
    if let Some(text) = node.as_str() {
        node.value = Value::Seq(vec![node.string("CMD-SHELL"), node.string(text)]);
    }
    let Some(items) = node.as_seq() else { return Ok(()) };
    match items.first().and_then(Node::as_str) {
        None | Some("NONE" | "CMD" | "CMD-SHELL") => Ok(()),
        Some(other) => Err(format!(
            "a list begins with NONE, CMD or CMD-SHELL, found \"{other}\"; write the command as one text to run it in a shell"
        )),
    }
}

pub(super) fn build(node: &mut Node, _: &mut Context<'_>) -> Result<(), String> {
    if let Value::String(context) = &node.value {
        node.value = mapping(node, [("context", string(context))]);
    }
    Ok(())
}

pub(super) fn extends(node: &mut Node, _: &mut Context<'_>) -> Result<(), String> {
    if let Value::String(service) = &node.value {
        node.value = mapping(node, [("service", string(service))]);
    }
    Ok(())
}

pub(super) fn include(node: &mut Node, context: &mut Context<'_>) -> Result<(), String> {
    if let Value::String(path) = &node.value {
        node.value = mapping(node, [("path", string(path))]);
    }
    for key in ["path", "env_file"] {
        if let Some(value) = node.as_map_mut().and_then(|map| map.get_mut(key)) {
            list(value, context)?;
        }
    }
    Ok(())
}

pub(super) fn file_mount(node: &mut Node, _: &mut Context<'_>) -> Result<(), String> {
    if let Value::String(source) = &node.value {
        node.value = mapping(node, [("source", string(source))]);
    }
    Ok(())
}

pub(super) fn depends_on(node: &mut Node, context: &mut Context<'_>) -> Result<(), String> {
    let short = matches!(node.value, Value::Seq(_));
    names(node, context)?;
    if let Some(map) = node.as_map_mut() {
        for value in map.values_mut() {
            if short {
                value.value = mapping(value, [("condition", string("service_started"))]);
            }
            set_default(value, "required", Value::Bool(true));
        }
    }
    Ok(())
}

pub(super) fn env_files(node: &mut Node, context: &mut Context<'_>) -> Result<(), String> {
    list(node, context)?;
    if let Value::Seq(items) = &mut node.value {
        for item in items {
            if let Value::String(path) = &item.value {
                item.value = mapping(item, [("path", string(path))]);
            }
            set_default(item, "required", Value::Bool(true));
        }
    }
    Ok(())
}

pub(super) fn device_request(node: &mut Node, _: &mut Context<'_>) -> Result<(), String> {
    if let Some(count) = node.as_map_mut().and_then(|map| map.get_mut("count"))
        && count.as_str() == Some("all")
    {
        count.value = Value::Int(-1);
    }
    Ok(())
}

pub(super) fn gpus(node: &mut Node, context: &mut Context<'_>) -> Result<(), String> {
    if matches!(node.value, Value::String(_)) {
        let all = node.derived(mapping(node, [("count", Value::Int(-1))]));
        node.value = Value::Seq(vec![all]);
    }
    if let Value::Seq(items) = &mut node.value {
        for item in items {
            device_request(item, context)?;
            let gpu = item.string("gpu");
            match item.as_map_mut().and_then(|map| map.get_mut("capabilities")).map(|n| &mut n.value) {
                Some(Value::Seq(capabilities)) => {
                    if !capabilities.contains(&gpu) {
                        capabilities.push(gpu);
                    }
                }
                _ => set_default(item, "capabilities", Value::Seq(vec![gpu])),
            }
        }
    }
    Ok(())
}

pub(super) fn device(node: &mut Node, context: &mut Context<'_>) -> Result<(), String> {
    if let Some(text) = node.as_str() {
        if waits(text, context) {
            return Ok(());
        }
        let (source, target, permissions) = short::device(text)?;
        node.value = mapping(
            node,
            [("source", string(source)), ("target", string(target)), ("permissions", string(permissions))],
        );
    }
    Ok(())
}

pub(super) fn ports(node: &mut Node, context: &mut Context<'_>) -> Result<(), String> {
    let Value::Seq(items) = &mut node.value else { return Ok(()) };
    let mut long = Vec::new();
    for mut item in std::mem::take(items) {
        if item.as_map().is_some() {
            port_defaults(&mut item);
            long.push(item);
            continue;
        }
        let text = item.text().unwrap_or_default();
        if waits(&text, context) {
            long.push(item);
            continue;
        }
        let expanded = short::ports(&text).and_then(|ports| {
            context.ports += ports.len();
            match context.ports > MAX_PORTS {
                true => Err(format!("ranges of more than {MAX_PORTS} ports in one file")),
                false => Ok(ports),
            }
        });
        match expanded {
            Ok(ports) => long.extend(ports.into_iter().map(|port| {
                let mut entries = Entries::new();
                let mut set = |key: &str, value: Option<Value>| {
                    if let Some(value) = value {
                        entries.insert(key.to_owned(), Node::new(value, item.mark));
                    }
                };
                set("mode", Some(string("ingress")));
                set("host_ip", port.host_ip.as_deref().map(string));
                set("target", Some(Value::Int(port.target.into())));
                set("published", port.published.as_deref().map(string));
                set("protocol", Some(string(&port.protocol)));
                item.derived(Value::Map(entries))
            })),
            Err(message) => {
                let mark = item.mark;
                context.report.error_at(mark, &context.path, message);
            }
        }
    }
    *items = long;
    Ok(())
}

pub(super) fn port_defaults(item: &mut Node) {
    if let Some(map) = item.as_map_mut() {
        for key in ["published", "host_ip", "protocol"] {
            if let Some(value) = map.get_mut(key)
                && let Some(text) = value.text()
            {
                value.value = Value::String(if key == "protocol" { text.to_ascii_lowercase() } else { text });
            }
        }
    }
    set_default(item, "mode", string("ingress"));
    set_default(item, "protocol", string("tcp"));
}

pub(super) fn mount(node: &mut Node, context: &mut Context<'_>) -> Result<(), String> {
    if let Some(text) = node.as_str() {
        if waits(text, context) {
            return Ok(());
        }
        node.value = short::mount(text)?.into_value(node);
    } else if node.get("type").and_then(Node::as_str) == Some("bind") {
        let empty = mapping(node, []);
        set_default(node, "bind", empty);
    }
    Ok(())
}

/// `external: {name: X}` is the old form of `external: true` with `name: X`.
pub(super) fn resource(node: &mut Node, _: &mut Context<'_>) -> Result<(), String> {
    let Some(map) = node.as_map_mut() else { return Ok(()) };
    let Some(external) = map.get_mut("external") else { return Ok(()) };
    let Value::Map(old) = &external.value else { return Ok(()) };
    let name = old.get("name").cloned();
    external.value = Value::Bool(true);
    match (name, map.get("name")) {
        (Some(old), Some(new)) if old != *new => {
            Err("\"external.name\" and \"name\" are both given and differ; keep \"name\"".to_owned())
        }
        (Some(old), _) => {
            let key = old.key;
            map.insert("name".to_owned(), entry(key, old));
            Ok(())
        }
        (None, _) => Ok(()),
    }
}
