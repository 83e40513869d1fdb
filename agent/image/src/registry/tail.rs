//! Reading a file while it still grows: a layer is unpacked while it arrives.

use std::io::{self, BufRead, Read};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use fs_err as fs;

const BUFFER: usize = 256 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Growing,
    Complete,
    Failed,
}

#[derive(Debug)]
struct Growth {
    available: u64,
    stage: Stage,
    restarted: bool,
}

/// What writer and reader of a growing file share. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Tail {
    shared: Arc<(Mutex<Growth>, Condvar)>,
}

impl Tail {
    /// A file of which nothing is there yet.
    pub(crate) fn new() -> Tail {
        Tail {
            shared: Arc::new((
                Mutex::new(Growth { available: 0, stage: Stage::Growing, restarted: false }),
                Condvar::new(),
            )),
        }
    }

    /// A file that is there as a whole.
    pub(crate) fn whole(length: u64) -> Tail {
        let tail = Tail::new();
        tail.grown_to(length);
        tail.complete();
        tail
    }

    fn change(&self, change: impl FnOnce(&mut Growth)) {
        let (growth, changed) = &*self.shared;
        change(&mut growth.lock().unwrap_or_else(PoisonError::into_inner));
        changed.notify_all();
    }

    /// So many bytes can be read. Never less than before: a transfer that begins again writes the same bytes.
    pub(crate) fn grown_to(&self, length: u64) {
        self.change(|g| g.available = g.available.max(length));
    }

    /// The transfer began again: what was read before may have been something else.
    pub(crate) fn restart(&self) {
        self.change(|g| g.restarted = true);
    }

    /// Whether the transfer ever began again.
    pub(crate) fn restarted(&self) -> bool {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner).restarted
    }

    /// Whether all of it is there.
    pub(crate) fn is_complete(&self) -> bool {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner).stage == Stage::Complete
    }

    /// There will be no more.
    pub(crate) fn complete(&self) {
        self.change(|g| {
            if g.stage == Stage::Growing {
                g.stage = Stage::Complete;
            }
        });
    }

    /// The rest will never come.
    pub(crate) fn fail(&self) {
        self.change(|g| {
            if g.stage == Stage::Growing {
                g.stage = Stage::Failed;
            }
        });
    }

    /// Waits until more than `offset` bytes are there; returns how many, or `offset` at the end.
    fn wait(&self, offset: u64) -> io::Result<u64> {
        let (growth, changed) = &*self.shared;
        let mut growth = growth.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if growth.stage == Stage::Failed {
                return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the transfer was given up"));
            }
            if growth.available > offset {
                return Ok(growth.available);
            }
            if growth.stage == Stage::Complete {
                return Ok(offset);
            }
            growth = changed.wait(growth).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Reads the file from its start. `seen` hears how far the reader is.
    pub(crate) fn reader(&self, path: &Path, seen: Box<dyn FnMut(u64) + Send>) -> io::Result<TailReader> {
        Ok(TailReader {
            tail: self.clone(),
            file: fs::File::open(path)?,
            offset: 0,
            buffer: Vec::new(),
            start: 0,
            seen,
        })
    }
}

/// Reads a growing file, waiting for bytes that are not there yet.
pub(crate) struct TailReader {
    tail: Tail,
    file: fs::File,
    offset: u64,
    buffer: Vec<u8>,
    start: usize,
    seen: Box<dyn FnMut(u64) + Send>,
}

impl BufRead for TailReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.buffer.len() {
            (self.seen)(self.offset);
            let available = self.tail.wait(self.offset)? - self.offset;
            let want = BUFFER.min(usize::try_from(available).unwrap_or(BUFFER));
            self.buffer.resize(want, 0);
            self.start = 0;
            let n = self.file.read(&mut self.buffer)?;
            self.buffer.truncate(n);
            if n == 0 && want > 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.offset += n as u64;
        }
        Ok(&self.buffer[self.start..])
    }

    fn consume(&mut self, n: usize) {
        self.start = (self.start + n).min(self.buffer.len());
    }
}

impl Read for TailReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let n = available.len().min(out.len());
        out[..n].copy_from_slice(&available[..n]);
        self.consume(n);
        Ok(n)
    }
}
