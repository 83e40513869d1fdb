//! The tar format, read and written: ustar, PAX, GNU long names and both families of sparse files.
//!
//! Names, link targets and extended attributes are bytes, as on the disk. Nothing here touches a file system.

mod header;
mod pax;
mod reader;
mod sparse;
mod writer;

pub use reader::{TarError, TarReader};
pub use writer::TarWriter;

/// Size of tar's records: headers fill one, data is padded to whole ones.
pub const BLOCK: usize = 512;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// Another name of a file; [`Entry::link`] is the other name.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
}

/// A point in time: seconds since 1970 and nanoseconds after them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Time {
    /// Seconds, negative before 1970.
    pub secs: i64,
    /// Nanoseconds after these seconds.
    pub nanos: u32,
}

/// One entry's description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name, as written in the archive.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Permissions with setuid, setgid and sticky bits; nothing else.
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// The file's size (holes included); 0 for all that are no files.
    pub size: u64,
    /// Time of the last change.
    pub mtime: Time,
    /// Time of the last access, if it says.
    pub atime: Option<Time>,
    /// Target of links.
    pub link: Vec<u8>,
    /// Major number of devices.
    pub major: u32,
    /// Minor number of devices.
    pub minor: u32,
    /// Extended attributes.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// For sparse files the pieces that are stored, as (offset, length), ascending.
    pub sparse: Option<Vec<(u64, u64)>>,
}

impl Entry {
    /// An entry of that name and kind, owned by root, without data.
    pub fn new(path: impl Into<Vec<u8>>, kind: EntryKind, mode: u32) -> Entry {
        Entry {
            path: path.into(),
            kind,
            mode,
            uid: 0,
            gid: 0,
            size: 0,
            mtime: Time::default(),
            atime: None,
            link: Vec::new(),
            major: 0,
            minor: 0,
            xattrs: Vec::new(),
            sparse: None,
        }
    }
}
