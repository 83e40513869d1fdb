//! A client's directory, fetched over its session.
//!
//! The client lists what it has, each file with a number; the daemon asks for the numbers whose content it lacks, and
//! tells when it has all. Files that were asked for together come mixed with one another, so small ones are gathered and
//! large ones are asked for alone.

use std::collections::{BTreeMap, HashMap, VecDeque};

use bytes::Bytes;
use futures_util::StreamExt;
use hoist_build::context::{ContextStore, Entry, EntryKind, Lease, Manifest};
use tokio::{
    io::AsyncWriteExt,
    sync::mpsc::{Sender, channel},
};
use tokio_util::io::{StreamReader, SyncIoBridge};
use tonic::{Status, Streaming, metadata::MetadataMap};

use super::{
    session::Session,
    words::{
        control::BytesMessage,
        session::{Packet, Stat, packet::Type},
    },
};
use crate::api::{
    build::{Builds, unpack_context},
    error::ApiError,
};

const DIFF_COPY: &str = "/moby.filesync.v1.FileSync/DiffCopy";
const PULL: &str = "/moby.upload.v1.Upload/Pull";

/// How addresses of archives begin that the client itself has.
pub const UPLOADS: &str = "http://buildkit-session/";

/// Files up to this size are gathered in memory.
const SMALL: u64 = 256 << 10;
/// So many of them are asked for at once.
const TOGETHER: usize = 64;
/// Nobody writes a Dockerfile that is larger.
const LARGEST_TEXT: usize = 8 << 20;

// Bits of Go's os.FileMode.
const DIRECTORY: u32 = 1 << 31;
const LINK: u32 = 1 << 27;
const DEVICE: u32 = 1 << 26;
const PIPE: u32 = 1 << 25;
const SOCKET: u32 = 1 << 24;
const SETUID: u32 = 1 << 23;
const SETGID: u32 = 1 << 22;
const STICKY: u32 = 1 << 20;
/// All that make a file no regular one.
const TYPE: u32 = DIRECTORY | LINK | DEVICE | PIPE | SOCKET;

/// What of a directory is wanted.
#[derive(Debug, Clone, Default)]
pub struct Part<'a> {
    /// The directory, as the client calls it.
    pub name: &'a str,
    /// Patterns of `.dockerignore`.
    pub excluded: Vec<String>,
    /// Only these files, and what they lead to.
    pub only: Vec<String>,
}

/// A conversation about one directory.
struct Transfer {
    said: Sender<Packet>,
    heard: Streaming<Packet>,
    /// In the client's order: a file's number is its place.
    stats: Vec<Stat>,
}

fn failed(name: &str, status: &Status) -> ApiError {
    let why = status.message();
    ApiError::bad_request(format!("the client's directory {name:?} could not be read: {why}"))
}

impl Transfer {
    async fn open(session: &Session, part: &Part<'_>) -> Result<Self, ApiError> {
        if !session.offers(DIFF_COPY) {
            return Err(ApiError::bad_request("the client's session offers no files (FileSync)"));
        }
        let mut metadata = MetadataMap::new();
        for (key, values) in [
            ("dir-name", std::slice::from_ref(&part.name.to_owned())),
            ("exclude-patterns", part.excluded.as_slice()),
            ("followpaths", part.only.as_slice()),
        ] {
            put(&mut metadata, key, values)?;
        }
        if !part.excluded.is_empty() || !part.only.is_empty() {
            // Older clients have patterns of their own otherwise.
            put(&mut metadata, "override-excludes", &["true".to_owned()])?;
        }
        let (said, hears) = channel(TOGETHER);
        let heard = session.converse(DIFF_COPY, metadata, hears).await.map_err(|status| failed(part.name, &status))?;
        let mut transfer = Self { said, heard, stats: Vec::new() };
        loop {
            let packet = transfer.next(part.name).await?;
            match (packet.r#type(), packet.stat) {
                (Type::Stat, Some(stat)) => transfer.stats.push(stat),
                (Type::Stat, None) => return Ok(transfer),
                (other, _) => return Err(out_of_turn(part.name, other)),
            }
        }
    }

    async fn next(&mut self, name: &str) -> Result<Packet, ApiError> {
        let packet = self.heard.message().await.map_err(|status| failed(name, &status))?;
        let packet = packet.ok_or_else(|| failed(name, &Status::unknown("the client ended the transfer")))?;
        if packet.r#type() == Type::Err {
            return Err(failed(name, &Status::unknown(String::from_utf8_lossy(&packet.data))));
        }
        Ok(packet)
    }

    async fn say(&self, r#type: Type, id: u32) -> Result<(), ApiError> {
        let packet = Packet { r#type: r#type.into(), id, ..Packet::default() };
        self.said.send(packet).await.map_err(|_| ApiError::bad_request("the client ended the transfer"))
    }

    /// Tells that all is here, and lets the client finish.
    async fn end(mut self) -> Result<(), ApiError> {
        self.say(Type::Fin, 0).await?;
        while let Ok(Some(packet)) = self.heard.message().await {
            if packet.r#type() == Type::Fin {
                break;
            }
        }
        Ok(())
    }
}

