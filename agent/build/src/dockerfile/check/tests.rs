//! Each check on the examples of its page: the bad ones warn, the good ones do not.

use std::collections::BTreeMap;

use super::{super::*, *};

fn findings(source: &str, ignore: &str) -> Vec<String> {
    let file = parse("Dockerfile", source.as_bytes()).unwrap();
    let local = Platform::local();
    let global = GlobalScope::new(&file, &BTreeMap::from([("TAG".into(), "1".into())]), &local, &local).unwrap();
    let plan = Plan::new(&file, &global, [], None).unwrap();
    let ignore = IgnoreFile::parse(".dockerignore", ignore).unwrap();
    let image_env = |image: &str| match image {
        "alpine" => Some(Vec::new()),
        "python" => Some(vec!["PYTHON_VERSION=3".to_owned()]),
        _ => None,
    };
    let context = CheckContext { ignore: Some(&ignore), image_env: Some(&image_env) };
    check(&file, &global, &plan, &context)
        .into_iter()
        .map(|warning| format!("{} {} {}", warning.span.start, warning.rule, warning.message))
        .collect()
}

#[test]
fn bad_examples_warn() {
    for (source, expected) in [
        (
            "From alpine\nRUN a\nRUN b\nEntRYpOiNT [\"a\"]",
            vec![
                "1:1 ConsistentInstructionCasing Command 'From' should be consistently cased",
                "4:1 ConsistentInstructionCasing Command 'EntRYpOiNT' should be consistently cased",
            ],
        ),
        (
            "FROM scratch\nCOPY ./x/tmp/a.txt b /",
            vec!["2:6 CopyIgnoredFile Attempting to Copy file \"./x/tmp/a.txt\" that is excluded by .dockerignore"],
        ),
        (
            "FROM a AS builder\nFROM b AS builder",
            vec!["2:11 DuplicateStageName Duplicate stage name 'builder', stage names should be unique"],
        ),
        (
            "FROM a\nEXPOSE 127.0.0.1:80:80 80/TcP",
            vec![
                "2:8 ExposeInvalidFormat EXPOSE instruction should not define an IP address or host-port mapping, \
                 found '127.0.0.1:80:80'",
                "2:24 ExposeProtoCasing Defined protocol '80/TcP' in EXPOSE instruction should be lowercase",
            ],
        ),
        ("FROM a as b", vec!["1:8 FromAsCasing 'as' and 'FROM' keywords' casing do not match"]),
        (
            "FROM --platform=linux/amd64 a AS base",
            vec![
                "1:17 FromPlatformFlagConstDisallowed FROM --platform flag should not use constant value \
                 \"linux/amd64\"",
            ],
        ),
        (
            "ARG TAG\nFROM busybox:${TAG}",
            vec![
                "2:6 InvalidDefaultArgInFrom Default value for ARG busybox:${TAG} results in empty or invalid base \
                 image name",
            ],
        ),
        (
            "FROM a\nENTRYPOINT my start\nCMD x",
            vec![
                "2:1 JSONArgsRecommended JSON arguments recommended for ENTRYPOINT to prevent unintended behavior \
                 related to OS signals",
                "3:1 JSONArgsRecommended JSON arguments recommended for CMD to prevent unintended behavior related to \
                 OS signals",
            ],
        ),
        (
            "FROM a\nENV DEPS \\\n curl",
            vec![
                "2:1 LegacyKeyValueFormat \"ENV key=value\" should be used instead of legacy \"ENV key value\" format",
            ],
        ),
        (
            "FROM a\nMAINTAINER me",
            vec!["2:1 MaintainerDeprecated MAINTAINER instruction is deprecated in favor of using label"],
        ),
        (
            "FROM a\nCMD [\"a\"]\nCMD [\"b\"]",
            vec![
                "2:1 MultipleInstructionsDisallowed Multiple CMD instructions should not be used in the same stage \
                 because only the last one will be used",
            ],
        ),
        (
            "FROM a\nRUN apk add \\\n\n    gnupg",
            vec!["3:1 NoEmptyContinuation Empty continuation line found in: RUN apk add     gnupg"],
        ),
        (
            "FROM --platform=$TARGETPLATFORM a",
            vec![
                "1:17 RedundantTargetPlatform Setting platform to predefined $TARGETPLATFORM in FROM is redundant as \
                 this is the default behavior",
            ],
        ),
        (
            "FROM a AS scratch\nFROM b AS Context",
            vec![
                "1:11 ReservedStageName 'scratch' is reserved and should not be used as a stage name",
                "2:11 ReservedStageName 'Context' is reserved and should not be used as a stage name",
                "2:11 StageNameCasing Stage name 'Context' should be lowercase",
            ],
        ),
        (
            "FROM a\nARG AWS_SECRET_ACCESS_KEY PUBLIC_KEY\nENV TOKEN=x KEYS=1",
            vec![
                "2:5 SecretsUsedInArgOrEnv Potentially sensitive data should not be used in the ARG or ENV commands \
                 (ARG \"AWS_SECRET_ACCESS_KEY\")",
                "3:5 SecretsUsedInArgOrEnv Potentially sensitive data should not be used in the ARG or ENV commands \
                 (ENV \"TOKEN\")",
            ],
        ),
        (
            "FROM --platform=$BUILDPLATFROM node:22${VARIANT}",
            vec![
                "1:17 UndefinedArgInFrom FROM argument 'BUILDPLATFROM' is not declared (did you mean BUILDPLATFORM?)",
                "1:32 UndefinedArgInFrom FROM argument 'VARIANT' is not declared",
            ],
        ),
        (
            "FROM alpine AS base\nCOPY $foo .\nENV PATH=$PAHT:/app\nARG V=$bar\nFROM unknown\nCOPY $foo $PAHT",
            vec![
                "2:6 UndefinedVar Usage of undefined variable '$foo'",
                "3:10 UndefinedVar Usage of undefined variable '$PAHT' (did you mean $PATH?)",
                "4:7 UndefinedVar Usage of undefined variable '$bar'",
                "6:11 UndefinedVar Usage of undefined variable '$PAHT' (did you mean $PATH?)",
            ],
        ),
        (
            "FROM nginx AS web\nWORKDIR usr/share",
            vec![
                "2:1 WorkdirRelativePath Relative workdir 'usr/share' can have unexpected results if the base image \
                 changes",
            ],
        ),
    ] {
        assert_eq!(findings(source, "*/tmp/*"), expected, "{source}");
    }
}

