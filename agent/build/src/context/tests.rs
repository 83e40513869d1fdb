//! From one directory to another and back.

use std::{os::unix::fs::PermissionsExt, path::Path};

use super::*;
use crate::dockerfile::IgnoreFile;

fn send(store: &ContextStore, from: &Path, rules: &str) -> (Lease, Vec<String>) {
    let ignore = IgnoreFile::parse("i", rules).unwrap();
    let manifest = walk(from, &ignore).unwrap();
    let incoming = store.begin("key", manifest.clone()).unwrap();
    let missing = incoming.missing();
    let names = missing.iter().map(|index| manifest.entries[*index as usize].path.clone()).collect();
    let mut stream = Vec::new();
    write_files(from, &manifest, &missing, &mut stream, &mut |_| {}).unwrap();
    (incoming.receive(&mut stream.as_slice()).unwrap(), names)
}

/// Files count as settled a little after they were written.
fn settle() {
    std::thread::sleep(std::time::Duration::from_millis(30));
}

fn listing(root: &Path) -> Vec<String> {
    let manifest = walk(root, &IgnoreFile::default()).unwrap();
    manifest.entries.into_iter().map(|entry| format!("{} {:o} {}", entry.path, entry.mode, entry.modified)).collect()
}

#[test]
fn only_what_changed_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let (from, root) = (dir.path().join("from"), dir.path().join("store"));
    std::fs::create_dir_all(from.join("a/b")).unwrap();
    std::fs::write(from.join("a/one"), "1").unwrap();
    std::fs::write(from.join("a/b/two"), "2").unwrap();
    std::fs::write(from.join("skip"), "3").unwrap();
    std::os::unix::fs::symlink("../one", from.join("a/b/link")).unwrap();
    std::fs::set_permissions(from.join("a/one"), std::fs::Permissions::from_mode(0o4751)).unwrap();
    settle();
    let store = ContextStore::open(&root).unwrap();
    let (lease, sent) = send(&store, &from, "");
    assert_eq!(sent, ["a/b/two", "a/one", "skip"]);
    assert_eq!(listing(lease.path()), listing(&from));
    // The same again, also side by side: nothing is sent and the tree is the same.
    let (again, sent) = send(&store, &from, "");
    assert!(sent.is_empty());
    assert_eq!(again.path(), lease.path());
    // While it is lent, another state gets another tree.
    let (other, sent) = send(&store, &from, "skip");
    assert_ne!(other.path(), lease.path());
    assert_eq!(sent.len(), 2);
    assert!(!other.path().join("skip").exists() && lease.path().join("skip").exists());
    drop((lease, again, other));
    // A change, a file in a directory's place, a directory in a file's.
    std::fs::write(from.join("a/one"), "changed").unwrap();
    std::fs::remove_dir_all(from.join("a/b")).unwrap();
    std::fs::write(from.join("a/b"), "file").unwrap();
    std::fs::remove_file(from.join("skip")).unwrap();
    std::fs::create_dir(from.join("skip")).unwrap();
    settle();
    // Reopened: the daemon was started anew.
    drop(store);
    let store = ContextStore::open(&root).unwrap();
    let (lease, sent) = send(&store, &from, "");
    assert_eq!(sent, ["a/b", "a/one"]);
    assert_eq!(std::fs::read_to_string(lease.path().join("a/one")).unwrap(), "changed");
    assert_eq!(listing(lease.path()), listing(&from));
    drop(lease);
    assert!(store.prune().unwrap() > 0);
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0);
}

#[test]
fn a_broken_stream_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (from, root) = (dir.path().join("from"), dir.path().join("store"));
    std::fs::create_dir_all(&from).unwrap();
    std::fs::write(from.join("file"), "content").unwrap();
    let store = ContextStore::open(&root).unwrap();
    let manifest = walk(&from, &IgnoreFile::default()).unwrap();
    let mut stream = Vec::new();
    write_files(&from, &manifest, &[0], &mut stream, &mut |_| {}).unwrap();
    for cut in [0, 3, 8, 14, stream.len() - 1] {
        let incoming = store.begin("key", manifest.clone()).unwrap();
        assert!(incoming.receive(&mut &stream[..cut]).is_err(), "{cut}");
        assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0);
    }
    drop(store.begin("key", manifest).unwrap());
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0);
    // A tree without its state is what a crash leaves.
    std::fs::create_dir_all(root.join("7/tree")).unwrap();
    ContextStore::open(&root).unwrap();
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0);
}

/// Takes the file away, or a part of it, once something of it was sent.
struct Meddler<'a> {
    file: &'a Path,
    gone: bool,
}

impl std::io::Write for Meddler<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self.gone {
            true => std::fs::remove_file(self.file).or_else(|error| match error.kind() {
                std::io::ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            })?,
            false if bytes.len() > 8 => std::fs::write(self.file, "short")?,
            false => {}
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_file_that_changes_while_it_is_sent_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path();
    for (gone, how) in [(false, "became shorter"), (true, "is gone")] {
        std::fs::write(from.join("a"), "a").unwrap();
        std::fs::write(from.join("b"), vec![0; 2 << 20]).unwrap();
        let manifest = walk(from, &IgnoreFile::default()).unwrap();
        let file = from.join("b");
        let error = write_files(from, &manifest, &[0, 1], &mut Meddler { file: &file, gone }, &mut |_| {}).unwrap_err();
        let said = error.to_string();
        assert!(said.starts_with(&format!("{} changed while", file.display())) && said.contains(how), "{said}");
    }
}

#[test]
fn lists_that_lead_out_are_refused() {
    let store = tempfile::tempdir().unwrap();
    let store = ContextStore::open(store.path()).unwrap();
    let entry = |path: &str, kind: EntryKind| Entry { path: path.into(), kind, mode: 0o755, modified: 0 };
    let link = EntryKind::Link { target: "/etc".into() };
    let file = EntryKind::File { size: 0, stamp: 1 };
    for entries in [
        vec![entry("../x", file.clone())],
        vec![entry("/x", file.clone())],
        vec![entry("a//b", file.clone())],
        vec![entry("a", link.clone()), entry("a/passwd", file.clone())],
        vec![entry("a", EntryKind::Directory), entry("a", link)],
        vec![entry("b/a", file)],
    ] {
        assert!(matches!(store.begin("key", Manifest { entries }), Err(ContextError::Manifest(_))));
    }
}

#[test]
fn kept_files_bring_their_excluded_directories() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
    std::fs::create_dir_all(dir.path().join("a/c")).unwrap();
    std::fs::write(dir.path().join("a/b/keep"), "1").unwrap();
    std::fs::write(dir.path().join("a/b/drop"), "1").unwrap();
    let ignore = IgnoreFile::parse("i", "a\n!a/*/keep").unwrap();
    let manifest = walk(dir.path(), &ignore).unwrap();
    let paths: Vec<&str> = manifest.entries.iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(paths, ["a", "a/b", "a/b/keep"]);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        dir.path().join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    let error = walk(dir.path(), &IgnoreFile::default()).unwrap_err().to_string();
    assert!(error.contains("is a named pipe, which a build context cannot hold"), "{error}");
}
