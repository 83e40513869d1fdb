//! Which files of a tree a `COPY` means, and what each is called at its destination.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, openat, statat};
use rustix::io::Errno;

use super::pattern::{fits, is_pattern};
use super::root::{Root, cleaned, names};
use crate::BuildError;
use crate::dockerfile::IgnoreFile;

/// Trees of people are not deeper; hostile ones are.
const DEEPEST: usize = 500;

/// What a filter says of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Keep,
    /// It is excluded, but something below it may not be.
    Hidden,
    /// It is excluded with all below it.
    Gone,
}

/// What of a tree is wanted.
pub(crate) struct Wish<'a> {
    /// Paths and patterns.
    pub sources: &'a [String],
    /// Directories keep their names and those above them (`--parents`).
    pub parents: bool,
    /// `.dockerignore`: paths relative to the root.
    pub ignore: Option<&'a IgnoreFile>,
    /// `--exclude`: paths relative to the root, or to the source that is a directory.
    pub exclude: Option<&'a IgnoreFile>,
}

/// What something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
    Symlink,
    /// Devices and pipes.
    Node,
}

/// One file to be copied.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    /// Relative to the root, without symbolic links.
    pub source: PathBuf,
    /// Relative to the destination; empty for a directory whose contents go there.
    pub target: PathBuf,
    pub kind: Kind,
    pub stat: Stat,
    /// A directory above what was wanted, which is made for `--parents` only.
    pub above: bool,
}

/// All that is wanted, in the order in which it is to be written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    pub items: Vec<Item>,
    /// How many sources there were after patterns were matched: several need a directory as their destination.
    pub sources: usize,
    /// The only source is a file, so that the destination may be its new name.
    pub single_file: bool,
}

fn kind(stat: &Stat) -> Option<Kind> {
    Some(match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Symlink,
        FileType::CharacterDevice | FileType::BlockDevice | FileType::Fifo => Kind::Node,
        // Sockets have no meaning without the process that made them.
        _ => return None,
    })
}

/// Finds what is wanted.
///
/// # Errors
/// `NotFound` for a source that matches nothing, with near names.
pub(crate) fn select(root: &Root, wish: &Wish<'_>) -> Result<Selection, BuildError> {
    let mut found = Selection::default();
    for source in wish.sources {
        let before = found.sources;
        let (pivot, pattern) = split_pivot(source, wish.parents);
        for path in expand(root, &pattern, wish)? {
            let so_far = found.items.len();
            pick(root, &path, &pivot, wish, &mut found)?;
            found.sources += usize::from(found.items.len() > so_far);
        }
        if found.sources == before {
            let hint = near(root, Path::new(source));
            let hint = hint.map(|name| format!("; did you mean {name:?}?")).unwrap_or_default();
            let ignored =
                (wish.ignore.is_some() || wish.exclude.is_some()) && root.lstat(&cleaned(Path::new(source))).is_ok();
            return Err(BuildError::NotFound(if ignored {
                format!("{source:?} is excluded by .dockerignore or --exclude")
            } else {
                format!("{source:?} was not found{}{hint}", dangling(root, Path::new(source)))
            }));
        }
    }
    found.single_file = found.sources == 1 && found.items.len() == 1 && found.items[0].kind != Kind::Directory;
    Ok(found)
}

/// The link on the way to a missing path that leads out of the tree, or to nothing in it.
fn dangling(root: &Root, path: &Path) -> String {
    let path = cleaned(path);
    let mut at = PathBuf::new();
    for part in path.iter() {
        at.push(part);
        let link = root.lstat(&at).is_ok_and(|stat| kind(&stat) == Some(Kind::Symlink));
        if link
            && root.stat(&at).is_err()
            && let Ok(target) = root.read_link(&at)
        {
            let why = "which is not there: links are followed within what is copied from, never out of it";
            return format!(": {:?} is a link to {:?}, {why}", at.display().to_string(), target.to_string_lossy());
        }
    }
    String::new()
}

