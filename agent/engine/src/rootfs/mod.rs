//! Looking into a container's file tree without mounting it.

mod union;
mod users;

pub(crate) use union::Union;
pub(crate) use users::{ResolvedUser, resolve_user};
