//! `hoist buildx imagetools inspect`

use hoist_image::{AnyManifest, Descriptor, Reference, RemoteManifest};
use serde_json::{Map, Value, json};

use super::{Registries, name, parts};
use crate::cli::{
    Context, Exit, Outcome,
    args::build::ImagetoolsInspectArgs,
    commands::manifest::{failed, indented},
    failure::Failure,
    format::inspect::one,
};

/// Shows what a registry has under a name.
pub async fn run(cx: &Context, args: ImagetoolsInspectArgs) -> Outcome {
    args.builder.check()?;
    let name = name(&args.name)?;
    let registries = Registries::of(cx, [&name].into_iter(), args.insecure)?;
    let found = registries.manifest(&name).await?;
    if args.raw {
        use std::io::Write;
        std::io::stdout().write_all(&found.bytes)?;
        return Ok(Exit::OK);
    }
    let Some(format) = &args.format else {
        cx.printer.text(listing(&name, &found))?;
        return Ok(Exit::OK);
    };
    let mut manifest = serde_json::to_value(&found.descriptor)?;
    let content: Map<String, Value> = serde_json::from_slice(&found.bytes)?;
    if let Value::Object(fields) = &mut manifest {
        // What it says itself is shown beside its digest and size.
        fields.extend(content);
        fields.remove("platform");
    }
    let mut object = json!({ "name": name.to_string(), "manifest": manifest });
    // Asked for only where it is wanted: each is one request more.
    if format.to_ascii_lowercase().contains("image") {
        object["image"] = images(&registries, &name, &found).await?;
    }
    match format.as_str() {
        "json" => cx.printer.line(indented(&object, "  ")?)?,
        format => cx.printer.text(one(format, object)?)?,
    }
    Ok(Exit::OK)
}

/// The configuration of an image; of several those by platform.
async fn images(registries: &Registries, name: &Reference, found: &RemoteManifest) -> Result<Value, Failure> {
    let config = async |image: &RemoteManifest| -> Result<Value, Failure> {
        let AnyManifest::Image(manifest) = &image.content else { return Ok(Value::Null) };
        let bytes = registries.remote.blob(name, registries.auth(name), &manifest.config).await;
        Ok(serde_json::from_slice(&bytes.map_err(|error| failed(&error))?)?)
    };
    if let AnyManifest::Image(_) = &found.content {
        return config(found).await;
    }
    let mut all = Map::new();
    for part in parts(found).iter().filter(|part| !is_note(part)) {
        let image = registries.manifest(&name.repository().with_digest(part.digest.clone())).await?;
        let platform = part.platform.as_ref().or(image.descriptor.platform.as_ref()).map(ToString::to_string);
        all.insert(platform.unwrap_or_else(|| part.digest.to_string()), config(&image).await?);
    }
    Ok(Value::Object(all))
}

/// Whether it says something about another image, and is none itself.
pub(super) fn is_note(part: &Descriptor) -> bool {
    part.annotations.contains_key("vnd.docker.reference.type")
}

fn listing(name: &Reference, found: &RemoteManifest) -> String {
    let mut text = format!(
        "Name:      {name}\nMediaType: {}\nDigest:    {}\n",
        found.descriptor.media_type, found.descriptor.digest
    );
    if let AnyManifest::Index(index) = &found.content {
        text.push_str("\nManifests:\n");
        for part in &index.manifests {
            text.push_str(&format!("  Name:        {name}@{}\n  MediaType:   {}\n", part.digest, part.media_type));
            if let Some(platform) = &part.platform {
                text.push_str(&format!("  Platform:    {platform}\n"));
            }
            if !part.annotations.is_empty() {
                text.push_str("  Annotations:\n");
                for (key, value) in &part.annotations {
                    text.push_str(&format!("    {key}: {value}\n"));
                }
            }
            text.push('\n');
        }
    }
    text
}
