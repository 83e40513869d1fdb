//! Commands on containers.

pub mod archive;
pub mod attach;
pub mod commit;
pub mod cp;
pub mod create;
pub mod diff;
pub mod exec;
pub mod export;
pub mod hints;
pub mod inspect;
pub mod kill;
pub mod logs;
pub mod ls;
pub mod pause;
pub mod port;
mod port_list;
pub mod prune;
pub mod rename;
pub mod restart;
pub mod rm;
pub mod run;
pub mod start;
pub mod stats;
pub mod stop;
pub mod top;
pub mod update;
mod usage;
pub mod wait;

use crate::cli::client::path_segment;

/// `/containers/NAME/what`
pub fn path(name: &str, what: &str) -> String {
    // Names are shown with a slash by the API, and typed with one by some.
    format!("/containers/{}/{what}", path_segment(name.trim_start_matches('/')))
}
