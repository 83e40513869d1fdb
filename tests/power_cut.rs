//! The power goes: everything that ran is dead, what was not synced is half there. The next daemon starts, and has a
//! thing or cleanly has it not.

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use support::{Host, run, wait_until};

/// What can have become of a file whose last writes were not synced.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Damage {
    /// Its second half is missing.
    Half,
    /// It has no bytes.
    Empty,
    /// It has its length, and zeros.
    Zeros,
    /// Some bytes in its middle are others.
    Garbled,
    /// It is not there.
    Gone,
}

impl Damage {
    fn apply(self, path: &Path) {
        let mut bytes = fs::read(path).expect("the file is there");
        let middle = bytes.len() / 2;
        match self {
            Self::Half => bytes.truncate(middle),
            Self::Empty => bytes.clear(),
            Self::Zeros => bytes.fill(0),
            Self::Garbled => bytes.iter_mut().skip(middle).take(64).for_each(|byte| *byte ^= 0x55),
            Self::Gone => return fs::remove_file(path).expect("the file can be removed"),
        }
        fs::write(path, bytes).expect("the file can be written");
    }
}

/// A host that had a bit of everything when the power went, and its data root as it was then.
struct Cut {
    host: Host,
    pristine: PathBuf,
    /// The containers, by name.
    containers: Vec<String>,
}

impl Cut {
    fn new() -> Self {
        let mut host = Host::new();
        host.busybox();
        host.hoist(&["volume", "create", "kept"]).ok();
        host.hoist(&["network", "create", "wire"]).ok();
        let serve = "echo one; echo two; echo data >/v/file; exec sleep 600";
        host.hoist(&[
            "run",
            "-d",
            "--name",
            "server",
            "--restart",
            "always",
            "-v",
            "kept:/v",
            "--network",
            "wire",
            "busybox",
            "sh",
            "-c",
            serve,
        ])
        .ok();
        host.hoist(&["run", "-d", "--rm", "--name", "passing", "busybox", "sleep", "600"]).ok();
        host.hoist(&["run", "--name", "ended", "busybox", "sh", "-c", "echo done; exit 3"]).fails(3);
        let project = host.write(
            "compose.yaml",
            "name: p\nservices:\n  web:\n    image: busybox\n    init: true\n    restart: always\n    command: sleep 600\n    volumes: [data:/data]\nvolumes: {data: {}}\n",
        );
        host.hoist(&["up", "-d", "-f", &project.display().to_string()]).ok();
        let volume = host.data_root().join("volumes/kept/_data/file");
        assert!(wait_until(|| volume.exists()));
        let containers = host.hoist(&["ps", "-a", "--format", "{{.Names}}"]).ok().lines().map(str::to_owned).collect();
        host.power_cut();
        let pristine = host.path().join("pristine");
        fs::rename(host.data_root(), &pristine).expect("the data root can be moved");
        Self { host, pristine, containers }
    }

    /// The data root as the power left it.
    fn restore(&mut self) {
        if self.host.data_root().exists() {
            fs::remove_dir_all(self.host.data_root()).expect("the data root can be removed");
        }
        run(Command::new("cp").arg("-a").arg(&self.pristine).arg(self.host.data_root())).ok();
    }

    /// Files of the data root whose path has a shape: `*` stands for one component.
    fn files(&self, shape: &str) -> Vec<PathBuf> {
        let mut found = vec![self.host.data_root()];
        for part in shape.split('/') {
            let (before, after) = part.split_once('*').unwrap_or((part, ""));
            let fits = |name: &str| match part.contains('*') {
                true => name.len() >= part.len() && name.starts_with(before) && name.ends_with(after),
                false => name == part,
            };
            let inside = |dir: PathBuf| fs::read_dir(dir).into_iter().flatten().flatten();
            found = found
                .into_iter()
                .flat_map(inside)
                .filter(|entry| fits(&entry.file_name().to_string_lossy()))
                .map(|entry| entry.path())
                .collect();
        }
        assert!(!found.is_empty(), "nothing is like {shape}");
        found
    }

    /// What the daemon says that it has, it has; and it works.
    fn works(&self, what: &str) {
        let host = &self.host;
        for (list, inspect) in [
            (&["ps", "-aq", "--no-trunc"][..], &["inspect"][..]),
            (&["images", "-q", "--no-trunc"], &["image", "inspect"]),
            (&["volume", "ls", "-q"], &["volume", "inspect"]),
            (&["network", "ls", "-q"], &["network", "inspect"]),
        ] {
            let ids = host.hoist(list).ok();
            let ids: Vec<&str> = ids.lines().collect();
            if !ids.is_empty() {
                let done = host.hoist(&[inspect, &ids].concat());
                assert_eq!(done.code, 0, "{what}: {inspect:?}: {}", done.stderr);
            }
        }
        if host.hoist(&["images", "-q", "busybox"]).ok().is_empty() {
            host.busybox();
        }
        assert_eq!(host.hoist(&["run", "--rm", "busybox", "echo", "works"]).ok(), "works\n", "{what}");
        let ids = host.hoist(&["ps", "-aq", "--no-trunc"]).ok();
        for id in ids.lines() {
            let logs = host.hoist(&["logs", id]);
            assert_eq!(logs.code, 0, "{what}: logs: {}", logs.stderr);
        }
    }

