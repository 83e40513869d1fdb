//! `hoist manifest create`

use super::{Store, image, name};
use crate::cli::{Context, Exit, Outcome, args::manifest::CreateArgs, failure::Failure};

/// Makes a list of images that registries have; all are found before any is kept.
pub async fn run(cx: &Context, args: CreateArgs) -> Outcome {
    let list = name(&args.list)?;
    let store = Store::of(&cx.config_dir);
    if store.list(&list)?.is_some() && !args.amend {
        return Err(Failure::new(format!("refusing to amend the existing manifest list {list} with no --amend flag"))
            .hint("--amend adds to it, \"hoist manifest rm\" forgets it"));
    }
    let mut found = Vec::new();
    for text in &args.manifests {
        let name = name(text)?;
        let kept = image(cx, Some(&list), &name, args.insecure).await?;
        found.push((name, kept));
    }
    for (name, kept) in &found {
        store.save(&list, name, kept)?;
    }
    cx.printer.line(format!("Created manifest list {list}"))?;
    Ok(Exit::OK)
}
