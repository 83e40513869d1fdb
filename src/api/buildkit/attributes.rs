//! What a client wants, in the words of the Dockerfile frontend and of BuildKit's exporters, as an order for the builder.
//!
//! What is not supported is refused by name: an attribute that changes the result must not be passed over.

use std::collections::BTreeMap;

use hoist_build::{Attestations, CacheLocation, Provenance};
use hoist_proto::unit;

use crate::api::dto::{
    build::{BuildOrder, ContextRef, OutputOrder},
    build_output::{ImageAttributes, truth},
};

/// The directory that the build copies from, if the client names no other.
const CONTEXT: &str = "context";
/// The directory of the Dockerfile.
const DOCKERFILE: &str = "dockerfile";

/// Where a build's files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// Directories, as the client calls them.
    pub context: String,
    pub dockerfile: String,
    pub filename: String,
    /// An address to fetch the context from instead.
    pub remote: Option<String>,
    /// Directories of named contexts.
    pub named: Vec<(String, String)>,
    /// Addresses of named contexts.
    pub fetched: Vec<(String, String)>,
}

impl Default for Files {
    fn default() -> Self {
        Self {
            context: CONTEXT.to_owned(),
            dockerfile: DOCKERFILE.to_owned(),
            filename: "Dockerfile".to_owned(),
            remote: None,
            named: Vec::new(),
            fetched: Vec::new(),
        }
    }
}

/// A build as it was asked for. What comes over the session is still missing.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    pub order: BuildOrder,
    pub files: Files,
    /// For each of the order's outputs, by which number the client knows it.
    pub numbers: Vec<usize>,
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

/// Reads the attributes of the frontend `dockerfile.v0`.
///
/// # Errors
/// What is malformed or not supported, by name.
pub fn frontend(attributes: impl IntoIterator<Item = (String, String)>) -> Result<Wish, String> {
    let mut wish = Wish::default();
    for (key, value) in attributes {
        attribute(&mut wish, &key, value)?;
    }
    if let Some(epoch) = wish.order.args.get("SOURCE_DATE_EPOCH").filter(|text| !text.is_empty()) {
        let number = epoch.parse().map_err(|_| format!("SOURCE_DATE_EPOCH={epoch}: expected seconds since 1970"))?;
        wish.order.source_date_epoch = Some(number);
    }
    Ok(wish)
}

fn attribute(wish: &mut Wish, key: &str, value: String) -> Result<(), String> {
    let (order, files) = (&mut wish.order, &mut wish.files);
    if let Some((kind, name)) = key.split_once(':') {
        match kind {
            "build-arg" => drop(order.args.insert(name.to_owned(), value)),
            "label" => drop(order.labels.insert(name.to_owned(), value)),
            "annotation" => drop(order.annotations.insert(name.to_owned(), value)),
            "attest" => attestation(&mut order.attestations, name, &value)?,
            "context" => match value.split_once(':') {
                Some(("docker-image", image)) => {
                    let image = image.trim_start_matches("//").to_owned();
                    order.contexts.insert(name.to_owned(), ContextRef::Image(image));
                }
                Some(("local", dir)) => files.named.push((name.to_owned(), dir.to_owned())),
                Some(("http" | "https" | "git" | "ssh", _)) => files.fetched.push((name.to_owned(), value)),
                _ if value.starts_with("git@") => files.fetched.push((name.to_owned(), value)),
                _ => {
                    return Err(format!(
                        "the context {name}={value} is not supported: a directory, docker-image://, a git repository and an archive are"
                    ));
                }
            },
            // Where the source came from: told to nobody here.
            "vcs" => {}
            _ => return Err(format!("the frontend's attribute {key:?} is not supported")),
        }
        return Ok(());
    }
    match key {
        "filename" if value.is_empty() => {}
        "filename" => files.filename = value,
        "contextkey" => files.context = value,
        "dockerfilekey" => files.dockerfile = value,
        "context" => match value.strip_prefix("local:") {
            Some(dir) => files.context = dir.to_owned(),
            None if value.starts_with("input:") => return Err("a context that is a graph is not supported".into()),
            None => files.remote = Some(value),
        },
        "target" => order.target = Some(value),
        "platform" => order.platforms = list(&value).map(str::to_owned).collect(),
        "no-cache" if value.is_empty() => order.no_cache = true,
        "no-cache" => order.no_cache_filter = list(&value).map(str::to_owned).collect(),
        "image-resolve-mode" => {
            order.pull = match value.as_str() {
                "pull" => true,
                "" | "default" | "local" => false,
                other => {
                    return Err(format!("image-resolve-mode={other} is not supported: default, local and pull are"));
                }
            }
        }
        "force-network-mode" => order.network = value,
        "add-hosts" => {
            for entry in list(&value) {
                let (name, address) = entry
                    .split_once('=')
                    .ok_or_else(|| format!("invalid extra host {entry:?}: expected name=address"))?;
                order.extra_hosts.push((name.to_owned(), address.trim_matches(['[', ']']).to_owned()));
            }
        }
        "shm-size" => {
            let bytes = unit::parse_bytes(&value).map_err(|error| format!("shm-size={value}: {error}"))?;
            order.shm_size = Some(bytes).filter(|bytes| *bytes > 0);
        }
        "ulimit" => {
            for entry in list(&value) {
                order.ulimits.push(entry.parse().map_err(|error| format!("invalid limit {entry:?}: {error}"))?);
            }
        }
        "cgroup-parent" => order.cgroup_parent = Some(value),
        "source-date-epoch" => drop(order.args.insert("SOURCE_DATE_EPOCH".to_owned(), value)),
        // What clients say of themselves. `cmdline` is the line of `# syntax=`, whose language is spoken here.
        "frontend.caps" | "cmdline" | "localhost" => {}
        // One platform's image is put into an index, too.
        "multi-platform" if truth(key, &value)? => {
            order.args.insert("BUILDKIT_MULTI_PLATFORM".to_owned(), "1".to_owned());
        }
        "multi-platform" => {}
        "requestid" => {
            let question = value.strip_prefix("frontend.").and_then(|name| name.parse().ok());
            order.call = Some(question.ok_or_else(|| format!("unsupported request {value}"))?);
        }
        _ => return Err(format!("the frontend's attribute {key:?} is not supported")),
    }
    Ok(())
}

