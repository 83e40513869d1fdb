//! What containers write is kept, sent and read.

use std::time::Duration;

use hoist_engine::*;
use hoist_proto::spec::*;

use crate::support::*;

fn logging(driver: &str, options: &[(&str, &str)]) -> Logging {
    let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Logging { driver: Some(driver.into()), options }
}

pub(super) fn logs_are_kept_and_followed() {
    machine(|m| async move {
        let engine = m.engine().await;
        let mut spec =
            spec("for i in $(seq 2000); do echo line $i; done; echo oops >&2; read x < /proc/1/fd/0; sleep 0.1; seq 3");
        spec.open_stdin = true;
        spec.logging.options =
            [("max-size".to_owned(), "20k".to_owned()), ("max-file".to_owned(), "20".to_owned())].into();
        let id = engine.create(spec).await.unwrap().id;
        let wants = AttachOptions { stdin: true, ..Default::default() };
        let mut attached = engine.attach(id.as_str(), wants).await.unwrap();
        engine.start(id.as_str()).await.unwrap();
        let mut stream = engine
            .logs(id.as_str(), LogOptions { stdout: true, stderr: true, follow: true, ..Default::default() })
            .await
            .unwrap();
        let mut lines = Vec::new();
        while let Some(entry) = stream.next().await.unwrap() {
            let line = String::from_utf8(entry.line.to_vec()).unwrap();
            if line == "oops\n" {
                assert_eq!(entry.stream, StreamKind::Stderr);
                attached.input.write(b"go\n").await.unwrap();
            } else {
                lines.push(line);
            }
        }
        let expected: Vec<String> =
            (1..=2000).map(|i| format!("line {i}\n")).chain((1..=3).map(|i| format!("{i}\n"))).collect();
        assert_eq!(lines, expected);
        let tail = log(&engine, id.as_str(), LogOptions { tail: Some(5), ..Default::default() }).await;
        assert_eq!(tail, ["line 2000", "1", "2", "3"]);
        engine.wait(id.as_str(), WaitCondition::NotRunning).await.unwrap();
        let since = engine.inspect(id.as_str()).await.unwrap().state.finished_at.unwrap();
        assert!(log(&engine, id.as_str(), LogOptions { since: Some(since), ..Default::default() }).await.is_empty());
        engine.prune(PruneOptions::default()).await.unwrap();
        engine.close().await;
    });
}

pub(super) fn compressed_logs_are_read_and_followed() {
    machine(|m| async move {
        let engine = m.engine().await;
        let script = "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo line $i; done; while [ ! -e /go ]; do sleep 0.05; done; \
                      while [ $i -lt 6000 ]; do i=$((i+1)); echo line $i; done";
        let options = [("max-size", "20k"), ("max-file", "100"), ("compress", "true")];
        let made = engine.create(ContainerSpec { logging: logging("local", &options), ..spec(script) }).await.unwrap();
        let id = made.id.as_str();
        engine.start(id).await.unwrap();
        let options = LogOptions { stdout: true, follow: true, ..LogOptions::default() };
        let mut stream = engine.logs(id, options).await.unwrap();
        for number in 1..=3000 {
            let entry = stream.next().await.unwrap().unwrap();
            assert_eq!(String::from_utf8_lossy(&entry.line), format!("line {number}\n"));
        }
        exec(&engine, id, "touch /go").await;
        engine.wait(id, WaitCondition::NotRunning).await.unwrap();
        // Nothing of it was read while more than the pipe between holds was rotated and compressed.
        for number in 3001..=6000 {
            let entry = stream.next().await.unwrap().unwrap();
            assert_eq!(String::from_utf8_lossy(&entry.line), format!("line {number}\n"));
        }
        assert!(stream.next().await.unwrap().is_none());
        let names = std::fs::read_dir(m.data().join("containers").join(id)).unwrap();
        assert!(names.filter(|e| e.as_ref().unwrap().path().extension().is_some_and(|e| e == "gz")).count() > 10);
        let last = log(&engine, id, LogOptions { tail: Some(1000), ..LogOptions::default() }).await;
        assert_eq!((last.len(), last[0].as_str(), last[999].as_str()), (1000, "line 5001", "line 6000"));
        assert_eq!(log(&engine, id, LogOptions::default()).await.len(), 6000);
        engine.remove(id, RemoveOptions::default()).await.unwrap();
        engine.close().await;
    });
}