fn out_of_turn(name: &str, what: Type) -> ApiError {
    ApiError::bad_request(format!("the client's directory {name:?}: {} came out of turn", what.as_str_name()))
}

/// Headers are ASCII: where a value is not, all of its key are written as in an address.
fn put(metadata: &mut MetadataMap, key: &'static str, values: &[String]) -> Result<(), ApiError> {
    let encoded = values.iter().any(|value| !value.is_ascii());
    for value in values {
        let text = if encoded { percent(value) } else { value.clone() };
        let text = text.parse().map_err(|_| ApiError::bad_request(format!("{value:?} cannot be asked for: {key}")))?;
        metadata.append(key, text);
    }
    if encoded {
        let key = format!("{key}-encoded");
        if let (Ok(key), Ok(yes)) = (tonic::metadata::MetadataKey::from_bytes(key.as_bytes()), "1".parse()) {
            metadata.append(key, yes);
        }
    }
    Ok(())
}

fn percent(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(byte);
    let one = |byte: u8| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}

/// Fetches a directory into the store of contexts; answers it and the bytes that came.
///
/// # Errors
/// Those of the client, of its files and of the disk.
pub async fn directory(
    session: &Session,
    part: &Part<'_>,
    store: &ContextStore,
    mut progress: impl FnMut(u64),
) -> Result<Lease, ApiError> {
    let mut transfer = Transfer::open(session, part).await?;
    measure_links(&mut transfer.stats)?;
    let mut entries = Vec::new();
    let mut numbers = Vec::new();
    for (number, stat) in transfer.stats.iter().enumerate() {
        if let Some(entry) = entry(stat)? {
            entries.push(entry);
            numbers.push(u32::try_from(number).unwrap_or(u32::MAX));
        }
    }
    let key = format!("session:{}:{}", session.shared_key, part.name);
    let (store, manifest) = (store.clone(), Manifest { entries });
    let sizes: Vec<(String, u64)> = manifest.entries.iter().map(|entry| (entry.path.clone(), size(entry))).collect();
    let incoming = tokio::task::spawn_blocking(move || store.begin(&key, manifest)).await.map_err(stopped)??;
    let missing = incoming.missing();
    let (reader, mut writer) = tokio::io::duplex(512 << 10);
    let receiving = tokio::task::spawn_blocking(move || {
        incoming.receive(&mut std::io::BufReader::with_capacity(64 << 10, SyncIoBridge::new(reader)))
    });
    let sending = async {
        let mut left: VecDeque<u32> = missing.into();
        let mut asked: VecDeque<u32> = VecDeque::new();
        let mut gathered: HashMap<u32, (Vec<u8>, bool)> = HashMap::new();
        loop {
            while let Some(index) = left.front().copied()
                && asked.len() < TOGETHER
                && (asked.is_empty() || sizes[index as usize].1 <= SMALL)
            {
                left.pop_front();
                transfer.say(Type::Req, numbers[index as usize]).await?;
                asked.push_back(index);
                gathered.insert(numbers[index as usize], (Vec::new(), false));
                if sizes[index as usize].1 > SMALL {
                    break;
                }
            }
            let Some(first) = asked.front().copied() else { break };
            let (path, size) = &sizes[first as usize];
            if *size > SMALL {
                head(&mut writer, first, *size).await?;
                let mut came = 0;
                loop {
                    let data = data(&mut transfer, part.name).await?.1;
                    if data.is_empty() {
                        break;
                    }
                    came += data.len() as u64;
                    if came > *size {
                        return Err(changed(path, "it became longer"));
                    }
                    writer.write_all(&data).await.map_err(cut)?;
                    progress(data.len() as u64);
                }
                if came < *size {
                    return Err(changed(path, "it became shorter"));
                }
                asked.pop_front();
                gathered.remove(&numbers[first as usize]);
                continue;
            }
            while let Some(index) = asked.front().copied()
                && gathered.get(&numbers[index as usize]).is_some_and(|(_, done)| *done)
            {
                let (content, _) = gathered.remove(&numbers[index as usize]).unwrap_or_default();
                if content.is_empty() && sizes[index as usize].1 > 0 {
                    return Err(changed(&sizes[index as usize].0, "it is gone, or cannot be read"));
                }
                head(&mut writer, index, content.len() as u64).await?;
                writer.write_all(&content).await.map_err(cut)?;
                asked.pop_front();
            }
            if asked.is_empty() {
                continue;
            }
            let (number, data) = data(&mut transfer, part.name).await?;
            let Some((content, done)) = gathered.get_mut(&number) else {
                return Err(out_of_turn(part.name, Type::Data));
            };
            match data.is_empty() {
                true => *done = true,
                false => {
                    progress(data.len() as u64);
                    content.extend_from_slice(&data);
                    if content.len() as u64 > 4 * SMALL {
                        return Err(changed(part.name, "a file became much longer"));
                    }
                }
            }
        }
        // Where nothing changed nobody reads the mark of the end; whoever needs it says that it is missing.
        let _ = writer.write_all(&u32::MAX.to_be_bytes()).await;
        Ok(())
    };
    let sent = sending.await;
    drop(writer);
    let received = receiving.await.map_err(stopped)?;
    // What went wrong first explains the other.
    let lease = match (sent, received) {
        (Ok(()), Ok(lease)) => lease,
        (Err(error), Ok(_) | Err(hoist_build::context::ContextError::Cut(_))) => return Err(error),
        (_, Err(error)) => return Err(error.into()),
    };
    transfer.end().await?;
    Ok(lease)
}