/// Everything below a directory, the directory itself first with an empty target.
///
/// # Errors
/// Those of reading directories.
pub(crate) fn subtree(root: &Root, path: &Path, ignore: Option<&IgnoreFile>) -> Result<Vec<Item>, BuildError> {
    let wish = Wish { sources: &[], parents: false, ignore, exclude: None };
    let mut found = Selection::default();
    pick(root, &cleaned(path), Path::new(""), &wish, &mut found)?;
    Ok(found.items)
}

/// With `--parents` the part before `/./` is not kept.
fn split_pivot(source: &str, parents: bool) -> (PathBuf, String) {
    match source.split_once("/./").filter(|_| parents) {
        Some((before, after)) => (cleaned(Path::new(before)), format!("{before}/{after}")),
        None => (PathBuf::new(), source.to_owned()),
    }
}

/// The paths that a source means.
fn expand(root: &Root, source: &str, wish: &Wish<'_>) -> Result<Vec<PathBuf>, BuildError> {
    if !is_pattern(source) {
        let path = cleaned(Path::new(source));
        return Ok(if root.stat(&path).is_ok() { vec![path] } else { Vec::new() });
    }
    let parts: Vec<String> =
        cleaned(Path::new(source)).iter().map(|part| part.to_string_lossy().into_owned()).collect();
    let mut found = Vec::new();
    matching(root, PathBuf::new(), &parts, wish, &mut found)
        .map_err(|error| BuildError::io("look for", source, error))?;
    Ok(found)
}

fn matching(root: &Root, at: PathBuf, parts: &[String], wish: &Wish<'_>, found: &mut Vec<PathBuf>) -> io::Result<()> {
    let Some((part, rest)) = parts.split_first() else {
        if verdict(wish, &at, Path::new(""), root.is_dir(&at)) != Verdict::Gone {
            found.push(at);
        }
        return Ok(());
    };
    if !is_pattern(part) {
        let next = at.join(part);
        return if root.stat(&next).is_ok() { matching(root, next, rest, wish, found) } else { Ok(()) };
    }
    let deep = part == "**" && wish.parents;
    if deep {
        matching(root, at.clone(), rest, wish, found)?;
    }
    let dir = match root.open(&at, OFlags::RDONLY | OFlags::DIRECTORY) {
        Ok(dir) => dir,
        Err(_) => return Ok(()),
    };
    for name in names(&dir)? {
        let next = at.join(&name);
        if deep {
            let link = root.lstat(&next).is_ok_and(|stat| kind(&stat) == Some(Kind::Directory));
            if link {
                matching(root, next, parts, wish, found)?;
            }
            continue;
        }
        let hit = fits(part, &name.to_string_lossy())
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("{part:?} is no valid pattern")))?;
        if hit && !(rest.is_empty() && verdict(wish, &next, Path::new(""), root.is_dir(&next)) == Verdict::Gone) {
            matching(root, next, rest, wish, found)?;
        }
    }
    Ok(())
}

/// What is to become of a path; `below` is the same path relative to the source that led to it.
fn verdict(wish: &Wish<'_>, path: &Path, below: &Path, directory: bool) -> Verdict {
    let of =
        |rules: Option<&IgnoreFile>, path: &Path| {
            let text = path.to_string_lossy();
            match rules {
                Some(rules) if !text.is_empty() && rules.is_ignored(&text) => {
                    if directory && rules.may_keep_below(&text) { Verdict::Hidden } else { Verdict::Gone }
                }
                _ => Verdict::Keep,
            }
        };
    let all = [of(wish.ignore, path), of(wish.exclude, path), of(wish.exclude, below)];
    if all.contains(&Verdict::Gone) {
        Verdict::Gone
    } else if all.contains(&Verdict::Hidden) {
        Verdict::Hidden
    } else {
        Verdict::Keep
    }
}

