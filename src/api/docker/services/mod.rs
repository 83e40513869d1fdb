//! `/services`.

pub mod change;
pub mod list;
pub mod logs;
