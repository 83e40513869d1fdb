//! Names of images, as far as the command line must know them.

use crate::cli::failure::Failure;

/// Repository and tag (or digest); without one, the tag is empty.
pub fn split(image: &str) -> (&str, &str) {
    if let Some((name, digest)) = image.split_once('@') {
        return (name, digest);
    }
    match image.rsplit_once(':') {
        // A colon before the last slash is a port.
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (image, ""),
    }
}

/// As [`split`], of a name that an image is to get: it can have no digest.
///
/// # Errors
/// For what is no name.
pub fn checked(image: &str) -> Result<(&str, &str), Failure> {
    let wrong = |why: String| Failure::new(format!("invalid name of an image {image:?}: {why}"));
    let parsed = hoist_image::Reference::parse(image).map_err(|error| wrong(error.to_string()))?;
    match parsed.digest() {
        Some(_) => Err(wrong("it is by its digest that an image is found, not named".to_owned())),
        None => Ok(split(image)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(split("busybox"), ("busybox", ""));
        assert_eq!(split("localhost:5000/a/b"), ("localhost:5000/a/b", ""));
        assert_eq!(split("localhost:5000/a:1"), ("localhost:5000/a", "1"));
        assert_eq!(split("a@sha256:00"), ("a", "sha256:00"));
        assert_eq!(checked("localhost:5000/a:1").unwrap(), ("localhost:5000/a", "1"));
        for wrong in ["a:B:c", "Up", "", &format!("a@sha256:{}", "0".repeat(64))] {
            assert!(checked(wrong).is_err(), "{wrong}");
        }
    }
}
