//! Builds on the real kernel, from a Dockerfile to an image that runs.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests, which a harness of their own runs")]

mod beside_buildah;
mod corpus;
mod outputs;
mod reference;
mod running;
#[path = "../support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};

use hoist_build::*;
use hoist_engine::Engine;
use support::*;
use tokio_util::sync::CancellationToken;

fn main() -> std::process::ExitCode {
    run_tests(&[
        ("stages_become_an_image", stages_become_an_image),
        ("what_is_known_is_not_done_again", what_is_known_is_not_done_again),
        ("a_failing_command_says_where", a_failing_command_says_where),
        ("secrets_stay_secret", secrets_stay_secret),
        ("every_flag_does_what_it_says", corpus::every_flag_does_what_it_says),
        ("sources_are_found_as_documented", corpus::sources_are_found_as_documented),
        ("instructions_of_the_configuration", corpus::instructions_of_the_configuration),
        ("arguments_are_inherited", corpus::arguments_are_inherited),
        ("triggers_run_in_the_image_that_builds_on_them", corpus::triggers_run_in_the_image_that_builds_on_them),
        ("named_contexts_stand_for_stages_and_images", corpus::named_contexts_stand_for_stages_and_images),
        ("the_rules_of_the_reference_hold", reference::the_rules_of_the_reference_hold),
        ("images_are_configured_as_the_reference_says", reference::images_are_configured_as_the_reference_says),
        ("what_the_reference_forbids_is_refused", reference::what_the_reference_forbids_is_refused),
        ("mounts_are_there_and_leave_no_trace", running::mounts_are_there_and_leave_no_trace),
        ("cache_mounts_outlive_builds", running::cache_mounts_outlive_builds),
        ("the_builder_has_settings_of_its_own", running::the_builder_has_settings_of_its_own),
        ("a_canceled_build_leaves_nothing", running::a_canceled_build_leaves_nothing),
        ("a_killed_daemons_build_is_swept_away", running::a_killed_daemons_build_is_swept_away),
        ("the_same_step_of_two_builds_runs_once", running::the_same_step_of_two_builds_runs_once),
        ("the_cache_keeps_to_its_limit", running::the_cache_keeps_to_its_limit),
        ("results_go_where_they_are_asked", outputs::results_go_where_they_are_asked),
        ("the_same_sources_make_the_same_bytes", outputs::the_same_sources_make_the_same_bytes),
        ("buildah_makes_the_same_images", beside_buildah::buildah_makes_the_same_images),
    ])
}

/// A build's outcome and its events.
struct Built {
    result: Result<BuildResult, String>,
    events: Vec<BuildEvent>,
}

impl Built {
    #[track_caller]
    fn image(&self) -> String {
        self.result.as_ref().unwrap_or_else(|error| panic!("{error}")).image.clone().unwrap()
    }

    #[track_caller]
    fn error(&self) -> &str {
        self.result.as_ref().err().unwrap()
    }

    /// Names of the steps that were run.
    fn run(&self) -> Vec<String> {
        let name = |wanted: StepId| {
            self.events.iter().find_map(|event| match event {
                BuildEvent::Planned(info) if info.id == wanted && info.stage.is_some() => Some(info.name.clone()),
                _ => None,
            })
        };
        self.events
            .iter()
            .filter_map(|event| match event {
                BuildEvent::Started { step } => name(*step),
                _ => None,
            })
            .collect()
    }

    /// What commands wrote to their standard output.
    fn output(&self) -> String {
        let line = |event: &BuildEvent| match event {
            BuildEvent::Output { stream: Stream::Stdout, line, .. } => Some(format!("{line}\n")),
            _ => None,
        };
        self.events.iter().filter_map(line).collect()
    }
}

