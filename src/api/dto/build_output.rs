//! Attributes of outputs that hold an image, as `--output` and BuildKit's clients write them.

use hoist_build::{Compression, ImageOutput, Push};

use super::build::OutputOrder;

/// What was read so far.
#[derive(Debug, Default)]
pub struct ImageAttributes {
    how: ImageOutput,
    oci: Option<bool>,
    push: bool,
    by_digest: bool,
    canonical: bool,
    rewrite: bool,
}

/// `true`, `false`, or nothing for true.
///
/// # Errors
/// Another value.
pub fn truth(key: &str, value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "" | "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        other => Err(format!("{key} is true or false, not {other:?}")),
    }
}

impl ImageAttributes {
    /// The keys that there are, but for annotations.
    pub const KEYS: [&str; 9] = [
        "name",
        "push",
        "push-by-digest",
        "name-canonical",
        "oci-mediatypes",
        "rewrite-timestamp",
        "compression",
        "force-compression",
        "compression-level",
    ];

    /// Reads one; false if it is none of an image's.
    ///
    /// # Errors
    /// What is malformed, and what is not supported, with the reason.
    pub fn read(&mut self, key: &str, value: &str) -> Result<bool, String> {
        let how = &mut self.how;
        match key {
            "name" => {
                let names = value.split(',').map(str::trim).filter(|name| !name.is_empty());
                how.names.extend(names.map(str::to_owned));
                let mut seen = std::collections::BTreeSet::new();
                how.names.retain(|name| seen.insert(name.clone()));
            }
            "push" => self.push = truth(key, value)?,
            "push-by-digest" => self.by_digest = truth(key, value)?,
            "name-canonical" => self.canonical = truth(key, value)?,
            "oci-mediatypes" => self.oci = Some(truth(key, value)?),
            "rewrite-timestamp" => self.rewrite = truth(key, value)?,
            "force-compression" => how.layers.force = truth(key, value)?,
            "compression" => {
                how.layers.compression = Some(match value {
                    "gzip" => Compression::Gzip,
                    "zstd" => Compression::Zstd,
                    "uncompressed" => Compression::Uncompressed,
                    "estargz" => {
                        return Err("compression=estargz is not supported: gzip, zstd and uncompressed are".into());
                    }
                    other => {
                        return Err(format!("compression={other} is unknown: gzip, zstd and uncompressed are known"));
                    }
                });
            }
            "compression-level" => {
                let level = value.parse().map_err(|_| format!("compression-level={value}: expected a number"))?;
                how.layers.level = Some(level);
            }
            "store" | "unpack" if !truth(key, value)? => {
                return Err(format!("{key}=false is not supported: every image is kept, and unpacked"));
            }
            "store" | "unpack" => {}
            "dangling-name-prefix" => {
                return Err("dangling-name-prefix is not supported: an image without a name is known by its id".into());
            }
            "registry.insecure" => {
                return Err("registry.insecure is not supported: the daemon's settings say which registries are".into());
            }
            _ => return self.annotation(key, value),
        }
        Ok(true)
    }

    fn annotation(&mut self, key: &str, value: &str) -> Result<bool, String> {
        let Some((kind, name)) = key.split_once('.').filter(|(kind, _)| kind.starts_with("annotation")) else {
            return Ok(false);
        };
        let to = match kind {
            "annotation" | "annotation-manifest" => &mut self.how.annotations,
            "annotation-index" => &mut self.how.index_annotations,
            _ => {
                return Err(format!(
                    "{kind}.… is not supported: all manifests of an output are annotated alike, and its index"
                ));
            }
        };
        to.insert(name.to_owned(), value.to_owned());
        Ok(true)
    }

    /// What they come to, for an output of this type; `epoch`: the build has a `SOURCE_DATE_EPOCH`.
    ///
    /// # Errors
    /// What does not go together.
    pub fn finish(mut self, kind: &str, epoch: bool) -> Result<ImageOutput, String> {
        let layers = self.how.layers;
        let image = matches!(kind, "image" | "registry" | "moby");
        let push = image && (self.push || kind == "registry");
        if self.push && !image {
            return Err(format!("type={kind} cannot be pushed: type=image can"));
        }
        if self.rewrite && !epoch {
            return Err("rewrite-timestamp=true needs a time to write: set SOURCE_DATE_EPOCH".into());
        }
        if self.by_digest && !push {
            return Err("push-by-digest=true is for what is pushed: add push=true".into());
        }
        if self.canonical && !push {
            return Err("name-canonical=true is for what is pushed: only then has a name a digest".into());
        }
        if self.by_digest
            && let Some(name) = self.how.names.iter().find(|name| tagged(name))
        {
            return Err(format!("push-by-digest=true pushes no tag: write {name:?} without one"));
        }
        let range = match layers.compression {
            Some(Compression::Zstd) => 1..=22,
            None | Some(Compression::Gzip) => 0..=9,
            Some(Compression::Uncompressed) => i32::MAX..=i32::MAX,
        };
        if let Some(level) = layers.level.filter(|level| !range.contains(level)) {
            return Err(format!("compression-level={level} is none of gzip (0 to 9) or zstd (1 to 22)"));
        }
        if (layers.force || layers.level.is_some()) && layers.compression.is_none() {
            self.how.layers.compression = Some(Compression::Gzip);
        }
        let kept = image && !push;
        if kept && (layers.compression == Some(Compression::Zstd) || layers.level.is_some() || layers.force) {
            return Err(
                "an image that is kept here is not compressed: compression counts with push=true or a file".into()
            );
        }
        if layers.compression == Some(Compression::Zstd) {
            if self.oci == Some(false) || kind == "docker" {
                return Err(
                    "compression=zstd needs OCI's media types: oci-mediatypes=true, or type=oci for a file".into()
                );
            }
            self.oci = Some(true);
        }
        match (kind, self.oci) {
            ("docker", Some(true)) => {
                return Err("an archive for docker load has Docker's media types: use type=oci".into());
            }
            ("oci", Some(false)) => return Err("type=oci has OCI's media types: use type=docker".into()),
            _ => self.how.oci = self.oci.unwrap_or(false),
        }
        if push {
            self.how.push = Some(if self.by_digest { Push::Digest } else { Push::Tag });
        }
        Ok(self.how)
    }
}

