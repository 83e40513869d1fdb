use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::tarball::{Entry, EntryKind, TarWriter, Time};

fn entry(path: &str, kind: EntryKind) -> Entry {
    Entry { mtime: Time { secs: 1_000_000_000, nanos: 123_456_789 }, ..Entry::new(path, kind, 0o644) }
}

fn link(path: &str, kind: EntryKind, target: &str) -> Entry {
    Entry { link: target.into(), ..entry(path, kind) }
}

fn file(path: &str, data: &str) -> (Entry, Vec<u8>) {
    (Entry { size: data.len() as u64, ..entry(path, EntryKind::File) }, data.into())
}

fn bare(entry: Entry) -> (Entry, Vec<u8>) {
    (entry, Vec::new())
}

fn tar(entries: &[(Entry, Vec<u8>)]) -> Vec<u8> {
    let mut writer = TarWriter::new(Vec::new());
    for (entry, data) in entries {
        writer.append(entry, &mut data.as_slice()).unwrap();
    }
    writer.finish().unwrap()
}

/// A root inside a directory whose other contents must never change.
struct Place {
    outer: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        let outer = tempfile::tempdir().unwrap();
        fs_err::create_dir(outer.path().join("root")).unwrap();
        fs_err::write(outer.path().join("victim"), "untouched").unwrap();
        Place { outer }
    }

    fn root(&self) -> std::path::PathBuf {
        self.outer.path().join("root")
    }

    fn unpack(&self, bytes: &[u8], options: &UnpackOptions) -> Result<Unpacked, UnpackError> {
        let root = fs_err::File::open(self.root()).unwrap();
        unpack(root.file().as_fd(), bytes, options)
    }

    fn layer(&self, entries: &[(Entry, Vec<u8>)]) -> Result<Unpacked, UnpackError> {
        self.unpack(&tar(entries), &UnpackOptions { whiteouts: true, ..Default::default() })
    }

    /// Nothing beside the root, and the file there as it was.
    fn check_outside(&self) {
        let mut names: Vec<_> = fs_err::read_dir(self.outer.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["root", "victim"]);
        let victim = self.outer.path().join("victim");
        assert_eq!(fs_err::read_to_string(&victim).unwrap(), "untouched");
        assert_eq!(fs_err::metadata(&victim).unwrap().nlink(), 1);
    }
}

fn read(path: &Path) -> String {
    fs_err::read_to_string(path).unwrap()
}

#[test]
fn everything_is_kept() {
    let place = Place::new();
    let mut setuid = file("bin/su", "#!");
    (setuid.0.mode, setuid.0.uid, setuid.0.gid) = (0o4755, 12, 34);
    setuid.0.xattrs = vec![
        (b"user.note".to_vec(), b"x\0y".to_vec()),
        (b"security.capability".to_vec(), [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0].into()),
    ];
    let mut dir = entry("bin", EntryKind::Directory);
    (dir.mode, dir.gid) = (0o2775, 50);
    let mut device = entry("dev/null", EntryKind::CharDevice);
    (device.major, device.minor, device.mode) = (1, 3, 0o666);
    let mut block = entry("dev/loop", EntryKind::BlockDevice);
    (block.major, block.minor) = (7, 300);
    let long = format!("{}/{}", "d".repeat(200), "f".repeat(200));
    let unpacked = place
        .layer(&[
            bare(dir),
            setuid,
            bare(link("bin/link", EntryKind::HardLink, "bin/su")),
            bare(link("bin/soft", EntryKind::Symlink, "/etc/passwd")),
            bare(device),
            bare(block),
            bare(Entry { mode: 0o1622, ..entry("dev/pipe", EntryKind::Fifo) }),
            file(&long, "long"),
        ])
        .unwrap();
    let root = place.root();
    let su = fs_err::metadata(root.join("bin/su")).unwrap();
    assert_eq!((su.mode() & 0o7777, su.uid(), su.gid(), su.nlink()), (0o4755, 12, 34, 2));
    assert_eq!((su.mtime(), su.mtime_nsec()), (1_000_000_000, 123_456_789));
    let mut value = [0u8; 64];
    let n = rustix::fs::getxattr(root.join("bin/su"), "user.note", &mut value[..]).unwrap();
    assert_eq!(&value[..n], b"x\0y");
    assert!(rustix::fs::getxattr(root.join("bin/su"), "security.capability", &mut value[..]).is_ok());
    let bin = fs_err::metadata(root.join("bin")).unwrap();
    assert_eq!((bin.mode() & 0o7777, bin.gid(), bin.mtime()), (0o2775, 50, 1_000_000_000));
    let soft = fs_err::symlink_metadata(root.join("bin/soft")).unwrap();
    assert_eq!((soft.mtime(), soft.mtime_nsec()), (1_000_000_000, 123_456_789));
    let null = fs_err::metadata(root.join("dev/null")).unwrap();
    assert!(
        null.file_type().is_char_device() && null.rdev() == rustix::fs::makedev(1, 3) && null.mode() & 0o7777 == 0o666
    );
    assert_eq!(fs_err::metadata(root.join("dev/loop")).unwrap().rdev(), rustix::fs::makedev(7, 300));
    assert_eq!(fs_err::metadata(root.join("dev/pipe")).unwrap().mode() & 0o7777, 0o1622);
    assert_eq!(read(&root.join(long)), "long");
    assert_eq!(unpacked.implicit_dirs, [b"d".repeat(200), b"dev".to_vec()]);
    assert_eq!(unpacked.size, 6);
}

