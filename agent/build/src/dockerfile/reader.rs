//! From lines of a file to instructions' texts: directives, comments, continued lines, heredoc bodies.

use super::{CheckDirective, Directives, Error, Pos, Span, Word, text::Text, words::near};

/// A text that is one instruction, without its heredocs.
pub(super) struct Logical {
    pub text: Text,
    pub doc: Vec<Word>,
    /// Empty lines after a continued one.
    pub empty: Vec<Span>,
}

/// Walks through a file's lines.
pub(super) struct Reader<'a> {
    /// With their ends, `\n` or `\r\n`.
    lines: Vec<&'a str>,
    at: usize,
    pub directives: Directives,
}

impl<'a> Reader<'a> {
    /// Reads the directives at the top and stops behind them.
    pub fn new(source: &'a str) -> Result<Self, Error> {
        let source = source.strip_prefix('\u{feff}').unwrap_or(source);
        let mut reader = Self {
            lines: source.split_inclusive('\n').collect(),
            at: 0,
            directives: Directives { syntax: None, escape: '\\', check: None },
        };
        let mut seen: Vec<String> = Vec::new();
        while let Some((key, value)) = reader.lines.get(reader.at).and_then(|line| directive(line, reader.at)) {
            let name = key.text.to_ascii_lowercase();
            if !["syntax", "escape", "check"].contains(&name.as_str()) {
                break;
            }
            if seen.contains(&name) {
                return Err(Error::at(
                    key.span,
                    format!("found the parser directive `{name}` a second time, expected it once"),
                ));
            }
            match name.as_str() {
                "syntax" => reader.directives.syntax = Some(value),
                "escape" => {
                    reader.directives.escape = match value.text.as_str() {
                        "\\" => '\\',
                        "`" => '`',
                        other => {
                            return Err(Error::at(
                                value.span,
                                format!("found {other:?} as the escape character, expected \\ or `"),
                            ));
                        }
                    }
                }
                _ => reader.directives.check = Some(check_directive(&value)?),
            }
            seen.push(name);
            reader.at += 1;
        }
        Ok(reader)
    }

    /// The next instruction's text; none at the end of the file.
    pub fn next(&mut self) -> Option<Logical> {
        let mut doc = Vec::new();
        loop {
            let index = self.at;
            let line = without_end(self.lines.get(index)?);
            self.at += 1;
            let trimmed = line.trim_start();
            if let Some(comment) = trimmed.strip_prefix('#') {
                doc.push(slice_word(line, comment.trim(), index));
                continue;
            }
            let (piece, continues) = self.continued(trimmed);
            if piece.trim().is_empty() && !continues {
                doc.clear();
                continue;
            }
            let mut text = Text::default();
            text.push(piece, place(line, line.len() - trimmed.len(), index));
            let mut empty = Vec::new();
            if continues {
                self.rest(&mut text, &mut empty);
            }
            if text.text.trim().is_empty() {
                doc.clear();
                continue;
            }
            return Some(Logical { text, doc, empty });
        }
    }

    fn rest(&mut self, text: &mut Text, empty: &mut Vec<Span>) {
        while let Some(line) = self.lines.get(self.at) {
            let index = self.at;
            let line = without_end(line);
            self.at += 1;
            if line.trim_start().starts_with('#') {
                continue;
            }
            if line.trim().is_empty() {
                let at = place(line, 0, index);
                empty.push(Span { start: at, end: at });
                continue;
            }
            let (piece, continues) = self.continued(line);
            text.push(piece, place(line, 0, index));
            if !continues {
                break;
            }
        }
    }

    /// The line without the escape character at its end, and whether there was one. Two of them at the end are none.
    fn continued<'l>(&self, line: &'l str) -> (&'l str, bool) {
        let escape = self.directives.escape;
        match line.trim_end_matches([' ', '\t']).strip_suffix(escape) {
            Some(rest) if !rest.ends_with(escape) => (rest, true),
            _ => (line, false),
        }
    }

    /// The lines up to the one that is the delimiter, with the place of the content.
    pub fn heredoc(&mut self, name: &str, strip_tabs: bool, opened: Span) -> Result<(String, Span), Error> {
        let start = Pos { line: self.at as u32 + 1, column: 1 };
        let mut content = String::new();
        while let Some(line) = self.lines.get(self.at) {
            let line = if strip_tabs { line.trim_start_matches('\t') } else { line };
            self.at += 1;
            if without_end(line) == name {
                return Ok((content, Span { start, end: Pos { line: self.at as u32, column: 1 } }));
            }
            content.push_str(line);
        }
        Err(Error::at(
            opened,
            format!("found the end of the file inside the heredoc, expected a line with only `{name}`"),
        ))
    }
}

fn without_end(line: &str) -> &str {
    line.trim_end_matches(['\n', '\r'])
}

fn place(line: &str, offset: usize, index: usize) -> Pos {
    let columns = line.get(..offset).map_or(0, |text| text.chars().count());
    Pos { line: index as u32 + 1, column: columns as u32 + 1 }
}

/// `part` must be a slice of `line`.
fn slice_word(line: &str, part: &str, index: usize) -> Word {
    let offset = (part.as_ptr() as usize).saturating_sub(line.as_ptr() as usize);
    let start = place(line, offset, index);
    let end = Pos { line: start.line, column: start.column + part.chars().count() as u32 };
    Word::new(part, Span { start, end })
}

/// `# key = value`.
fn directive(line: &str, index: usize) -> Option<(Word, Word)> {
    let line = without_end(line);
    let (key, value) = line.trim_start().strip_prefix('#')?.split_once('=')?;
    let (key, value) = (key.trim(), value.trim());
    let named = key.chars().next()?.is_ascii_alphabetic() && key.chars().all(|c| c.is_ascii_alphanumeric());
    (named && !value.is_empty()).then(|| (slice_word(line, key, index), slice_word(line, value, index)))
}

/// `skip=A,B;error=true;experimental=C`: where the value of a directive stands, `at` counts characters into it.
fn check_directive(value: &Word) -> Result<CheckDirective, Error> {
    let mut check = CheckDirective { span: value.span, ..Default::default() };
    let mut offset = 0;
    for option in value.text.split(';') {
        let part = |text: &str, at: usize| {
            let skipped = text.chars().count() - text.trim_start().chars().count();
            let trimmed = text.trim();
            let column = value.span.start.column + (at + skipped) as u32;
            let start = Pos { line: value.span.start.line, column };
            let end = Pos { line: start.line, column: column + trimmed.chars().count() as u32 };
            Word::new(trimmed, Span { start, end })
        };
        let whole = part(option, offset);
        let Some((key, list)) = option.split_once('=') else {
            return Err(Error::at(whole.span, format!("found {:?}, expected skip=… or error=…", whole.text)));
        };
        let mut at = offset + key.chars().count() + 1;
        let mut items = Vec::new();
        for item in list.split(',') {
            items.push(part(item, at));
            at += item.chars().count() + 1;
        }
        match key.trim() {
            "skip" => check.skip = items,
            "experimental" => check.experimental = items,
            "error" => {
                check.error = match list.trim().to_ascii_lowercase().as_str() {
                    "1" | "t" | "true" => true,
                    "0" | "f" | "false" => false,
                    other => {
                        return Err(Error::at(whole.span, format!("found error={other}, expected true or false")));
                    }
                };
            }
            other => {
                return Err(Error::at(
                    whole.span,
                    format!("found the check option {other:?}, expected skip, error or experimental"),
                )
                .suggest(near(other, ["skip", "error", "experimental"])));
            }
        }
        offset += option.chars().count() + 1;
    }
    Ok(check)
}
