//! From a file's text to a [`Dockerfile`].

use std::ops::Range;

use super::{
    Dockerfile, Error, Heredoc, Instruction, Kind, Pos, Span, Word,
    flags::{Flags, extract},
    instructions::{self, Context},
    reader::{Logical, Reader},
    text::Text,
    words::{Marker, near},
};

/// Every instruction's keyword.
pub(super) const KEYWORDS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// Reads a Dockerfile. `name` is what errors call it.
///
/// # Errors
/// The first mistake, with its place: bytes that are not UTF-8, an unknown instruction or flag, a missing argument, an
/// open heredoc, an instruction in front of the first `FROM`, no `FROM` at all.
pub fn parse(name: &str, source: &[u8]) -> Result<Dockerfile, Error> {
    let source = match std::str::from_utf8(source) {
        Ok(source) => source,
        Err(error) => return Err(not_text(source, error.valid_up_to()).in_file(name)),
    };
    parse_text(name, source).map_err(|error| {
        // What is no Dockerfile may well say so.
        let other = Reader::new(source).ok().and_then(|reader| reader.directives.check_frontend(None).err());
        other.unwrap_or(error).in_file(name)
    })
}

/// Reads one instruction, as an image's `OnBuild` list holds them.
///
/// # Errors
/// As [`parse`], and for instructions that are not allowed there; `name` should say which image and trigger it is.
pub fn parse_trigger(name: &str, source: &str) -> Result<Instruction, Error> {
    let read = || {
        let mut reader = Reader::new(source)?;
        let Some(logical) = reader.next() else {
            return Err(Error::at(Span::default(), "found an empty trigger, expected an instruction"));
        };
        let trigger = instruction(&mut reader, &logical)?;
        instructions::check_trigger(&trigger)?;
        match reader.next() {
            Some(next) => Err(Error::at(next.text.whole(), "found a second instruction in a trigger, expected one")),
            None => Ok(trigger),
        }
    };
    read().map_err(|error| error.in_file(name))
}

fn not_text(source: &[u8], valid: usize) -> Error {
    let before = String::from_utf8_lossy(source.get(..valid).unwrap_or_default()).into_owned();
    let line = before.matches('\n').count() as u32 + 1;
    let column = before.rsplit('\n').next().map_or(0, |text| text.chars().count()) as u32 + 1;
    let at = Pos { line, column };
    Error::at(Span { start: at, end: at }, "found bytes that are not UTF-8, expected text")
}

fn parse_text(name: &str, source: &str) -> Result<Dockerfile, Error> {
    let mut reader = Reader::new(source)?;
    let mut instructions: Vec<Instruction> = Vec::new();
    let mut empty_continuations = Vec::new();
    let mut in_stage = false;
    while let Some(logical) = reader.next() {
        let found = instruction(&mut reader, &logical)?;
        match found.kind {
            Kind::From(_) => in_stage = true,
            Kind::Arg(_) => {}
            _ if in_stage => {}
            _ => {
                let message = format!("found {} before the first FROM, expected FROM or ARG", found.name());
                return Err(Error::at(found.keyword.span, message));
            }
        }
        empty_continuations.extend(logical.empty.iter().map(|span| (instructions.len(), *span)));
        instructions.push(found);
    }
    if !in_stage {
        let at = Pos { line: source.lines().count().max(1) as u32, column: 1 };
        let found = if instructions.is_empty() { "no instruction" } else { "no FROM" };
        return Err(Error::at(Span { start: at, end: at }, format!("found {found}, expected at least one FROM")));
    }
    Ok(Dockerfile { name: name.to_owned(), directives: reader.directives, instructions, empty_continuations })
}

fn instruction(reader: &mut Reader<'_>, logical: &Logical) -> Result<Instruction, Error> {
    let text = &logical.text;
    let mut found = single(reader, text, 0..text.text.len(), true)?;
    found.doc.clone_from(&logical.doc);
    Ok(found)
}

