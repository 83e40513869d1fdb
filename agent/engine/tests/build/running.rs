//! Commands: what is mounted for them, how they end, and what is left.

use std::time::Duration;

use hoist_build::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use crate::support::*;
use crate::{Built, build, context, request, try_out};

const MOUNTS: &str = "\
FROM busybox AS tools
RUN mkdir -p /t/sub && echo tool > /t/sub/x
FROM busybox
RUN --mount=type=bind,source=in,target=/mnt/in \\
    --mount=type=bind,from=tools,source=/t,target=/mnt/tools \\
    --mount=type=bind,from=tools,source=/t/sub/x,target=/mnt/one \\
    --mount=type=bind,source=in,target=/mnt/rw,rw \\
    --mount=type=tmpfs,target=/mnt/tmp,size=1m \\
    --mount=type=ssh --mount=type=secret,id=s,target=/etc/deep/secret,mode=0440,uid=33 \\
    cat /mnt/in/file /mnt/tools/sub/x /mnt/one && \\
    ! touch /mnt/in/new && ! touch /mnt/tools/new && touch /mnt/rw/new && ls /mnt/rw && \\
    grep -c ' /mnt/tmp tmpfs' /proc/mounts && test -S $SSH_AUTH_SOCK && echo $SSH_AUTH_SOCK && \\
    stat -c '%u %a' /etc/deep/secret && cat /etc/hostname && id -u && echo kept > /kept
RUN ls / && ls /etc
";

pub fn mounts_are_there_and_leave_no_trace() {
    machine(|m| async move {
        let engine = m.engine().await;
        let dir = context(m.root(), &[("in/file", "from the context")]);
        let agent = m.root().join("agent.sock");
        let listener = tokio::net::UnixListener::bind(&agent).unwrap();
        let serving = tokio::spawn(async move {
            let (mut client, _) = listener.accept().await.unwrap();
            client.write_all(b"agent").await.unwrap();
            let _ = client.read(&mut [0; 16]).await;
        });
        let mut wanted = request(MOUNTS, &dir);
        wanted.secrets.insert("s".into(), Secret(b"x".to_vec()));
        wanted.ssh.insert("default".into(), agent);
        let built = build(&engine, wanted).await;
        let image = built.image();
        let output = built.output();
        for words in [
            "from the contexttool\ntool\n",
            "file\nnew\n",
            "\n1\n/run/buildkit/ssh_agent.0\n33 440\nbuildkitsandbox\n0\n",
            "bin\ndata\ndev\netc\nkept\nproc\nsys\ntmp\n",
            "group\nhostname\nhosts\npasswd\nresolv.conf\n",
        ] {
            assert!(output.contains(words), "{words:?} in {output}");
        }
        // Places that were made for mounts are no part of the image.
        let layers = engine.images().get(&image).await.unwrap().layer_dirs;
        let top: Vec<_> = std::fs::read_dir(&layers[0]).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(top, ["kept"]);
        assert!(!dir.join("in/new").exists());
        serving.abort();
        engine.close().await;
    });
}

pub fn cache_mounts_outlive_builds() {
    machine(|m| async move {
        let engine = m.engine().await;
        let dir = context(m.root(), &[("x", "")]);
        let run = |line: &str| request(&format!("FROM busybox\nRUN {line}\n"), &dir);
        let mount = "--mount=type=cache,target=/cache,id=c,uid=33,mode=0700";
        let built = build(&engine, run(&format!("{mount} echo 1 >> /cache/n; stat -c '%u %a' /cache"))).await;
        assert_eq!(built.output(), "33 700\n");
        let built = build(&engine, run(&format!("{mount} echo 2 >> /cache/n; cat /cache/n"))).await;
        assert_eq!(built.output(), "1\n2\n");
        let read_only = build(&engine, run("--mount=type=cache,target=/cache,id=c,ro ! touch /cache/m")).await;
        read_only.image();
        let filled = build(&engine, run("--mount=type=cache,target=/c,from=busybox,source=/data cat /c/seed")).await;
        assert_eq!(filled.output(), "from the image\n");
        assert_eq!(try_out(&engine, &built.image(), "ls / | tr '\\n' ' '").await, "bin data dev etc proc sys tmp ");
        // One after the other: each sees that it is alone.
        let locked = |n: u32| {
            run(&format!(
                "--mount=type=cache,target=/l,sharing=locked test ! -e /l/busy && touch /l/busy && sleep 0.2 && /bin/busybox rm /l/busy && echo {n}"
            ))
        };
        let (one, two) = tokio::join!(build(&engine, locked(1)), build(&engine, locked(2)));
        one.image();
        two.image();
        let kinds: Vec<String> = engine.build_cache().await.unwrap().into_iter().map(|entry| entry.kind).collect();
        assert_eq!(kinds.iter().filter(|kind| *kind == "exec.cachemount").count(), 3);
        engine.prune_build_cache(PruneOptions { all: true, ..PruneOptions::default() }).await.unwrap();
        assert_eq!(engine.build_cache().await.unwrap(), []);
        engine.close().await;
    });
}

