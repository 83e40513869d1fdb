//! Lists that may also be mappings, and values that may also be lists.

use super::{Context, string, waits};
use crate::load::node::{Entries, Node, Value};

pub(super) fn text(node: &mut Node, _: &mut Context<'_>) -> Result<(), String> {
    if let Some(text) = node.text() {
        node.value = Value::String(text);
    }
    Ok(())
}

pub(super) fn list(node: &mut Node, _: &mut Context<'_>) -> Result<(), String> {
    if matches!(node.value, Value::String(_)) {
        node.value = Value::Seq(vec![node.string(node.text().unwrap_or_default())]);
    }
    Ok(())
}

/// `NAME=VALUE` items become entries; a name alone has the value null.
pub(super) fn optional_mapping(node: &mut Node, _: &mut Context<'_>) -> Result<(), String> {
    key_values(node, |_| Value::Null)
}

/// The same, where a name alone has the empty text.
pub(super) fn text_mapping(node: &mut Node, _: &mut Context<'_>) -> Result<(), String> {
    key_values(node, |_| string(""))?;
    if let Some(map) = node.as_map_mut() {
        for value in map.values_mut().filter(|value| value.is_null()) {
            value.value = string("");
        }
    }
    Ok(())
}

pub(super) fn key_values(node: &mut Node, alone: fn(&str) -> Value) -> Result<(), String> {
    if let Value::Seq(items) = &node.value {
        let mut map = Entries::new();
        for item in items {
            let Some(text) = item.as_str() else { continue };
            let (key, value) = match text.split_once('=') {
                Some((key, value)) => (key, string(value)),
                None => (text, alone(text)),
            };
            if key.is_empty() {
                return Err(format!("\"{text}\" has no name before the \"=\""));
            }
            map.shift_remove(key);
            map.insert(key.to_owned(), item.derived(value));
        }
        node.value = Value::Map(map);
    }
    if let Some(map) = node.as_map_mut() {
        for (key, value) in map.iter_mut() {
            if key.is_empty() {
                return Err("a name is empty".to_owned());
            }
            if let Some(text) = value.text() {
                value.value = Value::String(text);
            }
        }
    }
    Ok(())
}

pub(super) fn ssh(node: &mut Node, _: &mut Context<'_>) -> Result<(), String> {
    key_values(node, |_| string(""))?;
    if let Some(map) = node.as_map_mut() {
        map.values_mut().filter(|value| value.is_null()).for_each(|value| value.value = string(""));
    }
    Ok(())
}

pub(super) fn hosts(node: &mut Node, context: &mut Context<'_>) -> Result<(), String> {
    let mut map = Entries::new();
    let mut insert = |host: &str, at: &Node, ips: Vec<Node>| match map.get_mut(host).map(|n: &mut Node| &mut n.value) {
        Some(Value::Seq(present)) => {
            for ip in ips {
                if !present.contains(&ip) {
                    present.push(ip);
                }
            }
        }
        _ => {
            map.insert(host.to_owned(), at.derived(Value::Seq(ips)));
        }
    };
    let bare = |ip: &str| ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(ip).to_owned();
    match &node.value {
        Value::Seq(items) => {
            for item in items {
                let Some(text) = item.as_str() else { continue };
                let Some((host, ip)) = crate::model::split_host(text) else {
                    if waits(text, context) {
                        return Ok(());
                    }
                    return Err(format!("\"{text}\" is not host=address"));
                };
                insert(host, item, vec![item.string(ip)]);
            }
        }
        Value::Map(entries) => {
            for (host, value) in entries {
                let ips = match &value.value {
                    Value::Seq(items) => {
                        items.iter().map(|ip| ip.string(bare(ip.as_str().unwrap_or_default()))).collect()
                    }
                    _ => vec![value.string(bare(&value.text().unwrap_or_default()))],
                };
                insert(host, value, ips);
            }
        }
        _ => return Ok(()),
    }
    node.value = Value::Map(map);
    Ok(())
}

/// A list of names becomes a mapping from each to nothing.
pub(super) fn names(node: &mut Node, _: &mut Context<'_>) -> Result<(), String> {
    if let Value::Seq(items) = &node.value {
        node.value =
            Value::Map(items.iter().filter_map(|item| Some((item.text()?, item.derived(Value::Null)))).collect());
    }
    Ok(())
}

/// The same, from each to an empty mapping, as a model's entry cannot be null.
pub(super) fn model_names(node: &mut Node, context: &mut Context<'_>) -> Result<(), String> {
    names(node, context)?;
    for value in node.as_map_mut().into_iter().flat_map(|map| map.values_mut()).filter(|value| value.is_null()) {
        value.value = Value::Map(Entries::new());
    }
    Ok(())
}
