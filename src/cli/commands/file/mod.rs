//! Commands on secrets and configs, which have the same shape.

pub mod create;
pub mod inspect;
pub mod ls;
pub mod rm;
pub mod update;

use crate::{
    api::dto::file::File,
    cli::{Context, client::path_segment, failure::Failure, suggest},
};

/// Secrets or configs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Secret,
    Config,
}

impl Kind {
    /// The collection's path.
    pub fn collection(self) -> &'static str {
        match self {
            Self::Secret => "/secrets",
            Self::Config => "/configs",
        }
    }

    pub fn path(self, name: &str) -> String {
        format!("{}/{}", self.collection(), path_segment(name))
    }
}

/// Adds near names to a failure that says there is no such thing.
async fn hint(cx: &Context, kind: Kind, failure: Failure, name: &str) -> Failure {
    if !failure.is_not_found() {
        return failure;
    }
    let Ok(files) = cx.client.get(kind.collection()).read::<Vec<File>>().await else { return failure };
    match suggest::did_you_mean(&suggest::nearest(name, files.iter().map(|file| file.spec.name.as_str()))) {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// A file's bytes, or those of standard input.
fn content(file: &str) -> Result<Vec<u8>, Failure> {
    use std::io::Read;
    if file != "-" {
        return Ok(fs_err::read(file)?);
    }
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes)?;
    Ok(bytes)
}