/// Arguments that are for the builder, as BuildKit has them.
pub fn the_builder_has_settings_of_its_own() {
    machine(|m| async move {
        let engine = m.engine().await;
        let dir = context(m.root(), &[("x", "")]);
        let line =
            "RUN --mount=type=cache,target=/cache,id=own cat /etc/hostname; hostname; ls /cache; touch /cache/seen";
        let wanted = |settings: &[(&str, &str)]| {
            let mut wanted = request(&format!("FROM busybox\n{line}\n"), &dir);
            wanted.args = settings.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            wanted
        };
        let usual = build(&engine, wanted(&[])).await;
        assert_eq!(usual.output(), "buildkitsandbox\nbuildkitsandbox\n", "{:?}", usual.result);
        let named = build(&engine, wanted(&[("BUILDKIT_SANDBOX_HOSTNAME", "mine")])).await;
        assert_eq!(named.output(), "mine\nmine\nseen\n");
        let settings = [("BUILDKIT_SANDBOX_HOSTNAME", "mine"), ("BUILDKIT_CACHE_MOUNT_NS", "apart")];
        assert_eq!(build(&engine, wanted(&settings)).await.output(), "mine\nmine\n");
        let archive = m.root().join("index.tar");
        let mut indexed = wanted(&[("BUILDKIT_MULTI_PLATFORM", "1")]);
        indexed.outputs = vec![Output::Oci(archive.clone(), ImageOutput::default())];
        let (first, index) = (build(&engine, indexed.clone()).await, std::fs::read(&archive).unwrap());
        indexed.args.clear();
        let (second, plain) = (build(&engine, indexed).await, std::fs::read(&archive).unwrap());
        assert!(first.result.is_ok() && second.result.is_ok(), "{:?} {:?}", first.result, second.result);
        let has = |archive: &[u8]| {
            let text = String::from_utf8_lossy(archive).into_owned();
            text.matches("application/vnd.oci.image.index.v1+json").count()
        };
        assert!(has(&index) > has(&plain), "{} {}", has(&index), has(&plain));
        for (name, value, words) in [
            ("BUILDKIT_MULTI_PLATFORM", "perhaps", "BUILDKIT_MULTI_PLATFORM=perhaps: expected 1 or 0"),
            ("BUILDKIT_SYNTAX", "x/mocker", "BUILDKIT_SYNTAX: found \"x/mocker\", expected docker/dockerfile"),
        ] {
            let failed = build(&engine, wanted(&[(name, value)])).await;
            assert!(failed.error().contains(words), "{}", failed.error());
        }
        engine.close().await;
    });
}

/// All that a build may leave in the run root and among the layers.
fn leftovers(m: &Machine) -> String {
    let list = |path: &str| {
        let mut names: Vec<String> = std::fs::read_dir(m.root().join(path))
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        format!("{path} [{}] ", names.join(" "))
    };
    ["run/build", "data/snapshots/work", "data/snapshots/l", "data/snapshots/trash", "data/build/tmp"]
        .map(list)
        .concat()
}

const SLOW: &str = "\
FROM busybox AS a
RUN echo started; sleep 20
FROM busybox AS b
RUN touch /b; echo started; sleep 20
FROM a
COPY --from=b /b /b
";

