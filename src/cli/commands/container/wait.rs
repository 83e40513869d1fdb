//! `hoist wait`

use serde::Deserialize;

use crate::cli::{
    Context, Outcome,
    args::container::NamesArgs,
    commands::{
        container::{hints, path},
        each::each,
    },
    failure::Failure,
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Waited {
    status_code: i64,
    error: Option<WaitError>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WaitError {
    message: String,
}

/// Waits for containers to stop and prints their codes.
pub async fn run(cx: &Context, args: NamesArgs) -> Outcome {
    each(cx, &args.containers, |name| async move {
        let waited = match cx.client.post(path(name, "wait")).read::<Waited>().await {
            Ok(waited) => waited,
            Err(err) => return Err(hints::containers(cx, err.into(), name).await),
        };
        match waited.error.filter(|error| !error.message.is_empty()) {
            Some(error) => Err(Failure::new(error.message)),
            None => Ok(waited.status_code.to_string()),
        }
    })
    .await
}
