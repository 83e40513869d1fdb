//! A machine for each test: namespaces of its own, directories, an engine and an image of busybox.
//!
//! A test is its own process: the program runs itself again for it, because the zygote wants a `main` that begins with
//! the guard. See `run_tests`.

#![allow(dead_code)]

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hoist_engine::{AttachOptions, Attached, Engine, EngineOptions, ExecSpec, LogOptions, StreamKind, WaitCondition};
use hoist_image::{BuiltinImage, ContainerConfig, Images, Options};
use hoist_network::Networks;
use hoist_proto::spec::ContainerSpec;
use hoist_volume::Volumes;
use nix::mount::{MntFlags, MsFlags};
use nix::sched::{CloneFlags, unshare};

pub struct Machine {
    dir: tempfile::TempDir,
}

impl Machine {
    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    pub fn data(&self) -> PathBuf {
        self.root().join("data")
    }

    pub fn run(&self) -> PathBuf {
        self.root().join("run")
    }

    /// An engine over the machine's directories, with the image `busybox`.
    pub async fn engine(&self) -> Engine {
        self.engine_with(|_| ()).await
    }

    /// The same with other settings.
    pub async fn engine_with(&self, change: impl FnOnce(&mut EngineOptions)) -> Engine {
        let images = Images::open(&self.data(), Options::default()).await.unwrap();
        images.ensure_builtin(&busybox()).await.unwrap();
        let networks = Networks::open(hoist_network::Options::new(self.data(), self.run())).await.unwrap();
        let volumes = Volumes::open(&self.data()).unwrap();
        let mut options = EngineOptions::new(self.data(), self.run(), images, networks, volumes);
        options.cgroup_parent = self.cgroup_parent();
        change(&mut options);
        Engine::open(options).await.unwrap()
    }

    /// Two machines must not see each other's cgroups.
    pub fn cgroup_parent(&self) -> String {
        let name = self.root().file_name().unwrap().to_string_lossy().replace('.', "");
        format!("hoist-test-{name}")
    }

    /// Everything that an engine may leave behind, as text.
    pub fn traces(&self) -> String {
        let list = |dir: PathBuf| {
            let mut names: Vec<String> = std::fs::read_dir(dir)
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect();
            names.sort();
            names.join(" ")
        };
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let ours = mounts.lines().filter(|line| line.contains(&*self.root().to_string_lossy())).count();
        let cgroups: usize = ["memory", "pids", "unified", ""]
            .iter()
            .map(|controller| Path::new("/sys/fs/cgroup").join(controller).join(self.cgroup_parent()))
            .filter_map(|dir| std::fs::read_dir(dir).ok())
            .map(|entries| entries.flatten().filter(|entry| entry.path().is_dir()).count())
            .sum();
        format!(
            "containers [{}] run [{}] snapshots [{}] volumes [{}] netns [{}] secrets [{}] mounts {ours} cgroups {cgroups}",
            list(self.data().join("containers")),
            list(self.run().join("containers")),
            list(self.data().join("snapshots/containers")),
            list(self.data().join("volumes")),
            list(self.run().join("endpoints")),
            list(self.run().join("secrets")),
        )
    }
}

impl Machine {
    fn cgroups(&self) -> Vec<PathBuf> {
        let root = Path::new("/sys/fs/cgroup");
        let controllers = std::fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
        controllers
            .chain([root.to_owned()])
            .map(|dir| dir.join(self.cgroup_parent()))
            .filter(|dir| dir.is_dir())
            .collect()
    }

