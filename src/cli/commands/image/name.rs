//! Names of images, as far as the command line must know them.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(split("busybox"), ("busybox", ""));
        assert_eq!(split("localhost:5000/a/b"), ("localhost:5000/a/b", ""));
        assert_eq!(split("localhost:5000/a:1"), ("localhost:5000/a", "1"));
        assert_eq!(split("a@sha256:00"), ("a", "sha256:00"));
    }
}
