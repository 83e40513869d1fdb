//! What a build's command has mounted.
//!
//! Places for mounts that the layers lack are made in a layer of their own below the command's, so that they never
//! become part of the image.

use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use hoist_build::MountSource;
use hoist_device::cdi::Edits;
use hoist_image::BuildLayer;
use hoist_image::unpack::SafeRoot;
use rustix::fs::{Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, move_mount,
};

use super::run::{Place, inside};
use super::ssh::{Forward, forward};
use crate::spec::{BindOptions, ReadyMount};
use crate::{EngineError, Result};

/// The mounts, and what must stay while the command runs.
pub(super) struct Mounts {
    pub list: Vec<ReadyMount>,
    /// Whether the target is a directory, for each of the list.
    directories: Vec<bool>,
    _layers: Vec<BuildLayer>,
    _agents: Vec<Forward>,
}

impl Mounts {
    pub(super) async fn ready(place: &Place<'_>) -> Result<Self> {
        let mut mounts = Self { list: Vec::new(), directories: Vec::new(), _layers: Vec::new(), _agents: Vec::new() };
        let dir = place.run_dir.join("mounts");
        fs_err::create_dir_all(&dir)?;
        for (number, mount) in place.request.mounts.iter().enumerate() {
            let target = mount.target.clone();
            let bind = |source: PathBuf, read_only: bool| ReadyMount::Bind {
                source,
                target: target.clone(),
                options: BindOptions { read_only, ..BindOptions::default() },
            };
            let (ready, directory) = match &mount.source {
                MountSource::Path(source) => (bind(source.clone(), mount.read_only), source.is_dir()),
                MountSource::Tmpfs { size } => {
                    let mut options: Vec<String> = ["nosuid", "nodev"].map(str::to_owned).into();
                    options.extend(size.map(|size| format!("size={size}")));
                    (ReadyMount::Tmpfs { target: target.clone(), options }, true)
                }
                MountSource::Tree { lower, subpath } => {
                    let own = dir.join(number.to_string());
                    let tree = mounts.tree(place, lower, &own, mount.read_only).await?;
                    let source = below(&tree, subpath)?;
                    let directory = source.is_dir();
                    (bind(source, mount.read_only), directory)
                }
                MountSource::Secret { bytes, uid, gid, mode } => {
                    let path = place.engine.secrets.make(&place.id)?.join(number.to_string());
                    fs_err::write(&path, &bytes.0)?;
                    std::os::unix::fs::chown(&path, Some(*uid), Some(*gid))?;
                    fs_err::set_permissions(&path, std::fs::Permissions::from_mode(*mode))?;
                    (bind(path, true), false)
                }
                MountSource::Ssh { agent, uid, gid, mode } => {
                    let socket = place.run_dir.join(format!("ssh{number}"));
                    mounts._agents.push(forward(&socket, agent.clone(), *uid, *gid, *mode)?);
                    (bind(socket, false), false)
                }
            };
            mounts.list.push(ready);
            mounts.directories.push(directory);
        }
        Ok(mounts)
    }

    /// A directory that shows a tree of layers; what is written to it is lost.
    async fn tree(&mut self, place: &Place<'_>, lower: &[PathBuf], own: &Path, read_only: bool) -> Result<PathBuf> {
        fs_err::create_dir(own)?;
        match lower {
            [] => return Ok(own.to_owned()),
            // One layer needs no overlay.
            [only] if read_only => return Ok(only.clone()),
            _ => {}
        }
        let mut upper = None;
        if !read_only {
            let layer = place.engine.options.images.new_build_layer(lower.first().cloned()).await?;
            upper = Some((layer.path(), layer.work().to_owned()));
            self._layers.push(layer);
        }
        let upper = upper.as_ref().map(|(upper, work)| (upper.as_path(), work.as_path()));
        overlay(lower, upper, own).map_err(|error| {
            EngineError::Internal(format!("cannot mount the layers of a build at {}: {error}", own.display()))
        })?;
        Ok(own.to_owned())
    }

    /// A layer with the places that the layers below lack; `None` when they lack none.
    pub(super) async fn points(&self, place: &Place<'_>, edits: &Edits) -> Result<Option<BuildLayer>> {
        let lower = &place.request.lower;
        if lower.is_empty() {
            return Ok(None);
        }
        let images = &place.engine.options.images;
        let layer = images.new_build_layer(lower.first().cloned()).await?;
        let upper = (layer.path(), layer.work().to_owned());
        let tree = images.mount_layers(lower.clone(), Some(upper)).await?;
        let standard = [
            ("/proc", true),
            ("/dev", true),
            ("/sys", true),
            ("/etc/resolv.conf", false),
            ("/etc/hosts", false),
            ("/etc/hostname", false),
        ];
        let mut wanted: Vec<(String, bool)> =
            standard.iter().map(|(path, directory)| ((*path).to_owned(), *directory)).collect();
        let own = place.request.mounts.iter().map(|mount| &mount.target).zip(self.directories.iter().copied());
        let of_devices = edits.mounts.iter().map(|mount| (&mount.container_path, Path::new(&mount.host_path).is_dir()));
        for (target, directory) in own.chain(of_devices) {
            // These are file systems of their own.
            let elsewhere = ["/proc", "/dev", "/sys"].iter().any(|own| Path::new(target).starts_with(own));
            if !elsewhere {
                wanted.push((target.clone(), directory));
            }
        }
        wanted.push((place.request.cwd.clone(), true));
        let work = move || -> std::io::Result<()> {
            let mut root = SafeRoot::new(tree.as_fd());
            for (path, directory) in wanted {
                point(&mut root, inside(&path), directory)?;
            }
            Ok(())
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| EngineError::Internal(error.to_string()))??;
        let empty = fs_err::read_dir(layer.path())?.next().is_none();
        Ok(if empty { None } else { Some(layer) })
    }
}

