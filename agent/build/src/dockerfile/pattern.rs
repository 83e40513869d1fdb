//! Patterns of `${name#pattern}` and its kin: `*` any text, `?` any character.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Literal(char),
    One,
    Any,
}

#[derive(Clone, Debug)]
pub(super) struct Pattern(Vec<Part>);

impl Pattern {
    /// From pieces that are patterns or, where the flag is set, literal text.
    pub fn new<'a>(pieces: impl Iterator<Item = (&'a str, bool)>) -> Self {
        let part = |c: char, literal: bool| match c {
            '*' if !literal => Part::Any,
            '?' if !literal => Part::One,
            c => Part::Literal(c),
        };
        Self(pieces.flat_map(|(text, literal)| text.chars().map(move |c| part(c, literal))).collect())
    }

    /// All the lengths at which the pattern matches the front of the text, ascending.
    fn prefixes(&self, text: &[char]) -> Vec<usize> {
        // reachable[i]: the parts so far match text[..i].
        let mut reachable = vec![false; text.len() + 1];
        reachable[0] = true;
        for part in &self.0 {
            let mut next = vec![false; text.len() + 1];
            let mut any = false;
            for index in 0..=text.len() {
                match part {
                    Part::Any => {
                        any |= reachable[index];
                        next[index] = any;
                    }
                    Part::One => next[index] = index > 0 && reachable[index - 1],
                    Part::Literal(c) => next[index] = index > 0 && reachable[index - 1] && text[index - 1] == *c,
                }
            }
            reachable = next;
        }
        reachable.iter().enumerate().filter(|(_, reached)| **reached).map(|(length, _)| length).collect()
    }

    fn reversed(&self) -> Self {
        Self(self.0.iter().rev().copied().collect())
    }
}

fn pick(lengths: &[usize], longest: bool) -> Option<usize> {
    if longest { lengths.last().copied() } else { lengths.first().copied() }
}

pub(super) fn trim_prefix(text: &str, pattern: &Pattern, longest: bool) -> String {
    let chars: Vec<char> = text.chars().collect();
    let length = pick(&pattern.prefixes(&chars), longest).unwrap_or(0);
    chars.into_iter().skip(length).collect()
}

pub(super) fn trim_suffix(text: &str, pattern: &Pattern, longest: bool) -> String {
    let reversed: Vec<char> = text.chars().rev().collect();
    let length = pick(&pattern.reversed().prefixes(&reversed), longest).unwrap_or(0);
    text.chars().take(reversed.len() - length).collect()
}

/// Replaces the longest match at each place, the first one or all.
pub(super) fn replace(text: &str, pattern: &Pattern, replacement: &str, all: bool) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::new();
    let mut at = 0;
    let mut done = false;
    while at <= chars.len() {
        let rest = chars.get(at..).unwrap_or_default();
        let matched = if done { None } else { pattern.prefixes(rest).last().copied() };
        match matched {
            Some(length) if length > 0 || chars.is_empty() => {
                out.push_str(replacement);
                done = !all;
                at += length.max(1);
            }
            _ => {
                out.extend(rest.first());
                at += 1;
            }
        }
    }
    out
}
