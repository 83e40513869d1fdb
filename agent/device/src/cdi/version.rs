//! Versions of the specification, and what each was the first to permit.

use super::model::{Edits, Spec};

/// All that were released, in order.
const RELEASED: [&str; 8] = ["0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0", "1.0.0", "1.1.0"];

/// The place of a version in the order of their release; `None` for one that was not.
pub(super) fn rank(version: &str) -> Option<usize> {
    RELEASED.iter().position(|released| *released == version)
}

/// The oldest version in which everything that a specification uses was permitted, and the key that asks for it.
pub fn minimum(spec: &Spec) -> (&'static str, String) {
    let (rank, key) =
        needs(spec).into_iter().fold((0, String::new()), |most, need| if need.0 > most.0 { need } else { most });
    (RELEASED[rank], key)
}

/// `(rank, key)` of everything that not every version has.
fn needs(spec: &Spec) -> Vec<(usize, String)> {
    const V04: usize = 1;
    const V05: usize = 2;
    const V06: usize = 3;
    let mut found = Vec::new();
    if !spec.annotations.is_empty() {
        found.push((V06, "annotations".to_owned()));
    }
    if spec.kind.split_once('/').is_some_and(|(_, class)| class.contains('.')) {
        found.push((V06, "kind".to_owned()));
    }
    edits(&spec.container_edits, "containerEdits", &mut found);
    for (index, device) in spec.devices.iter().enumerate() {
        let at = format!("devices[{index}]");
        if !device.annotations.is_empty() {
            found.push((V06, format!("{at}.annotations")));
        }
        if device.name.starts_with(|first: char| first.is_ascii_digit()) {
            found.push((V05, format!("{at}.name")));
        }
        edits(&device.container_edits, &format!("{at}.containerEdits"), &mut found);
    }
    debug_assert!(RELEASED[V04] == "0.4.0" && RELEASED[V06] == "0.6.0");
    found
}

fn edits(edits: &Edits, at: &str, found: &mut Vec<(usize, String)>) {
    const V04: usize = 1;
    const V05: usize = 2;
    const V07: usize = 4;
    const V11: usize = 7;
    for (index, mount) in edits.mounts.iter().enumerate() {
        if mount.kind.is_some() {
            found.push((V04, format!("{at}.mounts[{index}].type")));
        }
    }
    for (index, node) in edits.device_nodes.iter().enumerate() {
        if node.host_path.is_some() {
            found.push((V05, format!("{at}.deviceNodes[{index}].hostPath")));
        }
    }
    if !edits.additional_gids.is_empty() {
        found.push((V07, format!("{at}.additionalGids")));
    }
    if let Some(rdt) = &edits.intel_rdt {
        found.push((V07, format!("{at}.intelRdt")));
        if !rdt.schemata.is_empty() {
            found.push((V11, format!("{at}.intelRdt.schemata")));
        }
        if rdt.enable_monitoring {
            found.push((V11, format!("{at}.intelRdt.enableMonitoring")));
        }
    }
    if !edits.net_devices.is_empty() {
        found.push((V11, format!("{at}.netDevices")));
    }
}
