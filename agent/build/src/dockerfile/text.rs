//! A text joined from continued lines that still knows where each character stood.

use std::ops::Range;

use super::{Pos, Span, Word};

/// An instruction's text, continued lines joined, with the place of every piece.
#[derive(Clone, Debug, Default)]
pub(super) struct Text {
    pub text: String,
    /// Where a piece begins: offset in `text`, place in the file; ascending.
    marks: Vec<(usize, Pos)>,
}

impl Text {
    pub fn push(&mut self, piece: &str, at: Pos) {
        if !piece.is_empty() || self.marks.is_empty() {
            self.marks.push((self.text.len(), at));
            self.text.push_str(piece);
        }
    }

    pub fn pos(&self, offset: usize) -> Pos {
        let next = self.marks.partition_point(|(start, _)| *start <= offset);
        let Some((start, pos)) = next.checked_sub(1).and_then(|index| self.marks.get(index)) else {
            return Pos { line: 1, column: 1 };
        };
        let columns = self.text.get(*start..offset.min(self.text.len())).map_or(0, |text| text.chars().count());
        Pos { line: pos.line, column: pos.column + columns as u32 }
    }

    pub fn span(&self, range: Range<usize>) -> Span {
        let start = self.pos(range.start);
        let last = self.text.get(range.clone()).and_then(|text| text.char_indices().next_back());
        let end = match last {
            Some((offset, _)) => {
                let pos = self.pos(range.start + offset);
                Pos { line: pos.line, column: pos.column + 1 }
            }
            None => start,
        };
        Span { start, end }
    }

    pub fn word(&self, range: Range<usize>) -> Word {
        Word::new(self.text.get(range.clone()).unwrap_or_default(), self.span(range))
    }

    pub fn whole(&self) -> Span {
        self.span(0..self.text.len())
    }

    /// The range without white space at both ends.
    pub fn trim(&self, range: Range<usize>) -> Range<usize> {
        let text = self.text.get(range.clone()).unwrap_or_default();
        let start = range.start + (text.len() - text.trim_start().len());
        start..start + text.trim().len()
    }

    /// Words between white space; quotes mean nothing.
    pub fn fields(&self, range: Range<usize>) -> Vec<Range<usize>> {
        let mut fields = Vec::new();
        let mut start = None;
        for (offset, c) in self.text.get(range.clone()).unwrap_or_default().char_indices() {
            let offset = range.start + offset;
            match (c.is_whitespace(), start) {
                (true, Some(from)) => {
                    fields.push(from..offset);
                    start = None;
                }
                (false, None) => start = Some(offset),
                _ => {}
            }
        }
        fields.extend(start.map(|from| from..range.end));
        fields
    }

    /// Words between white space outside quotes, kept as written; an escaped character never ends one.
    pub fn quoted_fields(&self, range: Range<usize>, escape: char) -> Vec<Range<usize>> {
        let mut fields = Vec::new();
        let mut start = None;
        let mut quote = None;
        let mut chars = self.text.get(range.clone()).unwrap_or_default().char_indices();
        while let Some((offset, c)) = chars.next() {
            let offset = range.start + offset;
            match quote {
                None if c.is_whitespace() => {
                    fields.extend(start.take().map(|from| from..offset));
                    continue;
                }
                None if c == escape => drop(chars.next()),
                None if c == '"' || c == '\'' => quote = Some(c),
                None => {}
                Some(q) if c == q => quote = None,
                Some('"') if c == escape => drop(chars.next()),
                Some(_) => {}
            }
            start.get_or_insert(offset);
        }
        fields.extend(start.map(|from| from..range.end));
        fields
    }
}
