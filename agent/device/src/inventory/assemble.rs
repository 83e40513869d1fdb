//! All places together: one list of kinds.

use std::collections::BTreeMap;

use super::declared::class;
use super::{Declared, Device, Group, Inventory, Kind, Source};
use crate::cdi::{Cache, Edits, QualifiedName};
use crate::measure::Fault;

/// Puts together what was found. `found` are kinds from drivers and sysfs; `fixed` those of plain counters.
pub(crate) fn assemble(
    cache: &Cache,
    declared: &BTreeMap<String, Declared>,
    fixed: &[Kind],
    found: Vec<Kind>,
    aside: &BTreeMap<(String, String), String>,
    faults: &BTreeMap<(String, String), Fault>,
) -> Inventory {
    let mut inventory = Inventory { kinds: found, warnings: cache.errors().iter().map(ToString::to_string).collect() };
    for kind in from_cdi(cache) {
        match inventory.kinds.iter_mut().find(|known| known.name == kind.name) {
            Some(known) => describe(known, kind),
            None => inventory.kinds.push(kind),
        }
    }
    for (name, entry) in declared {
        let known = inventory.kinds.iter_mut().find(|kind| kind.name == *name);
        match (known, entry.is_rule()) {
            (Some(kind), true) => {
                kind.open |= entry.open;
                if let Some(shares) = entry.shares {
                    kind.devices.iter_mut().for_each(|device| device.shares = shares);
                }
            }
            (None, true) => {
                inventory.warnings.push(format!("the setting devices.{name} speaks of a kind that is not here"));
            }
            (Some(_), false) => inventory.warnings.push(format!(
                "the setting devices.{name} is not used: a driver or a CDI specification has devices of this kind"
            )),
            (None, false) => inventory.kinds.push(entry.kind(name)),
        }
    }
    for kind in fixed {
        if inventory.kind(&kind.name).is_none() {
            inventory.kinds.push(kind.clone());
        }
    }
    for kind in &mut inventory.kinds {
        for device in &mut kind.devices {
            let key = (kind.name.clone(), device.name.clone());
            if let Some(fault) = faults.get(&key) {
                device.set_aside = Some(fault.reason.clone());
                device.faulty = true;
            }
            if let Some(reason) = aside.get(&key) {
                device.set_aside = Some(reason.clone());
            }
        }
    }
    inventory
}

/// Kinds of CDI specifications. Names with equal edits are one device; `all` stands for those beside it.
fn from_cdi(cache: &Cache) -> Vec<Kind> {
    let mut kinds: Vec<Kind> = Vec::new();
    for (QualifiedName { kind, name }, found) in cache.devices() {
        let place = kinds.iter().position(|known| known.name == kind).unwrap_or_else(|| {
            kinds.push(Kind {
                capabilities: class(&kind),
                name: kind,
                source: Source::Cdi,
                common: Edits::default(),
                devices: Vec::new(),
                groups: BTreeMap::new(),
                open: false,
            });
            kinds.len() - 1
        });
        let known = &mut kinds[place];
        let mut edits = found.common().clone();
        edits.extend(found.device.container_edits.clone());
        if name == "all" {
            known.groups.insert(name, Group { members: Vec::new(), edits });
            continue;
        }
        match known.devices.iter_mut().find(|device| device.edits == edits) {
            Some(device) => device.aliases.push(name),
            None => {
                let mut device = Device::named(name, 0);
                device.edits = edits;
                device.annotations = found.spec.annotations.clone();
                device.annotations.extend(found.device.annotations.clone());
                known.devices.push(device);
            }
        }
    }
    for kind in &mut kinds {
        // Numbers in the order of numbers.
        let key = |device: &Device| device.short().parse::<u32>().unwrap_or(u32::MAX);
        kind.devices.sort_by(|one, other| key(one).cmp(&key(other)).then_with(|| one.name.cmp(&other.name)));
        for (index, device) in (0..).zip(&mut kind.devices) {
            device.index = index;
        }
        if let Some(all) = kind.groups.remove("all") {
            if kind.devices.is_empty() {
                let mut device = Device::named("all", 0);
                device.edits = all.edits;
                kind.devices.push(device);
            } else {
                let members = (0..kind.devices.len()).collect();
                kind.groups.insert("all".into(), Group { members, ..all });
            }
        }
    }
    kinds
}

/// A driver knows the devices; a specification says what a container with one of them sees.
fn describe(known: &mut Kind, cdi: Kind) {
    for described in cdi.devices {
        let names: Vec<&String> = std::iter::once(&described.name).chain(&described.aliases).collect();
        match known.devices.iter_mut().find(|device| names.iter().any(|name| device.is(name))) {
            Some(device) => {
                let more: Vec<String> = names.into_iter().filter(|name| !device.is(name)).cloned().collect();
                device.aliases.extend(more);
                device.edits = described.edits;
                device.annotations = described.annotations;
            }
            None => known.devices.push(described),
        }
    }
    known.common = Edits::default();
    if let Some(all) = cdi.groups.get("all") {
        let members = (0..known.devices.len()).collect();
        known.groups.insert("all".into(), Group { members, edits: all.edits.clone() });
    }
    for (index, device) in (0..).zip(&mut known.devices) {
        device.index = index;
    }
}
