//! Results to the client, over its session.

use std::{
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use prost::Message;
use rustix::fs::{Mode, OFlags};
use tokio::sync::mpsc::{Sender, channel};
use tonic::{Status, metadata::MetadataMap};

use super::{
    session::Session,
    words::{
        control::BytesMessage,
        session::{Packet, Stat, packet::Type},
    },
};
use crate::api::error::ApiError;

const DIFF_COPY: &str = "/moby.filesync.v1.FileSend/DiffCopy";
/// Bytes in a message.
const PIECE: usize = 32 << 10;
/// Messages that wait for the client.
const WAITING: usize = 32;

fn failed(status: &Status) -> ApiError {
    ApiError::bad_request(format!("the client could not take the result: {}", status.message()))
}

fn local(path: &Path) -> impl FnOnce(std::io::Error) -> ApiError + '_ {
    move |error| ApiError::internal(format!("the result cannot be read: {}: {error}", path.display()))
}

fn stopped(error: tokio::task::JoinError) -> ApiError {
    ApiError::internal(format!("the work stopped: {error}"))
}

/// Which of the client's outputs; clients that have only one do not look.
fn metadata(output: usize) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    metadata.insert("buildkit-attachable-exporter-id", output.into());
    metadata
}

fn offered(session: &Session) -> Result<(), ApiError> {
    match session.offers(DIFF_COPY) {
        true => Ok(()),
        false => Err(ApiError::bad_request("the client's session takes no results (FileSend)")),
    }
}

/// Sends a file.
///
/// # Errors
/// The client's.
pub async fn file(session: &Session, output: usize, path: PathBuf) -> Result<(), ApiError> {
    offered(session)?;
    let (said, hears) = channel::<BytesMessage>(WAITING);
    let reading = tokio::task::spawn_blocking(move || {
        let mut file = std::fs::File::open(&path).map_err(local(&path))?;
        loop {
            let mut data = vec![0; PIECE];
            let read = file.read(&mut data).map_err(local(&path))?;
            data.truncate(read);
            // A client that does not listen any more says why in its answer.
            if read == 0 || said.blocking_send(BytesMessage { data }).is_err() {
                return Ok::<_, ApiError>(());
            }
        }
    });
    let answer = async {
        let mut answers = session.converse::<_, BytesMessage>(DIFF_COPY, metadata(output), hears).await?;
        while answers.message().await?.is_some() {}
        Ok::<_, Status>(())
    };
    let (answer, read) = tokio::join!(answer, reading);
    read.map_err(stopped)??;
    answer.map_err(|status| failed(&status))
}

/// Sends what is in a directory; the client asks for what it wants of it.
///
/// # Errors
/// The client's.
pub async fn directory(session: &Session, output: usize, root: PathBuf) -> Result<(), ApiError> {
    offered(session)?;
    let (said, hears) = channel::<Packet>(WAITING);
    let (top, listed) = (root.clone(), said.clone());
    let listing = tokio::task::spawn_blocking(move || {
        let mut files = Vec::new();
        list(&top, "", &listed, &mut files)?;
        // The end of the list.
        let _ = listed.blocking_send(Packet::default());
        Ok::<_, ApiError>(files)
    });
    let answering = async {
        let mut asks = session.converse::<_, Packet>(DIFF_COPY, metadata(output), hears).await?;
        let files = match listing.await {
            Ok(Ok(files)) => files,
            Ok(Err(error)) => return Err(Status::internal(error.message)),
            Err(error) => return Err(Status::internal(error.to_string())),
        };
        while let Some(ask) = asks.message().await? {
            match ask.r#type() {
                Type::Req => {
                    let name = usize::try_from(ask.id).ok().and_then(|id| files.get(id)?.as_ref());
                    let name = name.ok_or_else(|| Status::unknown(format!("there is no file {}", ask.id)))?;
                    let (path, said) = (root.join(name), said.clone());
                    let sent = tokio::task::spawn_blocking(move || content(&path, ask.id, &said)).await;
                    match sent {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => return Err(Status::internal(error.message)),
                        Err(error) => return Err(Status::internal(error.to_string())),
                    }
                }
                Type::Fin => {
                    let _ = said.send(Packet { r#type: Type::Fin.into(), ..Packet::default() }).await;
                    break;
                }
                Type::Err => return Err(Status::unknown(String::from_utf8_lossy(&ask.data))),
                Type::Stat | Type::Data => return Err(Status::unknown("the client sent files back")),
            }
        }
        drop(said);
        while asks.message().await?.is_some() {}
        Ok(())
    };
    answering.await.map_err(|status: Status| failed(&status))
}

/// Tells of everything below a directory, in the order of names; notes the paths of files by number.
fn list(root: &Path, below: &str, to: &Sender<Packet>, files: &mut Vec<Option<String>>) -> Result<(), ApiError> {
    // Bits of Go's os.FileMode.
    const BITS: [(u32, u32); 3] = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];
    let dir = root.join(below);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&dir).map_err(local(&dir))? {
        names.push(entry.map_err(local(&dir))?.file_name());
    }
    names.sort();
    for name in names {
        let path = dir.join(&name);
        let Some(name) = name.to_str() else {
            return Err(ApiError::bad_request(format!("{} has a name that is not UTF-8", path.display())));
        };
        let relative = if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
        let meta = path.symlink_metadata().map_err(local(&path))?;
        let kind = meta.file_type();
        let mut stat = Stat {
            path: relative.clone(),
            mode: meta.mode() & 0o777,
            uid: meta.uid(),
            gid: meta.gid(),
            mod_time: meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec()),
            ..Stat::default()
        };
        for (ours, theirs) in BITS {
            if meta.mode() & ours != 0 {
                stat.mode |= theirs;
            }
        }
        if kind.is_dir() {
            stat.mode |= 1 << 31;
        } else if kind.is_symlink() {
            stat.mode |= 1 << 27;
            let target = std::fs::read_link(&path).map_err(local(&path))?;
            stat.linkname = target.to_string_lossy().into_owned();
        } else if kind.is_file() {
            stat.size = i64::try_from(meta.len()).unwrap_or(i64::MAX);
        } else {
            // Devices and pipes are of no use in a client's directory.
            continue;
        }
        files.push(kind.is_file().then(|| relative.clone()));
        if to.blocking_send(Packet { stat: Some(stat), ..Packet::default() }).is_err() {
            return Ok(());
        }
        if kind.is_dir() {
            list(root, &relative, to, files)?;
        }
    }
    Ok(())
}

fn content(path: &Path, id: u32, to: &Sender<Packet>) -> Result<(), ApiError> {
    // A link would lead out of what was built.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| local(path)(error.into()))?;
    let mut file = std::fs::File::from(file);
    loop {
        let mut data = vec![0; PIECE];
        let read = file.read(&mut data).map_err(local(path))?;
        data.truncate(read);
        let packet = Packet { r#type: Type::Data.into(), id, data, stat: None };
        debug_assert!(packet.encoded_len() <= PIECE + 16);
        // An empty one is the file's end.
        if to.blocking_send(packet).is_err() || read == 0 {
            return Ok(());
        }
    }
}