fn attestation(found: &mut Attestations, kind: &str, text: &str) -> Result<(), String> {
    let (mut on, mut how) = (true, Provenance::default());
    for part in list(text) {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        match (kind, key) {
            (_, "true") => {}
            (_, "false") => on = false,
            (_, "disabled") => on = !truth(key, value)?,
            // Wanted only where it costs nothing: it is a descriptor of its own here.
            ("provenance", "inline-only") => on &= !truth(key, value)?,
            ("provenance", "mode") if value == "min" || value == "max" => how.max = value == "max",
            ("provenance", "version") if value == "v1" || value == "v0.2" => how.v02 = value == "v0.2",
            ("provenance", "builder-id") => how.builder_id = value.to_owned(),
            _ => return Err(format!("attest:{kind}={text}: {part} is not supported")),
        }
    }
    match kind {
        "provenance" => found.provenance = on.then_some(how),
        "sbom" => found.sbom = on,
        _ => return Err(format!("attest:{kind} is not supported: provenance and sbom are")),
    }
    Ok(())
}

/// Adds where results go: each exporter with the number by which the client knows it.
///
/// # Errors
/// What is malformed or not supported, by name.
pub fn outputs(
    wish: &mut Wish,
    exporters: impl IntoIterator<Item = (String, BTreeMap<String, String>)>,
) -> Result<(), String> {
    let epoch = wish.order.source_date_epoch.is_some();
    for (number, (kind, attributes)) in exporters.into_iter().enumerate() {
        let several = wish.order.platforms.len() > 1;
        let mut image = ImageAttributes::default();
        for (key, value) in &attributes {
            let known = match key.as_str() {
                "load" | "dest" => true,
                "tar" => truth(key, value)?,
                // Several platforms are given a directory each, and a single one is not.
                "platform-split" => truth(key, value)? == several,
                "attestation-prefix" => value.is_empty(),
                _ => image.read(key, value).map_err(|why| format!("the output {kind:?}: {why}"))?,
            };
            if !known {
                return Err(format!("{key}={value} of the output {kind:?} is not supported"));
            }
        }
        let image = image.finish(&kind, epoch).map_err(|why| format!("the output {kind:?}: {why}"))?;
        let output = match kind.as_str() {
            "image" | "moby" | "registry" => OutputOrder::Image(image),
            "docker" => OutputOrder::Docker(image),
            "oci" => OutputOrder::Oci(image),
            "local" => OutputOrder::Local,
            "tar" => OutputOrder::Tar,
            "cacheonly" | "" => OutputOrder::Cacheonly,
            other => {
                return Err(format!("the output {other:?} is not supported: image, docker, oci, local and tar are"));
            }
        };
        wish.order.outputs.push(output);
        wish.numbers.push(number);
    }
    if wish.order.outputs.is_empty() {
        wish.order.outputs.push(OutputOrder::Cacheonly);
        wish.numbers.push(0);
    }
    let nameless = |output: &OutputOrder| output.pushes() && output.image().is_some_and(|how| how.names.is_empty());
    match wish.order.outputs.iter().any(nameless) {
        true => Err("an image without a name cannot be pushed".into()),
        false => Ok(()),
    }
}