/// Adds one source: a file by its name, or what a directory holds.
fn pick(root: &Root, path: &Path, pivot: &Path, wish: &Wish<'_>, found: &mut Selection) -> Result<(), BuildError> {
    let fail = |error: io::Error| BuildError::io("read", path, error);
    // A source that is a link stands for what it leads to.
    let real = root.resolve(path).map(|real| cleaned(&real)).map_err(fail)?;
    let stat = root.lstat(&real).map_err(fail)?;
    let Some(kind) = kind(&stat) else { return Ok(()) };
    let below = if kind == Kind::Directory { Path::new("") } else { Path::new(path.file_name().unwrap_or_default()) };
    match verdict(wish, path, below, kind == Kind::Directory) {
        Verdict::Gone => return Ok(()),
        Verdict::Hidden if kind != Kind::Directory => return Ok(()),
        _ => {}
    }
    let mut target = PathBuf::new();
    if wish.parents {
        let kept = path.strip_prefix(pivot).unwrap_or(path);
        let mut at = pivot.to_owned();
        for part in kept.parent().into_iter().flat_map(Path::iter) {
            at.push(part);
            target.push(part);
            if found.items.iter().any(|item| item.target == target && item.kind == Kind::Directory) {
                continue;
            }
            let real = root.resolve(&at).map(|real| cleaned(&real)).map_err(fail)?;
            let stat = root.lstat(&real).map_err(fail)?;
            found.items.push(Item { source: real, target: target.clone(), kind: Kind::Directory, stat, above: true });
        }
        target.extend(kept.file_name());
    } else if kind != Kind::Directory {
        target.extend(path.file_name());
    }
    found.items.push(Item { source: real.clone(), target: target.clone(), kind, stat, above: false });
    if kind == Kind::Directory {
        let dir = root.open(&real, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW).map_err(fail)?;
        // Filters know a path as it was asked for.
        walk(dir, &real, path, Path::new(""), &target, wish, found)?;
    }
    Ok(())
}

fn walk(
    dir: OwnedFd,
    real: &Path,
    shown: &Path,
    below: &Path,
    target: &Path,
    wish: &Wish<'_>,
    found: &mut Selection,
) -> Result<(), BuildError> {
    if real.components().count() > DEEPEST {
        return Err(BuildError::Request(format!("{} is nested more than {DEEPEST} deep", real.display())));
    }
    let fail = |name: &OsStr| {
        let path = real.join(name);
        move |error: Errno| BuildError::io("read", path, error)
    };
    for name in names(dir.as_fd()).map_err(|error| BuildError::io("list", real, error))? {
        let stat = match statat(&dir, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => continue,
            Err(error) => return Err(fail(&name)(error)),
        };
        let Some(kind) = kind(&stat) else { continue };
        let (shown, below) = (shown.join(&name), below.join(&name));
        let verdict = verdict(wish, &shown, &below, kind == Kind::Directory);
        if verdict == Verdict::Gone || (verdict == Verdict::Hidden && kind != Kind::Directory) {
            continue;
        }
        let (source, target) = (real.join(&name), target.join(&name));
        let at = found.items.len();
        found.items.push(Item { source: source.clone(), target: target.clone(), kind, stat, above: false });
        if kind == Kind::Directory {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let next = openat(&dir, &name, flags, Mode::empty()).map_err(fail(&name))?;
            walk(next, &source, &shown, &below, &target, wish, found)?;
            // A directory that is there only for what may be below it, and nothing was.
            if verdict == Verdict::Hidden && found.items.len() == at + 1 {
                found.items.pop();
            }
        }
    }
    Ok(())
}

/// The name beside a missing one that is most like it.
pub(crate) fn near(root: &Root, path: &Path) -> Option<String> {
    let path = cleaned(path);
    let (parent, name) = (path.parent()?, path.file_name()?.to_string_lossy().to_lowercase());
    let dir = root.open(parent, OFlags::RDONLY | OFlags::DIRECTORY).ok()?;
    let limit = (name.chars().count() / 3).max(1);
    names(&dir)
        .ok()?
        .into_iter()
        .map(|other| other.to_string_lossy().into_owned())
        .map(|other| (distance(&name, &other.to_lowercase()), other))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, other)| parent.join(other).display().to_string())
}

/// Insertions, removals and replacements that make one of the other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let change = corner + usize::from(from != to);
            corner = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}
