//! Image references in Docker's grammar: `[domain/]path[:tag][@digest]`, with what is left out filled in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::Digest;

/// The registry of names that give none.
pub const DEFAULT_DOMAIN: &str = "docker.io";
/// The tag of references that give neither tag nor digest.
pub const DEFAULT_TAG: &str = "latest";
const OFFICIAL_PREFIX: &str = "library/";
const MAX_NAME: usize = 255;
const MAX_TAG: usize = 128;

/// A normalised reference. The domain and path are always present; tag and digest only if given.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text is no reference.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReferenceError {
    /// Nothing was given.
    #[error("invalid reference format: repository name must have at least one component")]
    Empty,
    /// The text does not follow the grammar.
    #[error("invalid reference format: {0:?}")]
    Format(String),
    /// The path has capitals.
    #[error("invalid reference format: repository name ({0}) must be lowercase")]
    Uppercase(String),
    /// 64 hexadecimal digits look like an image id.
    #[error("invalid repository name ({0}), cannot specify 64-byte hexadecimal strings")]
    Identifier(String),
    /// The name is longer than registries take.
    #[error("repository name must not be more than 255 characters")]
    TooLong,
    /// The part after `:`.
    #[error("invalid tag {0:?}: letters, digits, \"_\", \".\" and \"-\", at most 128, the first no \".\" or \"-\"")]
    Tag(String),
    /// The part after `@`.
    #[error("invalid reference format")]
    Digest(#[source] crate::digest::DigestError),
}

impl Reference {
    /// Reads what a person types. Nothing is added for a missing tag; see [`Reference::with_default_tag`].
    pub fn parse(text: &str) -> Result<Reference, ReferenceError> {
        let shown = || text.chars().take(300).collect::<String>();
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        if is_identifier(text) {
            return Err(ReferenceError::Identifier(shown()));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse::<Digest>().map_err(ReferenceError::Digest)?)),
            None => (text, None),
        };
        let (name, tag) = split_tag(rest);
        if name.is_empty() {
            return Err(ReferenceError::Empty);
        }
        let (domain, path) = split_domain(name);
        if path.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(ReferenceError::Uppercase(path));
        }
        if !is_domain(&domain) || !is_path(&path) {
            return Err(ReferenceError::Format(shown()));
        }
        if path.len() > MAX_NAME {
            return Err(ReferenceError::TooLong);
        }
        if let Some(tag) = tag
            && !is_tag(tag)
        {
            return Err(ReferenceError::Tag(tag.chars().take(200).collect()));
        }
        Ok(Reference { domain, path, tag: tag.map(str::to_owned), digest })
    }

    /// The registry's name as people write it (`docker.io`, `localhost:5000`, `[::1]:5000`).
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository's path at the registry (`library/busybox`).
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag, if given.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if given.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Domain and path: the normalised name without tag and digest.
    pub fn name(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// The name as people write it: `busybox` for `docker.io/library/busybox`. It stays as it is where a shorter one
    /// would be read as something else, as another registry's for instance.
    pub fn familiar_name(&self) -> String {
        if self.domain != DEFAULT_DOMAIN {
            return self.name();
        }
        let same = |short: &&str| {
            let (domain, path) = split_domain(short);
            domain == self.domain && path == self.path && !is_identifier(short)
        };
        let shortest = self.path.strip_prefix(OFFICIAL_PREFIX).filter(same);
        shortest.or(Some(self.path.as_str()).filter(same)).map_or_else(|| self.name(), str::to_owned)
    }

    /// The whole reference as people write it.
    pub fn familiar(&self) -> String {
        self.with_suffix(self.familiar_name())
    }

    /// Adds `latest` where neither tag nor digest is given.
    pub fn with_default_tag(mut self) -> Reference {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some(DEFAULT_TAG.to_owned());
        }
        self
    }

    /// The same repository with this tag and no digest.
    pub fn with_tag(&self, tag: &str) -> Result<Reference, ReferenceError> {
        if !is_tag(tag) {
            return Err(ReferenceError::Tag(tag.chars().take(200).collect()));
        }
        Ok(Reference { tag: Some(tag.to_owned()), digest: None, ..self.clone() })
    }

    /// The same repository with this digest and no tag.
    pub fn with_digest(&self, digest: Digest) -> Reference {
        Reference { tag: None, digest: Some(digest), ..self.clone() }
    }

    /// The same repository without tag and digest.
    pub fn repository(&self) -> Reference {
        Reference { tag: None, digest: None, ..self.clone() }
    }

    fn with_suffix(&self, mut text: String) -> String {
        if let Some(tag) = &self.tag {
            text.push(':');
            text.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            text.push('@');
            text.push_str(&digest.to_string());
        }
        text
    }
}

/// Splits the tag off: what follows the last colon, unless a slash follows it (then it was a port).
fn split_tag(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (text, None),
    }
}

/// Splits the domain off as Docker does: the part before the first slash is one only if it looks like a host.
fn split_domain(name: &str) -> (String, String) {
    let (domain, path) = match name.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':']) || first == "localhost" || first.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            (first, rest)
        }
        _ => (DEFAULT_DOMAIN, name),
    };
    let domain = if domain == "index.docker.io" { DEFAULT_DOMAIN } else { domain };
    if domain == DEFAULT_DOMAIN && !path.contains('/') {
        return (domain.to_owned(), format!("{OFFICIAL_PREFIX}{path}"));
    }
    (domain.to_owned(), path.to_owned())
}

