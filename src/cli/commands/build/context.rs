//! Contexts and the Dockerfile on their way to the daemon.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use hoist_build::{
    context::{Manifest, walk, write_files},
    dockerfile::{IgnoreFile, ignore_file_names},
};
use hoist_proto::unit;
use tokio_util::io::SyncIoBridge;

use super::View;
use crate::{
    api::dto::build::{BuildOrder, ContextAnswer, ContextRef},
    cli::{Context, client::reader_body, failure::Failure},
};

/// More than this is rarely meant: the person is told what is large.
const HUGE: u64 = 200 << 20;

/// Where the main context is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Directory(PathBuf),
    /// An archive or a Dockerfile on standard input.
    Stdin,
    /// For the daemon to fetch.
    Remote(String),
}

impl Source {
    pub fn parse(text: &str) -> Self {
        let schemes = ["http://", "https://", "git://", "ssh://", "git@", "github.com/"];
        match text {
            "-" => Self::Stdin,
            text if schemes.iter().any(|scheme| text.starts_with(scheme)) => Self::Remote(text.to_owned()),
            text => Self::Directory(PathBuf::from(text)),
        }
    }
}

/// Sends every context and fills the order in; ids of what was sent are noted for the clean-up.
#[allow(clippy::too_many_arguments)]
pub async fn send_all(
    cx: &Context,
    source: Source,
    file: Option<String>,
    inline: Option<String>,
    contexts: Vec<(String, String)>,
    order: &mut BuildOrder,
    sent: &mut Vec<String>,
    view: &mut View,
) -> Result<(), Failure> {
    order.dockerfile_name = "Dockerfile".to_owned();
    if let Some(text) = &inline {
        order.dockerfile.clone_from(text);
    }
    match source {
        Source::Directory(dir) => {
            let meta = fs_err::metadata(&dir).map_err(|error| {
                Failure::from(error).hint("the last argument is the directory to build from: hoist build .")
            })?;
            if !meta.is_dir() {
                return Err(Failure::usage(format!("{} is not a directory", dir.display()))
                    .hint("the last argument is the directory to build from; name a Dockerfile with -f"));
            }
            let path = if inline.is_some() { None } else { dockerfile(&dir, file.as_deref(), order)? };
            let ignore_text = ignore_text(&dir, path.as_deref())?;
            let id = directory(cx, &dir, &ignore_text, view).await?;
            sent.push(id.clone());
            order.context = Some(id);
            order.ignore = ignore_text;
        }
        Source::Stdin => stdin(cx, file.as_deref(), order, sent).await?,
        Source::Remote(url) => {
            let keep = order.args.get("BUILDKIT_CONTEXT_KEEP_GIT_DIR").is_some_and(|value| value == "1");
            let answer = remote(cx, &url, keep).await?;
            remote_file(cx, &answer.id, file.as_deref(), order).await?;
            sent.push(answer.id.clone());
            order.context = Some(answer.id);
        }
    }
    for (name, place) in contexts {
        let context = if let Some(image) = place.strip_prefix("docker-image://") {
            ContextRef::Image(image.to_owned())
        } else if let Source::Remote(url) = Source::parse(&place) {
            let answer = remote(cx, &url, false).await?;
            sent.push(answer.id.clone());
            ContextRef::Sent(answer.id)
        } else if let Some((scheme, _)) = place.split_once("://") {
            return Err(Failure::usage(format!(
                "--build-context {name}={place}: {scheme}:// is not supported; a directory, docker-image://, a git \
                 repository or the address of an archive is"
            )));
        } else {
            let dir = PathBuf::from(&place);
            let text = ignore_text(&dir, None)?;
            let id = directory(cx, &dir, &text, view).await?;
            sent.push(id.clone());
            ContextRef::Sent(id)
        };
        order.contexts.insert(name, context);
    }
    Ok(())
}