/// One instruction in a range of a text; the range of a trigger begins behind `ONBUILD`.
pub(super) fn single(
    reader: &mut Reader<'_>,
    text: &Text,
    range: Range<usize>,
    outermost: bool,
) -> Result<Instruction, Error> {
    let range = text.trim(range);
    let source = text.text.get(range.clone()).unwrap_or_default();
    let length = source.find(char::is_whitespace).unwrap_or(source.len());
    let keyword = text.word(range.start..range.start + length);
    let name = keyword.text.to_ascii_uppercase();
    if !KEYWORDS.contains(&name.as_str()) {
        return Err(Error::at(
            keyword.span,
            format!("found unknown instruction {:?}, expected one of {}", keyword.text, KEYWORDS.join(", ")),
        )
        .suggest(near(&name, KEYWORDS)));
    }
    let escape = reader.directives.escape;
    let arguments = range.start + length..range.end;
    let (kind, heredocs) = if name == "ONBUILD" {
        let rest = text.trim(arguments);
        if rest.is_empty() {
            return Err(Error::at(keyword.span, "found ONBUILD without an instruction, expected one"));
        }
        if !outermost {
            return Err(Error::at(keyword.span, "found ONBUILD in ONBUILD, expected another instruction"));
        }
        let mut trigger = single(reader, text, rest, false)?;
        instructions::check_trigger(&trigger)?;
        for heredoc in heredocs_of(&trigger.kind) {
            trigger.source.push('\n');
            trigger.source.push_str(&heredoc.content);
            trigger.source.push_str(&heredoc.name);
        }
        (Kind::Onbuild(Box::new(trigger)), Vec::new())
    } else {
        let (flags, rest) = extract(text, arguments, escape);
        let heredocs = match name.as_str() {
            "RUN" | "COPY" | "ADD" => heredocs(reader, text, rest.clone(), escape)?,
            _ => Vec::new(),
        };
        let mut context =
            Context { text, rest, escape, keyword: &keyword, name: &name, flags: Flags::new(&name, flags) };
        if !["FROM", "RUN", "COPY", "ADD", "HEALTHCHECK"].contains(&name.as_str()) {
            context.flags.check()?;
        }
        let kind = context.kind(&heredocs)?;
        context.flags.check()?;
        (kind, heredocs)
    };
    let mut span = text.span(range);
    if let Some(last) = heredocs.last() {
        span.end = last.content_span.end;
    }
    Ok(Instruction { keyword, span, source: source.to_owned(), doc: Vec::new(), kind })
}

fn heredocs(reader: &mut Reader<'_>, text: &Text, range: Range<usize>, escape: char) -> Result<Vec<Heredoc>, Error> {
    let mut heredocs = Vec::new();
    if !text.text.get(range.clone()).unwrap_or_default().contains("<<") {
        return Ok(heredocs);
    }
    for field in text.quoted_fields(range, escape) {
        let Some(marker) = text.text.get(field.clone()).and_then(Marker::parse) else { continue };
        let span = text.span(field);
        let (content, content_span) = reader.heredoc(&marker.name, marker.strip_tabs, span)?;
        let Marker { name, fd, strip_tabs, expand } = marker;
        heredocs.push(Heredoc { name, content, expand, strip_tabs, fd, span, content_span });
    }
    Ok(heredocs)
}

fn heredocs_of(kind: &Kind) -> Vec<&Heredoc> {
    let transfer = match kind {
        Kind::Run(run) => return run.heredocs.iter().collect(),
        Kind::Copy(copy) => &copy.transfer,
        Kind::Add(add) => &add.transfer,
        _ => return Vec::new(),
    };
    transfer
        .sources
        .iter()
        .filter_map(|source| match source {
            super::Source::Heredoc(heredoc) => Some(heredoc),
            super::Source::Path(_) => None,
        })
        .collect()
}

/// A word at a place of its own, for callers that expand something that is in no file.
impl std::convert::From<&str> for Word {
    fn from(text: &str) -> Self {
        Word::new(text, Span::default())
    }
}
