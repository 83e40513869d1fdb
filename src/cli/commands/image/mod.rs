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

use crate::cli::client::path_segment;

/// `/images/NAME/what`
pub fn path(name: &str, what: &str) -> String {
    format!("/images/{}/{what}", path_segment(name))
}

/// `OS[/ARCH[/VARIANT]]` as the API has platforms in JSON.
pub fn platform_json(text: &str) -> String {
    let mut parts = text.splitn(3, '/');
    let mut platform = serde_json::Map::new();
    for key in ["os", "architecture", "variant"] {
        if let Some(part) = parts.next() {
            platform.insert(key.to_owned(), part.into());
        }
    }
    serde_json::Value::Object(platform).to_string()
}
