//! The handlers of the Docker Engine API, one file a resource.

pub mod auth;
pub mod build;
pub mod containers;
pub mod disk;
pub mod distribution;
pub mod events;
pub mod exec;
pub mod files;
pub mod images;
pub mod info;
pub mod networks;
pub mod nodes;
pub mod ping;
pub mod plugins;
pub mod services;
pub mod swarm;
pub mod tasks;
pub mod volumes;
