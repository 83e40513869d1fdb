//! Dockerfiles as people write them, built by Hoist and by buildah: the images hold the same and are run alike.
//!
//! What buildah of Debian 12 does not know stands beside a longer Dockerfile that says the same without it. Files from
//! elsewhere (addresses, repositories, their checksums) have tests of their own, as they need servers.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::process::Command;

use hoist_build::*;
use serde_json::Value;

use crate::support::*;
use crate::{build, context, request};

/// What both build.
const SAME: [&str; 10] = [
    // Variables in every form and place.
    "ARG V=1\nFROM BASE\nARG V\nARG W=${V}x\nENV A=$W B=${NONE:-d} C=\"q $W\" D=${V:+set} F=${NONE:+no}\nENV E $A and more\n\
     COPY x.txt /${W}/\nCOPY y.txt /$A-$B\nWORKDIR /$W/deep\nLABEL w=$W \"a b\"=\"c $V\"\nUSER ${V}0:4\nEXPOSE 80$V\nVOLUME /v$W\n\
     STOPSIGNAL $V\n",
    // Archives, which only ADD unpacks, and its other sources.
    "FROM BASE\nADD pack.tar.gz /un/\nADD pack.tar x.txt /two/\nCOPY pack.tar.gz /kept/\nADD --chown=7:8 y.txt /owned\n\
     ADD src /added/\nADD --chmod=0640 y.txt /moded\nADD [\"y.txt\", \"/with space/\"]\n",
    // How it is run.
    "FROM BASE\nSHELL [\"/bin/sh\", \"-ec\"]\nCMD echo shell form\nENTRYPOINT [\"/bin/busybox\"]\nCMD [\"echo\", \"exec form\"]\n\
     EXPOSE 80 443/tcp 53/udp\nVOLUME /data /var/cache\nSTOPSIGNAL SIGINT\nLABEL one=1 two=\"2 3\"\nMAINTAINER somebody\n\
     HEALTHCHECK --interval=5s --timeout=3s --start-period=1m30s --retries=3 CMD test -f /x\nONBUILD RUN true\n\
     ONBUILD COPY x.txt /x\n",
    "FROM BASE\nENTRYPOINT echo shell form\nHEALTHCHECK NONE\nVOLUME [\"/a b\"]\nUSER web:log\n",
    // Commands in both forms, where and as whom they run, and what they leave.
    "FROM BASE\nENV GREETING=hello\nARG WHO=world\nRUN echo shell > /shell && mkdir -p /d/e && ln -s e /d/link && /bin/busybox chmod 2751 /d/e && \
     /bin/busybox chown 5:6 /shell\n\
     RUN [\"/bin/sh\", \"-c\", \"echo exec > /exec\"]\nRUN /bin/busybox rm -r /bin/yes /data && echo again > /shell\n\
     SHELL [\"/bin/sh\", \"-c\", \"echo own shell > /own; eval \\\"$0\\\"\"]\nRUN echo by it > /by\n\
     RUN /bin/busybox chmod 1777 /tmp\nUSER 65534:65534\nWORKDIR /tmp\nSHELL [\"/bin/sh\", \"-c\"]\n\
     RUN echo $GREETING $WHO $(id -u) > said\nUSER root\nRUN cat /tmp/said > /said\n",
    // Destinations: a new name, a directory that is there, one that is not, a link to one; names, patterns, owners, modes.
    "FROM BASE\nRUN mkdir /real && ln -s /real /linked\nCOPY x.txt /renamed\nCOPY x.txt /linked/\nCOPY src/b /linked/b\nCOPY src /new/\n\
     COPY x.txt y.txt /several/\nCOPY src/a.c src/b /mixed/\nCOPY . /all/\nCOPY *.t?t /texts/\nCOPY [xy].txt /class/\n\
     COPY [\"x.txt\", \"/a name\"]\nCOPY --chown=33:4 run.sh /bin/\nCOPY --chown=web:log src /owned\nWORKDIR /work/here\n\
     COPY x.txt .\nCOPY y.txt sub/\n",
    // Stages on stages, and files of an earlier one that is no base, by name and by number.
    "FROM BASE AS tools\nRUN echo tool > /tool\nFROM tools AS build\nRUN cat /tool /tool > /built\nFROM BASE AS other\nCOPY x.txt /x\n\
     FROM other\nCOPY --from=build /built /tool /out/\nCOPY --from=0 /tool /bin/\nCOPY --from=BASE /data/seed /seed\n",
    // Nothing below; owners and modes of other stages are kept.
    "FROM BASE AS make\nRUN mkdir /root /root/out && echo 1 > /root/out/one && /bin/busybox chmod 4755 /root/out/one && \
     /bin/busybox chown 3:4 /root/out/one && mkdir -m 1777 -p /s/sticky && echo a > /s/sticky/a && ln -s ../x /s/sticky/c && \
     /bin/busybox mkfifo /s/sticky/p\nFROM scratch\nCOPY --from=make /root/out/ /\nCOPY --from=make /s /s\nCOPY x.txt /etc/\n",
    // Mounts leave no trace.
    "FROM BASE AS from\nRUN echo mounted > /value\nFROM BASE\n\
     RUN mkdir /tmp/s /tmp/scratch /tmp/cache && touch /tmp/v\n\
     RUN --mount=type=bind,from=from,source=/value,target=/tmp/v --mount=type=bind,source=src,target=/tmp/s cat /tmp/v /tmp/s/a.c > /copied\n\
     RUN --mount=type=tmpfs,target=/tmp/scratch echo gone > /tmp/scratch/x\n\
     RUN --mount=type=cache,target=/tmp/cache,id=beside,mode=0700 echo kept > /tmp/cache/x\n\
     RUN --mount=type=secret,id=s wc -c < /run/secrets/s > /length\n",
    // Long lines, comments, another escape, letters of any size.
    "# escape=`\n# a comment\nfrom BASE\nRUN echo one `\n  # not part of it\n  two > /lines\nenv A=1 `\n    B=\"two words\" `\n    C=3\n\
     Label x=y\n",
];

