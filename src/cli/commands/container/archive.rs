//! The archives of `cp`: made of what is here, and unpacked here.
//!
//! An archive from a container is not trusted: nothing of it is written outside the destination.

use std::{
    ffi::OsString,
    io::{self, Read, Write},
    path::{Component, Path, PathBuf},
};

use bytes::{Buf, Bytes};
use tokio::{sync::mpsc, task::JoinHandle};

use super::cp::ends_as_directory;
use crate::cli::failure::Failure;

/// What is packed, and under which name.
#[derive(Debug, Clone)]
pub struct Packed {
    pub source: PathBuf,
    /// The name of the top entry in the archive; `None` for the contents of a directory.
    pub name: Option<OsString>,
    /// Links at the top are followed.
    pub follow: bool,
    /// Owners are kept.
    pub archive_ids: bool,
}

/// Where an archive goes in the container.
#[derive(Debug, Clone)]
pub struct Plan {
    pub packed: Packed,
    pub directory: String,
}

/// Docker's rules: what is copied to a directory keeps its name; what is copied to a path that is
/// not there takes that name; the contents of a directory go into a directory.
pub fn plan(source: &Path, follow: bool, to: &str, is_dir: bool, exists: bool) -> Result<Plan, Failure> {
    let text = source.as_os_str().to_string_lossy();
    let meta =
        if follow || ends_as_directory(&text) { fs_err::metadata(source)? } else { fs_err::symlink_metadata(source)? };
    let contents = text.ends_with("/.") || text == ".";
    let packed = |name| Packed { source: source.to_owned(), name, follow, archive_ids: false };
    if exists && !is_dir && meta.is_dir() {
        return Err(Failure::new(format!("{to} is not a directory, and {text} is one")));
    }
    if is_dir {
        let name = if contents { None } else { Some(base(source)?) };
        return Ok(Plan { packed: packed(name), directory: to.to_owned() });
    }
    if !exists && ends_as_directory(to) && !meta.is_dir() {
        return Err(Failure::new(format!("there is no directory {to} in the container")));
    }
    let trimmed = to.trim_end_matches('/');
    let (parent, name) = trimmed.rsplit_once('/').unwrap_or(("/", trimmed));
    let parent = if parent.is_empty() { "/" } else { parent };
    Ok(Plan { packed: packed(Some(name.into())), directory: parent.to_owned() })
}

fn base(source: &Path) -> Result<OsString, Failure> {
    if let Some(name) = source.file_name() {
        return Ok(name.to_owned());
    }
    let whole = fs_err::canonicalize(source)?;
    whole
        .file_name()
        .map(OsString::from)
        .ok_or_else(|| Failure::new("the root directory cannot be copied as a whole").hint("copy /. instead"))
}

/// Packs on a thread; what is read is the archive. The handle says how much, or why it stopped.
pub fn pack(packed: Packed) -> (tokio::io::DuplexStream, JoinHandle<io::Result<u64>>) {
    let (reader, writer) = tokio::io::duplex(256 << 10);
    let bridge = tokio_util::io::SyncIoBridge::new(writer);
    let handle = tokio::task::spawn_blocking(move || {
        let mut builder = tar::Builder::new(Counted { inner: bridge, bytes: 0 });
        builder.follow_symlinks(false);
        let whole = if packed.follow { fs_err::canonicalize(&packed.source)? } else { packed.source.clone() };
        let top = match &packed.name {
            Some(name) => PathBuf::from(name),
            None => PathBuf::from("."),
        };
        append(&mut builder, &whole, &top, packed.archive_ids)?;
        let counted = builder.into_inner()?;
        let bytes = counted.bytes;
        let mut bridge = counted.inner;
        bridge.shutdown()?;
        Ok(bytes)
    });
    (reader, handle)
}

