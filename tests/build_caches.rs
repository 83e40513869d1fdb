//! Builds that share what they know: caches at a registry, in a directory and in an image; and images for several
//! platforms. Steps write a random text, so that the same result means that nothing was run again.

mod support;

use support::{Done, Host};

const TWO_STAGES: &str = "FROM busybox AS make\nRUN cat /proc/sys/kernel/random/uuid > /slow\nRUN cat /slow > /out\n\
    FROM busybox\nCOPY --from=make /out /out\nRUN cat /proc/sys/kernel/random/uuid > /own\nCOPY a.txt /\n";

fn build(host: &Host, args: &[&str]) -> Done {
    let mut all = vec!["build", "--network", "none", "--progress", "plain"];
    all.extend_from_slice(args);
    all.push("context");
    host.hoist(&all)
}

/// A host with a registry, a busybox image and the context that all tests build.
fn ready(dockerfile: &str) -> (Host, String) {
    let mut host = Host::new();
    host.busybox();
    let registry = host.registry();
    host.write("context/Dockerfile", dockerfile);
    host.write("context/a.txt", "one\n");
    (host, registry)
}

/// Forgets all that was built, as if the machine were another one.
fn forget(host: &Host, images: &[&str]) {
    if !images.is_empty() {
        host.hoist(&[&["rmi", "-f"], images].concat()).ok();
    }
    host.hoist(&["builder", "prune", "-af"]).ok();
}

fn read(host: &Host, image: &str, file: &str) -> String {
    host.hoist(&["run", "--rm", "--network", "none", image, "cat", file]).ok()
}

fn id(host: &Host, image: &str) -> String {
    host.hoist(&["inspect", "--type", "image", "-f", "{{.Id}}", image]).ok()
}

#[test]
fn a_registry_keeps_the_cache_of_a_build() {
    let (host, registry) = ready(TWO_STAGES);
    let cache = format!("{registry}/cache:main");
    let (to, from) = (format!("type=registry,ref={cache},mode=max"), format!("type=registry,ref={cache}"));
    // Nothing is there yet: the build goes on without.
    let first = build(&host, &["-t", "app", "--cache-from", &from, "--cache-to", &to]);
    assert!(first.stderr.contains("there is none yet"), "{}", first.stderr);
    assert!(first.stderr.contains(&format!("exporting cache to {cache}")), "{}", first.stderr);
    first.ok();
    let (whole, out, own) = (id(&host, "app"), read(&host, "app", "/out"), read(&host, "app", "/own"));
    forget(&host, &["app"]);
    build(&host, &["-t", "app", "--cache-from", &from]).ok();
    assert_eq!(id(&host, "app"), whole);
    // What changed is made again, on what the cache has.
    host.write("context/a.txt", "two\n");
    forget(&host, &["app"]);
    build(&host, &["-t", "app", "--cache-from", &cache]).ok();
    let now = |file| read(&host, "app", file);
    assert_eq!((now("/out"), now("/own"), now("/a.txt")), (out.clone(), own, "two\n".into()));
    // mode=max holds the steps of stages whose files are not in the result.
    host.write("context/Dockerfile", &TWO_STAGES.replace("cat /slow > /out", "cat /slow /slow > /out"));
    forget(&host, &["app"]);
    build(&host, &["-t", "app", "--cache-from", &from, "--cache-to", &to]).ok();
    assert_eq!(read(&host, "app", "/out"), out.repeat(2));
    // Written again it still holds what this build did not need.
    host.write("context/Dockerfile", &TWO_STAGES.replace("cat /slow > /out", "cat /slow /slow /slow > /out"));
    forget(&host, &["app"]);
    build(&host, &["-t", "app", "--cache-from", &from]).ok();
    assert_eq!(read(&host, "app", "/out"), out.repeat(3));
}

