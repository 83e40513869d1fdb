//! Where images of builds go: each output with names, compression and annotations of its own.
#![allow(clippy::unwrap_used)] // what a helper cannot do fails the test

mod support;

use serde_json::Value;
use support::{Done, Host};

/// A host with a registry, and a Dockerfile that adds one layer.
fn ready() -> (Host, String) {
    let mut host = Host::new();
    host.busybox();
    let registry = host.registry();
    host.write("context/Dockerfile", "FROM busybox\nRUN echo built > /file\n");
    (host, registry)
}

fn build(host: &Host, outputs: &[&str], more: &[&str]) -> Done {
    let mut args = vec!["build", "--network", "none", "--metadata-file", "metadata.json"];
    for output in outputs {
        args.extend(["-o", output]);
    }
    args.extend_from_slice(more);
    args.push("context");
    host.hoist(&args)
}

/// What the registry has, or a layout in a directory.
fn raw(host: &Host, place: &str) -> Value {
    let raw = host.other("skopeo", &["inspect", "--raw", "--tls-verify=false", place]).ok();
    serde_json::from_str(&raw).unwrap_or_else(|err| panic!("{err}: {raw}"))
}

/// Media types of a manifest's layers, without what all have in common.
fn layers(manifest: &Value) -> Vec<&str> {
    let kind = |layer: &'_ Value| layer["mediaType"].as_str().map(str::len).unwrap_or_default();
    let layers = manifest["layers"].as_array().unwrap_or_else(|| panic!("{manifest}"));
    assert!(layers.iter().all(|layer| kind(layer) > 0), "{manifest}");
    layers.iter().map(|layer| layer["mediaType"].as_str().unwrap().rsplit(['+', '.']).next().unwrap()).collect()
}

fn tags(host: &Host, registry: &str, name: &str) -> Value {
    serde_json::from_str::<Value>(&host.get(&format!("http://{registry}/v2/{name}/tags/list"))).unwrap()["tags"].clone()
}

#[test]
fn what_is_pushed_is_what_was_asked() {
    let (host, registry) = ready();
    // Of several images only the one that is to be pushed is, under its own names and those of all.
    let (own, other, every) =
        (format!("{registry}/own:1"), format!("{registry}/other:1"), format!("{registry}/every:1"));
    let outputs = [format!("type=image,name={other}"), format!("type=registry,name={own},annotation.about=own")];
    build(&host, &outputs.each_ref().map(String::as_str), &["-t", &every]).ok();
    assert_eq!((tags(&host, &registry, "own"), tags(&host, &registry, "every")), (["1"].into(), ["1"].into()));
    assert_eq!(tags(&host, &registry, "other"), Value::Null);
    for name in [&own, &other, &every] {
        assert_ne!(host.hoist(&["images", "-q", name]).ok(), "", "{name}");
    }
    let manifest = raw(&host, &format!("docker://{own}"));
    assert_eq!((manifest["annotations"]["about"].as_str(), layers(&manifest)), (Some("own"), vec!["gzip", "gzip"]));
    // Compression, of layers that were not compressed yet and by force of all.
    host.write("context/Dockerfile", "FROM busybox\nRUN echo built > /file && echo anew > /other\n");
    let zstd = format!("type=image,name={registry}/zstd:1,push=true,compression=zstd,compression-level=3");
    build(&host, &[&zstd], &[]).ok();
    let manifest = raw(&host, &format!("docker://{registry}/zstd:1"));
    let types = layers(&manifest);
    assert_eq!(
        (types.last(), manifest["mediaType"].as_str()),
        (Some(&"zstd"), Some("application/vnd.oci.image.manifest.v1+json"))
    );
    build(&host, &[&format!("{zstd},force-compression=true")], &[]).ok();
    assert_eq!(layers(&raw(&host, &format!("docker://{registry}/zstd:1"))), ["zstd", "zstd"]);
    let plain = format!("type=registry,name={registry}/plain:1,compression=uncompressed,force-compression=true");
    build(&host, &[&plain], &[]).ok();
    assert_eq!(layers(&raw(&host, &format!("docker://{registry}/plain:1"))), ["tar", "tar"]);
    // It runs from there.
    for name in ["zstd", "plain"] {
        let name = format!("{registry}/{name}:1");
        host.hoist(&["rmi", "-f", &name]).ok();
        assert_eq!(host.hoist(&["run", "--rm", "--network", "none", &name, "cat", "/file"]).ok(), "built\n");
    }
    // Under its digest alone, as builds do whose parts come from several machines.
    let digest = format!("type=image,name={registry}/parts,push=true,push-by-digest=true,name-canonical=true");
    build(&host, &[&digest], &["--provenance"]).ok();
    assert_eq!(tags(&host, &registry, "parts"), Value::Null);
    let metadata: Value = serde_json::from_slice(&std::fs::read(host.path().join("metadata.json")).unwrap()).unwrap();
    let digest = metadata["containerimage.digest"].as_str().unwrap();
    assert_eq!(raw(&host, &format!("docker://{registry}/parts@{digest}"))["manifests"].as_array().unwrap().len(), 2);
    let text = build(&host, &[&format!("type=registry,name={registry}/parts:1,push-by-digest=true")], &[]).fails(125);
    assert!(text.contains("pushes no tag"), "{text}");
}