/// Caches to read or to write.
///
/// # Errors
/// Local ones: their files would have to come over the session.
pub fn caches(
    flag: &str,
    entries: impl IntoIterator<Item = (String, BTreeMap<String, String>)>,
) -> Result<Vec<CacheLocation>, String> {
    let one = |(kind, options): (String, BTreeMap<String, String>)| match kind.as_str() {
        "local" => Err(format!(
            "{flag} type=local is not supported over BuildKit's session: use type=registry, or hoist build"
        )),
        _ => Ok(CacheLocation { kind, options }),
    };
    entries.into_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn attributes_become_an_order() {
        let wish = frontend(pairs(&[
            ("filename", "a.Dockerfile"),
            ("contextkey", "context:1"),
            ("build-arg:A", "b=c"),
            ("build-arg:SOURCE_DATE_EPOCH", "7"),
            ("label:l", "v"),
            ("platform", "linux/amd64,linux/arm64"),
            ("no-cache", ""),
            ("image-resolve-mode", "pull"),
            ("force-network-mode", "none"),
            ("add-hosts", "a=1.2.3.4,b=[::1]"),
            ("shm-size", "64m"),
            ("ulimit", "nofile=10:20"),
            ("context:base", "docker-image://busybox"),
            ("context:dir", "local:dir"),
            ("attest:provenance", "mode=min,inline-only=true"),
            ("frontend.caps", "x"),
        ]))
        .unwrap();
        let (order, files) = (wish.order, wish.files);
        assert_eq!((files.filename.as_str(), files.context.as_str()), ("a.Dockerfile", "context:1"));
        assert_eq!(files.named, [("dir".to_owned(), "dir".to_owned())]);
        assert_eq!((order.args["A"].as_str(), order.source_date_epoch), ("b=c", Some(7)));
        assert!(order.no_cache && order.pull && order.attestations.provenance.is_none());
        assert_eq!(order.extra_hosts[1], ("b".to_owned(), "::1".to_owned()));
        assert_eq!((order.shm_size, order.ulimits[0].hard, order.platforms.len()), (Some(64 << 20), 20, 2));
        for (key, value, words) in [
            ("requestid", "frontend.dump", "unsupported request frontend.dump"),
            ("context:x", "oci-layout://y", "the context x="),
            ("squash", "1", "\"squash\""),
            ("build-arg:SOURCE_DATE_EPOCH", "x", "seconds since 1970"),
        ] {
            assert!(frontend(pairs(&[(key, value)])).unwrap_err().contains(words), "{key}");
        }
    }

    #[test]
    fn exporters_become_outputs() {
        let exporter = |kind: &str, attributes: &[(&str, &str)]| {
            let mut wish = Wish::default();
            let attributes = pairs(attributes).into_iter().collect();
            outputs(&mut wish, [(kind.to_owned(), attributes)]).map(|()| wish.order)
        };
        let order = exporter("moby", &[("name", "a,b,a")]).unwrap();
        assert_eq!((order.names().map(String::as_str).collect::<Vec<_>>(), order.outputs.len()), (vec!["a", "b"], 1));
        assert_eq!(exporter("local", &[]).unwrap().outputs, [OutputOrder::Local]);
        for (kind, attributes, words) in [
            ("image", [("push", "true")].as_slice(), "without a name"),
            ("image", &[("compression", "zstd")], "kept here is not compressed"),
            ("oci", &[("tar", "false")], "tar=false"),
            ("local", &[("push", "1")], "cannot be pushed"),
            ("gcs", &[], "\"gcs\" is not supported"),
        ] {
            assert!(exporter(kind, attributes).unwrap_err().contains(words), "{kind} {attributes:?}");
        }
    }
}
