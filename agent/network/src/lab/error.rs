//! What can go wrong with a lab's machines.

use std::{io, path::PathBuf};

/// Why a lab is not as it was asked to be.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// Another lab, or somebody else, has the link.
    #[error("there is a link {0:?} already: is another lab of this name up?")]
    LinkTaken(String),
    #[error("cannot make the switch and its link {link:?}")]
    Switch {
        link: String,
        #[source]
        source: io::Error,
    },
    #[error("machine {name} cannot be {doing}")]
    Machine {
        name: String,
        doing: &'static str,
        #[source]
        source: io::Error,
    },
    /// Delay and loss are made by a part of the kernel that not every kernel has.
    #[error("this kernel has no netem (CONFIG_NET_SCH_NETEM): it can limit a rate, but not delay or lose packets")]
    NoNetem,
    #[error("cannot take away all that is in {}", .dir.display())]
    Remove {
        dir: PathBuf,
        #[source]
        source: io::Error,
    },
}
