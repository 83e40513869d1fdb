//! Links in `/dev/char` for device nodes that their driver makes by itself.
//!
//! systemd writes the device rules of its units anew at every `daemon-reload`, and finds a device by the link that has its
//! numbers. udev makes these for all devices that it knows of; NVIDIA's nodes are made without it, so that a container
//! below a unit would lose its GPU.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::Path;

/// Makes the links that are missing for nodes below `dev` (usually `/dev`). One that cannot be made is warned of: the
/// container runs without it.
pub(crate) fn ensure<'a>(dev: &Path, nodes: impl Iterator<Item = &'a str>) {
    for node in nodes {
        if let Err(error) = link(dev, Path::new(node)) {
            tracing::warn!(node, %error, "a reload of systemd's units may take the device from its container");
        }
    }
}

fn link(dev: &Path, node: &Path) -> io::Result<()> {
    let Ok(below) = node.strip_prefix(dev) else { return Ok(()) };
    let Ok(metadata) = std::fs::metadata(node) else { return Ok(()) };
    if !metadata.file_type().is_char_device() {
        return Ok(());
    }
    let (major, minor) = numbers(metadata.rdev());
    let links = dev.join("char");
    std::fs::create_dir_all(&links)?;
    match symlink(Path::new("..").join(below), links.join(format!("{major}:{minor}"))) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Major and minor number, as the C library packs them.
fn numbers(packed: u64) -> (u64, u64) {
    let major = ((packed >> 8) & 0xfff) | ((packed >> 32) & !0xfff);
    let minor = (packed & 0xff) | ((packed >> 12) & 0xffff_ff00);
    (major, minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_linked_by_their_numbers() {
        assert_eq!(numbers(0x0c83), (12, 0x83));
        let dir = tempfile::tempdir().unwrap();
        let node = dir.path().join("caps/cap1");
        std::fs::create_dir_all(node.parent().unwrap()).unwrap();
        let made = std::process::Command::new("mknod").arg(&node).args(["c", "510", "70000"]).status().unwrap();
        if !made.success() {
            // Only root makes device nodes.
            return;
        }
        let plain = dir.path().join("file");
        std::fs::write(&plain, "").unwrap();
        for _ in 0..2 {
            ensure(dir.path(), [node.to_str().unwrap(), plain.to_str().unwrap(), "/none"].into_iter());
        }
        let link = dir.path().join("char/510:70000");
        assert_eq!(std::fs::read_link(&link).unwrap(), Path::new("../caps/cap1"));
        assert!(std::fs::metadata(link).unwrap().file_type().is_char_device());
        assert_eq!(std::fs::read_dir(dir.path().join("char")).unwrap().count(), 1);
    }
}
