//! `# syntax=…`: which language a file is in.

use super::{Directives, Error, Span};

impl Directives {
    /// Refuses files in another language than Dockerfile's, whose readers are programs from a registry. `chosen` is
    /// what the build asks for in place of the file's own directive (`BUILDKIT_SYNTAX`).
    ///
    /// # Errors
    /// Another language, with the directive's place.
    pub fn check_frontend(&self, chosen: Option<&str>) -> Result<(), Error> {
        let expected = "expected docker/dockerfile: readers of other languages are not supported";
        match (chosen.filter(|text| !text.is_empty()), &self.syntax) {
            (Some(text), _) if !is_dockerfile(text) => {
                Err(Error::at(Span::default(), format!("found {text:?}, {expected}")).in_file("BUILDKIT_SYNTAX"))
            }
            (None, Some(word)) if !is_dockerfile(&word.text) => {
                Err(Error::at(word.span, format!("found the syntax {:?}, {expected}", word.text)))
            }
            _ => Ok(()),
        }
    }
}

/// Any version of Docker's own language, which is what is read here.
fn is_dockerfile(reference: &str) -> bool {
    // Arguments may follow.
    let reference = reference.split_whitespace().next().unwrap_or_default();
    let name = reference.split('@').next().unwrap_or_default();
    let name = name.strip_prefix("docker.io/").unwrap_or(name);
    let name = name.split(':').next().unwrap_or_default();
    ["docker/dockerfile", "docker/dockerfile-upstream", "dockerfile.v0"].contains(&name)
}

#[cfg(test)]
mod tests {
    use crate::dockerfile::parse;

    #[test]
    fn only_dockerfiles_are_read() {
        for syntax in ["docker/dockerfile:1", "docker.io/docker/dockerfile:1.7-labs@sha256:00", "dockerfile.v0"] {
            let file = parse("Dockerfile", format!("# syntax={syntax}\nFROM a").as_bytes()).unwrap();
            assert_eq!(file.directives.check_frontend(None), Ok(()), "{syntax}");
        }
        let other = parse("Dockerfile", b"# syntax = x/mocker:1\napiVersion: v1\nimages: []").unwrap_err();
        assert_eq!(
            other.to_string(),
            "Dockerfile:1:12: found the syntax \"x/mocker:1\", expected docker/dockerfile: readers of other languages are \
             not supported"
        );
        let file = parse("Dockerfile", b"# syntax=x/y\nFROM a").unwrap();
        assert!(file.directives.check_frontend(None).is_err());
        assert_eq!(file.directives.check_frontend(Some("dockerfile.v0")), Ok(()));
        let chosen = file.directives.check_frontend(Some("x/z")).unwrap_err().to_string();
        assert!(chosen.starts_with("BUILDKIT_SYNTAX: found \"x/z\""), "{chosen}");
    }
}