fn is_identifier(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_domain(text: &str) -> bool {
    let (host, port) = if text.starts_with('[') {
        let Some(end) = text.find(']') else {
            return false;
        };
        (&text[..=end], text[end + 1..].strip_prefix(':').or(if text.len() == end + 1 { Some("0") } else { None }))
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, Some("0")),
        }
    };
    if !port.is_some_and(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit())) {
        return false;
    }
    if let Some(v6) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        return !v6.is_empty() && v6.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
    }
    host.split('.').all(|part| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    })
}

fn is_path(text: &str) -> bool {
    !text.is_empty() && text.split('/').all(is_path_component)
}

/// Lower-case letters and digits, joined by one `.`, one or two `_`, or any number of `-`.
fn is_path_component(text: &str) -> bool {
    let is_alnum = |b: &u8| matches!(b, b'a'..=b'z' | b'0'..=b'9');
    let bytes = text.as_bytes();
    if !bytes.first().is_some_and(is_alnum) || !bytes.last().is_some_and(is_alnum) {
        return false;
    }
    bytes.split(is_alnum).all(|sep| matches!(sep, b"" | b"." | b"_" | b"__") || sep.iter().all(|b| *b == b'-'))
}

fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    !text.is_empty()
        && text.len() <= MAX_TAG
        && word(text.as_bytes()[0])
        && text.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'))
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Reference, ReferenceError> {
        Reference::parse(text)
    }
}

impl fmt::Display for Reference {
    /// The normalised form.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.with_suffix(self.name()))
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Reference, D::Error> {
        let text = String::deserialize(deserializer)?;
        Reference::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SHA: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn fills_in_and_takes_away() {
        for (text, full, familiar) in [
            ("busybox", "docker.io/library/busybox", "busybox"),
            ("busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"),
            ("index.docker.io/busybox", "docker.io/library/busybox", "busybox"),
            ("docker.io/me/app", "docker.io/me/app", "me/app"),
            ("me/app:v1", "docker.io/me/app:v1", "me/app:v1"),
            ("library/a/b", "docker.io/library/a/b", "library/a/b"),
            // Without its registry it would be another registry's.
            ("docker.io/a.io/b", "docker.io/a.io/b", "docker.io/a.io/b"),
            ("localhost/app", "localhost/app", "localhost/app"),
            ("localhost:5000/app:x", "localhost:5000/app:x", "localhost:5000/app:x"),
            ("127.0.0.1:5000/a/b", "127.0.0.1:5000/a/b", "127.0.0.1:5000/a/b"),
            ("[::1]:5000/app", "[::1]:5000/app", "[::1]:5000/app"),
            ("[2001:db8::1]/app", "[2001:db8::1]/app", "[2001:db8::1]/app"),
            ("Host/app", "Host/app", "Host/app"),
            ("gcr.io/a__b/c---d/e.f", "gcr.io/a__b/c---d/e.f", "gcr.io/a__b/c---d/e.f"),
        ] {
            let r = Reference::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(r.to_string(), full, "{text}");
            assert_eq!(r.familiar(), familiar, "{text}");
        }
        let r = Reference::parse(&format!("a:b@{SHA}")).unwrap();
        assert_eq!((r.tag(), r.digest().map(ToString::to_string).as_deref()), (Some("b"), Some(SHA)));
        assert_eq!(Reference::parse("a").unwrap().with_default_tag().tag(), Some("latest"));
        assert_eq!(Reference::parse(&format!("a@{SHA}")).unwrap().with_default_tag().tag(), None);
    }

    #[test]
    fn names_what_is_wrong() {
        use ReferenceError as E;
        let err = |t: &str| Reference::parse(t).unwrap_err();
        assert_eq!(err(""), E::Empty);
        assert_eq!(err(":tag"), E::Empty);
        assert_eq!(err("Busybox"), E::Uppercase("library/Busybox".into()));
        assert!(matches!(err(&"a".repeat(64)), E::Identifier(_)));
        assert!(matches!(err("a:-x"), E::Tag(_)));
        assert!(matches!(err(&format!("a:{}", "x".repeat(129))), E::Tag(_)));
        assert!(matches!(err("a@sha256:12"), E::Digest(_)));
        assert_eq!(err(&format!("x.y/{}", "a".repeat(256))), E::TooLong);
        for bad in [
            "a..b", "a___b", "-a", "a-", "a//b", "/a", "a/", "a b", "x.y:/a", "x.y:1x/a", "[::1/a", "[]/a", "a.-b.c/x",
            "é",
        ] {
            assert!(matches!(err(bad), E::Format(_)), "{bad}: {:?}", err(bad));
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,80}") {
            let _ = Reference::parse(&text);
        }

        #[test]
        fn what_is_read_is_read_again(text in "([a-zA-Z0-9.:\\-\\[\\]]{1,12}/)?[a-z0-9._\\-/]{1,20}(:[a-zA-Z0-9_.\\-]{1,10})?") {
            if let Ok(r) = Reference::parse(&text) {
                prop_assert_eq!(&Reference::parse(&r.to_string()).unwrap(), &r);
                prop_assert_eq!(&Reference::parse(&r.familiar()).unwrap(), &r);
            }
        }
    }
}
