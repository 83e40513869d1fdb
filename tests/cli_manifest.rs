//! Lists of images for several platforms, made and pushed by the command line itself, beside Docker's own that works on
//! the same store and the same registry.
#![allow(clippy::unwrap_used)] // what a helper cannot do fails the test

mod support;

use serde_json::Value;
use support::{Done, Host};

/// A host whose registry has `app:1-amd64`, and the same image as `other/arm:1` in another repository.
fn ready() -> (Host, String) {
    let mut host = Host::new();
    host.busybox();
    let registry = host.registry();
    for name in ["app:1-amd64", "other/arm:1"] {
        let name = format!("{registry}/{name}");
        host.write("context/Dockerfile", &format!("FROM busybox\nLABEL for={name}\n"));
        host.hoist(&["build", "--network", "none", "-t", &name, "context"]).ok();
        host.hoist(&["push", &name]).ok();
    }
    (host, registry)
}

fn manifest(host: &Host, args: &[&str]) -> Done {
    host.hoist(&[&["manifest"], args].concat())
}

fn docker(host: &Host, args: &[&str]) -> Done {
    host.other("docker", &[&["manifest"], args].concat())
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|err| panic!("{err}: {text}"))
}

#[test]
fn a_list_is_made_annotated_pushed_and_forgotten() {
    let (host, registry) = ready();
    let (list, amd, arm) =
        (format!("{registry}/app:1"), format!("{registry}/app:1-amd64"), format!("{registry}/other/arm:1"));
    assert_eq!(manifest(&host, &["create", &list, &amd]).ok(), format!("Created manifest list {list}\n"));
    let refused = manifest(&host, &["create", &list, &arm]).fails(1);
    assert!(refused.contains("no --amend flag"), "{refused}");
    manifest(&host, &["create", "--amend", &list, &arm]).ok();
    manifest(&host, &["annotate", "--arch", "arm64", "--variant", "v8", "--os-features", "a,b", &list, &arm]).ok();
    let wrong = manifest(&host, &["annotate", "--arch", "pdp11", &list, &arm]).fails(1);
    assert!(wrong.contains("unsupported os/arch combination: linux/pdp11"), "{wrong}");
    let wrong = manifest(&host, &["annotate", "--arch", "arm64", &list, &format!("{registry}/no:1")]).fails(1);
    assert!(wrong.contains("does not exist in"), "{wrong}");

    let shown = manifest(&host, &["inspect", &list]).ok();
    let index = json(&shown);
    let architectures: Vec<&str> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["platform"]["architecture"].as_str().unwrap())
        .collect();
    assert_eq!(architectures, ["amd64", "arm64"]);
    // Docker's own reads the same list, and says the same of it.
    assert_eq!(json(&docker(&host, &["inspect", &list]).ok()), index);
    let (ours, theirs) =
        (manifest(&host, &["inspect", "-v", &list, &arm]).ok(), docker(&host, &["inspect", "-v", &list, &arm]).ok());
    for field in ["Ref", "Descriptor", "Raw"] {
        assert_eq!(json(&ours)[field], json(&theirs)[field], "{field}");
    }

    let pushed = manifest(&host, &["push", "--purge", &list]).ok();
    let digest = pushed.lines().last().unwrap();
    assert!(pushed.starts_with(&format!("Pushed ref {registry}/app@sha256:")), "{pushed}");
    let raw = host.other("skopeo", &["inspect", "--raw", "--tls-verify=false", &format!("docker://{list}")]).ok();
    assert_eq!(json(&raw), index);
    let gone = manifest(&host, &["rm", &list]).fails(1);
    assert!(gone.contains(&format!("No such manifest: {list}")), "{gone}");
    // Now it is the registry that is asked; all that the list names can be had from its repository.
    assert_eq!(json(&manifest(&host, &["inspect", &list]).ok()), index);
    let verbose = json(&manifest(&host, &["inspect", "--verbose", &list]).ok());
    let theirs = json(&docker(&host, &["inspect", "--insecure", "--verbose", &list]).ok());
    assert_eq!(verbose[1]["Ref"], theirs[1]["Ref"]);
    assert_eq!(verbose[1]["Descriptor"], theirs[1]["Descriptor"]);
    let copied = host.path().join("copied").display().to_string();
    let exact = format!("docker://{registry}/app@{digest}");
    host.other("skopeo", &["copy", "--all", "--src-tls-verify=false", &exact, &format!("dir:{copied}")]).ok();
}