/// Appends a file, or a directory with all in it. What is neither is named and left out.
fn append<W: Write>(builder: &mut tar::Builder<W>, from: &Path, to: &Path, ids: bool) -> io::Result<()> {
    let meta = fs_err::symlink_metadata(from)?;
    let mut header = tar::Header::new_gnu();
    header.set_metadata(&meta);
    if !ids {
        header.set_uid(0);
        header.set_gid(0);
    }
    if meta.is_dir() {
        header.set_size(0);
        builder.append_data(&mut header, to, io::empty())?;
        let mut entries = fs_err::read_dir(from)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs_err::DirEntry::file_name);
        for entry in entries {
            append(builder, &entry.path(), &to.join(entry.file_name()), ids)?;
        }
        Ok(())
    } else if meta.is_symlink() {
        header.set_size(0);
        builder.append_link(&mut header, to, fs_err::read_link(from)?)
    } else if meta.is_file() {
        let file = fs_err::File::open(from)?;
        header.set_size(meta.len());
        // A file that grows meanwhile must not spill into the next entry.
        builder.append_data(&mut header, to, file.take(meta.len()))
    } else {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("{}: only files, directories and links can be copied", from.display()),
        ))
    }
}

struct Counted<W> {
    inner: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(data)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Reads, on a thread, what a task sends.
pub struct ChannelReader {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
}

impl ChannelReader {
    pub fn new(receiver: mpsc::Receiver<io::Result<Bytes>>) -> Self {
        Self { receiver, current: Bytes::new() }
    }
}

impl Read for ChannelReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.receiver.blocking_recv() {
                Some(data) => self.current = data?,
                None => return Ok(0),
            }
        }
        let length = out.len().min(self.current.len());
        self.current.copy_to_slice(&mut out[..length]);
        Ok(length)
    }
}

/// Unpacks an archive whose top entry is what was asked for. Returns its size.
pub fn unpack(reader: impl Read, to: &Path, contents: bool, owners: bool) -> Result<u64, Failure> {
    let text = to.as_os_str().to_string_lossy().into_owned();
    let is_dir = fs_err::metadata(to).is_ok_and(|meta| meta.is_dir());
    let exists = is_dir || fs_err::symlink_metadata(to).is_ok();
    let mut archive = tar::Archive::new(reader);
    archive.set_preserve_permissions(true);
    archive.set_preserve_ownerships(owners);
    let mut bytes = 0;
    let mut placed: Option<(PathBuf, PathBuf)> = None;
    let mut late = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = entry.path()?.into_owned();
        bytes += entry.size();
        if placed.is_none() {
            let top: PathBuf = name.components().take(1).collect();
            let directory = entry.header().entry_type().is_dir();
            if directory && exists && !is_dir {
                return Err(Failure::new(format!("{text} is not a directory, and what is copied is one")));
            }
            if !directory && !exists && ends_as_directory(&text) {
                return Err(Failure::new(format!("there is no directory {text}")));
            }
            // In an existing directory it keeps its name, else it takes the name given.
            let (root, target) = if is_dir && (!contents || !directory) {
                (to.to_owned(), PathBuf::from(top.file_name().unwrap_or_default()))
            } else if is_dir || directory {
                fs_err::create_dir_all(to)?;
                (to.to_owned(), PathBuf::new())
            } else {
                let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
                (parent.to_owned(), PathBuf::from(to.file_name().unwrap_or_default()))
            };
            placed = Some((root, target));
        }
        let Some((root, target)) = &placed else { continue };
        let rest: PathBuf = name.components().filter(|part| !matches!(part, Component::CurDir)).skip(1).collect();
        // Joining nothing would add a slash.
        let relative = if rest.as_os_str().is_empty() { target.clone() } else { target.join(rest) };
        if relative.components().any(|part| !matches!(part, Component::Normal(_))) {
            return Err(Failure::new(format!("the archive has an entry that leads outside: {}", name.display())));
        }
        let place = root.join(&relative);
        guard(root, &relative)?;
        if entry.header().entry_type().is_dir() {
            fs_err::create_dir_all(&place)?;
            // Modes last: a directory without write permission must still be filled.
            late.push((place, entry.header().mode().unwrap_or(0o755), entry.header().mtime().unwrap_or(0)));
            continue;
        }
        if entry.header().entry_type().is_hard_link() {
            let link = entry.link_name()?.map(std::borrow::Cow::into_owned).unwrap_or_default();
            let rest: PathBuf = link.components().filter(|part| !matches!(part, Component::CurDir)).skip(1).collect();
            let original = if rest.as_os_str().is_empty() { target.clone() } else { target.join(rest) };
            guard(root, &original)?;
            let _ = fs_err::remove_file(&place);
            fs_err::hard_link(root.join(original), &place)?;
            continue;
        }
        entry.set_preserve_mtime(true);
        entry.unpack(&place)?;
    }
    use std::os::unix::fs::PermissionsExt;
    for (directory, mode, _) in late.into_iter().rev() {
        fs_err::set_permissions(&directory, std::fs::Permissions::from_mode(mode & 0o7777))?;
    }
    Ok(bytes)
}

