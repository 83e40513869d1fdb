//! The specifications of a machine: all files of some directories, read again when one has changed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{Device, Edits, QualifiedName, Spec, read};
use crate::{DeviceError, Result};

/// Where specifications are; a later directory has the last word.
pub const SPEC_DIRS: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];

/// All specifications. What is wrong with one file takes nothing from the others.
#[derive(Debug, Default)]
pub struct Cache {
    dirs: Vec<PathBuf>,
    seen: Vec<Stamp>,
    specs: Vec<File>,
    errors: Vec<DeviceError>,
}

/// What changes when a file does.
type Stamp = (PathBuf, u64, Option<SystemTime>, u64);

#[derive(Debug)]
struct File {
    path: PathBuf,
    /// The place of its directory.
    rank: usize,
    spec: Spec,
}

/// A device as it stands in a file.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    pub path: &'a Path,
    pub spec: &'a Spec,
    pub device: &'a Device,
}

impl Found<'_> {
    /// What any device of the file changes.
    pub fn common(&self) -> &Edits {
        &self.spec.container_edits
    }
}

impl Cache {
    /// Nothing is read before the first [`refresh`](Self::refresh).
    pub fn new(dirs: Vec<PathBuf>) -> Self {
        Self { dirs, ..Self::default() }
    }

    pub fn dirs(&self) -> &[PathBuf] {
        &self.dirs
    }

    /// Reads what has changed; says whether anything has.
    pub fn refresh(&mut self) -> bool {
        let seen = self.look();
        if seen == self.seen {
            return false;
        }
        self.specs.clear();
        self.errors.clear();
        for (path, ..) in &seen {
            let rank = self.dirs.iter().rposition(|dir| path.parent() == Some(dir)).unwrap_or(0);
            match read(path) {
                Ok(spec) => self.specs.push(File { path: path.clone(), rank, spec }),
                Err(error) => self.errors.push(error),
            }
        }
        self.seen = seen;
        true
    }

    fn look(&self) -> Vec<Stamp> {
        use std::os::unix::fs::MetadataExt;
        let mut found = Vec::new();
        for dir in &self.dirs {
            let mut files: Vec<Stamp> = std::fs::read_dir(dir)
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| entry.path())
                .filter(|path| path.extension().is_some_and(|ending| ending == "json" || ending == "yaml"))
                .filter_map(|path| {
                    let meta = std::fs::metadata(&path).ok().filter(std::fs::Metadata::is_file)?;
                    Some((path, meta.len(), meta.modified().ok(), meta.ino()))
                })
                .collect();
            files.sort();
            found.extend(files);
        }
        found
    }

    /// What is wrong with files.
    pub fn errors(&self) -> &[DeviceError] {
        &self.errors
    }

    /// Every device once, by name; those in conflict are left out.
    pub fn devices(&self) -> BTreeMap<QualifiedName, Found<'_>> {
        let names = self.specs.iter().flat_map(|file| {
            file.spec
                .devices
                .iter()
                .map(|device| QualifiedName { kind: file.spec.kind.clone(), name: device.name.clone() })
        });
        names.filter_map(|name| self.find(&name).ok().map(|found| (name.clone(), found))).collect()
    }

    /// The device of a name.
    ///
    /// # Errors
    /// `Conflict` if several files of the highest rank have it; `NoSuchDevice` with what is wrong in files, as it may
    /// stand in one of these.
    pub fn find(&self, name: &QualifiedName) -> Result<Found<'_>> {
        let having = self.specs.iter().filter(|file| file.spec.kind == name.kind).filter_map(|file| {
            let device = file.spec.devices.iter().find(|device| device.name == name.name)?;
            Some((file, device))
        });
        let mut having: Vec<_> = having.collect();
        let top = having.iter().map(|(file, _)| file.rank).max();
        having.retain(|(file, _)| Some(file.rank) == top);
        match having[..] {
            [(file, device)] => Ok(Found { path: &file.path, spec: &file.spec, device }),
            [] => Err(DeviceError::NoSuchDevice { name: name.to_string(), hint: self.hint(name) }),
            _ => Err(DeviceError::Conflict {
                name: name.to_string(),
                paths: having.iter().map(|(file, _)| file.path.clone()).collect(),
            }),
        }
    }

    fn hint(&self, name: &QualifiedName) -> String {
        let errors: Vec<String> = self.errors.iter().map(ToString::to_string).collect();
        if !errors.is_empty() {
            return errors.join("; ");
        }
        let devices = self.devices();
        let siblings: Vec<&str> =
            devices.keys().filter(|other| other.kind == name.kind).map(|other| other.name.as_str()).collect();
        if !siblings.is_empty() {
            return format!("{} has {}", name.kind, siblings.join(", "));
        }
        let dirs: Vec<String> = self.dirs.iter().map(|dir| dir.display().to_string()).collect();
        format!("no file in {} has the kind {}", dirs.join(", "), name.kind)
    }
}