#[test]
fn what_cannot_be_is_refused() {
    let (host, registry) = ready();
    let (list, amd) = (format!("{registry}/app:1"), format!("{registry}/app:1-amd64"));
    let missing = manifest(&host, &["inspect", &format!("{registry}/app:none")]).fails(1);
    assert!(missing.contains("app:none"), "{missing}");
    assert!(manifest(&host, &["push", &list]).fails(1).contains("not found"));
    // Nothing is kept when one of several is not there.
    manifest(&host, &["create", &list, &amd, &format!("{registry}/app:none")]).fails(1);
    assert!(manifest(&host, &["rm", &list]).fails(1).contains("No such manifest"));
    manifest(&host, &["create", "elsewhere.example/app:1", &amd]).ok();
    let text = manifest(&host, &["push", "elsewhere.example/app:1"]).fails(1);
    assert!(
        text.contains(&format!("different registry than the target image: {registry} != elsewhere.example")),
        "{text}"
    );
    let file = host.path().join(".docker/manifests/elsewhere.example_app-1");
    let file = file.join(format!("{}_app-1-amd64", registry.replace(':', "-")));
    std::fs::write(&file, "{").unwrap();
    assert!(manifest(&host, &["inspect", "elsewhere.example/app:1"]).fails(1).contains("app-1-amd64"), "{file:?}");
    manifest(&host, &["rm", "elsewhere.example/app:1"]).ok();
    assert!(manifest(&host, &["create", "UPPER", &amd]).fails(1).contains("invalid reference format"));
    // A list is no image of another list.
    manifest(&host, &["create", &list, &amd]).ok();
    manifest(&host, &["push", &list]).ok();
    let text = manifest(&host, &["create", "other:1", &list]).fails(1);
    assert!(text.contains("is a manifest list"), "{text}");
}

#[test]
fn a_name_keeps_its_platforms_and_dockers_own_client_sees_them() {
    let host = Host::new();
    host.write("context/Dockerfile", "FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /arch\n");
    for arch in ["amd64", "arm64", "s390x"] {
        host.write(&format!("context/{arch}"), arch);
    }
    let docker = |args: &[&str]| host.other("docker", args);
    let platforms = ["--platform", "linux/amd64,linux/arm64,linux/s390x"];
    host.hoist(&[&["build", "-q", "-t", "multi:1"][..], &platforms, &["context"]].concat()).ok();
    let tree = |shown: &str| -> Vec<String> {
        let lines = shown.lines().filter_map(|line| line.split_once("─ ")).map(|(_, rest)| rest);
        lines.filter_map(|rest| rest.split_whitespace().next()).map(str::to_owned).collect()
    };
    let multi = |shown: String| {
        let from = shown.find("multi:1").unwrap_or_else(|| panic!("{shown}"));
        tree(shown[from..].split("\nhoist/").next().unwrap())
    };
    let all = ["linux/amd64", "linux/arm64", "linux/s390x"];
    assert_eq!(multi(host.hoist(&["images", "--tree"]).ok()), all);
    assert_eq!(multi(docker(&["images", "--tree"]).ok()), all);
    assert_eq!(host.hoist(&["images", "-q", "multi"]).ok().lines().count(), 1);
    let arch = ["image", "inspect", "-f", "{{.Architecture}}", "--platform", "linux/s390x", "multi:1"];
    assert_eq!((docker(&arch).ok(), host.hoist(&arch).ok()), ("s390x\n".into(), "s390x\n".into()));
    // A container of another platform than this machine's is of that platform's image.
    docker(&["create", "--platform", "linux/arm64", "--name", "other", "multi:1", "/x"]).ok();
    host.hoist(&["cp", "other:/arch", "arch"]).ok();
    assert_eq!(std::fs::read_to_string(host.path().join("arch")).unwrap(), "arm64");
    let used = docker(&["rmi", "--platform", "linux/arm64", "multi:1"]).fails(1);
    assert!(used.contains("image is being used by stopped container"), "{used}");
    docker(&["rm", "other"]).ok();

    host.hoist(&["save", "-o", "all.tar", "multi:1"]).ok();
    docker(&["save", "--platform", "linux/arm64", "-o", "arm64.tar", "multi:1"]).ok();
    docker(&["rmi", "--platform", "linux/arm64", "multi:1"]).ok();
    assert_eq!(multi(docker(&["images", "--tree"]).ok()), ["linux/amd64", "linux/s390x"]);
    let lacks = host.hoist(&["save", "--platform", "linux/arm64", "-o", "no.tar", "multi:1"]).fails(1);
    assert!(lacks.contains("multi:1 has no image for linux/arm64; it offers linux/amd64, linux/s390x"), "{lacks}");
    for command in ["save", "rmi", "history", "push"] {
        let wrong = host.hoist(&[command, "--platform", "bogus", "multi:1"]).fails(1);
        assert!(wrong.contains("invalid platform \"bogus\": want os[/architecture[/variant]]"), "{wrong}");
    }
    host.hoist(&["rmi", "multi:1"]).ok();
    docker(&["load", "-i", "arm64.tar"]).ok();
    assert_eq!(multi(host.hoist(&["images", "--tree"]).ok()), ["linux/arm64"]);
    let lacks = docker(&["load", "--platform", "linux/ppc64le", "-i", "all.tar"]).fails(1);
    assert!(lacks.contains("has no image for linux/ppc64le"), "{lacks}");
    docker(&["load", "-i", "all.tar"]).ok();
    assert_eq!(multi(docker(&["images", "--tree"]).ok()), all);
    host.hoist(&["rmi", "multi:1"]).ok();
    assert_eq!(host.hoist(&["images", "-aq", "--filter", "reference=multi"]).ok(), "");
}
