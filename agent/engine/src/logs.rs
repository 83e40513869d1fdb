//! Reading logs back: across rotations, from the end, and as they grow.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::GzDecoder;
use hoist_proto::clock::Timestamp;
use hoist_runtime::supervisor::Request;
use rustix::fs::{Mode, OFlags};
use serde::Deserialize;
use tokio::sync::mpsc;

use crate::container::Handle;
use crate::inner::Inner;
use crate::io::Channel;
use crate::model::LogOptions;
use crate::streams::{LogEntry, LogStream, StreamKind};
use crate::{EngineError, Result};

/// Lines that are read together.
const BATCH: usize = 512;
/// How often the files are looked at while a rotation goes on.
const LOOKS: u32 = 200;
/// How far a look for the beginning of the last lines jumps back.
const BLOCK: u64 = 64 << 10;

impl Inner {
    pub(crate) async fn logs(self: &Arc<Self>, name: &str, options: LogOptions) -> Result<LogStream> {
        let handle = self.registry.find(name)?;
        if !options.stdout && !options.stderr {
            return Err(EngineError::InvalidParameter("you must choose at least one stream".into()));
        }
        let path = handle.paths().log;
        if path.as_os_str().is_empty() {
            return Err(EngineError::InvalidParameter("the logging driver of the container keeps no logs".into()));
        }
        // Before the first look at the files, so that nothing falls between the look and the watch.
        let watch = if options.follow { watch(&handle).await } else { None };
        let (sender, receiver) = mpsc::channel(BATCH);
        let closing = self.closing.clone();
        self.tasks.spawn(async move {
            let work = follow(path, options, watch, &sender);
            tokio::select! {
                result = work => if let Err(error) = result {
                    let _ = sender.send(Err(error)).await;
                },
                () = closing.cancelled() => {}
                () = sender.closed() => {}
            }
        });
        Ok(LogStream { receiver })
    }
}

/// A channel that speaks when the log grows; `None` when it will not.
async fn watch(handle: &Handle) -> Option<Channel> {
    let channel = Channel::open(&handle.run_dir).ok()?;
    channel.ask(&Request::WatchLog, &[]).await.ok()?;
    Some(channel)
}