/// Has the daemon fetch a context.
async fn remote(cx: &Context, url: &str, keep_git_dir: bool) -> Result<ContextAnswer, Failure> {
    let keep = if keep_git_dir { "1" } else { "0" };
    let request = cx.client.post("/hoist/v1/build/contexts/remote").query("url", url).query("keep-git-dir", keep);
    Ok(request.read().await?)
}

/// Sends the directories of local caches, as contexts are sent; one that is not there is left out.
pub async fn send_caches(
    cx: &Context,
    order: &mut BuildOrder,
    sent: &mut Vec<String>,
    view: &mut View,
) -> Result<(), Failure> {
    let mut kept = Vec::new();
    for mut location in std::mem::take(&mut order.cache_from) {
        if location.kind == "local"
            && let Some(src) = location.options.get("src").map(PathBuf::from)
        {
            if !src.join("index.json").is_file() {
                view.say(&format!("the cache {} is not used: there is none yet", src.display()));
                continue;
            }
            let id = directory(cx, &src, "", view).await?;
            location.options.insert("context".to_owned(), id.clone());
            sent.push(id);
        }
        kept.push(location);
    }
    order.cache_from = kept;
    Ok(())
}

/// Reads the Dockerfile; answers where it is, unless it came from standard input.
fn dockerfile(dir: &Path, file: Option<&str>, order: &mut BuildOrder) -> Result<Option<PathBuf>, Failure> {
    if file == Some("-") {
        std::io::stdin().lock().read_to_string(&mut order.dockerfile)?;
        return Ok(None);
    }
    let path = match file {
        Some(file) => PathBuf::from(file),
        None => {
            let usual = dir.join("Dockerfile");
            let lower = dir.join("dockerfile");
            if !usual.exists() && lower.exists() { lower } else { usual }
        }
    };
    order.dockerfile = fs_err::read_to_string(&path).map_err(|error| {
        let failure = Failure::from(error);
        match file {
            None => failure.hint("name another file with -f"),
            Some(file) if dir.join(file).exists() => {
                failure.hint(format!("-f is relative to this directory: -f {}", dir.join(file).display()))
            }
            Some(_) => failure,
        }
    })?;
    order.dockerfile_name = path.file_name().map_or_else(|| "Dockerfile".into(), |name| name.to_string_lossy().into());
    Ok(Some(path))
}

