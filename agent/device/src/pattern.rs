//! Devices by a pattern: a kind, a name within it, all of it, or a class that specifications note.

use crate::Devices;
use crate::inventory::{Device, Inventory, Kind};

/// Puts devices in a class of its own, across kinds.
const CLASS: &str = "org.mobyproject.buildkit.device.class";

/// Who asks for the device needs no further permission.
const ALLOWED: &str = "org.mobyproject.buildkit.device.autoallow";

/// What a pattern stands for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Named {
    /// Whole names.
    pub names: Vec<String>,
    /// All of them are for anybody, as their specification says.
    pub allowed: bool,
}

impl Devices {
    /// The devices that a pattern stands for, whoever holds them: `vendor.com/class` is the first of its kind,
    /// `vendor.com/class=name` is one, `vendor.com/class=*` is all, and `class` is all that are noted as of that class.
    /// `None` if there are none, with what there is.
    ///
    /// # Errors
    /// The names that there are, in words.
    pub fn matching(&self, pattern: &str) -> Result<Named, String> {
        let inventory = self.inventory();
        named(&inventory, pattern).ok_or_else(|| {
            let there: Vec<String> = inventory
                .kinds
                .iter()
                .flat_map(|kind| kind.devices.iter().map(|device| format!("{}={}", kind.name, device.short())))
                .collect();
            let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
            let problems: String = inventory.warnings.iter().map(|warning| format!("; {warning}")).collect();
            format!("there are {there}{problems}")
        })
    }
}

fn named(inventory: &Inventory, pattern: &str) -> Option<Named> {
    let of_kind = |kind: &str| inventory.kind(kind).filter(|kind| !kind.devices.is_empty());
    let found: Vec<(&Kind, &Device, String)> = match pattern.split_once('=') {
        Some((kind, "*")) => {
            let kind = of_kind(kind)?;
            kind.devices.iter().map(|device| (kind, device, device.name.clone())).collect()
        }
        Some((kind, "all")) if of_kind(kind)?.groups.contains_key("all") => {
            let kind = of_kind(kind)?;
            kind.devices.iter().map(|device| (kind, device, "all".to_owned())).collect()
        }
        Some((kind, name)) => {
            let kind = of_kind(kind)?;
            let device = kind.devices.iter().find(|device| device.is(name))?;
            vec![(kind, device, name.to_owned())]
        }
        None => match of_kind(pattern) {
            Some(kind) => kind.devices.first().map(|device| (kind, device, device.name.clone())).into_iter().collect(),
            None => {
                let all = inventory.kinds.iter().flat_map(|kind| kind.devices.iter().map(move |device| (kind, device)));
                all.filter(|(_, device)| device.annotations.get(CLASS).is_some_and(|class| class == pattern))
                    .map(|(kind, device)| (kind, device, device.name.clone()))
                    .collect()
            }
        },
    };
    let allowed = |device: &Device| device.annotations.get(ALLOWED).is_some_and(|said| said == "true");
    let mut names: Vec<String> = found.iter().map(|(kind, _, name)| format!("{}={name}", kind.name)).collect();
    names.dedup();
    (!found.is_empty()).then(|| Named { names, allowed: found.iter().all(|(_, device, _)| allowed(device)) })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::cdi::Edits;
    use crate::inventory::{Group, Source};

    fn device(name: &str, notes: &[(&str, &str)]) -> Device {
        let annotations = notes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Device { annotations, ..Device::named(name, 0) }
    }

    #[test]
    fn patterns_stand_for_one_for_all_and_for_a_class() {
        let kind = |name: &str, devices: Vec<Device>, groups| Kind {
            name: name.into(),
            source: Source::Cdi,
            capabilities: Vec::new(),
            common: Edits::default(),
            devices,
            groups,
            open: false,
        };
        let all = BTreeMap::from([("all".to_owned(), Group::default())]);
        let foo = device("foo", &[(ALLOWED, "true")]);
        let bar = device("bar", &[(CLASS, "class1"), (ALLOWED, "true")]);
        let inventory = Inventory {
            kinds: vec![
                kind("a.com/x", vec![foo, bar], BTreeMap::new()),
                kind("b.com/y", vec![device("baz", &[(CLASS, "class1")])], all),
            ],
            warnings: Vec::new(),
        };
        let found = |pattern: &str| {
            named(&inventory, pattern).map(|Named { names, allowed }| format!("{} {allowed}", names.join(" ")))
        };
        assert_eq!(found("a.com/x").unwrap(), "a.com/x=foo true");
        assert_eq!(found("a.com/x=bar").unwrap(), "a.com/x=bar true");
        assert_eq!(found("a.com/x=*").unwrap(), "a.com/x=foo a.com/x=bar true");
        assert_eq!(found("b.com/y=all").unwrap(), "b.com/y=all false");
        assert_eq!(found("class1").unwrap(), "a.com/x=bar b.com/y=baz false");
        for nothing in ["a.com/x=all", "a.com/x=baz", "c.com/z", "class2", "", "=", "a.com/x="] {
            assert_eq!(found(nothing), None, "{nothing}");
        }
    }
}
