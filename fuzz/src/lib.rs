//! What Hoist reads that others wrote, as functions from bytes: none of them panics, hangs, takes memory without bound,
//! or lets an archive write outside of its place, whatever the bytes are.
//!
//! cargo-fuzz runs them for hours with coverage as its guide, `tests/fuzz.rs` for seconds in the suite; the seeds are
//! the same, `seeds/<name>/`.

mod archives;
mod dockerfiles;
mod texts;

pub use archives::{archive, image_archive};
pub use dockerfiles::dockerfile;
pub use texts::{compose, image_config, manifest, oci_config, reference, registry};
