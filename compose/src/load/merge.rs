//! Lays one tree over another (13-merge.md). Both are in canonical form, so
//! that short and long syntaxes meet as the same thing.

use std::sync::LazyLock;

use super::node::{Directive, Entries, Node, Value};
use super::pattern::{Path, Table};
use super::report::Report;

/// What happens where both trees have a value.
#[derive(Debug, Clone, Copy)]
enum Rule {
    /// The later one stands.
    Replace,
    /// Lists: the later entry replaces the earlier one of the same identity.
    Unique(fn(&Node) -> String),
    /// Options belong to a driver: another driver takes them all away.
    SameDriver,
    /// Mapping of lists: the lists are joined.
    JoinValues,
}

static RULES: LazyLock<Table<Rule>> = LazyLock::new(|| {
    Table::new(&[
        ("services.*.command", Rule::Replace),
        ("services.*.entrypoint", Rule::Replace),
        ("services.*.healthcheck.test", Rule::Replace),
        ("services.*.pre_start.*.command", Rule::Replace),
        ("services.*.ulimits.*", Rule::Replace),
        ("services.*.build.ulimits.*", Rule::Replace),
        ("services.*.logging", Rule::SameDriver),
        ("services.*.ports", Rule::Unique(port_identity)),
        ("services.*.volumes", Rule::Unique(target_identity)),
        ("services.*.devices", Rule::Unique(target_identity)),
        ("services.*.secrets", Rule::Unique(secret_identity)),
        ("services.*.configs", Rule::Unique(config_identity)),
        ("services.*.build.secrets", Rule::Unique(target_identity)),
        ("services.*.blkio_config.*", Rule::Unique(path_identity)),
        ("services.*.extra_hosts", Rule::JoinValues),
        ("services.*.build.extra_hosts", Rule::JoinValues),
        ("services.*.cap_add", Rule::Unique(content_identity)),
        ("services.*.cap_drop", Rule::Unique(content_identity)),
        ("services.*.deploy.placement.constraints", Rule::Unique(content_identity)),
        ("services.*.deploy.placement.preferences", Rule::Unique(content_identity)),
        ("services.*.device_cgroup_rules", Rule::Unique(content_identity)),
        ("services.*.dns_opt", Rule::Unique(content_identity)),
        ("services.*.expose", Rule::Unique(content_identity)),
        ("services.*.external_links", Rule::Unique(content_identity)),
        ("services.*.group_add", Rule::Unique(content_identity)),
        ("services.*.links", Rule::Unique(content_identity)),
        ("services.*.profiles", Rule::Unique(content_identity)),
        ("services.*.security_opt", Rule::Unique(content_identity)),
        ("services.*.volumes_from", Rule::Unique(content_identity)),
        ("services.*.networks.*.aliases", Rule::Unique(content_identity)),
        ("services.*.build.tags", Rule::Unique(content_identity)),
        ("services.*.build.platforms", Rule::Unique(content_identity)),
        ("networks.*.ipam.config", Rule::Unique(subnet_identity)),
    ])
});

/// Lays `over` over `base`. What cannot be merged is reported, and `over` stands.
pub(super) fn merge(base: Node, over: Node, report: &mut Report) -> Node {
    merge_at(base, over, &mut Path::default(), report)
}

/// The same for one service, whose path the rules need.
pub(super) fn merge_service(name: &str, base: Node, over: Node, report: &mut Report) -> Node {
    let mut path = Path::default();
    path.push("services");
    path.push(name);
    merge_at(base, over, &mut path, report)
}

/// The items of one list; where they have an identity, the last of each.
pub(super) fn without_duplicates(items: Vec<Node>, path: &Path) -> Vec<Node> {
    match RULES.get(path) {
        Some(Rule::Unique(identity)) => {
            let (reset, items): (Vec<Node>, Vec<Node>) =
                items.into_iter().partition(|item| item.directive == Directive::Reset);
            let mut items = unique(items.into_iter(), identity);
            items.extend(reset);
            items
        }
        _ => items,
    }
}

/// Takes away what `!reset` says, in a tree that is laid over nothing.
pub(super) fn strip_resets(node: &mut Node) {
    node.directive = Directive::None;
    match &mut node.value {
        Value::Map(map) => {
            map.retain(|_, value| value.directive != Directive::Reset);
            map.values_mut().for_each(strip_resets);
        }
        Value::Seq(items) => {
            items.retain(|item| item.directive != Directive::Reset);
            items.iter_mut().for_each(strip_resets);
        }
        _ => {}
    }
}

