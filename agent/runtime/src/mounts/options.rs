//! Mount options: words in, a decision out.

use crate::sys::{
    MOUNT_ATTR_ATIME, MOUNT_ATTR_NOATIME, MOUNT_ATTR_NODEV, MOUNT_ATTR_NODIRATIME, MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID, MOUNT_ATTR_NOSYMFOLLOW, MOUNT_ATTR_RDONLY, MOUNT_ATTR_STRICTATIME, MountAttr,
};

/// What a list of mount options asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MountOptions {
    /// The source is a file or directory that exists already.
    pub bind: bool,
    /// With `bind`: mounts below the source come along.
    pub recursive: bool,
    /// The mount exists already and is to be changed.
    pub remount: bool,
    /// For this mount alone.
    pub attr: MountAttr,
    /// For this mount and those below it.
    pub recursive_attr: MountAttr,
    /// Propagation, in the order given; the flag says recursive.
    pub propagation: Vec<(u64, bool)>,
    /// The options of the superblock that are the same for all file systems (`sync`, `lazytime`).
    pub superblock: Vec<&'static str>,
    /// The file system's own options.
    pub data: Vec<(String, Option<String>)>,
    /// A tmpfs that begins with what the directory under it holds.
    pub copy_up: bool,
    /// The mount's owners are shifted; the flag says recursively.
    pub idmap: Option<bool>,
}

/// What one option does.
#[derive(Clone, Copy)]
enum Effect {
    /// Sets and clears attributes of the mount.
    Attr {
        set: u64,
        clear: u64,
    },
    /// The same for the mounts below as well.
    RecursiveAttr {
        set: u64,
        clear: u64,
    },
    /// A propagation type, recursively or not.
    Propagation(u64, bool),
    /// An option of the superblock.
    Superblock,
    /// What is so anyway: the opposite of an option, or one that says what the kernel does by default.
    Default,
    Bind,
    RecursiveBind,
    Remount,
    CopyUp,
    Idmap(bool),
}

const fn set(bits: u64) -> Effect {
    Effect::Attr { set: bits, clear: 0 }
}
const fn clear(bits: u64) -> Effect {
    Effect::Attr { set: 0, clear: bits }
}
const fn atime(bits: u64) -> Effect {
    Effect::Attr { set: bits, clear: MOUNT_ATTR_ATIME }
}
const fn set_all(bits: u64) -> Effect {
    Effect::RecursiveAttr { set: bits, clear: 0 }
}
const fn clear_all(bits: u64) -> Effect {
    Effect::RecursiveAttr { set: 0, clear: bits }
}
const fn atime_all(bits: u64) -> Effect {
    Effect::RecursiveAttr { set: bits, clear: MOUNT_ATTR_ATIME }
}

/// Every option that is not a file system's own. OCI runtime specification, config.md, "Linux mount options".
const OPTIONS: &[(&str, Effect)] = &[
    ("async", Effect::Default),
    ("atime", atime(0)),
    ("bind", Effect::Bind),
    ("defaults", Effect::Default),
    ("dev", clear(MOUNT_ATTR_NODEV)),
    ("diratime", clear(MOUNT_ATTR_NODIRATIME)),
    ("dirsync", Effect::Superblock),
    ("exec", clear(MOUNT_ATTR_NOEXEC)),
    ("idmap", Effect::Idmap(false)),
    ("iversion", Effect::Superblock),
    ("lazytime", Effect::Superblock),
    ("loud", Effect::Default),
    ("mand", Effect::Superblock),
    ("noatime", atime(MOUNT_ATTR_NOATIME)),
    ("nodev", set(MOUNT_ATTR_NODEV)),
    ("nodiratime", set(MOUNT_ATTR_NODIRATIME)),
    ("noexec", set(MOUNT_ATTR_NOEXEC)),
    ("noiversion", Effect::Default),
    ("nolazytime", Effect::Default),
    ("nomand", Effect::Default),
    ("norelatime", atime(0)),
    ("nostrictatime", atime(0)),
    ("nosuid", set(MOUNT_ATTR_NOSUID)),
    ("nosymfollow", set(MOUNT_ATTR_NOSYMFOLLOW)),
    ("private", Effect::Propagation(libc::MS_PRIVATE, false)),
    ("ratime", atime_all(0)),
    ("rbind", Effect::RecursiveBind),
    ("rdev", clear_all(MOUNT_ATTR_NODEV)),
    ("rdiratime", clear_all(MOUNT_ATTR_NODIRATIME)),
    ("relatime", atime(0)),
    ("remount", Effect::Remount),
    ("rexec", clear_all(MOUNT_ATTR_NOEXEC)),
    ("ridmap", Effect::Idmap(true)),
    ("rnoatime", atime_all(MOUNT_ATTR_NOATIME)),
    ("rnodev", set_all(MOUNT_ATTR_NODEV)),
    ("rnodiratime", set_all(MOUNT_ATTR_NODIRATIME)),
    ("rnoexec", set_all(MOUNT_ATTR_NOEXEC)),
    ("rnorelatime", atime_all(0)),
    ("rnostrictatime", atime_all(0)),
    ("rnosuid", set_all(MOUNT_ATTR_NOSUID)),
    ("rnosymfollow", set_all(MOUNT_ATTR_NOSYMFOLLOW)),
    ("ro", set(MOUNT_ATTR_RDONLY)),
    ("rprivate", Effect::Propagation(libc::MS_PRIVATE, true)),
    ("rrelatime", atime_all(0)),
    ("rro", set_all(MOUNT_ATTR_RDONLY)),
    ("rrw", clear_all(MOUNT_ATTR_RDONLY)),
    ("rshared", Effect::Propagation(libc::MS_SHARED, true)),
    ("rslave", Effect::Propagation(libc::MS_SLAVE, true)),
    ("rstrictatime", atime_all(MOUNT_ATTR_STRICTATIME)),
    ("rsuid", clear_all(MOUNT_ATTR_NOSUID)),
    ("rsymfollow", clear_all(MOUNT_ATTR_NOSYMFOLLOW)),
    ("runbindable", Effect::Propagation(libc::MS_UNBINDABLE, true)),
    ("rw", clear(MOUNT_ATTR_RDONLY)),
    ("shared", Effect::Propagation(libc::MS_SHARED, false)),
    ("silent", Effect::Default),
    ("slave", Effect::Propagation(libc::MS_SLAVE, false)),
    ("strictatime", atime(MOUNT_ATTR_STRICTATIME)),
    ("suid", clear(MOUNT_ATTR_NOSUID)),
    ("symfollow", clear(MOUNT_ATTR_NOSYMFOLLOW)),
    ("sync", Effect::Superblock),
    ("tmpcopyup", Effect::CopyUp),
    ("unbindable", Effect::Propagation(libc::MS_UNBINDABLE, false)),
];