#[test]
fn good_examples_do_not() {
    for source in [
        "from alpine as b\nrun echo\nentrypoint [\"cat\"]",
        "FROM scratch\nCOPY ./forever/a /a\nCOPY --from=x a/tmp/b /\nADD https://x/tmp/b /\nEXPOSE 80 53/udp $PATH",
        "FROM --platform=linux/amd64 a AS build_amd64\nFROM --platform=${BUILDPLATFORM} b",
        "ARG TAG=latest V U\nFROM busybox:${TAG}\nFROM busybox:stable${V}\nFROM alpine:${U:-3.14}",
        "FROM a\nSHELL [\"/bin/bash\", \"-c\"]\nENTRYPOINT echo\nFROM a AS b\nCMD [\"x\"]\nHEALTHCHECK CMD [\"x\"]",
        "FROM a\nEXPOSE \\\n# Port\n80",
        "FROM python AS base\nARG VERSION=$PYTHON_VERSION foo\nCOPY $foo .\nFROM base\nWORKDIR /x\nWORKDIR y\nRUN $zz",
        "# check=skip=all\nFROM a as B",
        "# check=skip=FromAsCasing,StageNameCasing\nFROM a as B",
        "# a comment\nFROM a AS b\n# another\nARG c",
    ] {
        assert_eq!(findings(source, "*/tmp/*"), Vec::<String>::new(), "{source}");
    }
}

#[test]
fn descriptions_are_checked_when_asked() {
    let source = "# check=experimental=all\n\n# about\nFROM a AS base\n# VERSION is it\nARG VERSION\n\n# x\n\nARG d";
    let found = findings(source, "");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("4:1 InvalidDefinitionDescription"));
}

#[test]
fn pages_have_dashes() {
    let url = |rule: &str| Warning { rule: rule.into(), message: String::new(), span: Span::default() }.url();
    assert!(url("JSONArgsRecommended").ends_with("/json-args-recommended/"));
    assert!(url("FromAsCasing").ends_with("/from-as-casing/"));
    assert!(url("SecretsUsedInArgOrEnv").ends_with("/secrets-used-in-arg-or-env/"));
}
