//! New file systems, as mounts that are attached nowhere yet.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

use super::plan::MountPlan;
use crate::launch::step::{ResultExt, StepError};
use crate::sys;

/// The longest value of one option that the kernel takes through `fsconfig`.
const LONGEST_VALUE: usize = 255;

/// Makes the file system of a mount that is no bind. `label` is the SELinux context, if there is one.
pub(crate) fn create(mount: &MountPlan, label: Option<&str>) -> Result<OwnedFd, StepError> {
    let what = || format!("mount {} ({}) on {}", mount.source.display(), mount.kind, mount.target.display());
    let fs = rustix::mount::fsopen(&mount.kind, FsOpenFlags::FSOPEN_CLOEXEC).step_with(what)?;
    let result = configure(fs.as_fd(), mount, label).and_then(|()| {
        rustix::mount::fsconfig_create(&fs)?;
        let attrs =
            MountAttrFlags::from_bits_retain((mount.options.attr.set | mount.options.recursive_attr.set) as u32);
        Ok(rustix::mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attrs)?)
    });
    result.map_err(|error| explain(fs.as_fd(), what(), &error))
}

/// The error together with what the kernel has to say about it.
fn explain(fs: BorrowedFd<'_>, what: String, error: &io::Error) -> StepError {
    let mut text = [0; 1024];
    let mut said = Vec::new();
    while let Ok(length @ 1..) = rustix::io::read(fs, &mut text) {
        // Lines begin with the kind of message: `e ` for an error.
        if let Some(line) = text[..length].strip_prefix(b"e ") {
            said.push(String::from_utf8_lossy(line).trim().to_owned());
        }
    }
    if said.is_empty() {
        StepError::new(what, error)
    } else {
        StepError::new(format!("{what}: {}", said.join(", ")), error)
    }
}

fn configure(fs: BorrowedFd<'_>, mount: &MountPlan, label: Option<&str>) -> io::Result<()> {
    if !mount.source.as_os_str().is_empty() {
        rustix::mount::fsconfig_set_string(fs, "source", &mount.source)?;
    }
    if let Some(label) = label
        && takes_label(&mount.kind)
    {
        rustix::mount::fsconfig_set_string(fs, "context", label)?;
    }
    for word in &mount.options.superblock {
        rustix::mount::fsconfig_set_flag(fs, *word)?;
    }
    for (key, value) in &mount.options.data {
        match value {
            Some(layers) if mount.kind == "overlay" && key == "lowerdir" => {
                set_layers(fs, &split_layers(layers))?;
            }
            Some(value) => rustix::mount::fsconfig_set_string(fs, key.as_str(), value.as_str())?,
            None => rustix::mount::fsconfig_set_flag(fs, key.as_str())?,
        }
    }
    Ok(())
}

/// The file systems whose files have no labels of their own, or take one for all.
fn takes_label(kind: &str) -> bool {
    !matches!(kind, "proc" | "sysfs" | "cgroup" | "cgroup2" | "mqueue")
}

/// `a:b\:c` as two paths.
fn split_layers(text: &str) -> Vec<PathBuf> {
    let (mut layers, mut layer, mut escaped) = (Vec::new(), String::new(), false);
    for character in text.chars() {
        match character {
            _ if escaped => {
                layer.push(character);
                escaped = false;
            }
            '\\' => escaped = true,
            ':' => layers.push(PathBuf::from(std::mem::take(&mut layer))),
            other => layer.push(other),
        }
    }
    layers.push(layer.into());
    layers
}

/// The first kernel whose overlayfs takes layers one by one. Older ones take any name of an option, and refuse it only
/// when all are given, so asking does not tell.
const LAYER_BY_LAYER: (u32, u32) = (6, 8);

/// The first kernel whose overlayfs can leave the disk alone.
pub(crate) const VOLATILE: (u32, u32) = (5, 10);

/// Gives an overlay its layers, the topmost first.
fn set_layers(fs: BorrowedFd<'_>, lower: &[PathBuf]) -> io::Result<()> {
    if sys::kernel_version() >= LAYER_BY_LAYER {
        for layer in lower {
            rustix::mount::fsconfig_set_string(fs, "lowerdir+", layer)?;
        }
        return Ok(());
    }
    let all = joined_layers(lower);
    if all.len() > LONGEST_VALUE {
        return Err(io::Error::from_raw_os_error(libc::E2BIG));
    }
    Ok(rustix::mount::fsconfig_set_string(fs, "lowerdir", all)?)
}

/// Layers in the form of the `lowerdir` option.
pub(crate) fn joined_layers(lower: &[PathBuf]) -> String {
    let escaped = lower.iter().map(|layer| layer.to_string_lossy().replace('\\', "\\\\").replace(':', "\\:"));
    escaped.collect::<Vec<_>>().join(":")
}

/// An overlay, attached nowhere; one that can be written has a directory for that, one for scratch, and may be volatile.
/// `Ok(None)` if this kernel takes so many layers only through `mount(2)`.
pub(crate) fn overlay(lower: &[PathBuf], upper: Option<(&Path, &Path, bool)>) -> Result<Option<OwnedFd>, StepError> {
    let what = || match upper {
        Some((upper, ..)) => format!("mount the overlay with upper directory {}", upper.display()),
        None => format!("mount the overlay of {} layers", lower.len()),
    };
    let fs = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).step_with(what)?;
    let mut too_long = false;
    let result = (|| -> io::Result<OwnedFd> {
        rustix::mount::fsconfig_set_string(&fs, "source", "overlay")?;
        set_layers(fs.as_fd(), lower).inspect_err(|error| too_long = error.raw_os_error() == Some(libc::E2BIG))?;
        if let Some((upper, work, volatile)) = upper {
            too_long |= upper.as_os_str().len().max(work.as_os_str().len()) > LONGEST_VALUE;
            rustix::mount::fsconfig_set_string(&fs, "upperdir", upper)?;
            rustix::mount::fsconfig_set_string(&fs, "workdir", work)?;
            // With an index the upper directory could not be used again after a crash of the machine.
            rustix::mount::fsconfig_set_string(&fs, "index", "off")?;
            if volatile {
                rustix::mount::fsconfig_set_flag(&fs, "volatile")?;
            }
        }
        rustix::mount::fsconfig_create(&fs)?;
        Ok(rustix::mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?)
    })();
    match result {
        Ok(mount) => Ok(Some(mount)),
        Err(_) if too_long => Ok(None),
        Err(error) => Err(explain(fs.as_fd(), what(), &error)),
    }
}

/// A tmpfs, attached nowhere.
pub(crate) fn tmpfs(options: &[(&str, &str)], attrs: MountAttrFlags) -> io::Result<OwnedFd> {
    let fs = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_set_string(&fs, "source", "tmpfs")?;
    for (key, value) in options {
        rustix::mount::fsconfig_set_string(&fs, *key, *value)?;
    }
    rustix::mount::fsconfig_create(&fs)?;
    Ok(rustix::mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attrs)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_escaped_and_split_alike() {
        let layers = vec![PathBuf::from("/a"), PathBuf::from("/b:c\\d")];
        assert_eq!(split_layers(&joined_layers(&layers)), layers);
    }
}
