//! Flags in, definitions out.

use clap::Parser;

use super::*;
use crate::cli::{
    args::service::{CreateArgs, UpdateArgs},
    spec::Surroundings,
};

#[derive(Debug, Parser)]
struct Create {
    #[command(flatten)]
    args: CreateArgs,
}

#[derive(Debug, Parser)]
struct Update {
    #[command(flatten)]
    args: UpdateArgs,
}

fn files() -> Files {
    Files {
        secrets: [("key".to_owned(), "s1".to_owned())].into(),
        configs: [("conf".to_owned(), "c1".to_owned())].into(),
    }
}

#[test]
fn a_service_of_flags_and_its_change() {
    let words = "create --name web --replicas 3 -p 8080:80 -p published=53,target=53,protocol=udp,mode=host --secret \
                 key --config source=conf,target=/etc/conf,mode=0400 -e A=b --constraint node.role==worker --limit-cpu \
                 .5 --update-delay 3s --cap-drop kill --mount type=volume,src=data,dst=/data --host a:1.2.3.4 busybox \
                 sh -c true";
    let args = Create::parse_from(words.split_whitespace()).args;
    let around = Surroundings::of(&[], "/");
    let mut spec = create(&args, &files(), &around).unwrap();
    let container = spec.task_template.container_spec.clone().unwrap();
    assert_eq!(container.args, ["sh", "-c", "true"]);
    assert_eq!(container.capability_drop, ["CAP_KILL"]);
    assert_eq!(container.hosts, ["1.2.3.4 a"]);
    assert_eq!(container.secrets[0].file.as_ref().unwrap().name, "key");
    assert_eq!(container.configs[0].file.as_ref().unwrap().mode, 0o400);
    assert_eq!(spec.mode.replicated.as_ref().unwrap().replicas, Some(3));
    assert_eq!(spec.update_config.as_ref().unwrap().delay, 3_000_000_000);
    assert_eq!(spec.update_config.as_ref().unwrap().parallelism, 1);
    let ports = &spec.endpoint_spec.as_ref().unwrap().ports;
    assert_eq!((ports[0].published_port, ports[0].target_port, ports[0].publish_mode.as_str()), (8080, 80, "ingress"));
    assert_eq!((ports[1].protocol.as_str(), ports[1].publish_mode.as_str()), ("udp", "host"));

    let words = [
        "update",
        "--args",
        "echo 'a b'",
        "--env-rm",
        "A",
        "--env-add",
        "C=d",
        "--secret-rm",
        "key",
        "--publish-rm",
        "80",
        "--cap-add",
        "KILL",
        "--force",
        "--mount-rm",
        "/data",
        "--host-rm",
        "a",
        "web",
    ];
    let args = Update::parse_from(words).args;
    update(&mut spec, &args, &files(), &around).unwrap();
    let container = spec.task_template.container_spec.clone().unwrap();
    assert_eq!(container.args, ["echo", "a b"]);
    assert_eq!(container.env, ["C=d"]);
    assert!(container.secrets.is_empty() && container.mounts.is_empty() && container.hosts.is_empty());
    assert!(container.capability_drop.is_empty());
    assert_eq!(spec.endpoint_spec.as_ref().unwrap().ports.len(), 1);
    assert_eq!(spec.task_template.force_update, 1);
}

#[test]
fn nonsense_is_refused_by_flag() {
    for (words, flag) in [
        ("create --mode x busybox", "--mode"),
        ("create --secret none busybox", "--secret"),
        ("create -p 1:2:3 busybox", "--publish"),
        ("create -p 1-2:3 busybox", "--publish"),
        ("create --mode global --replicas 2 busybox", "--replicas"),
        ("create --placement-pref x busybox", "--placement-pref"),
        ("create --credential-spec x busybox", "--credential-spec"),
        ("create --entrypoint 'x busybox", "--entrypoint"),
        ("create --update-delay x busybox", "--update-delay"),
    ] {
        let args = Create::parse_from(words.split_whitespace()).args;
        let err = create(&args, &files(), &Surroundings::of(&[], "/")).unwrap_err().to_string();
        assert!(err.contains(flag), "{words}: {err}");
    }
}
