//! The Container Device Interface: files that say what a container with a device must see.

mod apply;
mod cache;
mod check;
mod model;
mod read;
mod version;

pub use hoist_choice::{QualifiedName, is_qualified};

pub use apply::apply;
pub use cache::{Cache, Found, SPEC_DIRS};
pub use model::{Device, DeviceNode, Edits, Hook, IntelRdt, Mount, NetDevice, Spec};
pub use read::{parse, read};
pub use version::minimum;

#[cfg(test)]
mod tests;
