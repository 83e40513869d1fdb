//! `hoist secret create` and `hoist config create`

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{Kind, content};
use crate::{
    api::dto::{
        file::{Created, FileSpec},
        service::Driver,
    },
    cli::{Context, Exit, Outcome, args::file::CreateArgs, failure::Failure, spec::key_values},
};

/// Keeps a content under a name, and prints its id.
pub async fn run(cx: &Context, kind: Kind, args: CreateArgs, driver: Option<String>) -> Outcome {
    let data = match (&args.file, &driver) {
        (Some(_), Some(_)) => {
            return Err(Failure::new("when using secret driver secret data must be empty"));
        }
        (Some(file), None) => Some(STANDARD.encode(content(file)?)),
        (None, Some(_)) => None,
        (None, None) => return Err(Failure::new("the file with the content is missing: - is standard input")),
    };
    let named = |name: String| Driver { name, ..Driver::default() };
    let spec = FileSpec {
        name: args.name,
        labels: key_values("label", &args.labels, '=')?,
        data,
        driver: driver.map(named),
        templating: args.template_driver.map(named),
    };
    let created: Created = cx.client.post(format!("{}/create", kind.collection())).json(&spec)?.read().await?;
    cx.printer.line(created.id)?;
    Ok(Exit::OK)
}
