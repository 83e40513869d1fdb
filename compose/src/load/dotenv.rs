//! The `.env` dialect (05-services.md, "Env_file format"): comments, quotes,
//! escapes, values of several lines, `export`, interpolation; and the `raw`
//! format, which takes values as they are.

use indexmap::IndexMap;

use super::template::{self, Variables};

/// What is wrong in a file, and on which line and column (from 1).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EnvFileError {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
    /// What is wrong.
    pub message: String,
}

/// What a file says: for each name its value, or `None` where it only names
/// the variable, whose value then is that of the surroundings.
pub type EnvEntries = IndexMap<String, Option<String>>;

/// Reads a file. Values may use variables of the file's earlier lines and of
/// `lookup`, which wins.
pub fn parse(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<EnvEntries, EnvFileError> {
    let mut entries = EnvEntries::new();
    let mut reader = Reader { text: text.strip_prefix('\u{feff}').unwrap_or(text), at: 0 };
    while reader.next_statement() {
        let start = reader.at;
        let Some((name, assigned)) = reader.name().map_err(|message| reader.error(start, message))? else {
            continue;
        };
        if !assigned {
            entries.insert(name, None);
            continue;
        }
        let start = reader.at;
        let (value, expands) = reader.value().map_err(|message| reader.error(start, message))?;
        let value = if expands {
            let mut scope = Scope { entries: &entries, lookup };
            template::expand(&value, &mut scope).map_err(|error| reader.error(start, error.to_string()))?
        } else {
            value
        };
        entries.insert(name, Some(value));
    }
    Ok(entries)
}

/// Reads the `raw` format: `NAME=VALUE` lines, nothing else is special but
/// blank lines and comments.
pub fn parse_raw(text: &str) -> Result<EnvEntries, EnvFileError> {
    let mut entries = EnvEntries::new();
    for (index, line) in text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (line.trim_end(), None),
        };
        if name.is_empty() || name.contains(char::is_whitespace) {
            let message = format!("\"{name}\" is not a variable name");
            return Err(EnvFileError { line: index as u32 + 1, column: 1, message });
        }
        entries.insert(name.to_owned(), value);
    }
    Ok(entries)
}

struct Scope<'a> {
    entries: &'a EnvEntries,
    lookup: &'a dyn Fn(&str) -> Option<String>,
}

