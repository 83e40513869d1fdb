//! The library's own way: launch and exec in one call, with the root as layers.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use hoist_runtime::cgroup::Cgroup;
use hoist_runtime::launch::{
    CgroupPath, ExecInto, Launch, LaunchError, Launched, PreparedMount, Rootfs, Stdio, TerminalSize, exec_into, launch,
};
use oci_spec::runtime::Spec;
use serde_json::json;

use crate::harness::Bundle;

/// Runs `body` in a process of its own, which has one thread as launching demands. What it returns is its exit code.
fn alone(body: impl FnOnce() -> i32) -> i32 {
    // SAFETY: this test's process has two threads, of which the other only waits for this one.
    match unsafe { nix::unistd::fork() }.unwrap() {
        nix::unistd::ForkResult::Child => {
            let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).unwrap_or(101);
            // SAFETY: nothing of this copy needs to be cleaned up; the original does it.
            unsafe { libc::_exit(code) }
        }
        nix::unistd::ForkResult::Parent { child } => wait(child.as_raw()),
    }
}

fn wait(pid: i32) -> i32 {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    let (_, status) = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty()).unwrap().unwrap();
    status.exit_status().unwrap_or_else(|| 128 + status.terminating_signal().unwrap_or(0))
}

struct Layers {
    bundle: Bundle,
    upper: PathBuf,
    work: PathBuf,
    extra: PathBuf,
}

impl Layers {
    fn new(script: &str) -> Self {
        let bundle = Bundle::new(script);
        let make = |name: &str| {
            let dir = bundle.dir.path().join(name);
            fs::create_dir(&dir).unwrap();
            dir
        };
        let (upper, work, extra) = (make("upper"), make("work"), make("extra"));
        fs::write(extra.join("layer"), "from the upper layer\n").unwrap();
        Self { bundle, upper, work, extra }
    }

    fn spec(&self) -> Spec {
        serde_json::from_value(self.bundle.spec.clone()).unwrap()
    }

    fn lower(&self) -> Vec<PathBuf> {
        vec![self.extra.clone(), self.bundle.root()]
    }

    fn overlay(&self) -> Rootfs {
        Rootfs::Overlay { lower: self.lower(), upper: self.upper.clone(), work: self.work.clone(), volatile: false }
    }

    fn cgroup(&self) -> CgroupPath {
        CgroupPath::for_container(&self.bundle.id).unwrap()
    }

    fn launch(&self, spec: &Spec, change: impl FnOnce(&mut Launch<'_>)) -> Result<(Launched, Pipes), LaunchError> {
        let (stdio, pipes) = pipes();
        let mut plan = Launch {
            id: &self.bundle.id,
            spec,
            bundle: self.bundle.dir.path(),
            rootfs: self.overlay(),
            stdio,
            cgroup: self.cgroup(),
            init: false,
            mounts: Vec::new(),
            pass_fds: Vec::new(),
        };
        change(&mut plan);
        launch(plan).map(|launched| (launched, pipes))
    }
}

impl Drop for Layers {
    fn drop(&mut self) {
        if let Ok(cgroup) = Cgroup::open(&self.cgroup()) {
            let _ = cgroup.kill_all(libc::SIGKILL);
            let _ = cgroup.delete();
        }
    }
}

#[derive(Debug)]
struct Pipes {
    stdin: Option<OwnedFd>,
    stdout: File,
}

impl Pipes {
    fn text(&mut self) -> String {
        let mut text = String::new();
        self.stdout.read_to_string(&mut text).unwrap();
        text
    }
}

fn pipes() -> (Stdio, Pipes) {
    let pipe = || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let ((stdin, feed), (read, stdout)) = (pipe(), pipe());
    let stderr = stdout.try_clone().unwrap();
    (Stdio::Streams { stdin, stdout, stderr }, Pipes { stdin: Some(feed), stdout: read.into() })
}

#[test]
fn layers_become_a_root_that_only_the_container_sees() {
    let layers = Layers::new("cat /layer; echo written > /new; read line; echo $line");
    let code = alone(|| {
        let (launched, mut pipes) = layers.launch(&layers.spec(), |_| {}).unwrap();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(layers.bundle.dir.path().to_str().unwrap()), "the host sees a mount");
        File::from(pipes.stdin.take().unwrap()).write_all(b"typed\n").unwrap();
        assert_eq!(pipes.text(), "from the upper layer\ntyped\n");
        wait(launched.pid)
    });
    assert_eq!(code, 0);
    assert_eq!(fs::read_to_string(layers.upper.join("new")).unwrap(), "written\n");
    assert!(!layers.bundle.root().join("new").exists());
}

