//! What a context holds, as a list that is small enough to be sent each time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ContextError;

/// All entries of a context, each directory before what is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub entries: Vec<Entry>,
}

/// One file, directory or link. On the wire a short list instead of a map, as there are many.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Row", from = "Row")]
pub struct Entry {
    /// Relative, with `/` between its parts.
    pub path: String,
    pub kind: EntryKind,
    /// Permission bits.
    pub mode: u32,
    /// Nanoseconds since 1970.
    pub modified: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKind {
    Directory,
    File {
        size: u64,
        /// Differs whenever the content may: made of inode, size and times. 0 never equals anything.
        stamp: u64,
    },
    Link {
        target: String,
    },
}

/// Path, mode, time of change, size, stamp, link: the first that is there says what it is.
type Row = (String, u32, i64, Option<u64>, u64, Option<String>);

impl From<Entry> for Row {
    fn from(entry: Entry) -> Self {
        let (size, stamp, link) = match entry.kind {
            EntryKind::Directory => (None, 0, None),
            EntryKind::File { size, stamp } => (Some(size), stamp, None),
            EntryKind::Link { target } => (None, 0, Some(target)),
        };
        (entry.path, entry.mode, entry.modified, size, stamp, link)
    }
}

impl From<Row> for Entry {
    fn from((path, mode, modified, size, stamp, link): Row) -> Self {
        let kind = match (size, link) {
            (Some(size), _) => EntryKind::File { size, stamp },
            (None, Some(target)) => EntryKind::Link { target },
            (None, None) => EntryKind::Directory,
        };
        Self { path, kind, mode: mode & 0o7777, modified }
    }
}

/// What makes one tree into another. Indices are those of the new manifest.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// Paths to remove, what is in a directory before the directory.
    pub remove: Vec<String>,
    /// Directories and links to make, in order.
    pub make: Vec<usize>,
    /// Files whose content must come.
    pub files: Vec<usize>,
    /// Entries whose mode or time alone differs.
    pub touch: Vec<usize>,
}

impl Change {
    pub fn is_nothing(&self) -> bool {
        self.remove.is_empty() && self.make.is_empty() && self.files.is_empty() && self.touch.is_empty()
    }
}

impl Manifest {
    /// Bytes in files.
    pub fn size(&self) -> u64 {
        self.entries.iter().map(|entry| if let EntryKind::File { size, .. } = entry.kind { size } else { 0 }).sum()
    }

    /// The largest entries at the top, with their bytes, largest first.
    pub fn largest(&self, count: usize) -> Vec<(String, u64)> {
        let mut tops: BTreeMap<&str, u64> = BTreeMap::new();
        for entry in &self.entries {
            if let EntryKind::File { size, .. } = entry.kind {
                *tops.entry(entry.path.split('/').next().unwrap_or_default()).or_default() += size;
            }
        }
        let mut tops: Vec<(String, u64)> = tops.into_iter().map(|(name, size)| (name.to_owned(), size)).collect();
        tops.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
        tops.truncate(count);
        tops
    }

    /// Refuses lists that would lead out of the tree, through a link, or twice to one place.
    pub(super) fn validate(&self) -> Result<(), ContextError> {
        let mut known: BTreeMap<&str, bool> = BTreeMap::new();
        for entry in &self.entries {
            let wrong = |what: &str| Err(ContextError::Manifest(format!("{:?} {what}", entry.path)));
            let parts_are_names = entry.path.split('/').all(|part| !matches!(part, "" | "." | ".."));
            if !parts_are_names || entry.path.contains('\0') {
                return wrong("is no relative path");
            }
            if let Some((parent, _)) = entry.path.rsplit_once('/')
                && known.get(parent) != Some(&true)
            {
                return wrong("comes before its directory");
            }
            if known.insert(&entry.path, entry.kind == EntryKind::Directory).is_some() {
                return wrong("comes twice");
            }
        }
        Ok(())
    }

    /// What must be done to a tree that holds `old`.
    pub(super) fn change_from(&self, old: &Manifest) -> Change {
        let before: BTreeMap<&str, &Entry> = old.entries.iter().map(|entry| (entry.path.as_str(), entry)).collect();
        let mut kept: BTreeMap<&str, ()> = BTreeMap::new();
        let mut change = Change::default();
        for (index, entry) in self.entries.iter().enumerate() {
            let same = before.get(entry.path.as_str()).filter(|old| match (&old.kind, &entry.kind) {
                (EntryKind::File { size: a, stamp: x }, EntryKind::File { size: b, stamp: y }) => {
                    a == b && x == y && *x != 0
                }
                (old, new) => old == new,
            });
            match (same, &entry.kind) {
                (Some(old), _) => {
                    kept.insert(&entry.path, ());
                    let is_link = matches!(entry.kind, EntryKind::Link { .. });
                    if !is_link && (old.mode != entry.mode || old.modified != entry.modified) {
                        change.touch.push(index);
                    }
                }
                (None, EntryKind::File { .. }) => change.files.push(index),
                (None, _) => change.make.push(index),
            }
        }
        let gone = |entry: &&Entry| !kept.contains_key(entry.path.as_str());
        change.remove = old.entries.iter().rev().filter(gone).map(|entry| entry.path.clone()).collect();
        change
    }
}
