//! `.dockerignore`: which paths of a context are left out, by the rules that Docker's own client follows.

use regex::Regex;

use super::{Error, Pos, Span};

/// The rules of one file, in its order; the last that matches a path or a directory above it decides.
#[derive(Clone, Debug, Default)]
pub struct IgnoreFile {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
struct Rule {
    /// `!pattern`: what it matches is kept.
    keep: bool,
    regex: Regex,
    components: Vec<String>,
}

/// Which rules match a directory, so that its children need not ask again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matches(Vec<bool>);

/// Where the rules for a Dockerfile are looked for, first match wins: `NAME.dockerignore` beside the Dockerfile, then
/// `.dockerignore` at the context's root.
pub fn ignore_file_names(dockerfile: &str) -> [String; 2] {
    [format!("{dockerfile}.dockerignore"), ".dockerignore".to_owned()]
}

impl IgnoreFile {
    /// Reads a file; `name` is what errors call it.
    ///
    /// # Errors
    /// A pattern with an open `[`, a range that runs backwards, a lone `!`.
    pub fn parse(name: &str, text: &str) -> Result<Self, Error> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut rules = Vec::new();
        for (index, line) in text.lines().enumerate() {
            if line.starts_with('#') || line.trim().is_empty() {
                continue;
            }
            let rule = Rule::read(line.trim()).map_err(|message| {
                let start = Pos { line: index as u32 + 1, column: 1 };
                let end = Pos { line: start.line, column: 1 + line.chars().count() as u32 };
                Error::at(Span { start, end }, message).in_file(name)
            })?;
            rules.extend(rule);
        }
        Ok(Self { rules })
    }

    /// Rules from patterns, as `COPY --exclude` takes them.
    ///
    /// # Errors
    /// As [`IgnoreFile::parse`], in words without a place.
    pub fn from_patterns<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut rules = Vec::new();
        for pattern in patterns {
            rules.extend(Rule::read(pattern.trim())?);
        }
        Ok(Self { rules })
    }

    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether a path relative to the context (`a/b`, no `./`) is left out.
    pub fn is_ignored(&self, path: &str) -> bool {
        let mut matches = Matches::default();
        for end in path.match_indices('/').map(|(at, _)| at).chain([path.len()]) {
            matches = self.step(&matches, path.get(..end).unwrap_or_default());
        }
        self.ignores(&matches)
    }

    /// What matches a path, given what matches its directory (`Matches::default()` at the root).
    pub fn step(&self, parent: &Matches, path: &str) -> Matches {
        let above = |index: usize| parent.0.get(index).copied().unwrap_or(false);
        let matched = |(index, rule): (usize, &Rule)| above(index) || rule.regex.is_match(path);
        Matches(self.rules.iter().enumerate().map(matched).collect())
    }

    /// Whether a path with these matches is left out.
    pub fn ignores(&self, matches: &Matches) -> bool {
        let decided = self.rules.iter().zip(&matches.0).rfind(|(_, matched)| **matched);
        decided.is_some_and(|(rule, _)| !rule.keep)
    }

    /// Whether something below an ignored directory may be kept by a `!` rule, so that it must be walked.
    pub fn may_keep_below(&self, directory: &str) -> bool {
        let components: Vec<&str> = directory.split('/').collect();
        self.rules.iter().filter(|rule| rule.keep).any(|rule| rule.may_match_below(&components))
    }
}

impl Rule {
    fn read(line: &str) -> Result<Option<Self>, String> {
        let (keep, pattern) = match line.strip_prefix('!') {
            Some(pattern) => (true, pattern.trim()),
            None => (false, line),
        };
        if pattern.is_empty() {
            return match keep {
                true => Err("found ! with no pattern, expected one".to_owned()),
                false => Ok(None),
            };
        }
        let cleaned = clean(pattern);
        if cleaned == "." {
            // The root itself is always there: such a rule says nothing.
            return Ok(None);
        }
        let wrong = || format!("found the pattern {pattern:?}, expected a [range] that is closed and ascending");
        let regex = Regex::new(&expression(&cleaned)).map_err(|_| wrong())?;
        let components = cleaned.split('/').map(str::to_owned).collect();
        Ok(Some(Self { keep, regex, components }))
    }

    fn may_match_below(&self, directory: &[&str]) -> bool {
        for (pattern, name) in self.components.iter().zip(directory) {
            if pattern.contains("**") {
                return true;
            }
            if !Regex::new(&expression(pattern)).is_ok_and(|regex| regex.is_match(name)) {
                return false;
            }
        }
        true
    }
}

