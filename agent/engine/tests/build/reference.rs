//! The rules of the Dockerfile reference, section by section, where no other test holds them: its examples, and what it
//! says in words.

use hoist_build::*;
use serde_json::{Value, json};

use crate::support::*;
use crate::{build, context, request, try_out};

/// What a Dockerfile's image shows: the instructions behind `FROM busybox` (a whole file if it begins otherwise), a
/// command in the image, and what that prints.
type Shown = (&'static str, &'static str, &'static str);

/// Format, parser directives.
const FORMAT: [Shown; 9] = [
    ("RUN echo 'some # of cool things' > /a", "cat /a", "some # of cool things\n"),
    ("RUN echo hello \\\n# comment\nworld > /a", "cat /a", "hello world\n"),
    ("    # a comment\n    RUN echo hello > /a\n\tRUN echo world >> /a", "cat /a", "hello\nworld\n"),
    ("RUN echo \"\\\n     hello\\\n     world\" > /a", "cat /a", "     hello     world\n"),
    // Directives end at whatever else comes, also at one that nobody knows; a key may be written in any way.
    ("# about\n# escape=`\nFROM busybox\nRUN echo \\\n a > /a", "cat /a", "a\n"),
    ("# directive=1\n# directive=2\n# escape=`\nFROM busybox\nRUN echo \\\n a > /a", "cat /a", "a\n"),
    ("#\t eScApE = `\nFROM busybox\nRUN echo `\n a > /a", "cat /a", "a\n"),
    ("# escape=`\n\nFROM busybox\nCOPY a.txt c:\\\n", "cat /c:*", "a"),
    ("# check=skip=all\n\nfrom busybox as one\nrun echo a > /a\nCopy a.txt /b", "cat /a /b", "a\na"),
];

/// Environment replacement, shell and exec form.
const VARIABLES: [Shown; 9] = [
    (
        "ENV str=foobarbaz empty= q=a?b s=a*b x=fo\n\
         ENV A=${str#f*b} B=${str##f*b} C=${str%b*} D=${str%%b*} E=${str/ba/fo} F=${str//ba/fo} G=${str/$x/Y}\n\
         ENV H=${q/\\?/!} I=${s//\\*/x} J=${none:-${str}} K=${empty:-e} L=${empty-f}l M=${empty:+m} N=${empty+n} O=\\${x}",
        "echo $A $B $C $D $E $F $G $H $I $J $K $L $M $N $O",
        "arbaz az foobar foo fooforbaz fooforfoz Yobarbaz a!b axb foobarbaz e l n ${x}\n",
    ),
    ("ENV abc=hello\nENV abc=bye def=$abc\nENV ghi=$abc", "echo $def $ghi", "hello bye\n"),
    ("ENV FOO=/bar\nWORKDIR ${FOO}\nADD a.txt $FOO\nCOPY \\$x /quux", "pwd; cat /bar/a.txt /quux", "/bar\nadollar"),
    // What is based on nothing has the usual PATH.
    (
        "FROM scratch\nCOPY --from=busybox / /\nENV PATH=$PATH:/own",
        "echo $PATH",
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/own\n",
    ),
    (
        "ENV N=\"John Doe\"\nENV D=Rex\\ The\\ Dog\nENV ONE TWO= THREE=world",
        "echo \"$N|$D|$ONE\"",
        "John Doe|Rex The Dog|TWO= THREE=world\n",
    ),
    ("RUN [\"/bin/busybox\", \"touch\", \"/$HOME\"]", "ls / | grep HOME", "$HOME\n"),
    ("RUN [\"sh\", \"-c\", \"echo $HOME > /h\"]", "cat /h", "/root\n"),
    (
        "SHELL [\"/bin/sh\", \"-ec\"]\nRUN echo $- > /flags\nSHELL [\"/bin/sh\", \"-c\"]\nRUN echo $- >> /flags",
        "grep -c e /flags",
        "1\n",
    ),
    ("RUN echo \"${none-unset}\" > /n\nRUN <<EOF\necho ${none-$HOME} >> /n\nEOF", "cat /n", "unset\n/root\n"),
];

/// FROM, ARG.
const ARGUMENTS: [Shown; 6] = [
    (
        "ARG  VERSION=latest\nFROM busybox:${VERSION}\nARG VERSION\nRUN echo v$VERSION > /v\nFROM busybox:$VERSION\n\
         COPY --from=0 /v /v\nRUN echo \"[$VERSION]\" >> /v",
        "cat /v",
        "vlatest\n[]\n",
    ),
    ("ARG a=1 b c=\"x y\"\nRUN echo $a$b$c > /v", "cat /v; echo [$a]", "1givenx y\n[]\n"),
    (
        "ARG b\nENV b=${b:-default}\nARG d\nENV d=${d:-default}\nARG b=late\nRUN echo $b $d > /v",
        "cat /v; echo $b $d",
        "given default\ngiven default\n",
    ),
    ("RUN echo \"[$b$TARGETOS]\" > /v\nARG b TARGETOS\nRUN echo $b $TARGETOS >> /v", "cat /v", "[]\ngiven linux\n"),
    ("ARG BUILDOS=other\nRUN echo $BUILDOS > /v", "cat /v", "other\n"),
    ("FROM --platform=$BUILDPLATFORM busybox AS a.b-c_1\nFROM A.B-C_1\nRUN echo ok > /v", "cat /v", "ok\n"),
];

/// USER, WORKDIR, VOLUME.
const PLACES: [Shown; 5] = [
    (
        "WORKDIR /a\nWORKDIR b\nWORKDIR c\nRUN pwd > /p\nENV D=/path\nWORKDIR $D/$NAME\nRUN pwd >> /p",
        "cat /p; pwd",
        "/a/b/c\n/path\n/path\n",
    ),
    ("WORKDIR /made/by\nUSER web\nWORKDIR it", "stat -c '%u %a' /made/by/it", "0 755\n"),
    (
        "RUN mkdir -m 777 /o\nUSER web\nRUN id -u > /o/1; id -g >> /o/1\nUSER web:log\nRUN id -u > /o/2; id -G >> /o/2\n\
         USER 12:13\nRUN id -u > /o/3; id -g >> /o/3\nUSER 4444\nRUN id -u > /o/4; id -g >> /o/4",
        "cat /o/*",
        "33\n34\n33\n4\n12\n13\n4444\n0\n",
    ),
    ("RUN mkdir /v && echo 1 > /v/x\nVOLUME /v\nRUN echo 2 >> /v/x", "cat /v/x", "1\n2\n"),
    ("RUN mkdir -p /n && echo kept > /n/f\nVOLUME [\"/n\", \"/m m\"]", "cat /n/f; ls -d '/m m'", "kept\n/m m\n"),
];

/// COPY and ADD.
const COPIES: [Shown; 14] = [
    (
        "COPY index.?s /dest/\nCOPY q[[]1].txt /dest/\nCOPY [\"a name\", \"/dest/\"]",
        "ls /dest",
        "a name\nindex.js\nindex.ts\nq[1].txt\n",
    ),
    (
        "COPY d /one\nCOPY d/ /two/\nCOPY ../d /three\nCOPY /d/../../d /four",
        "ls /one /two /three /four | sort -u",
        "\n/four:\n/one:\n/three:\n/two:\nsub\nx\n",
    ),
    ("COPY d/* /flat/", "ls /flat", "x\nz\n"),
    (
        "COPY --exclude=*.md hom* /m/\nCOPY --exclude=*.txt --exclude=*.md hom* /n/",
        "ls /m /n",
        "/m:\nhom.txt\nhomx\nin.txt\nk\n\n/n:\nhomx\nk\n",
    ),
    (
        "COPY ./x/a.txt ./y/a.txt /no/\nCOPY --parents ./x/a.txt ./y/a.txt /yes/\nCOPY --parents ./x/./b/*.txt /pivot/",
        "cat /no/a.txt; cd /; find yes pivot -type f | sort",
        "ya\npivot/b/c.txt\nyes/x/a.txt\nyes/y/a.txt\n",
    ),
    (
        "FROM busybox AS from\nRUN mkdir -p /p/q && echo 1 > /p/q/f\nFROM busybox\nCOPY --parents --from=from /p/./q/f /o/\nCOPY --parents --from=from /p/q /o/",
        "cd /o; find . -type f | sort",
        "./p/q/f\n./q/f\n",
    ),
    (
        "ARG MODE=440\nCOPY --chmod=$MODE d /2\nCOPY --chmod=+x a.txt /3\nCOPY --chmod=g=u a.txt /5",
        "stat -c '%a %n' /2 /2/x /3 /5",
        "440 /2\n440 /2/x\n755 /3\n664 /5\n",
    ),
    (
        "COPY --chown=55:log a.txt /1\nCOPY --chown=web a.txt /2\nCOPY --chown=1 a.txt /3\nCOPY --chown=7 d /4",
        "stat -c '%u:%g' /1 /2 /3 /4 /4/x",
        "55:4\n33:34\n1:1\n7:7\n7:7\n",
    ),
    // A link at the destination is followed, but not by a layer that stands for itself; a directory gets its own mode there.
    (
        "RUN mkdir /real && ln -s /real /sym && mkdir -m 700 /mode\nCOPY --link=false a.txt /sym/\nCOPY d /mode/",
        "ls /real; stat -c %a /mode",
        "a.txt\n700\n",
    ),
    (
        "RUN mkdir /real && ln -s /real /sym && mkdir -m 700 /mode\nCOPY --link a.txt /sym/\nCOPY --link d /mode/",
        "ls /real /sym; stat -c %a /mode",
        "/real:\n\n/sym:\na.txt\n755\n",
    ),
    (
        "FROM busybox AS from\nWORKDIR /w\nRUN echo 1 > f\nFROM busybox\nCOPY --from=from w/f /g\nCOPY --from=from /w/f /h",
        "cat /g /h",
        "1\n1\n",
    ),
    (
        "RUN mkdir /t\nCOPY a.txt /t\nCOPY a.txt /new\nWORKDIR /w\nCOPY a.txt rel/",
        "cat /t/a.txt /new /w/rel/a.txt",
        "aaa",
    ),
    // What is no archive is copied, however it is called and compressed.
    (
        "ADD empty.tar.gz /1\nADD text.gz /2\nADD a.txt /3",
        "stat -c %s /1 /3; head -c 2 /2 | od -An -tx1",
        "0\n1\n 1f 8b\n",
    ),
    (
        "ADD --chmod=755 --chown=1:2 <<EOF a.txt /d/\nhere\nEOF",
        "cat /d/EOF /d/a.txt; stat -c '%a %u:%g' /d/EOF",
        "here\na755 1:2\n",
    ),
];

/// RUN's mounts, here-documents, ONBUILD.
const COMMANDS: [Shown; 13] = [
    (
        "RUN --mount=target=/m ls /m | grep a.txt > /l; ! touch /m/new\nRUN --mount=type=bind,source=d,dst=/m,rw touch /m/new && ls /m >> /l\nWORKDIR /w\nRUN --mount=target=rel,src=d ls /w/rel >> /l",
        "cat /l; ls -A /w",
        "a.txt\nnew\nsub\nx\nsub\nx\n",
    ),
    (
        "RUN --mount=target=/m,ro=false touch /m/1\nRUN --mount=target=/m,readwrite=true touch /m/2\nRUN --mount=target=/m,readonly touch /m/3 || echo no > /l",
        "cat /l",
        "no\n",
    ),
    ("ARG D=/data2 S=d\nRUN --mount=target=$D,source=$S ls $D > /l", "cat /l", "sub\nx\n"),
    (
        "RUN --mount=type=cache,target=/r/cache stat -c '%a %u:%g' /r/cache > /l; touch /r/cache/a\nRUN --mount=type=cache,id=/r/cache,target=/r2 ls /r2 >> /l",
        "cat /l",
        "755 0:0\na\n",
    ),
    (
        "FROM busybox AS a\nRUN --mount=type=cache,target=/p,sharing=private,id=rp touch /p/a; sleep 0.4; ls /p > /l\nFROM busybox AS b\nRUN --mount=type=cache,target=/p,sharing=private,id=rp touch /p/b; sleep 0.4; ls /p > /l\nFROM busybox\nCOPY --from=a /l /1\nCOPY --from=b /l /2",
        "cat /1 /2",
        "a\nb\n",
    ),
    (
        "RUN --mount=type=secret,id=s stat -c '%a %u:%g' /run/secrets/s > /l\nRUN --mount=type=secret,target=/x/s,uid=3,gid=4,mode=0440 stat -c '%a %u:%g' /x/s >> /l\nRUN --mount=type=secret,id=s,env=S test \"$S\" = value && ! test -e /run/secrets/s && echo env >> /l\nRUN --mount=type=secret,id=s,env=S,target=/both test \"$S\" = \"$(cat /both)\" && echo both >> /l",
        "cat /l",
        "400 0:0\n440 3:4\nenv\nboth\n",
    ),
    (
        "RUN --mount=type=secret,id=none,env=N echo \"${N-unset}\" > /l\nRUN --mount=type=ssh echo \"${SSH_AUTH_SOCK-unset}\" >> /l",
        "cat /l",
        "unset\nunset\n",
    ),
    (
        "RUN --mount=type=tmpfs,target=/t,size=1m dd if=/dev/zero of=/t/x bs=1M count=2 2>/dev/null || echo full > /l",
        "cat /l",
        "full\n",
    ),
    (
        "RUN <<ONE cat > /1 && <<TWO cat > /2\nI am\nfirst\nONE\nI am\nsecond\nTWO\nRUN <<EOT sh\n  set -e\n  mkdir -p /foo/bar\nEOT",
        "cat /1 /2; ls /foo",
        "I am\nfirst\nI am\nsecond\nbar\n",
    ),
    (
        "ARG A=built\nRUN <<EOT\necho $A ${A} > /z\nB=5; echo $B >> /z\nEOT\nRUN <<\"EOT\"\necho $A >> /z\nEOT\nRUN cat /dev/fd/3 3<<EOT >> /z\nthree\nEOT",
        "cat /z",
        "built built\n5\nbuilt\nthree\n",
    ),
    (
        "ARG FOO=bar\nWORKDIR /w\nCOPY <<EOF greeting.txt\nhello\nEOF\nCOPY <<-EOT /1\n\t  echo \"hello ${FOO}\"\n\tEOT\nCOPY <<-\"EOT\" /2\n\t  echo \"hello ${FOO}\"\nEOT\nCOPY <<a.txt <<b.txt /share/\n(a)\na.txt\n(b)\nb.txt",
        "cat /w/greeting.txt /1 /2 /share/a.txt /share/b.txt",
        "hello\n  echo \"hello bar\"\n  echo \"hello ${FOO}\"\n(a)\n(b)\n",
    ),
    (
        "FROM busybox AS base\nONBUILD COPY <<EOF /f\nfrom $V\nEOF\nONBUILD COPY --from=build /app /app\nONBUILD RUN --mount=from=build,target=/b cat /b/app >> /f\nFROM busybox AS build\nRUN echo app > /app\nFROM base",
        "cat /f /app",
        "from \napp\napp\n",
    ),
    ("RUN --network=none grep -c : /proc/net/dev > /l\nRUN --security=sandbox true", "cat /l", "1\n"),
];

fn whole(text: &str) -> String {
    let first = text.lines().map(str::trim_start).find(|line| !line.is_empty() && !line.starts_with('#'));
    let complete =
        first.is_some_and(|line| line.to_ascii_lowercase().starts_with("from ") || line.starts_with("ARG  "));
    if complete { format!("{text}\n") } else { format!("FROM busybox\n{text}\n") }
}

pub fn the_rules_of_the_reference_hold() {
    machine(|m| async move {
        let engine = m.engine().await;
        let files = [
            ("a.txt", "a"),
            ("$x", "dollar"),
            ("a name", ""),
            ("q[1].txt", ""),
            ("index.js", ""),
            ("index.ts", ""),
            ("d/x", ""),
            ("d/sub/z", ""),
            ("hom.txt", ""),
            ("hom.md", ""),
            ("homx", ""),
            ("hom/k", ""),
            ("hom/in.txt", ""),
            ("x/a.txt", "xa"),
            ("y/a.txt", "ya\n"),
            ("x/b/c.txt", ""),
            ("empty.tar.gz", ""),
            ("text", "no archive"),
        ];
        let dir = context(m.root(), &files);
        assert!(std::process::Command::new("gzip").arg(dir.join("text")).status().unwrap().success());
        let sections: [&[Shown]; 6] = [&FORMAT, &VARIABLES, &ARGUMENTS, &PLACES, &COPIES, &COMMANDS];
        let mut wrong = Vec::new();
        for (text, command, want) in sections.into_iter().flatten() {
            let mut wanted = request(&whole(text), &dir);
            wanted.args.insert("b".into(), "given".into());
            wanted.secrets.insert("s".into(), Secret(b"value".to_vec()));
            let built = build(&engine, wanted).await;
            match &built.result {
                Ok(_) => {
                    let found = try_out(&engine, &built.image(), command).await;
                    if found != *want {
                        wrong.push(format!("{text}\n{command}: {found:?}, not {want:?}"));
                    }
                }
                Err(error) => wrong.push(format!("{text}\n{error}")),
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
        engine.close().await;
    });
}

pub fn images_are_configured_as_the_reference_says() {
    machine(|m| async move {
        let engine = m.engine().await;
        let dir = context(m.root(), &[("x", "")]);
        let cases: [(&str, &str, Value); 14] = [
            (
                "EXPOSE 80 53/udp 8000-8001 $P/sctp",
                "ExposedPorts",
                json!(["53/udp", "80/tcp", "8000/tcp", "8001/tcp", "90/sctp"]),
            ),
            // A check warns of these, and what they map means nothing.
            ("EXPOSE 127.0.0.1:8080:80 8081:81/UDP [::1]::82", "ExposedPorts", json!(["80/tcp", "81/udp", "82/tcp"])),
            (
                "VOLUME [\"/a b\", \"/c\"]\nVOLUME /d $P/e\nVOLUME [/f]",
                "Volumes",
                json!(["/a b", "/c", "/d", "90/e", "[/f]"]),
            ),
            ("CMD ['a', 'b']", "Cmd", json!(["/bin/sh", "-c", "['a', 'b']"])),
            ("CMD [\"a\"]\nCMD b c", "Cmd", json!(["/bin/sh", "-c", "b c"])),
            ("SHELL [\"/bin/sh\", \"-ec\"]\nENTRYPOINT b c", "Entrypoint", json!(["/bin/sh", "-ec", "b c"])),
            ("FROM busybox AS base\nCMD [\"x\"]\nFROM base\nENTRYPOINT [\"y\"]", "Cmd", Value::Null),
            ("FROM busybox AS base\nCMD [\"x\"]\nFROM base\nCMD [\"z\"]\nENTRYPOINT [\"y\"]", "Cmd", json!(["z"])),
            ("USER ${name:-some}\nARG name=what\nUSER $name", "User", json!("what")),
            ("ARG S=QUIT\nSTOPSIGNAL SIG$S", "StopSignal", json!("SIGQUIT")),
            ("STOPSIGNAL 9", "StopSignal", json!("9")),
            (
                "HEALTHCHECK --interval=5m --timeout=3s --start-period=1s --start-interval=2s --retries=4 \\\n  CMD a || exit 1",
                "Healthcheck",
                json!({
                    "Test": ["CMD-SHELL", "a || exit 1"], "Interval": 300_000_000_000_u64, "Timeout": 3_000_000_000_u64,
                    "StartPeriod": 1_000_000_000, "StartInterval": 2_000_000_000, "Retries": 4
                }),
            ),
            ("HEALTHCHECK CMD [\"a\"]\nHEALTHCHECK NONE", "Healthcheck", json!({"Test": ["NONE"]})),
            (
                "LABEL \"com.example.vendor\"=\"ACME Incorporated\"\nLABEL description=\"This text illustrates \\\nthat label-values can span multiple lines.\"\n\
                 LABEL a=\"1\" \\\n      b='2$P'",
                "Labels",
                json!({
                    "a": "1", "b": "2$P", "com.example.vendor": "ACME Incorporated",
                    "description": "This text illustrates that label-values can span multiple lines."
                }),
            ),
        ];
        for (text, key, want) in cases {
            let text =
                if text.starts_with("FROM") { text.to_owned() } else { format!("FROM busybox\nENV P=90\n{text}\n") };
            let built = build(&engine, request(&text, &dir)).await;
            let image = engine.images().get(&built.image()).await.unwrap();
            let config = serde_json::to_value(&image.config.config).unwrap();
            let found = match &config[key] {
                Value::Object(map) if want.is_array() => json!(map.keys().collect::<Vec<_>>()),
                Value::Object(map) => {
                    map.iter().filter(|(_, value)| !value.is_null()).map(|(k, v)| (k.clone(), v.clone())).collect()
                }
                other => other.clone(),
            };
            assert_eq!(found, want, "{text}");
        }
        engine.close().await;
    });
}

/// What is refused, where, and in which words.
pub fn what_the_reference_forbids_is_refused() {
    machine(|m| async move {
        let engine = m.engine().await;
        let dir = context(m.root(), &[("a.txt", ""), ("b.txt", ""), ("d/x", "")]);
        for (text, words) in [
            ("RUN --mount=type=secret,id=none,required true", "the secret \"none\" was not given"),
            ("RUN --mount=type=ssh,required=true true", "the SSH agent \"default\" was not given"),
            ("RUN --mount=target=/m,source=nope true", "nope"),
            ("RUN --network=host true", "--allow network.host"),
            ("RUN --security=insecure true", "--allow security.insecure"),
            ("RUN --device=vendor1.com/device=foo,required true", "no such device"),
            ("ENV B=${A:?wanted}", "wanted"),
            ("USER nobodyhere\nRUN id", "nobodyhere"),
            ("COPY a.txt b.txt /x", "a / at its end"),
            ("COPY a.txt *.none /x/", "\"*.none\" was not found"),
            ("RUN touch /f\nCOPY d /f", "/f"),
            ("RUN mkdir -p /t/a.txt\nCOPY a.txt /t/", "/t/a.txt"),
            ("COPY --chown=nobodyx a.txt /", "nobodyx"),
            ("COPY --from=$X a b", "--from, which expands none"),
            ("ADD --checksum=md5:00 http://127.0.0.1:1/x /", "expected sha256:"),
            ("ADD http://127.0.0.1:1 /d/", "does not say what the file is called"),
            ("ADD https://127.0.0.1/x.git?brunch=a /", "did you mean branch?"),
            ("ONBUILD ONBUILD RUN true", "found ONBUILD in ONBUILD"),
            ("ONBUILD FROM x", "found FROM in ONBUILD"),
            ("ONBUILD MAINTAINER x", "found MAINTAINER in ONBUILD"),
            ("EXPOSE 1.2.3:80:80", "is no port"),
        ] {
            let failed = build(&engine, request(&format!("FROM busybox\n{text}\n"), &dir)).await;
            let error = failed.result.err().unwrap_or_else(|| panic!("{text} is built"));
            assert!(error.contains(words) && error.starts_with("Dockerfile:"), "{text}: {error}");
        }
        engine.close().await;
    });
}
