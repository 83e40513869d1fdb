//! The door to volumes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hoist_proto::clock::{Clock, SystemClock};
use hoist_proto::id::ContainerId;
use hoist_proto::spec::VolumeSpec;
use rustix::fs::{Mode, OFlags, ResolveFlags};

use crate::model::{PruneOptions, PruneReport, Record, Volume};
use crate::{Error, local};

const RECORD: &str = "volume.json";
const DATA: &str = "_data";
/// Docker's, so that its tools know an anonymous volume.
const ANONYMOUS_LABEL: &str = "com.docker.volume.anonymous";

/// The volumes of one data root. A clone is the same volumes. Calls block on the file system only.
#[derive(Clone)]
pub struct Volumes {
    inner: Arc<Inner>,
}

struct Inner {
    root: PathBuf,
    entries: Mutex<BTreeMap<String, Entry>>,
}

struct Entry {
    volume: Volume,
    /// Containers that have it, running or not.
    users: BTreeSet<String>,
    /// Those of them that run.
    running: BTreeSet<String>,
}

impl Volumes {
    /// Finds all volumes below `data_root`. One whose record is not whole, as after a power cut while it was made, is
    /// taken for an anonymous one of no options: its files are never thrown away.
    ///
    /// # Errors
    /// When the directory cannot be used.
    pub fn open(data_root: &Path) -> Result<Self, Error> {
        let root = data_root.join("volumes");
        fs_err::create_dir_all(&root)?;
        let mut entries = BTreeMap::new();
        for dir in fs_err::read_dir(&root)? {
            let dir = dir?;
            let (Ok(name), true) = (dir.file_name().into_string(), dir.file_type()?.is_dir()) else { continue };
            if name.starts_with('.') {
                // Its removal was interrupted.
                fs_err::remove_dir_all(dir.path())?;
                continue;
            }
            let data = dir.path().join(DATA);
            if !data.is_dir() {
                // Made halfway, or removed halfway: nothing is in it.
                let _ = std::fs::remove_file(dir.path().join(RECORD));
                let _ = std::fs::remove_dir(dir.path());
                continue;
            }
            let record = std::fs::read(dir.path().join(RECORD)).ok();
            let record = record.and_then(|json| serde_json::from_slice::<Record>(&json).ok());
            let mut volume = record.map_or_else(|| new_volume(name.clone(), VolumeSpec::default()), |r| r.volume);
            volume.name.clone_from(&name);
            volume.mountpoint = data;
            entries.insert(name, Entry { volume, users: BTreeSet::new(), running: BTreeSet::new() });
        }
        Ok(Self { inner: Arc::new(Inner { root, entries: Mutex::new(entries) }) })
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.inner.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a volume, or finds it if one of the same settings exists. An empty name makes an anonymous one.
    ///
    /// # Errors
    /// Names what of the spec cannot be; [`Error::Exists`] for one with other options.
    pub fn create(&self, spec: VolumeSpec) -> Result<Volume, Error> {
        if !matches!(spec.driver.as_str(), "" | "local") {
            return Err(Error::Invalid(format!("volume driver {:?} is not supported: use local", spec.driver)));
        }
        local::validate(&spec.driver_options)?;
        let anonymous = spec.name.is_empty();
        let name = if anonymous { ContainerId::random().to_string() } else { valid_name(&spec.name)?.to_owned() };
        let mut entries = self.entries();
        if let Some(entry) = entries.get(&name) {
            if !spec.driver_options.is_empty() && spec.driver_options != entry.volume.options {
                return Err(Error::Exists(name));
            }
            return Ok(entry.seen());
        }
        let mut volume = new_volume(name.clone(), spec);
        volume.anonymous = anonymous;
        if anonymous {
            volume.labels.insert(ANONYMOUS_LABEL.into(), String::new());
        }
        let dir = self.inner.root.join(&name);
        volume.mountpoint = dir.join(DATA);
        if let Err(error) = write(&dir, &volume) {
            let _ = std::fs::remove_dir_all(&dir);
            return Err(error.into());
        }
        let entry = Entry { volume, users: BTreeSet::new(), running: BTreeSet::new() };
        let seen = entry.seen();
        entries.insert(name, entry);
        Ok(seen)
    }

    /// One volume.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn inspect(&self, name: &str) -> Result<Volume, Error> {
        self.entries().get(name).map(Entry::seen).ok_or_else(|| Error::NotFound(name.into()))
    }

    /// All, by name.
    pub fn list(&self) -> Vec<Volume> {
        self.entries().values().map(Entry::seen).collect()
    }

    /// Removes a volume and its files.
    ///
    /// # Errors
    /// [`Error::InUse`] names the containers.
    pub fn remove(&self, name: &str) -> Result<(), Error> {
        let mut entries = self.entries();
        let entry = entries.get(name).ok_or_else(|| Error::NotFound(name.into()))?;
        if !entry.users.is_empty() {
            let users = entry.users.iter().map(|id| id.get(..12).unwrap_or(id).to_owned()).collect();
            return Err(Error::InUse { name: name.into(), users });
        }
        local::unmount(&entry.volume.mountpoint)?;
        let dir = self.inner.root.join(name);
        // Under another name first, so that a crash in the middle leaves no volume that has lost some files.
        let doomed = self.inner.root.join(format!(".{name}.removed"));
        fs_err::rename(&dir, &doomed)?;
        entries.remove(name);
        drop(entries);
        Ok(fs_err::remove_dir_all(&doomed)?)
    }

