//! `hoist update`

use serde::Deserialize;

use crate::cli::{
    Context, Outcome,
    args::container::UpdateArgs,
    commands::{
        container::{hints, path},
        each::each,
    },
    failure::Failure,
    spec,
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Updated {
    #[serde(default)]
    warnings: Option<Vec<String>>,
}

/// Changes limits and restart policies.
pub async fn run(cx: &Context, args: UpdateArgs) -> Outcome {
    let body = &spec::update(&args)?;
    each(cx, &args.containers, |name| async move {
        let request = cx.client.post(path(name, "update")).json(body).map_err(Failure::from)?;
        match request.read::<Updated>().await {
            Ok(updated) => {
                for warning in updated.warnings.unwrap_or_default() {
                    cx.printer.warn(warning);
                }
                Ok(name.to_owned())
            }
            Err(err) => Err(hints::containers(cx, err.into(), name).await),
        }
    })
    .await
}
