//! The parser against the reference's examples, mistakes, and anything at all.

use super::*;

fn read(source: &str) -> Dockerfile {
    parse("Dockerfile", source.as_bytes()).unwrap()
}

/// The one instruction behind `FROM scratch`.
fn one(source: &str) -> Kind {
    read(&format!("FROM scratch\n{source}\n")).instructions.remove(1).kind
}

fn wrong(source: &str) -> String {
    parse("Dockerfile", source.as_bytes()).unwrap_err().to_string()
}

fn texts(words: &[Word]) -> Vec<&str> {
    words.iter().map(|word| word.text.as_str()).collect()
}

#[test]
fn directives_stand_at_the_top() {
    let file = read("#syntax=docker/dockerfile:1\n# EsCape = `\n# check=skip=StageNameCasing,all;error=true\n\nFROM a");
    assert_eq!(file.directives.syntax.unwrap().text, "docker/dockerfile:1");
    assert_eq!(file.directives.escape, '`');
    let check = file.directives.check.unwrap();
    assert_eq!(texts(&check.skip), ["StageNameCasing", "all"]);
    assert_eq!(check.skip[1].span.to_string(), "3:30-3:33");
    assert!(check.error);
    // A comment, an unknown name or an instruction ends them.
    assert_eq!(read("# hello\n# escape=`\nFROM a").directives.escape, '\\');
    assert_eq!(read("# unknown=value\n# escape=`\nFROM a").directives.escape, '\\');
    assert!(
        wrong("# escape=\\\n# escape=`\nFROM a").starts_with("Dockerfile:2:3: found the parser directive `escape`")
    );
    assert_eq!(wrong("# escape=x\nFROM a"), "Dockerfile:1:10: found \"x\" as the escape character, expected \\ or `");
    assert!(wrong("# check=skipp=a\nFROM a").ends_with("did you mean skip?"));
}

#[test]
fn lines_are_joined_and_comments_dropped() {
    let file = read(
        "\u{feff}  # one\nFROM a\r\n# two\n  RUN echo hello \\\n# comment\n  # and another\n  world \\  \n\n  again\nRUN c:\\\\\nCMD x",
    );
    assert_eq!(file.instructions[1].source, "RUN echo hello   world   again");
    assert_eq!(texts(&file.instructions[1].doc), ["two"]);
    assert_eq!(file.instructions[1].span.to_string(), "4:3-9:8");
    assert_eq!(file.empty_continuations.len(), 1);
    assert_eq!(file.empty_continuations[0].1.start, Pos { line: 8, column: 1 });
    assert_eq!(file.instructions[2].source, "RUN c:\\\\");
    let file = read("# escape=`\nFROM a\nCOPY testfile.txt c:\\\nRUN dir `\n c:\\");
    assert_eq!(file.instructions[1].source, "COPY testfile.txt c:\\");
    assert_eq!(file.instructions[2].source, "RUN dir  c:\\");
}

#[test]
fn words_know_their_places_across_lines() {
    let Kind::Copy(copy) = one("COPY --chown=me \\\n  ä b \\\n  /dest/") else { panic!() };
    assert_eq!(copy.transfer.chown.unwrap().span.to_string(), "2:14-2:16");
    let Source::Path(second) = &copy.transfer.sources[1] else { panic!() };
    assert_eq!((second.text.as_str(), second.span.to_string().as_str()), ("b", "3:5-3:6"));
    assert_eq!(copy.transfer.destination.span.to_string(), "4:3-4:9");
}

