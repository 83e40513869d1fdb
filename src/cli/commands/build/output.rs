//! What the daemon wrote is fetched to where it is wanted.

use std::path::{Path, PathBuf};

use futures_util::TryStreamExt;
use hoist_build::CacheLocation;
use http_body_util::BodyExt;
use tokio::io::AsyncWriteExt;
use tokio_util::io::SyncIoBridge;

use super::destination::Destination;
use crate::{
    api::dto::build::OutputOrder,
    cli::{Context, commands::container::archive, failure::Failure},
};

/// Fetches what the daemon wrote.
pub async fn fetch_all(cx: &Context, id: &str, destinations: &[Destination]) -> Result<(), Failure> {
    for (index, destination) in destinations.iter().enumerate() {
        let Some(path) = &destination.path else { continue };
        let response = cx.client.get(format!("/hoist/v1/build/{id}/outputs/{index}")).send().await?;
        let stream = response.into_body().into_data_stream().map_err(std::io::Error::other);
        let mut reader = tokio_util::io::StreamReader::new(stream);
        if destination.order == OutputOrder::Local || destination.unpacked {
            fs_err::create_dir_all(path)?;
            let (to, bridge) = (path.clone(), SyncIoBridge::new(reader));
            // Only root can give files away; everybody else gets them as their own.
            let owners = rustix::process::geteuid().is_root();
            let layout = destination.unpacked;
            let work = move || -> Result<(), Failure> {
                if layout {
                    return Ok(tar::Archive::new(bridge).unpack(to)?);
                }
                archive::unpack(bridge, &to, true, owners).map(drop)
            };
            tokio::task::spawn_blocking(work)
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
