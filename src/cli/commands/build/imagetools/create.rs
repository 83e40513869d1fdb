//! `hoist buildx imagetools create`

use std::collections::BTreeMap;

use hoist_image::{AnyManifest, Descriptor, Digest, Index, Platform, Reference, RemoteManifest, media_type};
use serde_json::json;

use super::{Registries, inspect::is_note, name, parts};
use crate::cli::{
    Context, Exit, Outcome,
    args::build::ImagetoolsCreateArgs,
    commands::manifest::{failed, indented},
    failure::Failure,
};

/// What is sent, and where each part of it is.
#[derive(Debug)]
struct Plan {
    media_type: String,
    bytes: Vec<u8>,
    /// Each with the repository that has it.
    parts: Vec<(Descriptor, Reference)>,
}

/// Puts images together under new names.
pub async fn run(cx: &Context, args: ImagetoolsCreateArgs) -> Outcome {
    args.builder.check()?;
    let tags = args.tags.iter().map(|tag| name(tag)).collect::<Result<Vec<_>, _>>()?;
    if tags.is_empty() && (!args.dry_run || args.append) {
        return Err(Failure::usage("the result needs a name: -t NAME"));
    }
    let annotations = annotations(&args.annotations)?;
    let mut wanted = Vec::new();
    for source in &args.sources {
        wanted.push(named(source, tags.first())?);
    }
    for file in &args.files {
        let descriptor: Descriptor = serde_json::from_slice(&fs_err::read(file)?)
            .map_err(|error| Failure::new(format!("{} is no descriptor: {error}", file.display())))?;
        wanted.push(named(&descriptor.digest.to_string(), tags.first())?);
    }
    let registries = Registries::of(cx, tags.iter().chain(&wanted), args.insecure)?;
    let mut found = Vec::new();
    if let (true, Some(first)) = (args.append, tags.first()) {
        match registries.remote.manifest(first, registries.auth(first)).await {
            Ok(there) => found.push((first.repository(), there)),
            Err(hoist_image::Error::NotAtRegistry { .. }) => {}
            Err(error) => return Err(failed(&error)),
        }
    }
    for source in wanted {
        found.push((source.repository(), registries.manifest(&source).await?));
    }
    let platforms = args
        .platforms
        .iter()
        .map(|text| text.parse::<Platform>().map_err(|error| Failure::usage(error.to_string())))
        .collect::<Result<Vec<_>, _>>()?;
    let plan = combine(found, &platforms, annotations, args.prefer_index)?;
    if args.dry_run {
        cx.printer.line(String::from_utf8_lossy(&plan.bytes))?;
        return Ok(Exit::OK);
    }
    let mut digest = Digest::of(&plan.bytes);
    for tag in &tags {
        digest = send(&registries, &plan, tag).await?;
        cx.printer.line(format!("{tag}@{digest}"))?;
    }
    if let Some(path) = &args.metadata_file {
        let descriptor = json!({ "mediaType": plan.media_type, "digest": digest, "size": plan.bytes.len() });
        let names: Vec<String> = tags.iter().map(ToString::to_string).collect();
        let known = json!({ "containerimage.descriptor": descriptor, "image.name": names.join(",") });
        fs_err::write(path, serde_json::to_string_pretty(&known)?)?;
    }
    Ok(Exit::OK)
}

/// A source as a person names it: a digest alone is one of the result's repository.
fn named(text: &str, result: Option<&Reference>) -> Result<Reference, Failure> {
    match (text.parse::<Digest>(), result) {
        (Ok(digest), Some(result)) => Ok(result.repository().with_digest(digest)),
        (Ok(_), None) => Err(Failure::usage(format!("{text} needs a repository: name the result with -t"))),
        (Err(_), _) => name(text),
    }
}

