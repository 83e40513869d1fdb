//! What these commands do not do yet, said by name before anything is changed.

use crate::cli::failure::Failure;

pub fn watch() -> Failure {
    Failure::new("watching sources is not supported yet")
}