pub(super) fn lines_go_to_the_journal() {
    machine(|m| async move {
        // The journal of this machine alone.
        nix::mount::mount(Some("run"), "/run", Some("tmpfs"), nix::mount::MsFlags::empty(), None::<&str>).unwrap();
        let engine = m.engine().await;
        let options = [("tag", "{{.Name}}!"), ("labels", "com.x"), ("env-regex", "^WANT")];
        let wanted = || ContainerSpec {
            name: "web".into(),
            logging: logging("journald", &options),
            labels: [("com.x".to_owned(), "y".to_owned())].into_iter().collect(),
            env: vec!["WANTED=1".into(), "OTHER=2".into()],
            ..spec("echo out; echo err >&2; head -c 40000 /dev/zero | tr '\\0' x; sleep 1000")
        };
        let made = engine.create(wanted()).await.unwrap();
        let error = engine.start(made.id.as_str()).await.unwrap_err();
        assert!(error.message().contains("journald is not enabled on this host"), "{}", error.message());
        std::fs::create_dir_all("/run/systemd/journal").unwrap();
        let journal = std::os::unix::net::UnixDatagram::bind("/run/systemd/journal/socket").unwrap();
        journal.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        engine.start(made.id.as_str()).await.unwrap();
        let mut buffer = vec![0; 100_000];
        let mut lines = Vec::new();
        while lines.len() < 4 {
            let count = journal.recv(&mut buffer).unwrap();
            lines.push(String::from_utf8_lossy(&buffer[..count]).into_owned());
        }
        let find = |end: &str| lines.iter().find(|line| line.ends_with(end)).unwrap_or_else(|| panic!("{lines:?}"));
        let out = find("\nMESSAGE=out\n");
        for field in
            ["CONTAINER_NAME=web", "CONTAINER_TAG=web!", "PRIORITY=6", "COM_X=y", "WANTED=1", "IMAGE_NAME=busybox"]
        {
            assert!(out.lines().any(|line| line == field), "{field}: {out}");
        }
        assert!(out.contains(&format!("CONTAINER_ID_FULL={}\n", made.id)) && !out.contains("OTHER"), "{out}");
        assert!(find("\nMESSAGE=err\n").contains("PRIORITY=3\n"));
        // Two pieces of the long line, wherever they stand: the two streams are read as they come.
        let partial = lines.iter().filter(|line| line.contains("CONTAINER_PARTIAL_MESSAGE=true\n"));
        assert_eq!(partial.count(), 2, "{lines:#?}");
        // They are kept here too, and what is beside them is told.
        assert!(log(&engine, "web", LogOptions::default()).await.iter().any(|line| line == "out"));
        let details = engine.log_details("web").unwrap();
        let details: Vec<String> = details.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(details, ["WANTED=1", "com.x=y", "tag=web!"]);
        engine.remove("web", RemoveOptions { force: true, volumes: false }).await.unwrap();
        engine.close().await;
    });
}

pub(super) fn a_slow_reader_loses_nothing() {
    machine(|m| async move {
        let engine = m.engine().await;
        let id = engine.create(spec("seq 300000")).await.unwrap().id;
        let wants = AttachOptions { stdout: true, ..Default::default() };
        let mut attached = engine.attach(id.as_str(), wants).await.unwrap();
        engine.start(id.as_str()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        let expected: String = (1..=300_000).map(|i| format!("{i}\n")).collect();
        assert_eq!(read_all(&mut attached).await.0, expected);
        assert_eq!(log(&engine, id.as_str(), LogOptions::default()).await.len(), 300_000);
        engine.remove(id.as_str(), RemoveOptions { force: true, volumes: true }).await.unwrap();
        engine.close().await;
    });
}
