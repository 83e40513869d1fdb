//! The directories of one daemon, held by one daemon at a time.

use std::{
    fs::TryLockError,
    io::{Read, Seek, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use fs_err::os::unix::fs::OpenOptionsExt;

use super::{DaemonError, DaemonSettings};

/// Where images and containers are kept unless `--data-root` says otherwise.
pub const DATA_ROOT: &str = "/var/lib/hoist";
/// Where sockets and namespaces are kept unless `--run-root` says otherwise.
pub const RUN_ROOT: &str = "/run/hoist";

/// The directories of one daemon. The locks are held as long as this lives, and fall with the process.
#[derive(Debug)]
pub struct Roots {
    pub data: PathBuf,
    pub run: PathBuf,
    /// Tells this daemon's bridges and tables from those of others on the machine; empty on the default root.
    pub instance: String,
    _locks: [fs_err::File; 2],
    pid_files: Vec<PathBuf>,
}

impl Roots {
    /// Makes the directories and takes both for this process.
    pub fn claim(settings: &DaemonSettings) -> Result<Self, DaemonError> {
        let user = rustix::process::geteuid().as_raw();
        if user != 0 {
            return Err(DaemonError::NotRoot(user));
        }
        let data = make(&settings.data_root, 0o711)?;
        let run = make(&settings.run_root, 0o755)?;
        let locks = [lock(&data)?, lock(&run)?];
        let mut pid_files = vec![run.join("hoist.pid")];
        pid_files.extend(settings.pidfile.clone());
        for path in &pid_files {
            fs_err::write(path, format!("{}\n", std::process::id())).map_err(DaemonError::Files)?;
        }
        Ok(Self { instance: instance(&data), data, run, _locks: locks, pid_files })
    }
}

impl Drop for Roots {
    fn drop(&mut self) {
        for path in &self.pid_files {
            let _ = fs_err::remove_file(path);
        }
    }
}

fn make(path: &Path, mode: u32) -> Result<PathBuf, DaemonError> {
    if !path.is_dir() {
        fs_err::create_dir_all(path).map_err(DaemonError::Files)?;
        fs_err::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(DaemonError::Files)?;
    }
    fs_err::canonicalize(path).map_err(DaemonError::Files)
}

fn lock(root: &Path) -> Result<fs_err::File, DaemonError> {
    let path = root.join("daemon.lock");
    let mut options = fs_err::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = options.open(&path).map_err(DaemonError::Files)?;
    match file.file().try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let _ = file.read_to_string(&mut text);
            return Err(DaemonError::Running { root: root.to_owned(), pid: text.trim().parse().ok() });
        }
        Err(TryLockError::Error(err)) => return Err(DaemonError::Files(err)),
    }
    file.set_len(0).map_err(DaemonError::Files)?;
    file.rewind().map_err(DaemonError::Files)?;
    writeln!(file, "{}", std::process::id()).map_err(DaemonError::Files)?;
    Ok(file)
}

/// Six characters that two data roots do not share; nothing for the default one.
fn instance(data: &Path) -> String {
    if data == Path::new(DATA_ROOT) {
        return String::new();
    }
    // FNV-1a: it must be the same in every version of the program.
    let hash =
        data.as_os_str().as_encoded_bytes().iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    format!("{:06x}", (hash ^ (hash >> 24) ^ (hash >> 48)) & 0xff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_has_one_daemon() {
        let dir = tempfile::tempdir().unwrap();
        let first = lock(dir.path()).unwrap();
        let err = lock(dir.path()).unwrap_err();
        assert!(
            matches!(&err, DaemonError::Running { pid: Some(pid), .. } if *pid == std::process::id() as i32),
            "{err}"
        );
        drop(first);
        lock(dir.path()).unwrap();
    }

    #[test]
    fn instances_differ_by_data_root() {
        assert_eq!(instance(Path::new(DATA_ROOT)), "");
        assert_eq!(instance(Path::new("/a")).len(), 6);
        assert_ne!(instance(Path::new("/a")), instance(Path::new("/b")));
    }
}