    /// Everything goes away when asked to.
    fn goes(&self, what: &str) {
        let project = self.host.path().join("compose.yaml").display().to_string();
        let done = self.host.hoist(&["down", "-v", "-f", &project]);
        assert_eq!(done.code, 0, "{what}: down: {}", done.stderr);
        let ids = self.host.hoist(&["ps", "-aq", "--no-trunc"]).ok();
        let ids: Vec<&str> = ids.lines().collect();
        if !ids.is_empty() {
            let done = self.host.hoist(&[&["rm", "-f", "-v"], ids.as_slice()].concat());
            assert_eq!(done.code, 0, "{what}: rm: {}", done.stderr);
        }
        // The kernel takes a namespace's interfaces away in its own time.
        wait_until(|| self.host.leftovers().is_empty());
        assert_eq!(self.host.leftovers(), [] as [String; 0], "{what}");
    }
}

/// Nothing was lost but what ran: it starts again as its policy says. What an interrupted write left beside the files
/// is not believed.
#[test]
fn what_was_synced_is_there() {
    let mut cut = Cut::new();
    cut.restore();
    let half = |path: PathBuf| fs::write(path, "{\"version\":1,\"na").expect("a half-written file");
    let beside = [
        ("images/state.json", ".tmp-abcdef"),
        ("blobs/sha256", "sha256/.tmp-abcdef"),
        ("blobs/partial", "partial/.new-abcdef"),
        ("containers/*/container.json", "container.part"),
        ("containers/*/state.json", "state.part"),
        ("volumes/*/volume.json", "volume.json.part"),
        ("agent/node-id", "node-id.tmp"),
        ("agent/assignments.json", "assignments.tmp"),
        ("engine-id", "engine-id.new"),
        ("cluster/key", "key.tmp"),
    ];
    for (shape, name) in beside {
        for file in cut.files(shape) {
            half(file.with_file_name(name));
        }
    }
    for file in cut.files("networks/*.json") {
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        half(file.with_file_name(format!(".{name}.tmp")));
    }
    fs::create_dir_all(cut.host.data_root().join("containers").join("ab".repeat(32))).expect("a directory");
    fs::create_dir_all(cut.host.data_root().join("snapshots/l/zz")).expect("a directory");
    fs::create_dir_all(cut.host.data_root().join("volumes/halfmade")).expect("a directory");

    cut.host.start_daemon();
    let names = || cut.host.hoist(&["ps", "-a", "--format", "{{.Names}}"]).ok();
    let lasting: Vec<&String> = cut.containers.iter().filter(|name| *name != "passing").collect();
    assert!(wait_until(|| !names().contains("passing")), "--rm holds");
    for name in lasting {
        assert!(names().lines().any(|line| line == name), "{name} is gone: {}", names());
    }
    let state = |name: &str| cut.host.hoist(&["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name]).ok();
    assert_eq!(state("ended"), "exited 3\n");
    assert!(wait_until(|| state("server") == "running 0\n"), "{}", state("server"));
    assert_eq!(cut.host.hoist(&["exec", "server", "cat", "/v/file"]).ok(), "data\n");
    assert!(cut.host.hoist(&["logs", "server"]).ok().starts_with("one\ntwo\n"));
    assert_eq!(cut.host.hoist(&["volume", "ls", "-q"]).ok(), "kept\np_data\n");
    let web = || cut.host.hoist(&["ps", "-q", "--filter", "label=com.docker.compose.project=p"]).ok();
    assert!(wait_until(|| web().lines().count() == 1), "the project's service runs again");
    cut.works("nothing was damaged");
    cut.goes("nothing was damaged");
}

/// Files that are written without a sync, as they can be made again or tell of what died anyway.
#[test]
fn what_was_not_synced_may_be_in_any_state() {
    let mut cut = Cut::new();
    let unsynced = [
        "containers/*/state.json",
        "containers/*/hosts",
        "containers/*/hostname",
        "containers/*/resolv.conf",
        "containers/*/*-json.log",
    ];
    for damage in [Damage::Half, Damage::Empty, Damage::Zeros, Damage::Garbled, Damage::Gone] {
        cut.restore();
        for file in unsynced.iter().flat_map(|shape| cut.files(shape)) {
            damage.apply(&file);
        }
        cut.host.start_daemon();
        let what = format!("{damage:?}");
        for name in cut.containers.iter().filter(|name| *name != "passing") {
            assert_eq!(cut.host.hoist(&["inspect", "-f", "{{.Name}}", name]).ok(), format!("/{name}\n"), "{what}");
        }
        cut.works(&what);
        cut.goes(&what);
        cut.host.power_cut();
    }
}

/// Records that are synced before anybody relies on them, so that a power cut leaves them out at most. A disk may damage
/// them all the same: then the daemon works without, or says which file it cannot do without.
#[test]
fn damaged_records_of_the_engine_are_never_believed() {
    let shapes = [
        "containers/*/container.json",
        "volumes/*/volume.json",
        "networks/*.json",
        "images/state.json",
        "blobs/sha256/*",
    ];
    assert_eq!(refused(&shapes), ["images/state.json Half"]);
}

#[test]
fn damaged_records_of_the_cluster_are_never_believed() {
    let shapes = ["engine-id", "agent/node-id", "agent/assignments.json", "cluster/key", "cluster/log.redb"];
    assert_eq!(
        refused(&shapes),
        ["agent/node-id Half", "cluster/key Half", "cluster/key Gone", "cluster/log.redb Half"]
    );
}

/// Damages files of each shape in turn; which of them the daemon refuses to start with, and names.
fn refused(shapes: &[&str]) -> Vec<String> {
    let mut cut = Cut::new();
    let mut refused = Vec::new();
    for shape in shapes {
        for damage in [Damage::Half, Damage::Gone] {
            if (*shape, damage) == ("agent/node-id", Damage::Gone) {
                // Another node then, and tasks wait for the lost one for as long as nodes may be away.
                continue;
            }
            cut.restore();
            let files = cut.files(shape);
            files.iter().for_each(|file| damage.apply(file));
            let what = format!("{shape} {damage:?}");
            match cut.host.try_start_daemon() {
                Ok(()) => {
                    cut.works(&what);
                    cut.goes(&what);
                    let kept = cut.host.data_root().join("volumes/kept/_data/file");
                    assert!(kept.exists(), "{what}: a volume's files are never thrown away");
                    cut.host.power_cut();
                }
                Err(reason) => {
                    assert!(!reason.contains("panicked"), "{what}: {reason}");
                    let path = files[0].display().to_string();
                    assert!(reason.contains(&path), "{what}: {reason} does not name {path}");
                    refused.push(what);
                }
            }
        }
    }
    refused
}

/// Builds write their cache when there is time: whatever the power left of it, the next daemon builds what is asked, and
/// what it takes from the cache is right.
#[test]
fn a_damaged_build_cache_costs_steps_and_nothing_else() {
    let mut host = Host::new();
    host.busybox();
    host.write(
        "context/Dockerfile",
        "FROM busybox\nRUN echo one > /one\nCOPY file /file\nRUN cat /one /file > /both\n",
    );
    host.write("context/file", "two\n");
    let build = |host: &Host| host.hoist(&["build", "--network", "none", "-q", "-t", "app", "context"]);
    build(&host).ok();
    host.power_cut();
    let pristine = host.path().join("pristine");
    fs::rename(host.data_root(), &pristine).expect("the data root can be moved");
    let journal = pristine.join("build/cache.journal");
    if !journal.exists() {
        // It was written into the database already; another may be in the making at any time.
        fs::write(&journal, format!("\n{} [\"step\",\"{{}}\"]\n", "0".repeat(64))).expect("a journal");
    }
    for damage in [Damage::Half, Damage::Empty, Damage::Zeros, Damage::Garbled, Damage::Gone] {
        for file in ["cache.redb", "cache.journal"] {
            if (file, damage) == ("cache.redb", Damage::Garbled) {
                // Its pages are checked where it was not closed, and a disk that lies about closed ones is no power cut.
                continue;
            }
            run(Command::new("cp").arg("-a").arg(&pristine).arg(host.data_root())).ok();
            damage.apply(&host.data_root().join("build").join(file));
            host.start_daemon();
            let what = format!("{file} {damage:?}");
            let done = build(&host);
            assert_eq!(done.code, 0, "{what}: {}", done.stderr);
            assert_eq!(
                host.hoist(&["run", "--rm", "--network", "none", "app", "cat", "/both"]).ok(),
                "one\ntwo\n",
                "{what}"
            );
            host.power_cut();
            fs::remove_dir_all(host.data_root()).expect("the data root can be removed");
        }
    }
}
