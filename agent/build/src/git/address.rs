//! Addresses of repositories, as Docker's builders read them.

use crate::BuildError;

/// A repository, what of it is wanted, and where in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GitSource {
    /// Where it is.
    pub url: String,
    /// A branch, a tag, a commit or a full reference; the default branch when `None`.
    pub reference: Option<String>,
    /// The directory that counts; all of it when `None`.
    pub directory: Option<String>,
    /// What the commit must begin with, in small letters; a whole one alone stands for the reference.
    pub checksum: Option<String>,
    /// Whether git's own directory stays, where the address says so.
    pub keep_git_dir: Option<bool>,
    /// Whether repositories inside this one are fetched as well; they are unless the address says no.
    pub submodules: Option<bool>,
}

/// The schemes that only repositories have.
const SCHEMES: [&str; 3] = ["git://", "ssh://", "git@"];

impl GitSource {
    /// Reads an address: `git@…`, `git://…`, `ssh://…`, and `http(s)://…/….git`, each with a query
    /// (`?branch=…&subdir=…`) or `#reference:directory` at its end if wanted. `None` for what is no repository.
    ///
    /// # Errors
    /// A key of the query that has no meaning, or two that say different things.
    pub fn parse(text: &str) -> Result<Option<Self>, BuildError> {
        let (address, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (url, query) = address.split_once('?').unwrap_or((address, ""));
        let web = url.starts_with("http://") || url.starts_with("https://");
        let git = SCHEMES.iter().any(|scheme| url.starts_with(scheme))
            || (web && url.trim_end_matches('/').ends_with(".git"));
        if !git {
            return Ok(None);
        }
        let (reference, directory) = fragment.split_once(':').unwrap_or((fragment, ""));
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let mut source =
            Self { url: url.to_owned(), reference: some(reference), directory: some(directory), ..Self::default() };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            source
                .say(key, &plain(value))
                .map_err(|why| BuildError::Request(format!("{url}: {why} in the query of its address")))?;
        }
        Ok(Some(source))
    }

    /// One key of the query.
    fn say(&mut self, key: &str, value: &str) -> Result<(), String> {
        let flag = || match value {
            "" | "1" | "t" | "true" => Ok(Some(true)),
            "0" | "f" | "false" => Ok(Some(false)),
            other => Err(format!("found {key}={other}, expected true or false")),
        };
        let below = |prefix: &str| {
            if value.starts_with(prefix) { value.to_owned() } else { format!("{prefix}{value}") }
        };
        let (slot, value) = match key {
            "keep-git-dir" => {
                self.keep_git_dir = flag()?;
                return Ok(());
            }
            "submodules" => {
                self.submodules = flag()?;
                return Ok(());
            }
            "ref" | "tag" | "branch" | "subdir" | "checksum" | "commit" if value.is_empty() => {
                return Err(format!("found {key} without a value, expected {key}=…"));
            }
            "ref" => (&mut self.reference, value.to_owned()),
            "tag" => (&mut self.reference, below("refs/tags/")),
            "branch" => (&mut self.reference, below("refs/heads/")),
            "subdir" => (&mut self.directory, value.to_owned()),
            "checksum" | "commit" => {
                if !value.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    return Err(format!("found {key}={value}, expected a commit or its beginning"));
                }
                (&mut self.checksum, value.to_ascii_lowercase())
            }
            other => {
                let known = ["ref", "tag", "branch", "subdir", "checksum", "commit", "keep-git-dir", "submodules"];
                let near = crate::dockerfile::near(other, known).map(|near| format!("; did you mean {near}?"));
                return Err(format!("found {other:?}, expected {}{}", known.join(", "), near.unwrap_or_default()));
            }
        };
        match slot.replace(value.clone()) {
            Some(before) if before != value => {
                Err(format!("found {key}={value} beside {before:?}, expected one of them"))
            }
            _ => Ok(()),
        }
    }

    /// The repository's name, as a clone's directory would have it.
    pub fn name(&self) -> &str {
        let path = self.url.trim_end_matches('/');
        let last = path.rsplit(['/', ':']).next().unwrap_or(path);
        last.strip_suffix(".git").unwrap_or(last)
    }
}

/// A value of a query with `%2F` and its like, and `+` for a space, as what they stand for.
fn plain(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        let digits = more.get(..2).filter(|_| *first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &more[2..];
            }
            None => {
                bytes.push(if *first == b'+' { b' ' } else { *first });
                rest = more;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_told_from_files() {
        let parts = |text| GitSource::parse(text).unwrap().map(|git| (git.url, git.reference, git.directory));
        let whole = |url: &str, reference: Option<&str>, directory: Option<&str>| {
            Some((url.to_owned(), reference.map(str::to_owned), directory.map(str::to_owned)))
        };
        assert_eq!(parts("https://x/y.git#v1:sub/dir"), whole("https://x/y.git", Some("v1"), Some("sub/dir")));
        assert_eq!(parts("git@x:y.git"), whole("git@x:y.git", None, None));
        assert_eq!(parts("git://x/y#:d"), whole("git://x/y", None, Some("d")));
        assert_eq!(parts("https://x/y.git/"), whole("https://x/y.git/", None, None));
        assert_eq!((parts("https://x/y.tar.gz"), parts("x/y.git"), parts("http://x/#a.git")), (None, None, None));
        assert_eq!(parts("https://x/y?z=a.git"), None);
        let name = |text| GitSource::parse(text).unwrap().unwrap().name().to_owned();
        assert_eq!((name("git@x:user/y.git"), name("https://x/z.git/#b")), ("y".into(), "z".into()));
    }

    #[test]
    fn queries_say_what_fragments_do_and_more() {
        let read = |query: &str| GitSource::parse(&format!("https://x/y.git{query}"));
        let source = read("?branch=a%2Fb&subdir=docs&commit=AB12&keep-git-dir&submodules=false").unwrap().unwrap();
        let wanted = GitSource {
            url: "https://x/y.git".into(),
            reference: Some("refs/heads/a/b".into()),
            directory: Some("docs".into()),
            checksum: Some("ab12".into()),
            keep_git_dir: Some(true),
            submodules: Some(false),
        };
        assert_eq!(source, wanted);
        assert_eq!(read("?tag=v1").unwrap().unwrap().reference.as_deref(), Some("refs/tags/v1"));
        assert_eq!(read("?ref=pull/42/head#").unwrap().unwrap().reference.as_deref(), Some("pull/42/head"));
        for (query, words) in [
            ("?brunch=x", "did you mean branch?"),
            ("?tag=a&branch=b", "found branch=refs/heads/b beside \"refs/tags/a\""),
            ("?ref=a#b", "beside \"b\""),
            ("?ref", "found ref without a value"),
            ("?checksum=xyz", "expected a commit"),
            ("?submodules=maybe", "expected true or false"),
        ] {
            let error = read(query).unwrap_err().message();
            assert!(error.starts_with("https://x/y.git: ") && error.contains(words), "{query}: {error}");
        }
    }
}
