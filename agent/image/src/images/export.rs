//! All that a container sees, as one archive.

use std::io::{BufWriter, Write as _};
use std::os::fd::AsFd;
use std::path::Path;

use tokio::io::AsyncWrite;
use tokio_util::io::SyncIoBridge;

use super::{Images, blocking};
use crate::archive::{ArchiveError, ArchiveOptions, archive};
use crate::error::Error;

/// Writes go out in pieces of this size.
pub(super) const OUT: usize = 256 * 1024;

impl Images {
    /// Writes all that a container sees as a tar archive.
    pub async fn export(
        &self,
        container_id: &str,
        writer: impl AsyncWrite + Send + Unpin + 'static,
    ) -> Result<(), Error> {
        let tree = self.mount(container_id, false).await?;
        let what = format!("container {container_id}");
        let bridge = SyncIoBridge::new(writer);
        blocking(move || {
            let fail = |e| archive_error(&what, e);
            let mut out =
                archive(tree.as_fd(), Path::new(""), &ArchiveOptions::default(), BufWriter::with_capacity(OUT, bridge))
                    .map_err(fail)?;
            out.flush().and_then(|()| out.get_mut().shutdown()).map_err(|e| fail(ArchiveError::Write(e)))
        })
        .await
    }
}

/// The error with the name of what was archived.
pub(super) fn archive_error(what: &str, error: ArchiveError) -> Error {
    match error {
        ArchiveError::Write(source) => Error::io("write the archive of", what, source),
        other => Error::Archive { what: what.to_owned(), source: std::io::Error::other(other) },
    }
}
