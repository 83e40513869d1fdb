//! Placement constraints: `node.labels.disk==ssd`, `node.role!=manager`.

use std::{net::IpAddr, str::FromStr};

use hoist_proto::spec::{Node, Role};

/// A condition on a node's attribute.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Constraint {
    key: Key,
    equal: bool,
    value: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    /// An address or a subnet.
    Ip,
    Id,
    Hostname,
    Role,
    Os,
    Architecture,
    Label(String),
    EngineLabel(String),
}

/// A text that is not a constraint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConstraint {
    #[error("placement constraint {0:?} has neither == nor !=")]
    NoOperator(String),
    #[error(
        "placement constraint {text:?} is about {key:?}, and only node.id, node.ip, node.hostname, node.role, \
         node.platform.os, node.platform.arch, node.labels.* and engine.labels.* can be asked for"
    )]
    UnknownKey { text: String, key: String },
    #[error("placement constraint {0:?} has no value")]
    NoValue(String),
}

impl FromStr for Constraint {
    type Err = InvalidConstraint;

    fn from_str(text: &str) -> Result<Self, InvalidConstraint> {
        let split = |operator| text.split_once(operator).map(|(key, value): (&str, &str)| (key.trim(), value.trim()));
        let (equal, (key, value)) = match (split("=="), split("!=")) {
            (Some(parts), None) => (true, parts),
            (None, Some(parts)) => (false, parts),
            _ => return Err(InvalidConstraint::NoOperator(text.to_owned())),
        };
        if value.is_empty() {
            return Err(InvalidConstraint::NoValue(text.to_owned()));
        }
        let key = Key::parse(key)
            .ok_or_else(|| InvalidConstraint::UnknownKey { text: text.to_owned(), key: key.to_owned() })?;
        Ok(Self { key, equal, value: value.to_owned() })
    }
}

impl Key {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "node.id" => Self::Id,
            "node.ip" => Self::Ip,
            "node.hostname" => Self::Hostname,
            "node.role" => Self::Role,
            "node.platform.os" => Self::Os,
            "node.platform.arch" => Self::Architecture,
            _ => match (text.strip_prefix("node.labels."), text.strip_prefix("engine.labels.")) {
                (Some(label), _) if !label.is_empty() => Self::Label(label.to_owned()),
                (_, Some(label)) if !label.is_empty() => Self::EngineLabel(label.to_owned()),
                _ => return None,
            },
        })
    }

    fn of<'a>(&self, node: &'a Node) -> &'a str {
        let label = |labels: &'a std::collections::BTreeMap<String, String>, name: &str| {
            labels.get(name).map_or("", String::as_str)
        };
        match self {
            Self::Id => node.id.as_str(),
            Self::Ip => &node.status.address,
            Self::Hostname => &node.description.hostname,
            Self::Role => match node.spec.role {
                Role::Manager => "manager",
                Role::Worker => "worker",
            },
            Self::Os => &node.description.os,
            Self::Architecture => &node.description.architecture,
            Self::Label(name) => label(&node.spec.labels, name),
            Self::EngineLabel(name) => label(&node.description.engine_labels, name),
        }
    }
}

impl Constraint {
    /// Whether the node meets it; a label that is not set is the empty text.
    pub fn met_by(&self, node: &Node) -> bool {
        let found = self.key.of(node);
        if self.key == Key::Ip {
            return is_within(found, &self.value) == self.equal;
        }
        // Names of machines and platforms are compared without regard to case, as Swarm does.
        found.eq_ignore_ascii_case(&self.value) == self.equal
    }
}

/// The value of a node's attribute, for spreading; `None` when the key is unknown.
pub(crate) fn attribute(key: &str, node: &Node) -> Option<String> {
    Key::parse(key).map(|key| key.of(node).to_owned())
}

/// `linux/amd64` and the kernel's own names for the same machine.
pub(crate) fn same_architecture(left: &str, right: &str) -> bool {
    fn plain(name: &str) -> &str {
        match name {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        }
    }
    plain(left) == plain(right)
}

/// Whether an address is the one given, or within the subnet `address/length`.
fn is_within(found: &str, wanted: &str) -> bool {
    let (wanted, length) = wanted.split_once('/').unwrap_or((wanted, "128"));
    let (Ok(found), Ok(wanted), Ok(length)) = (found.parse(), wanted.parse(), length.parse::<u32>()) else {
        return false;
    };
    let prefix = |bits: u128, width: u32| if length == 0 { 0 } else { bits >> width.saturating_sub(length) };
    match (found, wanted) {
        (IpAddr::V4(found), IpAddr::V4(wanted)) => {
            prefix(u32::from(found).into(), 32) == prefix(u32::from(wanted).into(), 32)
        }
        (IpAddr::V6(found), IpAddr::V6(wanted)) => prefix(found.into(), 128) == prefix(wanted.into(), 128),
        _ => false,
    }
}
