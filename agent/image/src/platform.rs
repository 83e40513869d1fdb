//! Platforms: which of an index's manifests this machine can run (OCI image-index, "platform object").

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An operating system, architecture and variant, in Go's names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// Such as `linux`.
    pub os: String,
    /// Such as `amd64`, `arm64`.
    pub architecture: String,
    /// Such as `v7` for arm, `v3` for amd64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Windows only.
    #[serde(default, rename = "os.version", skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Windows only.
    #[serde(default, rename = "os.features", skip_serializing_if = "Option::is_none")]
    pub os_features: Option<Vec<String>>,
}

/// Why a text is no platform.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("invalid platform {0:?}: want os[/architecture[/variant]], such as linux/arm64/v8")]
pub struct PlatformError(pub String);

impl Platform {
    /// A platform without variant.
    pub fn new(os: impl Into<String>, architecture: impl Into<String>) -> Platform {
        Platform {
            os: os.into(),
            architecture: architecture.into(),
            variant: None,
            os_version: None,
            os_features: None,
        }
        .normalised()
    }

    /// What this machine runs.
    pub fn host() -> Platform {
        let mut platform = Platform::new("linux", std::env::consts::ARCH);
        if platform.architecture == "arm" {
            platform.variant = Some(host_arm_variant().into());
        }
        platform
    }

    /// The same platform with the field's many spellings made one (`x86_64` is `amd64`, `aarch64` and `arm64/v8` are `arm64`).
    pub fn normalised(mut self) -> Platform {
        self.os = match self.os.to_ascii_lowercase().as_str() {
            "macos" => "darwin".into(),
            other => other.into(),
        };
        let variant = self.variant.take().filter(|v| !v.is_empty()).map(|v| v.to_ascii_lowercase());
        let (architecture, variant) = match self.architecture.to_ascii_lowercase().as_str() {
            "x86_64" | "x86-64" | "amd64" => ("amd64".to_owned(), variant.filter(|v| v != "v1")),
            "i386" | "i486" | "i586" | "i686" | "x86" | "386" => ("386".to_owned(), None),
            "aarch64" | "arm64" => ("arm64".to_owned(), variant.filter(|v| v != "8" && v != "v8")),
            "armhf" => ("arm".to_owned(), Some("v7".to_owned())),
            "armel" => ("arm".to_owned(), Some("v6".to_owned())),
            "arm" => {
                let variant = match variant.as_deref() {
                    None | Some("7") => "v7".to_owned(),
                    Some("5" | "6" | "8") => format!("v{}", variant.as_deref().unwrap_or_default()),
                    Some(other) => other.to_owned(),
                };
                ("arm".to_owned(), Some(variant))
            }
            "powerpc64le" => ("ppc64le".to_owned(), variant),
            "loongarch64" | "loong64" => ("loong64".to_owned(), variant),
            other => (other.to_owned(), variant),
        };
        self.architecture = architecture;
        self.variant = variant;
        self
    }

    /// How well an image for `offered` suits a machine of this platform: `None` when not at all, else the higher the
    /// better. An exact match is best; then older variants of the same family, newest first; then what the processor
    /// can also run (arm on arm64, 386 on amd64).
    pub fn suits(&self, offered: &Platform) -> Option<u32> {
        let (want, offered) = (self.clone().normalised(), offered.clone().normalised());
        if want.os != offered.os {
            return None;
        }
        let level = |p: &Platform| variant_level(p);
        match (want.architecture.as_str(), offered.architecture.as_str()) {
            (a, b) if a == b => {
                if want.variant == offered.variant {
                    return Some(1000);
                }
                match (level(&want), level(&offered)) {
                    (Some(w), Some(o)) if o <= w => Some(500 + o),
                    _ => None,
                }
            }
            ("arm64", "arm") => level(&offered).filter(|l| *l <= 80).map(|l| 100 + l),
            ("amd64", "386") => Some(50),
            _ => None,
        }
    }
}

