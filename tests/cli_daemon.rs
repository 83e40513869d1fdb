//! The daemon that a command starts when none runs.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

const HOIST: &str = env!("CARGO_BIN_EXE_hoist");

/// Two roots of a test's own; the daemon that was started in them ends with the test.
struct Roots(tempfile::TempDir);

impl Roots {
    fn new() -> Self {
        Self(tempfile::Builder::new().prefix("hoist-test-").tempdir().expect("a temporary directory"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// In a network namespace of its own, so that the machine's bridges stay as they are.
    fn hoist(&self, args: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command
            .args(["--net", HOIST])
            .args(args)
            .env_remove("HOIST_HOST")
            .env_remove("DOCKER_HOST")
            .env("HOME", self.path())
            .env("HOIST_DATA_ROOT", self.path().join("data"))
            .env("HOIST_RUN_ROOT", self.path().join("run"))
            .stdin(Stdio::null());
        command
    }

    fn pid(&self) -> Option<String> {
        std::fs::read_to_string(self.path().join("run/hoist.pid")).ok().map(|text| text.trim().to_owned())
    }
}

impl Drop for Roots {
    fn drop(&mut self) {
        let Some(pid) = self.pid() else { return };
        let _ = Command::new("kill").args(["-9", &pid]).status();
        // What the daemon had started has it for a parent no more, and this directory on its command line or in its mounts.
        let root = self.path().display().to_string();
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        for point in mounts.lines().rev().filter_map(|line| line.split(' ').nth(1)).filter(|p| p.starts_with(&root)) {
            let _ = Command::new("umount").args(["-l", point]).status();
        }
    }
}

fn text(output: &Output) -> (i32, String, String) {
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn a_command_starts_the_daemon_and_the_next_one_finds_it() {
    let roots = Roots::new();
    let (code, out, err) = text(&roots.hoist(&["ps", "-q"]).output().unwrap());
    assert_eq!((code, out.as_str(), err.as_str()), (0, "", ""));
    let first = roots.pid().unwrap();
    assert!(Path::new(&format!("/proc/{first}")).exists());
    roots.hoist(&["ps"]).output().unwrap();
    assert_eq!(roots.pid().unwrap(), first);
    assert!(std::fs::read_to_string(roots.path().join("run/daemon.log")).unwrap().contains("the daemon is ready"));
}

#[test]
fn commands_at_the_same_time_start_one_daemon() {
    let roots = Roots::new();
    let children: Vec<_> = (0..4)
        .map(|_| {
            roots
                .hoist(&["version", "-f", "{{.Server.Os}}"])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for child in children {
        let (code, out, err) = text(&child.wait_with_output().unwrap());
        assert_eq!((code, out.as_str(), err.as_str()), (0, "linux\n", ""));
    }
}

#[test]
fn the_daemon_holds_none_of_the_callers_pipes_open() {
    let roots = Roots::new();
    // `cat` ends only when nobody has the writing end of descriptor 9 any more.
    let script = "{ \"$@\" ps -q; } 9>&1 | cat";
    let hoist = roots.hoist(&[]);
    let mut command = Command::new("bash");
    command.args(["-c", script, "bash", "unshare", "--net", HOIST]);
    command.envs(hoist.get_envs().filter_map(|(key, value)| Some((key, value?))));
    command.env_remove("HOIST_HOST").env_remove("DOCKER_HOST").stdin(Stdio::null());
    let (code, out, err) = text(&command.output().unwrap());
    assert_eq!((code, out.as_str(), err.as_str()), (0, "", ""));
    assert!(roots.pid().is_some());
}

#[test]
fn a_daemon_that_cannot_start_says_why() {
    let roots = Roots::new();
    std::fs::create_dir(roots.path().join("run")).unwrap();
    std::fs::write(roots.path().join("data"), "a file where a directory is needed").unwrap();
    let (code, out, err) = text(&roots.hoist(&["ps"]).output().unwrap());
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.starts_with("hoist: the daemon did not start: ") && err.contains("/data"), "{err}");
    assert!(err.contains("hint: its log is "), "{err}");
}

#[test]
fn without_root_nothing_is_started_and_the_way_is_shown() {
    let roots = Roots::new();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", HOIST, "ps"]);
    command.env_remove("HOIST_HOST").env_remove("DOCKER_HOST").env("HOME", "/").env("HOIST_RUN_ROOT", "/nowhere/run");
    let (code, _, err) = text(&command.output().unwrap());
    assert_eq!(code, 1);
    assert!(err.contains("takes root") && err.contains("sudo hoist daemon"), "{err}");
    drop(roots);
}
