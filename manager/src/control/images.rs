//! Images that must be there before containers are replaced.

use std::{future::Future, pin::Pin};

use hoist_proto::{
    id::NodeId,
    spec::{ProjectEvent, PullPolicy},
};
use tokio::sync::mpsc::Sender;

/// An image that a service needs.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// As the service names it.
    pub image: &'a str,
    /// `os/arch[/variant]`; the machine's own when `None`.
    pub platform: Option<&'a str>,
    pub policy: PullPolicy,
    /// For its registry: a value of Docker's `X-Registry-Auth` header.
    pub credentials: Option<&'a str>,
}

/// Finds and fetches images on the machine that the project is brought up from.
pub trait ImageSource: Send + Sync + 'static {
    /// Makes sure that the image is here, as the policy says, and gives its id.
    ///
    /// Progress goes to `events` as [`ProjectEvent::Pull`]. The error is for people.
    fn ensure<'a>(
        &'a self,
        wanted: Wanted<'a>,
        events: &'a Sender<ProjectEvent>,
    ) -> Pin<Box<dyn Future<Output = Result<String, String>> + Send + 'a>>;

    /// The id of an image that is here; `None` when it is not.
    fn find<'a>(&'a self, image: &'a str) -> Pin<Box<dyn Future<Output = Option<String>> + Send + 'a>>;

    /// The same for an image that was built: by the manager `at`, if one is named, and else here or by any other.
    fn find_built<'a>(
        &'a self,
        image: &'a str,
        at: Option<&'a NodeId>,
    ) -> Pin<Box<dyn Future<Output = Option<String>> + Send + 'a>> {
        let _ = at;
        self.find(image)
    }

    /// Removes an image by name, if nothing uses it (`down --rmi`); gives whether it was removed.
    fn remove<'a>(&'a self, image: &'a str) -> Pin<Box<dyn Future<Output = Result<bool, String>> + Send + 'a>>;
}

/// Leaves all fetching to the agents.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoImages;

impl ImageSource for NoImages {
    fn ensure<'a>(
        &'a self,
        wanted: Wanted<'a>,
        _: &'a Sender<ProjectEvent>,
    ) -> Pin<Box<dyn Future<Output = Result<String, String>> + Send + 'a>> {
        Box::pin(std::future::ready(Ok(wanted.image.to_owned())))
    }

    fn find<'a>(&'a self, _: &'a str) -> Pin<Box<dyn Future<Output = Option<String>> + Send + 'a>> {
        Box::pin(std::future::ready(None))
    }

    fn remove<'a>(&'a self, _: &'a str) -> Pin<Box<dyn Future<Output = Result<bool, String>> + Send + 'a>> {
        Box::pin(std::future::ready(Ok(false)))
    }
}
