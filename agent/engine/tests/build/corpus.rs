//! Dockerfiles as people write them: each instruction, each flag.

use std::collections::BTreeMap;

use hoist_build::*;

use crate::support::*;
use crate::{build, context, request, try_out};

const EVERY_FLAG: &str = "\
FROM busybox AS base
COPY app /exact
COPY --chown=33:4 --chmod=go-rwx app/main.c app/main.h /owned/
COPY --exclude=*.o --exclude=deep app/lib /excluded
COPY --parents app/lib/util.c ./app/./lib/deep/x.c /parents/
COPY --parents app/**/*.c /stars/
COPY --link one /linked/file
COPY one /renamed
COPY one two /both/
COPY [\"q[[]1].txt\", \"/with space/q\"]
ADD a.tar /unpacked
ADD --unpack=false a.tar /packed/
COPY a.tar /copied/
COPY --chmod=0755 <<EOF /bin/hello
#!/bin/sh
echo hello \\$1
EOF
COPY <<\"ONE\" <<TWO /docs/
$not expanded
ONE
home is $HOME_NAME.
TWO
ENV HOME_NAME=here
COPY <<THREE /docs/
home is ${HOME_NAME}
THREE
RUN <<EOF
set -e
hello you > /out
echo second >> /out
EOF
RUN <<EOF cat > /heredoc
text
EOF
RUN <<EOF
#!/bin/cat
#end
EOF
FROM scratch AS nothing
COPY --from=base /exact/main.c /c
FROM base
COPY --from=nothing / /from-scratch/
COPY --from=busybox:latest /etc/passwd /passwd-of-image
COPY --from=0 /owned /again/
";

pub fn every_flag_does_what_it_says() {
    machine(|m| async move {
        let engine = m.engine().await;
        let dir = context(
            m.root(),
            &[
                ("app/main.c", "main"),
                ("app/main.h", "head"),
                ("app/lib/util.c", "util"),
                ("app/lib/util.o", "object"),
                ("app/lib/deep/x.c", "x"),
                ("one", "1"),
                ("two", "2"),
                ("q[1].txt", "q"),
            ],
        );
        std::os::unix::fs::symlink("../one", dir.join("app/link")).unwrap();
        let tar = {
            let mut tar = tar::Builder::new(Vec::new());
            tar.append_dir("d", dir.join("app/lib")).unwrap();
            tar.append_path_with_name(dir.join("one"), "d/one").unwrap();
            tar.into_inner().unwrap()
        };
        std::fs::write(dir.join("a.tar"), &tar).unwrap();
        let built = build(&engine, request(EVERY_FLAG, &dir)).await;
        let image = built.image();
        assert!(built.output().contains("#!/bin/cat\n#end\n"), "{}", built.output());
        for (command, want) in [
            ("cd /exact && ls && readlink link", "lib\nlink\nmain.c\nmain.h\n../one\n"),
            ("stat -c '%u:%g %a' /owned /owned/main.c /again/main.c", "33:4 755\n33:4 600\n33:4 600\n"),
            ("ls /excluded", "util.c\n"),
            ("cd /parents && ls . app/lib lib/deep", ".:\napp\nlib\n\napp/lib:\nutil.c\n\nlib/deep:\nx.c\n"),
            (
                "cd /stars && ls app app/lib app/lib/deep",
                "app:\nlib\nmain.c\n\napp/lib:\ndeep\nutil.c\n\napp/lib/deep:\nx.c\n",
            ),
            ("cat /linked/file /renamed /both/one /both/two '/with space/q'", "1112q"),
            ("cat /unpacked/d/one; ls /packed /copied", "1/copied:\na.tar\n\n/packed:\na.tar\n"),
            ("cat /out /heredoc", "hello you\nsecond\ntext\n"),
            ("cat /docs/ONE /docs/TWO /docs/THREE", "$not expanded\nhome is .\nhome is here\n"),
            ("cat /from-scratch/c; ls /from-scratch; head -n 1 /passwd-of-image", "mainc\nroot:x:0:0::/root:/bin/sh\n"),
        ] {
            assert_eq!(try_out(&engine, &image, command).await, want, "{command}");
        }
        let again = build(&engine, request(EVERY_FLAG, &dir)).await;
        assert_eq!((again.image(), again.run()), (image, Vec::new()));
        engine.close().await;
    });
}

pub fn sources_are_found_as_documented() {
    machine(|m| async move {
        let engine = m.engine().await;
        let dir = context(m.root(), &[("a.txt", "a"), ("b.txt", "b"), ("d/e.txt", "e"), ("d/.hidden", "h")]);
        std::os::unix::fs::symlink("/etc", dir.join("out")).unwrap();
        std::os::unix::fs::symlink("d", dir.join("in")).unwrap();
        for (line, command, want) in [
            ("COPY . /x", "ls -A /x", "a.txt\nb.txt\nd\nin\nout\n"),
            ("COPY *.txt /x/", "ls /x", "a.txt\nb.txt\n"),
            ("COPY ?.txt /x/", "ls /x", "a.txt\nb.txt\n"),
            ("COPY /d /x", "ls -A /x", ".hidden\ne.txt\n"),
            ("COPY ../d /x", "ls -A /x", ".hidden\ne.txt\n"),
            ("COPY in /x", "ls -A /x", ".hidden\ne.txt\n"),
            ("COPY a.txt /data", "cat /data/a.txt", "a"),
            ("WORKDIR /w\nCOPY a.txt .", "cat /w/a.txt", "a"),
            ("WORKDIR /w\nCOPY a.txt sub/", "cat /w/sub/a.txt", "a"),
            ("RUN mkdir -p /real && ln -s real /link\nCOPY a.txt /link/", "cat /real/a.txt; test -L /link", "a"),
            ("RUN mkdir -p /real && ln -s /real/f /link && touch /real/f\nCOPY a.txt /link", "cat /real/f", "a"),
            ("RUN ln -s ../../../../../real /link && mkdir /real\nCOPY d /link", "ls /real", "e.txt\n"),
            ("COPY a.txt /etc/passwd\nRUN test \"$(cat /etc/passwd)\" = a", "cat /etc/passwd", "a"),
        ] {
            let file = format!("FROM busybox\n{line}\nUSER 0\n");
            let built = build(&engine, request(&file, &dir)).await;
            assert_eq!(try_out(&engine, &built.image(), command).await, want, "{line}");
        }
        let mut ignoring = request("FROM busybox\nCOPY . /x\nRUN --mount=type=bind,target=/c ls /c /c/d\n", &dir);
        ignoring.context.as_mut().unwrap().ignore = vec!["*".into(), "!d/e.txt".into()];
        let built = build(&engine, ignoring.clone()).await;
        assert_eq!(built.output(), "/c:\nd\n\n/c/d:\ne.txt\n", "{:?}", built.result);
        assert_eq!(try_out(&engine, &built.image(), "ls -A /x /x/d").await, "/x:\nd\n\n/x/d:\ne.txt\n");
        ignoring.dockerfile = "FROM busybox\nCOPY a.txt /\n".into();
        assert!(build(&engine, ignoring).await.error().contains("excluded by .dockerignore"));
        for (line, words) in [
            ("COPY out/passwd /x", "not found"),
            ("COPY a.txt b.txt /x", "/ at its end"),
            ("COPY *.txt /x", "/ at its end"),
            ("COPY [a /x/", "\"[a\""),
            ("COPY --from=nostage a /x", "nostage"),
            ("ADD git@example.org:a/b.git /x", "git"),
            ("ADD --checksum=sha256:00 a.txt /x", "checksum"),
        ] {
            let failed = build(&engine, request(&format!("FROM busybox\n{line}\n"), &dir)).await;
            assert!(failed.error().contains(words), "{line}: {}", failed.error());
            assert!(failed.error().starts_with("Dockerfile:2"), "{line}: {}", failed.error());
        }
        engine.close().await;
    });
}

const CONFIGURATION: &str = "\
# escape=`
ARG TAG=latest NAME=busybox
FROM ${NAME}:${TAG}
ARG TARGETPLATFORM UNSET PLAIN=1
ARG GIVEN=no
ENV A=1 B=\"two words\" C=a`
b
ENV OLD style value
LABEL org.label=$A \"quoted key\"='single $A'
SHELL [\"/bin/sh\", \"-ec\"]
RUN echo $PLAIN $GIVEN $B $TARGETPLATFORM
CMD echo shell
ENTRYPOINT [\"/bin/echo\", \"entry\"]
CMD [\"one\", \"two\"]
HEALTHCHECK --interval=5s --start-interval=1s --retries=3 CMD test -f /x
EXPOSE 8000-8002/tcp 53/UDP $A
VOLUME [\"/v1\", \"/v2\"]
VOLUME /v3 /v$A
STOPSIGNAL SIGQUIT
WORKDIR /a
WORKDIR b/$A
USER web:log
MAINTAINER somebody
ONBUILD RUN true
";

pub fn instructions_of_the_configuration() {
    machine(|m| async move {
        let engine = m.engine().await;
        let dir = context(m.root(), &[("x", "")]);
        let mut wanted = request(CONFIGURATION, &dir);
        wanted.args = BTreeMap::from([("GIVEN".into(), "yes".into()), ("STRAY".into(), "x".into())]);
        wanted.labels.insert("from.request".into(), "1".into());
        wanted.tags = vec!["config".into()];
        let built = build(&engine, wanted).await;
        built.image();
        assert!(built.output().starts_with("1 yes two words linux/"), "{}", built.output());
        let stray =
            |event: &BuildEvent| matches!(event, BuildEvent::Warning { message, .. } if message.contains("STRAY"));
        assert!(built.events.iter().any(stray));
        let image = engine.images().get("config").await.unwrap();
        let mut text = serde_json::to_string_pretty(&image.config).unwrap();
        for time in [image.config.created.clone(), image.config.history[0].created.clone()].into_iter().flatten() {
            text = text.replace(&time, "(time)");
        }
        for layer in &image.layers {
            text = text.replace(&layer.to_string(), "(layer)");
        }
        for line in &image.config.history {
            text = text.replace(line.created.as_deref().unwrap_or("(time)"), "(time)");
        }
        text = text.replace(&image.config.architecture, "(architecture)");
        insta::assert_snapshot!("configuration", text);
        assert_eq!(try_out(&engine, "config", "true").await, "entry sh -c true\n");
        engine.close().await;
    });
}

/// Arguments are seen by the stages on theirs, and by no others.
pub fn arguments_are_inherited() {
    machine(|m| async move {
        let engine = m.engine().await;
        let dir = context(m.root(), &[("x", "")]);
        let file = "ARG G=global\nFROM busybox AS base\nARG A=default B G\nENV E=$A\nFROM base AS child\nRUN echo $A $B $G $E\n\
            ARG A=again\nRUN echo $A\nFROM busybox\nRUN echo [$A$B$G$E]\nCOPY --from=child /etc/group /g\n";
        let mut wanted = request(file, &dir);
        wanted.args.insert("B".into(), "given".into());
        let built = build(&engine, wanted).await;
        built.image();
        let mut said: Vec<String> = built.output().lines().map(str::to_owned).collect();
        said.sort();
        assert_eq!(said, ["[]", "again", "default given global default"]);
        engine.close().await;
    });
}

pub fn triggers_run_in_the_image_that_builds_on_them() {
    machine(|m| async move {
        let engine = m.engine().await;
        let dir = context(m.root(), &[("app", "app")]);
        let triggers = "FROM busybox\nONBUILD COPY app /app\nONBUILD RUN echo built >> /app\nONBUILD ENV T=1\n";
        let mut base = request(triggers, &dir);
        base.tags = vec!["base".into()];
        let base = build(&engine, base).await;
        base.image();
        assert!(base.run().is_empty());
        let built = build(&engine, request("FROM base\nRUN echo $T >> /app\n", &dir)).await;
        assert_eq!(try_out(&engine, &built.image(), "cat /app").await, "appbuilt\n1\n");
        let made = engine.images().get(&built.image()).await.unwrap();
        assert!(made.config.config.on_build.is_empty());
        // Triggers may use stages of the file that builds on them, even such as nothing else needs, and its contexts.
        let using = "FROM busybox\nONBUILD COPY --from=made /made /made\n\
            ONBUILD RUN --mount=from=files,target=/f cat /f/app >> /made\n";
        let mut base = request(using, &dir);
        base.tags = vec!["using".into()];
        build(&engine, base).await.image();
        let file = "FROM using AS first\nFROM busybox AS deeper\nRUN echo deep > /deep\nFROM busybox AS made\n\
            COPY --from=deeper /deep /made\nFROM first\nRUN echo end >> /made\n";
        let mut wanted = request(file, &dir);
        wanted.contexts.insert(
            "files".into(),
            NamedContext::Directory(Context { root: dir.clone(), ignore: Vec::new(), lasting: false }),
        );
        let built = build(&engine, wanted).await;
        assert_eq!(try_out(&engine, &built.image(), "cat /made").await, "deep\nappend\n");
        let failed = build(&engine, request("FROM busybox AS other\nFROM using AS made\n", &dir)).await;
        assert!(failed.error().contains("found a cycle of stages: made → made"), "{}", failed.error());
        engine.close().await;
    });
}

const NAMED: &str = "\
FROM alpine AS base
COPY --from=files sub/y /y
RUN --mount=from=files,source=sub,target=/m cat /m/y > /z
FROM files AS tree
FROM base
COPY --from=tree /sub/y /w
COPY x /x
";

pub fn named_contexts_stand_for_stages_and_images() {
    machine(|m| async move {
        let engine = m.engine().await;
        let dir = context(m.root(), &[("x", "main")]);
        let other = m.root().join("other");
        std::fs::create_dir_all(other.join("sub")).unwrap();
        std::fs::write(other.join("sub/y"), "other").unwrap();
        let mut wanted = request(NAMED, &dir);
        wanted.contexts.insert("alpine".into(), NamedContext::Image("busybox".into()));
        let files = Context { root: other.clone(), ignore: Vec::new(), lasting: false };
        wanted.contexts.insert("files".into(), NamedContext::Directory(files));
        let built = build(&engine, wanted.clone()).await;
        assert_eq!(try_out(&engine, &built.image(), "cat /y /z /w /x").await, "otherotherothermain");
        wanted.target = Some("tree".into());
        assert_eq!(build(&engine, wanted.clone()).await.run(), Vec::<String>::new());
        wanted.target = Some("tre".into());
        assert!(build(&engine, wanted).await.error().contains("did you mean tree?"));
        engine.close().await;
    });
}
