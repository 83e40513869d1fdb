//! Where results go, and that they are what they should be.

use std::collections::BTreeMap;
use std::io::Read;
use std::process::Command;

use hoist_build::*;

use crate::support::*;
use crate::{build, context, request, try_out};

const FILE: &str = "\
FROM busybox AS build
RUN mkdir /out && echo built > /out/file && ln -s file /out/link && chmod 4750 /out/file
FROM scratch
COPY --from=build /out/ /
COPY x /sub/
";

pub fn results_go_where_they_are_asked() {
    machine(|m| async move {
        let engine = m.engine().await;
        let dir = context(m.root(), &[("x", "context")]);
        let place = m.root().join("results");
        std::fs::create_dir(&place).unwrap();
        let file = FILE.replace("chmod", "/bin/busybox chmod").replace("mkdir", "/bin/busybox mkdir");
        let file = file.replace("ln -s", "/bin/busybox ln -s");
        let mut wanted = request(&file, &dir);
        wanted.tags = vec!["out:1".into()];
        wanted.outputs = vec![
            Output::Local(place.join("files")),
            Output::Tar(place.join("files.tar")),
            Output::Docker(place.join("docker.tar")),
            Output::Oci(place.join("oci.tar")),
        ];
        let built = build(&engine, wanted).await;
        assert_eq!(built.result.as_ref().map(|result| result.image.clone()), Ok(None));
        assert_eq!(std::fs::read_to_string(place.join("files/link")).unwrap(), "built\n");
        assert_eq!(std::fs::read_to_string(place.join("files/sub/x")).unwrap(), "context");
        let names = |tar: &str| {
            let mut archive = tar::Archive::new(std::fs::File::open(place.join(tar)).unwrap());
            let mut names: Vec<String> = archive
                .entries()
                .unwrap()
                .map(|entry| entry.unwrap().path().unwrap().to_string_lossy().into_owned())
                .collect();
            names.sort();
            names
        };
        assert_eq!(names("files.tar"), ["./", "file", "link", "sub/", "sub/x"]);
        assert!(names("docker.tar").contains(&"manifest.json".to_owned()));
        assert!(names("oci.tar").contains(&"oci-layout".to_owned()));
        // An archive is no image of the engine's, until it is loaded.
        assert!(engine.images().get("out:1").await.is_err());
        let archive = tokio::fs::File::open(place.join("docker.tar")).await.unwrap();
        engine.images().load(archive, std::sync::Arc::new(())).await.unwrap();
        assert_eq!(engine.images().get("out:1").await.unwrap().config.history.len(), 2);
        let mut unknown = request(&file, &dir);
        unknown.cache_to.push(CacheLocation { kind: "gha".into(), options: BTreeMap::new() });
        assert!(build(&engine, unknown).await.error().contains("gha"));
        engine.close().await;
    });
}

pub fn the_same_sources_make_the_same_bytes() {
    machine(|m| async move {
        let engine = m.engine().await;
        let dir = context(m.root(), &[("x", "context")]);
        let file = "FROM busybox\nRUN /bin/busybox mkdir -p /a/b; echo 1 > /a/b/c\nWORKDIR /w\nCOPY x /y/\n";
        let mut wanted = request(file, &dir);
        wanted.source_date_epoch = Some(1_700_000_000);
        wanted.no_cache = true;
        let first = build(&engine, wanted.clone()).await.image();
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        std::fs::write(dir.join("x"), "context").unwrap();
        assert_eq!(build(&engine, wanted.clone()).await.image(), first);
        let image = engine.images().get(&first).await.unwrap();
        assert_eq!(image.config.created.as_deref(), Some("2023-11-14T22:13:20Z"));
        wanted.source_date_epoch = Some(1_600_000_000);
        assert_ne!(build(&engine, wanted).await.image(), first);
        engine.close().await;
    });
}

