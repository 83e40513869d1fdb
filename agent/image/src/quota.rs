//! How many bytes a directory's files may take: project quotas, as ext4 and XFS have them.
//!
//! A project is a number that files have and that new files take over from their directory. Each container with a
//! limit has one of its own, found from its id; what it may take is written down by the file system.

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use fs_err as fs;
use rustix::fs::{CWD, FileType, Mode};

use crate::error::Error;

/// Projects of containers are numbers from here on, so that those of an administrator, who counts from one, are left
/// alone.
const FIRST: u32 = 0x4000_0000;
/// A container's project may be taken by another's: the next ones are tried.
const TRIES: u32 = 64;
/// Quotas count in blocks of this size.
const BLOCK: u64 = 512;

/// `struct fsxattr`
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Attributes {
    flags: u32,
    extent_size: u32,
    extents: u32,
    project: u32,
    cow_extent_size: u32,
    padding: [u8; 8],
}

/// New files in the directory are the project's too.
const INHERIT: u32 = 0x200;
const GET_ATTRIBUTES: libc::Ioctl = read_of(31);
const SET_ATTRIBUTES: libc::Ioctl = write_of(32);

const fn read_of(number: u32) -> libc::Ioctl {
    (2 << 30 | (size_of::<Attributes>() as u32) << 16 | (b'X' as u32) << 8 | number) as libc::Ioctl
}

const fn write_of(number: u32) -> libc::Ioctl {
    (1 << 30 | (size_of::<Attributes>() as u32) << 16 | (b'X' as u32) << 8 | number) as libc::Ioctl
}

/// `struct fs_disk_quota`
#[repr(C)]
struct Quota {
    version: i8,
    flags: i8,
    fields: u16,
    id: u32,
    blocks_hard: u64,
    blocks_soft: u64,
    inodes_hard: u64,
    inodes_soft: u64,
    blocks: u64,
    inodes: u64,
    rest: [u64; 7],
}

/// `struct fs_quota_statv`, of which only the beginning is looked at.
#[repr(C)]
struct State {
    version: i8,
    padding: u8,
    flags: u16,
    rest: [u64; 32],
}

const PROJECTS: u32 = 2;
const GET_STATE: u32 = command(8);
const GET_QUOTA: u32 = command(3);
const SET_QUOTA: u32 = command(4);
/// Limits of projects are kept to.
const ENFORCED: u16 = 1 << 5;

const fn command(number: u32) -> u32 {
    ((b'X' as u32) << 8 | number) << 8 | PROJECTS
}

/// Gives a new directory, and those in it, a limit for all files that they will have.
pub(crate) fn limit(dir: &Path, inside: &[&Path], id: &str, bytes: u64) -> Result<(), Error> {
    let none = |source| Error::NoQuota { path: dir.parent().unwrap_or(dir).to_owned(), source };
    let top = fs::File::open(dir).map_err(|e| Error::io("open", dir, e))?;
    // SAFETY: both are numbers only, for which all zeros are values.
    let (mut state, mut quota) = unsafe { (zeroed::<State>(), zeroed::<Quota>()) };
    state.version = 1;
    ask(dir, &top, GET_STATE, 0, (&raw mut state).cast()).map_err(none)?;
    if state.flags & ENFORCED == 0 {
        return Err(none(io::Error::from(io::ErrorKind::Unsupported)));
    }
    let wish = id.get(..8).and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or_default() >> 2;
    let mut projects = (0..TRIES).map(|step| FIRST | (wish.wrapping_add(step) & (FIRST - 1)));
    let project = projects.find(|project| is_free(dir, &top, *project));
    let project = project.ok_or_else(|| none(io::Error::from(io::ErrorKind::QuotaExceeded)))?;
    (quota.version, quota.flags, quota.id) = (1, PROJECTS as i8, project);
    set_limit(&mut quota, bytes);
    ask(dir, &top, SET_QUOTA, project, (&raw mut quota).cast()).map_err(none)?;
    for path in std::iter::once(&dir).chain(inside) {
        let file = fs::File::open(path).map_err(|e| Error::io("open", *path, e))?;
        let change = || {
            let mut attributes = attributes(file.file())?;
            attributes.project = project;
            attributes.flags |= INHERIT;
            set_attributes(file.file(), &attributes)
        };
        change().map_err(none)?;
    }
    Ok(())
}

