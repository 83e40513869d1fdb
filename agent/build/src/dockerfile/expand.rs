//! Variables and quotes in words: the reference's "Environment replacement".

use super::pattern;

/// Why a word cannot be expanded. The caller knows which word of which file it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    #[error("found no closing {0} in {1:?}, expected one")]
    Open(char, String),
    #[error("found ${{}} with no name in {0:?}, expected ${{NAME}}")]
    NoName(String),
    #[error("found unsupported modifier {0:?} in {1:?}, expected one of - + ? :- :+ :? # ## % %% / //")]
    Modifier(String, String),
    /// `${NAME?message}` of a variable that is not set (or, with `:?`, empty).
    #[error("{0}: {1}")]
    Required(String, String),
    #[error("found expansions nested more than {0} deep")]
    Deep(usize),
}

/// What a word became, and which variables it named that nobody set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expanded {
    pub text: String,
    /// In the order of the word, without repetition; those with a default are not among them.
    pub unset: Vec<String>,
}

/// Expands words. Two words of one instruction must be given the same look-up.
#[derive(Clone, Copy, Debug)]
pub struct Lexer {
    escape: char,
    quotes: Quotes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quotes {
    /// Taken off, as in an instruction's words.
    Removed,
    /// Ordinary characters, as in a heredoc; the escape character counts before `$`, itself and an end of line only.
    Kept,
}

const DEEPEST: usize = 50;

impl Lexer {
    /// For words of instructions; `escape` is the file's escape character.
    pub fn new(escape: char) -> Self {
        Self { escape, quotes: Quotes::Removed }
    }

    /// For the content of a heredoc of `COPY` or `ADD` whose delimiter is not quoted.
    pub fn heredoc() -> Self {
        Self { escape: '\\', quotes: Quotes::Kept }
    }