#[test]
fn whiteouts_become_overlays_own() {
    let place = Place::new();
    place
        .layer(&[
            bare(entry("a/.wh.gone", EntryKind::File)),
            bare(entry("b/.wh..wh..opq", EntryKind::File)),
            // Removed and made again: what was below must not show through.
            bare(entry(".wh.c", EntryKind::File)),
            bare(entry("c", EntryKind::Directory)),
            bare(entry("d", EntryKind::Directory)),
            bare(entry(".wh.d", EntryKind::File)),
            file("e", "stays"),
            bare(entry(".wh.e", EntryKind::File)),
            bare(entry(".wh..wh.plnk", EntryKind::Directory)),
        ])
        .unwrap();
    let root = place.root();
    let gone = fs_err::symlink_metadata(root.join("a/gone")).unwrap();
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    for opaque in ["b", "c", "d"] {
        let mut value = [0u8; 1];
        assert_eq!(
            rustix::fs::getxattr(root.join(opaque), "trusted.overlay.opaque", &mut value[..]),
            Ok(1),
            "{opaque}"
        );
    }
    assert_eq!(read(&root.join("e")), "stays");
    assert!(!root.join(".wh..wh.plnk").exists());
}

#[test]
fn plain_trees_keep_names_with_wh() {
    let place = Place::new();
    place.unpack(&tar(&[file(".wh.x", "1")]), &UnpackOptions::default()).unwrap();
    assert_eq!(read(&place.root().join(".wh.x")), "1");
}

#[test]
fn names_that_lead_out_are_refused() {
    for path in ["../victim", "a/../../victim", "/../victim", "..", "./../victim", "a/b/../../../victim"] {
        let place = Place::new();
        assert!(matches!(place.layer(&[file(path, "hacked")]), Err(UnpackError::Outside(_))), "{path}");
        place.check_outside();
    }
    let place = Place::new();
    assert!(matches!(place.layer(&[bare(entry("../x", EntryKind::Directory))]), Err(UnpackError::Outside(_))));
    // Absolute names are inside the root, and so is a `..` that stays there.
    place.layer(&[file("/abs", "1"), file("x/../in", "2")]).unwrap();
    assert_eq!(read(&place.root().join("abs")) + &read(&place.root().join("in")), "12");
    place.check_outside();
}

#[test]
fn links_never_lead_out() {
    let place = Place::new();
    let outside = place.outer.path().join("victim");
    let outside = outside.to_str().unwrap();
    for target in ["../victim", "a/../../victim", "..", ""] {
        let result = place.layer(&[bare(link("hard", EntryKind::HardLink, target))]);
        assert!(matches!(result, Err(UnpackError::LinkOutside { .. })), "{target:?}: {result:?}");
    }
    // An absolute target is inside the root, where there is none.
    assert!(place.layer(&[bare(link("hard", EntryKind::HardLink, outside))]).is_err());
    // A hard link to a symbolic link is a link to the symbolic link.
    place.layer(&[bare(link("s", EntryKind::Symlink, outside)), bare(link("h", EntryKind::HardLink, "s"))]).unwrap();
    assert!(fs_err::symlink_metadata(place.root().join("h")).unwrap().is_symlink());
    // A hard link through a symbolic link to a directory outside.
    let up = [bare(link("up", EntryKind::Symlink, "..")), bare(link("h2", EntryKind::HardLink, "up/victim"))];
    assert!(place.layer(&up).is_err());
    place.check_outside();
}