async fn follow(
    path: PathBuf,
    options: LogOptions,
    mut watch: Option<Channel>,
    sender: &mpsc::Sender<Result<LogEntry>>,
) -> Result<()> {
    let tail = options.tail;
    let mut reader = blocking(move || LogReader::open(&path, tail)).await?;
    loop {
        let (back, batch) = blocking(move || {
            let batch = reader.batch()?;
            Ok((reader, batch))
        })
        .await?;
        reader = back;
        let empty = batch.is_empty();
        for entry in batch {
            if options.until.is_some_and(|until| entry.time > until) {
                return Ok(());
            }
            let wanted = match entry.stream {
                StreamKind::Stdout => options.stdout,
                StreamKind::Stderr => options.stderr,
            };
            if wanted && options.since.is_none_or(|since| entry.time >= since) && sender.send(Ok(entry)).await.is_err()
            {
                return Ok(());
            }
        }
        if !empty {
            continue;
        }
        let Some(channel) = &watch else { return Ok(()) };
        let heard = match options.until {
            None => channel.hear().await,
            Some(until) => {
                let left = until.duration_since(Timestamp::now()).try_into().unwrap_or_default();
                match tokio::time::timeout(left, channel.hear()).await {
                    Ok(heard) => heard,
                    Err(_) => return Ok(()),
                }
            }
        };
        if !matches!(heard, Ok(Some(_))) {
            // The container has ended; what it wrote last is read once more.
            watch = None;
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T> {
    Ok(tokio::task::spawn_blocking(work).await.map_err(|error| EngineError::Internal(error.to_string()))??)
}

/// A place in a log.
struct LogReader {
    path: PathBuf,
    /// Files that are still to be read, oldest first.
    files: VecDeque<Stored>,
    current: Option<Current>,
    line: Vec<u8>,
}

/// A file of a log.
struct Stored {
    file: File,
    /// Of the file in which the lines were written first.
    inode: u64,
    packed: bool,
}

struct Current {
    reader: BufReader<File>,
    inode: u64,
    position: u64,
}

impl LogReader {
    /// At the beginning, or before the last `tail` lines.
    fn open(path: &Path, tail: Option<usize>) -> io::Result<Self> {
        let mut files: VecDeque<Stored> = VecDeque::new();
        let mut missing = tail;
        for mut file in Stored::list(path, |_| tail == Some(0))? {
            if let Some(missing) = &mut missing {
                file.unpack(path)?;
                let (found, start) = last_lines(&mut file.file, *missing)?;
                file.file.seek(SeekFrom::Start(start))?;
                *missing -= found;
            }
            files.push_front(file);
            if missing == Some(0) {
                break;
            }
        }
        let mut reader = Self { path: path.to_owned(), files, current: None, line: Vec::new() };
        reader.next_file()?;
        Ok(reader)
    }

    fn next_file(&mut self) -> io::Result<bool> {
        if let Some(mut stored) = self.files.pop_front() {
            stored.unpack(&self.path)?;
            let Stored { mut file, inode, .. } = stored;
            let position = file.stream_position()?;
            self.current = Some(Current { reader: BufReader::with_capacity(64 << 10, file), inode, position });
            return Ok(true);
        }
        // A rotation has given the file that we have read another name; the one after it is next.
        let Some(current) = &self.current else {
            if let Some(file) = Stored::open(&self.path, 0)? {
                self.files.push_back(file);
                return self.next_file();
            }
            return Ok(false);
        };
        let newest = std::fs::metadata(&self.path).map(|meta| meta.ino()).ok();
        if newest.is_none() || newest == Some(current.inode) {
            return Ok(false);
        }
        let inode = current.inode;
        // From the newest to the one that has been read; where that is gone, all that are left.
        let newer = Stored::list(&self.path, |file| file.inode == inode)?;
        self.files.extend(newer.into_iter().rev().filter(|file| file.inode != inode));
        if self.files.is_empty() { Ok(false) } else { self.next_file() }
    }

    /// Some lines; none when there are no more for now.
    fn batch(&mut self) -> io::Result<Vec<LogEntry>> {
        let mut batch = Vec::new();
        while batch.len() < BATCH {
            let Some(current) = &mut self.current else {
                if self.next_file()? {
                    continue;
                }
                break;
            };
            let count = current.reader.read_until(b'\n', &mut self.line)?;
            current.position += count as u64;
            if self.line.ends_with(b"\n") {
                batch.extend(parse(&self.line));
                self.line.clear();
            } else if count == 0 {
                // A log of one file is cut off when it is full.
                if current.reader.get_ref().metadata()?.len() < current.position {
                    current.reader.seek(SeekFrom::Start(0))?;
                    current.position = 0;
                    self.line.clear();
                    continue;
                }
                if !self.next_file()? {
                    break;
                }
                self.line.clear();
            }
        }
        Ok(batch)
    }
}

impl Stored {
    /// The file of that number, the newest being 0; `None` when there is none.
    fn open(path: &Path, number: u32) -> io::Result<Option<Self>> {
        match File::open(numbered(path, number)) {
            Ok(file) => return Ok(Some(Self { inode: file.metadata()?.ino(), file, packed: false })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut name = numbered(path, number).into_os_string();
        name.push(".gz");
        let mut file = match File::open(name) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let inode = {
            let packed = GzDecoder::new(&mut file);
            let comment = packed.header().and_then(|header| header.comment());
            comment.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok()).unwrap_or_default()
        };
        file.rewind()?;
        Ok(Some(Self { file, inode, packed: true }))
    }

    /// All files, the newest first, up to the first that is the `last`. A rotation that goes on meanwhile would show
    /// gaps, so the look is taken again until none has.
    fn list(path: &Path, last: impl Fn(&Self) -> bool) -> io::Result<Vec<Self>> {
        let newest = || std::fs::metadata(path).map(|meta| meta.ino()).ok();
        let mut files: Vec<Self> = Vec::new();
        for _ in 0..LOOKS {
            let before = newest();
            files.clear();
            let mut whole = true;
            for number in 0.. {
                let Some(file) = Self::open(path, number)? else {
                    whole = Self::open(path, number + 1)?.is_none();
                    break;
                };
                let is_last = last(&file);
                // A rotation may show a file twice in a row. Further away an inode may be another file's that has its number.
                if files.last().is_none_or(|other| other.inode != file.inode) {
                    files.push(file);
                }
                if is_last {
                    break;
                }
            }
            if whole && before == newest() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        Ok(files)
    }

    /// Gets the plain lines, in a file that has no name and goes when it is closed.
    fn unpack(&mut self, log: &Path) -> io::Result<()> {
        if !self.packed {
            return Ok(());
        }
        let dir = log.parent().unwrap_or(Path::new("/"));
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let mut plain = File::from(rustix::fs::open(dir, flags, Mode::RUSR | Mode::WUSR)?);
        io::copy(&mut GzDecoder::new(&mut self.file), &mut plain)?;
        plain.rewind()?;
        (self.file, self.packed) = (plain, false);
        Ok(())
    }
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return path.to_owned();
    }
    let mut path = path.to_owned().into_os_string();
    path.push(format!(".{number}"));
    path.into()
}

/// How many of the last `count` lines the file has, and where they begin.
fn last_lines(file: &mut File, count: usize) -> io::Result<(usize, u64)> {
    let end = file.metadata()?.len();
    if count == 0 {
        return Ok((0, end));
    }
    let mut ends = 0;
    let mut position = end;
    let mut block = Vec::new();
    while position > 0 {
        let size = BLOCK.min(position);
        position -= size;
        file.seek(SeekFrom::Start(position))?;
        block.clear();
        file.take(size).read_to_end(&mut block)?;
        for (index, _) in block.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            ends += 1;
            // The end of the line before the first wanted one.
            if ends > count {
                return Ok((count, position + index as u64 + 1));
            }
        }
    }
    Ok((ends, 0))
}

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    log: std::borrow::Cow<'a, str>,
    stream: &'a str,
    time: Timestamp,
}

/// A line that is damaged, as after a power cut, is passed over.
fn parse(line: &[u8]) -> Option<LogEntry> {
    let record: Record<'_> = serde_json::from_slice(line).ok()?;
    let stream = if record.stream == "stderr" { StreamKind::Stderr } else { StreamKind::Stdout };
    Some(LogEntry { time: record.time, stream, line: record.log.into_owned().into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn write(path: &Path, lines: std::ops::Range<u32>) {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        for line in lines {
            writeln!(file, r#"{{"log":"{line}\n","stream":"stdout","time":"2026-01-01T00:00:00Z"}}"#).unwrap();
        }
    }

    fn numbers(reader: &mut LogReader) -> Vec<u32> {
        let mut all = Vec::new();
        loop {
            let batch = reader.batch().unwrap();
            if batch.is_empty() {
                return all;
            }
            all.extend(batch.iter().map(|e| std::str::from_utf8(&e.line).unwrap().trim().parse::<u32>().unwrap()));
        }
    }

    #[test]
    fn the_tail_goes_back_over_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        write(&numbered(&path, 2), 0..3000);
        write(&numbered(&path, 1), 3000..3005);
        write(&path, 3005..3010);
        for (tail, first) in
            [(None, 0), (Some(0), 3010), (Some(3), 3007), (Some(7), 3003), (Some(2000), 1010), (Some(9999), 0)]
        {
            let mut reader = LogReader::open(&path, tail).unwrap();
            assert_eq!(numbers(&mut reader), (first..3010).collect::<Vec<_>>(), "{tail:?}");
        }
    }

    #[test]
    fn rotations_are_followed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        write(&path, 0..5);
        let mut reader = LogReader::open(&path, None).unwrap();
        assert_eq!(numbers(&mut reader), [0, 1, 2, 3, 4]);
        write(&path, 5..6);
        std::fs::rename(numbered(&path, 0), numbered(&path, 1)).unwrap();
        write(&path, 6..8);
        std::fs::rename(numbered(&path, 1), numbered(&path, 2)).unwrap();
        std::fs::rename(numbered(&path, 0), numbered(&path, 1)).unwrap();
        write(&path, 8..9);
        assert_eq!(numbers(&mut reader), [5, 6, 7, 8]);
        // Half a line is not taken for a line.
        let text = r#"{"log":"9\n","stream":"stdout","time":"2026-01-01T00:00:00Z"}"#;
        let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(&text.as_bytes()[..20]).unwrap();
        assert!(numbers(&mut reader).is_empty());
        file.write_all(&text.as_bytes()[20..]).unwrap();
        file.write_all(b"\n").unwrap();
        assert_eq!(numbers(&mut reader), [9]);
    }
}
