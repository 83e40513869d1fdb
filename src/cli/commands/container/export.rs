//! `hoist export`

use std::{io::IsTerminal, path::Path};

use http_body_util::BodyExt;
use hyper::{Response, body::Incoming};
use tokio::io::AsyncWriteExt;

use crate::cli::{
    Context, Exit, Outcome,
    args::container::ExportArgs,
    client::ClientError,
    commands::container::{hints, path},
    failure::Failure,
};

/// Writes a container's file system as a tar archive.
pub async fn run(cx: &Context, args: ExportArgs) -> Outcome {
    check(cx, args.output.as_deref())?;
    let response = match cx.client.get(path(&args.container, "export")).send().await {
        Ok(response) => response,
        Err(err) => return Err(hints::containers(cx, err.into(), &args.container).await),
    };
    write(cx, response, args.output.as_deref()).await
}

/// An archive is not for a terminal.
pub fn check(cx: &Context, output: Option<&Path>) -> Result<(), Failure> {
    if output.is_none() && cx.printer.out_is_terminal() && std::io::stdout().is_terminal() {
        return Err(Failure::new("an archive would be written to the terminal")
            .hint("name a file with -o, or redirect standard output"));
    }
    Ok(())
}

/// Writes an answer's body: to a file, whole or not at all, or to standard output.
pub async fn write(cx: &Context, response: Response<Incoming>, output: Option<&Path>) -> Outcome {
    let mut body = response.into_body();
    let Some(output) = output else {
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame.map_err(ClientError::Broken)?.into_data() {
                cx.printer.raw(&data)?;
            }
        }
        return Ok(Exit::OK);
    };
    let mut name = output.file_name().map(std::ffi::OsStr::to_owned).unwrap_or_default();
    name.push(format!(".part{}", std::process::id()));
    let part = output.with_file_name(name);
    let written = async {
        let mut file = fs_err::tokio::File::create(&part).await?;
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame.map_err(ClientError::Broken)?.into_data() {
                file.write_all(&data).await?;
            }
        }
        file.sync_all().await?;
        fs_err::tokio::rename(&part, output).await?;
        Ok::<_, Failure>(Exit::OK)
    };
    let written = written.await;
    if written.is_err() {
        let _ = fs_err::tokio::remove_file(&part).await;
    }
    written
}