fn merge_at(base: Node, over: Node, path: &mut Path, report: &mut Report) -> Node {
    if over.directive == Directive::Override {
        return Node { directive: Directive::None, ..over };
    }
    let rule = RULES.get(path);
    if matches!(rule, Some(Rule::Replace)) {
        return over;
    }
    if over.is_null() && matches!(base.value, Value::Map(_) | Value::Seq(_)) {
        return base;
    }
    let (mark, key) = (over.mark, over.key);
    match (base.value, over.value) {
        (Value::Map(base), Value::Map(over)) => {
            let other_driver = matches!(rule, Some(Rule::SameDriver))
                && matches!((base.get("driver"), over.get("driver")), (Some(a), Some(b)) if a != b);
            let merged = match (other_driver, rule) {
                (true, _) => over,
                (_, Some(Rule::JoinValues)) => join_values(base, over),
                _ => merge_mappings(base, over, path, report),
            };
            Node { key, ..Node::new(Value::Map(merged), mark) }
        }
        (Value::Seq(base), Value::Seq(over)) => {
            let merged = match rule {
                Some(Rule::Unique(identity)) => unique(base.into_iter().chain(over), identity),
                _ => base.into_iter().chain(over).filter(|item| item.directive != Directive::Reset).collect(),
            };
            Node { key, ..Node::new(Value::Seq(merged), mark) }
        }
        (base_value @ (Value::Map(_) | Value::Seq(_)), over_value) => {
            let base = Node::new(base_value, base.mark);
            let over = Node { key, ..Node::new(over_value, mark) };
            report.error_at(mark, path, format_args!("{} cannot be merged with {}", over.kind(), base.kind()));
            over
        }
        (_, value) => Node {
            value,
            mark,
            key,
            directive: Directive::None,
            interpolated: over.interpolated,
            waiting: over.waiting,
        },
    }
}

fn merge_mappings(mut base: Entries, over: Entries, path: &mut Path, report: &mut Report) -> Entries {
    for (key, value) in over {
        if value.directive == Directive::Reset {
            base.shift_remove(&key);
            continue;
        }
        let merged = match base.swap_remove_entry(&key) {
            Some((_, present)) if !path.is_extension(&key) => {
                path.push(key.as_str());
                let merged = merge_at(present, value, path, report);
                path.pop();
                merged
            }
            _ => value,
        };
        base.insert(key, merged);
    }
    base
}

fn join_values(mut base: Entries, over: Entries) -> Entries {
    for (key, value) in over {
        if value.directive == Directive::Reset {
            base.shift_remove(&key);
            continue;
        }
        match (base.get_mut(&key).map(|present| &mut present.value), value.value) {
            (Some(Value::Seq(present)), Value::Seq(more)) => {
                let all = std::mem::take(present).into_iter().chain(more);
                *present = unique(all, content_identity);
            }
            (_, other) => {
                base.insert(key, Node::new(other, value.mark));
            }
        }
    }
    base
}

/// The items in order; a later one takes the place of an earlier one of the
/// same identity.
fn unique(items: impl Iterator<Item = Node>, identity: fn(&Node) -> String) -> Vec<Node> {
    let mut unique = Entries::new();
    for item in items {
        let identity = identity(&item);
        if item.directive == Directive::Reset {
            unique.shift_remove(&identity);
        } else {
            unique.insert(identity, item);
        }
    }
    unique.into_values().collect()
}

fn field(node: &Node, name: &str) -> Option<String> {
    node.get(name).and_then(Node::text)
}

fn content_identity(node: &Node) -> String {
    node.to_json().to_string()
}

fn port_identity(node: &Node) -> String {
    let part = |name, default: &str| field(node, name).unwrap_or_else(|| default.to_owned());
    match node.as_map() {
        Some(_) => format!(
            "{}:{}:{}/{}",
            part("host_ip", "0.0.0.0"),
            part("published", ""),
            part("target", ""),
            part("protocol", "tcp")
        ),
        None => content_identity(node),
    }
}

fn target_identity(node: &Node) -> String {
    field(node, "target").or_else(|| field(node, "source")).unwrap_or_else(|| content_identity(node))
}

fn secret_identity(node: &Node) -> String {
    file_identity(node, "/run/secrets/")
}

fn config_identity(node: &Node) -> String {
    file_identity(node, "/")
}

fn file_identity(node: &Node, directory: &str) -> String {
    match field(node, "target").or_else(|| field(node, "source")) {
        Some(target) if target.starts_with('/') => target,
        Some(target) => format!("{directory}{target}"),
        None => content_identity(node),
    }
}

fn path_identity(node: &Node) -> String {
    field(node, "path").unwrap_or_else(|| content_identity(node))
}

fn subnet_identity(node: &Node) -> String {
    field(node, "subnet").unwrap_or_else(|| content_identity(node))
}
