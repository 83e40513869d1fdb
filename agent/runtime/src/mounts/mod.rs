//! The container's file system tree: its root, its mounts, its devices, its masked and read-only paths.

pub(crate) mod attach;
pub(crate) mod cgroupfs;
pub(crate) mod copyup;
pub(crate) mod dev;
pub(crate) mod filesystem;
pub(crate) mod idmap;
pub(crate) mod inroot;
pub(crate) mod options;
pub(crate) mod paths;
pub(crate) mod plan;
pub(crate) mod root;
pub(crate) mod source;
