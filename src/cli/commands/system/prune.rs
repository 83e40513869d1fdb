//! `hoist system prune`

use hoist_proto::unit;

use crate::cli::{
    Context, Exit, Outcome,
    args::system::PruneArgs,
    commands::{container, image, network, prompt::confirm, volume},
    failure::Failure,
};

/// Removes what nothing uses: containers, networks, volumes if asked, images.
pub async fn run(cx: &Context, args: PruneArgs) -> Outcome {
    if args.volumes && args.filters.iter().any(|filter| filter.starts_with("until=")) {
        return Err(Failure::new("the filter until= is not supported with --volumes"));
    }
    if !args.force && !confirm(cx, &question(&args))? {
        return Ok(Exit::OK);
    }
    let (mut text, mut space) = container::prune::prune(cx, &args.filters).await?;
    text.push_str(&network::prune::prune(cx, &args.filters).await?);
    if args.volumes {
        let (more, freed) = volume::prune::prune(cx, false, &args.filters).await?;
        text.push_str(&more);
        space += freed;
    }
    let (more, freed) = image::prune::prune(cx, args.all, &args.filters).await?;
    text.push_str(&more);
    space += freed;
    cx.printer.text(format!("{text}Total reclaimed space: {}\n", unit::format_bytes(space)))?;
    Ok(Exit::OK)
}

fn question(args: &PruneArgs) -> String {
    let mut text =
        "This will remove:\n  - all stopped containers\n  - all networks that no container uses\n".to_owned();
    if args.volumes {
        text.push_str("  - all volumes without a name that no container uses\n");
    }
    text.push_str(if args.all { "  - all images that no container uses\n" } else { "  - all images without a name\n" });
    for filter in &args.filters {
        text.push_str(&format!("  and only those that match {filter}\n"));
    }
    text
}
