//! Where results go.

use std::path::{Path, PathBuf};

use futures_util::TryStreamExt;
use hoist_build::CacheLocation;
use http_body_util::BodyExt;
use tokio::io::AsyncWriteExt;
use tokio_util::io::SyncIoBridge;

use crate::{
    api::dto::build::OutputOrder,
    cli::{Context, commands::container::archive, failure::Failure},
};

/// One output: what the daemon is asked, and where it goes here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    pub order: OutputOrder,
    /// `-` is standard output.
    pub path: Option<PathBuf>,
}

/// Reads `--output`, `--load` and `--push`; names in `type=image,name=…` become tags.
pub fn destinations(
    entries: &[String],
    load: bool,
    push: bool,
    tags: &mut Vec<String>,
) -> Result<Vec<Destination>, Failure> {
    let mut found = Vec::new();
    for entry in entries {
        found.push(destination(entry, tags)?);
    }
    if load || push || found.is_empty() {
        found.push(Destination { order: OutputOrder::Image { oci: false, push }, path: None });
    }
    let pushes = found.iter().any(|destination| matches!(destination.order, OutputOrder::Image { push: true, .. }));
    if pushes && tags.is_empty() {
        return Err(Failure::usage("an image without a name cannot be pushed").hint("give it one with -t"));
    }
    let to_stdout = found.iter().filter(|destination| destination.path.as_deref() == Some(Path::new("-"))).count();
    if to_stdout > 1 {
        return Err(Failure::usage("two outputs cannot both go to standard output"));
    }
    Ok(found)
}

fn destination(entry: &str, tags: &mut Vec<String>) -> Result<Destination, Failure> {
    let wrong = |what: String| Failure::usage(format!("invalid value '{entry}' for '--output': {what}"));
    if entry == "-" {
        return Ok(Destination { order: OutputOrder::Tar, path: Some("-".into()) });
    }
    if !entry.contains('=') {
        return Ok(Destination { order: OutputOrder::Local, path: Some(entry.into()) });
    }
    let (mut kind, mut path, mut push, mut oci) = (String::new(), None, false, false);
    for part in entry.split(',') {
        let (key, value) = part.split_once('=').ok_or_else(|| wrong(format!("'{part}' is no KEY=VALUE")))?;
        let truth = || match value {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            other => Err(wrong(format!("{key} is true or false, not '{other}'"))),
        };
        match key {
            "type" => kind = value.to_owned(),
            "dest" => path = Some(PathBuf::from(value)),
            "name" => tags.extend(value.split(',').map(str::to_owned)),
            "push" => push = truth()?,
            "oci-mediatypes" => oci = truth()?,
            // Every image is kept and unpacked; what is pushed is compressed with gzip, what is kept is not compressed.
            "compression" if value == "gzip" => {}
            "compression" => {
                let known = ["zstd", "estargz", "uncompressed"].contains(&value);
                let what = if known { "is not supported for images" } else { "is unknown" };
                return Err(wrong(format!("compression={value} {what}: layers are pushed with gzip")));
            }
            "store" | "unpack" if truth()? => {}
            "force-compression" | "push-by-digest" | "name-canonical" | "rewrite-timestamp" if !truth()? => {}
            other => return Err(wrong(format!("the key {other} is not supported"))),
        }
    }
    let needs = |path: Option<PathBuf>| path.ok_or_else(|| wrong(format!("type={kind} needs dest=…")));
    let (order, path) = match kind.as_str() {
        "local" => (OutputOrder::Local, Some(needs(path)?)),
        "tar" => (OutputOrder::Tar, Some(path.unwrap_or_else(|| "-".into()))),
        "oci" => (OutputOrder::Oci, Some(path.unwrap_or_else(|| "-".into()))),
        "docker" => match path {
            Some(path) => (OutputOrder::Docker, Some(path)),
            None => (OutputOrder::Image { oci: false, push: false }, None),
        },
        "image" => (OutputOrder::Image { oci, push }, None),
        "registry" => (OutputOrder::Image { oci, push: true }, None),
        "cacheonly" => (OutputOrder::Cacheonly, None),
        other => {
            let known = "local, tar, oci, docker, image, registry or cacheonly";
            return Err(wrong(format!("type '{other}' is unknown, expected {known}")));
        }
    };
    Ok(Destination { order, path })
}