/// Everything in an archive of a file tree, in words.
fn tree(archive: impl Read) -> BTreeMap<String, String> {
    let mut archive = tar::Archive::new(archive);
    let mut tree = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_string_lossy().trim_matches(['.', '/']).to_owned();
        let header = entry.header().clone();
        let mut content = String::new();
        if header.entry_type().is_file() {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            content = match String::from_utf8(bytes) {
                Ok(text) => text,
                Err(error) => format!("{} bytes", error.as_bytes().len()),
            };
        }
        let link = entry.link_name().unwrap().map(|link| link.display().to_string()).unwrap_or_default();
        let mode = header.mode().unwrap() & 0o7777;
        let owner = (header.uid().unwrap(), header.gid().unwrap());
        tree.insert(path, format!("{:?} {mode:o} {owner:?} {content:?} {link}", header.entry_type()));
    }
    tree
}

const COMPARED: [&str; 2] = [
    "FROM BASE\nCOPY src /app\nCOPY --chown=33:4 run.sh /bin/\nCOPY *.txt /texts/\nWORKDIR /work/here\nCOPY x.txt .\n",
    "FROM BASE AS one\nCOPY src/ /s/\nFROM BASE\nCOPY --from=one /s/b /from\nADD src /added/\nCOPY --chmod=0711 run.sh /r\n",
];

/// Only where that program is installed; it runs in directories of the test's own.
pub fn buildah_makes_the_same_files() {
    if Command::new("buildah").arg("--version").output().is_err() {
        return;
    }
    machine(|m| async move {
        let engine = m.engine().await;
        let files = [("src/a.c", "a"), ("src/b/c.c", "c"), ("run.sh", "#!/bin/sh\n"), ("x.txt", "x"), ("y.txt", "y")];
        let dir = context(m.root(), &files);
        let archive = m.root().join("base.tar");
        let file = tokio::fs::File::create(&archive).await.unwrap();
        engine.images().save(&["busybox".into()], file, hoist_image::SaveFormat::Docker).await.unwrap();
        let buildah = |args: &[&str]| {
            let mut command = Command::new("buildah");
            let (root, run) = (m.root().join("store"), m.root().join("runroot"));
            command.arg("--root").arg(root).arg("--runroot").arg(run).args(["--storage-driver", "vfs"]).args(args);
            let done = command.current_dir(m.root()).output().unwrap();
            assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
            String::from_utf8(done.stdout).unwrap().trim().to_owned()
        };
        let id = buildah(&["pull", "-q", &format!("docker-archive:{}", archive.display())]);
        buildah(&["tag", &id, "localhost/base"]);
        for text in COMPARED {
            std::fs::write(m.root().join("File"), text.replace("BASE", "localhost/base")).unwrap();
            buildah(&["build", "--pull-never", "--isolation", "chroot", "-f", "File", "-t", "result", "context"]);
            let container = buildah(&["from", "--pull-never", "localhost/result"]);
            let root = buildah(&["mount", &container]);
            let tar = Command::new("tar").args(["-C", &root, "-c", "."]).output().unwrap();
            let theirs = tree(tar.stdout.as_slice());
            let mut wanted = request(&text.replace("BASE", "busybox"), &dir);
            let ours = m.root().join("ours.tar");
            wanted.outputs = vec![Output::Tar(ours.clone()), Output::Image { oci: false, push: false }];
            let built = build(&engine, wanted).await;
            let image = built.image();
            let ours = tree(std::fs::File::open(ours).unwrap());
            // Their root directory has a mode of their own.
            for (path, words) in theirs.iter().filter(|(path, _)| !path.is_empty()) {
                assert_eq!(ours.get(path), Some(words), "{path}");
            }
            assert_eq!(ours.len(), theirs.len());
            assert_eq!(try_out(&engine, &image, "test -d /bin && echo yes").await, "yes\n");
            buildah(&["umount", &container]);
            buildah(&["rm", &container]);
        }
        engine.close().await;
    });
}