    /// Kills what runs in this machine's containers, and takes their cgroups away.
    pub fn kill_all(&self) {
        for parent in self.cgroups() {
            for dir in std::fs::read_dir(&parent).into_iter().flatten().flatten().filter(|e| e.path().is_dir()) {
                for pid in std::fs::read_to_string(dir.path().join("cgroup.procs")).unwrap_or_default().lines() {
                    let pid = nix::unistd::Pid::from_raw(pid.parse().unwrap());
                    let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
                }
                for _ in 0..100 {
                    if std::fs::remove_dir(dir.path()).is_ok() {
                        break;
                    }
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.kill_all();
        for dir in self.cgroups() {
            let _ = std::fs::remove_dir(&dir);
        }
        for dir in ["netns", "secrets"] {
            for entry in std::fs::read_dir(self.run().join(dir)).into_iter().flatten().flatten() {
                let _ = nix::mount::umount2(&entry.path(), MntFlags::MNT_DETACH);
            }
            let _ = nix::mount::umount2(&self.run().join(dir), MntFlags::MNT_DETACH);
        }
    }
}

fn busybox() -> BuiltinImage {
    let program = std::fs::read("/bin/busybox").expect("busybox-static is installed");
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |path: &str, kind, mode, data: &[u8], link: &str| {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(data.len() as u64);
        if link.is_empty() {
            tar.append_data(&mut header, path, data).unwrap();
        } else {
            tar.append_link(&mut header, path, link).unwrap();
        }
    };
    use tar::EntryType;
    for dir in ["bin", "etc", "data", "tmp", "proc", "dev", "sys"] {
        add(dir, EntryType::Directory, 0o755, b"", "");
    }
    add("bin/busybox", EntryType::Regular, 0o755, &program, "");
    for name in [
        "sh", "true", "false", "echo", "cat", "sleep", "id", "ls", "env", "hostname", "seq", "test", "kill", "mount",
        "touch", "stat", "wc", "head", "dd", "tr", "nslookup", "stty", "readlink", "yes", "grep", "ps",
    ] {
        add(&format!("bin/{name}"), EntryType::Symlink, 0o777, b"", "busybox");
    }
    add("etc/passwd", EntryType::Regular, 0o644, b"root:x:0:0::/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\n", "");
    add("etc/group", EntryType::Regular, 0o644, b"root:x:0:\nweb:x:34:\nlog:x:4:web\n", "");
    add("data/seed", EntryType::Regular, 0o640, b"from the image\n", "");
    add("bin/noexec", EntryType::Regular, 0o644, b"text", "");
    BuiltinImage {
        reference: "busybox".parse().unwrap(),
        layer: tar.into_inner().unwrap(),
        config: ContainerConfig { cmd: Some(vec!["sh".into()]), env: vec!["PATH=/bin".into()], ..Default::default() },
    }
}

/// Runs a test with a machine of its own in namespaces of its own.
pub fn machine<F: Future<Output = ()>>(test: impl FnOnce(std::rc::Rc<Machine>) -> F) {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).unwrap();
    nix::mount::mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let machine = std::rc::Rc::new(Machine { dir: tempfile::tempdir().unwrap() });
    runtime.block_on(test(machine.clone()));
    drop(runtime);
    drop(machine);
}

pub fn spec(command: &str) -> ContainerSpec {
    ContainerSpec {
        image: "busybox".into(),
        command: Some(vec!["sh".into(), "-c".into(), command.into()]),
        network_mode: hoist_proto::spec::NetworkMode::None,
        ..ContainerSpec::default()
    }
}

pub async fn read_all(attached: &mut Attached) -> (String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    while let Some(chunk) = attached.output.next().await.unwrap() {
        match chunk.stream {
            StreamKind::Stdout => out.extend_from_slice(&chunk.data),
            StreamKind::Stderr => err.extend_from_slice(&chunk.data),
        }
    }
    (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

/// Runs a container to its end: exit code, stdout, stderr. It stays.
pub async fn run(engine: &Engine, spec: ContainerSpec) -> (i32, String, String) {
    let id = engine.create(spec).await.unwrap().id;
    let wants = AttachOptions { stdin: false, stdout: true, stderr: true };
    let mut attached = engine.attach(id.as_str(), wants).await.unwrap();
    engine.start(id.as_str()).await.unwrap();
    let (out, err) = read_all(&mut attached).await;
    let end = engine.wait(id.as_str(), WaitCondition::NotRunning).await.unwrap();
    (end.exit_code, out, err)
}

pub async fn exec(engine: &Engine, container: &str, command: &str) -> (i32, String) {
    let spec = ExecSpec {
        command: vec!["sh".into(), "-c".into(), command.into()],
        attach: AttachOptions { stdin: false, stdout: true, stderr: true },
        ..ExecSpec::default()
    };
    let id = engine.exec_create(container, spec).await.unwrap();
    let mut attached = engine.exec_start(id.as_str(), None).await.unwrap();
    let (out, _) = read_all(&mut attached).await;
    (engine.exec_wait(id.as_str()).await.unwrap(), out)
}

/// Lines of the log, stdout only.
pub async fn log(engine: &Engine, container: &str, options: LogOptions) -> Vec<String> {
    let mut stream = engine.logs(container, LogOptions { stdout: true, ..options }).await.unwrap();
    let mut lines = Vec::new();
    while let Some(entry) = stream.next().await.unwrap() {
        lines.push(String::from_utf8_lossy(&entry.line).trim_end().to_owned());
    }
    lines
}

/// One of the tests of a program.
pub type Test = (&'static str, fn());

/// The `main` of a test program without the standard harness: answers to the test runner's `--list` and `--exact`.
pub fn run_tests(tests: &[Test]) -> std::process::ExitCode {
    hoist_runtime::guard();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    if has("--list") {
        if !has("--ignored") {
            for (name, _) in tests {
                println!("{name}: test");
            }
        }
        return std::process::ExitCode::SUCCESS;
    }
    let wanted: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let chosen = tests.iter().filter(|(name, _)| {
        wanted.is_empty()
            || wanted.iter().any(|word| if has("--exact") { *name == *word } else { name.contains(*word) })
    });
    let mut failed = false;
    for (name, test) in chosen {
        // Each in a thread, which unshares namespaces of its own.
        let good = std::thread::spawn(*test).join().is_ok();
        println!("test {name} ... {}", if good { "ok" } else { "FAILED" });
        failed |= !good;
    }
    if failed { std::process::ExitCode::FAILURE } else { std::process::ExitCode::SUCCESS }
}
