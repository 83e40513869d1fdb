//! What a command writes, and what a step leaves in its layer.

use std::collections::{HashSet, VecDeque};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Timespec, Timestamps, openat, statat, utimensat};

use crate::tree::{Root, names};
use crate::{BuildError, BuildEvent, Events, StepId, Stream};

/// So many bytes of a step's output are told; the rest nobody could read.
const TOLD_MAX: usize = 2 << 20;
/// Longer lines are cut into several.
const LINE_MAX: usize = 16 << 10;
/// So many lines are part of an error.
const LAST_LINES: usize = 20;

/// Cuts a command's output into lines.
pub(super) struct Lines {
    step: StepId,
    events: Events,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    partial: [Vec<u8>; 2],
    last: VecDeque<String>,
    told: usize,
}

impl Lines {
    pub(super) fn new(step: StepId, events: Events) -> Self {
        Self { step, events, state: Mutex::default() }
    }

    pub(super) fn write(&self, stream: Stream, bytes: &[u8]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let index = usize::from(stream == Stream::Stderr);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            state.partial[index].extend_from_slice(piece);
            if piece.ends_with(b"\n") || state.partial[index].len() >= LINE_MAX {
                self.line(&mut state, stream);
            }
        }
    }

    fn line(&self, state: &mut State, stream: Stream) {
        let bytes = std::mem::take(&mut state.partial[usize::from(stream == Stream::Stderr)]);
        let text = String::from_utf8_lossy(&bytes);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let line = text.strip_suffix('\r').unwrap_or(text).to_owned();
        if state.last.len() == LAST_LINES {
            state.last.pop_front();
        }
        state.last.push_back(line.clone());
        if state.told > TOLD_MAX {
            return;
        }
        state.told += line.len() + 1;
        let line = if state.told > TOLD_MAX { format!("[output is cut after {TOLD_MAX} bytes]") } else { line };
        let _ = self.events.send(BuildEvent::Output { step: self.step, stream, line });
    }

    /// Ends lines that have no end; returns the last ones.
    pub(super) fn finish(&self) -> Vec<String> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for stream in [Stream::Stdout, Stream::Stderr] {
            if !state.partial[usize::from(stream == Stream::Stderr)].is_empty() {
                self.line(&mut state, stream);
            }
        }
        state.last.drain(..).collect()
    }
}

/// Looks through a new layer: its bytes, or `None` if there is nothing in it. Later times become `latest`.
pub(super) fn settle(layer: &Path, latest: Option<i64>) -> Result<Option<u64>, BuildError> {
    let fail = |error: std::io::Error| BuildError::io("look through", layer, error);
    let root = Root::at(layer).map_err(fail)?;
    if names(root.fd()).map_err(fail)?.is_empty() {
        return Ok(None);
    }
    let mut total = 0;
    let top = root.into_fd();
    walk(&top, latest, &mut total, &mut HashSet::new()).map_err(fail)?;
    if let Some(latest) = latest {
        let stat = rustix::fs::fstat(&top).map_err(|error| fail(error.into()))?;
        if stat.st_mtime > latest {
            rustix::fs::futimens(&top, &times(latest)).map_err(|error| fail(error.into()))?;
        }
    }
    Ok(Some(total))
}

fn times(seconds: i64) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}

fn walk(dir: &OwnedFd, latest: Option<i64>, total: &mut u64, seen: &mut HashSet<(u64, u64)>) -> std::io::Result<()> {
    for name in names(dir)? {
        let stat = statat(dir, &name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Directory {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            walk(&openat(dir, &name, flags, Mode::empty())?, latest, total, seen)?;
        } else if kind == FileType::RegularFile
            // Each file once, whatever it is called; another name may be elsewhere.
            && (stat.st_nlink <= 1 || seen.insert((stat.st_dev, stat.st_ino)))
        {
            *total += u64::try_from(stat.st_size).unwrap_or(0);
        }
        if let Some(latest) = latest
            && stat.st_mtime > latest
        {
            utimensat(dir, &name, &times(latest), AtFlags::SYMLINK_NOFOLLOW)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_becomes_lines() {
        let (events, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let lines = Lines::new(StepId(3), events);
        lines.write(Stream::Stdout, b"one\ntw");
        lines.write(Stream::Stderr, b"err\r\n");
        lines.write(Stream::Stdout, b"o\nrest");
        assert_eq!(lines.finish(), ["one", "err", "two", "rest"]);
        drop(lines);
        let mut told = Vec::new();
        while let Some(BuildEvent::Output { line, .. }) = heard.blocking_recv() {
            told.push(line);
        }
        assert_eq!(told, ["one", "err", "two", "rest"]);
    }
}