    /// Removes what nobody uses.
    ///
    /// # Errors
    /// The first that could not be removed.
    pub fn prune(&self, options: &PruneOptions) -> Result<PruneReport, Error> {
        let mut report = PruneReport::default();
        let unused = self.list().into_iter().filter(|volume| {
            let has = |label: &String| has_label(&volume.labels, label);
            volume.users.is_empty()
                && (options.all || volume.anonymous)
                && options.labels.iter().all(has)
                && !options.without_labels.iter().any(has)
        });
        for volume in unused {
            let size = self.size(&volume.name).unwrap_or(0);
            match self.remove(&volume.name) {
                Ok(()) => {
                    report.reclaimed += size;
                    report.removed.push(volume.name);
                }
                // Somebody began to use it, or removed it, meanwhile.
                Err(Error::InUse { .. } | Error::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(report)
    }

    /// Remembers that a container has the volume, running or not.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn acquire(&self, name: &str, container: &str) -> Result<(), Error> {
        let mut entries = self.entries();
        let entry = entries.get_mut(name).ok_or_else(|| Error::NotFound(name.into()))?;
        entry.users.insert(container.into());
        Ok(())
    }

    /// The container is gone.
    pub fn release(&self, name: &str, container: &str) {
        if let Some(entry) = self.entries().get_mut(name) {
            entry.users.remove(container);
            entry.running.remove(container);
        }
    }

    /// Makes the volume's files reachable for a container that starts; answers where.
    ///
    /// # Errors
    /// [`Error::Mount`].
    pub fn mount(&self, name: &str, container: &str) -> Result<PathBuf, Error> {
        let mut entries = self.entries();
        let entry = entries.get_mut(name).ok_or_else(|| Error::NotFound(name.into()))?;
        local::mount(name, &entry.volume.options, &entry.volume.mountpoint)?;
        entry.running.insert(container.into());
        Ok(entry.volume.mountpoint.clone())
    }

    /// The container has stopped. Answers whether it had the volume's files.
    ///
    /// # Errors
    /// When the kernel refuses to let go.
    pub fn unmount(&self, name: &str, container: &str) -> Result<bool, Error> {
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(name) else { return Ok(false) };
        if !entry.running.remove(container) {
            return Ok(false);
        }
        if entry.running.is_empty() && !entry.volume.options.is_empty() {
            local::unmount(&entry.volume.mountpoint)?;
        }
        Ok(true)
    }

    /// Bytes on the disk.
    ///
    /// # Errors
    /// When the files cannot be read.
    pub fn size(&self, name: &str) -> Result<u64, Error> {
        Ok(disk_usage(&self.inspect(name)?.mountpoint)?)
    }
}

impl Entry {
    fn seen(&self) -> Volume {
        Volume { users: self.users.iter().cloned().collect(), ..self.volume.clone() }
    }
}

/// A path inside `root` that no symbolic link leads out of it.
///
/// # Errors
/// [`Error::Invalid`] when it leads out; the kernel's answer when it does not exist.
pub fn subpath(root: &Path, sub: &str) -> Result<PathBuf, Error> {
    use std::os::fd::AsRawFd;
    let dir = rustix::fs::open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| Error::Invalid(format!("cannot open {}: {error}", root.display())))?;
    let flags = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let found = rustix::fs::openat2(&dir, sub, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), flags)
        .map_err(|error| Error::Invalid(format!("cannot use subpath {sub:?} of {}: {error}", root.display())))?;
    Ok(fs_err::read_link(format!("/proc/self/fd/{}", found.as_raw_fd()))?)
}

fn new_volume(name: String, spec: VolumeSpec) -> Volume {
    Volume {
        name,
        driver: "local".into(),
        options: spec.driver_options,
        labels: spec.labels,
        created: SystemClock.now(),
        anonymous: false,
        mountpoint: PathBuf::new(),
        users: Vec::new(),
    }
}

fn valid_name(name: &str) -> Result<&str, Error> {
    let mut bytes = name.bytes();
    let good = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric())
        && name.len() > 1
        && bytes.all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    if good && name.len() <= 255 {
        Ok(name)
    } else {
        Err(Error::Invalid(format!("invalid volume name {name:?}: only [a-zA-Z0-9][a-zA-Z0-9_.-]+ is allowed")))
    }
}

/// `key` or `key=value`.
fn has_label(labels: &BTreeMap<String, String>, wanted: &str) -> bool {
    match wanted.split_once('=') {
        Some((key, value)) => labels.get(key).is_some_and(|v| v == value),
        None => labels.contains_key(wanted),
    }
}

fn write(dir: &Path, volume: &Volume) -> std::io::Result<()> {
    fs_err::create_dir_all(dir.join(DATA))?;
    let part = dir.join(format!("{RECORD}.part"));
    let mut file = fs_err::File::create(&part)?;
    file.write_all(&serde_json::to_vec(&Record { version: 1, volume: volume.clone() })?)?;
    // Options that a power cut made forgotten would show another file system's files.
    if !volume.options.is_empty() || !volume.anonymous {
        file.sync_all()?;
    }
    fs_err::rename(&part, dir.join(RECORD))
}

fn disk_usage(dir: &Path) -> std::io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in fs_err::read_dir(dir)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        bytes += if meta.is_dir() { disk_usage(&entry.path())? } else { meta.blocks() * 512 };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
