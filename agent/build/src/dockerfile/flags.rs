//! `--name=value` in front of an instruction's arguments.

use std::ops::Range;

use super::{Error, Flag, Span, Word, text::Text, words::near};

/// A flag as written, quotes and escapes taken off; every character knows where it stood.
pub(super) struct RawFlag<'t> {
    pub name: String,
    pub value: Option<Value<'t>>,
    pub span: Span,
}

pub(super) struct Value<'t> {
    text: &'t Text,
    /// With their offsets in the text.
    chars: Vec<(char, usize)>,
    at: Span,
}

impl Value<'_> {
    pub fn word(&self) -> Word {
        self.part(0..self.chars.len())
    }

    fn part(&self, range: Range<usize>) -> Word {
        let chars = self.chars.get(range).unwrap_or_default();
        let span = match (chars.first(), chars.last()) {
            (Some((_, first)), Some((c, last))) => self.text.span(*first..last + c.len_utf8()),
            _ => self.at,
        };
        Word::new(chars.iter().map(|(c, _)| *c).collect::<String>(), span)
    }

    /// The fields of a comma-separated line, where a field may stand in double quotes.
    pub fn comma_separated(&self) -> Vec<(Word, Option<Word>)> {
        let mut fields = Vec::new();
        let mut start = 0;
        let mut quoted = false;
        for (index, (c, _)) in self.chars.iter().enumerate() {
            match c {
                '"' => quoted = !quoted,
                ',' if !quoted => {
                    fields.push(self.field(start..index));
                    start = index + 1;
                }
                _ => {}
            }
        }
        fields.push(self.field(start..self.chars.len()));
        fields
    }

    fn field(&self, range: Range<usize>) -> (Word, Option<Word>) {
        let is_quote = |index: usize| self.chars.get(index).is_some_and(|(c, _)| *c == '"');
        let range = match range.len() >= 2 && is_quote(range.start) && is_quote(range.end - 1) {
            true => range.start + 1..range.end - 1,
            false => range,
        };
        let equals = range.clone().find(|index| self.chars.get(*index).is_some_and(|(c, _)| *c == '='));
        match equals {
            Some(equals) => (self.part(range.start..equals), Some(self.part(equals + 1..range.end))),
            None => (self.part(range), None),
        }
    }
}

/// Takes the flags off the front; the rest begins at the first word that is none. A lone `--` ends them.
pub(super) fn extract(text: &Text, range: Range<usize>, escape: char) -> (Vec<RawFlag<'_>>, Range<usize>) {
    let mut flags = Vec::new();
    let mut rest = text.trim(range);
    loop {
        let source = text.text.get(rest.clone()).unwrap_or_default();
        if !source.starts_with("--") {
            return (flags, rest);
        }
        let Some(word) = text.quoted_fields(rest.clone(), escape).into_iter().next() else {
            return (flags, rest);
        };
        rest = text.trim(word.end..rest.end);
        if word.len() == 2 {
            return (flags, rest);
        }
        flags.push(unquoted(text, word, escape));
    }
}

fn unquoted(text: &Text, word: Range<usize>, escape: char) -> RawFlag<'_> {
    let mut chars = Vec::new();
    let mut quote = None;
    let mut source = text.text.get(word.clone()).unwrap_or_default().char_indices();
    while let Some((offset, c)) = source.next() {
        let mut taken = (offset, c);
        match quote {
            Some(q) if c == q => {
                quote = None;
                continue;
            }
            None if c == '"' || c == '\'' => {
                quote = Some(c);
                continue;
            }
            Some('\'') => {}
            // A variable kept from expansion stays so until words are expanded.
            _ if c == escape => match source.clone().next() {
                Some((_, '$')) | None => {}
                Some(next) => {
                    source.next();
                    taken = next;
                }
            },
            _ => {}
        }
        chars.push((taken.1, word.start + taken.0));
    }
    let span = text.span(word);
    let equals = chars.iter().position(|(c, _)| *c == '=');
    let value = equals.map(|equals| Value { text, at: span, chars: chars.split_off(equals + 1) });
    let name = chars.iter().map(|(c, _)| *c).filter(|c| *c != '=').skip(2).collect();
    RawFlag { name, value, span }
}

