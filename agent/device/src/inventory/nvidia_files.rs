//! What NVIDIA's driver has on the disk: libraries, programs, nodes.
//!
//! A library is mounted under its own name and under every name by which links lead to it, so that no link has to be
//! made in the container and no program has to be run there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::cdi::{DeviceNode, Edits, Mount};

/// Where distributions have shared libraries.
const LIBRARY_DIRS: [&str; 7] = [
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/lib/x86_64-linux-gnu/nvidia/current",
    "/usr/lib/wsl/lib",
    "/usr/local/nvidia/lib64",
];
const PROGRAM_DIRS: [&str; 4] = ["/usr/bin", "/usr/local/bin", "/usr/local/nvidia/bin", "/opt/bin"];

/// `(capability, what the names of its libraries begin with)`
const LIBRARIES: [(&str, &[&str]); 5] = [
    ("utility", &["libnvidia-ml", "libnvidia-cfg", "libnvidia-nscq"]),
    (
        "compute",
        &[
            "libcuda",
            "libcudadebugger",
            "libnvidia-opencl",
            "libnvidia-gpucomp",
            "libnvidia-ptxjitcompiler",
            "libnvidia-nvvm",
            "libnvidia-allocator",
            "libnvidia-pkcs11",
            "libnvidia-pkcs11-openssl3",
        ],
    ),
    ("video", &["libvdpau_nvidia", "libnvidia-encode", "libnvidia-opticalflow", "libnvcuvid"]),
    (
        "graphics",
        &[
            "libnvidia-eglcore",
            "libnvidia-glcore",
            "libnvidia-tls",
            "libnvidia-glsi",
            "libnvidia-fbc",
            "libnvidia-rtcore",
            "libnvidia-glvkspirv",
            "libGLX_nvidia",
            "libEGL_nvidia",
            "libGLESv2_nvidia",
            "libGLESv1_CM_nvidia",
        ],
    ),
    ("ngx", &["libnvidia-ngx"]),
];
const PROGRAMS: [(&str, &[&str]); 2] = [
    ("utility", &["nvidia-smi", "nvidia-debugdump", "nvidia-persistenced"]),
    ("compute", &["nvidia-cuda-mps-control", "nvidia-cuda-mps-server"]),
];

/// The driver's files by capability.
pub(super) struct Files {
    pub library_dir: String,
    by_capability: BTreeMap<&'static str, Vec<Mount>>,
    /// For every container.
    always: Vec<Mount>,
}

impl Files {
    /// Those of the running driver, and of no other version that may lie about.
    pub(super) fn find(version: &str) -> Self {
        let dirs: Vec<PathBuf> = LIBRARY_DIRS.iter().map(PathBuf::from).collect();
        let programs: Vec<PathBuf> = PROGRAM_DIRS.iter().map(PathBuf::from).collect();
        Self::find_in(version, &dirs, &programs)
    }

    fn find_in(version: &str, dirs: &[PathBuf], programs: &[PathBuf]) -> Self {
        let has_cuda = |dir: &&PathBuf| {
            dir.join(format!("libcuda.so.{version}")).exists()
                || dir.join(format!("libnvidia-ml.so.{version}")).exists()
        };
        let dir = dirs.iter().find(has_cuda).cloned().unwrap_or_default();
        let mut by_capability: BTreeMap<&'static str, Vec<Mount>> = BTreeMap::new();
        for (capability, names) in LIBRARIES {
            let mounts = by_capability.entry(capability).or_default();
            for (file, places) in libraries(&dir, version, names) {
                mounts.extend(places.iter().map(|place| bind(&file, place)));
            }
        }
        for (capability, names) in PROGRAMS {
            let found = names.iter().filter_map(|name| {
                let path = programs.iter().map(|dir| dir.join(name)).find(|path| path.is_file())?;
                Some(bind(&path, &PathBuf::from("/usr/bin").join(name)))
            });
            by_capability.entry(capability).or_default().extend(found);
        }
        let firmware = PathBuf::from("/lib/firmware/nvidia").join(version);
        let sockets = ["/run/nvidia-persistenced/socket", "/run/nvidia-fabricmanager/socket"].map(PathBuf::from);
        let always = sockets
            .into_iter()
            .chain(std::fs::read_dir(firmware).into_iter().flatten().flatten().map(|entry| entry.path()))
            .filter(|path| path.exists())
            .map(|path| bind(&path, &path))
            .collect();
        Self { library_dir: dir.to_string_lossy().into_owned(), by_capability, always }
    }