/// Fetches what the daemon wrote.
pub async fn fetch_all(cx: &Context, id: &str, destinations: &[Destination]) -> Result<(), Failure> {
    for (index, destination) in destinations.iter().enumerate() {
        let Some(path) = &destination.path else { continue };
        let response = cx.client.get(format!("/hoist/v1/build/{id}/outputs/{index}")).send().await?;
        let stream = response.into_body().into_data_stream().map_err(std::io::Error::other);
        let mut reader = tokio_util::io::StreamReader::new(stream);
        if destination.order == OutputOrder::Local {
            fs_err::create_dir_all(path)?;
            let (to, bridge) = (path.clone(), SyncIoBridge::new(reader));
            // Only root can give files away; everybody else gets them as their own.
            let owners = rustix::process::geteuid().is_root();
            tokio::task::spawn_blocking(move || archive::unpack(bridge, &to, true, owners))
                .await
                .map_err(|error| Failure::new(format!("unpacking stopped: {error}")))??;
            continue;
        }
        if path == Path::new("-") {
            let mut out = tokio::io::stdout();
            tokio::io::copy(&mut reader, &mut out).await?;
            out.flush().await?;
            continue;
        }
        let mut file = fs_err::tokio::File::create(path).await?;
        tokio::io::copy(&mut reader, &mut file).await?;
        file.flush().await?;
    }
    Ok(())
}

/// Where local caches go. A directory that holds anything else is refused: what is in a cache's is replaced.
pub fn caches(locations: &[CacheLocation]) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    for location in locations.iter().filter(|location| location.kind == "local") {
        let Some(path) = location.options.get("dest").map(PathBuf::from) else { continue };
        let empty = || fs_err::read_dir(&path).map_or(true, |mut entries| entries.next().is_none());
        if !path.join("oci-layout").exists() && !empty() {
            return Err(Failure::usage(format!(
                "--cache-to type=local: {} holds something that is no cache",
                path.display()
            ))
            .hint("name a directory that is empty or not there yet"));
        }
        found.push(path);
    }
    Ok(found)
}

/// Fetches caches that the daemon wrote, numbered after the outputs; each takes the place of what was there.
pub async fn fetch_caches(cx: &Context, id: &str, first: usize, paths: &[PathBuf]) -> Result<(), Failure> {
    for (index, path) in paths.iter().enumerate() {
        let index = first + index;
        let response = cx.client.get(format!("/hoist/v1/build/{id}/outputs/{index}")).send().await?;
        let stream = response.into_body().into_data_stream().map_err(std::io::Error::other);
        let bridge = SyncIoBridge::new(tokio_util::io::StreamReader::new(stream));
        let to = path.clone();
        let work = move || -> Result<(), Failure> {
            fs_err::create_dir_all(&to)?;
            let new = tempfile::Builder::new().prefix(".new-").tempdir_in(&to)?;
            archive::unpack(bridge, new.path(), true, false)?;
            // The index says what counts: it comes last.
            for name in ["blobs", "oci-layout", "index.json"] {
                let old = to.join(name);
                if old.is_dir() {
                    fs_err::remove_dir_all(&old)?;
                }
                fs_err::rename(new.path().join(name), old)?;
            }
            Ok(())
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| Failure::new(format!("unpacking stopped: {error}")))??;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(entries: &[&str]) -> Result<(Vec<Destination>, Vec<String>), String> {
        let entries: Vec<String> = entries.iter().map(|entry| (*entry).to_owned()).collect();
        let mut tags = Vec::new();
        destinations(&entries, false, false, &mut tags).map(|found| (found, tags)).map_err(|failure| failure.message)
    }

    #[test]
    fn every_kind() {
        assert_eq!(read(&["out"]).unwrap().0[0], Destination { order: OutputOrder::Local, path: Some("out".into()) });
        assert_eq!(read(&["-"]).unwrap().0[0].order, OutputOrder::Tar);
        assert_eq!(read(&["type=oci,dest=a.tar"]).unwrap().0[0].order, OutputOrder::Oci);
        assert_eq!(read(&[]).unwrap().0[0].order, OutputOrder::Image { oci: false, push: false });
        let (found, tags) = read(&["type=image,name=x/y,push=true,oci-mediatypes=true"]).unwrap();
        assert_eq!(
            (found[0].order.clone(), tags),
            (OutputOrder::Image { oci: true, push: true }, vec!["x/y".to_owned()])
        );
        for (entry, message) in [
            ("type=local", "type=local needs dest="),
            ("type=locl,dest=x", "type 'locl' is unknown"),
            ("type=registry", "cannot be pushed"),
            ("type=image,compression=zstd", "compression=zstd is not supported for images"),
        ] {
            assert!(read(&[entry]).unwrap_err().contains(message), "{entry}");
        }
        assert!(read(&["-", "type=oci"]).unwrap_err().contains("both go to standard output"));
    }
}
