//! Who may be in the cluster: join tokens, certificates, and the root that they hang on.
//!
//! The root's key lies in the replicated log, so that every leader can issue. [`pki`] is what the records mean,
//! [`service`] is what nodes ask, [`rotate`] moves the nodes from one root to the next.

mod pki;
pub(crate) mod rotate;
mod service;

pub use pki::{PkiError, begin, rotate_tokens};
pub(crate) use pki::{bundle, issue, signing_key, token};
pub(crate) use service::MembershipService;
pub use service::host;
