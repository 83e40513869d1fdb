//! Failures of steps that run in the container's process, and how they travel to the caller.

use std::io;

use super::LaunchError;

/// What kind of failure it is: decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A system call failed.
    Step = 0,
    /// The configuration is at fault.
    Invalid = 1,
    /// The command does not exist.
    NotFound = 2,
    /// The command cannot be executed.
    NotExecutable = 3,
    /// A hook failed.
    Hook = 4,
}

/// A step that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StepError {
    pub kind: Kind,
    pub what: String,
    pub errno: i32,
}

impl StepError {
    pub(crate) fn new(what: impl Into<String>, error: &io::Error) -> Self {
        Self { kind: Kind::Step, what: what.into(), errno: error.raw_os_error().unwrap_or(libc::EIO) }
    }

    pub(crate) fn invalid(what: String) -> Self {
        Self { kind: Kind::Invalid, what, errno: 0 }
    }

    pub(crate) fn hook(what: String) -> Self {
        Self { kind: Kind::Hook, what, errno: 0 }
    }

    /// `command` could not be executed.
    pub(crate) fn exec(command: &str, error: &io::Error) -> Self {
        let errno = error.raw_os_error().unwrap_or(libc::EIO);
        let kind = match errno {
            libc::ENOENT | libc::ENOTDIR => Kind::NotFound,
            _ => Kind::NotExecutable,
        };
        Self { kind, what: command.to_owned(), errno }
    }

    /// As bytes for [`StepError::decode`].
    pub(crate) fn encode(&self) -> Vec<u8> {
        // A message is one packet; a longer text than a page helps nobody.
        let what = &self.what.as_bytes()[..self.what.len().min(4000)];
        [&[self.kind as u8], &self.errno.to_le_bytes()[..], what].concat()
    }

    /// From bytes of [`StepError::encode`].
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let (errno, what) = rest.split_first_chunk::<4>()?;
        let kind = match kind {
            0 => Kind::Step,
            1 => Kind::Invalid,
            2 => Kind::NotFound,
            3 => Kind::NotExecutable,
            4 => Kind::Hook,
            _ => return None,
        };
        let what = String::from_utf8_lossy(what).into_owned();
        Some(Self { kind, what, errno: i32::from_le_bytes(*errno) })
    }
}

impl From<StepError> for LaunchError {
    fn from(error: StepError) -> Self {
        let source = io::Error::from_raw_os_error(error.errno);
        match error.kind {
            Kind::Step => Self::Step { what: error.what, source },
            Kind::Invalid => Self::Invalid(error.what),
            Kind::NotFound => Self::NotFound { command: error.what, source },
            Kind::NotExecutable => Self::NotExecutable { command: error.what, source },
            Kind::Hook => Self::Hook(error.what),
        }
    }
}

/// Says which step an error belongs to.
pub(crate) trait ResultExt<T> {
    /// With a constant description.
    fn step(self, what: &str) -> Result<T, StepError>;
    /// With a description that is made only on failure.
    fn step_with(self, what: impl FnOnce() -> String) -> Result<T, StepError>;
}

impl<T, E: Into<io::Error>> ResultExt<T> for Result<T, E> {
    fn step(self, what: &str) -> Result<T, StepError> {
        self.map_err(|error| StepError::new(what, &error.into()))
    }

    fn step_with(self, what: impl FnOnce() -> String) -> Result<T, StepError> {
        self.map_err(|error| StepError::new(what(), &error.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_survive_the_journey() {
        let error = StepError::exec("/bin/x", &io::Error::from_raw_os_error(libc::EACCES));
        assert_eq!(StepError::decode(&error.encode()), Some(error.clone()));
        assert_eq!(LaunchError::from(error).exit_code(), 126);
        assert_eq!(StepError::decode(&[]), None);
        assert_eq!(StepError::decode(&[9, 0, 0, 0, 0]), None);
    }
}