#[test]
fn archives_have_the_form_that_was_asked_for() {
    let (host, _) = ready();
    let dir = host.path().join("layout").display().to_string();
    let outputs = [
        format!("type=oci,dest={dir},tar=false,name=x/y:1,compression=zstd,force-compression=true,annotation.a=b"),
        "type=docker,dest=docker.tar,compression=gzip,force-compression=true,name=docker:1".to_owned(),
    ];
    build(&host, &outputs.each_ref().map(String::as_str), &[]).ok();
    let manifest = raw(&host, &format!("oci:{dir}:1"));
    assert_eq!((layers(&manifest), manifest["annotations"]["a"].as_str()), (vec!["zstd", "zstd"], Some("b")));
    let listed = host
        .other("sh", &["-c", "tar xf docker.tar --to-command='head -c 2 | od -An -tx1' --wildcards 'blobs/*'"])
        .ok();
    assert_eq!(listed.lines().filter(|line| line.trim() == "1f 8b").count(), 2, "{listed}");
    host.hoist(&["load", "-i", "docker.tar"]).ok();
    assert_eq!(host.hoist(&["run", "--rm", "--network", "none", "docker:1", "cat", "/file"]).ok(), "built\n");
    // An index is annotated where there is one.
    let index = format!("type=oci,dest={dir},tar=false,name=x/y:1,annotation-index.c=d");
    let text = build(&host, &[&index], &[]).fails(1);
    assert!(text.contains("there is no index to annotate"), "{text}");
    std::fs::remove_dir_all(&dir).unwrap();
    let more = ["--build-arg", "BUILDKIT_MULTI_PLATFORM=1", "--annotation", "index,manifest:e=f"];
    build(&host, &[&index], &more).ok();
    let index = raw(&host, &format!("oci:{dir}:1"));
    assert_eq!((index["annotations"]["c"].as_str(), index["annotations"]["e"].as_str()), (Some("d"), Some("f")));
    for (output, words) in [
        ("type=image,compression=zstd", "kept here is not compressed"),
        ("type=oci,dest=x,compression=estargz", "estargz is not supported"),
        ("type=image,unpack=false", "unpack=false is not supported"),
        ("type=image,dangling-name-prefix=x", "known by its id"),
        ("type=image,rewrite-timestamp=true", "set SOURCE_DATE_EPOCH"),
    ] {
        let text = build(&host, &[output], &[]).fails(125);
        assert!(text.contains(words), "{output}: {text}");
    }
    build(&host, &["type=image,rewrite-timestamp=true"], &["--build-arg", "SOURCE_DATE_EPOCH=0"]).ok();
}