#[test]
fn from_in_every_form() {
    let file = read("ARG V=1\nfrom --platform=$BUILDPLATFORM a:$V as base-1\nFROM base-1");
    let Kind::From(from) = &file.instructions[1].kind else { panic!() };
    assert_eq!(from.platform.as_ref().unwrap().text, "$BUILDPLATFORM");
    assert_eq!(from.image.text, "a:$V");
    assert_eq!(from.alias.as_ref().unwrap().1.text, "base-1");
    assert_eq!(wrong("FROM a b"), "Dockerfile:1:8: found \"b\" behind the image of FROM, expected AS NAME or nothing");
    assert!(wrong("FROM a AS 1b").contains("found stage name \"1b\""));
    assert!(wrong("FROM a AS").contains("found AS at the end of FROM"));
    assert!(wrong("FROM a ASS b").ends_with("did you mean AS?"));
    assert!(wrong("FROM").contains("FROM with no argument"));
}

#[test]
fn commands_have_two_forms() {
    assert!(
        matches!(one("CMD [\"a\", \"b \\\" c\"]"), Kind::Cmd(Command::Exec(words)) if texts(&words) == ["a", "b \" c"])
    );
    assert!(matches!(one("CMD [\"a\" 'b']"), Kind::Cmd(Command::Shell(word)) if word.text == "[\"a\" 'b']"));
    assert!(matches!(one("CMD []"), Kind::Cmd(Command::Exec(words)) if words.is_empty()));
    assert!(matches!(one("ENTRYPOINT exec top -b"), Kind::Entrypoint(Command::Shell(_))));
    assert!(
        matches!(one("SHELL [\"/bin/bash\", \"-c\"]"), Kind::Shell(words) if words[0].span.to_string() == "2:8-2:19")
    );
    assert!(wrong("FROM a\nSHELL bash -c").contains("expected a JSON array"));
    assert!(wrong("FROM a\nCMD [\"a\", 1]").contains("found 1 in the JSON array"));
    assert!(wrong("FROM a\nCMD --version").contains("write the command as a JSON array"));
}

#[test]
fn run_takes_its_flags() {
    let Kind::Run(run) = one(
        "RUN --mount=type=cache,id=x,target=/c,sharing=locked,mode=0700,uid=1,gid=2,ro --mount=target=/b,from=base,source=s,rw \\\n --mount=type=secret,id=t,env=T,required --mount=type=ssh --mount=type=tmpfs,target=/t,size=1m --network=none --security=insecure --device=vendor.com/gpu=all,required -- echo $X",
    ) else {
        panic!()
    };
    assert_eq!(run.mounts.len(), 5);
    assert!(matches!(&run.mounts[0].kind, MountKind::Cache { sharing: Sharing::Locked, read_only: true, .. }));
    assert!(
        matches!(&run.mounts[1].kind, MountKind::Bind { from: Some(from), writable: true, .. } if from.text == "base")
    );
    assert!(matches!(&run.mounts[2].kind, MountKind::Secret { env: Some(_), required: true, .. }));
    assert_eq!(run.network.unwrap().0, NetworkMode::None);
    assert_eq!(run.security.unwrap().0, SecurityMode::Insecure);
    assert_eq!(run.devices[0].name.text, "vendor.com/gpu=all");
    assert!(run.devices[0].required);
    assert!(matches!(run.command, Command::Shell(word) if word.text == "echo $X"));
    for (source, message) in [
        ("RUN --mount=type=cach,target=/x a", "expected bind, cache, tmpfs, secret, ssh; did you mean cache?"),
        ("RUN --mount=type=cache a", "found a cache mount without a target"),
        ("RUN --mount=type=tmpfs,target=/x,id=1 a", "found id on a tmpfs mount"),
        ("RUN --mount=target=/x,from=$A a", "expands none"),
        ("RUN --mount=target=/x,requird a", "did you mean required?"),
        ("RUN --mount=type=cache,target=/x,mode=9 a", "expected octal digits"),
        ("RUN --network=hots a", "did you mean host?"),
        ("RUN --mont=x a", "did you mean --mount?"),
        ("RUN --mount a", "found --mount without a value"),
        ("RUN --network=none", "found RUN with no argument"),
    ] {
        let error = wrong(&format!("FROM a\n{source}"));
        assert!(error.contains(message), "{error}");
    }
    assert!(wrong("FROM a\nRUN --mount=target=/x,sharig=1 a").starts_with("Dockerfile:2:23: "));
}

