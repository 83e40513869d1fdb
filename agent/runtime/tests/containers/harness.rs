//! A bundle in a temporary directory, and the OCI command line as a program.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

/// The commands that the bundle's root has.
const APPLETS: &[&str] = &[
    "sh", "ls", "cat", "true", "false", "echo", "id", "mount", "ps", "sleep", "hostname", "env", "grep", "head", "wc",
    "touch", "mkdir", "mknod", "stat", "ln", "kill", "dd", "umount", "readlink", "test", "awk", "tr", "sed", "cut",
    "od", "chown", "chmod", "rm", "nproc", "ulimit", "sort", "ip", "date", "yes", "tail", "tty", "stty", "printf",
];

/// A container's bundle and the place of its state; both go away with it, and the container too.
pub struct Bundle {
    pub dir: tempfile::TempDir,
    pub id: String,
    pub spec: Value,
}

/// A way to spoil a spec.
pub type Change = fn(&mut Bundle);

/// What a command did.
#[derive(Debug)]
pub struct Done {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        use std::os::unix::process::ExitStatusExt;
        Self {
            code: output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or(0)),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// The program under test, beside the directory of this test's own.
pub fn program() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.parent().and_then(Path::parent).unwrap().join("examples/oci")
}

impl Bundle {
    /// A container that runs `sh -c script`.
    pub fn new(script: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let dir = tempfile::Builder::new().prefix("hoist-runtime-").tempdir().unwrap();
        let root = dir.path().join("rootfs");
        for name in ["bin", "proc", "dev", "sys", "etc", "tmp", "mnt", "data"] {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        std::fs::copy("/bin/busybox", root.join("bin/busybox")).expect("the tests need busybox-static");
        for applet in APPLETS {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
        let id = format!("rt-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self { dir, id, spec: spec(script) }
    }

    pub fn root(&self) -> PathBuf {
        self.dir.path().join("rootfs")
    }

    /// Sets the command.
    pub fn args(&mut self, args: &[&str]) {
        self.spec["process"]["args"] = json!(args);
    }

    pub fn mount(&mut self, mount: Value) {
        self.spec["mounts"].as_array_mut().unwrap().push(mount);
    }

    /// Removes a namespace of the spec, and adds one if `with` is given.
    pub fn namespace(&mut self, kind: &str, with: Option<Value>) {
        let list = self.spec["linux"]["namespaces"].as_array_mut().unwrap();
        list.retain(|namespace| namespace["type"] != kind);
        list.extend(with);
    }

    pub fn write(&self) {
        std::fs::write(self.dir.path().join("config.json"), self.spec.to_string()).unwrap();
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.arg("--root").arg(self.dir.path().join("state")).args(args);
        command
    }

    /// One call of the program; `{}` in the arguments is the container's id.
    pub fn oci(&self, args: &[&str]) -> Done {
        let args: Vec<String> = args.iter().map(|arg| arg.replace("{}", &self.id)).collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        self.command(&args).stdin(Stdio::null()).output().unwrap().into()
    }

    /// Runs the container to its end.
    pub fn run(&self) -> Done {
        self.write();
        let bundle = self.dir.path().to_str().unwrap();
        self.oci(&["run", "--bundle", bundle, "{}"])
    }

    /// Creates the container. Its output goes to the files `out` and `err`, as it outlives the call.
    pub fn create(&self, more: &[&str]) -> i32 {
        self.write();
        let file = |name: &str| std::fs::File::create(self.dir.path().join(name)).unwrap();
        let bundle = self.dir.path().to_str().unwrap();
        let mut args = vec!["create", "--bundle", bundle];
        args.extend(more);
        args.push(&self.id);
        self.command(&args)
            .stdin(Stdio::null())
            .stdout(file("out"))
            .stderr(file("err"))
            .status()
            .unwrap()
            .code()
            .unwrap()
    }

    pub fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(name)).unwrap()
    }

    /// Creates and starts it, in the background.
    pub fn start(&self) {
        assert_eq!(self.create(&[]), 0, "{}", self.file("err"));
        let started = self.oci(&["start", "{}"]);
        assert_eq!(started.code, 0, "{}", started.err);
    }

    pub fn state(&self) -> Value {
        serde_json::from_str(&self.oci(&["state", "{}"]).out).unwrap()
    }

    pub fn pid(&self) -> i64 {
        self.state()["pid"].as_i64().unwrap()
    }

    /// A file of the container's cgroup, on whichever hierarchy has it.
    pub fn cgroup_file(&self, controller: &str, file: &str) -> Option<PathBuf> {
        let v1 = Path::new("/sys/fs/cgroup").join(controller);
        let places = [v1.join("hoist").join(&self.id), Path::new("/sys/fs/cgroup/hoist").join(&self.id)];
        places.into_iter().map(|dir| dir.join(file)).find(|file| file.exists())
    }

    /// Whether any cgroup of the container is there.
    pub fn has_cgroup(&self) -> bool {
        std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten().any(|entry| {
            entry.path().join("hoist").join(&self.id).exists()
                || entry.file_name() == "hoist" && entry.path().join(&self.id).exists()
        })
    }

    /// Waits until `condition` holds; fails the test if that never happens.
    pub fn until(&self, what: &str, condition: impl Fn() -> bool) {
        for _ in 0..2000 {
            if condition() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        panic!("{what} did not happen");
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        self.oci(&["delete", "--force", "{}"]);
    }
}

/// The descriptor and the bytes that the next one who connects sends.
pub fn receive_fd(listener: &std::os::unix::net::UnixListener) -> (std::os::fd::OwnedFd, Vec<u8>) {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
    let (mut stream, _) = listener.accept().unwrap();
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = vec![0; 4096];
    let into = &mut [std::io::IoSliceMut::new(&mut bytes)];
    let length = rustix::net::recvmsg(&stream, into, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap().bytes;
    bytes.truncate(length);
    let fd = control
        .drain()
        .find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        })
        .unwrap();
    std::io::Read::read_to_end(&mut stream, &mut bytes).unwrap();
    (fd, bytes)
}

/// A container with the usual isolation.
pub fn spec(script: &str) -> Value {
    let caps = [
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_FSETID",
        "CAP_FOWNER",
        "CAP_MKNOD",
        "CAP_NET_RAW",
        "CAP_SETGID",
        "CAP_SETUID",
        "CAP_SETFCAP",
        "CAP_SETPCAP",
        "CAP_NET_BIND_SERVICE",
        "CAP_SYS_CHROOT",
        "CAP_KILL",
        "CAP_AUDIT_WRITE",
    ];
    json!({
        "ociVersion": "1.2.0",
        "process": {
            "user": { "uid": 0, "gid": 0 },
            "args": ["/bin/sh", "-c", script],
            "env": ["PATH=/bin"],
            "cwd": "/",
            "capabilities": { "bounding": caps, "effective": caps, "permitted": caps },
            "noNewPrivileges": true,
        },
        "root": { "path": "rootfs" },
        "hostname": "box",
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"] },
            {
                "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
            },
            {
                "destination": "/dev/pts", "type": "devpts", "source": "devpts",
                "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
            },
            {
                "destination": "/dev/shm", "type": "tmpfs", "source": "shm",
                "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=64k"],
            },
            { "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"] },
            { "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"] },
            {
                "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
                "options": ["nosuid", "noexec", "nodev", "relatime", "ro"],
            },
        ],
        "linux": {
            "resources": { "devices": [{ "allow": false, "access": "rwm" }] },
            "namespaces": [
                { "type": "pid" }, { "type": "network" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" },
                { "type": "cgroup" },
            ],
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware", "/proc/scsi", "/gone"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}
