//! Git repositories as sources of files: what their addresses say, and how they are fetched.

mod address;
mod fetch;

pub use address::GitSource;
pub use fetch::{Checkout, GitAccess};
