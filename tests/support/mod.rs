//! A whole Hoist for one test: a daemon with roots of its own, in a network namespace of its own, so that tests run
//! side by side and nothing of the machine is touched. All of it goes when the test ends, however it ends.
#![allow(dead_code, clippy::print_stderr)] // each test binary uses a part of this; a failing one says why

pub mod cluster;
pub mod lab;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// The program under test.
pub const HOIST: &str = env!("CARGO_BIN_EXE_hoist");

/// How long anything may take before a test gives up on it.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a command did.
#[derive(Debug)]
pub struct Done {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Done {
    /// Standard output of a command that must have succeeded.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "exit code; stderr:\n{}\nstdout:\n{}", self.stderr, self.stdout);
        self.stdout
    }

    /// Standard error of a command that must have failed with this code.
    #[track_caller]
    pub fn fails(self, code: i32) -> String {
        assert_eq!(self.code, code, "exit code; stderr:\n{}\nstdout:\n{}", self.stderr, self.stdout);
        self.stderr
    }
}

/// A machine with a daemon, for one test.
pub struct Host {
    root: tempfile::TempDir,
    /// Holds the network namespace open.
    pub namespace: Child,
    daemon: Option<Child>,
    servers: Vec<Child>,
    flags: Vec<String>,
    /// The daemon's program; that of the test as a rule.
    program: String,
}

impl Host {
    /// Starts a daemon.
    pub fn new() -> Self {
        Self::with_flags(&[])
    }

    /// Starts a daemon with further flags.
    pub fn with_flags(flags: &[&str]) -> Self {
        Self::of(HOIST, flags)
    }

    /// Starts the daemon of a program with further flags.
    pub fn of(program: &str, flags: &[&str]) -> Self {
        let root = tempfile::Builder::new().prefix("hoist-test-").tempdir().expect("a temporary directory");
        let mut host = Self {
            root,
            namespace: namespace(),
            daemon: None,
            servers: Vec::new(),
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            program: program.to_owned(),
        };
        host.start_daemon();
        host
    }

    /// The test's own directory.
    pub fn path(&self) -> &Path {
        self.root.path()
    }

    pub fn data_root(&self) -> PathBuf {
        self.path().join("data")
    }

    pub fn run_root(&self) -> PathBuf {
        self.path().join("run")
    }

    pub fn socket(&self) -> PathBuf {
        self.run_root().join("hoist.sock")
    }

