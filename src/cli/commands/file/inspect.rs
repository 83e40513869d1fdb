//! `hoist secret inspect` and `hoist config inspect`

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{Kind, hint};
use crate::{
    api::dto::file::File,
    cli::{
        Context, Exit, Outcome,
        args::file::InspectArgs,
        commands::each::{gather, inspected},
        failure::Failure,
    },
};

/// Shows all that is known of them.
pub async fn run(cx: &Context, kind: Kind, args: InspectArgs) -> Outcome {
    if args.pretty && args.format.as_deref().is_some_and(|format| !format.is_empty()) {
        return Err(Failure::new("--format is incompatible with human friendly format"));
    }
    let (found, failures) = gather(cx, &args.names, |name| async move {
        match cx.client.get(kind.path(name)).read().await {
            Ok(value) => Ok(value),
            Err(err) => Err(hint(cx, kind, err.into(), name).await),
        }
    })
    .await;
    if !args.pretty {
        return inspected(cx, args.format.as_deref(), found, &failures);
    }
    for value in found {
        cx.printer.text(pretty(&serde_json::from_value(value)?))?;
    }
    for failure in &failures {
        cx.printer.failure(failure);
    }
    Ok(if failures.is_empty() { Exit::OK } else { Exit::FAILED })
}

fn pretty(file: &File) -> String {
    let mut text = format!("ID:\t\t\t{}\nName:\t\t\t{}\n", file.id, file.spec.name);
    if !file.spec.labels.is_empty() {
        text.push_str("Labels:\n");
        file.spec.labels.iter().for_each(|(key, value)| text.push_str(&format!(" - {key}={value}\n")));
    }
    text.push_str(&format!(
        "Created at:            \t{}\nUpdated at:            \t{}\n",
        file.created_at, file.updated_at
    ));
    if let Some(bytes) = file.spec.data.as_deref().and_then(|data| STANDARD.decode(data).ok()) {
        text.push_str(&format!("Data:\n{}\n", String::from_utf8_lossy(&bytes)));
    }
    text
}
