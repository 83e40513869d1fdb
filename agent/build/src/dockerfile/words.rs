//! Words of an instruction: JSON arrays, heredoc markers, and the nearest of the words that exist.

use std::ops::Range;

use super::{Error, Word, text::Text};

/// The known word that is probably meant.
pub(crate) fn near<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let typed = typed.to_lowercase();
    let limit = (typed.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|word| (distance(&typed, &word.to_lowercase()), word))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, word)| word.to_owned())
}

/// Insertions, removals, replacements and swaps of neighbours that turn one word into the other.
fn distance(a: &str, b: &str) -> usize {
    const LONGEST: usize = 100;
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len() > LONGEST || b.len() > LONGEST {
        return if a == b { 0 } else { LONGEST };
    }
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let differ = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (rows[i - 1][j - 1] + differ).min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(rows[i - 2][j - 2] + 1);
            }
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

/// The strings of a JSON array; none where the text is no JSON array at all, which makes it the shell form.
///
/// # Errors
/// A JSON array that holds something else than strings.
pub(super) fn json_array(text: &Text, range: Range<usize>) -> Result<Option<Vec<Word>>, Error> {
    let range = text.trim(range);
    let source = text.text.get(range.clone()).unwrap_or_default();
    if !source.starts_with('[') {
        return Ok(None);
    }
    let Ok(values) = serde_json::from_str::<Vec<serde_json::Value>>(source) else {
        return Ok(None);
    };
    let mut words = Vec::new();
    let mut offset = 1;
    for value in values {
        let serde_json::Value::String(value) = value else {
            return Err(Error::at(
                text.span(range),
                format!("found {value} in the JSON array, expected only strings in double quotes"),
            ));
        };
        let Some(quoted) = next_string(source, offset) else { return Ok(None) };
        offset = quoted.end;
        words.push(Word::new(value, text.span(range.start + quoted.start..range.start + quoted.end)));
    }
    Ok(Some(words))
}

/// Where the next string of valid JSON stands, quotes included.
fn next_string(source: &str, from: usize) -> Option<Range<usize>> {
    let start = from + source.get(from..)?.find('"')?;
    let mut escaped = false;
    for (offset, c) in source.get(start + 1..)?.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(start..start + 1 + offset + 1),
            _ => {}
        }
    }
    None
}

/// A word that opens a heredoc: `[fd]<<[-]delimiter`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Marker {
    pub name: String,
    pub fd: u32,
    pub strip_tabs: bool,
    pub expand: bool,
}

impl Marker {
    /// Reads a word as written. What a shell would take for the next word (`;`, `|`, `>` …) ends the delimiter.
    pub fn parse(word: &str) -> Option<Self> {
        let digits = word.len() - word.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (fd, rest) = word.split_at(digits);
        let fd = if fd.is_empty() { 0 } else { fd.parse().ok()? };
        let rest = rest.strip_prefix("<<")?;
        let (strip_tabs, rest) = match rest.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let (mut name, mut expand, mut quote) = (String::new(), true, None);
        let mut chars = rest.chars();
        while let Some(c) = chars.next() {
            match quote {
                Some(q) if c == q => quote = None,
                Some(_) => name.push(c),
                None => match c {
                    '<' => return None,
                    '"' | '\'' => (quote, expand) = (Some(c), false),
                    '\\' => {
                        expand = false;
                        name.extend(chars.next());
                    }
                    ';' | '&' | '|' | '>' | '(' | ')' => break,
                    c => name.push(c),
                },
            }
        }
        (quote.is_none() && !name.is_empty()).then_some(Self { name, fd, strip_tabs, expand })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_as_shells_read_them() {
        let plain = Marker { name: "EOF".into(), fd: 0, strip_tabs: false, expand: true };
        assert_eq!(Marker::parse("<<EOF"), Some(plain));
        assert_eq!(
            Marker::parse("3<<-'E F'"),
            Some(Marker { name: "E F".into(), fd: 3, strip_tabs: true, expand: false })
        );
        assert_eq!(Marker::parse("<<EOF>file").map(|marker| marker.name), Some("EOF".into()));
        assert_eq!(Marker::parse("<<EO\"F\"").map(|marker| (marker.name, marker.expand)), Some(("EOF".into(), false)));
        for other in ["<<", "<<<word", "x<<EOF", "\"<<EOF\"", "<<'EOF", "99999999999<<E", "<<\"\""] {
            assert_eq!(Marker::parse(other), None, "{other}");
        }
    }

    #[test]
    fn near_words_are_found() {
        assert_eq!(near("FORM", ["FROM", "RUN"]), Some("FROM".into()));
        assert_eq!(near("xyzzy", ["FROM", "RUN"]), None);
    }
}
