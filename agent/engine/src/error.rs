//! What goes wrong, sorted by what the caller can do about it.

/// An engine operation that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// No container has this name or id.
    #[error("no such container: {0}")]
    NoSuchContainer(String),
    /// No exec has this id.
    #[error("no such exec instance: {0}")]
    NoSuchExec(String),
    /// A path that does not exist in the container.
    #[error("could not find the file {path} in container {container}")]
    NoSuchPath {
        /// The container, as it was called.
        container: String,
        /// The path.
        path: String,
    },
    /// No checkpoint has this name.
    #[error("checkpoint {checkpoint} does not exist for container {container}")]
    NoSuchCheckpoint {
        /// The container, as it was called.
        container: String,
        /// The checkpoint.
        checkpoint: String,
    },
    /// The prefix fits several ids.
    #[error("{0} is ambiguous: several container ids begin with it")]
    Ambiguous(String),
    /// The state of things forbids it.
    #[error("{0}")]
    Conflict(String),
    /// What was asked for makes no sense or is not supported.
    #[error("{0}")]
    InvalidParameter(String),
    /// It is so already.
    #[error("container {0} is already in that state")]
    NotModified(String),
    /// The container's process could not be started.
    #[error("{message}")]
    Start {
        /// What failed, and on which thing.
        message: String,
        /// 127 when the command was not found, 126 when it cannot be executed, else 125.
        exit_code: i32,
    },
    /// From the images.
    #[error(transparent)]
    Image(#[from] hoist_image::Error),
    /// From the networks.
    #[error(transparent)]
    Network(#[from] hoist_network::Error),
    /// From the volumes.
    #[error(transparent)]
    Volume(#[from] hoist_volume::Error),
    /// From the devices.
    #[error(transparent)]
    Device(#[from] hoist_device::DeviceError),
    /// From writing down processes.
    #[error(transparent)]
    Checkpoint(#[from] hoist_runtime::checkpoint::CheckpointError),
    /// From a build.
    #[error(transparent)]
    Build(#[from] hoist_build::BuildError),
    /// From a cgroup.
    #[error(transparent)]
    Cgroup(#[from] hoist_runtime::cgroup::CgroupError),
    /// A file; the error names its path.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The engine's own parts failed.
    #[error("{0}")]
    Internal(String),
}

/// What a caller can do about an error; the API maps it to a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// 404
    NotFound,
    /// 409
    Conflict,
    /// 400
    InvalidParameter,
    /// 304
    NotModified,
    /// 403
    Forbidden,
    /// 401
    Unauthorized,
    /// 500
    System,
}

impl EngineError {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        use ErrorKind as K;
        match self {
            Self::NoSuchContainer(_)
            | Self::NoSuchExec(_)
            | Self::NoSuchPath { .. }
            | Self::NoSuchCheckpoint { .. } => K::NotFound,
            Self::Ambiguous(_) | Self::InvalidParameter(_) => K::InvalidParameter,
            Self::Conflict(_) => K::Conflict,
            Self::NotModified(_) => K::NotModified,
            // Docker answers 400 when the command cannot be run, and its clients look at the text.
            Self::Start { exit_code: 126 | 127, .. } => K::InvalidParameter,
            Self::Image(error) => match error {
                hoist_image::Error::NotFound(_)
                | hoist_image::Error::NotAtRegistry { .. }
                | hoist_image::Error::NoPlatform { .. }
                | hoist_image::Error::NoSearch { .. } => K::NotFound,
                hoist_image::Error::InUse(_) => K::Conflict,
                hoist_image::Error::Unauthorized { .. } => K::Unauthorized,
                hoist_image::Error::Denied { .. } => K::Forbidden,
                hoist_image::Error::Reference(_)
                | hoist_image::Error::Digest(_)
                | hoist_image::Error::Ambiguous(..)
                | hoist_image::Error::Change { .. }
                | hoist_image::Error::NoQuota { .. }
                | hoist_image::Error::Archive { .. }
                | hoist_image::Error::Invalid { .. } => K::InvalidParameter,
                _ => K::System,
            },
            Self::Network(error) => match error {
                hoist_network::Error::NotFound(_) => K::NotFound,
                hoist_network::Error::Exists(_) | hoist_network::Error::AlreadyConnected { .. } => K::Conflict,
                hoist_network::Error::Predefined(..)
                | hoist_network::Error::InUse { .. }
                | hoist_network::Error::Config { .. }
                | hoist_network::Error::ConfigOnly(_) => K::Forbidden,
                hoist_network::Error::Ambiguous(_)
                | hoist_network::Error::Name(_)
                | hoist_network::Error::Driver(_)
                | hoist_network::Error::IpamDriver(_)
                | hoist_network::Error::Interface { .. }
                | hoist_network::Error::DriverOption { .. }
                | hoist_network::Error::Plan(_)
                | hoist_network::Error::Overlap { .. }
                | hoist_network::Error::Address { .. }
                | hoist_network::Error::Exclusive { .. }
                | hoist_network::Error::PortRanges { .. }
                | hoist_network::Error::Protocol(_)
                | hoist_network::Error::Mac(_)
                | hoist_network::Error::Subnet(_) => K::InvalidParameter,
                _ => K::System,
            },
            Self::Volume(error) => match error {
                hoist_volume::Error::NotFound(_) => K::NotFound,
                hoist_volume::Error::InUse { .. } | hoist_volume::Error::Exists(_) => K::Conflict,
                hoist_volume::Error::Invalid(_) => K::InvalidParameter,
                _ => K::System,
            },
            Self::Device(error) => match error {
                hoist_device::DeviceError::Held(_) => K::Conflict,
                // Not 404: Docker's clients take that for a missing image, and pull it.
                _ => K::InvalidParameter,
            },
            Self::Build(error) => match error {
                hoist_build::BuildError::NotFound(_) => K::NotFound,
                hoist_build::BuildError::Dockerfile(_) | hoist_build::BuildError::Request(_) => K::InvalidParameter,
                _ => K::System,
            },
            Self::Checkpoint(hoist_runtime::checkpoint::CheckpointError::Unsupported(_)) => K::InvalidParameter,
            Self::Start { .. } | Self::Checkpoint(_) | Self::Cgroup(_) | Self::Io(_) | Self::Internal(_) => K::System,
        }
    }

    /// The exit code that a command line returns for this error.
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Start { exit_code, .. } => *exit_code,
            _ => 125,
        }
    }

    /// The text with all its causes, each once.
    pub fn message(&self) -> String {
        use std::error::Error;
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let words = error.to_string();
            if !text.contains(&words) {
                text.push_str(": ");
                text.push_str(&words);
            }
            cause = error.source();
        }
        text
    }
}