/// What only one of them knows, and the same in words of the other.
const ALIKE: [(&str, &str); 4] = [
    // Files and scripts that stand in the Dockerfile.
    (
        "FROM BASE\nARG W=who\nCOPY <<one <<\"two\" /docs/\nfor $W\none\nfor $W\ntwo\nCOPY --chmod=0750 --chown=1:2 <<-END /file\n\t\ttext\n\tEND\n\
         RUN <<EOF\necho 1 > /one\necho 2 > /two\nEOF\nRUN <<EOF cat > /three\n3\nEOF\n",
        "FROM BASE\nRUN mkdir /docs && echo for who > /docs/one && echo 'for $W' > /docs/two && echo text > /file && \
         /bin/busybox chmod 0750 /file && /bin/busybox chown 1:2 /file\nRUN echo 1 > /one; echo 2 > /two; echo 3 > /three\n",
    ),
    // Exclusions, and paths that are kept.
    (
        "FROM BASE\nCOPY --exclude=*.txt --exclude=src/b . /some/\nADD --exclude=**/*.c src /bare/\nCOPY --parents src/b/c.c ./src/./a.c /kept/\n\
         COPY --parents **/*.c /deep/\n",
        "FROM BASE\nCOPY run.sh pack.tar pack.tar.gz /some/\nCOPY src/a.c /some/src/\nRUN mkdir -p /bare/b\nCOPY src/b/c.c /kept/src/b/\n\
         COPY src/a.c /kept/\nCOPY src/a.c /deep/src/\nCOPY src/b/c.c /deep/src/b/\n",
    ),
    // Layers of their own, archives as they are, and such that are unpacked all the same; a mode for a new directory, too.
    (
        "FROM BASE\nCOPY --link x.txt /new/place/x\nADD --link src /linked/\nADD --unpack=false pack.tar /whole/\nADD --unpack=true pack.tar.gz /apart/\n\
         COPY --chmod=u=rwX,go=rX --from=BASE /data/seed /bin/seed\n\
         COPY --chmod=0711 src /made\nRUN cat /new/place/x > /read\n",
        "FROM BASE\nCOPY x.txt /new/place/x\nCOPY src /linked/\nCOPY pack.tar /whole/\nADD pack.tar.gz /apart/\n\
         COPY --from=BASE --chmod=0644 /data/seed /bin/seed\n\
         COPY --chmod=0711 src /made\nRUN /bin/busybox chmod 0711 /made\nRUN cat /new/place/x > /read\n",
    ),
    // Arguments that nobody gives, and platforms.
    (
        "FROM --platform=$BUILDPLATFORM BASE AS one\nARG TARGETOS\nRUN echo $TARGETOS > /os\nFROM --platform=linux BASE\nCOPY --from=one /os /os\n\
         RUN --security=sandbox --network=default echo as usual > /usual\nRUN --network=none test ! -e /sys/class/net/eth0\nENV A=a-b-c\nENV B=${A#a-} C=${A%-c} D=${A##*-} F=${A%%-*} G=${A/-/+} H=${A//-/+}\n",
        "FROM BASE\nRUN echo linux > /os\nRUN echo as usual > /usual\nENV A=a-b-c\nENV B=b-c C=a-b D=c F=a G=a+b-c H=a+b+c\n",
    ),
];