    /// `DOCKER_HOST` for other clients.
    pub fn docker_host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// A command inside the host's network namespace.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.namespace.id())).arg("--").arg(program);
        command
            .current_dir(self.path())
            .env_remove("DOCKER_HOST")
            .env("HOIST_HOST", self.docker_host())
            .env("HOME", self.path());
        command
    }

    /// Starts the daemon and waits until it answers.
    pub fn start_daemon(&mut self) {
        assert_eq!(self.try_start_daemon(), Ok(()), "the daemon's log:\n{}", self.daemon_log());
    }

    /// Starts the daemon and waits until it answers, or has ended: then its exit code and the log's last line.
    pub fn try_start_daemon(&mut self) -> Result<(), String> {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log()).expect("the daemon's log");
        let mut command = self.command(&self.program);
        command
            .args(["daemon", "--log-level", "debug", "--data-root"])
            .arg(self.data_root())
            .arg("--run-root")
            .arg(self.run_root())
            .args(&self.flags)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second descriptor of the log"))
            .stderr(log);
        let mut daemon = command.spawn().expect("the daemon starts");
        let mut ended = None;
        let answers = wait_until(|| {
            let ping =
                self.command("curl").args(["-sf", "--unix-socket"]).arg(self.socket()).arg("http://x/_ping").output();
            ended = daemon.try_wait().expect("the daemon can be waited for");
            ended.is_some() || ping.is_ok_and(|output| output.status.success())
        });
        if let Some(status) = ended {
            let log = self.daemon_log();
            return Err(format!("{status}: {}", log.lines().next_back().unwrap_or_default()));
        }
        self.daemon = Some(daemon);
        if answers { Ok(()) } else { Err("it does not answer".into()) }
    }

    /// Ends the daemon and starts it with other flags.
    pub fn restart_with(&mut self, flags: &[&str]) {
        self.kill_daemon();
        self.flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        self.start_daemon();
    }

    /// Starts the daemon of another program, and tells why it does not start.
    pub fn try_start_daemon_with(&mut self, program: &str, flags: &[&str]) -> Result<(), String> {
        self.kill_daemon();
        self.program = program.to_owned();
        self.flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        self.try_start_daemon()
    }

    /// Ends the daemon in order, and starts that of another program.
    pub fn replace_daemon(&mut self, program: &str, flags: &[&str]) {
        if let Some(mut daemon) = self.daemon.take() {
            run(Command::new("kill").arg(daemon.id().to_string())).ok();
            daemon.wait().expect("the daemon ends");
        }
        self.program = program.to_owned();
        self.restart_with(flags);
    }

    pub fn daemon_pid(&self) -> u32 {
        self.daemon.as_ref().expect("the daemon runs").id()
    }

    /// Kills the daemon with SIGKILL, as a crash would.
    pub fn kill_daemon(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill().expect("the daemon can be killed");
            daemon.wait().expect("the daemon ends");
        }
    }

    /// All that runs dies at once, and what is in memory is gone: namespaces, mounts, the run root.
    pub fn power_cut(&mut self) {
        let ids = self.hoist(&["ps", "-q", "--no-trunc"]).ok();
        let ids: Vec<&str> = ids.split_whitespace().collect();
        let mut pids = String::new();
        if !ids.is_empty() {
            pids = self.hoist(&[&["inspect", "-f", "{{.State.Pid}}"], ids.as_slice()].concat()).ok();
        }
        self.kill_daemon();
        self.kill_the_rest();
        for pid in pids.split_whitespace().filter(|pid| Path::new("/proc").join(pid).exists()) {
            kill(pid);
        }
        let _ = self.namespace.kill();
        let _ = self.namespace.wait();
        self.unmount_all();
        fs::remove_dir_all(self.run_root()).expect("the run root can be removed");
        self.namespace = namespace();
    }

    /// Supervisors outlive the daemon by design; those of this test are known by its directory.
    fn kill_the_rest(&self) {
        let root = self.path().display().to_string();
        for pid in names(Path::new("/proc")).filter(|name| name.parse::<u32>().is_ok()) {
            let directory = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
            let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            if directory.starts_with(&root) || String::from_utf8_lossy(&command).contains(&root) {
                kill(&pid);
            }
        }
    }

    fn unmount_all(&self) {
        let root = self.path().display().to_string();
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        for point in mounts.lines().rev().filter_map(|line| line.split(' ').nth(1)).filter(|p| p.starts_with(&root)) {
            let _ = Command::new("umount").args(["-l", point]).status();
        }
    }

    fn log(&self) -> PathBuf {
        self.path().join("daemon.log")
    }

    pub fn daemon_log(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// Runs `hoist` with these arguments.
    pub fn hoist(&self, args: &[&str]) -> Done {
        run(self.command(HOIST).args(args))
    }

    /// Runs another program in the host's network namespace.
    pub fn other(&self, program: &str, args: &[&str]) -> Done {
        run(self.command(program).env("DOCKER_HOST", self.docker_host()).args(args))
    }

    /// Writes a file into the test's directory and returns its path.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("a file has a directory")).expect("the directory can be made");
        fs::write(&path, text).expect("the file can be written");
        path
    }

    /// The answer to an HTTP GET, once there is one.
    pub fn get(&self, url: &str) -> String {
        let mut last = String::new();
        let answered = wait_until(|| {
            let done = self.other("curl", &["-sS", "--max-time", "5", url]);
            last = if done.code == 0 { done.stdout } else { done.stderr };
            done.code == 0
        });
        assert!(answered, "{url} does not answer: {last}");
        last
    }

    /// Imports Debian's static busybox as `busybox:latest`.
    pub fn busybox(&self) {
        let tar = self.path().join("busybox.tar");
        busybox_tar(&tar);
        self.hoist(&["import", "-c", "CMD [\"sh\"]", &tar.display().to_string(), "busybox:latest"]).ok();
    }

    /// Starts an empty registry on the namespace's loopback; returns `127.0.0.1:PORT`.
    pub fn registry(&mut self) -> String {
        self.registry_that("")
    }

    /// The same for one user, who must log in.
    pub fn registry_with_login(&mut self, user: &str, password: &str) -> String {
        let line = self.other("htpasswd", &["-nbB", user, password]).ok();
        let path = self.write("htpasswd", &line);
        self.registry_that(&format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", path.display()))
    }

    fn registry_that(&mut self, more: &str) -> String {
        const ADDRESS: &str = "127.0.0.1:5000";
        let config = self.write(
            "registry.yml",
            &format!(
                "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\nhttp: {{addr: {ADDRESS}}}\n{more}",
                self.path().join("registry").display()
            ),
        );
        let server = self
            .command("docker-registry")
            .arg("serve")
            .arg(config)
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry starts");
        self.servers.push(server);
        self.get(&format!("http://{ADDRESS}/v2/"));
        ADDRESS.to_owned()
    }

    /// What would be left behind: interfaces, mounts, namespaces, processes of ours, once nothing should run.
    ///
    /// The kernel takes a namespace's interfaces away some time after its last process, behind all others that go.
    pub fn leftovers(&self) -> Vec<String> {
        let mut found = Vec::new();
        wait_until(|| {
            found = self.left_now();
            found.is_empty()
        });
        found
    }

    fn left_now(&self) -> Vec<String> {
        let mut found = Vec::new();
        let links = self.other("ip", &["-o", "link"]).ok();
        // Sandboxes that are kept ready for the next container are on no bridge.
        let connected = |line: &&str| line.contains("veth") && line.contains(" master ");
        found.extend(links.lines().filter(connected).map(|line| format!("link: {line}")));
        let root = self.path().display().to_string();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let namespaces = self.run_root().join("netns").display().to_string();
        // The daemon's own memory for secrets stays, once it was needed.
        let secrets = format!("{} ", self.run_root().join("secrets").display());
        let stays = |line: &&str| line.contains(&namespaces) || line.contains(&secrets);
        let left = mounts.lines().filter(|line| line.contains(&root) && !stays(line));
        found.extend(left.map(|line| format!("mount: {line}")));
        let containers = self.data_root().join("containers");
        found.extend(names(&containers).map(|name| format!("container directory: {name}")));
        found
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = self.daemon_log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("--- the daemon's last words ---\n{}", lines[lines.len().saturating_sub(40)..].join("\n"));
        }
        if self.daemon.is_none() {
            // One that was killed has left its containers. What cannot start has none to show.
            let _ = self.try_start_daemon();
        }
        if self.daemon.is_some() {
            let ids = self.hoist(&["ps", "-aq", "--no-trunc"]).stdout;
            let ids: Vec<&str> = ids.split_whitespace().collect();
            if !ids.is_empty() {
                self.hoist(&[&["rm", "-f", "-v"], ids.as_slice()].concat());
            }
        }
        if let Some(daemon) = &mut self.daemon {
            let _ = Command::new("kill").arg(daemon.id().to_string()).status();
            let ended = || matches!(daemon.try_wait(), Ok(Some(_)) | Err(_));
            wait_until(ended);
        }
        for mut child in self.servers.drain(..).chain(self.daemon.take()) {
            let _ = child.kill();
            let _ = child.wait();
        }
        self.kill_the_rest();
        let _ = self.namespace.kill();
        let _ = self.namespace.wait();
        self.unmount_all();
    }
}

