//! `hoist bake`, and what is said about images: provenance and bills of materials.

mod support;

use serde_json::Value;
use support::Host;

fn ready() -> (Host, String) {
    let mut host = Host::new();
    host.busybox();
    let registry = host.registry();
    (host, registry)
}

fn read(host: &Host, image: &str, file: &str) -> String {
    host.hoist(&["run", "--rm", "--network", "none", image, "cat", file]).ok()
}

#[test]
fn a_file_of_targets_is_baked() {
    let (host, registry) = ready();
    host.write("context/Dockerfile", "ARG BASE=busybox\nFROM $BASE\nARG V\nRUN echo \"v$V\" > /v\n");
    host.write("context/base.Dockerfile", "FROM busybox\nRUN echo base > /base\n");
    host.write(
        "docker-bake.hcl",
        &format!(
            "variable \"TAG\" {{ default = \"dev\" }}\n\
             function \"named\" {{\n  params = [name]\n  result = [\"{registry}/${{name}}:${{TAG}}\"]\n}}\n\
             group \"default\" {{ targets = [\"app\"] }}\n\
             target \"_common\" {{\n context = \"context\"\n network = \"none\"\n}}\n\
             target \"base\" {{\n inherits = [\"_common\"]\n dockerfile = \"base.Dockerfile\"\n}}\n\
             target \"app\" {{\n  inherits = [\"_common\"]\n  matrix = {{ v = [1, 2] }}\n  name = \"app${{v}}\"\n  tags = named(\"app${{v}}\")\n  \
             args = {{ V = v, BASE = \"base\" }}\n  contexts = {{ base = \"target:base\" }}\n}}\n"
        ),
    );
    let printed = host.hoist(&["bake", "--print", "--set", "app1.args.V=9"]).ok();
    let plan: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(plan["target"]["app1"]["args"]["V"], "9");
    assert_eq!(plan["group"]["default"]["targets"], serde_json::json!(["app1", "app2"]));
    let metadata = host.path().join("metadata.json").display().to_string();
    host.hoist(&["bake", "--metadata-file", &metadata, "--set", "*.args.EXTRA=1"]).ok();
    let tag = |name: &str| format!("{registry}/{name}");
    assert_eq!(
        (read(&host, &tag("app1:dev"), "/v"), read(&host, &tag("app2:dev"), "/v")),
        ("v1\n".into(), "v2\n".into())
    );
    assert_eq!(read(&host, &tag("app2:dev"), "/base"), "base\n");
    let known: Value = serde_json::from_str(&std::fs::read_to_string(&metadata).unwrap()).unwrap();
    assert!(known["app1"]["containerimage.digest"].is_string() && known.get("base").is_none());
    // What was printed can be baked, under another tag from the environment, and sent.
    let mut command = host.command(support::HOIST);
    let pushed = support::run(command.args(["buildx", "bake", "--push", "app2"]).env("TAG", "v2"));
    pushed.ok();
    host.other("skopeo", &["inspect", "--tls-verify=false", &format!("docker://{}", tag("app2:v2"))]).ok();
    host.write("printed.json", &printed);
    host.hoist(&["bake", "-f", "printed.json", "app1"]).ok();
    assert_eq!(read(&host, &tag("app1:dev"), "/v"), "v9\n");
    // A Compose file is one, too.
    host.write(
        "compose.yaml",
        "name: demo\nservices:\n  web:\n    build:\n      context: context\n      network: none\n      args: {V: c}\n      \
         x-bake: {tags: ['web:baked']}\n",
    );
    host.hoist(&["bake", "-f", "compose.yaml"]).ok();
    assert_eq!(read(&host, "web:baked", "/v"), "vc\n");
    for (args, words) in [
        (vec!["bake", "ap"], "there is no target or group \"ap\""),
        (vec!["bake", "-f", "nothing.hcl"], "nothing.hcl"),
        (vec!["bake", "--set", "app1.output=type=nonsense"], "type 'nonsense' is unknown"),
    ] {
        let done = host.hoist(&args);
        assert!(done.code != 0 && done.stderr.contains(words), "{args:?}: {}", done.stderr);
    }
    host.write("broken.hcl", "target \"a\" {\n  tags = [\n}\n");
    let done = host.hoist(&["bake", "-f", "broken.hcl"]);
    assert!(done.code != 0 && done.stderr.contains("broken.hcl") && done.stderr.contains('3'), "{}", done.stderr);
}

