//! YAML as Compose prints it: two spaces, sequences indented below their key,
//! double quotes where a plain scalar would be read as something else.

use serde_json::Value;

use crate::load::scalar;

/// A key longer than this says that it is one (YAML 1.2.2, 7.4.2: "limited to a single line and … 1024 characters").
const LONGEST_SIMPLE_KEY: usize = 1000;

/// Prints a value as a YAML document.
pub fn to_yaml(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => mapping(&mut out, map, 0, false),
        Value::Array(items) if !items.is_empty() => sequence(&mut out, items, 0),
        other => {
            scalar(&mut out, other, 0);
            out.push('\n');
        }
    }
    out
}

fn indent(out: &mut String, level: usize) {
    out.extend(std::iter::repeat_n("  ", level));
}

/// `inline`: the first key continues the line of a `- `.
fn mapping(out: &mut String, map: &serde_json::Map<String, Value>, level: usize, inline: bool) {
    for (index, (key, value)) in map.iter().enumerate() {
        if index > 0 || !inline {
            indent(out, level);
        }
        let start = out.len();
        string(out, key, None);
        if out.len() - start > LONGEST_SIMPLE_KEY {
            out.insert_str(start, "? ");
            out.push('\n');
            indent(out, level);
        }
        out.push(':');
        entry(out, value, level);
    }
}

fn entry(out: &mut String, value: &Value, level: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            mapping(out, map, level + 1, false);
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            sequence(out, items, level + 1);
        }
        other => {
            out.push(' ');
            scalar(out, other, level);
            out.push('\n');
        }
    }
}

fn sequence(out: &mut String, items: &[Value], level: usize) {
    for item in items {
        indent(out, level);
        out.push_str("- ");
        match item {
            Value::Object(map) if !map.is_empty() => mapping(out, map, level + 1, true),
            Value::Array(inner) if !inner.is_empty() => {
                let start = out.len();
                sequence(out, inner, level + 1);
                // The first inner item continues this line.
                out.replace_range(start..start + (level + 1) * 2, "");
            }
            other => {
                scalar(out, other, level);
                out.push('\n');
            }
        }
    }
}

fn scalar(out: &mut String, value: &Value, level: usize) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&number_text(number)),
        Value::String(text) => string(out, text, Some(level)),
        Value::Array(_) => out.push_str("[]"),
        Value::Object(_) => out.push_str("{}"),
    }
}

fn number_text(number: &serde_json::Number) -> String {
    match number.as_f64() {
        Some(float) if !number.is_i64() && !number.is_u64() && float.fract() == 0.0 && float.abs() < 1e15 => {
            format!("{}", float as i64)
        }
        _ => number.to_string(),
    }
}

/// `level`: where a block scalar may stand; `None` for keys.
fn string(out: &mut String, text: &str, level: Option<usize>) {
    if let Some(level) = level
        && text.contains('\n')
        && block_is_exact(text)
    {
        block(out, text, level);
    } else if needs_quotes(text) {
        quoted(out, text);
    } else {
        out.push_str(text);
    }
}

/// Whether a literal block gives back the text: no control characters, and no
/// first line that would be taken for indentation.
fn block_is_exact(text: &str) -> bool {
    !text.starts_with([' ', '\t', '\n'])
        && text
            .chars()
            .all(|c| c == '\n' || c == '\t' || !c.is_control() && c != '\u{feff}' && c != '\u{2028}' && c != '\u{2029}')
}

fn block(out: &mut String, text: &str, level: usize) {
    let body = text.trim_end_matches('\n');
    out.push('|');
    match text.len() - body.len() {
        0 => out.push('-'),
        1 => {}
        _ => out.push('+'),
    }
    let lines = text.strip_suffix('\n').unwrap_or(text);
    for line in lines.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            indent(out, level + 1);
            out.push_str(line);
        }
    }
}

fn needs_quotes(text: &str) -> bool {
    const RESERVED: [&str; 22] = [
        "", "~", "null", "Null", "NULL", "true", "True", "TRUE", "false", "False", "FALSE", "y", "Y", "n", "N", "yes",
        "Yes", "YES", "no", "No", "NO", "<<",
    ];
    const SWITCHES: [&str; 7] = ["on", "On", "ON", "off", "Off", "OFF", "="];
    let Some(first) = text.chars().next() else { return true };
    RESERVED.contains(&text)
        || SWITCHES.contains(&text)
        || text.starts_with(['-', '?', ':']) && text[1..].starts_with([' ', '\t'])
        || matches!(text, "-" | "?" | ":" | "---" | "...")
        || "!&*|>'\"%@`#,[]{}".contains(first)
        || text.starts_with(char::is_whitespace)
        || text.ends_with(char::is_whitespace)
        || text.ends_with(':')
        || text.contains(": ")
        || text.contains(" #")
        || text.chars().any(|c| c.is_control() || matches!(c, '\u{feff}' | '\u{2028}' | '\u{2029}' | '\u{85}'))
        || looks_numeric(text)
}

/// Text that a YAML 1.1 or 1.2 reader could take for a number or a time.
fn looks_numeric(text: &str) -> bool {
    !scalar::is_text(text) || is_base_60(text) || is_date(text)
}

/// `22:22`: numbers of YAML 1.1.
fn is_base_60(text: &str) -> bool {
    let Some((first, rest)) = text.trim_start_matches(['+', '-']).split_once(':') else { return false };
    let whole = rest.split('.').next().unwrap_or(rest);
    first.starts_with(|c: char| c.is_ascii_digit())
        && first.bytes().all(|b| b.is_ascii_digit() || b == b'_')
        && whole.split(':').all(|part| part.len() <= 2 && part.parse::<u8>().is_ok_and(|n| n < 60))
}

/// `2001-01-01`, with or without a time.
fn is_date(text: &str) -> bool {
    let day = text.split(['T', 't', ' ']).next().unwrap_or(text);
    let parts: Vec<&str> = day.split('-').collect();
    parts.len() == 3
        && parts[0].len() == 4
        && parts.iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
}

fn quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\0' => out.push_str("\\0"),
            '\u{1b}' => out.push_str("\\e"),
            c if (c as u32) < 0x100 && c.is_control() => out.push_str(&format!("\\x{:02X}", c as u32)),
            '\u{feff}' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04X}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn shapes() {
        let value = json!({
            "name": "p",
            "services": {"web": {
                "command": ["sh", "-c", "a: b"],
                "ports": [{"target": 80, "published": "8080"}],
                "environment": {"A": "", "B": "no", "C": null, "D": "1.5", "E": "22:22", "F": "line\nnext\n"},
                "networks": {"default": null}, "x": [], "z": {}
            }}
        });
        insta::assert_snapshot!(to_yaml(&value), @r#"
        name: p
        services:
          web:
            command:
              - sh
              - -c
              - "a: b"
            ports:
              - target: 80
                published: "8080"
            environment:
              A: ""
              B: "no"
              C: null
              D: "1.5"
              E: "22:22"
              F: |
                line
                next
            networks:
              default: null
            x: []
            z: {}
        "#);
    }

    proptest::proptest! {
        #[test]
        fn strings_read_back(text in "\\PC*|[ -~\n\t]*") {
            let printed = to_yaml(&json!({"k": text, "l": [text]}));
            let read: Value = serde_yaml::from_str(&printed).unwrap();
            proptest::prop_assert_eq!(&read["k"], &json!(text), "{}", printed);
            proptest::prop_assert_eq!(&read["l"][0], &json!(text), "{}", printed);
        }
    }
}
