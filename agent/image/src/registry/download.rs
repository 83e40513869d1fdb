//! A blob comes down: hashed and written while it arrives, gone on with where it broke off.

use std::io::{Seek, Write};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fs_err as fs;
use http::{StatusCode, header};
use tokio::sync::mpsc;

use super::client::Repository;
use super::tail::Tail;
use crate::digest::{Digest, Hasher};
use crate::error::Error;
use crate::images::blocking;
use crate::manifest::Descriptor;
use crate::store::{Blobs, Partial};

/// Chunks that may wait for the disk.
const QUEUE: usize = 64;
/// However slowly it goes, a transfer does not break off more often.
const MAX_BREAKS: u32 = 100;

/// What a download tells while it goes on.
pub(crate) enum Step {
    /// So many bytes are here.
    Bytes(u64),
    /// All are here, the digest is compared.
    Verifying,
    /// The connection broke.
    Retrying,
}

/// Where a transfer stands.
struct Transfer {
    file: fs::File,
    hasher: Hasher,
    written: u64,
}

/// Gets a blob into the store. `tail` can be read by another thread meanwhile; it is completed or failed at the end.
/// The caller makes sure that nobody else gets the same blob.
pub(crate) async fn download(
    repository: &Repository,
    blobs: &Blobs,
    descriptor: &Descriptor,
    tail: &Tail,
    report: &(dyn Fn(Step) + Send + Sync),
) -> Result<(), Error> {
    // Dropping this future must not leave a reader waiting.
    let guard = FailOnDrop(tail);
    let partial = blobs.partial(&descriptor.digest);
    let mut fresh = fs::metadata(partial.path()).map_or(true, |m| m.len() == 0);
    loop {
        match transfer(repository, &partial, descriptor, tail, report).await {
            Ok(()) => break,
            // What was here before may have been the corrupt part: once more from the start.
            Err(Error::Corrupt { .. } | Error::Size { .. }) if !fresh => {
                partial.empty()?;
                tail.restart();
                fresh = true;
            }
            Err(error) => {
                if matches!(error, Error::Corrupt { .. } | Error::Size { .. }) {
                    partial.discard();
                }
                return Err(error);
            }
        }
    }
    blobs.commit(&partial)?;
    tail.complete();
    drop(guard);
    Ok(())
}

async fn transfer(
    repository: &Repository,
    partial: &Partial,
    descriptor: &Descriptor,
    tail: &Tail,
    report: &(dyn Fn(Step) + Send + Sync),
) -> Result<(), Error> {
    let (expected, digest) = (descriptor.size, &descriptor.digest);
    let resumed = {
        let partial = partial.clone();
        blocking(move || partial.resume(expected)).await?
    };
    let mut state = Transfer { file: resumed.0, hasher: resumed.1, written: resumed.2 };
    let (mut idle_attempts, mut breaks, mut pause) = (0, 0, Duration::from_millis(200));
    while state.written < expected {
        report(Step::Bytes(state.written));
        tail.grown_to(state.written);
        let before = state.written;
        let (next, result) = attempt(repository, partial, digest, state, expected, tail, report).await?;
        state = next;
        if state.written == expected && result.is_ok() {
            break;
        }
        let error = match result {
            Err(error) if !error.is_transient() => return Err(error),
            Err(error) => Some(error),
            Ok(()) => None,
        };
        breaks += 1;
        if state.written > before {
            (idle_attempts, pause) = (0, Duration::from_millis(200));
        } else {
            idle_attempts += 1;
        }
        if idle_attempts >= repository.max_attempts || breaks >= MAX_BREAKS {
            return Err(match error {
                Some(error) if state.written == 0 => error,
                _ => Error::Truncated { digest: digest.clone(), got: state.written, expected, attempts: breaks },
            });
        }
        tracing::debug!(%digest, written = state.written, "transfer broke off, going on");
        report(Step::Retrying);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(10));
    }
    tail.grown_to(state.written);
    report(Step::Verifying);
    let actual = state.hasher.finish();
    if actual != *digest {
        return Err(Error::Corrupt {
            what: format!("blob {digest} from {}", repository.registry()),
            expected: digest.clone(),
            actual,
        });
    }
    Ok(())
}

/// One request. The outer error is the disk's; the inner result says how the transfer ended.
async fn attempt(
    repository: &Repository,
    partial: &Partial,
    digest: &Digest,
    mut state: Transfer,
    expected: u64,
    tail: &Tail,
    report: &(dyn Fn(Step) + Send + Sync),
) -> Result<(Transfer, Result<(), Error>), Error> {
    let mut answer = match repository.blob(digest, state.written).await {
        Ok(answer) => answer,
        Err(error) => return Ok((state, Err(error))),
    };
    // A server that does not know ranges begins again, and one that cannot satisfy this one has another blob.
    let continues = answer.status() == StatusCode::PARTIAL_CONTENT && range_start(&answer) == Some(state.written);
    if state.written > 0 && !continues {
        tail.restart();
        let path = partial.path().to_owned();
        state.file.set_len(0).and_then(|()| state.file.rewind()).map_err(|e| Error::io("empty", path, e))?;
        state = Transfer { file: state.file, hasher: Hasher::new(digest.algorithm()), written: 0 };
        if answer.status() != StatusCode::OK {
            return Ok((state, Ok(())));
        }
    }
    // Receiving goes on while the previous chunks are hashed and written by another thread.
    let (chunks, queue) = mpsc::channel::<Bytes>(QUEUE);
    let path = partial.path().to_owned();
    let writer = {
        let tail = tail.clone();
        tokio::task::spawn_blocking(move || {
            write(state, queue, expected, &tail).map_err(|e| Error::io("write", path, e))
        })
    };
    let mut received = 0u64;
    let mut reported = Instant::now();
    let base = expected.saturating_sub(answer.content_length().unwrap_or(expected));
    let result = loop {
        match answer.chunk().await {
            Ok(Some(chunk)) => {
                received += chunk.len() as u64;
                if chunks.send(chunk).await.is_err() {
                    break Ok(());
                }
                if reported.elapsed() >= Duration::from_millis(100) {
                    reported = Instant::now();
                    report(Step::Bytes((base + received).min(expected)));
                }
            }
            Ok(None) => break Ok(()),
            Err(e) => {
                break Err(Error::Unreachable {
                    registry: repository.registry().to_owned(),
                    reason: super::endpoint::describe(&e),
                });
            }
        }
    };
    drop(chunks);
    let state = writer.await.map_err(|e| Error::invalid("a worker thread", e.to_string()))??;
    if state.written > expected {
        return Err(Error::Size { what: format!("blob {digest}"), expected, actual: state.written });
    }
    Ok((state, result))
}

/// Writes and hashes chunks until there are no more, or more than there should be.
fn write(
    mut state: Transfer,
    mut queue: mpsc::Receiver<Bytes>,
    expected: u64,
    tail: &Tail,
) -> std::io::Result<Transfer> {
    while let Some(chunk) = queue.blocking_recv() {
        state.written += chunk.len() as u64;
        if state.written > expected {
            break;
        }
        state.file.write_all(&chunk)?;
        state.hasher.update(&chunk);
        tail.grown_to(state.written);
    }
    Ok(state)
}

/// Where the answer's range begins (`Content-Range: bytes 5-9/10`).
fn range_start(answer: &reqwest::Response) -> Option<u64> {
    let value = answer.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    value.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}

struct FailOnDrop<'a>(&'a Tail);

impl Drop for FailOnDrop<'_> {
    fn drop(&mut self) {
        self.0.fail();
    }
}
