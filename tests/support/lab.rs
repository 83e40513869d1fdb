//! A lab for one test: machines in network namespaces, made and broken by `hoist lab`, all of it gone at the end.

use std::{
    path::Path,
    process::{Child, Command},
    thread,
};

use super::{Done, HOIST, namespace, run};

/// A lab under a directory of its own, whose outside is a network namespace of its own.
pub struct Lab {
    root: tempfile::TempDir,
    outside: Child,
}

impl Lab {
    /// `hoist lab up` with these flags.
    pub fn up(flags: &[&str]) -> Self {
        let root = tempfile::Builder::new().prefix("hl-").tempdir().expect("a temporary directory");
        let lab = Self { root, outside: namespace() };
        lab.lab(&[&["up"], flags].concat()).ok();
        lab
    }

    pub fn path(&self) -> &Path {
        self.root.path()
    }

    /// A command beside the machines.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.outside.id())).arg("--").arg(program);
        for name in ["DOCKER_HOST", "HOIST_HOST", "DOCKER_CONTEXT", "HOIST_CONTEXT", "DOCKER_CONFIG"] {
            command.env_remove(name);
        }
        command
            .current_dir(self.path())
            .env("HOIST_DATA_ROOT", self.path().join("d"))
            .env("HOIST_RUN_ROOT", self.path().join("r"))
            .env("HOME", self.path());
        command
    }

    /// `hoist …`
    pub fn hoist(&self, words: &[&str]) -> Done {
        run(self.command(HOIST).args(words))
    }

    /// `hoist lab …`
    pub fn lab(&self, words: &[&str]) -> Done {
        self.hoist(&[&["lab"], words].concat())
    }

    /// `hoist …` by a machine's daemon.
    pub fn on(&self, node: &str, words: &[&str]) -> Done {
        self.hoist(&[&["-c", &format!("lab-{node}")], words].concat())
    }

    /// What is left of it on the machine that the test runs on.
    pub fn leftovers(&self) -> Vec<String> {
        let root = self.path().display().to_string();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let mut found: Vec<String> =
            mounts.lines().filter(|line| line.contains(&root)).map(|line| format!("mount: {line}")).collect();
        for entry in std::fs::read_dir("/proc").expect("/proc is there").flatten() {
            let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let words = String::from_utf8_lossy(&words).replace('\0', " ");
            if words.contains(&format!("{root}/")) {
                found.push(format!("process: {words}"));
            }
        }
        let links = run(self.command("ip").args(["-o", "link"])).ok();
        found.extend(links.lines().filter(|line| line.contains("hl-")).map(|line| format!("link: {line}")));
        for dir in ["d/lab", "r/lab"] {
            if self.path().join(dir).exists() {
                found.push(format!("directory: {dir}"));
            }
        }
        found
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if thread::panicking() {
            for log in glob(&self.path().join("r/lab/lab")) {
                eprintln!("--- {} ---", log.display());
                let text = std::fs::read_to_string(&log).unwrap_or_default();
                let lines: Vec<&str> = text.lines().collect();
                eprintln!("{}", lines[lines.len().saturating_sub(15)..].join("\n"));
            }
        }
        if self.path().join("d/lab/lab").exists() {
            let _ = self.lab(&["down"]);
        }
        let _ = self.outside.kill();
        let _ = self.outside.wait();
    }
}

/// The daemons' logs.
fn glob(run: &Path) -> Vec<std::path::PathBuf> {
    let nodes = std::fs::read_dir(run).into_iter().flatten().flatten();
    nodes.map(|node| node.path().join("daemon.log")).filter(|log| log.exists()).collect()
}