#[test]
fn a_directory_keeps_the_cache_of_a_build() {
    let (host, _) = ready(TWO_STAGES);
    let to = "type=local,dest=cache,compression=zstd";
    let first = build(&host, &["-t", "app", "--cache-from", "type=local,src=cache", "--cache-to", to]);
    assert!(first.stderr.contains("there is none yet"), "{}", first.stderr);
    first.ok();
    let whole = id(&host, "app");
    let listed = host.other("skopeo", &["inspect", "--raw", "oci:cache:latest"]).ok();
    assert!(listed.contains("application/vnd.buildkit.cacheconfig.v0") && listed.contains("tar+zstd"), "{listed}");
    forget(&host, &["app"]);
    build(&host, &["-t", "app", "--cache-from", "type=local,src=cache", "--cache-to", to]).ok();
    assert_eq!(id(&host, "app"), whole);
    // A blob that is damaged is told of, and made again.
    let blobs = host.path().join("cache/blobs/sha256");
    for entry in std::fs::read_dir(blobs).unwrap().map(Result::unwrap) {
        let bytes = std::fs::read(entry.path()).unwrap();
        if !bytes.starts_with(b"{") {
            std::fs::write(entry.path(), &bytes[..bytes.len() / 2]).unwrap();
        }
    }
    forget(&host, &["app"]);
    let done = build(&host, &["-t", "app", "--cache-from", "type=local,src=cache"]);
    assert!(done.stderr.contains("a cached step could not be fetched"), "{}", done.stderr);
    done.ok();
    assert_ne!(id(&host, "app"), whole);
    // What is no cache is never written over.
    let text = build(&host, &["--cache-to", "type=local,dest=context"]).fails(125);
    assert!(text.contains("holds something that is no cache"), "{text}");
}

#[test]
fn an_image_holds_its_own_cache() {
    let (host, registry) = ready(TWO_STAGES);
    let name = format!("{registry}/app:1");
    build(&host, &["-t", &name, "--cache-to", "type=inline", "--push"]).ok();
    let (whole, own) = (id(&host, &name), read(&host, &name, "/own"));
    forget(&host, &[&name]);
    build(&host, &["-t", &name, "--cache-from", &name, "--cache-to", "type=inline"]).ok();
    assert_eq!(id(&host, &name), whole);
    host.write("context/a.txt", "two\n");
    forget(&host, &[&name]);
    host.write("compose.yaml", &format!("services:\n  app:\n    image: app\n    build: {{context: context, network: none, cache_from: ['{name}'], cache_to: ['type=local,dest=kept']}}\n"));
    host.hoist(&["compose", "build"]).ok();
    assert_eq!((read(&host, "app", "/own"), read(&host, "app", "/a.txt")), (own, "two\n".into()));
    assert!(host.path().join("kept/index.json").exists());
    let text = build(&host, &["--cache-to", "type=gha"]).fails(1);
    assert!(text.contains("--cache-to type=gha: this kind of cache is a service that is not supported"), "{text}");
}

/// An index for two platforms at the registry: busybox, and the same said to be for arm64.
fn two_platforms(host: &Host, registry: &str) -> String {
    host.write("base/Dockerfile", "FROM busybox\nFROM scratch\nCOPY --from=0 / /\n");
    host.write("base/arm.Dockerfile", "FROM scratch\nCOPY other /other\n");
    let name = format!("{registry}/base:1");
    host.write(
        "context/Dockerfile",
        "ARG TARGETARCH\nFROM busybox AS amd64\nFROM scratch AS arm64\nCOPY a.txt /bin/sh\nFROM $TARGETARCH\n",
    );
    build(host, &["-t", &name, "--platform", "linux/amd64,linux/arm64", "--push"]).ok();
    name
}