/// No directory on the way may be a link: it could lead outside.
fn guard(root: &Path, relative: &Path) -> Result<(), Failure> {
    let mut path = root.to_owned();
    let Some(parents) = relative.parent() else { return Ok(()) };
    for part in parents.components() {
        path.push(part);
        match fs_err::symlink_metadata(&path) {
            Ok(meta) if meta.is_symlink() => {
                return Err(Failure::new(format!(
                    "{} is a symbolic link; nothing is written through it",
                    path.display()
                )));
            }
            Ok(_) => {}
            Err(err) if err.kind() == io::ErrorKind::NotFound => {
                fs_err::create_dir(&path)?;
            }
            Err(err) => return Err(err.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(entries: &[(&str, Option<&str>)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, contents) in entries {
            let mut header = tar::Header::new_gnu();
            let bytes = &mut header.as_old_mut().name;
            bytes[..name.len()].copy_from_slice(name.as_bytes());
            header.set_mode(0o755);
            header.set_size(contents.map_or(0, str::len) as u64);
            header.set_entry_type(if contents.is_some() { tar::EntryType::Regular } else { tar::EntryType::Directory });
            header.set_cksum();
            builder.append(&header, contents.unwrap_or_default().as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn names_follow_docker_rules() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let tree = archive(&[("etc", None), ("etc/a", Some("1"))]);
        unpack(&tree[..], dir.path(), false, false).unwrap();
        assert_eq!(fs_err::read_to_string(at("etc/a")).unwrap(), "1");
        unpack(&tree[..], &at("new"), false, false).unwrap();
        assert_eq!(fs_err::read_to_string(at("new/a")).unwrap(), "1");
        unpack(&tree[..], &at("new"), true, false).unwrap();
        assert!(!at("new/etc").exists());
        let file = archive(&[("passwd", Some("x"))]);
        unpack(&file[..], &at("renamed"), false, false).unwrap();
        assert_eq!(fs_err::read_to_string(at("renamed")).unwrap(), "x");
        assert!(unpack(&file[..], &at("nowhere/"), false, false).is_err());
        assert!(unpack(&tree[..], &at("renamed"), false, false).is_err());
    }

    #[test]
    fn nothing_is_written_outside() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("in");
        fs_err::create_dir(&inside).unwrap();
        let escape = archive(&[("a", None), ("a/../../out", Some("x"))]);
        assert!(unpack(&escape[..], &inside, false, false).is_err());
        std::os::unix::fs::symlink(dir.path(), inside.join("link")).unwrap();
        let through = archive(&[("link", None), ("link/out", Some("x"))]);
        assert!(unpack(&through[..], &inside, false, false).is_err());
        assert!(!dir.path().join("out").exists());
    }

    #[test]
    fn plans() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        fs_err::write(&file, "x").unwrap();
        let plan_of = |from: &Path, to: &str, is_dir, exists| {
            plan(from, false, to, is_dir, exists)
                .map(|plan| (plan.directory, plan.packed.name))
                .map_err(|err| err.message)
        };
        assert_eq!(plan_of(&file, "/tmp", true, true), Ok(("/tmp".into(), Some("f".into()))));
        assert_eq!(plan_of(&file, "/tmp/g", false, false), Ok(("/tmp".into(), Some("g".into()))));
        assert_eq!(plan_of(&file, "/g", false, true), Ok(("/".into(), Some("g".into()))));
        assert!(plan_of(&file, "/tmp/no/", false, false).is_err());
        assert_eq!(plan_of(&dir.path().join("."), "/tmp", true, true), Ok(("/tmp".into(), None)));
        assert!(plan_of(dir.path(), "/etc/passwd", false, true).is_err());
    }
}
