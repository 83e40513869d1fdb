//! What binds nodes together: certificates, join tokens, and connections over mutual TLS.
//!
//! - [`Identity`] is what a certificate says of a node: its id, its cluster, its role.
//! - [`Authority`] is a root certificate with its key: it issues certificates, and vouches for its successor.
//! - [`JoinToken`] and [`UnlockKey`] are the words that people carry from one machine to another.
//! - [`Credentials`] are a node's own key and certificate, on the disk; [`Link`] makes connections of them,
//!   and takes new ones while it runs.
//! - [`Listener`] is the one port of a node: it knows who calls before a byte is read.
//!
//! It decides nothing about who may join or what a role may do: that is the manager's.
#![forbid(unsafe_code)]

mod authority;
mod base36;
mod credentials;
mod dial;
mod error;
mod identity;
mod listener;
mod lock;
mod request;
mod tls;
mod token;

pub use authority::{Authority, Trust};
pub use base36::secret;
pub use credentials::Credentials;
pub use dial::{Link, To};
pub use error::LinkError;
pub use identity::{Identity, Subject};
pub use listener::{Listener, Peer};
pub use request::NodeKey;
pub use tls::{HANDSHAKE, stranger};
pub use token::{JoinToken, UnlockKey};