#[test]
fn layers_that_cannot_be_written() {
    let layers = Layers::new("cat /layer; touch /new; echo $?; touch /dev/shm/x; echo $?");
    let code = alone(|| {
        let rootfs = Rootfs::ReadOnlyOverlay { lower: layers.lower() };
        let (launched, mut pipes) = layers.launch(&layers.spec(), |launch| launch.rootfs = rootfs).unwrap();
        assert_eq!(pipes.text(), "from the upper layer\ntouch: /new: Read-only file system\n1\n0\n");
        wait(launched.pid)
    });
    assert_eq!(code, 0);
}

#[test]
fn many_layers() {
    let layers = Layers::new("cat /layer /deep");
    let code = alone(|| {
        let mut lower = layers.lower();
        for number in 0..60 {
            let dir = layers.bundle.dir.path().join(format!("a-layer-with-a-rather-long-name-{number:03}"));
            fs::create_dir(&dir).unwrap();
            fs::write(dir.join("deep"), format!("{number}\n")).unwrap();
            lower.insert(0, dir);
        }
        let rootfs = Rootfs::Overlay { lower, upper: layers.upper.clone(), work: layers.work.clone(), volatile: false };
        let (launched, mut pipes) = layers.launch(&layers.spec(), |launch| launch.rootfs = rootfs).unwrap();
        assert_eq!(pipes.text(), "from the upper layer\n59\n");
        wait(launched.pid)
    });
    assert_eq!(code, 0);
}

#[test]
fn an_init_reaps_forwards_and_ends_with_its_command() {
    let script = "trap 'echo term; exit 42' TERM; (sleep 0.05 & ) ; readlink /proc/1/exe; readlink /proc/1/fd/0; \
                  tr -d '\\0' < /proc/1/cmdline; cat /proc/1/environ; echo; echo $$; echo ready; while true; do sleep 0.05; done";
    let layers = Layers::new(script);
    let code = alone(|| {
        let (launched, mut pipes) = layers.launch(&layers.spec(), |launch| launch.init = true).unwrap();
        let mut seen = Vec::new();
        let mut byte = [0; 1];
        while !seen.ends_with(b"ready\n") {
            pipes.stdout.read_exact(&mut byte).unwrap();
            seen.push(byte[0]);
        }
        let seen = String::from_utf8(seen).unwrap();
        // The container's root may neither see which program it is nor what it has open.
        // The command is the second process.
        assert_eq!(seen, "initcat: can't open '/proc/1/environ': Permission denied\n\n2\nready\n");
        rustix::process::kill_process(
            rustix::process::Pid::from_raw(launched.pid).unwrap(),
            rustix::process::Signal::TERM,
        )
        .unwrap();
        assert_eq!(pipes.text(), "term\n");
        wait(launched.pid)
    });
    assert_eq!(code, 42);
}

#[test]
fn a_command_killed_under_an_init_ends_as_shells_say() {
    let mut layers = Layers::new("kill -9 $$");
    layers.bundle.spec["process"]["noNewPrivileges"] = json!(false);
    let arch = hoist_runtime::seccomp::native_arch().unwrap();
    layers.bundle.spec["linux"]["seccomp"] =
        serde_json::to_value(hoist_runtime::seccomp::docker_default(&[], arch)).unwrap();
    let code = alone(|| {
        let (launched, _pipes) = layers.launch(&layers.spec(), |launch| launch.init = true).unwrap();
        wait(launched.pid)
    });
    assert_eq!(code, 137);
}

#[test]
fn errors_have_the_exit_codes_of_command_lines() {
    for (args, expected, word) in [
        (&["/bin/none"][..], 127, "not found"),
        (&["none"], 127, "not found"),
        (&["/etc"], 126, "cannot be executed"),
        (&["/tmp/text"], 126, "cannot be executed"),
    ] {
        for init in [false, true] {
            let mut layers = Layers::new("");
            layers.bundle.args(args);
            fs::write(layers.bundle.root().join("tmp/text"), "no program").unwrap();
            let code = alone(|| {
                let error = layers.launch(&layers.spec(), |launch| launch.init = init).unwrap_err();
                assert!(error.to_string().contains(word), "{error}");
                error.exit_code()
            });
            assert_eq!(code, expected, "{args:?}");
            assert!(!layers.bundle.has_cgroup(), "{args:?}");
        }
    }
    let mut layers = Layers::new("true");
    layers.bundle.mount(json!({"destination": "/x", "type": "nosuchfs", "source": "x"}));
    assert_eq!(alone(|| layers.launch(&layers.spec(), |_| {}).unwrap_err().exit_code()), 125);
    assert!(!layers.bundle.has_cgroup());
}

