//! `hoist manifest inspect`

use hoist_image::AnyManifest;
use serde_json::Value;

use super::{
    Kept, Store, failed, image, name, registry,
    store::{indented, index},
};
use crate::cli::{Context, Exit, Outcome, args::manifest::InspectArgs, failure::Failure};

/// Shows an image of a list here, a list here, or what a registry has under the name.
pub async fn run(cx: &Context, args: InspectArgs) -> Outcome {
    let store = Store::of(&cx.config_dir);
    if let [list, manifest] = args.names.as_slice() {
        let (list, manifest) = (name(list)?, name(manifest)?);
        let kept = store
            .get(&list, &manifest)?
            .ok_or_else(|| Failure::new(format!("No such manifest: {manifest} in {list}")))?;
        return one(cx, &kept, args.verbose);
    }
    let wanted = name(&args.names[0])?;
    if let Some(kept) = store.list(&wanted)? {
        return list(cx, &kept, args.verbose);
    }
    let (remote, auth) = registry(cx, &wanted, args.insecure)?;
    let found = remote.manifest(&wanted, auth).await.map_err(|err| failed(&err))?;
    match &found.content {
        AnyManifest::Image(_) => one(cx, &Kept::new(&wanted, found)?, args.verbose),
        AnyManifest::Index(_) if !args.verbose => {
            cx.printer.line(indented(&serde_json::from_slice::<Value>(&found.bytes)?, "   ")?)?;
            Ok(Exit::OK)
        }
        AnyManifest::Index(offered) => {
            let mut all = Vec::new();
            for entry in &offered.manifests {
                // The tag stays in what is shown.
                let exact = name(&format!("{}@{}", wanted, entry.digest))?;
                let mut kept = image(cx, None, &exact, args.insecure).await?;
                kept.descriptor.platform.clone_from(&entry.platform);
                all.push(kept);
            }
            list(cx, &all, true)
        }
    }
}

fn one(cx: &Context, kept: &Kept, verbose: bool) -> Outcome {
    let text = if verbose {
        indented(kept, "\t")?
    } else {
        indented(&serde_json::from_slice::<Value>(&kept.bytes()?)?, "\t")?
    };
    cx.printer.line(text)?;
    Ok(Exit::OK)
}

fn list(cx: &Context, all: &[Kept], verbose: bool) -> Outcome {
    cx.printer.line(if verbose { indented(&all, "\t")? } else { indented(&index(all), "   ")? })?;
    Ok(Exit::OK)
}
