//! Devices that the node's settings declare.

use serde::{Deserialize, Serialize};

use super::{Device, Facts, Kind, Source};
use crate::cdi::{DeviceNode, Edits};
use crate::{DeviceError, Result};

/// One entry of the setting `devices`. The key is the kind's name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Declared {
    /// A plain counter of this size, without nodes.
    pub count: Option<u32>,
    /// One device each.
    pub nodes: Vec<DeclaredNode>,
    /// Where a device's first node is in the container; `{index}` counts from 0 there.
    pub inside: Option<String>,
    /// Nodes that a container with any of the devices has as well.
    pub shared_nodes: Vec<String>,
    /// `NAME=value` for a container with any of the devices.
    pub env: Vec<String>,
    /// What requests by capability may name. Without any: the part of the kind after its slash.
    pub capabilities: Vec<String>,
    /// In how many parts a device can be shared.
    pub shares: Option<u32>,
    /// Nothing is counted. May be said of kinds of CDI specifications too.
    pub open: bool,
    pub model: Option<String>,
    /// Bytes of memory of each.
    pub memory: Option<u64>,
    /// A file that somebody who measures the devices writes; `{index}` is the device's place. May be said of kinds that
    /// others describe.
    pub figures: Option<String>,
    /// A file with the reason why a device is not to be used; one that is not there, is empty or says `ok` is no reason.
    pub health: Option<String>,
}

/// The nodes of one device: one path, or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum DeclaredNode {
    One(String),
    Several(Vec<String>),
}

impl DeclaredNode {
    fn paths(&self) -> &[String] {
        match self {
            Self::One(path) => std::slice::from_ref(path),
            Self::Several(paths) => paths,
        }
    }
}

impl Declared {
    /// Whether the entry says only how devices that others describe are shared.
    pub fn is_rule(&self) -> bool {
        self.count.is_none() && self.nodes.is_empty()
    }

    /// Looks at one entry.
    ///
    /// # Errors
    /// [`DeviceError::Setting`], for the first thing that makes no sense.
    pub fn check(&self, kind: &str) -> Result<()> {
        let wrong =
            |key: &str, reason: String| Err(DeviceError::Setting { key: format!("devices.{kind}{key}"), reason });
        let plain = kind
            .split('/')
            .all(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)));
        if !plain || kind.matches('/').count() > 1 {
            return wrong("", "the name must be a word or vendor.com/class".into());
        }
        if self.count.is_some() && !self.nodes.is_empty() {
            return wrong(".count", "the nodes are counted already".into());
        }
        let measured = self.figures.is_some() || self.health.is_some();
        if self.is_rule() && !self.open && self.shares.is_none() && !measured {
            return wrong(
                "",
                "there is neither count nor nodes, nor open, shares, figures or health for devices described elsewhere"
                    .into(),
            );
        }
        for (key, path) in [(".figures", &self.figures), (".health", &self.health)] {
            if let Some(path) = path.as_ref().filter(|path| !path.starts_with('/')) {
                return wrong(key, format!("{path:?} is not an absolute path"));
            }
        }
        if self.count == Some(0) {
            return wrong(".count", "must be above zero".into());
        }
        if self.shares == Some(0) {
            return wrong(".shares", "must be above zero".into());
        }
        let paths = self.nodes.iter().flat_map(DeclaredNode::paths).chain(&self.shared_nodes).chain(&self.inside);
        for path in paths {
            if !path.starts_with('/') {
                return wrong(".nodes", format!("{path:?} is not an absolute path"));
            }
        }
        if self.nodes.iter().any(|node| node.paths().is_empty()) {
            return wrong(".nodes", "a device has no node".into());
        }
        match self.env.iter().find(|variable| !variable.contains('=')) {
            Some(variable) => wrong(".env", format!("{variable:?} is not of the form NAME=value")),
            None => Ok(()),
        }
    }

    pub(super) fn kind(&self, name: &str) -> Kind {
        let mut common = Edits { env: self.env.clone(), ..Edits::default() };
        common.device_nodes = self.shared_nodes.iter().map(DeviceNode::at).collect();
        let facts = Facts { model: self.model.clone().unwrap_or_default(), memory: self.memory, ..Facts::default() };
        let make = |index: u32, node: Option<&DeclaredNode>| {
            let mut device = Device::named(index.to_string(), index);
            device.facts = facts.clone();
            device.shares = self.shares.unwrap_or(1);
            for (place, path) in node.map(DeclaredNode::paths).unwrap_or_default().iter().enumerate() {
                let node = match self.inside.as_ref().filter(|_| place == 0) {
                    Some(inside) => {
                        DeviceNode { path: inside.clone(), host_path: Some(path.clone()), ..DeviceNode::default() }
                    }
                    None => DeviceNode::at(path),
                };
                device.edits.device_nodes.push(node);
            }
            device.renumbered = self.inside.is_some();
            device
        };
        let devices = match self.count {
            Some(count) => (0..count).map(|index| make(index, None)).collect(),
            None => (0..).zip(&self.nodes).map(|(index, node)| make(index, Some(node))).collect(),
        };
        let capabilities = if self.capabilities.is_empty() { class(name) } else { self.capabilities.clone() };
        Kind {
            name: name.to_owned(),
            source: Source::Declared,
            capabilities,
            common,
            devices,
            groups: Default::default(),
            open: self.open,
        }
    }
}

/// What a kind's name says about it.
pub(super) fn class(kind: &str) -> Vec<String> {
    vec![kind.rsplit('/').next().unwrap_or(kind).to_owned()]
}

/// Dockerd's `node-generic-resources`: `NAME=number` or `NAME=id`, the latter once for each.
///
/// # Errors
/// [`DeviceError::Setting`] for what is of neither form.
pub fn parse_generic(list: &[String]) -> Result<Vec<Kind>> {
    let wrong = |text: &str, reason: &str| DeviceError::Setting {
        key: "node-generic-resources".into(),
        reason: format!("{text:?}: {reason}"),
    };
    let mut kinds: Vec<Kind> = Vec::new();
    for text in list {
        let (name, value) = text
            .split_once('=')
            .filter(|(name, value)| !name.is_empty() && !value.is_empty())
            .ok_or_else(|| wrong(text, "expected NAME=number or NAME=id"))?;
        let known = kinds.iter().position(|kind| kind.name == name);
        match (value.parse::<u32>(), known) {
            (Ok(0), _) => return Err(wrong(text, "the number must be above zero")),
            (Ok(count), None) => kinds.push(Declared { count: Some(count), ..Declared::default() }.kind(name)),
            (Ok(_), Some(_)) => return Err(wrong(text, "it stands here twice")),
            (Err(_), known) => {
                let place = known.unwrap_or_else(|| {
                    kinds.push(Kind { devices: Vec::new(), ..Declared::default().kind(name) });
                    kinds.len() - 1
                });
                let devices = &mut kinds[place].devices;
                if devices.iter().any(|device| device.name == value) {
                    return Err(wrong(text, "it stands here twice"));
                }
                let index = u32::try_from(devices.len()).unwrap_or(u32::MAX);
                devices.push(Device::named(value, index));
            }
        }
    }
    Ok(kinds)
}