/// Variants as numbers that can be compared, ten for each step; no variant is the family's first.
fn variant_level(platform: &Platform) -> Option<u32> {
    let default = match platform.architecture.as_str() {
        "arm64" => "v8",
        "amd64" => "v1",
        "arm" => "v7",
        _ => return None,
    };
    let text = platform.variant.as_deref().unwrap_or(default).strip_prefix('v')?;
    let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
    let (major, minor): (u32, u32) = (major.parse().ok()?, minor.parse().ok()?);
    (major < 50 && minor < 10).then_some(major * 10 + minor)
}

fn host_arm_variant() -> &'static str {
    // /proc/cpuinfo is the only place where a 32-bit process sees the processor's generation.
    let info = fs_err::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = info.lines().find_map(|l| l.strip_prefix("CPU architecture")).unwrap_or_default();
    match field.trim_start_matches([' ', '\t', ':']) {
        f if f.starts_with('5') => "v5",
        f if f.starts_with('6') => "v6",
        f if f.starts_with('8') || f.starts_with("AArch64") => "v8",
        _ => "v7",
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    /// Reads `os`, `architecture`, `os/architecture` or `os/architecture/variant`.
    fn from_str(text: &str) -> Result<Platform, PlatformError> {
        let bad = || PlatformError(text.chars().take(100).collect());
        let parts: Vec<&str> = text.split('/').collect();
        if parts
            .iter()
            .any(|p| p.is_empty() || !p.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.')))
        {
            return Err(bad());
        }
        let platform = match parts[..] {
            [
                "linux" | "windows" | "darwin" | "macos" | "freebsd" | "netbsd" | "openbsd" | "solaris" | "illumos"
                | "wasi" | "wasip1",
            ] => Platform::new(parts[0], std::env::consts::ARCH),
            [architecture] => {
                let known =
                    ["386", "amd64", "arm", "arm64", "loong64", "mips64le", "ppc64le", "riscv64", "s390x", "wasm"];
                let platform = Platform::new("linux", architecture);
                if !known.contains(&platform.architecture.as_str()) {
                    return Err(bad());
                }
                platform
            }
            [os, architecture] => Platform::new(os, architecture),
            [os, architecture, variant] => Platform {
                variant: Some(variant.to_owned()),
                ..Platform {
                    os: os.into(),
                    architecture: architecture.into(),
                    variant: None,
                    os_version: None,
                    os_features: None,
                }
            }
            .normalised(),
            _ => return Err(bad()),
        };
        Ok(platform)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if let Some(variant) = &self.variant {
            write!(f, "/{variant}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p(text: &str) -> Platform {
        text.parse().unwrap()
    }

    #[test]
    fn spellings_become_one() {
        for (from, to) in [
            ("linux/x86_64", "linux/amd64"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/armhf", "linux/arm/v7"),
            ("linux/arm/6", "linux/arm/v6"),
            ("amd64", "linux/amd64"),
            ("Linux/I686", "linux/386"),
        ] {
            assert_eq!(p(from).to_string(), to, "{from}");
        }
        for bad in ["", "/", "linux/", "a/b/c/d", "nonsense", "linux/am d64"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }

    #[test]
    fn older_variants_suit_newer_machines() {
        let best = |want: &str, offers: &[&str]| {
            offers.iter().filter_map(|o| p(want).suits(&p(o)).map(|s| (s, o.to_string()))).max().map(|(_, o)| o)
        };
        assert_eq!(
            best("linux/arm/v7", &["linux/arm/v5", "linux/arm/v6", "linux/arm64"]).as_deref(),
            Some("linux/arm/v6")
        );
        assert_eq!(best("linux/arm/v6", &["linux/arm/v7"]), None);
        assert_eq!(
            best("linux/amd64", &["linux/amd64/v3", "linux/amd64", "linux/386"]).as_deref(),
            Some("linux/amd64")
        );
        assert_eq!(best("linux/amd64/v3", &["linux/amd64", "linux/amd64/v2"]).as_deref(), Some("linux/amd64/v2"));
        assert_eq!(best("linux/arm64", &["linux/arm/v7", "linux/amd64"]).as_deref(), Some("linux/arm/v7"));
        assert_eq!(best("linux/amd64", &["windows/amd64"]), None);
        assert_eq!(best("linux/riscv64", &["linux/riscv64"]).as_deref(), Some("linux/riscv64"));
    }
}
