//! Archives, which reach the file system.

use std::fs;
use std::os::fd::AsFd;
use std::path::Path;

use hoist_image::unpack::{UnpackOptions, remove_tree, unpack};
use hoist_image::{Images, Options};

const BLOCK: usize = 512;

/// A layer, or what `cp` takes in. Nothing outside of the directory that it is unpacked to changes.
pub fn archive(data: &[u8]) {
    let data = mended(data);
    let place = directory();
    let (root, outside) = (place.path().join("root"), place.path().join("outside"));
    for whiteouts in [true, false] {
        fs::create_dir(&root).expect("a directory can be made");
        fs::write(&outside, "untouched").expect("a file can be written");
        let before = fs::metadata(&outside).expect("the file is there");
        let options = UnpackOptions { whiteouts, no_overwrite_dir_non_dir: !whiteouts, ..UnpackOptions::default() };
        let dir = fs::File::open(&root).expect("the directory can be opened");
        let _ = unpack(dir.as_fd(), &*data, &options);

        let mut names: Vec<_> =
            fs::read_dir(place.path()).expect("a listing").flatten().map(|e| e.file_name()).collect();
        names.sort();
        assert_eq!(names, ["outside", "root"], "something was made outside of the root");
        assert_eq!(fs::read(&outside).expect("the file is there"), b"untouched");
        let after = fs::symlink_metadata(&outside).expect("the file is there");
        assert_eq!(look(&before), look(&after), "the file outside has changed");
        let parent = fs::File::open(place.path()).expect("the directory can be opened");
        remove_tree(parent.as_fd(), b"root").expect("whatever was unpacked can be removed");
    }
}

/// What `load` takes in: images with their layers and documents.
pub fn image_archive(data: &[u8]) {
    let data = mended(data);
    let place = directory();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be made");
    runtime.block_on(async {
        let images = Images::open(place.path(), Options::default()).await.expect("an empty store opens");
        if let Ok(loaded) = images.load(std::io::Cursor::new(data), Vec::new(), std::sync::Arc::new(())).await {
            for image in loaded {
                images.get(&image.id.to_string()).await.expect("what was loaded is there");
            }
        }
    });
}

/// A directory in memory, where the machine has such.
fn directory() -> tempfile::TempDir {
    let shm = Path::new("/dev/shm");
    let parent = if shm.is_dir() { shm.to_owned() } else { std::env::temp_dir() };
    tempfile::Builder::new().prefix("hoist-fuzz-").tempdir_in(parent).expect("a directory can be made")
}

fn look(metadata: &fs::Metadata) -> (u32, u32, u32, u64, std::time::SystemTime) {
    use std::os::unix::fs::MetadataExt;
    let modified = metadata.modified().expect("files have times");
    (metadata.mode(), metadata.uid(), metadata.gid(), metadata.nlink(), modified)
}

/// The archive with right checksums in what its sizes make its headers: a change of any byte would else be found right
/// there, and nothing behind it would ever be tried.
fn mended(data: &[u8]) -> Vec<u8> {
    const CHECKSUM: std::ops::Range<usize> = 148..156;
    let mut data = data.to_vec();
    let mut at = 0;
    while let Some(header) = data.get_mut(at..at + BLOCK) {
        if header.iter().any(|byte| *byte != 0) {
            header[CHECKSUM].fill(b' ');
            let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
            header[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        let digits = header[124..136].iter().copied().skip_while(|byte| *byte == b' ');
        let size = digits
            .take_while(u8::is_ascii_digit)
            .fold(0usize, |size, digit| size.saturating_mul(8).saturating_add(usize::from(digit - b'0')));
        at = at.saturating_add(BLOCK).saturating_add(size.div_ceil(BLOCK).saturating_mul(BLOCK));
    }
    data
}
