//! Registries: the OCI distribution specification's client side, with Docker's authentication.

mod auth;
mod catalog;
mod challenge;
mod client;
pub(crate) mod credentials;
mod download;
mod endpoint;
mod remote;
mod tail;
mod tls;
mod upload;

pub(crate) use auth::read_token;
pub(crate) use challenge::parse as parse_challenges;
pub(crate) use client::{Document, Registries, Repository, error_text, verify};
pub(crate) use download::{Step, download};
pub(crate) use endpoint::describe;
pub use remote::{Remote, RemoteManifest};
pub(crate) use tail::Tail;

pub(crate) use upload::Uploaded;