/// Takes the limit of a directory back, if it has one of ours: the number is then another's to have.
pub(crate) fn lift(dir: &Path) {
    let Ok(top) = fs::File::open(dir) else { return };
    let Ok(Attributes { project, .. }) = attributes(top.file()) else { return };
    if project & FIRST == 0 {
        return;
    }
    // SAFETY: numbers only, for which all zeros are values.
    let mut quota = unsafe { zeroed::<Quota>() };
    (quota.version, quota.flags, quota.id) = (1, PROJECTS as i8, project);
    set_limit(&mut quota, 0);
    if let Err(error) = ask(dir, &top, SET_QUOTA, project, (&raw mut quota).cast()) {
        tracing::warn!(%error, project, directory = %dir.display(), "a quota cannot be taken back");
    }
}

fn set_limit(quota: &mut Quota, bytes: u64) {
    /// Both limits of blocks are given.
    const BLOCKS: u16 = 1 << 2 | 1 << 3;
    quota.fields = BLOCKS;
    quota.blocks_hard = bytes.div_ceil(BLOCK);
    quota.blocks_soft = quota.blocks_hard;
}

/// Whether nobody has files or a limit under this number. One that the file system has never heard of is free.
fn is_free(dir: &Path, top: &fs::File, project: u32) -> bool {
    // SAFETY: numbers only, for which all zeros are values.
    let mut quota = unsafe { zeroed::<Quota>() };
    match ask(dir, top, GET_QUOTA, project, (&raw mut quota).cast()) {
        Ok(()) => quota.blocks_hard == 0 && quota.blocks == 0 && quota.inodes == 0,
        Err(_) => true,
    }
}

/// Asks the file system of a directory about quotas; `answer` is what the command reads or writes.
fn ask(dir: &Path, top: &fs::File, command: u32, id: u32, answer: *mut libc::c_void) -> io::Result<()> {
    let answered = |result: libc::c_long| if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
    // SAFETY: the callers hand over the structure that their command reads or writes, whole and alive.
    let asked = answered(unsafe { libc::syscall(libc::SYS_quotactl_fd, top.as_raw_fd(), command, id, answer) });
    match asked {
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {}
        asked => return asked,
    }
    // Before Linux 5.14 the file system is named by its device, for which a node is made.
    let node = dir.with_extension("device");
    let device = top.metadata()?.dev();
    rustix::fs::mknodat(CWD, &node, FileType::BlockDevice, Mode::RUSR, device)?;
    let path = rustix::path::Arg::into_c_str(node.as_path());
    // SAFETY: as above, and the path ends with a zero.
    let asked = path
        .map_err(io::Error::from)
        .and_then(|path| answered(unsafe { libc::syscall(libc::SYS_quotactl, command, path.as_ptr(), id, answer) }));
    fs::remove_file(&node)?;
    asked
}

fn attributes(file: &impl AsFd) -> io::Result<Attributes> {
    let mut attributes = Attributes::default();
    // SAFETY: the call writes the structure that it is defined for.
    let result = unsafe { libc::ioctl(file.as_fd().as_raw_fd(), GET_ATTRIBUTES, &raw mut attributes) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(attributes) }
}

fn set_attributes(file: &impl AsFd, attributes: &Attributes) -> io::Result<()> {
    // SAFETY: the call reads the structure that it is defined for.
    let result = unsafe { libc::ioctl(file.as_fd().as_raw_fd(), SET_ATTRIBUTES, attributes) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_are_the_kernels() {
        assert_eq!((size_of::<Attributes>(), size_of::<Quota>()), (28, 112));
        assert_eq!((GET_ATTRIBUTES as u32, SET_ATTRIBUTES as u32), (0x801c_581f, 0x401c_5820));
        assert_eq!(command(4), 0x0058_0402);
    }

    #[test]
    fn memory_has_no_quotas() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let error = limit(dir.path(), &[], "0123456789", 1 << 20).unwrap_err();
        assert!(matches!(error, Error::NoQuota { .. }), "{error}");
        lift(dir.path());
    }
}