fn kill(pid: &str) {
    let _ = Command::new("kill").args(["-9", pid]).status();
}

/// A network namespace of its own with loopback up, which lasts as long as this process.
fn namespace() -> Child {
    let mut namespace = Command::new("unshare")
        .args(["--net", "sh", "-c", "ip link set lo up && echo ready && exec sleep 3600"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("unshare runs (util-linux)");
    let stdout = namespace.stdout.take().expect("standard output is a pipe");
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).expect("the namespace answers");
    assert_eq!(line.trim(), "ready");
    namespace
}

fn names(directory: &Path) -> impl Iterator<Item = String> {
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Done {
    let output = command.stdin(Stdio::null()).output().expect("the command runs");
    Done {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Asks until the answer is yes; `false` when patience ends first.
pub fn wait_until(mut probe: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if probe() {
            return true;
        }
        thread::sleep(Duration::from_millis(20));
    }
    false
}

/// A root file system with busybox and nothing else.
pub fn busybox_tar(path: &Path) {
    let file = fs::File::create(path).expect("the archive can be made");
    let mut tar = tar::Builder::new(file);
    let mut add = |name: &str, kind: tar::EntryType, mode: u32, link: Option<&str>, data: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_700_000_000);
        header.set_size(data.len() as u64);
        if let Some(link) = link {
            header.set_link_name(link).expect("a short name");
        }
        tar.append_data(&mut header, name, data).expect("the archive can be written");
    };
    for directory in ["bin", "dev", "etc", "home", "proc", "root", "sys", "tmp", "usr", "var"] {
        let mode = if directory == "tmp" { 0o1777 } else { 0o755 };
        add(&format!("{directory}/"), tar::EntryType::Directory, mode, None, b"");
    }
    let busybox = fs::read("/bin/busybox").expect("busybox-static is installed");
    add("bin/busybox", tar::EntryType::Regular, 0o755, None, &busybox);
    let applets = Command::new("/bin/busybox").arg("--list").output().expect("busybox runs").stdout;
    for applet in String::from_utf8_lossy(&applets).lines().filter(|applet| *applet != "busybox") {
        add(&format!("bin/{applet}"), tar::EntryType::Symlink, 0o777, Some("busybox"), b"");
    }
    add(
        "etc/passwd",
        tar::EntryType::Regular,
        0o644,
        None,
        b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
    );
    add("etc/group", tar::EntryType::Regular, 0o644, None, b"root:x:0:\nwheel:x:10:root\nnogroup:x:65534:\n");
    tar.finish().expect("the archive can be finished");
}
