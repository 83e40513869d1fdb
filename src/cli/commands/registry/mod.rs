//! Commands on registries.

pub mod login;
pub mod logout;
pub mod search;

use crate::cli::credentials::HUB;

/// A registry as credentials are kept for it.
fn server(text: Option<&str>) -> String {
    match text {
        None | Some("" | "docker.io" | "index.docker.io" | "registry-1.docker.io") => HUB.to_owned(),
        Some(text) if text.starts_with(HUB) => HUB.to_owned(),
        Some(text) => {
            let bare = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or(text);
            bare.split('/').next().unwrap_or(bare).to_owned()
        }
    }
}
