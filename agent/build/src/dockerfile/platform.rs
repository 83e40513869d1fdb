//! `os/architecture[/variant]`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A platform in the OCI's words: `linux/amd64`, `linux/arm/v7`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Platform {
    pub os: String,
    pub architecture: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// Reads `os/architecture[/variant]`, an architecture alone or an operating system alone; the names that `uname`
    /// and others use become the OCI's. What is not said is taken from `local`.
    pub fn parse(text: &str, local: &Platform) -> Option<Self> {
        let parts: Vec<String> = text.trim().split('/').map(str::to_ascii_lowercase).collect();
        if parts.iter().any(|part| part.is_empty() || !part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')) {
            return None;
        }
        let (os, architecture, variant) = match parts.as_slice() {
            [os] if ["linux", "windows", "darwin", "freebsd"].contains(&os.as_str()) => {
                (os.clone(), local.architecture.clone(), local.variant.clone())
            }
            [architecture] => (local.os.clone(), architecture.clone(), None),
            [os, architecture] => (os.clone(), architecture.clone(), None),
            [os, architecture, variant] => (os.clone(), architecture.clone(), Some(variant.clone())),
            _ => return None,
        };
        let (architecture, variant) = match (architecture.as_str(), variant.as_deref()) {
            ("x86_64" | "x86-64" | "amd64", variant) => ("amd64", variant.filter(|variant| *variant != "v1")),
            ("aarch64" | "arm64", variant) => ("arm64", variant.filter(|variant| !["v8", "8"].contains(variant))),
            ("armhf", _) | ("arm", None | Some("7")) => ("arm", Some("v7")),
            ("armel", _) | ("arm", Some("6")) => ("arm", Some("v6")),
            ("i386" | "i686" | "x86", _) => ("386", None),
            (other, variant) => (other, variant),
        };
        let (architecture, variant) = (architecture.to_owned(), variant.map(str::to_owned));
        Some(Self { os, architecture, variant })
    }

    /// The machine that this program was compiled for.
    pub fn local() -> Self {
        let (architecture, variant) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", None),
            "aarch64" => ("arm64", None),
            "x86" => ("386", None),
            "arm" => ("arm", Some("v7".to_owned())),
            other => (other, None),
        };
        Self { os: std::env::consts::OS.to_owned(), architecture: architecture.to_owned(), variant }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}