/// The path without `.`, `..` where it can be resolved, doubled and leading or trailing slashes.
fn clean(pattern: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let rooted = pattern.starts_with('/');
    for part in pattern.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    if parts.is_empty() { ".".to_owned() } else { parts.join("/") }
}

/// The pattern as a regular expression: `*` and `?` stop at slashes, `**` does not, `[…]` is a class, `\` quotes.
fn expression(pattern: &str) -> String {
    let mut out = String::from("(?s)^");
    let mut chars = pattern.chars().peekable();
    let mut in_class = false;
    while let Some(c) = chars.next() {
        match c {
            ']' if in_class => {
                in_class = false;
                out.push(']');
            }
            '\\' => out.push_str(&regex::escape(&chars.next().map_or_else(|| "\\".to_owned(), String::from))),
            '[' if in_class => out.push_str("\\["),
            '&' | '~' if in_class => out.extend(['\\', c]),
            c if in_class => out.push(c),
            '[' => {
                in_class = true;
                out.push('[');
            }
            '*' if chars.next_if_eq(&'*').is_some() => {
                while chars.next_if_eq(&'*').is_some() {}
                match (chars.next_if_eq(&'/'), chars.peek()) {
                    (_, None) => out.push_str(".*"),
                    _ => out.push_str("(.*/)?"),
                }
            }
            '*' => out.push_str("[^/]*"),
            '?' => out.push_str("[^/]"),
            c => out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    out.push('$');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignored(rules: &str, path: &str) -> bool {
        IgnoreFile::parse(".dockerignore", rules).unwrap().is_ignored(path)
    }

    #[test]
    fn patterns_as_go_matches_them() {
        for (rules, path, expected) in [
            ("a", "a", true),
            ("a", "a/b/c", true),
            ("a", "b/a", false),
            ("/a", "a", true),
            ("./a/../b/", "b/x", true),
            ("*.md", "x.md", true),
            ("*.md", "d/x.md", false),
            ("**/*.md", "d/e/x.md", true),
            ("**/*.md", "x.md", true),
            ("a/**", "a/b/c", true),
            ("a/**", "a", false),
            ("**", "x/y", true),
            ("a/**/z", "a/z", true),
            ("a/**/z", "a/b/c/z", true),
            ("*/temp*", "some/temporary.txt", true),
            ("*/temp*", "temporary.txt", false),
            ("temp?", "tempa", true),
            ("temp?", "temp/", false),
            ("[a-c].txt", "b.txt", true),
            ("[^a-c].txt", "b.txt", false),
            ("a\\*b", "a*b", true),
            ("a\\*b", "axb", false),
            ("a.b", "axb", false),
            ("# comment\n  \n  a  ", "a", true),
            (".", "a", false),
            ("*\n!keep\n!keep2/**", "keep/x", false),
            ("*\n!keep", "other", true),
            ("*.md\n!README*.md\nREADME-secret.md", "README-secret.md", true),
            ("*.md\n!README*.md\nREADME-secret.md", "README.md", false),
            ("*.md\nREADME-secret.md\n!README*.md", "README-secret.md", false),
            ("node_modules\n!node_modules/a", "node_modules/a/b", false),
            ("node_modules\n!node_modules/a", "node_modules/b", true),
            ("! b\n*", "b", true),
            ("..", "a", false),
        ] {
            assert_eq!(ignored(rules, path), expected, "{rules:?} {path}");
        }
    }

    #[test]
    fn walking_skips_what_no_rule_can_keep() {
        let rules = IgnoreFile::parse("i", "*\n!src/*/lib\n!**/x.md\n").unwrap();
        assert!(rules.may_keep_below("any"));
        let rules = IgnoreFile::parse("i", "*\n!src/*/lib").unwrap();
        assert!(rules.may_keep_below("src") && rules.may_keep_below("src/a") && rules.may_keep_below("src/a/lib"));
        assert!(!rules.may_keep_below("other") && !rules.may_keep_below("src/a/bin"));
        assert!(!IgnoreFile::parse("i", "*").unwrap().may_keep_below("src"));
    }

    #[test]
    fn mistakes_have_a_line() {
        let error = |text| IgnoreFile::parse("x.dockerignore", text).unwrap_err().to_string();
        assert!(error("a\n[b").starts_with("x.dockerignore:2:1: found the pattern \"[b\""));
        assert!(error("!").contains("found ! with no pattern"));
        assert!(error("[z-a]").contains("expected a [range]"));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(rules in "[!*?/a-c.\\[\\]\\\\^&~|-]{0,20}", path in "[a-c/.]{0,10}") {
            if let Ok(file) = IgnoreFile::parse("i", &rules) {
                file.is_ignored(&path);
                file.may_keep_below(&path);
            }
        }
    }
}
