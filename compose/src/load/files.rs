use std::io;
use std::path::Path;

/// What the loader may read. A trait, so that untrusted text can be loaded
/// without any file being touched.
pub trait Files {
    /// The text of a file.
    ///
    /// # Errors
    /// As the file system says; text that is not UTF-8 is `InvalidData`.
    fn read(&self, path: &Path) -> io::Result<String>;

    /// Whether there is a file (not a directory) at the path.
    fn is_file(&self, path: &Path) -> bool;
}

/// The real file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path) -> io::Result<String> {
        fs_err::read_to_string(path)
    }

    fn is_file(&self, path: &Path) -> bool {
        path.metadata().is_ok_and(|meta| !meta.is_dir())
    }
}

/// Nothing is there.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFiles;

impl Files for NoFiles {
    fn read(&self, path: &Path) -> io::Result<String> {
        Err(io::Error::new(io::ErrorKind::NotFound, format!("{}: reading files is not allowed here", path.display())))
    }

    fn is_file(&self, _: &Path) -> bool {
        false
    }
}
