//! Why a request is not met.

/// A request that was not met.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChoiceError {
    /// A name that is no device's: nobody has it.
    #[error("no such device: {name}{}", if .hint.is_empty() { String::new() } else { format!(" ({hint})") })]
    NoSuchDevice {
        /// The name as it was given.
        name: String,
        /// What there is instead; may be empty.
        hint: String,
    },
    /// A request that makes no sense.
    #[error("invalid device request: {0}")]
    Request(String),
    /// It could not be met even if nobody held anything.
    #[error("{0}")]
    Impossible(String),
    /// Others hold what was asked for.
    #[error("{0}")]
    Held(String),
}
