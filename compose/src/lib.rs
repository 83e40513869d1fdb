//! hoist-compose: compose files in, a [`Project`](model::Project) out.
//!
//! It knows the whole Compose Specification and nothing of what a project is
//! deployed to: no daemon, no network, no clock. [`load()`] finds and reads the
//! files, puts in variables, resolves `include` and `extends`, merges, checks
//! and fills in defaults; [`LoadError`] says all that is wrong, each with
//! file, line and column. [`model`] is the result, and prints itself as
//! `config` does.
//!
//! To read on: `load/mod.rs` has the stages in their order.

#![forbid(unsafe_code)]

mod diagnostic;
mod load;
pub mod model;

pub use diagnostic::{Diagnostic, LoadError, Place};
pub use load::discover::find_files;
pub use load::dotenv;
pub use load::template::{self, Variable};
pub use load::words;
pub use load::{
    ConfigFile, Disk, Files, LoadOptions, Loaded, LoadedModel, NoFiles, load, load_model, load_str, load_with,
};
