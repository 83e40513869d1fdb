//! The log of a container: one JSON object a line, in the form of Docker's `json-file`, rotated by size.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;

use jiff::Timestamp;

use super::pack;
use super::protocol::LogSettings;

/// Longer lines are split, without a line end in the record.
const LINE_MAX: usize = 16 << 10;
/// Records are written together up to this many bytes.
const BATCH: usize = 64 << 10;

/// Writes the log. A disk that is full loses lines and never stops the container.
pub(super) struct LogFile {
    settings: LogSettings,
    file: File,
    size: u64,
    /// Records that are not yet written; empty between two calls.
    batch: Vec<u8>,
    /// The beginnings of lines that have not ended: of stdout and of stderr.
    partial: [Vec<u8>; 2],
    /// The process that compresses what was rotated last.
    packing: Option<i32>,
}

impl LogFile {
    pub(super) fn open(settings: LogSettings) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(&settings.path)?;
        let size = file.metadata()?.len();
        Ok(Self { settings, file, size, batch: Vec::new(), partial: [Vec::new(), Vec::new()], packing: None })
    }

    /// Takes output of `stream` (0 is stdout, 1 is stderr).
    pub(super) fn write(&mut self, stream: usize, mut data: &[u8]) {
        let time = Timestamp::now().to_string();
        while !data.is_empty() {
            let room = LINE_MAX - self.partial[stream].len();
            let end = data.iter().take(room).position(|&byte| byte == b'\n').map(|at| at + 1);
            let (taken, complete) = match end {
                Some(end) => (end, true),
                None if data.len() >= room => (room, true),
                None => (data.len(), false),
            };
            let (head, tail) = data.split_at(taken);
            data = tail;
            if !complete {
                self.partial[stream].extend_from_slice(head);
            } else if self.partial[stream].is_empty() {
                self.record(stream, head, &time);
            } else {
                let mut line = std::mem::take(&mut self.partial[stream]);
                line.extend_from_slice(head);
                self.record(stream, &line, &time);
            }
        }
        self.flush();
    }

    /// Writes the last line of `stream`, if it had no end.
    pub(super) fn finish(&mut self, stream: usize) {
        let line = std::mem::take(&mut self.partial[stream]);
        if !line.is_empty() {
            self.record(stream, &line, &Timestamp::now().to_string());
            self.flush();
        }
    }

    fn record(&mut self, stream: usize, line: &[u8], time: &str) {
        let start = self.batch.len();
        self.batch.extend_from_slice(br#"{"log":""#);
        escape(&mut self.batch, line);
        self.batch.extend_from_slice(match stream {
            0 => br#"","stream":"stdout","time":""#,
            _ => br#"","stream":"stderr","time":""#,
        });
        self.batch.extend_from_slice(time.as_bytes());
        self.batch.extend_from_slice(b"\"}\n");
        let first = self.size == 0 && start == 0;
        if self.settings.max_size.is_some_and(|max| !first && self.size + self.batch.len() as u64 > max) {
            let record = self.batch.split_off(start);
            self.flush();
            if self.size > 0 {
                self.rotate();
            }
            self.batch = record;
        }
        if self.batch.len() >= BATCH {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.file.write_all(&self.batch).is_ok() {
            self.size += self.batch.len() as u64;
        }
        self.batch.clear();
    }

    /// Begins a new file. Where that fails the old one goes on: lines matter more than sizes.
    fn rotate(&mut self) {
        if self.settings.max_files <= 1 {
            if self.file.set_len(0).is_ok() {
                self.size = 0;
            }
            return;
        }
        // It knows its file by a name that is about to change.
        if let Some(packing) = self.packing.take() {
            let _ = crate::sys::waitpid(packing);
        }
        for suffix in ["", pack::SUFFIX] {
            let _ = std::fs::remove_file(self.numbered(self.settings.max_files - 1, suffix));
        }
        for number in (1..self.settings.max_files - 1).rev() {
            for suffix in ["", pack::SUFFIX] {
                let _ = std::fs::rename(self.numbered(number, suffix), self.numbered(number + 1, suffix));
            }
        }
        if std::fs::rename(&self.settings.path, self.numbered(1, "")).is_ok()
            && let Ok(file) = OpenOptions::new().append(true).create(true).open(&self.settings.path)
        {
            self.file = file;
            self.size = 0;
            if self.settings.compress {
                self.packing = pack::start(&self.numbered(1, ""));
            }
        }
    }

    fn numbered(&self, number: u32, suffix: &str) -> PathBuf {
        let mut path = self.settings.path.clone().into_os_string();
        path.push(format!(".{number}{suffix}"));
        path.into()
    }
}

/// Writes bytes as the inside of a JSON string; what is not UTF-8 becomes replacement characters.
fn escape(out: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        let text = chunk.valid().as_bytes();
        let mut plain = 0;
        for (at, &byte) in text.iter().enumerate() {
            let short = match byte {
                b'"' => b"\\\"",
                b'\\' => b"\\\\",
                b'\n' => b"\\n",
                b'\r' => b"\\r",
                b'\t' => b"\\t",
                0..0x20 | 0x7f => {
                    out.extend_from_slice(&text[plain..at]);
                    let _ = write!(out, "\\u{byte:04x}");
                    plain = at + 1;
                    continue;
                }
                _ => continue,
            };
            out.extend_from_slice(&text[plain..at]);
            out.extend_from_slice(short);
            plain = at + 1;
        }
        out.extend_from_slice(&text[plain..]);
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(max_size: Option<u64>, max_files: u32) -> (tempfile::TempDir, LogFile) {
        let dir = tempfile::tempdir().unwrap();
        let settings = LogSettings { path: dir.path().join("log"), max_size, max_files, compress: false };
        (dir, LogFile::open(settings).unwrap())
    }

    #[test]
    fn old_files_are_compressed() {
        let (dir, mut log) = log(Some(200), 3);
        log.settings.compress = true;
        for number in 0..20 {
            log.write(0, format!("line {number}\n").as_bytes());
        }
        crate::sys::waitpid(log.packing.unwrap()).unwrap();
        let mut names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["log", "log.1.gz", "log.2.gz"]);
        let file = File::open(dir.path().join("log.1.gz")).unwrap();
        let mut packed = flate2::read::GzDecoder::new(file);
        let mut text = String::new();
        io::Read::read_to_string(&mut packed, &mut text).unwrap();
        assert!(text.lines().count() > 1 && text.ends_with("\"}\n"), "{text}");
        assert!(packed.header().unwrap().comment().is_some());
    }

    #[test]
    fn what_comes_in_one_piece_is_rotated_too() {
        let (dir, mut log) = log(Some(200), 30);
        let piece: String = (0..20).map(|number| format!("line {number}\n")).collect();
        log.write(0, piece.as_bytes());
        let sizes: Vec<u64> =
            std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).collect();
        assert!(sizes.len() >= 10 && sizes.iter().all(|size| *size <= 200), "{sizes:?}");
    }

    fn read(path: PathBuf) -> Vec<(String, String)> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines()
            .map(|line| {
                let value: serde_json::Value = serde_json::from_str(line).unwrap();
                (value["stream"].as_str().unwrap().to_owned(), value["log"].as_str().unwrap().to_owned())
            })
            .collect()
    }

    #[test]
    fn lines_are_joined_and_streams_kept_apart() {
        let (dir, mut log) = log(None, 1);
        log.write(0, b"one\ntw");
        log.write(1, b"bad \"\\\t\x01\xff\n");
        log.write(0, b"o\nthree");
        log.finish(0);
        let out = |text: &str| ("stdout".to_owned(), text.to_owned());
        let err = ("stderr".to_owned(), "bad \"\\\t\u{1}\u{fffd}\n".to_owned());
        assert_eq!(read(dir.path().join("log")), [out("one\n"), err, out("two\n"), out("three")]);
    }

    #[test]
    fn long_lines_are_split_and_nothing_is_lost() {
        let (dir, mut log) = log(None, 1);
        let mut line = vec![b'x'; 3 * LINE_MAX + 7];
        line.push(b'\n');
        for piece in line.chunks(1000) {
            log.write(0, piece);
        }
        let records = read(dir.path().join("log"));
        assert_eq!(records.len(), 4);
        assert_eq!(records.iter().map(|(_, text)| text.as_str()).collect::<String>().as_bytes(), line);
    }

    #[test]
    fn old_files_are_kept_up_to_their_number() {
        let (dir, mut log) = log(Some(200), 3);
        for number in 0..20 {
            log.write(0, format!("line {number}\n").as_bytes());
        }
        let mut all = Vec::new();
        for name in ["log.2", "log.1", "log"] {
            assert!(std::fs::metadata(dir.path().join(name)).unwrap().len() <= 200, "{name}");
            all.extend(read(dir.path().join(name)).into_iter().map(|(_, text)| text));
        }
        assert!(!dir.path().join("log.3").exists());
        let expected: Vec<_> = (20 - all.len()..20).map(|number| format!("line {number}\n")).collect();
        assert_eq!(all, expected);
    }
}
