//! `--cache-from` and `--cache-to`: what was asked for, read before anything is done.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::{BuildError, BuildRequest, CacheLocation, CachePlace, Compression};

/// A cache to write.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// As a person wrote it, for progress.
    pub name: String,
    pub place: CachePlace,
    /// The steps of all stages, not only of the result.
    pub all: bool,
    pub compression: Compression,
    /// A build does not fail because of it.
    pub optional: bool,
}

/// All caches to write.
#[derive(Debug, Clone, Default)]
pub(crate) struct Targets {
    /// Into the image itself.
    pub inline: bool,
    pub others: Vec<Target>,
}

/// Kinds that others have, and that need a service of theirs.
const FOREIGN: [&str; 3] = ["gha", "s3", "azblob"];

struct Options<'l> {
    flag: &'static str,
    kind: &'l str,
    left: BTreeMap<&'l str, &'l str>,
}

impl<'l> Options<'l> {
    fn new(flag: &'static str, location: &'l CacheLocation) -> Self {
        let left = location.options.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        Self { flag, kind: &location.kind, left }
    }

    fn wrong(&self, why: impl std::fmt::Display) -> BuildError {
        BuildError::Request(format!("{} type={}: {why}", self.flag, self.kind))
    }

    fn needs(&mut self, key: &str) -> Result<&'l str, BuildError> {
        let value = self.left.remove(key).filter(|value| !value.is_empty());
        value.ok_or_else(|| self.wrong(format!("needs {key}=…")))
    }

    fn flag(&mut self, key: &str, default: bool) -> Result<bool, BuildError> {
        match self.left.remove(key) {
            None => Ok(default),
            Some("true" | "1") => Ok(true),
            Some("false" | "0") => Ok(false),
            Some(other) => Err(self.wrong(format!("{key} is true or false, not {other:?}"))),
        }
    }

    /// Everything must have been understood.
    fn end(self) -> Result<(), BuildError> {
        match self.left.keys().next() {
            Some(key) => Err(self.wrong(format!("the key {key} is not supported"))),
            None => Ok(()),
        }
    }

    fn unknown(&self, known: &str) -> BuildError {
        let why = if FOREIGN.contains(&self.kind) { "is a service that is not supported" } else { "is unknown" };
        self.wrong(format!("this kind of cache {why}; there are {known}"))
    }
}

/// The caches to read, each with its name for progress.
///
/// # Errors
/// What makes no sense or is not supported, by name.
pub(crate) fn sources(request: &BuildRequest) -> Result<Vec<(String, CachePlace)>, BuildError> {
    let mut found = Vec::new();
    for location in &request.cache_from {
        let mut options = Options::new("--cache-from", location);
        found.push(match location.kind.as_str() {
            "registry" => {
                let reference = options.needs("ref")?.to_owned();
                (reference.clone(), CachePlace::Registry { reference, auth: request.auth.clone() })
            }
            "local" => {
                let name = options.left.remove("name");
                let path = options.needs("src")?;
                (name.unwrap_or(path).to_owned(), CachePlace::Directory(PathBuf::from(path)))
            }
            "inline" => return Err(options.wrong("an inline cache is read from its image: type=registry,ref=IMAGE")),
            _ => return Err(options.unknown("registry and local")),
        });
        options.end()?;
    }
    Ok(found)
}

/// The caches to write.
///
/// # Errors
/// What makes no sense or is not supported, by name.
pub(crate) fn targets(request: &BuildRequest) -> Result<Targets, BuildError> {
    let mut targets = Targets { inline: request.switch("BUILDKIT_INLINE_CACHE")?, ..Targets::default() };
    for location in &request.cache_to {
        let mut options = Options::new("--cache-to", location);
        let all = match options.left.remove("mode") {
            None | Some("min") => false,
            Some("max") => true,
            Some(other) => return Err(options.wrong(format!("mode is min or max, not {other:?}"))),
        };
        let (name, place) = match location.kind.as_str() {
            "inline" => {
                if all {
                    return Err(options.wrong("an image has its own layers only, so mode=max is not possible"));
                }
                targets.inline = true;
                options.end()?;
                continue;
            }
            "registry" => {
                let reference = options.needs("ref")?.to_owned();
                (reference.clone(), CachePlace::Registry { reference, auth: request.auth.clone() })
            }
            "local" => {
                let name = options.left.remove("name");
                let path = options.needs("dest")?;
                (name.unwrap_or(path).to_owned(), CachePlace::Directory(PathBuf::from(path)))
            }
            _ => return Err(options.unknown("registry, local and inline")),
        };
        let compression = match options.left.remove("compression") {
            None | Some("gzip") => Compression::Gzip,
            Some("zstd") => Compression::Zstd,
            Some("uncompressed") => Compression::Uncompressed,
            Some("estargz") => {
                return Err(options.wrong("compression=estargz is not supported: gzip, zstd and uncompressed are"));
            }
            Some(other) => {
                return Err(options.wrong(format!("compression is gzip, zstd or uncompressed, not {other:?}")));
            }
        };
        let optional = options.flag("ignore-error", false)?;
        for key in ["oci-mediatypes", "image-manifest"] {
            if !options.flag(key, true)? {
                return Err(options.wrong(format!("{key}=false is not supported: caches are written as OCI images")));
            }
        }
        options.end()?;
        targets.others.push(Target { name, place, all, compression, optional });
    }
    Ok(targets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(text: &str) -> CacheLocation {
        let mut options: BTreeMap<String, String> =
            text.split(',').filter_map(|part| part.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect();
        CacheLocation { kind: options.remove("type").unwrap(), options }
    }

    #[test]
    fn what_is_not_supported_is_named() {
        let to = |text: &str| {
            let request = BuildRequest { cache_to: vec![location(text)], ..BuildRequest::default() };
            targets(&request).map_err(|error| error.to_string())
        };
        let from = |text: &str| {
            let request = BuildRequest { cache_from: vec![location(text)], ..BuildRequest::default() };
            sources(&request).map_err(|error| error.to_string())
        };
        let target = to("type=registry,ref=x/y:c,mode=max,compression=zstd,ignore-error=true").unwrap();
        let target = &target.others[0];
        assert!(target.all && target.optional && target.compression == Compression::Zstd);
        assert!(to("type=inline").unwrap().inline);
        for (text, words) in [
            ("type=registry", "needs ref="),
            ("type=registry,ref=a,mode=all", "mode is min or max"),
            ("type=registry,ref=a,force-compression=true", "the key force-compression is not supported"),
            ("type=registry,ref=a,image-manifest=false", "image-manifest=false is not supported"),
            ("type=inline,mode=max", "mode=max is not possible"),
            ("type=registry,ref=a,compression=estargz", "compression=estargz is not supported"),
            ("type=registry,ref=a,compression-level=3", "the key compression-level is not supported"),
            ("type=gha", "a service that is not supported"),
            ("type=s3,region=x,bucket=y", "a service that is not supported"),
            ("type=azblob,name=x", "a service that is not supported"),
        ] {
            assert!(to(text).unwrap_err().contains(words), "{text}");
        }
        assert!(from("type=local,src=/x").is_ok());
        assert!(from("type=inline").unwrap_err().contains("type=registry,ref=IMAGE"));
        assert!(from("type=locl").unwrap_err().contains("is unknown; there are registry and local"));
    }
}
