//! Which devices a request gets: requests, what there is and who holds what in; devices out.
//!
//! An engine chooses among the devices of its machine and a scheduler among those of many nodes: both by [`choose_all`],
//! so that what one of them thinks free the other does too. A queue that looks at many jobs and nodes asks [`offer`] once
//! for each request and kind of node, and counts. Start reading at `select.rs`.
//!
//! Nothing here waits, writes or knows where devices come from: that is hoist-device's.
#![forbid(unsafe_code)]

mod error;
mod ledger;
mod name;
mod offer;
mod request;
mod select;

pub use error::ChoiceError;
pub use ledger::{Hold, Key, Ledger};
pub use name::{QualifiedName, check_device, check_kind, is_qualified};
pub use offer::{Alternative, Offer, Part, offer};
pub use request::{Needs, Request, Share, Which};
pub use select::{Pool, choose_all, nearest_group};

/// What every call answers.
pub type Result<T, E = ChoiceError> = std::result::Result<T, E>;