#[test]
fn heredocs_feed_run_and_copy() {
    let Kind::Run(run) = one("RUN <<EOF\nset -e\necho $HOME\nEOF") else { panic!() };
    assert_eq!(run.script(), Script::Shell("set -e\necho $HOME\n".into()));
    let Kind::Run(run) = one("RUN <<EOT\n#!/usr/bin/env python\nprint(1)\nEOT") else { panic!() };
    assert_eq!(run.script(), Script::File { name: "EOT".into(), content: "#!/usr/bin/env python\nprint(1)\n".into() });
    let Kind::Run(run) = one("RUN <<A cat > a && <<-'B' cat > b\none\nA\n\ttwo\n\tB") else { panic!() };
    assert_eq!(run.script(), Script::Shell("<<A cat > a && <<-'B' cat > b\none\nA\ntwo\nB".into()));
    let Kind::Copy(copy) = one("COPY --chmod=755 <<-\"EOT\" x <<two /bin/\n\techo\n\tEOT\n#c\\\ntwo") else { panic!() };
    let [Source::Heredoc(first), Source::Path(_), Source::Heredoc(second)] = copy.transfer.sources.as_slice() else {
        panic!()
    };
    assert_eq!((first.content.as_str(), first.expand), ("echo\n", false));
    assert_eq!((second.content.as_str(), second.expand, second.name.as_str()), ("#c\\\n", true, "two"));
    assert!(wrong("FROM a\nRUN <<EOF\nx").starts_with("Dockerfile:2:5: found the end of the file inside the heredoc"));
    assert!(matches!(one("RUN [\"a\", \"<<EOF\"]"), Kind::Run(run) if run.heredocs.is_empty()));
    let file = read("FROM a\nRUN echo $((1<<2)) \"<<X\" x<<Y\nRUN b");
    assert_eq!(file.instructions.len(), 3);
}

#[test]
fn variables_have_both_forms() {
    let Kind::Env(pairs) = one("ENV A=\"a b\" B=c\\ d \\\n  C='x y'") else { panic!() };
    let pairs: Vec<_> = pairs.iter().map(|pair| (pair.name.text.as_str(), pair.value.text.as_str())).collect();
    assert_eq!(pairs, [("A", "\"a b\""), ("B", "c\\ d"), ("C", "'x y'")]);
    let Kind::Env(pairs) = one("ENV A   b c=d") else { panic!() };
    assert!(pairs[0].legacy);
    assert_eq!(pairs[0].value.text, "b c=d");
    let Kind::Label(pairs) = one("LABEL \"com.example.vendor\"=\"ACME\" version=\"1.0\"") else { panic!() };
    assert_eq!(pairs[0].name.text, "\"com.example.vendor\"");
    let Kind::Arg(args) = one("ARG a b=1 c=\"2 3\"") else { panic!() };
    assert_eq!(args.len(), 3);
    assert_eq!(args[2].default.as_ref().unwrap().text, "\"2 3\"");
    assert!(wrong("FROM a\nENV A=b c").contains("found \"c\" without = in ENV"));
    assert!(wrong("FROM a\nENV A").contains("found ENV A without a value"));
    assert!(wrong("FROM a\nENV =b").contains("empty name"));
}

