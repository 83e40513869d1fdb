use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use super::*;
use crate::unpack::{UnpackOptions, unpack};

fn run(script: &str, dir: &Path) -> String {
    let output = Command::new("sh").args(["-ec", script]).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

const MAKE: &str = r#"
    mkdir -p d/e empty; echo one > d/one; ln d/one d/e/two; ln -s ../one d/e/soft; mkfifo pipe; mknod dev c 1 5
    printf x > d/setuid; chmod 4711 d/setuid; chown 5:6 d/setuid; touch -d '2001-02-03 04:05:06.789' d/e/two; chmod 1777 empty
    name=$(printf 'n%.0s' $(seq 150)); echo long > "d/$name"
"#;
/// What must be the same: everything but the inode numbers.
const LOOK: &str = "find . -mindepth 1 -printf '%p %y %#m %U %G %s %T@ %n %l\\n' | grep -v ' d ' | sort; find . -mindepth 1 -type d -printf '%p %#m %U %T@\\n' | sort; cat d/one d/n*";

#[test]
fn what_is_archived_is_unpacked_the_same() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run(MAKE, from.path());
    rustix::fs::setxattr(from.path().join("d/one"), "user.k", b"v", rustix::fs::XattrFlags::empty()).unwrap();
    let root = fs_err::File::open(from.path()).unwrap();
    let bytes = archive(root.file().as_fd(), Path::new(""), &ArchiveOptions::default(), Vec::new()).unwrap();
    let target = fs_err::File::open(to.path()).unwrap();
    unpack(target.file().as_fd(), bytes.as_slice(), &UnpackOptions::default()).unwrap();
    assert_eq!(run(LOOK, to.path()), run(LOOK, from.path()));
    let mut value = [0u8; 4];
    assert_eq!(rustix::fs::getxattr(to.path().join("d/one"), "user.k", &mut value[..]), Ok(1));
    // GNU tar reads it the same.
    let other = tempfile::tempdir().unwrap();
    fs_err::write(other.path().join("a.tar"), &bytes).unwrap();
    run("mkdir x; tar -C x -xpf a.tar", other.path());
    assert_eq!(run(LOOK, &other.path().join("x")), run(LOOK, from.path()));
}

#[test]
fn names_and_single_files() {
    let from = tempfile::tempdir().unwrap();
    run("mkdir d; echo x > d/f; ln -s d/f link", from.path());
    let root = fs_err::File::open(from.path()).unwrap();
    let list = |path: &str, name: &str, follow| {
        let options = ArchiveOptions { name: name.into(), follow, ..Default::default() };
        let bytes = archive(root.file().as_fd(), Path::new(path), &options, Vec::new()).unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let entries = archive.entries().unwrap();
        entries
            .map(|e| e.map(|e| format!("{:?} {}", e.header().entry_type(), e.path().unwrap().display())).unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(list("/d", "d", false), ["Directory d/", "Regular d/f"]);
    assert_eq!(list("d", "", false), ["Directory ./", "Regular f"]);
    assert_eq!(list("d/f", "renamed", false), ["Regular renamed"]);
    assert_eq!(list("link", "link", false), ["Symlink link"]);
    assert_eq!(list("link", "link", true), ["Regular link"]);
    assert!(matches!(
        archive(root.file().as_fd(), Path::new("no"), &ArchiveOptions::default(), Vec::new()),
        Err(ArchiveError::Read { .. })
    ));
}

#[test]
fn sizes_count_links_once() {
    let from = tempfile::tempdir().unwrap();
    run("mkdir d; head -c 1000 /dev/zero > d/f; ln d/f g; ln -s f s", from.path());
    assert_eq!(tree_size(from.path()).unwrap(), 1000);
    assert_eq!(fs_err::metadata(from.path().join("g")).unwrap().nlink(), 2);
}