/// Something at the registry, as it is.
fn fetch(host: &Host, registry: &str, what: &str) -> Value {
    let url = format!("http://{registry}/v2/app/{what}");
    let accept = "Accept: application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json";
    serde_json::from_str(&host.other("curl", &["-sSf", "-H", accept, &url]).ok()).expect("a JSON document")
}

#[test]
fn images_say_how_they_were_made_and_what_they_hold() {
    let (host, registry) = ready();
    host.write(
        "context/Dockerfile",
        "FROM busybox\nARG WHO\nRUN --mount=type=secret,id=t mkdir -p /lib/apk/db /var/lib/dpkg\n\
         COPY installed /lib/apk/db/installed\nCOPY status /var/lib/dpkg/status\n",
    );
    host.write("context/installed", "P:musl\nV:1.2.4-r2\nA:x86_64\nL:MIT\n\n");
    host.write(
        "context/status",
        "Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2+x\n\n",
    );
    host.write("token", "s3cr3tvalue");
    let name = format!("{registry}/app:1");
    let build = |more: &[&str]| {
        let args =
            ["build", "--network", "none", "-t", &name, "--build-arg", "WHO=someone", "--secret", "id=t,src=token"];
        host.hoist(&[args.as_slice(), more, &["context"]].concat())
    };
    build(&["--provenance=mode=max,builder-id=https://ci.example/1", "--sbom", "--push"]).ok();
    let index = fetch(&host, &registry, "manifests/1");
    let entries = index["manifests"].as_array().unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[1]["platform"]["os"], "unknown");
    assert_eq!(entries[1]["annotations"]["vnd.docker.reference.type"], "attestation-manifest");
    assert_eq!(entries[1]["annotations"]["vnd.docker.reference.digest"], entries[0]["digest"]);
    let said = fetch(&host, &registry, &format!("manifests/{}", entries[1]["digest"].as_str().unwrap()));
    let statement = |kind: &str| {
        let layers = said["layers"].as_array().unwrap();
        let layer =
            layers.iter().find(|l| l["annotations"]["in-toto.io/predicate-type"].as_str().unwrap().starts_with(kind));
        fetch(&host, &registry, &format!("blobs/{}", layer.unwrap()["digest"].as_str().unwrap()))
    };
    let provenance = statement("https://slsa.dev/provenance/v1");
    let image = entries[0]["digest"].as_str().unwrap();
    assert_eq!(provenance["subject"][0]["digest"]["sha256"], image.trim_start_matches("sha256:"));
    let definition = &provenance["predicate"]["buildDefinition"];
    assert_eq!(definition["externalParameters"]["request"]["args"]["WHO"], "someone");
    assert!(definition["resolvedDependencies"][0]["uri"].as_str().unwrap().starts_with("pkg:docker/busybox@latest"));
    assert_eq!(provenance["predicate"]["runDetails"]["builder"]["id"], "https://ci.example/1");
    assert!(!provenance.to_string().contains("s3cr3tvalue"));
    let sbom = statement("https://spdx.dev/Document");
    let packages: Vec<&str> =
        sbom["predicate"]["packages"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(packages, ["bash", "musl"]);
    assert!(sbom.to_string().contains("pkg:deb/bash@5.2%2Bx?arch=amd64"), "{sbom}");
    // The image itself can be run and pulled as any other.
    host.hoist(&["rmi", "-f", &name]).ok();
    assert_eq!(host.hoist(&["run", "--rm", "--network", "none", &name, "echo", "works"]).ok(), "works\n");
    // mode=min keeps arguments to itself.
    build(&["--attest", "type=provenance,mode=min,version=v0.2", "--output", "type=oci,dest=app.tar"]).ok();
    let text = host.other("tar", &["xOf", "app.tar"]).ok();
    assert!(text.contains("https://slsa.dev/provenance/v0.2") && !text.contains("someone\"}"), "{text}");
    let text = build(&["--sbom", "--output", "type=docker,dest=x.tar"]).fails(1);
    assert!(text.contains("use type=image, registry or oci"), "{text}");
    let text = build(&["--sbom=generator=x/y"]).fails(125);
    assert!(text.contains("generators are images of others"), "{text}");
    host.write("context/Dockerfile", "FROM busybox\nRUN mkdir -p /var/lib/rpm && touch /var/lib/rpm/rpmdb.sqlite\n");
    let text = build(&["--sbom"]).fails(1);
    assert!(text.contains("rpm packages is not supported"), "{text}");
}
