//! `hoist rmi`

use serde::Deserialize;

use super::platform_json;
use crate::cli::{
    Context, Outcome,
    args::image::RmArgs,
    client::path_segment,
    commands::{container::hints, each::each},
    failure::Failure,
};

/// What became of an image: a name fewer, or gone.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Removed {
    pub untagged: Option<String>,
    pub deleted: Option<String>,
}

impl Removed {
    /// As it is printed.
    pub fn line(&self) -> String {
        match (&self.untagged, &self.deleted) {
            (Some(name), _) => format!("Untagged: {name}"),
            (_, Some(id)) => format!("Deleted: {id}"),
            _ => String::new(),
        }
    }
}

/// Removes images, or names of images.
pub async fn run(cx: &Context, args: RmArgs) -> Outcome {
    let args = &args;
    each(cx, &args.images, |name| async move {
        let mut request = cx
            .client
            .delete(format!("/images/{}", path_segment(name)))
            .flag("force", args.force)
            .flag("noprune", args.no_prune);
        for platform in &args.platform {
            request = request.query("platforms", platform_json(platform)?);
        }
        match request.read::<Vec<Removed>>().await.map_err(Failure::from) {
            Ok(removed) => Ok(removed.iter().map(Removed::line).collect::<Vec<_>>().join("\n")),
            Err(failure) if failure.is_not_found() && args.force => {
                cx.printer.say(failure.message);
                Ok(String::new())
            }
            Err(failure) => Err(hints::images(cx, failure, name).await),
        }
    })
    .await
}
