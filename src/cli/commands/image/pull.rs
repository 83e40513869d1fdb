//! `hoist pull`

use super::name;
use crate::cli::{
    Context, Exit, Outcome,
    args::image::PullArgs,
    commands::container::hints,
    credentials,
    failure::Failure,
    progress::{Mode, Transfer},
    spec::SpecError,
};

/// Fetches an image and prints its whole name.
pub async fn run(cx: &Context, args: PullArgs) -> Outcome {
    let (repository, tag) = name::split(&args.image);
    if args.all_tags && !tag.is_empty() {
        return Err(SpecError::value("all-tags", &args.image, "the name must have no tag then").found_late());
    }
    let _ = repository;
    let mode = if args.quiet { Mode::Quiet } else { args.progress };
    if !args.all_tags && tag.is_empty() && !args.quiet {
        cx.printer.say("Using default tag: latest");
    }
    if let Err(failure) = get(cx, &args.image, args.platform.as_deref(), mode, args.all_tags).await {
        return Err(hints::images(cx, failure, &args.image).await);
    }
    cx.printer.line(whole(&args.image, args.all_tags))?;
    Ok(Exit::OK)
}

/// Fetches one image, showing progress.
pub async fn fetch(cx: &Context, image: &str, platform: Option<&str>, mode: Mode) -> Result<(), Failure> {
    get(cx, image, platform, mode, false).await
}

async fn get(cx: &Context, image: &str, platform: Option<&str>, mode: Mode, all: bool) -> Result<(), Failure> {
    let (repository, tag) = name::split(image);
    let tag = if tag.is_empty() && !all { "latest" } else { tag };
    let lines = cx
        .client
        .post("/images/create")
        .query("fromImage", repository)
        .query("tag", tag)
        .query_opt("platform", platform)
        .header_opt("x-registry-auth", credentials::header_for(&cx.config_dir, image)?)
        .lines()
        .await?;
    Transfer::new(cx.printer, mode, "Pulling").show(lines, |_| {}).await
}

/// The name with what was left out: `docker.io/library/busybox:latest`.
fn whole(image: &str, all: bool) -> String {
    let (repository, tag) = name::split(image);
    let domain = repository
        .split_once('/')
        .map(|(first, _)| first)
        .filter(|first| first.contains(['.', ':']) || *first == "localhost");
    let repository = match domain {
        Some(_) => repository.to_owned(),
        None if repository.contains('/') => format!("docker.io/{repository}"),
        None => format!("docker.io/library/{repository}"),
    };
    match tag {
        _ if all => repository,
        "" => format!("{repository}:latest"),
        digest if image.contains('@') => format!("{repository}@{digest}"),
        tag => format!("{repository}:{tag}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_names() {
        assert_eq!(whole("busybox", false), "docker.io/library/busybox:latest");
        assert_eq!(whole("me/app:2", false), "docker.io/me/app:2");
        assert_eq!(whole("localhost:5000/x", false), "localhost:5000/x:latest");
        assert_eq!(whole("x@sha256:0", false), "docker.io/library/x@sha256:0");
    }
}