pub fn a_canceled_build_leaves_nothing() {
    machine(|m| async move {
        let engine = m.engine().await;
        let dir = context(m.root(), &[("x", "")]);
        std::fs::create_dir_all(m.root().join("run/build")).unwrap();
        let before = (m.traces(), leftovers(&m));
        let (events, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let cancel = CancellationToken::new();
        let building = {
            let (engine, cancel, request) = (engine.clone(), cancel.clone(), request(SLOW, &dir));
            tokio::spawn(async move { engine.build(request, events, cancel).await })
        };
        let (mut started, mut canceled) = (0, 0);
        while let Some(event) = heard.recv().await {
            match event {
                BuildEvent::Output { .. } => started += 1,
                BuildEvent::Canceled { .. } => canceled += 1,
                _ => {}
            }
            if started == 2 {
                cancel.cancel();
            }
        }
        assert_eq!((started, canceled), (2, 2));
        assert_eq!(building.await.unwrap().unwrap_err().message(), "the build was canceled");
        assert_eq!((m.traces(), leftovers(&m)), before);
        // One step's failure stops the others.
        let file = SLOW.replace("touch /b; echo started; sleep 20", "sleep 0.2; exit 3");
        let failed = build(&engine, request(&file, &dir)).await;
        assert!(failed.error().contains("exit code 3"), "{}", failed.error());
        assert_eq!((m.traces(), leftovers(&m)), before);
        engine.close().await;
    });
}

pub fn a_killed_daemons_build_is_swept_away() {
    machine(|m| async move {
        let dir = context(m.root(), &[("x", "")]);
        let engine = m.engine().await;
        std::fs::create_dir_all(m.root().join("run/build")).unwrap();
        let before = (m.traces(), leftovers(&m));
        engine.close().await;
        drop(engine);
        let own = std::env::current_exe().unwrap();
        let mut host = std::process::Command::new(own.ancestors().nth(2).unwrap().join("examples/host"))
            .arg(m.root())
            .arg(m.cgroup_parent())
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let done = "FROM busybox\nRUN /bin/busybox mkdir /one\n";
        let mount = "--mount=type=bind,from=busybox,target=/m,rw --mount=type=tmpfs,target=/t";
        let file = format!("{done}RUN {mount} touch /half; echo started; sleep 20\n");
        let mut input = host.stdin.take().unwrap();
        std::io::Write::write_all(&mut input, format!("build {}\n", serde_json::to_string(&file).unwrap()).as_bytes())
            .unwrap();
        while !m.root().join("build.started").exists() {
            assert!(host.try_wait().unwrap().is_none(), "the host has ended");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        host.kill().unwrap();
        host.wait().unwrap();
        assert!(std::fs::read_dir(m.root().join("run/build")).unwrap().next().is_some());
        let engine = m.engine().await;
        let (traces, left) = (m.traces(), leftovers(&m));
        assert_eq!(traces, before.0);
        // The step that was done is kept, and nothing else.
        let layers =
            |text: &str| text.split("data/snapshots/l [").nth(1).unwrap().split(']').next().unwrap().split(' ').count();
        assert_eq!(layers(&left), layers(&before.1) + 1, "{left}");
        for empty in ["run/build []", "data/snapshots/work []", "data/snapshots/trash []", "data/build/tmp []"] {
            assert!(left.contains(empty), "{empty} in {left}");
        }
        assert_eq!(build(&engine, request(done, &dir)).await.run(), Vec::<String>::new());
        engine.close().await;
    });
}

pub fn the_same_step_of_two_builds_runs_once() {
    machine(|m| async move {
        let engine = m.engine().await;
        let dir = context(m.root(), &[("x", "")]);
        let file = "FROM busybox\nRUN sleep 0.5; echo once\nRUN touch /second\n";
        let (one, two) = tokio::join!(build(&engine, request(file, &dir)), build(&engine, request(file, &dir)));
        assert_eq!(one.image(), two.image());
        assert_eq!(format!("{}{}", one.output(), two.output()), "once\n");
        let steps = |built: &Built| built.run().len();
        assert_eq!(steps(&one) + steps(&two), 2);
        engine.close().await;
    });
}

pub fn the_cache_keeps_to_its_limit() {
    machine(|m| async move {
        const LIMIT: u64 = 3 << 20;
        let engine = m.engine_with(|options| options.build_cache_limit = LIMIT).await;
        let dir = context(m.root(), &[("x", "")]);
        for number in 0..6 {
            let line = format!("dd if=/dev/zero of=/big bs=1M count=1 2>/dev/null; echo {number} > /n");
            build(&engine, request(&format!("FROM busybox\nRUN {line}\n"), &dir)).await.image();
        }
        let mut sizes = Vec::new();
        for _ in 0..100 {
            let total: u64 = engine.build_cache().await.unwrap().iter().map(|entry| entry.size).sum();
            sizes.push(total);
            if total <= LIMIT && total > 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(sizes.last().is_some_and(|total| *total <= LIMIT), "{sizes:?}");
        engine.close().await;
    });
}