async fn data(transfer: &mut Transfer, name: &str) -> Result<(u32, Vec<u8>), ApiError> {
    let packet = transfer.next(name).await?;
    match packet.r#type() {
        Type::Data => Ok((packet.id, packet.data)),
        other => Err(out_of_turn(name, other)),
    }
}

async fn head(writer: &mut (impl AsyncWriteExt + Unpin), index: u32, length: u64) -> Result<(), ApiError> {
    writer.write_all(&index.to_be_bytes()).await.map_err(cut)?;
    writer.write_all(&length.to_be_bytes()).await.map_err(cut)
}

fn cut(error: std::io::Error) -> ApiError {
    ApiError::internal(format!("the context could not be kept: {error}"))
}

fn stopped(error: tokio::task::JoinError) -> ApiError {
    ApiError::internal(format!("the work stopped: {error}"))
}

fn changed(path: &str, how: &'static str) -> ApiError {
    hoist_build::context::ContextError::Changed { path: path.into(), how }.into()
}

fn size(entry: &Entry) -> u64 {
    if let EntryKind::File { size, .. } = entry.kind { size } else { 0 }
}

/// Of a file that has several names clients tell the size under the first only; under the others they name that one.
fn measure_links(stats: &mut [Stat]) -> Result<(), ApiError> {
    let mut sizes: HashMap<String, i64> = HashMap::new();
    for stat in stats.iter_mut().filter(|stat| stat.mode & TYPE == 0) {
        if stat.linkname.is_empty() {
            sizes.insert(stat.path.clone(), stat.size);
        } else {
            let first = sizes.get(stat.linkname.trim_start_matches('/'));
            let missing = || {
                let (path, first) = (&stat.path, &stat.linkname);
                ApiError::bad_request(format!(
                    "the client sent {path} as a second name of {first}, which it did not send"
                ))
            };
            stat.size = *first.ok_or_else(missing)?;
        }
    }
    Ok(())
}

/// A file as the store has it; `None` for what is left out.
fn entry(stat: &Stat) -> Result<Option<Entry>, ApiError> {
    let mut mode = stat.mode & 0o777;
    for (theirs, ours) in [(SETUID, 0o4000), (SETGID, 0o2000), (STICKY, 0o1000)] {
        if stat.mode & theirs != 0 {
            mode |= ours;
        }
    }
    let kind = if stat.mode & DIRECTORY != 0 {
        EntryKind::Directory
    } else if stat.mode & LINK != 0 {
        EntryKind::Link { target: stat.linkname.clone() }
    } else if stat.mode & SOCKET != 0 {
        return Ok(None);
    } else if stat.mode & (DEVICE | PIPE) != 0 {
        let what = if stat.mode & PIPE != 0 { "a named pipe" } else { "a device" };
        return Err(hoist_build::context::ContextError::Kind { path: stat.path.clone().into(), what }.into());
    } else {
        EntryKind::File { size: u64::try_from(stat.size).unwrap_or(0), stamp: stamp(stat) }
    };
    Ok(Some(Entry { path: stat.path.trim_end_matches('/').to_owned(), kind, mode, modified: stat.mod_time }))
}

/// Differs whenever the client shows that a file may have changed.
fn stamp(stat: &Stat) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in [stat.size, stat.mod_time].iter().flat_map(|part| part.to_le_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash.max(1)
}

