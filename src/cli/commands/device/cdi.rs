//! `hoist device cdi …`

use serde_json::Value;

use super::{list, names, text};
use crate::cli::{
    Context, Exit, Outcome,
    args::device::{CdiListArgs, Form, GenerateArgs},
    failure::Failure,
};

/// Writes a specification of what a driver tells of, for this engine or another.
pub async fn generate(cx: &Context, args: GenerateArgs) -> Outcome {
    let spec: Value = cx.client.get("/hoist/v1/devices/specification").query("kind", &args.kind).read().await?;
    let by_ending = args.output.as_ref().and_then(|path| path.extension()).and_then(|ending| match ending.to_str() {
        Some("json") => Some(Form::Json),
        Some("yaml") => Some(Form::Yaml),
        _ => None,
    });
    if let (Some(path), None) = (&args.output, by_ending) {
        return Err(Failure::usage(format!(
            "{}: engines read only files of CDI specifications that end in .json or .yaml",
            path.display()
        )));
    }
    let text = match args.format.or(by_ending).unwrap_or(Form::Yaml) {
        Form::Json => serde_json::to_string_pretty(&spec)? + "\n",
        Form::Yaml => serde_yaml::to_string(&spec).map_err(|error| Failure::from_error(&error))?,
    };
    let Some(path) = args.output else {
        cx.printer.text(text)?;
        return Ok(Exit::OK);
    };
    // An engine that looks at this moment sees the old file or the new one.
    let fresh = path.with_extension("part");
    fs_err::write(&fresh, text)
        .and_then(|()| fs_err::rename(&fresh, &path))
        .map_err(|error| Failure::from_error(&error))?;
    cx.printer.line(path.to_string_lossy())?;
    Ok(Exit::OK)
}

/// Lists whole names, then what is wrong with files.
pub async fn ls(cx: &Context, _: CdiListArgs) -> Outcome {
    let listed = list(cx).await?;
    for device in &listed.devices {
        let kind = text(device, "Kind");
        for name in names(device).into_iter().filter(|_| kind.contains('/')) {
            cx.printer.line(format!("{kind}={name}"))?;
        }
    }
    for warning in &listed.warnings {
        cx.printer.warn(warning);
    }
    Ok(Exit::OK)
}