#[test]
fn writing_through_symbolic_links_stays_inside() {
    let place = Place::new();
    let outer = place.outer.path().to_str().unwrap().to_owned();
    for target in ["..", "../..", "/..", &outer, "/proc/self/cwd", "/proc/self/root"] {
        let entries =
            [bare(link("link", EntryKind::Symlink, target)), file("link/victim", "hacked"), file("link/new/file", "x")];
        let _ = place.layer(&entries);
        place.check_outside();
    }
    // The link itself is replaced, never written through.
    place.layer(&[bare(link("l", EntryKind::Symlink, &format!("{outer}/victim"))), file("l", "mine")]).unwrap();
    assert_eq!(read(&place.root().join("l")), "mine");
    // Two links that together lead out.
    let chain = [
        bare(link("a", EntryKind::Symlink, ".")),
        bare(link("a/b", EntryKind::Symlink, "../..")),
        file("a/b/victim", "x"),
        bare(entry("a/b/.wh.victim", EntryKind::File)),
    ];
    let _ = place.layer(&chain);
    // A directory's mode and times are set at the end, when it may be a link to elsewhere.
    let before = fs_err::metadata(place.outer.path()).unwrap().mode();
    let swap = [
        bare(Entry { mode: 0o777, ..entry("dir", EntryKind::Directory) }),
        bare(link("dir", EntryKind::Symlink, "../")),
    ];
    place.layer(&swap).unwrap();
    assert_eq!(fs_err::metadata(place.outer.path()).unwrap().mode(), before);
    place.check_outside();
}

#[test]
fn links_inside_are_followed_inside() {
    let place = Place::new();
    place
        .layer(&[
            bare(entry("usr/lib", EntryKind::Directory)),
            bare(link("lib", EntryKind::Symlink, "/usr/lib")),
            file("lib/so", "1"),
        ])
        .unwrap();
    assert_eq!(read(&place.root().join("usr/lib/so")), "1");
}

#[test]
fn whiteouts_of_nothing_or_parents_are_refused() {
    for path in [".wh.", ".wh..", ".wh...", "a/.wh..", "a/.wh..."] {
        let place = Place::new();
        let result = place.layer(&[bare(entry(path, EntryKind::File))]);
        assert!(matches!(result, Err(UnpackError::Whiteout(_))), "{path}: {result:?}");
        place.check_outside();
    }
    let place = Place::new();
    assert!(matches!(place.layer(&[bare(entry("../.wh.victim", EntryKind::File))]), Err(UnpackError::Outside(_))));
    assert!(matches!(place.layer(&[bare(entry("x", EntryKind::CharDevice))]), Err(UnpackError::ZeroDevice(_))));
    place.check_outside();
}

#[test]
fn overlays_own_attributes_are_not_taken_from_archives() {
    let place = Place::new();
    let mut dir = entry("d", EntryKind::Directory);
    dir.xattrs = vec![(b"trusted.overlay.redirect".to_vec(), b"/etc".to_vec()), (b"user.ok".to_vec(), b"1".to_vec())];
    place.layer(&[bare(dir)]).unwrap();
    let mut value = [0u8; 8];
    assert!(rustix::fs::getxattr(place.root().join("d"), "trusted.overlay.redirect", &mut value[..]).is_err());
    assert!(rustix::fs::getxattr(place.root().join("d"), "user.ok", &mut value[..]).is_ok());
}

#[test]
fn later_entries_replace_earlier_ones() {
    let place = Place::new();
    place.layer(&[file("x", "1"), bare(entry("x", EntryKind::Directory)), file("x/y", "2"), file("x", "3")]).unwrap();
    assert_eq!(read(&place.root().join("x")), "3");
    let strict = UnpackOptions { no_overwrite_dir_non_dir: true, ..Default::default() };
    let over = place.unpack(&tar(&[bare(entry("x", EntryKind::Directory))]), &strict);
    assert!(matches!(over, Err(UnpackError::OverNonDirectory(_))), "{over:?}");
    place.unpack(&tar(&[bare(entry("d", EntryKind::Directory))]), &strict).unwrap();
    assert!(matches!(place.unpack(&tar(&[file("d", "x")]), &strict), Err(UnpackError::OverDirectory(_))));
}