/// An archive that the client was given and passes on, unpacked; `path` is the client's name for it.
///
/// # Errors
/// The client's; what is no archive.
pub async fn archive(session: &Session, path: &str, builds: &Builds) -> Result<tempfile::TempDir, ApiError> {
    let wrong = |why: &str| ApiError::bad_request(format!("the client's archive could not be read: {why}"));
    let mut metadata = MetadataMap::new();
    metadata.insert("urlpath", format!("/{path}").parse().map_err(|_| wrong("its name is no text"))?);
    metadata.insert("urlhost", tonic::metadata::MetadataValue::from_static("buildkit-session"));
    // Nothing is said; the other direction stays open as long as the answer.
    let (_said, hears) = channel::<BytesMessage>(1);
    let pieces = session.converse::<_, BytesMessage>(PULL, metadata, hears).await;
    let pieces = pieces.map_err(|status| wrong(status.message()))?;
    let pieces = pieces.map(|piece| piece.map(|piece| Bytes::from(piece.data)).map_err(std::io::Error::other));
    unpack_context(builds, StreamReader::new(pieces)).await
}

/// Fetches a few small files of a directory; links among them are followed. Files that are not there are left out.
///
/// # Errors
/// Those of the client; a file that no person wrote.
pub async fn texts(session: &Session, name: &str, wanted: &[String]) -> Result<BTreeMap<String, Bytes>, ApiError> {
    let part = Part { name, only: wanted.to_vec(), excluded: Vec::new() };
    let mut transfer = Transfer::open(session, &part).await?;
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut links: BTreeMap<String, String> = BTreeMap::new();
    for (number, stat) in std::mem::take(&mut transfer.stats).into_iter().enumerate() {
        if stat.mode & LINK != 0 {
            links.insert(stat.path, stat.linkname);
        } else if stat.mode & (DIRECTORY | DEVICE | PIPE | SOCKET) == 0 {
            transfer.say(Type::Req, u32::try_from(number).unwrap_or(u32::MAX)).await?;
            let mut content = Vec::new();
            loop {
                let (_, piece) = data(&mut transfer, name).await?;
                if piece.is_empty() {
                    break;
                }
                content.extend_from_slice(&piece);
                if content.len() > LARGEST_TEXT {
                    let path = stat.path;
                    let message = format!("{path} is larger than {LARGEST_TEXT} bytes: no Dockerfile is");
                    return Err(ApiError::bad_request(message));
                }
            }
            files.insert(stat.path, content);
        }
    }
    transfer.end().await?;
    let mut found = BTreeMap::new();
    for path in wanted {
        let mut at = normal(path);
        for _ in 0..16 {
            let Some(target) = links.get(&at) else { break };
            at = match target.strip_prefix('/') {
                Some(absolute) => normal(absolute),
                None => normal(&format!("{}/{target}", at.rsplit_once('/').map_or("", |(parent, _)| parent))),
            };
        }
        if let Some(content) = files.get(&at) {
            found.insert(path.clone(), Bytes::from(content.clone()));
        }
    }
    Ok(found)
}

/// A path without `.` and `..`, which lead nowhere above the directory.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_and_kinds() {
        let stat = |mode: u32| Stat { path: "a/b".into(), mode, size: 3, linkname: "t".into(), ..Stat::default() };
        let mode = |mode: u32| entry(&stat(mode)).unwrap().map(|entry| (entry.mode, entry.kind));
        assert_eq!(mode(DIRECTORY | STICKY | 0o777), Some((0o1777, EntryKind::Directory)));
        assert_eq!(mode(LINK | 0o777), Some((0o777, EntryKind::Link { target: "t".into() })));
        assert!(matches!(mode(SETUID | 0o755), Some((0o4755, EntryKind::File { size: 3, .. }))));
        assert_eq!(mode(SOCKET), None);
        assert!(entry(&stat(PIPE)).unwrap_err().message.contains("a named pipe"));
    }

    #[test]
    fn paths_stay_below() {
        for (path, plain) in [("./a//b/../c", "a/c"), ("../../x", "x"), ("Dockerfile", "Dockerfile")] {
            assert_eq!(normal(path), plain);
        }
    }

    #[test]
    fn headers_are_ascii() {
        let mut metadata = MetadataMap::new();
        put(&mut metadata, "exclude-patterns", &["a b".into(), "ü".into()]).unwrap();
        put(&mut metadata, "followpaths", &["a b".into()]).unwrap();
        let all = |key: &str| -> Vec<String> {
            metadata.get_all(key).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
        };
        assert_eq!(all("exclude-patterns"), ["a%20b", "%C3%BC"]);
        assert_eq!(all("exclude-patterns-encoded"), ["1"]);
        assert_eq!(all("followpaths"), ["a b"]);
    }
}
