//! Published ports: which are taken, by whom, and how they stay ours.

mod holder;
mod relay;
mod reservation;
mod table;

pub(crate) use table::{Ports, Target, has_ipv6};
