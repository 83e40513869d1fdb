//! Text into actions, actions into words.

use super::TemplateError;

/// A word of an action, and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Word {
    pub at: usize,
    pub token: Token,
    /// White space stands before it: `a .b` is not `a.b`.
    pub spaced: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Token {
    /// `.Name`
    Field(String),
    /// `.` alone
    Dot,
    /// `$name`, or `$` with an empty name
    Variable(String),
    Name(String),
    Text(String),
    Int(i64),
    Float(f64),
    Open,
    Close,
    Pipe,
    Comma,
    /// `:=`
    Declare,
    /// `=`
    Assign,
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    Text(String),
    Action { at: usize, words: Vec<Word> },
}

/// Cuts a template into text and actions.
pub fn pieces(text: &str) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let mut at = 0;
    let mut trim_next = false;
    while at < text.len() {
        let rest = &text[at..];
        let open = rest.find("{{").unwrap_or(rest.len());
        let mut plain = &rest[..open];
        if trim_next {
            plain = plain.trim_start();
        }
        let action = at + open;
        if action == text.len() {
            if !plain.is_empty() {
                pieces.push(Piece::Text(plain.to_owned()));
            }
            break;
        }
        let mut inside = action + 2;
        if text[inside..].starts_with('-') && text[inside + 1..].starts_with(char::is_whitespace) {
            plain = plain.trim_end();
            inside += 1;
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain.to_owned()));
        }
        let body = text[inside..].trim_start();
        if body.starts_with("/*") {
            let start = text.len() - body.len();
            let close =
                text[start..].find("*/").ok_or_else(|| TemplateError::new(action, "the comment is not closed"))?;
            let after = text[start + close + 2..].trim_start();
            let trimmed = after.strip_prefix("-}}");
            let after = trimmed
                .or_else(|| after.strip_prefix("}}"))
                .ok_or_else(|| TemplateError::new(action, "a comment takes the whole of an action"))?;
            trim_next = trimmed.is_some();
            at = text.len() - after.len();
            continue;
        }
        let (words, end, trim) = words(text, inside, action)?;
        pieces.push(Piece::Action { at: action, words });
        trim_next = trim;
        at = end;
    }
    Ok(pieces)
}

/// Reads words up to `}}`; returns where the text goes on, and whether white space after is dropped.
fn words(text: &str, from: usize, action: usize) -> Result<(Vec<Word>, usize, bool), TemplateError> {
    let mut words = Vec::new();
    let mut at = from;
    let mut spaced = true;
    loop {
        let rest = &text[at..];
        let Some(c) = rest.chars().next() else {
            return Err(TemplateError::new(action, "the action is not closed: }} is missing"));
        };
        if rest.starts_with("}}") {
            return Ok((words, at + 2, false));
        }
        if c.is_whitespace() {
            at += c.len_utf8();
            spaced = true;
            continue;
        }
        if spaced && rest.starts_with("-}}") {
            return Ok((words, at + 3, true));
        }
        let (token, length) = token(rest).map_err(|message| TemplateError::new(at, message))?;
        words.push(Word { at, token, spaced });
        spaced = false;
        at += length;
    }
}

fn token(rest: &str) -> Result<(Token, usize), String> {
    let mut chars = rest.chars();
    let first = chars.next().unwrap_or_default();
    let second = chars.next().unwrap_or_default();
    let name = |from: &str| from.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(from.len());
    Ok(match first {
        '(' => (Token::Open, 1),
        ')' => (Token::Close, 1),
        '|' => (Token::Pipe, 1),
        ',' => (Token::Comma, 1),
        ':' if second == '=' => (Token::Declare, 2),
        '=' => (Token::Assign, 1),
        '.' if second.is_alphabetic() || second == '_' => {
            let length = name(&rest[1..]);
            (Token::Field(rest[1..=length].to_owned()), length + 1)
        }
        '.' if !second.is_ascii_digit() => (Token::Dot, 1),
        '$' => {
            let length = name(&rest[1..]);
            (Token::Variable(rest[1..=length].to_owned()), length + 1)
        }
        '"' => quoted(rest)?,
        '`' => {
            let close = rest[1..].find('`').ok_or("the text is not closed: ` is missing")?;
            (Token::Text(rest[1..=close].to_owned()), close + 2)
        }
        '\'' => {
            let close = rest[1..].find('\'').ok_or("the character is not closed: ' is missing")?;
            let mut inside = rest[1..=close].chars();
            match (inside.next(), inside.next()) {
                (Some(c), None) => (Token::Int(i64::from(u32::from(c))), close + 2),
                _ => return Err("text is written with double quotes".to_owned()),
            }
        }
        c if c.is_ascii_digit() || matches!(c, '-' | '+' | '.') => {
            let length = rest[1..]
                .find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '_'))
                .map_or(rest.len(), |length| length + 1);
            (number(&rest[..length])?, length)
        }
        c if c.is_alphabetic() || c == '_' => {
            let length = name(rest);
            (Token::Name(rest[..length].to_owned()), length)
        }
        c => return Err(format!("unexpected {c:?}")),
    })
}

fn number(text: &str) -> Result<Token, String> {
    let plain = text.replace('_', "");
    let hex = plain.strip_prefix("0x").or_else(|| plain.strip_prefix("0X"));
    if let Some(value) = hex.map_or_else(|| plain.parse().ok(), |hex| i64::from_str_radix(hex, 16).ok()) {
        return Ok(Token::Int(value));
    }
    plain.parse().map(Token::Float).map_err(|_| format!("{text:?} is not a number"))
}

/// Text in double quotes, with Go's escapes.
fn quoted(rest: &str) -> Result<(Token, usize), String> {
    let mut out = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((Token::Text(out), at + 1)),
            '\n' => break,
            '\\' => {
                let Some((_, escape)) = chars.next() else { break };
                let digits = match escape {
                    'n' => '\n'.into(),
                    't' => '\t'.into(),
                    'r' => '\r'.into(),
                    '\\' | '"' | '\'' => escape.into(),
                    'x' => hex(&mut chars, 2),
                    'u' => hex(&mut chars, 4),
                    other => return Err(format!("unknown escape \\{other}")),
                };
                out.push(digits.ok_or("the escape is not complete")?);
            }
            c => out.push(c),
        }
    }
    Err("the text is not closed: \" is missing".to_owned())
}

fn hex(chars: &mut impl Iterator<Item = (usize, char)>, count: usize) -> Option<char> {
    let digits: String = chars.take(count).map(|(_, c)| c).collect();
    u32::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == count).and_then(char::from_u32)
}