fn ignore_text(dir: &Path, dockerfile: Option<&Path>) -> Result<String, Failure> {
    let [beside, general] = ignore_file_names(&dockerfile.unwrap_or(Path::new("Dockerfile")).to_string_lossy());
    let candidates = dockerfile.map(|_| PathBuf::from(beside)).into_iter().chain([dir.join(general)]);
    for path in candidates {
        match fs_err::read_to_string(&path) {
            Ok(text) => return Ok(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(String::new())
}

/// Sends what the daemon lacks of a directory.
async fn directory(cx: &Context, dir: &Path, ignore: &str, view: &mut View) -> Result<String, Failure> {
    let whole = fs_err::canonicalize(dir)?;
    let rules = IgnoreFile::parse(".dockerignore", ignore).map_err(|error| Failure::new(error.to_string()))?;
    let root = whole.clone();
    let manifest: Manifest = tokio::task::spawn_blocking(move || walk(&root, &rules))
        .await
        .map_err(|error| Failure::new(format!("reading the context stopped: {error}")))?
        .map_err(|error| Failure::from_error(&error))?;
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let key = format!("{host}:{}", whole.display());
    let body = serde_json::to_vec(&manifest)?;
    let request = cx.client.post("/hoist/v1/build/contexts").query("key", &key);
    let body = reader_body(std::io::Cursor::new(body));
    let answer: ContextAnswer = request.stream(body, "application/json").read().await?;
    if answer.missing.is_empty() {
        return Ok(answer.id);
    }
    let size: u64 = answer
        .missing
        .iter()
        .filter_map(|index| manifest.entries.get(*index as usize))
        .map(|entry| match entry.kind {
            hoist_build::context::EntryKind::File { size, .. } => size,
            _ => 0,
        })
        .sum();
    if size > HUGE {
        let largest: Vec<String> = manifest
            .largest(3)
            .into_iter()
            .map(|(name, bytes)| format!("{name} ({})", unit::format_bytes(bytes)))
            .collect();
        view.say(&format!(
            "sending {} of context; the largest: {}; what the build does not need can be excluded in .dockerignore",
            unit::format_bytes(size),
            largest.join(", ")
        ));
    }
    let (reader, writer) = tokio::io::duplex(512 << 10);
    let missing = answer.missing.clone();
    let work = tokio::task::spawn_blocking(move || {
        let mut bridge = std::io::BufWriter::with_capacity(256 << 10, SyncIoBridge::new(writer));
        write_files(&whole, &manifest, &missing, &mut bridge, &mut |_| {})
    });
    let path = format!("/hoist/v1/build/contexts/{}", answer.id);
    let done = cx.client.put(&path).stream(reader_body(reader), "application/octet-stream").done().await;
    // What was wrong here explains what the daemon says of it.
    match work.await.map_err(|error| Failure::new(format!("sending the context stopped: {error}")))? {
        Err(error)
            if done.is_err() && !matches!(&error, hoist_build::context::ContextError::Io { action: "send", .. }) =>
        {
            return Err(Failure::from_error(&error));
        }
        _ => done?,
    }
    view.sent(size);
    Ok(answer.id)
}

async fn stdin(
    cx: &Context,
    file: Option<&str>,
    order: &mut BuildOrder,
    sent: &mut Vec<String>,
) -> Result<(), Failure> {
    use tokio::io::AsyncReadExt;
    if file == Some("-") {
        return Err(Failure::usage("the context and the Dockerfile cannot both come from standard input"));
    }
    let mut input = tokio::io::stdin();
    let mut start = vec![0; 512];
    let mut read = 0;
    while read < start.len() {
        match input.read(&mut start[read..]).await? {
            0 => break,
            more => read += more,
        }
    }
    start.truncate(read);
    let compressed: [&[u8]; 4] = [&[0x1f, 0x8b], &[0x28, 0xb5, 0x2f, 0xfd], b"BZh", &[0xfd, b'7', b'z', b'X', b'Z']];
    let is_archive =
        start.get(257..262) == Some(b"ustar".as_slice()) || compressed.iter().any(|magic| start.starts_with(magic));
    if !is_archive {
        let mut text = start;
        input.read_to_end(&mut text).await?;
        order.dockerfile = String::from_utf8(text).map_err(|_| {
            Failure::new("standard input is neither an archive (tar, plain or compressed) nor a Dockerfile")
        })?;
        return Ok(());
    }
    let body = reader_body(AsyncReadExt::chain(std::io::Cursor::new(start), input));
    let request = cx.client.post("/hoist/v1/build/contexts/tar").stream(body, "application/x-tar");
    let answer: ContextAnswer = request.read().await?;
    sent.push(answer.id.clone());
    remote_file(cx, &answer.id, file, order).await?;
    order.context = Some(answer.id);
    Ok(())
}

/// The Dockerfile of a context that only the daemon has.
async fn remote_file(cx: &Context, id: &str, file: Option<&str>, order: &mut BuildOrder) -> Result<(), Failure> {
    if !order.dockerfile.is_empty() {
        return Ok(());
    }
    let name = file.unwrap_or("Dockerfile");
    let request = cx.client.get(format!("/hoist/v1/build/contexts/{id}/file")).query("path", name);
    order.dockerfile = String::from_utf8_lossy(&request.bytes().await?).into_owned();
    order.dockerfile_name = name.rsplit('/').next().unwrap_or(name).to_owned();
    Ok(())
}