impl Variables for Scope<'_> {
    fn get(&self, name: &str) -> Option<String> {
        (self.lookup)(name).or_else(|| self.entries.get(name).cloned().flatten())
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn error(&self, at: usize, message: String) -> EnvFileError {
        let before = &self.text[..at];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        EnvFileError {
            line: before.matches('\n').count() as u32 + 1,
            column: before[line_start..].chars().count() as u32 + 1,
            message,
        }
    }

    /// Passes over blank lines and comments; false at the end.
    fn next_statement(&mut self) -> bool {
        loop {
            self.at += self.rest().len() - self.rest().trim_start().len();
            if !self.rest().starts_with('#') {
                return !self.rest().is_empty();
            }
            self.skip_line();
        }
    }

    fn skip_line(&mut self) {
        self.at += self.rest().find('\n').unwrap_or(self.rest().len());
    }

    fn skip_blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\r']).len();
    }

    /// The name, and whether `=` or `:` comes after it.
    fn name(&mut self) -> Result<Option<(String, bool)>, String> {
        if let Some(after) = self.rest().strip_prefix("export")
            && after.starts_with([' ', '\t'])
        {
            self.at += "export".len();
            self.skip_blanks();
        }
        let rest = self.rest();
        let line = &rest[..rest.find('\n').unwrap_or(rest.len())];
        let is_name = |c: char| c.is_alphanumeric() || "_.-[]".contains(c);
        let length = line.find(|c: char| !is_name(c)).unwrap_or(line.len());
        let name = &line[..length];
        let tail = line[length..].trim_start_matches([' ', '\t', '\r']);
        let blanks = line.len() - length - tail.len();
        if name.is_empty() {
            return Err(format!(
                "unexpected character {:?} where a variable name begins",
                line.chars().next().unwrap_or('\n')
            ));
        }
        self.at += length + blanks;
        match tail.chars().next() {
            Some('=' | ':') => {
                self.at += 1;
                self.skip_blanks();
                Ok(Some((name.to_owned(), true)))
            }
            None | Some('#') => {
                self.skip_line();
                Ok(Some((name.to_owned(), false)))
            }
            Some(c) => Err(format!("unexpected character {c:?} in the variable name near \"{}\"", line.trim_end())),
        }
    }

    /// The value, and whether variables in it are expanded.
    fn value(&mut self) -> Result<(String, bool), String> {
        match self.rest().chars().next() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote),
            _ => {
                let rest = self.rest();
                let line = &rest[..rest.find('\n').unwrap_or(rest.len())];
                self.at += line.len();
                // A comment needs a space before it.
                let end = (0..line.len())
                    .find(|i| line.as_bytes()[*i] == b'#' && (*i == 0 || line[..*i].ends_with([' ', '\t'])))
                    .unwrap_or(line.len());
                Ok((line[..end].trim_end().to_owned(), true))
            }
        }
    }

    fn quoted(&mut self, quote: char) -> Result<(String, bool), String> {
        let mut value = String::new();
        let mut chars = self.rest().char_indices().skip(1);
        while let Some((offset, c)) = chars.next() {
            match c {
                c if c == quote => {
                    self.at += offset + 1;
                    self.end_of_value()?;
                    return Ok((value, quote == '"'));
                }
                '\\' => match (quote, chars.next().map(|(_, c)| c)) {
                    (_, Some(c)) if c == quote => value.push(c),
                    ('"', Some('n')) => value.push('\n'),
                    ('"', Some('r')) => value.push('\r'),
                    ('"', Some('t')) => value.push('\t'),
                    ('"', Some('\\')) => value.push('\\'),
                    // The dollar sign stays one through the expansion that follows.
                    ('"', Some('$')) => value.push_str("$$"),
                    (_, Some(c)) => value.extend(['\\', c]),
                    (_, None) => break,
                },
                c => value.push(c),
            }
        }
        let line = self.rest().lines().next().unwrap_or_default();
        Err(format!("the quote is not closed: {line}"))
    }

    /// After a closing quote only blanks and a comment may come.
    fn end_of_value(&mut self) -> Result<(), String> {
        self.skip_blanks();
        match self.rest().chars().next() {
            None | Some('\n') => Ok(()),
            Some('#') => {
                self.skip_line();
                Ok(())
            }
            Some(c) => Err(format!("unexpected character {c:?} after the closing quote")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Option<String> {
        let lookup = |name: &str| (name == "OUTER").then(|| "outer".to_owned());
        parse(text, &lookup).unwrap().pop().unwrap().1
    }

    #[test]
    fn values() {
        for (text, value) in [
            ("VAR=VAL", "VAL"),
            ("VAR=\"VAL\"", "VAL"),
            ("VAR='VAL'", "VAL"),
            ("VAR=VAL # comment", "VAL"),
            ("VAR=VAL# not a comment", "VAL# not a comment"),
            ("VAR=\"VAL # not a comment\"", "VAL # not a comment"),
            ("VAR=\"VAL\" # comment", "VAL"),
            ("VAR='$OTHER'", "$OTHER"),
            ("VAR='${OTHER}'", "${OTHER}"),
            ("VAR='Let\\'s go!'", "Let's go!"),
            ("VAR=\"{\\\"hello\\\": \\\"json\\\"}\"", "{\"hello\": \"json\"}"),
            ("VAR=\"some\\tvalue\"", "some\tvalue"),
            ("VAR='some\\tvalue'", "some\\tvalue"),
            ("VAR=some\\tvalue", "some\\tvalue"),
            ("VAR=", ""),
            ("export VAR=x", "x"),
            ("VAR = x ", "x"),
            ("VAR: x", "x"),
            ("A=1\nVAR=${A}${OUTER}${NONE:-d}", "1outerd"),
            ("VAR=\"a\nb\"", "a\nb"),
            ("VAR=\"\\$A\"", "$A"),
            ("VAR=a\r\n", "a"),
            ("VAR=#x", ""),
        ] {
            assert_eq!(one(text).as_deref(), Some(value), "{text:?}");
        }
        assert_eq!(one("# c\n\nVAR\n"), None);
        let raw = parse_raw("A='x $Y'\n# c\nB\n").unwrap();
        assert_eq!(raw["A"].as_deref(), Some("'x $Y'"));
        assert_eq!(raw["B"], None);
    }

    #[test]
    fn errors_have_places() {
        let error = parse("A=1\n  B!=2", &|_| None).unwrap_err();
        assert_eq!((error.line, error.column), (2, 3));
        let error = parse("A=1\nB=\"x", &|_| None).unwrap_err();
        assert_eq!((error.line, error.column), (2, 3));
        assert!(parse("A=\"x\"y", &|_| None).is_err());
        assert!(parse("=x", &|_| None).is_err());
        assert!(parse("A=${", &|_| None).is_err());
    }
}