    /// The word with variables put in and quotes taken off. An unset variable is the empty text.
    ///
    /// # Errors
    /// An open quote or brace, a modifier that does not exist, a variable required by `?` that is not set.
    pub fn expand(&self, word: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String, ExpandError> {
        Ok(self.expand_noting(word, lookup)?.text)
    }

    /// As [`Lexer::expand`], and which variables were not set.
    ///
    /// # Errors
    /// As [`Lexer::expand`].
    pub fn expand_noting(&self, word: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Expanded, ExpandError> {
        let mut walk = Walk::new(self, word, lookup);
        walk.until(None, 0)?;
        Ok(Expanded { text: walk.out.concat(), unset: walk.unset })
    }

    /// The words that a text becomes: white space outside quotes separates them, also white space that comes out of a
    /// variable; an empty word stays only where quotes made it. For `EXPOSE`.
    ///
    /// # Errors
    /// As [`Lexer::expand`].
    pub fn expand_fields(
        &self,
        text: &str,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Vec<String>, ExpandError> {
        let mut walk = Walk::new(self, text, lookup);
        walk.until(None, 0)?;
        let mut fields = Vec::new();
        let mut field: Option<String> = None;
        for piece in walk.out.0 {
            match piece {
                Piece::Quoted(text) => field.get_or_insert_default().push_str(&text),
                Piece::Plain(text) => {
                    for c in text.chars() {
                        match c.is_whitespace() {
                            true => fields.extend(field.take()),
                            false => field.get_or_insert_default().push(c),
                        }
                    }
                }
            }
        }
        fields.extend(field);
        Ok(fields)
    }
}

enum Piece {
    /// White space in it separates fields.
    Plain(String),
    Quoted(String),
}

#[derive(Default)]
struct Output(Vec<Piece>);

impl Output {
    fn plain(&mut self, text: &str) {
        match self.0.last_mut() {
            Some(Piece::Plain(last)) => last.push_str(text),
            _ => self.0.push(Piece::Plain(text.to_owned())),
        }
    }

    fn quoted(&mut self, text: &str) {
        match self.0.last_mut() {
            Some(Piece::Quoted(last)) => last.push_str(text),
            _ => self.0.push(Piece::Quoted(text.to_owned())),
        }
    }

    fn add(&mut self, quoted: bool, text: &str) {
        match quoted {
            true => self.quoted(text),
            false => self.plain(text),
        }
    }

    fn concat(&self) -> String {
        self.0.iter().map(|(Piece::Plain(text) | Piece::Quoted(text))| text.as_str()).collect()
    }
}

struct Walk<'a> {
    lexer: &'a Lexer,
    word: &'a str,
    chars: std::iter::Peekable<std::str::Chars<'a>>,
    lookup: &'a dyn Fn(&str) -> Option<String>,
    out: Output,
    unset: Vec<String>,
}

impl<'a> Walk<'a> {
    fn new(lexer: &'a Lexer, word: &'a str, lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { lexer, word, chars: word.chars().peekable(), lookup, out: Output::default(), unset: Vec::new() }
    }

    fn open(&self, closing: char) -> ExpandError {
        ExpandError::Open(closing, self.word.to_owned())
    }

    /// Up to the closing character outside quotes, which is taken; to the end if there is none to look for.
    fn until(&mut self, stop: Option<char>, depth: usize) -> Result<(), ExpandError> {
        if depth > DEEPEST {
            return Err(ExpandError::Deep(DEEPEST));
        }
        while let Some(c) = self.chars.next() {
            match c {
                _ if Some(c) == stop => return Ok(()),
                '\'' if self.lexer.quotes == Quotes::Removed => self.single_quoted()?,
                '"' if self.lexer.quotes == Quotes::Removed => self.double_quoted(depth)?,
                '$' => self.dollar(false, depth)?,
                _ if c == self.lexer.escape => self.escaped(),
                c => self.out.plain(c.encode_utf8(&mut [0; 4])),
            }
        }
        stop.map_or(Ok(()), |stop| Err(self.open(stop)))
    }

    fn escaped(&mut self) {
        let escape = self.lexer.escape;
        if self.lexer.quotes == Quotes::Removed {
            if let Some(c) = self.chars.next() {
                self.out.quoted(c.encode_utf8(&mut [0; 4]));
            }
            return;
        }
        match self.chars.peek().copied() {
            Some('\n') => drop(self.chars.next()),
            Some(c) if c == '$' || c == escape || c == '`' => {
                self.chars.next();
                self.out.quoted(c.encode_utf8(&mut [0; 4]));
            }
            _ => self.out.quoted(escape.encode_utf8(&mut [0; 4])),
        }
    }

    fn single_quoted(&mut self) -> Result<(), ExpandError> {
        self.out.quoted("");
        loop {
            match self.chars.next() {
                Some('\'') => return Ok(()),
                Some(c) => self.out.quoted(c.encode_utf8(&mut [0; 4])),
                None => return Err(self.open('\'')),
            }
        }
    }

    fn double_quoted(&mut self, depth: usize) -> Result<(), ExpandError> {
        let escape = self.lexer.escape;
        self.out.quoted("");
        loop {
            match self.chars.next() {
                Some('"') => return Ok(()),
                Some('$') => self.dollar(true, depth)?,
                Some(c) if c == escape => match self.chars.peek().copied() {
                    Some(next) if next == '"' || next == '$' || next == escape => {
                        self.chars.next();
                        self.out.quoted(next.encode_utf8(&mut [0; 4]));
                    }
                    Some(_) => self.out.quoted(c.encode_utf8(&mut [0; 4])),
                    None => return Err(self.open('"')),
                },
                Some(c) => self.out.quoted(c.encode_utf8(&mut [0; 4])),
                None => return Err(self.open('"')),
            }
        }
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        match self.chars.peek().copied() {
            // `$1`, `$@` and the like are one character, as in a shell.
            Some(c) if c.is_ascii_digit() || "@*#?-$!".contains(c) => {
                name.push(c);
                self.chars.next();
            }
            Some(c) if c == '_' || c.is_ascii_alphabetic() => {
                while let Some(c) = self.chars.next_if(|c| *c == '_' || c.is_ascii_alphanumeric()) {
                    name.push(c);
                }
            }
            _ => {}
        }
        name
    }

    fn dollar(&mut self, quoted: bool, depth: usize) -> Result<(), ExpandError> {
        if self.chars.next_if_eq(&'{').is_none() {
            let special = self.chars.peek().is_some_and(|c| "-$!".contains(*c));
            let name = if special { String::new() } else { self.name() };
            if name.is_empty() {
                self.out.quoted("$");
                return Ok(());
            }
            let value = self.value(&name);
            self.out.add(quoted, &value);
            return Ok(());
        }
        let name = self.name();
        if name.is_empty() {
            return match self.chars.peek() {
                None => Err(self.open('}')),
                Some(_) => Err(ExpandError::NoName(self.word.to_owned())),
            };
        }
        let Some(first) = self.chars.next() else { return Err(self.open('}')) };
        let value = match first {
            '}' => self.value(&name),
            ':' => match self.chars.next() {
                Some(c @ ('-' | '+' | '?')) => self.conditional(&name, c, true, depth)?,
                Some(c) => return Err(ExpandError::Modifier(format!(":{c}"), self.word.to_owned())),
                None => return Err(self.open('}')),
            },
            c @ ('-' | '+' | '?') => self.conditional(&name, c, false, depth)?,
            c @ ('#' | '%') => {
                let longest = self.chars.next_if_eq(&c).is_some();
                let pattern = self.pattern('}', depth)?;
                let value = self.value(&name);
                match c {
                    '#' => pattern::trim_prefix(&value, &pattern, longest),
                    _ => pattern::trim_suffix(&value, &pattern, longest),
                }
            }
            '/' => {
                let all = self.chars.next_if_eq(&'/').is_some();
                let pattern = self.pattern('/', depth)?;
                let replacement = self.nested('}', depth)?;
                pattern::replace(&self.value(&name), &pattern, &replacement, all)
            }
            c => return Err(ExpandError::Modifier(c.to_string(), self.word.to_owned())),
        };
        self.out.add(quoted, &value);
        Ok(())
    }

    fn value(&mut self, name: &str) -> String {
        (self.lookup)(name).unwrap_or_else(|| {
            if !self.unset.iter().any(|known| known == name) {
                self.unset.push(name.to_owned());
            }
            String::new()
        })
    }

    fn conditional(&mut self, name: &str, kind: char, or_empty: bool, depth: usize) -> Result<String, ExpandError> {
        let unset = self.unset.len();
        let word = self.nested('}', depth)?;
        let value = (self.lookup)(name).filter(|value| !or_empty || !value.is_empty());
        match (kind, value) {
            ('-', None) => Ok(word),
            // What an unused alternative names matters to nobody.
            ('-' | '?', Some(value)) => {
                self.unset.truncate(unset);
                Ok(value)
            }
            ('+', Some(_)) => Ok(word),
            ('+', None) => {
                self.unset.truncate(unset);
                Ok(String::new())
            }
            (_, _) => {
                let message = match (word.is_empty(), or_empty) {
                    (false, _) => word,
                    (true, true) => "not set or empty, expected a value".to_owned(),
                    (true, false) => "not set, expected a value".to_owned(),
                };
                Err(ExpandError::Required(name.to_owned(), message))
            }
        }
    }

    /// The expanded text up to the closing character.
    fn nested(&mut self, stop: char, depth: usize) -> Result<String, ExpandError> {
        let outer = std::mem::take(&mut self.out);
        self.until(Some(stop), depth + 1)?;
        Ok(std::mem::replace(&mut self.out, outer).concat())
    }

    /// As [`Walk::nested`]; an escaped or quoted `*` or `?` stands for itself.
    fn pattern(&mut self, stop: char, depth: usize) -> Result<pattern::Pattern, ExpandError> {
        let outer = std::mem::take(&mut self.out);
        self.until(Some(stop), depth + 1)?;
        let inner = std::mem::replace(&mut self.out, outer);
        Ok(pattern::Pattern::new(inner.0.iter().map(|piece| match piece {
            Piece::Plain(text) => (text.as_str(), false),
            Piece::Quoted(text) => (text.as_str(), true),
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        let value = match name {
            "foo" => "bar",
            "empty" => "",
            "str" => "foobarbaz",
            "star" => "a*b*c",
            "two" => "a  b",
            "path" => "/usr/local/lib",
            _ => return None,
        };
        Some(value.to_owned())
    }

    fn expand(word: &str) -> String {
        Lexer::new('\\').expand(word, &lookup).unwrap_or_else(|error| format!("error: {error}"))
    }

    #[test]
    fn every_form() {
        for (word, expanded) in [
            ("", ""),
            ("$foo/${foo}x", "bar/barx"),
            ("$foo_x", ""),
            ("\\$foo \\${foo}", "$foo ${foo}"),
            ("'$foo' \"$foo\" \"\\$foo\" \"a\\b\\\\\"", "$foo bar $foo a\\b\\"),
            ("a\\b\\", "ab"),
            ("${none:-d}${empty:-e}${empty-f}${foo:-g}", "debar"),
            ("${none-$foo}${none:-${none2:-x}}", "barx"),
            ("${foo:+y}${empty:+n}${empty+y}${none+n}", "yy"),
            ("${foo:?m}${foo?}", "barbar"),
            ("${none:-\"a}b\"}", "a}b"),
            ("$", "$"),
            ("$ a$-$$", "$ a$-$$"),
            ("$1$@", ""),
            ("${str#f*b}", "arbaz"),
            ("${str##f*b}", "az"),
            ("${str%b*}", "foobar"),
            ("${str%%b*}", "foo"),
            ("${str/ba/fo}", "fooforbaz"),
            ("${str//ba/fo}", "fooforfoz"),
            ("${str//b?/-$foo-}", "foo-bar-r-bar-z"),
            ("${str#x}${str%x}", "foobarbazfoobarbaz"),
            ("${star#a\\*}|${star//\\*/+}|${star%%\"*\"c}", "b*c|a+b+c|a*b"),
            ("${path##*/}", "lib"),
            ("${path%/*}", "/usr/local"),
            ("${path/\\//_}", "_usr/local/lib"),
            ("${empty/*/x}", "x"),
        ] {
            assert_eq!(expand(word), expanded, "{word}");
        }
    }

    #[test]
    fn mistakes() {
        for (word, message) in [
            ("'a", "error: found no closing ' in \"'a\", expected one"),
            ("\"a", "error: found no closing \" in \"\\\"a\", expected one"),
            ("${foo", "error: found no closing } in \"${foo\", expected one"),
            ("${foo:-a", "error: found no closing } in \"${foo:-a\", expected one"),
            ("${}", "error: found ${} with no name in \"${}\", expected ${NAME}"),
            ("${foo/a", "error: found no closing / in \"${foo/a\", expected one"),
            ("${none:?give it}", "error: none: give it"),
            ("${none?}", "error: none: not set, expected a value"),
            ("${empty:?}", "error: empty: not set or empty, expected a value"),
        ] {
            assert_eq!(expand(word), message, "{word}");
        }
        assert!(expand("${foo:x}").starts_with("error: found unsupported modifier \":x\""));
        assert!(expand("${foo!}").starts_with("error: found unsupported modifier \"!\""));
        assert!(expand(&"${x:-".repeat(200)).contains("nested"));
    }

    #[test]
    fn the_escape_character_is_the_files() {
        assert_eq!(Lexer::new('`').expand("c:\\$foo\\`$foo", &lookup), Ok("c:\\bar\\$foo".into()));
    }

    #[test]
    fn heredocs_keep_quotes() {
        let content = "\"$foo\" '${foo}' \\$foo \\n \\\\ it's\\\n on";
        assert_eq!(Lexer::heredoc().expand(content, &lookup), Ok("\"bar\" 'bar' $foo \\n \\ it's on".into()));
    }

    #[test]
    fn fields_are_split_behind_expansion() {
        let fields = |text: &str| Lexer::new('\\').expand_fields(text, &lookup).unwrap();
        assert_eq!(fields("80 $two \"$two\" x$empty $empty ''"), ["80", "a", "b", "a  b", "x", ""]);
        assert_eq!(fields("a\\ b  c"), ["a b", "c"]);
    }

    #[test]
    fn unset_variables_are_noted() {
        let noted = Lexer::new('\\').expand_noting("$a ${b:-x} $a ${foo:+$c} ${foo:-$d} $foo", &lookup).unwrap();
        assert_eq!(noted.unset, ["a", "c"]);
    }

    proptest::proptest! {
        #[test]
        fn never_panics(word in "[$\\{\\}:+?#%/*\\\\'\"a-c -]{0,40}") {
            let _ = Lexer::new('\\').expand(&word, &lookup);
            let _ = Lexer::heredoc().expand_fields(&word, &lookup);
        }
    }
}