#[test]
fn the_other_instructions() {
    assert!(matches!(one("EXPOSE 80 53/udp"), Kind::Expose(words) if texts(&words) == ["80", "53/udp"]));
    assert!(matches!(one("VOLUME [\"/a b\"]"), Kind::Volume(words) if texts(&words) == ["/a b"]));
    assert!(matches!(one("VOLUME /a /b"), Kind::Volume(words) if words.len() == 2));
    assert!(matches!(one("USER a:b"), Kind::User(word) if word.text == "a:b"));
    assert!(matches!(one("workdir /a b"), Kind::Workdir(word) if word.text == "/a b"));
    assert!(matches!(one("STOPSIGNAL SIGQUIT"), Kind::Stopsignal(_)));
    assert!(matches!(one("MAINTAINER me <me@x>"), Kind::Maintainer(_)));
    assert!(matches!(one("HEALTHCHECK NONE"), Kind::Healthcheck(Healthcheck::None)));
    assert!(matches!(
        one("HEALTHCHECK --interval=5m --timeout=3s --retries=2 \\\n  CMD curl -f http://localhost/ || exit 1"),
        Kind::Healthcheck(Healthcheck::Cmd {
            interval_ns: 300_000_000_000,
            retries: 2,
            command: Command::Shell(_),
            ..
        })
    ));
    let Kind::Add(add) = one(
        "ADD --checksum=sha256:00 --keep-git-dir --unpack=false --link --exclude=*.md --exclude=b [\"a b\", \"/\"]",
    ) else {
        panic!()
    };
    assert!(add.keep_git_dir.on && add.transfer.link.on && !add.unpack.unwrap().on);
    assert_eq!(texts(&add.transfer.exclude), ["*.md", "b"]);
    let Kind::Onbuild(trigger) = one("ONBUILD COPY --from=x <<E /a\nhello\nE") else { panic!() };
    assert_eq!(trigger.source, "COPY --from=x <<E /a\nhello\nE");
    assert_eq!(parse_trigger("image", &trigger.source).unwrap().name(), "COPY");
    for (source, message) in [
        ("ONBUILD ONBUILD RUN a", "found ONBUILD in ONBUILD"),
        ("ONBUILD FROM a", "found FROM in ONBUILD"),
        ("HEALTHCHECK --interval=1us CMD a", "expected 0 or at least 1ms"),
        ("HEALTHCHECK a", "expected CMD command or NONE"),
        ("COPY a", "expected at least one source and a destination"),
        ("COPY --form=a b c", "did you mean --from?"),
        ("COPY --from=$a b c", "expands none"),
        ("RNU a", "Dockerfile:2:1: found unknown instruction \"RNU\", expected one of ADD"),
    ] {
        let error = wrong(&format!("FROM a\n{source}"));
        assert!(error.contains(message), "{error}");
    }
    assert!(wrong("RUN a").starts_with("Dockerfile:1:1: found RUN before the first FROM"));
    assert!(wrong("").contains("found no instruction"));
    assert!(wrong("ARG a").contains("found no FROM"));
    assert_eq!(
        parse("D", b"FROM a\nRUN \xff").unwrap_err().to_string(),
        "D:2:5: found bytes that are not UTF-8, expected text"
    );
}

mod anything {
    use proptest::prelude::*;

    /// Texts made of what has a meaning in a Dockerfile, so that most get far.
    fn pieces() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            proptest::sample::select(super::super::parse::KEYWORDS.to_vec()).prop_map(str::to_owned),
            proptest::sample::select(vec![
                " ",
                " ",
                "\n",
                "\n",
                "\\\n",
                "\\",
                "`",
                "#",
                "# escape=`\n",
                "# check=skip=",
                "\"",
                "'",
                "[",
                "]",
                ",",
                "=",
                "<<EOF",
                "<<-E",
                "EOF",
                "\nEOF\n",
                "$",
                "${a",
                "}",
                ":-",
                "--from=",
                "--mount=type=cache,target=/x",
                "--",
                "AS",
                "a",
                "ä",
                "\u{feff}",
                "\r\n",
                "\t",
                "\0",
                "[\"a\",\"\\u00e4\"]",
            ])
            .prop_map(str::to_owned),
            "[ -~]{0,6}".prop_map(|text| text),
        ];
        proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn parses_or_says_why(source in pieces()) {
            let _ = super::parse("Dockerfile", source.as_bytes());
            let _ = super::parse("Dockerfile", format!("FROM scratch\n{source}").as_bytes());
            let _ = super::parse_trigger("image", &source);
        }

        #[test]
        fn any_bytes(source in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = super::parse("Dockerfile", &source);
        }
    }
}