#[test]
fn prepared_mounts_and_descriptors_are_handed_in() {
    let layers = Layers::new("cat /run/secrets/one /proc/self/fd/3; ls /proc/self/fd | tr '\\n' ' '");
    let code = alone(|| {
        let secret = layers.bundle.dir.path().join("secret");
        fs::write(&secret, "secret\n").unwrap();
        let passed = layers.bundle.dir.path().join("passed");
        fs::write(&passed, "passed\n").unwrap();
        let flags = rustix::mount::OpenTreeFlags::OPEN_TREE_CLONE | rustix::mount::OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let fd = rustix::mount::open_tree(rustix::fs::CWD, &secret, flags).unwrap();
        let (launched, mut pipes) = layers
            .launch(&layers.spec(), |launch| {
                launch.mounts.push(PreparedMount {
                    fd,
                    target: Path::new("/run/secrets/one").into(),
                    directory: false,
                });
                launch.pass_fds.push(File::open(&passed).unwrap().into());
            })
            .unwrap();
        assert_eq!(pipes.text(), "secret\npassed\n0 1 2 3 4 ");
        wait(launched.pid)
    });
    assert_eq!(code, 0);
}

#[test]
fn a_terminal_is_returned() {
    let layers = Layers::new("stty size; read x; echo got $x");
    let code = alone(|| {
        let size = Some(TerminalSize { rows: 20, columns: 90 });
        let (mut launched, _) =
            layers.launch(&layers.spec(), |launch| launch.stdio = Stdio::Terminal { size }).unwrap();
        let mut terminal = File::from(launched.terminal.take().unwrap());
        terminal.write_all(b"it\n").unwrap();
        let mut text = Vec::new();
        let _ = terminal.read_to_end(&mut text);
        let text = String::from_utf8_lossy(&text).replace('\r', "");
        assert!(text.contains("20 90\n") && text.contains("got it\n"), "{text}");
        wait(launched.pid)
    });
    assert_eq!(code, 0);
}

#[test]
fn exec_joins_what_was_launched() {
    let layers = Layers::new("sleep 1000; true");
    let code = alone(|| {
        let spec = layers.spec();
        let (first, _pipes) = layers.launch(&spec, |launch| launch.init = true).unwrap();
        let (stdio, mut pipes) = pipes();
        let mut process = spec.process().clone().unwrap();
        process.set_args(Some(["sh", "-c", "hostname; cat /layer; echo $$"].map(str::to_owned).to_vec()));
        let further = exec_into(ExecInto {
            init: first.pid,
            process: &process,
            spec: &spec,
            stdio,
            cgroup: layers.cgroup(),
            pass_fds: Vec::new(),
        })
        .unwrap();
        let text = pipes.text();
        assert!(text.starts_with("box\nfrom the upper layer\n"), "{text}");
        assert_eq!(wait(further.pid), 0);
        process.set_args(Some(vec!["none".into()]));
        let error = exec_into(ExecInto {
            init: first.pid,
            process: &process,
            spec: &spec,
            stdio: Stdio::Inherit,
            cgroup: layers.cgroup(),
            pass_fds: Vec::new(),
        })
        .unwrap_err();
        assert_eq!(error.exit_code(), 127);
        let cgroup = Cgroup::open(&layers.cgroup()).unwrap();
        assert!(cgroup.procs().unwrap().contains(&first.pid));
        cgroup.kill_all(libc::SIGKILL).unwrap();
        // Its end is seen through the descriptor before it is waited for.
        let mut fds = [rustix::event::PollFd::from_borrowed_fd(first.pidfd.as_fd(), rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut fds, None).unwrap();
        wait(first.pid)
    });
    assert_eq!(code, 137);
    Cgroup::open(&layers.cgroup()).unwrap().delete().unwrap();
    assert!(!layers.bundle.has_cgroup());
}
