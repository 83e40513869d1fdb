//! A running container looked at: what it uses ([`stats`]) and which processes it has ([`top`]).

mod stats;
mod top;

pub(crate) use stats::stats;
pub(crate) use top::top;