/// The names of all options that are not a file system's own.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    OPTIONS.iter().map(|(name, _)| *name)
}

impl MountOptions {
    /// Reads a list of options. An unknown one is the file system's own, to be judged by it.
    pub(crate) fn parse<S: AsRef<str>>(options: impl IntoIterator<Item = S>) -> Self {
        let mut parsed = Self::default();
        for option in options {
            let option = option.as_ref();
            match OPTIONS.binary_search_by_key(&option, |(name, _)| name) {
                Ok(index) => parsed.take(OPTIONS[index].0, OPTIONS[index].1),
                Err(_) if option.is_empty() => {}
                Err(_) => parsed.data.push(match option.split_once('=') {
                    Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                    None => (option.to_owned(), None),
                }),
            }
        }
        parsed
    }

    fn take(&mut self, name: &'static str, effect: Effect) {
        let apply = |attr: &mut MountAttr, set: u64, clear: u64| {
            attr.set = attr.set & !clear | set;
            attr.clear = attr.clear & !(set & !MOUNT_ATTR_ATIME) | clear;
        };
        match effect {
            Effect::Attr { set, clear } => apply(&mut self.attr, set, clear),
            Effect::RecursiveAttr { set, clear } => apply(&mut self.recursive_attr, set, clear),
            Effect::Propagation(flag, recursive) => self.propagation.push((flag, recursive)),
            Effect::Superblock => self.superblock.push(name),
            Effect::Default => {}
            Effect::Bind => self.bind = true,
            Effect::RecursiveBind => {
                self.bind = true;
                self.recursive = true;
            }
            Effect::Remount => self.remount = true,
            Effect::CopyUp => self.copy_up = true,
            Effect::Idmap(recursive) => self.idmap = Some(recursive),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(OPTIONS.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn later_options_win() {
        let options = MountOptions::parse(["ro", "nosuid", "rw", "noatime", "strictatime"]);
        assert_eq!(options.attr.set, MOUNT_ATTR_NOSUID | MOUNT_ATTR_STRICTATIME);
        assert_eq!(options.attr.clear, MOUNT_ATTR_RDONLY | MOUNT_ATTR_ATIME);
    }

    #[test]
    fn relatime_undoes_noatime() {
        let options = MountOptions::parse(["noatime", "relatime"]);
        assert_eq!((options.attr.set, options.attr.clear), (0, MOUNT_ATTR_ATIME));
    }

    #[test]
    fn unknown_options_are_the_file_systems_own() {
        let options = MountOptions::parse(["size=64k", "newinstance", "rbind", "rslave", "rro"]);
        assert_eq!(options.data, [("size".into(), Some("64k".into())), ("newinstance".into(), None)]);
        assert!(options.bind && options.recursive);
        assert_eq!(options.propagation, [(libc::MS_SLAVE, true)]);
        assert_eq!(options.recursive_attr.set, MOUNT_ATTR_RDONLY);
    }
}