    /// The mounts for some capabilities; without any: for all.
    pub(super) fn edits(&self, capabilities: &[String]) -> Edits {
        let wanted = |name: &str| {
            // What draws on a display and what draws at all are one set of libraries.
            let same = |asked: &String| asked == name || (asked == "display" && name == "graphics");
            capabilities.is_empty() || capabilities.iter().any(same)
        };
        let mut mounts = self.always.clone();
        mounts.extend(self.by_capability.iter().filter(|(name, _)| wanted(name)).flat_map(|(_, list)| list.clone()));
        Edits { mounts, ..Edits::default() }
    }
}

/// Libraries of one version, each with all its places: its own and those of links to it.
fn libraries(dir: &Path, version: &str, names: &[&str]) -> BTreeMap<PathBuf, BTreeSet<PathBuf>> {
    let mut found: BTreeMap<PathBuf, BTreeSet<PathBuf>> = BTreeMap::new();
    if dir.as_os_str().is_empty() {
        return found;
    }
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some((stem, _)) = name.split_once(".so") else { continue };
        if !names.contains(&stem) {
            continue;
        }
        let Ok(file) = std::fs::canonicalize(entry.path()) else { continue };
        let own = file.file_name().is_some_and(|file| file.to_string_lossy().ends_with(&format!(".so.{version}")));
        if own {
            let places = found.entry(file.clone()).or_default();
            places.insert(entry.path());
            if let Some(own) = file.file_name() {
                places.insert(dir.join(own));
            }
        }
    }
    found
}

fn bind(file: &Path, place: &Path) -> Mount {
    Mount {
        host_path: file.to_string_lossy().into_owned(),
        container_path: place.to_string_lossy().into_owned(),
        kind: None,
        options: ["ro", "nosuid", "nodev", "rbind", "rprivate"].map(str::to_owned).to_vec(),
    }
}

/// Nodes that belong to no one GPU.
pub(super) fn shared_nodes(display: bool) -> Vec<DeviceNode> {
    let mut paths = vec!["/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools"];
    if display {
        paths.push("/dev/nvidia-modeset");
    }
    paths.into_iter().filter(|path| Path::new(path).exists()).map(DeviceNode::at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_of_the_running_driver_are_mounted_under_all_their_names() {
        let dir = tempfile::tempdir().unwrap();
        let (lib, bin) = (dir.path().join("lib"), dir.path().join("bin"));
        std::fs::create_dir_all(&lib).unwrap();
        std::fs::create_dir_all(&bin).unwrap();
        for name in [
            "libcuda.so.550.54",
            "libcuda.so.535.1",
            "libnvidia-ml.so.550.54",
            "libcudart.so.12",
            "libGLX_nvidia.so.550.54",
        ] {
            std::fs::write(lib.join(name), name).unwrap();
        }
        std::os::unix::fs::symlink("libcuda.so.550.54", lib.join("libcuda.so.1")).unwrap();
        std::os::unix::fs::symlink("libcuda.so.1", lib.join("libcuda.so")).unwrap();
        std::fs::write(bin.join("nvidia-smi"), "").unwrap();
        let files = Files::find_in("550.54", std::slice::from_ref(&lib), &[bin]);
        let names = |capabilities: &[&str]| -> Vec<String> {
            let asked: Vec<String> = capabilities.iter().map(|name| (*name).to_owned()).collect();
            let mounts = files.edits(&asked).mounts;
            let mut names: Vec<String> = mounts
                .iter()
                .filter(|mount| mount.host_path.starts_with(&*dir.path().to_string_lossy()))
                .map(|mount| mount.container_path.rsplit('/').next().unwrap().to_owned())
                .collect();
            names.sort();
            names
        };
        assert_eq!(names(&["compute"]), ["libcuda.so", "libcuda.so.1", "libcuda.so.550.54"]);
        assert_eq!(names(&["utility"]), ["libnvidia-ml.so.550.54", "nvidia-smi"]);
        assert_eq!(names(&["display"]), ["libGLX_nvidia.so.550.54"]);
        assert_eq!(names(&[]).len(), 6);
        assert!(
            Files::find_in("1.2", &[lib], &[])
                .edits(&[])
                .mounts
                .iter()
                .all(|mount| !mount.host_path.starts_with("/tmp"))
        );
    }
}