/// `NAME=VALUE`, in front of which may stand `index:`.
fn annotations(entries: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let mut found = BTreeMap::new();
    for entry in entries {
        let (name, value) = entry.split_once('=').ok_or_else(|| {
            Failure::usage(format!("invalid value '{entry}' for '--annotation': expected NAME=VALUE"))
        })?;
        let name = match name.split_once(':') {
            Some(("index", name)) => name,
            Some((other, _)) if other.starts_with("manifest") || other.starts_with("index") => {
                return Err(Failure::usage(format!(
                    "--annotation {other}:… is not supported: only the index is annotated"
                )));
            }
            _ => name,
        };
        found.insert(name.to_owned(), value.to_owned());
    }
    Ok(found)
}

/// What comes of the sources: one that is an index, or is not to become one, stays as it is to the byte.
fn combine(
    found: Vec<(Reference, RemoteManifest)>,
    platforms: &[Platform],
    annotations: BTreeMap<String, String>,
    prefer_index: bool,
) -> Result<Plan, Failure> {
    if let [(repository, one)] = found.as_slice()
        && platforms.is_empty()
        && annotations.is_empty()
        && (!prefer_index || matches!(one.content, AnyManifest::Index(_)))
    {
        let parts = parts(one).into_iter().map(|part| (part, repository.clone())).collect();
        return Ok(Plan { media_type: one.descriptor.media_type.clone(), bytes: one.bytes.clone(), parts });
    }
    let mut all: Vec<(Descriptor, Reference)> = Vec::new();
    for (repository, one) in &found {
        for part in parts(one) {
            if !all.iter().any(|(known, _)| known.digest == part.digest) {
                all.push((part, repository.clone()));
            }
        }
    }
    if !platforms.is_empty() {
        let fits = |part: &Descriptor| {
            !is_note(part)
                && part.platform.as_ref().is_some_and(|one| platforms.iter().any(|wanted| wanted.suits(one).is_some()))
        };
        let kept: Vec<String> =
            all.iter().filter(|(part, _)| fits(part)).map(|(part, _)| part.digest.to_string()).collect();
        // What is said about an image goes with it.
        let about =
            |part: &Descriptor| part.annotations.get("vnd.docker.reference.digest").is_some_and(|d| kept.contains(d));
        all.retain(|(part, _)| fits(part) || about(part));
    }
    if all.is_empty() {
        return Err(Failure::new("there is nothing to put together: no source has an image for what is asked")
            .hint("\"hoist buildx imagetools inspect\" shows what a name stands for"));
    }
    let docker = annotations.is_empty() && all.iter().all(|(part, _)| part.media_type == media_type::DOCKER_MANIFEST);
    let kind = if docker { media_type::DOCKER_LIST } else { media_type::OCI_INDEX };
    let index = Index {
        schema_version: 2,
        media_type: Some(kind.to_owned()),
        manifests: all.iter().map(|(part, _)| part.clone()).collect(),
        annotations,
    };
    Ok(Plan { media_type: kind.to_owned(), bytes: indented(&index, "  ")?.into_bytes(), parts: all })
}

/// Makes a repository have all parts, then the whole under its tag.
async fn send(registries: &Registries, plan: &Plan, tag: &Reference) -> Result<Digest, Failure> {
    let own = Digest::of(&plan.bytes);
    for (part, repository) in &plan.parts {
        if (repository.domain(), repository.path()) == (tag.domain(), tag.path()) {
            continue;
        }
        let from = repository.with_digest(part.digest.clone());
        let found = registries.manifest(&from).await?;
        let AnyManifest::Image(manifest) = &found.content else {
            return Err(Failure::new(format!("{from} is an index in an index, which cannot be put together")));
        };
        let auth = (registries.auth(&from), registries.auth(tag));
        // What has addresses of its own is not to be in registries.
        for blob in manifest.layers.iter().chain([&manifest.config]).filter(|blob| blob.urls.is_empty()) {
            let carried = registries.remote.carry_blob(&from, tag, auth.clone(), blob).await;
            carried.map_err(|error| failed(&error))?;
        }
        if part.digest != own {
            let place = tag.repository().with_digest(part.digest.clone());
            let put = registries.remote.put(&place, auth.1, &part.media_type, &found.bytes).await;
            put.map_err(|error| failed(&error))?;
        }
    }
    let put = registries.remote.put(tag, registries.auth(tag), &plan.media_type, &plan.bytes).await;
    put.map_err(|error| failed(&error))
}
