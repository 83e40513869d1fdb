//! The version of what nodes say to each other and of what managers write into their log.
//!
//! A program speaks every version from [`Protocol::OLDEST`] to [`Protocol::NEWEST`], so that a cluster is replaced node by
//! node. The managers go by the highest that all of them speak, which the cluster's record names; what came with a later one
//! is neither written nor offered before.

use serde::{Deserialize, Serialize};

/// A version of the words between nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Protocol(u32);

impl Protocol {
    /// That of programs that tell none.
    pub const FIRST: Self = Self(1);
    /// The oldest that this program speaks.
    pub const OLDEST: Self = Self(1);
    /// The newest that this program speaks.
    pub const NEWEST: Self = Self(2);

    /// Since when the log may say of a task that its status alone has changed.
    pub const STATUS_ALONE: Self = Self(2);
    /// Since when people may make the routing mesh's network: encrypted, or with addresses of both families.
    pub const MESH_BY_HAND: Self = Self(2);
    /// Since when jobs may go on from checkpoints.
    pub const CHECKPOINTS: Self = Self(2);

    /// The version of that number, as another node says it.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// One that this program can keep to.
    ///
    /// # Errors
    /// Names those that it can.
    pub fn spoken(number: u32) -> Result<Self, UnknownProtocol> {
        let version = Self(number);
        if (Self::OLDEST..=Self::NEWEST).contains(&version) { Ok(version) } else { Err(UnknownProtocol { number }) }
    }

    /// Its number.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// Whether it is that of programs that tell none, and need not be told.
    pub fn is_first(&self) -> bool {
        *self == Self::FIRST
    }
}

impl Default for Protocol {
    fn default() -> Self {
        Self::FIRST
    }
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A version that this program does not speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "version {number} of the cluster's protocol is not spoken by this program: it speaks {} to {}",
    Protocol::OLDEST,
    Protocol::NEWEST
)]
pub struct UnknownProtocol {
    number: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_spoken_is_refused_by_name() {
        assert_eq!(Protocol::spoken(1), Ok(Protocol::FIRST));
        assert_eq!(
            Protocol::spoken(9).unwrap_err().to_string(),
            "version 9 of the cluster's protocol is not spoken by this program: it speaks 1 to 2"
        );
        assert!(Protocol::spoken(0).is_err());
    }
}