/// Everything in an archive of a file tree, in words.
fn tree(archive: impl Read) -> BTreeMap<String, String> {
    let mut archive = tar::Archive::new(archive);
    let mut tree = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_string_lossy().trim_start_matches("./").trim_matches('/').to_owned();
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

/// What an image's configuration says of how it is run, without what is empty.
fn how_it_is_run(config: &Value) -> BTreeMap<String, Value> {
    let same = [
        "Env",
        "Cmd",
        "Entrypoint",
        "User",
        "WorkingDir",
        "Volumes",
        "ExposedPorts",
        "StopSignal",
        "Labels",
        "Healthcheck",
        "Shell",
        "OnBuild",
    ];
    let mut all = BTreeMap::new();
    for key in same {
        let value = match &config[key] {
            Value::Object(map) if map.is_empty() => continue,
            Value::Array(items) if items.is_empty() => continue,
            Value::String(text) if text.is_empty() => continue,
            Value::Null => continue,
            // Where nothing is said.
            Value::String(text) if key == "WorkingDir" && text == "/" => continue,
            other => other.clone(),
        };
        all.insert(key.to_owned(), value);
    }
    all
}

/// buildah with a store of its own.
fn buildah(root: &Path, args: &[&str]) -> String {
    let mut command = Command::new("buildah");
    let (store, run) = (root.join("theirs/store"), root.join("theirs/run"));
    command.arg("--root").arg(store).arg("--runroot").arg(run).args(["--storage-driver", "overlay"]).args(args);
    let done = command.current_dir(root).output().unwrap();
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

/// What buildah makes of a Dockerfile.
fn theirs(root: &Path, text: &str) -> (BTreeMap<String, String>, BTreeMap<String, Value>) {
    std::fs::write(root.join("File"), text.replace("BASE", "localhost/base")).unwrap();
    let mut args = vec!["build", "--pull-never", "--isolation", "chroot", "--format", "docker"];
    args.extend([
        "--secret",
        "id=s,src=secret",
        "-f",
        "File",
        "-t",
        "result",
        "--output",
        "type=tar,dest=theirs/files.tar",
        "context",
    ]);
    buildah(root, &args);
    let inspected = buildah(root, &["inspect", "--type", "image", "localhost/result"]);
    let mut config: Value = serde_json::from_str::<Value>(&inspected).unwrap()["Docker"]["config"].clone();
    if let Some(labels) = config["Labels"].as_object_mut() {
        labels.remove("io.buildah.version");
    }
    (tree(std::fs::File::open(root.join("theirs/files.tar")).unwrap()), how_it_is_run(&config))
}

/// Only where that program is installed; it runs in directories of the test's own.
pub fn buildah_makes_the_same_images() {
    if Command::new("buildah").arg("--version").output().is_err() {
        return;
    }
    machine(|m| async move {
        let engine = m.engine().await;
        let files = [("src/a.c", "a"), ("src/b/c.c", "c"), ("run.sh", "#!/bin/sh\n"), ("x.txt", "x"), ("y.txt", "y")];
        let dir = context(m.root(), &files);
        std::fs::write(m.root().join("secret"), "12345").unwrap();
        for (name, flag) in [("pack.tar", "-cf"), ("pack.tar.gz", "-czf")] {
            let packing =
                Command::new("tar").arg(flag).arg(dir.join(name)).arg("-C").arg(&dir).args(["src", "x.txt"]).status();
            assert!(packing.unwrap().success());
        }
        // It writes much and waits for the disk each time.
        std::fs::create_dir(m.root().join("theirs")).unwrap();
        let place = m.root().join("theirs");
        nix::mount::mount(Some("tmpfs"), &place, Some("tmpfs"), nix::mount::MsFlags::empty(), None::<&str>).unwrap();
        let archive = m.root().join("base.tar");
        let file = tokio::fs::File::create(&archive).await.unwrap();
        engine.images().save(&["busybox".into()], &[], file, hoist_image::SaveFormat::Docker).await.unwrap();
        let id = buildah(m.root(), &["pull", "-q", &format!("docker-archive:{}", archive.display())]);
        buildah(m.root(), &["tag", &id, "localhost/base"]);
        let mut wrong = Vec::new();
        for (text, other) in SAME.iter().map(|text| (*text, *text)).chain(ALIKE) {
            let (their_files, their_config) = theirs(m.root(), other);
            let mut wanted = request(&text.replace("BASE", "busybox"), &dir);
            wanted.secrets.insert("s".into(), Secret(b"12345".to_vec()));
            let tar = m.root().join("ours.tar");
            wanted.outputs = vec![Output::Tar(tar.clone()), Output::Image(ImageOutput::default())];
            let image = build(&engine, wanted).await.image();
            let our_files = tree(std::fs::File::open(tar).unwrap());
            // Their root directory has a mode of its own, and their commands leave places of mounts.
            let traces = [
                "",
                "etc/hosts",
                "etc/hostname",
                "etc/resolv.conf",
                "run",
                "run/.containerenv",
                "run/secrets",
                "etc/mtab",
            ];
            let counts = |path: &str| !traces.contains(&path);
            for (path, words) in their_files.iter().filter(|(path, _)| counts(path)) {
                if our_files.get(path) != Some(words) {
                    wrong.push(format!("{path}: {words}, and here {:?}\n{text}", our_files.get(path)));
                }
            }
            for path in our_files.keys().filter(|path| counts(path) && !their_files.contains_key(*path)) {
                wrong.push(format!("{path} is here only\n{text}"));
            }
            let ours = engine.images().get(&image).await.unwrap();
            let ours = how_it_is_run(&serde_json::to_value(&ours.config.config).unwrap());
            if ours != their_config {
                wrong.push(format!("run as {their_config:?}, and here {ours:?}\n{text}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        engine.close().await;
    });
}
