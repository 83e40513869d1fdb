//! Tables and Go templates.
//!
//! [`template`] is the language of `--format`; [`list`] renders rows as a table, as JSON lines or
//! through a template; [`inspect`] renders whole objects; [`table`] aligns columns; [`time`] reads
//! and writes points in time as Docker does.

pub mod inspect;
pub mod list;
pub mod table;
pub mod template;
pub mod time;

pub use list::{List, Row};
pub use template::{Template, Value};