/// Mounts layers, top first. With `upper` (and overlayfs' work directory for it) they can be written.
fn overlay(lower: &[PathBuf], upper: Option<(&Path, &Path)>, own: &Path) -> rustix::io::Result<()> {
    match overlay_by_layer(lower, upper, own) {
        // Kernels before 6.8 take layers in one line only.
        Err(Errno::INVAL) => overlay_by_line(lower, upper, own),
        other => other,
    }
}

fn overlay_by_layer(lower: &[PathBuf], upper: Option<(&Path, &Path)>, own: &Path) -> rustix::io::Result<()> {
    let fs = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for layer in lower {
        fsconfig_set_string(fs.as_fd(), "lowerdir+", layer)?;
    }
    if let Some((upper, work)) = upper {
        fsconfig_set_string(fs.as_fd(), "upperdir", upper)?;
        fsconfig_set_string(fs.as_fd(), "workdir", work)?;
        // What is written is lost anyway.
        fsconfig_set_flag(fs.as_fd(), "volatile")?;
    }
    fsconfig_create(fs.as_fd())?;
    let mount = fsmount(fs.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    move_mount(mount.as_fd(), "", rustix::fs::CWD, own, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

fn overlay_by_line(lower: &[PathBuf], upper: Option<(&Path, &Path)>, own: &Path) -> rustix::io::Result<()> {
    let escaped = |path: &Path, more: &str| {
        let text = path.to_string_lossy();
        text.chars().fold(String::new(), |all, c| {
            if more.contains(c) { all + "\\" + &c.to_string() } else { all + &c.to_string() }
        })
    };
    let layers: Vec<String> = lower.iter().map(|layer| escaped(layer, "\\,:")).collect();
    let mut line = format!("lowerdir={}", layers.join(":"));
    if let Some((upper, work)) = upper {
        line.push_str(&format!(",upperdir={},workdir={}", escaped(upper, "\\,"), escaped(work, "\\,")));
    }
    let line = std::ffi::CString::new(line).map_err(|_| Errno::INVAL)?;
    rustix::mount::mount("overlay", own, "overlay", MountFlags::empty(), line.as_c_str())
}

/// Makes a place for a mount, unless there is something; the directory that it is made in keeps its times.
fn point(root: &mut SafeRoot<'_>, path: &Path, directory: bool) -> std::io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    if path.as_os_str().is_empty() || root.open(path.as_os_str().as_bytes(), OFlags::PATH).is_ok() {
        return Ok(());
    }
    let existing = path
        .ancestors()
        .skip(1)
        .find_map(|above| root.open(above.as_os_str().as_bytes(), OFlags::RDONLY | OFlags::DIRECTORY).ok());
    let before = existing.as_ref().map(rustix::fs::fstat).transpose()?;
    if directory {
        root.ensure_dir(path.as_os_str().as_bytes(), &mut |_| ())?;
    } else {
        let parent = path.parent().unwrap_or(Path::new(""));
        let parent = root.ensure_dir(parent.as_os_str().as_bytes(), &mut |_| ())?;
        let name = path.file_name().unwrap_or_default();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(parent.as_fd(), name, flags, Mode::from_raw_mode(0o644)) {
            Ok(_) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    root.forget();
    if let (Some(fd), Some(stat)) = (existing, before) {
        let times = Timestamps {
            last_access: Timespec { tv_sec: stat.st_atime as _, tv_nsec: stat.st_atime_nsec as _ },
            last_modification: Timespec { tv_sec: stat.st_mtime as _, tv_nsec: stat.st_mtime_nsec as _ },
        };
        rustix::fs::futimens(&fd, &times)?;
    }
    Ok(())
}

/// The real path of something below a directory, no link of which leads out.
fn below(dir: &Path, subpath: &str) -> Result<PathBuf> {
    use std::os::fd::AsRawFd;
    use std::os::unix::ffi::OsStrExt;
    let root = rustix::fs::open(dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(std::io::Error::from)?;
    let found = SafeRoot::new(root.as_fd())
        .open(inside(subpath).as_os_str().as_bytes(), OFlags::PATH)
        .map_err(|error| EngineError::InvalidParameter(format!("cannot mount {subpath:?}: {error}")))?;
    Ok(std::fs::read_link(format!("/proc/self/fd/{}", found.as_raw_fd()))?)
}