async fn build(engine: &Engine, request: BuildRequest) -> Built {
    let (events, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let result = engine.build(request, events, CancellationToken::new()).await.map_err(|error| error.message());
    let mut all = Vec::new();
    while let Some(event) = heard.recv().await {
        all.push(event);
    }
    Built { result, events: all }
}

fn request(dockerfile: &str, context: &Path) -> BuildRequest {
    BuildRequest {
        dockerfile: dockerfile.to_owned(),
        dockerfile_name: "Dockerfile".into(),
        context: Some(Context { root: context.to_owned(), ignore: Vec::new(), lasting: false }),
        network: NetworkChoice::None,
        ..BuildRequest::default()
    }
}

/// Makes a context of files.
fn context(root: &Path, files: &[(&str, &str)]) -> PathBuf {
    let dir = root.join("context");
    for (path, content) in files {
        let path = dir.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    dir
}

/// Runs a command in an image.
async fn try_out(engine: &Engine, image: &str, command: &str) -> String {
    let spec = hoist_proto::spec::ContainerSpec { image: image.to_owned(), auto_remove: false, ..spec(command) };
    let (code, out, err) = run(engine, spec).await;
    assert_eq!(code, 0, "{command}: {out}{err}");
    out
}

fn stages_become_an_image() {
    machine(|m| async move {
        let engine = m.engine().await;
        let dir =
            context(m.root(), &[("src/a.txt", "a"), ("src/sub/b.txt", "b"), ("c.md", "c"), ("run.sh", "#!/bin/sh\n")]);
        let before = m.traces();
        let file = "\
ARG BASE=busybox
FROM ${BASE} AS build
ARG WHO=world
ENV GREETING=\"hello $WHO\"
WORKDIR /work/deep
COPY src/ ./
RUN echo \"$GREETING\" > out && ls -R . && rm a.txt
RUN [\"sh\", \"-c\", \"echo exec > exec\"]

FROM build AS unused
RUN exit 1

FROM busybox
LABEL a=1 b=\"two words\"
COPY --from=build --chown=web:log /work/deep /result/
COPY --chmod=u=rwx,go= run.sh /bin/run
COPY *.md <<END /docs/
heredoc
END
EXPOSE 80 53/udp
USER web
VOLUME /data
CMD [\"cat\", \"/result/out\"]
";
        let mut wanted = request(file, &dir);
        wanted.tags = vec!["made:1".into(), "made:2".into()];
        wanted.args.insert("WHO".into(), "there".into());
        let built = build(&engine, wanted).await;
        let image = built.image();
        assert_eq!(m.traces(), before);
        assert!(!built.run().iter().any(|step| step.contains("exit 1")));
        let out = try_out(
            &engine,
            "made:1",
            "cat /result/out /result/exec /docs/END; ls /result /docs; stat -c '%U:%G %a' /result/sub/b.txt /bin/run; id -u",
        )
        .await;
        assert_eq!(
            out,
            "hello there\nexec\nheredoc\n/docs:\nEND\nc.md\n\n/result:\nexec\nout\nsub\nweb:log 644\nroot:root 700\n33\n"
        );
        let found = engine.images().get("made:2").await.unwrap();
        assert_eq!(found.id.to_string(), image);
        let config = &found.config.config;
        assert_eq!(config.labels["b"], "two words");
        assert_eq!(config.user, "web");
        assert_eq!(config.exposed_ports, ["53/udp", "80/tcp"]);
        let layers = found.config.history.iter().filter(|line| !line.empty_layer).count();
        assert_eq!(layers, found.layers.len());
        engine.close().await;
    });
}

fn what_is_known_is_not_done_again() {
    machine(|m| async move {
        let engine = m.engine().await;
        let dir = context(m.root(), &[("a", "1"), ("other", "x")]);
        let file = "FROM busybox AS one\nCOPY a /a\nRUN sh -c 'cat /a /a > /b'\nFROM busybox\nCOPY --from=one /b /b\nRUN touch /done\n";
        let first = build(&engine, request(file, &dir)).await;
        let image = first.image();
        assert_eq!(first.run().len(), 4, "{:?}", first.run());
        let again = build(&engine, request(file, &dir)).await;
        assert_eq!((again.image(), again.run()), (image.clone(), Vec::new()));
        // What no step reads costs nothing.
        std::fs::write(dir.join("other"), "changed").unwrap();
        assert_eq!(build(&engine, request(file, &dir)).await.run(), Vec::<String>::new());
        // Another time and the same content neither.
        std::fs::write(dir.join("a"), "1").unwrap();
        assert_eq!(build(&engine, request(file, &dir)).await.run(), Vec::<String>::new());
        engine.close().await;
        drop(engine);
        let engine = m.engine().await;
        assert_eq!(build(&engine, request(file, &dir)).await.run(), Vec::<String>::new());
        // What is copied is what counts, not how it came to be.
        let other = file.replace("cat /a /a > /b", "cat /a /a >/b");
        let changed = build(&engine, request(&other, &dir)).await;
        assert_eq!(changed.run(), ["[one 3/3] RUN sh -c 'cat /a /a >/b'"]);
        std::fs::write(dir.join("a"), "2").unwrap();
        assert_eq!(build(&engine, request(file, &dir)).await.run().len(), 4);
        let mut fresh = request(file, &dir);
        fresh.no_cache_filter.insert("one".into());
        let fresh = build(&engine, fresh).await;
        assert_eq!(fresh.run(), ["[one 2/3] COPY a /a", "[one 3/3] RUN sh -c 'cat /a /a > /b'"]);
        let mut fresh = request(file, &dir);
        fresh.no_cache = true;
        assert_eq!(build(&engine, fresh).await.run().len(), 4);
        let freed = engine.prune_build_cache(PruneOptions { all: true, ..PruneOptions::default() }).await.unwrap();
        assert!(!freed.removed.is_empty());
        assert_eq!(engine.build_cache().await.unwrap(), []);
        assert_eq!(build(&engine, request(file, &dir)).await.run().len(), 4);
        engine.close().await;
    });
}

fn a_failing_command_says_where() {
    machine(|m| async move {
        let engine = m.engine().await;
        let dir = context(m.root(), &[("file.txt", "")]);
        let before = m.traces();
        let failed = build(&engine, request("FROM busybox\n\nRUN echo before; \\\n  exit 7\n", &dir)).await;
        assert_eq!(
            failed.error(),
            "Dockerfile:3: RUN echo before;   exit 7: the command ended with exit code 7; its last lines:\nbefore"
        );
        for (file, words) in [
            (
                "FROM busybox\nCOPY fil.txt /\n",
                "Dockerfile:2: COPY fil.txt /: \"fil.txt\" was not found; did you mean \"file.txt\"?",
            ),
            ("FROM busybox\nRUN [\"nothing\"]\n", "nothing"),
            ("FROM busybox\nCOPY --chown=nobody file.txt /\n", "nobody"),
            ("FROM busybox\nRUN --network=host true\n", "--allow network.host"),
            ("FROM busybox\nRUN --security=insecure true\n", "--allow security.insecure"),
            ("FROM busybox\nRUN --mount=type=secret,id=x,required true\n", "x"),
            ("FROM busybox\nCOPY file.txt /etc/passwd/\n", "/etc/passwd"),
            ("FROM busybox\nCOPY --from=busybox /nothing /\n", "nothing"),
        ] {
            let failed = build(&engine, request(file, &dir)).await;
            assert!(failed.error().contains(words), "{file}: {}", failed.error());
        }
        assert_eq!(m.traces(), before);
        engine.close().await;
    });
}

fn secrets_stay_secret() {
    machine(|m| async move {
        let engine = m.engine().await;
        let dir = context(m.root(), &[]);
        std::fs::create_dir_all(&dir).unwrap();
        let value = "5ecret-value-that-nobody-may-find";
        let mut wanted = request(
            "FROM busybox\nRUN --mount=type=secret,id=s --mount=type=secret,id=s,env=S \\\n  test \"$S\" = \"$(cat /run/secrets/s)\" && stat -c %a /run/secrets/s && wc -c < /run/secrets/s\nRUN ls /run || true\n",
            &dir,
        );
        wanted.secrets.insert("s".into(), Secret(value.into()));
        let built = build(&engine, wanted).await;
        built.image();
        assert!(built.output().contains("400\n33\n"), "{}", built.output());
        assert!(!built.output().contains(value));
        engine.images().sync().await.unwrap();
        let found = std::process::Command::new("grep").args(["-rlF", value]).arg(m.root()).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&found.stdout), "");
        assert!(!format!("{:?}", built.events).contains(value));
        engine.close().await;
    });
}
