//! What goes wrong with devices.

use std::path::PathBuf;

/// A device operation that failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// A CDI specification that is not one.
    #[error("CDI file {}: {key}: {reason}", path.display())]
    Cdi {
        /// The file.
        path: PathBuf,
        /// The key within it, such as `devices[0].containerEdits.env[1]`.
        key: String,
        /// What is wrong there.
        reason: String,
    },
    /// A name that is no device's: nobody has it.
    #[error("no such device: {name}{}", in_brackets(.hint))]
    NoSuchDevice {
        /// The name as it was given.
        name: String,
        /// What there is instead; may be empty.
        hint: String,
    },
    /// The name stands in several CDI files of equal rank.
    #[error("CDI device {name} is in conflict: it stands in {}", listed(.paths))]
    Conflict {
        /// The name.
        name: String,
        /// The files.
        paths: Vec<PathBuf>,
    },
    /// A request that makes no sense.
    #[error("invalid device request: {0}")]
    Request(String),
    /// No machine state would let it be met here.
    #[error("{0}")]
    Impossible(String),
    /// Others hold what was asked for.
    #[error("{0}")]
    Held(String),
    /// A setting of the node that makes no sense.
    #[error("{key}: {reason}")]
    Setting {
        /// The setting.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A device's node or file that is not there.
    #[error("{0}")]
    Missing(String),
}

impl From<hoist_choice::ChoiceError> for DeviceError {
    fn from(error: hoist_choice::ChoiceError) -> Self {
        use hoist_choice::ChoiceError as C;
        match error {
            C::NoSuchDevice { name, hint } => Self::NoSuchDevice { name, hint },
            C::Request(why) => Self::Request(why),
            C::Impossible(why) => Self::Impossible(why),
            C::Held(why) => Self::Held(why),
        }
    }
}

fn in_brackets(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(" ({text})") }
}

fn listed(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" and ")
}
