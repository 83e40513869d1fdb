//! Conversations with supervisors.

mod channel;
mod start;

pub(crate) use channel::{Channel, supervisor};
pub(crate) use start::Starter;

/// A descriptor that can be waited for.
pub(crate) fn watched<T: std::os::fd::AsRawFd>(fd: T) -> std::io::Result<tokio::io::unix::AsyncFd<T>> {
    // The other constructor is unsafe because a type may lie about its descriptor or close it early. Ours own theirs
    // and give out none but that one.
    #[allow(deprecated)]
    tokio::io::unix::AsyncFd::new(fd)
}