#[test]
fn a_base_below_the_root() {
    let place = Place::new();
    fs_err::create_dir_all(place.root().join("etc/real")).unwrap();
    fs_err::os::unix::fs::symlink("/etc/real", place.root().join("conf")).unwrap();
    let options = UnpackOptions { base: "/conf".into(), owner: Some((7, 8)), ..Default::default() };
    place.unpack(&tar(&[file("f", "1")]), &options).unwrap();
    let made = fs_err::metadata(place.root().join("etc/real/f")).unwrap();
    assert_eq!((made.uid(), made.gid()), (7, 8));
    assert!(matches!(place.unpack(&tar(&[file("../f", "1")]), &options), Err(UnpackError::Outside(_))));
}

#[test]
fn sparse_files_have_holes() {
    let place = Place::new();
    let source = place.outer.path().join("sparse");
    let file = fs_err::File::create(&source).unwrap();
    file.set_len(8 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(file.file(), b"middle", 4 << 20).unwrap();
    for format in ["gnu", "pax"] {
        let output = std::process::Command::new("tar")
            .args(["-C", place.outer.path().to_str().unwrap(), "-S", "-c", "--format", format, "sparse"])
            .output()
            .unwrap();
        assert!(output.status.success() && output.stdout.len() < 100_000);
        place.unpack(&output.stdout, &UnpackOptions::default()).unwrap();
        let made = fs_err::metadata(place.root().join("sparse")).unwrap();
        assert!(made.len() == 8 << 20 && made.blocks() < 1000, "{format}");
        assert_eq!(fs_err::read(place.root().join("sparse")).unwrap(), fs_err::read(&source).unwrap());
    }
}

#[test]
fn deep_trees_are_removed() {
    let place = Place::new();
    let root = fs_err::File::open(place.root()).unwrap();
    let entries: Vec<_> =
        (0..3).map(|n| bare(entry(&format!("{}{n}", "d/".repeat(700)), EntryKind::Directory))).collect();
    place.layer(&entries).unwrap();
    remove_tree(root.file().as_fd(), b"d").unwrap();
    assert!(!place.root().join("d").exists());
    remove_tree(root.file().as_fd(), b"d").unwrap();
}

#[test]
fn archives_that_end_early_or_are_none_are_refused() {
    let place = Place::new();
    let whole = tar(&[file("f", &"x".repeat(5000))]);
    assert!(matches!(place.unpack(&whole[..3000], &UnpackOptions::default()), Err(UnpackError::Tar(_))));
    assert!(matches!(place.unpack(&[b'x'; 2000], &UnpackOptions::default()), Err(UnpackError::Tar(_))));
    assert_eq!(place.unpack(b"", &UnpackOptions::default()).unwrap().entries, 0);
}

fn hostile() -> impl Strategy<Value = (Entry, Vec<u8>)> {
    let name = proptest::sample::select(vec![
        "a",
        "b",
        "a/b",
        "a/b/c",
        "..",
        "../victim",
        "a/../..",
        "/",
        ".",
        "./a",
        ".wh.a",
        "a/.wh.b",
        ".wh...",
        ".wh..wh..opq",
        "victim",
        "a/victim",
        "b/a/victim",
    ]);
    let target =
        proptest::sample::select(vec!["..", "../victim", "/", "a", "b", "a/b", "/proc/self/cwd", ".", "../../victim"]);
    use EntryKind::*;
    let kind = proptest::sample::select(vec![File, File, HardLink, Symlink, Symlink, Directory, Directory, Fifo]);
    (name, target, kind).prop_map(|(name, target, kind)| match kind {
        File => file(name, "hacked"),
        HardLink | Symlink => bare(link(name, kind, target)),
        _ => bare(entry(name, kind)),
    })
}

proptest! {
    #[test]
    fn no_sequence_of_entries_leads_out(entries in proptest::collection::vec(hostile(), 0..12), whiteouts in any::<bool>()) {
        let place = Place::new();
        let _ = place.unpack(&tar(&entries), &UnpackOptions { whiteouts, ..Default::default() });
        place.check_outside();
    }
}