/// The flags of one instruction, taken out by name; [`Flags::check`] refuses what is left.
pub(super) struct Flags<'t> {
    instruction: String,
    flags: Vec<RawFlag<'t>>,
    known: Vec<&'static str>,
}

impl<'t> Flags<'t> {
    pub fn new(instruction: &str, flags: Vec<RawFlag<'t>>) -> Self {
        Self { instruction: instruction.to_owned(), flags, known: Vec::new() }
    }

    pub fn values(&mut self, name: &'static str) -> Result<Vec<(Value<'t>, Span)>, Error> {
        self.known.push(name);
        let (found, rest): (Vec<RawFlag<'t>>, Vec<RawFlag<'t>>) =
            std::mem::take(&mut self.flags).into_iter().partition(|flag| flag.name == name);
        self.flags = rest;
        found
            .into_iter()
            .map(|flag| {
                let missing = || Error::at(flag.span, format!("found --{name} without a value, expected --{name}=…"));
                flag.value.ok_or_else(missing).map(|value| (value, flag.span))
            })
            .collect()
    }

    pub fn words(&mut self, name: &'static str) -> Result<Vec<Word>, Error> {
        Ok(self.values(name)?.into_iter().map(|(value, _)| value.word()).collect())
    }

    pub fn word(&mut self, name: &'static str) -> Result<Option<Word>, Error> {
        let mut found = self.values(name)?;
        if let Some((_, second)) = found.get(1) {
            return Err(Error::at(*second, format!("found --{name} a second time, expected it once")));
        }
        Ok(found.pop().map(|(value, _)| value.word()))
    }

    pub fn flag(&mut self, name: &'static str) -> Result<Option<Flag>, Error> {
        self.known.push(name);
        let (mut found, rest): (Vec<RawFlag<'t>>, Vec<RawFlag<'t>>) =
            std::mem::take(&mut self.flags).into_iter().partition(|flag| flag.name == name);
        self.flags = rest;
        if let Some(second) = found.get(1) {
            return Err(Error::at(second.span, format!("found --{name} a second time, expected it once")));
        }
        let Some(flag) = found.pop() else { return Ok(None) };
        let on = match flag.value.map(|value| value.word()) {
            None => true,
            Some(word) => boolean(&word, name)?,
        };
        Ok(Some(Flag { on, span: Some(flag.span) }))
    }

    /// # Errors
    /// A flag that the instruction does not have.
    pub fn check(&self) -> Result<(), Error> {
        let Some(flag) = self.flags.first() else { return Ok(()) };
        let near = near(&flag.name, self.known.iter().copied()).map(|name| format!("--{name}"));
        let expected = match self.known.as_slice() {
            [] if ["CMD", "ENTRYPOINT"].contains(&self.instruction.as_str()) => {
                "which has no flags; write the command as a JSON array if it begins with --".to_owned()
            }
            [] => "which has no flags".to_owned(),
            known => {
                format!("expected {}", known.iter().map(|name| format!("--{name}")).collect::<Vec<_>>().join(", "))
            }
        };
        Err(Error::at(flag.span, format!("found unknown flag --{} of {}, {expected}", flag.name, self.instruction))
            .suggest(near))
    }
}

pub(super) fn boolean(word: &Word, of: &str) -> Result<bool, Error> {
    match word.text.to_ascii_lowercase().as_str() {
        "1" | "t" | "true" => Ok(true),
        "0" | "f" | "false" => Ok(false),
        other => Err(Error::at(word.span, format!("found {other:?} for {of}, expected true or false"))),
    }
}
