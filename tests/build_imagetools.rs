//! `hoist buildx`: images at registries put together, the one builder, and what is refused by name.
#![allow(clippy::unwrap_used)] // what a helper cannot do fails the test

mod support;

use serde_json::Value;
use support::{Done, Host};

fn tools(host: &Host, args: &[&str]) -> Done {
    host.hoist(&[&["buildx", "imagetools"], args].concat())
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|err| panic!("{err}: {text}"))
}

/// A host whose registry has `app:1-amd64` with a provenance, and `other/arm:1` for another platform.
fn ready() -> (Host, String) {
    let mut host = Host::new();
    host.busybox();
    let registry = host.registry();
    host.write("context/file", "text");
    host.write("context/Dockerfile", "FROM scratch\nCOPY file /file\nARG TARGETARCH\nLABEL for=$TARGETARCH\n");
    let build = |name: &str, more: &[&str]| {
        let name = format!("{registry}/{name}");
        host.hoist(&[&["build", "--push", "-t", &name], more, &["context"]].concat()).ok();
    };
    build("app:1-amd64", &["--provenance"]);
    build("other/arm:1", &["--platform", "linux/arm64"]);
    (host, registry)
}

#[test]
fn images_are_put_together_and_shown() {
    let (host, registry) = ready();
    let (amd, arm) = (format!("{registry}/app:1-amd64"), format!("{registry}/other/arm:1"));
    let (one, two) = (format!("{registry}/app:1"), format!("{registry}/third:2"));
    let dry = tools(&host, &["create", "--dry-run", "-t", &one, &amd, &arm]).ok();
    // An image, what is said about it, and the other's image.
    assert_eq!(json(&dry)["manifests"].as_array().unwrap().len(), 3);
    assert!(tools(&host, &["inspect", &one]).fails(1).contains("app:1"));
    let made = tools(
        &host,
        &["create", "-t", &one, "-t", &two, "--annotation", "index:a=b", "--metadata-file", "made.json", &amd, &arm],
    );
    let lines = made.ok();
    assert!(lines.starts_with(&format!("{one}@sha256:")) && lines.contains(&format!("{two}@sha256:")), "{lines}");
    let metadata = json(&std::fs::read_to_string(host.path().join("made.json")).unwrap());
    let digest = metadata["containerimage.descriptor"]["digest"].as_str().unwrap();
    assert!(lines.contains(digest));
    // All of it is in each repository.
    for name in [&one, &two] {
        let place = format!("docker://{name}");
        let to = format!("dir:{}", host.path().join("copied").display());
        host.other("skopeo", &["copy", "--all", "--src-tls-verify=false", &place, &to]).ok();
        let raw = host.other("skopeo", &["inspect", "--raw", "--tls-verify=false", &place]).ok();
        assert_eq!(raw, tools(&host, &["inspect", "--raw", name]).ok());
        assert_eq!(json(&raw)["annotations"]["a"], "b");
    }
    let shown = tools(&host, &["inspect", &one]).ok();
    for words in [
        &format!("Digest:    {digest}"),
        "Platform:    linux/amd64",
        "Platform:    linux/arm64",
        "attestation-manifest",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let format = |format: &str| tools(&host, &["inspect", "--format", format, &one]).ok().trim().to_owned();
    assert_eq!(format("{{.Name}} {{.Manifest.Digest}}"), format!("{one} {digest}"));
    assert_eq!(json(&format("{{json .Manifest}}"))["manifests"].as_array().unwrap().len(), 3);
    assert_eq!(format("{{(index .Image \"linux/arm64\").config.Labels.for}}"), "arm64");
    // More for what is there; one platform of it, with what is said about that; a copy to the byte.
    tools(&host, &["create", "--append", "-t", &two, &arm]).ok();
    tools(&host, &["create", "-t", &format!("{registry}/amd:1"), "--platform", "linux/amd64", &one]).ok();
    let amd_only = tools(&host, &["inspect", "--raw", &format!("{registry}/amd:1")]).ok();
    assert_eq!(json(&amd_only)["manifests"].as_array().unwrap().len(), 2);
    let copy = format!("{registry}/copy:1");
    tools(&host, &["create", "--prefer-index=false", "-t", &copy, &arm]).ok();
    assert_eq!(tools(&host, &["inspect", "--raw", &copy]).ok(), tools(&host, &["inspect", "--raw", &arm]).ok());
    tools(&host, &["create", "-t", &copy, &arm]).ok();
    assert_eq!(json(&tools(&host, &["inspect", "--raw", &copy]).ok())["manifests"].as_array().unwrap().len(), 1);
    for (args, code, words) in [
        (["create", "-t", &one, "--platform", "linux/riscv64", &amd].as_slice(), 1, "there is nothing to put together"),
        (&["create", &amd], 125, "needs a name"),
        (&["create", "-t", &one, &format!("{registry}/none:1")], 1, "none:1"),
        (&["create", "-t", &one, "--annotation", "manifest:a=b", &amd], 125, "only the index is annotated"),
        (&["inspect", "--builder", "other", &one], 1, "there is no builder \"other\""),
    ] {
        let text = tools(&host, args).fails(code);
        assert!(text.contains(words), "{args:?}: {text}");
    }
}

#[test]
fn there_is_one_builder() {
    let host = Host::new();
    host.busybox();
    host.write(
        "context/Dockerfile",
        "FROM busybox\nRUN dd if=/dev/zero of=/f bs=1M count=2\nRUN dd if=/dev/zero of=/g bs=1M count=2\n",
    );
    host.hoist(&[
        "buildx",
        "build",
        "--builder",
        "default",
        "--compress",
        "--isolation",
        "default",
        "--network",
        "none",
        "context",
    ])
    .ok();
    assert!(host.hoist(&["buildx", "ls"]).ok().contains("default*"));
    assert_eq!(host.hoist(&["buildx", "ls", "--format", "{{.Name}} {{.Status}}"]).ok(), "default running\n");
    host.hoist(&["buildx", "use", "default"]).ok();
    assert!(host.hoist(&["buildx", "inspect", "--bootstrap", "default"]).ok().contains("Status:    running"));
    let entries =
        |host: &Host| host.hoist(&["buildx", "du", "--format", "{{.ID}} {{.Type}}", "--filter", "type=regular"]).ok();
    assert_eq!(entries(&host).lines().count(), 2);
    // What may stay is kept; more than that goes.
    let prune = |flags: &[&str]| host.hoist(&[&["buildx", "prune", "-af"], flags].concat()).ok();
    prune(&["--reserved-space", "1GB", "--max-used-space", "1MB"]);
    prune(&["--max-used-space", "1GB"]);
    prune(&["--min-free-space", "1"]);
    assert_eq!(entries(&host).lines().count(), 2);
    let socket = host.socket().display().to_string();
    let url = "http://x/build/prune?all=1&max-used-space=3000000";
    host.other("curl", &["-sfX", "POST", "--unix-socket", &socket, url]).ok();
    assert_eq!(entries(&host).lines().count(), 1);
    prune(&["--max-used-space", "1MB"]);
    assert_eq!(entries(&host), "");
    for (args, code, words) in [
        (["build", "--builder", "x", "context"].as_slice(), 1, "there is no builder \"x\""),
        (&["build", "--isolation", "hyperv", "context"], 125, "--isolation hyperv is not supported"),
        (&["use", "x"], 1, "there is no builder \"x\""),
        (&["inspect", "x"], 1, "there is no builder \"x\""),
        (&["create", "--use", "--name", "x"], 1, "buildx create is not supported"),
        (&["rm", "-f", "x"], 1, "buildx rm is not supported"),
        (&["stop"], 1, "buildx stop is not supported"),
        (&["history", "ls"], 1, "buildx history is not supported"),
        (&["bake", "--call", "outline"], 125, "--call outline is not supported"),
    ] {
        let text = host.hoist(&[&["buildx"], args].concat()).fails(code);
        assert!(text.contains(words), "{args:?}: {text}");
    }
    host.write("docker-bake.hcl", "variable \"V\" { default = \"1\" }\ntarget \"default\" { args = { V = V } }\n");
    let shown = host.hoist(&["bake", "--var", "V=2", "--print"]).ok();
    assert_eq!(json(&shown)["target"]["default"]["args"]["V"], "2");
    assert!(host.hoist(&["bake", "--var", "W=2", "--print"]).fails(125).contains("no such variable"));
}
