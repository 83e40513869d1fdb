//! `hoist manifest push`

use super::{Kept, Store, failed, name, registry, store::indented, store::index};
use crate::cli::{Context, Exit, Outcome, args::manifest::PushArgs, failure::Failure};
use hoist_image::Reference;

/// Sends a list to its registry; images of other repositories there are carried over first.
pub async fn run(cx: &Context, args: PushArgs) -> Outcome {
    let list = name(&args.list)?;
    let store = Store::of(&cx.config_dir);
    let images = store.list(&list)?.unwrap_or_default();
    if images.is_empty() {
        return Err(Failure::new(format!("{list} not found")).hint("\"hoist manifest create\" makes a list"));
    }
    let mut foreign = Vec::new();
    for image in &images {
        let reference = check(&list, image)?;
        if reference.path() != list.path() {
            foreign.push((reference, image));
        }
    }
    let (remote, auth) = registry(cx, &list, args.insecure)?;
    for (from, image) in foreign {
        let manifest = image.manifest()?;
        // What has addresses of its own is not to be in registries.
        let blobs = manifest.layers.iter().chain([&manifest.config]).filter(|blob| blob.urls.is_empty());
        for blob in blobs {
            remote.carry_blob(&from, &list, (auth.clone(), auth.clone()), blob).await.map_err(|err| failed(&err))?;
        }
        let place = list.repository().with_digest(image.descriptor.digest.clone());
        let kind = &image.descriptor.media_type;
        let digest = remote.put(&place, auth.clone(), kind, &image.bytes()?).await.map_err(|err| failed(&err))?;
        cx.printer.line(format!("Pushed ref {place} with digest: {digest}"))?;
    }
    let index = index(&images);
    let kind = index.media_type.clone().unwrap_or_default();
    let text = indented(&index, "   ")?;
    let digest = remote.put(&list, auth, &kind, text.as_bytes()).await.map_err(|err| failed(&err))?;
    cx.printer.line(digest.to_string())?;
    if args.purge {
        store.remove(&list)?;
    }
    Ok(Exit::OK)
}

/// An image can be in the list that is pushed: it is at the same registry, and it is said what it is for.
fn check(list: &Reference, image: &Kept) -> Result<Reference, Failure> {
    let reference = image.reference()?;
    if reference.domain() != list.domain() {
        return Err(Failure::new(format!(
            "cannot use source images from a different registry than the target image: {} != {}",
            reference.domain(),
            list.domain()
        )));
    }
    if image.descriptor.platform.as_ref().is_none_or(|p| p.os.is_empty() || p.architecture.is_empty()) {
        return Err(Failure::new(format!(
            "manifest {} must have an OS and Architecture to be pushed to a registry",
            image.name
        ))
        .hint("\"hoist manifest annotate\" says them"));
    }
    Ok(reference)
}
