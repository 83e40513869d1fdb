//! `/services`.

pub mod change;
mod elsewhere;
pub mod list;
pub mod logs;