#[test]
fn several_platforms_become_an_index() {
    let (host, registry) = ready(TWO_STAGES);
    let base = two_platforms(&host, &registry);
    let raw = host.other("skopeo", &["inspect", "--raw", "--tls-verify=false", &format!("docker://{base}")]).ok();
    let index: serde_json::Value = serde_json::from_str(&raw).unwrap();
    let platforms: Vec<&str> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["platform"]["architecture"].as_str().unwrap())
        .collect();
    assert_eq!(platforms, ["amd64", "arm64"]);
    // Stages for the machine that builds run; the others only copy.
    host.write(
        "context/Dockerfile",
        &format!(
            "FROM --platform=$BUILDPLATFORM {base} AS make\nARG TARGETPLATFORM BUILDPLATFORM\nRUN echo \
             \"$BUILDPLATFORM makes $TARGETPLATFORM\" > /made\nFROM {base}\nCOPY --from=make /made /made\n"
        ),
    );
    let name = format!("{registry}/app:1");
    let done = build(&host, &["-t", &name, "--platform", "linux/amd64", "--platform", "linux/arm64", "--push"]);
    assert!(done.stderr.contains("[linux/arm64 make 2/2] RUN"), "{}", done.stderr);
    done.ok();
    assert_eq!(read(&host, &name, "/made"), "linux/amd64 makes linux/amd64\n");
    let out = host.path().join("out").display().to_string();
    build(&host, &["--platform", "linux/amd64,linux/arm64", "-o", &out]).ok();
    let made = |platform: &str| std::fs::read_to_string(host.path().join("out").join(platform).join("made")).unwrap();
    assert_eq!(made("linux_arm64"), "linux/amd64 makes linux/arm64\n");
    assert_eq!(made("linux_amd64"), "linux/amd64 makes linux/amd64\n");
    // The registry has all of it, also under a name that was given afterwards.
    let other = format!("{registry}/app:2");
    host.hoist(&["tag", &name, &other]).ok();
    host.hoist(&["image", "prune", "-f"]).ok();
    host.hoist(&["push", &other]).ok();
    forget(&host, &[&name, &other]);
    let copied = host.path().join("copied").display().to_string();
    let args = ["copy", "--all", "--src-tls-verify=false", &format!("docker://{other}"), &format!("dir:{copied}")];
    host.other("skopeo", &args).ok();
    // As an archive it is a layout of the same index.
    build(&host, &["-t", "app:3", "--platform", "linux/amd64,linux/arm64", "--output", "type=oci,dest=app.tar"]).ok();
    let raw = host.other("skopeo", &["inspect", "--raw", "oci-archive:app.tar:3"]).ok();
    assert_eq!(raw.matches("\"architecture\"").count(), 2, "{raw}");
    assert_eq!(host.hoist(&["images", "-q", "app:3"]).ok(), "");
    let text = build(&host, &["--platform", "linux/amd64,linux/arm64", "--output", "type=docker,dest=x.tar"]).fails(1);
    assert!(text.contains("use type=oci"), "{text}");
}

#[test]
fn commands_of_another_platform_need_an_emulator() {
    let (host, registry) = ready(TWO_STAGES);
    let base = two_platforms(&host, &registry);
    host.write("context/Dockerfile", &format!("FROM {base}\nRUN true\n"));
    let text = build(&host, &["--platform", "linux/s390x"]).fails(1);
    assert!(text.contains("linux/s390x") && text.contains("linux/arm64"), "{text}");
    let registered = std::path::Path::new("/proc/sys/fs/binfmt_misc/qemu-aarch64").exists();
    if !registered {
        let text = build(&host, &["--platform", "linux/arm64"]).fails(1);
        assert!(text.contains("Dockerfile:2") && text.contains("no emulator is set up"), "{text}");
        assert!(text.contains("FROM --platform=$BUILDPLATFORM"), "{text}");
    }
    host.write(
        "compose.yaml",
        "services:\n  app:\n    build: {context: context, network: none, platforms: [linux/amd64, linux/riscv64]}\n",
    );
    let text = host.hoist(&["compose", "build"]).fails(1);
    assert!(text.contains("linux/riscv64"), "{text}");
}
