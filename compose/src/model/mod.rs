//! The project as a value: every key of the Compose Specification as a typed
//! field, in the one canonical form that all short syntaxes are turned into.
//!
//! Serde reads and writes it both ways. The field order, the text of sizes,
//! durations and modes, and what is left out when empty are those of Docker
//! Compose's `config`. Maps are sorted by name, so that equal projects print
//! equal bytes and hash equal.

mod build;
mod container;
mod deploy;
mod develop;
mod extensions;
mod graph;
mod mounts;
mod network;
mod print;
mod project;
mod resources;
mod scalar;
mod select;
mod service;

pub use build::Build;
pub(crate) use container::split_host;
pub use container::{
    BlkioConfig, CredentialSpec, Dependency, DependencyCondition, DeviceMapping, EnvFile, ExtraHosts, Healthcheck,
    Hook, Logging, PreStart, Provider, ServiceModel, ThrottleDevice, Ulimit, WeightDevice,
};
pub use deploy::{
    Deploy, DeviceRequest, DiscreteResource, GenericResource, Limits, Placement, PlacementPreference, Reservations,
    Resources, RestartPolicy, UpdateConfig,
};
pub use develop::{Develop, Watch, WatchAction};
pub use extensions::Extensions;
pub use graph::{CycleError, DependencyOrder};
pub use mounts::{BindOptions, FileMount, ImageOptions, Mount, MountKind, TmpfsOptions, VolumeOptions};
pub use network::{Ipam, IpamPool, Network, Port, ServiceNetwork};
pub use print::to_yaml;
pub use project::Project;
pub use resources::{Config, Model, Secret, Volume};
pub use scalar::{ByteSize, Duration, FileMode, ScalarError};
pub use select::{Dependents, SelectError};
pub use service::{PullPolicy, Service};

/// A map whose order is the order of its names once a project is loaded.
pub type Map<V> = indexmap::IndexMap<String, V>;

/// Whether a value is what a missing key means, so that it is not printed.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
