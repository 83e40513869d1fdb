//! How an image was made: SLSA's provenance predicate, version 1 or 0.2.

use base64::Engine as _;
use serde_json::{Map, Value, json};

use super::{Attestation, Provenance, moment};
use crate::cache::now;
use crate::dockerfile::Platform;
use crate::graph::Op;
use crate::solve::Solve;
use crate::{NamedContext, Worker};

/// What our builds are, for who compares provenances.
const BUILD_TYPE: &str = "urn:hoist:build:dockerfile:v1";

pub(super) fn make<W: Worker>(solve: &Solve<W>, how: &Provenance, platform: &Platform, begun: i64) -> Attestation {
    let request = &solve.request;
    // With a date of its own a build is to give the same bytes again.
    let times = match request.source_date_epoch {
        Some(epoch) => (moment(epoch), moment(epoch)),
        None => (moment(begun), moment(now())),
    };
    let materials = materials(solve, platform);
    let mut parameters = json!({
        "frontend": "dockerfile",
        "target": request.target,
        "locals": locals(solve),
    });
    if how.max
        && let Some(map) = parameters.as_object_mut()
    {
        map.insert("args".into(), json!(request.args));
        map.insert("labels".into(), json!(request.labels));
        let ids = |ids: Vec<&String>| ids.into_iter().map(|id| json!({ "id": id })).collect::<Vec<_>>();
        map.insert("secrets".into(), json!(ids(request.secrets.keys().collect())));
        map.insert("ssh".into(), json!(ids(request.ssh.keys().collect())));
    }
    let source = how.max.then(|| {
        let steps: Vec<Value> = solve
            .graph
            .nodes
            .iter()
            .enumerate()
            .map(|(id, node)| json!({ "id": id, "name": node.name, "line": node.span.start.line, "inputs": node.inputs() }))
            .collect();
        let text = base64::prelude::BASE64_STANDARD.encode(&request.dockerfile);
        json!({ "filename": request.dockerfile_name, "language": "Dockerfile", "data": text, "steps": steps })
    });
    let entry = &request.dockerfile_name;
    let here = Platform::local().to_string();
    if how.v02 {
        let mut metadata = json!({
            "buildStartedOn": times.0,
            "buildFinishedOn": times.1,
            "completeness": { "parameters": how.max, "environment": true, "materials": true },
            "reproducible": false,
        });
        insert(&mut metadata, "source", source);
        let materials: Vec<Value> =
            materials.into_iter().map(|(uri, digest)| json!({ "uri": uri, "digest": digest })).collect();
        return Attestation {
            predicate_type: "https://slsa.dev/provenance/v0.2".into(),
            predicate: json!({
                "builder": { "id": how.builder_id },
                "buildType": BUILD_TYPE,
                "materials": materials,
                "invocation": {
                    "configSource": { "entryPoint": entry },
                    "parameters": parameters,
                    "environment": { "platform": here },
                },
                "metadata": metadata,
            }),
        };
    }
    let mut metadata = json!({ "startedOn": times.0, "finishedOn": times.1 });
    insert(&mut metadata, "source", source);
    let dependencies: Vec<Value> =
        materials.into_iter().map(|(uri, digest)| json!({ "uri": uri, "digest": digest })).collect();
    Attestation {
        predicate_type: "https://slsa.dev/provenance/v1".into(),
        predicate: json!({
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": { "configSource": { "path": entry }, "request": parameters },
                "internalParameters": { "builderPlatform": here },
                "resolvedDependencies": dependencies,
            },
            "runDetails": { "builder": { "id": how.builder_id }, "metadata": metadata },
        }),
    }
}

fn insert(into: &mut Value, key: &str, value: Option<Value>) {
    if let (Some(map), Some(value)) = (into.as_object_mut(), value) {
        map.insert(key.into(), value);
    }
}

/// The contexts that came from a client.
fn locals<W: Worker>(solve: &Solve<W>) -> Vec<Value> {
    let main = solve.request.context.iter().map(|_| json!({ "name": "context" }));
    let named = solve.request.contexts.iter().filter_map(|(name, context)| match context {
        NamedContext::Directory(_) => Some(json!({ "name": name })),
        NamedContext::Image(_) => None,
    });
    main.chain(named).collect()
}

/// All that came from elsewhere: images, downloads, repositories; each with what identifies it.
fn materials<W: Worker>(solve: &Solve<W>, platform: &Platform) -> Vec<(String, Map<String, Value>)> {
    let digest = |text: &str| -> Map<String, Value> {
        let (algorithm, hex) = text.split_once(':').unwrap_or(("sha256", text));
        [(algorithm.to_owned(), Value::from(hex))].into_iter().collect()
    };
    let mut found: Vec<(String, Map<String, Value>)> = Vec::new();
    let mut add = |uri: String, digest: Map<String, Value>| {
        if !found.iter().any(|(known, _)| *known == uri) {
            found.push((uri, digest));
        }
    };
    for node in &solve.graph.nodes {
        if let Op::Image(image) = &node.op {
            let (name, pinned) = image.name.split_once('@').unwrap_or((&image.name, &image.id));
            let name = name.trim_start_matches("docker.io/library/").trim_start_matches("docker.io/");
            let (path, tag) = match name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')) {
                Some((path, tag)) => (path, tag),
                None => (name, "latest"),
            };
            let place = platform.to_string().replace('/', "%2F");
            add(format!("pkg:docker/{path}@{tag}?platform={place}"), digest(pinned));
        }
    }
    for (uri, hash) in solve.remote_materials() {
        add(uri, digest(&hash));
    }
    found
}