fn tagged(name: &str) -> bool {
    hoist_image::Reference::parse(name).is_ok_and(|name| name.tag().is_some() || name.digest().is_some())
}

impl OutputOrder {
    /// The image that it holds.
    pub fn image(&self) -> Option<&ImageOutput> {
        match self {
            Self::Image(how) | Self::Docker(how) | Self::Oci(how) => Some(how),
            _ => None,
        }
    }

    /// An image here, that is pushed or not.
    pub fn an_image(push: bool) -> Self {
        Self::Image(ImageOutput { push: push.then_some(Push::Tag), ..ImageOutput::default() })
    }

    pub fn pushes(&self) -> bool {
        self.image().is_some_and(|how| how.push.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: &str, attributes: &[(&str, &str)]) -> Result<ImageOutput, String> {
        let mut image = ImageAttributes::default();
        for (key, value) in attributes {
            assert!(image.read(key, value)?, "{key}");
        }
        image.finish(kind, false)
    }

    #[test]
    fn attributes_of_an_image() {
        let how =
            read("image", &[("name", "a/b, c"), ("push", "true"), ("push-by-digest", ""), ("name-canonical", "true")]);
        let how = how.unwrap();
        assert_eq!((how.names, how.push), (vec!["a/b".to_owned(), "c".to_owned()], Some(Push::Digest)));
        let how = read("registry", &[("compression", "zstd"), ("compression-level", "19"), ("force-compression", "1")]);
        let how = how.unwrap();
        assert_eq!((how.oci, how.layers.compression, how.layers.level), (true, Some(Compression::Zstd), Some(19)));
        let how =
            read("oci", &[("annotation.a", "1"), ("annotation-index.b", "2"), ("compression-level", "9")]).unwrap();
        assert_eq!((how.annotations["a"].as_str(), how.index_annotations["b"].as_str()), ("1", "2"));
        assert_eq!(how.layers.compression, Some(Compression::Gzip));
        assert!(!ImageAttributes::default().read("dest", "x").unwrap());
        // Each is known, whatever becomes of the value.
        assert!(ImageAttributes::KEYS.iter().all(|key| ImageAttributes::default().read(key, "x") != Ok(false)));
    }

    #[test]
    fn what_is_not_supported_is_refused_with_its_reason() {
        for (kind, attributes, words) in [
            ("image", [("compression", "zstd")].as_slice(), "an image that is kept here is not compressed"),
            ("image", &[("compression", "estargz")], "compression=estargz is not supported"),
            ("image", &[("compression", "lz4")], "compression=lz4 is unknown"),
            ("registry", &[("compression-level", "10")], "compression-level=10"),
            ("registry", &[("compression", "uncompressed"), ("compression-level", "1")], "compression-level=1"),
            ("registry", &[("compression", "zstd"), ("oci-mediatypes", "false")], "needs OCI's media types"),
            ("docker", &[("compression", "zstd")], "needs OCI's media types"),
            ("docker", &[("oci-mediatypes", "true")], "use type=oci"),
            ("oci", &[("push", "true")], "type=oci cannot be pushed"),
            ("image", &[("push-by-digest", "true")], "add push=true"),
            ("registry", &[("push-by-digest", "true"), ("name", "a:1")], "write \"a:1\" without one"),
            ("image", &[("name-canonical", "true")], "for what is pushed"),
            ("image", &[("store", "false")], "store=false is not supported"),
            ("image", &[("unpack", "false")], "unpack=false is not supported"),
            ("image", &[("dangling-name-prefix", "x")], "known by its id"),
            ("image", &[("rewrite-timestamp", "true")], "set SOURCE_DATE_EPOCH"),
            ("image", &[("annotation-manifest-descriptor.a", "1")], "annotated alike"),
            ("image", &[("push", "perhaps")], "push is true or false"),
        ] {
            let error = read(kind, attributes).unwrap_err();
            assert!(error.contains(words), "{kind} {attributes:?}: {error}");
        }
    }
}
