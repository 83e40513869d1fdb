//! What a container sees of the devices that it was given.

use std::path::Path;

use hoist_proto::spec::DeviceRequest;

use crate::cdi::{Edits, Mount};
use hoist_choice::Share;

use crate::Assigned;
use crate::devices::Grant;
use crate::inventory::{CAPABILITIES, Device, Inventory, Kind, Nvidia, Source};
use crate::{DeviceError, Result};

/// Puts the edits together: once what a kind needs, then each device, counted from 0.
pub(crate) fn grant(
    inventory: &Inventory,
    nvidia: &Nvidia,
    requests: &[DeviceRequest],
    assigned: Vec<Assigned>,
    shares: &[Option<Share>],
    env: &[String],
) -> Result<Grant> {
    let mut edits = Edits::default();
    let mut library_dir = None;
    for kind in &inventory.kinds {
        let given: Vec<(&Device, &Assigned, &Option<Share>)> = assigned
            .iter()
            .zip(shares)
            .filter(|(one, _)| one.kind == kind.name)
            .filter_map(|(one, share)| Some((kind.devices.iter().find(|device| device.name == one.name)?, one, share)))
            .collect();
        if given.is_empty() {
            continue;
        }
        if kind.is_nvidia() && kind.groups.is_empty() && kind.common != Edits::default() {
            edits.extend(nvidia.common(&capabilities(requests, env)?));
            library_dir = nvidia.library_dir().map(str::to_owned);
        } else {
            edits.extend(kind.common.clone());
        }
        let mut groups: Vec<&str> = Vec::new();
        for (index, (device, one, share)) in given.iter().enumerate() {
            match one.group.as_deref().and_then(|name| Some((name, kind.groups.get(name)?))) {
                Some((name, _)) if groups.contains(&name) => {}
                Some((name, group)) => {
                    groups.push(name);
                    edits.extend(group.edits.clone());
                }
                None => edits.extend(numbered(device, index)),
            }
            if let Some(share) = share.as_ref().filter(|share| share.mps) {
                edits.extend(mps(kind, share)?);
            }
        }
        let names: Vec<&str> = given.iter().map(|(device, ..)| device.name.as_str()).collect();
        match kind.source {
            Source::Nvidia => edits.env.push(format!("NVIDIA_VISIBLE_DEVICES={}", names.join(","))),
            // As dockerd tells tasks of their generic resources.
            Source::Declared => edits.env.push(format!("DOCKER_RESOURCE_{}={}", variable(&kind.name), names.join(","))),
            Source::Sysfs | Source::Cdi => {}
        }
    }
    edits.device_nodes = once(edits.device_nodes, |node| node.path.clone());
    edits.mounts = once(edits.mounts, |mount| mount.container_path.clone());
    Ok(Grant { assigned, edits, library_dir })
}

/// The first of each.
fn once<T>(list: Vec<T>, key: impl Fn(&T) -> String) -> Vec<T> {
    let mut seen = std::collections::HashSet::new();
    list.into_iter().filter(|one| seen.insert(key(one))).collect()
}

fn numbered(device: &Device, index: usize) -> Edits {
    let mut edits = device.edits.clone();
    if device.renumbered {
        for node in &mut edits.device_nodes {
            node.path = node.path.replace("{index}", &index.to_string());
        }
    }
    edits
}

/// `lab.example/gpu` is `LAB_EXAMPLE_GPU`.
fn variable(kind: &str) -> String {
    kind.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

/// What of the driver is wanted: what the request names, and what the image's variable does.
fn capabilities(requests: &[DeviceRequest], env: &[String]) -> Result<Vec<String>> {
    const VARIABLE: &str = "NVIDIA_DRIVER_CAPABILITIES";
    let said = env.iter().rev().find_map(|variable| variable.strip_prefix(VARIABLE)?.strip_prefix('='));
    let said = said.filter(|text| !text.trim().is_empty()).unwrap_or("utility,compute");
    let words = || said.split(',').map(str::trim).filter(|word| !word.is_empty());
    if let Some(unknown) = words().find(|word| *word != "all" && !CAPABILITIES.contains(word)) {
        return Err(DeviceError::Request(format!(
            "{VARIABLE}={said}: {unknown:?} is none of all, {}",
            CAPABILITIES.join(", ")
        )));
    }
    let mut wanted: Vec<String> = if words().any(|word| word == "all") {
        CAPABILITIES.map(str::to_owned).to_vec()
    } else {
        words().map(str::to_owned).collect()
    };
    wanted.extend(requests.iter().flat_map(|request| request.capabilities.iter().flatten().cloned()));
    Ok(wanted)
}

/// The host's server for processes that use a GPU at the same time, and the limits that it keeps.
fn mps(kind: &Kind, share: &Share) -> Result<Edits> {
    const PIPES: &str = "/tmp/nvidia-mps";
    if !kind.is_nvidia() {
        return Err(DeviceError::Impossible(format!("mps is NVIDIA's, and {} is not", kind.name)));
    }
    if !Path::new(PIPES).join("control").exists() {
        return Err(DeviceError::Missing(format!(
            "mps: no server listens in {PIPES}: start it on this machine with nvidia-cuda-mps-control -d"
        )));
    }
    let mut edits = Edits {
        env: vec![
            format!("CUDA_MPS_PIPE_DIRECTORY={PIPES}"),
            format!("CUDA_MPS_ACTIVE_THREAD_PERCENTAGE={}", (share.fraction * 100.0).round()),
        ],
        ..Edits::default()
    };
    if let Some(bytes) = share.memory {
        edits.env.push(format!("CUDA_MPS_PINNED_DEVICE_MEM_LIMIT=0={}M", bytes >> 20));
    }
    edits.mounts.push(Mount {
        host_path: PIPES.into(),
        container_path: PIPES.into(),
        kind: None,
        options: ["rbind", "rw", "nosuid", "nodev"].map(str::to_owned).to_vec(),
    });
    Ok(edits)
}

impl Grant {
    /// Moves the driver's libraries to where the image has its own, so that its loader finds them without a cache.
    /// `is_dir` says whether the image has a directory.
    pub fn place_libraries(&mut self, is_dir: impl Fn(&str) -> bool) {
        let Some(host) = self.library_dir.clone() else { return };
        let multiarch = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
        // Debian's first: it has the other two as well, but its loader does not look there.
        let Some(place) = [multiarch.as_str(), "/usr/lib64", "/usr/lib"].into_iter().find(|dir| is_dir(dir)) else {
            return;
        };
        for mount in &mut self.edits.mounts {
            if let Some(name) = mount.container_path.strip_prefix(&host).and_then(|rest| rest.strip_prefix('/')) {
                mount.container_path = format!("{place}/{name}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_say_what_of_the_driver_they_need() {
        let of = |env: &[&str]| capabilities(&[], &env.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&[]).unwrap(), ["utility", "compute"]);
        assert_eq!(of(&["NVIDIA_DRIVER_CAPABILITIES="]).unwrap(), ["utility", "compute"]);
        assert_eq!(of(&["NVIDIA_DRIVER_CAPABILITIES=all"]).unwrap(), CAPABILITIES);
        // The last one counts, as in a process's environment.
        let twice = ["NVIDIA_DRIVER_CAPABILITIES=all", "NVIDIA_DRIVER_CAPABILITIES=video, compute,"];
        assert_eq!(of(&twice).unwrap(), ["video", "compute"]);
        let told = of(&["NVIDIA_DRIVER_CAPABILITIES=compute,fast"]).unwrap_err().to_string();
        assert!(told.contains("\"fast\" is none of all, compute"), "{told}");
    }
}
