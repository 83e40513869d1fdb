//! Commands on images.

pub mod history;
pub mod import;
pub mod inspect;
pub mod load;
pub mod ls;
pub mod name;
pub mod prune;
pub mod pull;
pub mod push;
pub mod rm;
pub mod save;
pub mod tag;
mod tree;

use hoist_image::Platform;

use crate::cli::{client::path_segment, failure::Failure};

/// `/images/NAME/what`
pub fn path(name: &str, what: &str) -> String {
    format!("/images/{}/{what}", path_segment(name))
}

/// `OS[/ARCH[/VARIANT]]` as the API has platforms in JSON.
///
/// # Errors
/// Text that is no platform.
pub fn platform_json(text: &str) -> Result<String, Failure> {
    let platform: Platform = text.parse().map_err(|error: hoist_image::PlatformError| Failure::from_error(&error))?;
    Ok(serde_json::to_string(&platform)?)
}
