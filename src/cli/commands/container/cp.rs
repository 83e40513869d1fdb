//! `hoist cp`

use std::path::{Path, PathBuf};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http_body_util::BodyExt;
use serde::Deserialize;
use tokio::sync::mpsc;

use hoist_proto::unit;

use crate::cli::{
    Context, Exit, Outcome,
    args::container::CpArgs,
    client::{ClientError, reader_body},
    commands::container::{
        archive::{self, Packed},
        export, hints, path,
    },
    failure::Failure,
};

/// One end of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    Container {
        name: String,
        path: String,
    },
    Here(PathBuf),
    /// `-`: a tar archive on standard input or output.
    Stream,
}

/// `CONTAINER:PATH`, a path here, or `-`. A colon after a slash or a dot belongs to a path here.
fn end(text: &str) -> End {
    if text == "-" {
        return End::Stream;
    }
    match text.split_once(':') {
        Some((name, path)) if !name.is_empty() && !name.starts_with(['.', '/']) => {
            End::Container { name: name.to_owned(), path: path.to_owned() }
        }
        _ => End::Here(text.into()),
    }
}

/// What stands at a path in a container.
#[derive(Debug, Clone, Deserialize)]
pub struct Stat {
    /// Go's mode: the top bit is a directory, bit 27 a symbolic link.
    pub mode: u32,
    #[serde(rename = "linkTarget", default)]
    pub link_target: String,
}

impl Stat {
    fn is_dir(&self) -> bool {
        self.mode & (1 << 31) != 0
    }

    fn is_link(&self) -> bool {
        self.mode & (1 << 27) != 0
    }
}

/// Copies out of a container or into one.
pub async fn run(cx: &Context, args: CpArgs) -> Outcome {
    match (end(&args.source), end(&args.destination)) {
        (End::Container { .. }, End::Container { .. }) => {
            Err(Failure::new("copying between two containers is not supported").hint("copy to a file here first"))
        }
        (End::Container { name, path }, to) => out_of(cx, &args, &name, &path, to).await,
        (from, End::Container { name, path }) => into(cx, &args, from, &name, &path).await,
        _ => Err(Failure::new("one of the two must be in a container").hint("write it as CONTAINER:PATH")),
    }
}

async fn out_of(cx: &Context, args: &CpArgs, name: &str, from: &str, to: End) -> Outcome {
    if from.is_empty() {
        return Err(Failure::new("the path in the container is missing"));
    }
    let mut from = from.to_owned();
    if args.follow_link {
        let (stat, _) = stat(cx, name, &from).await?;
        if let Some(stat) = stat.filter(Stat::is_link) {
            from = stat.link_target;
        }
    }
    let request = cx.client.get(path(name, "archive")).query("path", &from);
    let response = match request.send().await {
        Ok(response) => response,
        Err(err) => return Err(hints::containers(cx, err.into(), name).await),
    };
    let to = match to {
        End::Here(to) => to,
        _ => {
            export::check(cx, None)?;
            return export::write(cx, response, None).await;
        }
    };
    // Only the contents of a directory are meant when its path ends in `/.`.
    let contents = from.ends_with("/.") || from == ".";
    let (sender, receiver) = mpsc::channel::<Result<Bytes, std::io::Error>>(8);
    let owners = args.archive;
    let unpacking = tokio::task::spawn_blocking({
        let to = to.clone();
        move || archive::unpack(archive::ChannelReader::new(receiver), &to, contents, owners)
    });
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        let data = match frame {
            Ok(frame) => frame.into_data().map_err(|_| std::io::Error::other("trailers")),
            Err(err) => Err(std::io::Error::other(ClientError::Broken(err))),
        };
        if sender.send(data).await.is_err() {
            break;
        }
    }
    drop(sender);
    let bytes = unpacking.await.map_err(|_| Failure::new("unpacking was cut short"))??;
    say(cx, args, bytes, &to.display().to_string());
    Ok(Exit::OK)
}

async fn into(cx: &Context, args: &CpArgs, from: End, name: &str, to: &str) -> Outcome {
    if to.is_empty() {
        return Err(Failure::new("the path in the container is missing"));
    }
    let (mut found, container) = stat(cx, name, to).await?;
    let mut to = to.to_owned();
    // What a link points to is where the copy goes.
    if let Some(stat) = found.clone().filter(Stat::is_link) {
        to = stat.link_target;
        found = self::stat(cx, name, &to).await?.0;
    }
    let is_dir = found.as_ref().is_some_and(Stat::is_dir);
    let put = |directory: &str| {
        cx.client
            .put(path(&container, "archive"))
            .query("path", directory)
            .query("noOverwriteDirNonDir", "true")
            .flag("copyUIDGID", args.archive)
    };
    let from = match from {
        End::Here(from) => from,
        _ => {
            if !is_dir {
                return Err(Failure::new(format!("{name}:{to} is not a directory: an archive is extracted into one")));
            }
            put(&to).stream(reader_body(tokio::io::stdin()), "application/x-tar").done().await?;
            return Ok(Exit::OK);
        }
    };
    let plan = archive::plan(&from, args.follow_link, &to, is_dir, found.is_some())?;
    let (reader, packing) = archive::pack(Packed { archive_ids: args.archive, ..plan.packed });
    let sent = put(&plan.directory).stream(reader_body(reader), "application/x-tar").done().await;
    let packed = packing.await.map_err(|_| Failure::new("packing was cut short"))?;
    // Why packing stopped says more than that the connection did.
    let bytes = match (packed, sent) {
        (Err(err), _) if err.kind() != std::io::ErrorKind::BrokenPipe => return Err(err.into()),
        (_, Err(err)) => return Err(err.into()),
        (packed, Ok(())) => packed?,
    };
    say(cx, args, bytes, &format!("{name}:{to}"));
    Ok(Exit::OK)
}

/// What stands at a path, if anything; and the container's name as the daemon knows it.
async fn stat(cx: &Context, name: &str, at: &str) -> Result<(Option<Stat>, String), Failure> {
    let response = match cx.client.head(path(name, "archive")).query("path", at).send().await {
        Ok(response) => response,
        Err(err) if err.status() == Some(404) => {
            // No such path, or no such container: only the second is an error here.
            return match cx.client.get(path(name, "json")).done().await {
                Ok(()) => Ok((None, name.to_owned())),
                Err(err) => Err(hints::containers(cx, err.into(), name).await),
            };
        }
        Err(err) => return Err(err.into()),
    };
    let stat = response
        .headers()
        .get("x-docker-container-path-stat")
        .and_then(|value| STANDARD.decode(value.as_bytes()).ok())
        .and_then(|json| serde_json::from_slice(&json).ok());
    Ok((stat, name.to_owned()))
}

fn say(cx: &Context, args: &CpArgs, bytes: u64, to: &str) {
    if !args.quiet && cx.printer.err_is_terminal() {
        cx.printer.say(format!("Successfully copied {} to {to}", unit::format_bytes_short(bytes)));
    }
}

/// Whether a path names what is in a directory, or must be one.
pub fn ends_as_directory(path: &str) -> bool {
    path.ends_with('/') || path.ends_with("/.") || path == "." || Path::new(path).ends_with("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends() {
        assert_eq!(end("web:/etc"), End::Container { name: "web".into(), path: "/etc".into() });
        assert_eq!(end("./web:/etc"), End::Here("./web:/etc".into()));
        assert_eq!(end("/a:b"), End::Here("/a:b".into()));
        assert_eq!(end("file"), End::Here("file".into()));
        assert_eq!(end("-"), End::Stream);
    }
}
